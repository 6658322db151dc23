//! E-mail by SMTP, one connection for each message: STARTTLS or TLS from the start, in the clear only to this host.

use std::path::PathBuf;
use std::time::Duration;

use hivewall_outbound::{Failure, Reason, Secret};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport as _};
use url::Url;

use crate::error::ChannelError;
use crate::line::Settings;
use crate::message::Message;
use crate::sink::Sink;

const EXAMPLE: &str = "smtp+starttls://user@mail.example.org:587?from=hivewall@example.org&to=ops@example.org&password_file=/etc/hivewall/mail.password";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    StartTls,
    Tls,
    None,
}

/// What the line says.
pub(crate) struct Target {
    pub(crate) host: String,
    port: u16,
    security: Security,
    login: Option<(String, Secret)>,
    from: Mailbox,
    to: Vec<Mailbox>,
    ca_file: Option<PathBuf>,
}

impl Target {
    pub(crate) fn new(url: &Url, settings: &mut Settings) -> Result<Self, ChannelError> {
        let missing = |what| ChannelError::Missing { what, example: EXAMPLE };
        let (security, port) = match url.scheme() {
            "smtp+tls" => (Security::Tls, 465),
            "smtp+none" => (Security::None, 25),
            _ => (Security::StartTls, 587),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| missing("the mail server"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        if security == Security::None && !is_here {
            return Err(ChannelError::ClearMail { host });
        }
        let user = percent_encoding::percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
        let login = match (user.is_empty(), settings.take_secret("password_file")?) {
            (true, None) => None,
            (false, Some(password)) => Some((user, password)),
            (true, Some(_)) => return Err(missing("the user in front of the host")),
            (false, None) => return Err(missing("password_file")),
        };
        let from = settings.take("from").ok_or_else(|| missing("from"))?;
        let to = settings.take_list("to");
        if to.is_empty() {
            return Err(missing("to"));
        }
        Ok(Self {
            host,
            port: url.port().unwrap_or(port),
            security,
            login,
            from: mailbox("from", &from)?,
            to: to.iter().map(|to| mailbox("to", to)).collect::<Result<_, _>>()?,
            ca_file: settings.take_path("ca_file"),
        })
    }

    pub(crate) fn open(&self, timeout: Duration) -> Result<Mail, ChannelError> {
        let tls = match self.security {
            Security::None => Tls::None,
            Security::StartTls => Tls::Required(self.tls()?),
            Security::Tls => Tls::Wrapper(self.tls()?),
        };
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut transport =
            SmtpTransport::builder_dangerous(&self.host).port(self.port).tls(tls).timeout(Some(timeout));
        if !hostname.trim().is_empty() {
            transport = transport.hello_name(ClientId::Domain(hostname.trim().to_owned()));
        }
        if let Some((user, password)) = &self.login {
            transport = transport.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        Ok(Mail { transport: transport.build(), from: self.from.clone(), to: self.to.clone() })
    }

    fn tls(&self) -> Result<TlsParameters, ChannelError> {
        let mut tls = TlsParameters::builder(self.host.clone());
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read(path).map_err(|source| ChannelError::File { path: path.clone(), source })?;
            tls = tls.certificate_store(CertificateStore::None).add_root_certificate(Certificate::from_pem(&pem)?);
        }
        Ok(tls.build()?)
    }
}

fn mailbox(name: &str, value: &str) -> Result<Mailbox, ChannelError> {
    let expected = "an address such as ops@example.org";
    value.parse().map_err(|_| ChannelError::Value { name: name.to_owned(), value: value.to_owned(), expected })
}

/// One mail server.
pub(crate) struct Mail {
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Sink for Mail {
    fn deliver(&self, message: &Message) -> Result<(), Failure> {
        let bad = |error: &dyn std::fmt::Display| {
            Failure::lasting(Reason::Protocol, format!("the mail cannot be written: {error}"))
        };
        // RFC 3834: nobody's holiday notice shall answer it.
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(message.subject())
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            .raw_header(automatic);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let mail = builder.multipart(MultiPart::alternative_plain_html(message.text(), message.html()));
        let mail = mail.map_err(|error| bad(&error))?;
        self.transport.send(&mail).map(|_| ()).map_err(|error| failure(&error))
    }
}

fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    // The error names its kind, and its sources what happened.
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    if error.is_permanent() {
        // 530, 534, 535 and 538 are about who asks.
        let is_login =
            error.status().is_some_and(|code| matches!(code.to_string().as_str(), "530" | "534" | "535" | "538"));
        return Failure::lasting(if is_login { Reason::Unauthorized } else { Reason::Refused }, text);
    }
    let reason = if error.is_transient() {
        Reason::Faulty
    } else if error.is_timeout() {
        Reason::Timeout
    } else if error.is_tls() {
        Reason::Tls
    } else if error.is_client() {
        Reason::Protocol
    } else {
        Reason::Unreachable
    };
    Failure::passing(reason, text)
}
