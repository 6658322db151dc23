//! Webhooks: a message as JSON, in the form of Slack, or by a template, signed if there is a secret.
//!
//! The signature, for receivers: `X-Hivewall-Signature: v1=HEX`, where HEX is HMAC-SHA256 under the secret over the value
//! of `X-Hivewall-Timestamp` (seconds since 1970), a full stop, and the body. A receiver refuses what is older than five
//! minutes, and what has an `X-Hivewall-Id` that it has seen.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hivewall_outbound::{Client, Failure, HttpOptions, Reason, Secret};
use hivewall_view::alerts::Severity;
use jiff::Timestamp;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use ring::hmac;
use serde_json::json;

use crate::error::ChannelError;
use crate::line::Settings;
use crate::message::Message;
use crate::sink::Sink;

/// Steps that a template may take: one that does not end must not hold the channel up.
const TEMPLATE_FUEL: u64 = 1_000_000;
/// Name of the one template.
const BODY: &str = "body";

/// What the line says.
pub(crate) struct Target {
    url: String,
    http: HttpOptions,
    secret: Option<Secret>,
    form: Form,
    content_type: String,
}

enum Form {
    Json,
    Slack,
    Template(Box<Environment<'static>>),
}

impl Target {
    pub(crate) fn new(url: String, http: HttpOptions, settings: &mut Settings) -> Result<Self, ChannelError> {
        Client::new(&url, &http)?;
        let form = match (settings.take_path("template_file"), settings.take("preset").as_deref()) {
            (Some(path), None) => Form::Template(Box::new(template(&path)?)),
            (None, None | Some("json")) => Form::Json,
            (None, Some("slack")) => Form::Slack,
            (_, Some(other)) => {
                return Err(ChannelError::Value {
                    name: "preset".to_owned(),
                    value: other.to_owned(),
                    expected: "json or slack, or template_file in its place,",
                });
            }
        };
        let content_type = settings.take("content_type").unwrap_or_else(|| "application/json".to_owned());
        if content_type.chars().any(char::is_control) || !content_type.is_ascii() {
            let expected = "a media type such as text/plain";
            return Err(ChannelError::Value { name: "content_type".to_owned(), value: content_type, expected });
        }
        Ok(Self { url, http, secret: settings.take_secret("secret_file")?, form, content_type })
    }

    pub(crate) fn open(&self, timeout: Duration) -> Result<Webhook, ChannelError> {
        let client = Client::new(&self.url, &HttpOptions { timeout, ..self.http.clone() })?;
        let key = self.secret.as_ref().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes()));
        let form = match &self.form {
            Form::Json => Form::Json,
            Form::Slack => Form::Slack,
            Form::Template(template) => Form::Template(template.clone()),
        };
        Ok(Webhook { client, key, form, content_type: self.content_type.clone() })
    }
}

/// Reads a template and fills it in once, so that a mistake is told at the start.
fn template(path: &Path) -> Result<Environment<'static>, ChannelError> {
    let file = |source| ChannelError::File { path: path.to_path_buf(), source };
    let bad = |source| ChannelError::Template { path: PathBuf::from(path), source };
    let source = std::fs::read_to_string(path).map_err(file)?;
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.add_template_owned(BODY, source).map_err(bad)?;
    fill(&environment, &Message::test(Timestamp::now())).map_err(bad)?;
    Ok(environment)
}

fn fill(environment: &Environment<'_>, message: &Message) -> Result<String, minijinja::Error> {
    let context = minijinja::context! { subject => message.subject(), text => message.text(), ..minijinja::Value::from_serialize(message) };
    environment.get_template(BODY)?.render(context)
}

/// One receiver.
pub(crate) struct Webhook {
    client: Client,
    key: Option<hmac::Key>,
    form: Form,
    content_type: String,
}

impl Sink for Webhook {
    fn deliver(&self, message: &Message) -> Result<(), Failure> {
        let body = match &self.form {
            Form::Json => message.json(),
            Form::Slack => slack(message).to_string().into_bytes(),
            Form::Template(environment) => {
                let filled = fill(environment, message);
                filled
                    .map_err(|error| Failure::lasting(Reason::Template, format!("the template: {error:#}")))?
                    .into_bytes()
            }
        };
        let timestamp = Timestamp::now().as_second().to_string();
        let signature = self.key.as_ref().map(|key| signature(key, &timestamp, &body));
        let mut headers = vec![("x-hivewall-id", message.id.as_str()), ("x-hivewall-timestamp", timestamp.as_str())];
        headers.extend(signature.as_deref().map(|signature| ("x-hivewall-signature", signature)));
        self.client.post(&self.content_type, &headers, &body)?.judge()
    }
}

fn signature(key: &hmac::Key, timestamp: &str, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(key);
    signed.update(timestamp.as_bytes());
    signed.update(b".");
    signed.update(body);
    let mut text = "v1=".to_owned();
    for byte in signed.sign().as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The form of Slack's incoming webhooks, which Mattermost and Rocket.Chat read as well.
fn slack(message: &Message) -> serde_json::Value {
    let colour = match message.severity {
        Severity::Critical | Severity::High => "#d32f2f",
        Severity::Medium => "#f57c00",
        Severity::Low | Severity::Info => "#1976d2",
    };
    // Slack's three characters, which would otherwise make links and calls of what an attacker wrote.
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (subject, text) = (escape(&message.subject()), escape(message.text().trim_end()));
    json!({ "text": subject, "attachments": [{ "color": colour, "fallback": subject, "text": text }] })
}
