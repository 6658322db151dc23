//! A small HTTP client for an agent's API: on this host, through a tunnel, or over TLS.

mod tls;

use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use hivewall_tui::{Agent, FlowQuestion, PolicyAction, PolicyReply};
use hivewall_view::alerts::AlertOutcome;
use hivewall_view::fleet::FleetView;
use hivewall_view::{FlowPage, Snapshot, Sort};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use self::tls::Trust;
use crate::exit::{Exit, ending};
use crate::token;

const ADDRESS: &str = "127.0.0.1:7733";
const TIMEOUT: Duration = Duration::from_secs(10);
/// As long as the agent itself takes at most, and some.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(130);

/// Where an agent answers.
pub(crate) struct Client {
    base: String,
    agent: ureq::Agent,
    trust: Trust,
    /// What is wrong with whom to trust, told when it is needed.
    fault: Option<String>,
}

impl From<&ArgMatches> for Client {
    fn from(args: &ArgMatches) -> Self {
        let word = |name: &str| args.try_get_one::<String>(name).ok().flatten().map(String::as_str);
        let certificates = args.try_get_one::<PathBuf>("ca").ok().flatten();
        let trust = Trust::of(certificates.map(PathBuf::as_path), word("fingerprint"));
        Self::trusting(word("host").unwrap_or(ADDRESS), trust)
    }
}

impl Client {
    /// An agent by `host`, `host:port` or URL, and whom to trust where that is over TLS.
    fn trusting(host: &str, trust: anyhow::Result<Trust>) -> Self {
        let host = host.trim_end_matches('/');
        let base = if host.starts_with("http://") || host.starts_with("https://") {
            host.to_owned()
        } else if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            format!("http://{host}")
        } else {
            format!("http://{host}:7733")
        };
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let made = trust.and_then(|trust| Ok((trust.connector()?, trust)));
        let (agent, trust, fault) = match made {
            Ok((tls, trust)) if base.starts_with("https://") => {
                let connector = TcpConnector::default().chain(tls);
                (ureq::Agent::with_parts(config, connector, DefaultResolver::default()), trust, None)
            }
            Ok((_, trust)) => (config.into(), trust, None),
            Err(error) => (config.into(), Trust::default(), Some(format!("{error:#}"))),
        };
        Self { base, agent, trust, fault }
    }

    /// The same, over connections of its own.
    fn again(&self) -> Self {
        Self::trusting(&self.base, Ok(self.trust.clone()))
    }

    /// The address without a path.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn usable(&self) -> anyhow::Result<()> {
        self.fault.as_ref().map_or(Ok(()), |fault| Err(ending(Exit::Usage, fault)))
    }

    fn request(
        &self,
        path: &str,
        parameters: &[(String, String)],
        timeout: Option<Duration>,
    ) -> anyhow::Result<ureq::Body> {
        let (response, url) = self.ask(path, parameters, timeout)?;
        answered(response, &url)
    }

    /// The response, whatever it says, and what was asked.
    fn ask(
        &self,
        path: &str,
        parameters: &[(String, String)],
        timeout: Option<Duration>,
    ) -> anyhow::Result<(ureq::http::Response<ureq::Body>, String)> {
        let url = format!("{}/api/v1/{path}", self.base);
        self.usable()?;
        let ask = |token: Option<String>| {
            let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let request = self.agent.get(&url).query_pairs(pairs).config().timeout_global(timeout).build();
            let request = match token {
                Some(token) => request.header("authorization", format!("Bearer {token}")),
                None => request,
            };
            request.call().map_err(|error| self.unreachable(&error))
        };
        let response = ask(None)?;
        // Only an agent that wants one is shown it.
        if response.status() == ureq::http::StatusCode::UNAUTHORIZED
            && let Some(token) = token::read()
        {
            return Ok((ask(Some(token))?, url));
        }
        Ok((response, url))
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        if let ureq::Error::Io(error) = error
            && error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        {
            let text = format!(
                "{} is not trusted ({error}); compare its certificate with --fingerprint SHA256, which the agent tells at \
                 its start, or give --ca FILE",
                self.base
            );
            return ending(Exit::Unreachable, text);
        }
        let text = format!(
            "no agent answers at {} ({error}); start one with `hivewall run`, or name another with --host",
            self.base
        );
        ending(Exit::Unreachable, text)
    }

    /// Sends a command, or a question that has a body; one without has no body either.
    pub(crate) fn post<T: serde_json_de::Answer>(
        &self,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> anyhow::Result<T> {
        let url = format!("{}/api/v1/{path}", self.base);
        self.send(self.agent.post(&url), body, &url)
    }

    /// Takes something away.
    pub(crate) fn delete<T: serde_json_de::Answer>(&self, path: &str, body: serde_json::Value) -> anyhow::Result<T> {
        let url = format!("{}/api/v1/{path}", self.base);
        self.send(self.agent.delete(&url).force_send_body(), Some(body), &url)
    }

    fn send<T: serde_json_de::Answer>(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithBody>,
        body: Option<serde_json::Value>,
        url: &str,
    ) -> anyhow::Result<T> {
        self.usable()?;
        let request = request.config().timeout_global(Some(COMMAND_TIMEOUT)).build();
        let request = match token::read() {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let sent = match body {
            Some(body) => request.send_json(body),
            None => request.send_empty(),
        };
        let mut body = answered(sent.map_err(|error| self.unreachable(&error))?, url)?;
        let text = body.with_config().limit(1 << 30).read_to_string()?;
        T::read(&text)
    }
}

/// The body of a good answer; what is wrong, of any other.
fn answered(response: ureq::http::Response<ureq::Body>, url: &str) -> anyhow::Result<ureq::Body> {
    let status = response.status();
    let mut body = response.into_body();
    if status.is_success() {
        return Ok(body);
    }
    let text = body.read_to_string().unwrap_or_default();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let part = |name: &str| told.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let exit = if status.as_u16() == 400 { Exit::Usage } else { Exit::Failed };
    match part("detail").as_str() {
        "" => Err(ending(exit, format!("{url} answers {status}: {text}"))),
        detail => Err(ending(exit, format!("{detail}; {}", part("hint")))),
    }
}

impl Client {
    /// One answer.
    pub(crate) fn get<T: serde_json_de::Answer>(
        &self,
        path: &str,
        parameters: &[(String, String)],
    ) -> anyhow::Result<T> {
        let mut body = self.request(path, parameters, Some(TIMEOUT))?;
        let text = body.with_config().limit(1 << 30).read_to_string()?;
        T::read(&text)
    }

    /// One answer, or none where the agent has no such thing: it is in no fleet, or older than fleets.
    pub(crate) fn get_where_there_is<T: serde_json_de::Answer>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let (response, url) = self.ask(path, &[], Some(TIMEOUT))?;
        if response.status() == ureq::http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut body = answered(response, &url)?;
        T::read(&body.with_config().limit(1 << 30).read_to_string()?).map(Some)
    }

    /// A file that is given only to who may command.
    pub(crate) fn file(&self, path: &str, parameters: &[(String, String)]) -> anyhow::Result<Vec<u8>> {
        let url = format!("{}/api/v1/{path}", self.base);
        let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = self.agent.get(&url).query_pairs(pairs).config().timeout_global(Some(TIMEOUT)).build();
        let request = match token::read() {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let mut body = answered(request.call().map_err(|error| self.unreachable(&error))?, &url)?;
        Ok(body.with_config().limit(1 << 30).read_to_vec()?)
    }

    /// An answer that goes on.
    pub(crate) fn stream(
        &self,
        path: &str,
        parameters: &[(String, String)],
    ) -> anyhow::Result<BufReader<impl Read + use<>>> {
        Ok(BufReader::new(self.request(path, parameters, None)?.into_reader()))
    }
}

/// What the API answers with.
pub(crate) mod serde_json_de {
    use anyhow::Context as _;
    use hivewall_view::access::{CodeIssued, TokenIssued, UserOutcome, UserPage};
    use hivewall_view::alerts::{AlertOutcome, AlertPage, DetectorPage, MutePage};
    use hivewall_view::fleet::{
        AuditPage, FleetAlertPage, FleetFlowPage, FleetOutcome, FleetRehearsal, FleetRulesPage, FleetSnapshotPage,
        FleetView, InvitationIssued, InvitationPage, MemberPage, RolloutPage,
    };
    use hivewall_view::policy::{Explanation, PolicyOutcome, Rehearsal};
    use hivewall_view::{FlowPage, SeriesPage, Snapshot, TopPage};

    /// A document of the API.
    pub(crate) trait Answer: Sized {
        /// From its JSON.
        fn read(text: &str) -> anyhow::Result<Self>;
    }

    impl Answer for Snapshot {
        fn read(text: &str) -> anyhow::Result<Self> {
            serde_json::from_str(text).context("the agent's snapshot cannot be read; is it another version?")
        }
    }

    impl Answer for Explanation {
        fn read(text: &str) -> anyhow::Result<Self> {
            serde_json::from_str(text).context("the agent's explanation cannot be read; is it another version?")
        }
    }

    impl Answer for Rehearsal {
        fn read(text: &str) -> anyhow::Result<Self> {
            serde_json::from_str(text).context("the agent's rehearsal cannot be read; is it another version?")
        }
    }

    impl Answer for PolicyOutcome {
        fn read(text: &str) -> anyhow::Result<Self> {
            serde_json::from_str(text).context("the agent's answer cannot be read; is it another version?")
        }
    }

    macro_rules! answers {
        ($what:literal: $($name:ident,)*) => {
            $(impl Answer for $name {
                fn read(text: &str) -> anyhow::Result<Self> {
                    let context = concat!("what the agent tells of ", $what, " cannot be read; is it another version?");
                    serde_json::from_str(text).context(context)
                }
            })*
        };
    }

    answers! { "its history": SeriesPage, TopPage, }
    answers! { "its users": CodeIssued, TokenIssued, UserOutcome, UserPage, }
    answers! { "alerts": AlertOutcome, AlertPage, DetectorPage, MutePage, }

    answers! {
        "its fleet": AuditPage, FleetAlertPage, FleetFlowPage, FleetOutcome, FleetRehearsal, FleetRulesPage, FleetSnapshotPage, FleetView,
        InvitationIssued, InvitationPage, MemberPage, RolloutPage,
    }

    impl Answer for FlowPage {
        fn read(text: &str) -> anyhow::Result<Self> {
            serde_json::from_str(text).context("the agent's flows cannot be read; is it another version?")
        }
    }
}

impl Agent for Client {
    fn name(&self) -> String {
        self.base.trim_start_matches("http://").to_owned()
    }

    fn snapshot(&mut self) -> Result<Snapshot, String> {
        self.get("snapshot", &[]).map_err(|error| format!("{error:#}"))
    }

    fn flows(&mut self, question: &FlowQuestion) -> Result<FlowPage, String> {
        let sort = Sort::ALL.iter().find(|(sort, _)| *sort == question.sort).map_or("bytes", |(_, name)| name);
        let mut parameters =
            vec![("sort".to_owned(), sort.to_owned()), ("limit".to_owned(), question.limit.to_string())];
        if !question.filter.is_empty() {
            parameters.push(("filter".to_owned(), question.filter.clone()));
        }
        if question.history {
            parameters.push(("history".to_owned(), "true".to_owned()));
        }
        self.get("flows", &parameters).map_err(|error| format!("{error:#}"))
    }

    fn fleet(&mut self) -> Result<Option<FleetView>, String> {
        self.get_where_there_is("fleet").map_err(|error| format!("{error:#}"))
    }

    fn policy(&mut self, action: &PolicyAction) -> Result<PolicyReply, String> {
        let told = match action {
            PolicyAction::Explain(request) => self
                .post("policy/explain", Some(serde_json::json!(request)))
                .map(|explanation| PolicyReply::Explained(Box::new(explanation))),
            PolicyAction::Ban(request) => self.post("bans", Some(serde_json::json!(request))).map(PolicyReply::Done),
            PolicyAction::Unban(request) => self.delete("bans", serde_json::json!(request)).map(PolicyReply::Done),
            // A connection that was there before the change proves nothing.
            PolicyAction::Confirm => self.again().post("policy/confirm", None).map(PolicyReply::Done),
            PolicyAction::Rollback => self.post("policy/rollback", None).map(PolicyReply::Done),
            PolicyAction::Acknowledge { id } => self
                .post("alerts/acknowledge", Some(serde_json::json!({ "id": id })))
                .map(|outcome: AlertOutcome| PolicyReply::Told(outcome.message)),
            PolicyAction::Undo { id } => self
                .post("alerts/undo", Some(serde_json::json!({ "id": id })))
                .map(|outcome: AlertOutcome| PolicyReply::Told(outcome.message)),
        };
        told.map_err(|error| format!("{error:#}"))
    }
}
