//! A real server on a loopback socket over a fake engine, and the clients that the tests use. Deliberately not here:
//! any expectation. Invariant: nothing waits for a time to pass; whoever waits, waits for bytes.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared by test binaries that each use a part"
)]

pub mod data;
pub mod guarded;
pub mod policies;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hivewall_api::{
    Access, AlertCommand, AlertFile, AlertRefusal, BoxFuture, Caller, ExportPieces, FleetCommand, FleetRefusal,
    HistoryRefusal, Invite, PageOf, PolicyCommand, PolicyRefusal, Source, SourceGone,
};
use hivewall_model::Timestamp;
use hivewall_view::alerts::{AlertOutcome, AlertPage, AlertQuery, ChannelTest, DetectorPage, MutePage};
use hivewall_view::editing::{PolicyCheck, PolicyDifferences, PolicyStatement};
use hivewall_view::fleet::{
    AuditPage, FleetAlertPage, FleetFlowPage, FleetOutcome, FleetRehearsal, FleetRulesPage, FleetSnapshotPage,
    FleetView, InvitationIssued, InvitationPage, MemberPage, example_answer, example_fleet, example_invitation,
    merge_alerts, merge_flows, merge_rehearsals, merge_rules,
};
use hivewall_view::policy::{ExplainRequest, Explanation, PolicyOutcome, Rehearsal, RehearseRequest};
use hivewall_view::query::ExportFormat;
use hivewall_view::time::rfc3339;
use hivewall_view::{
    AnsweredFrom, FlowPage, FlowRow, Query, SeriesPage, SeriesPoint, SeriesQuery, Snapshot, Sort, TopPage, TopQuery,
    TopRow,
};
use serde_json::Value;
use tokio::sync::{broadcast, oneshot};

/// The token of [`Server::start`].
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An engine of fixed data that tests can change.
pub struct Fake {
    pub snapshot: Mutex<Arc<Snapshot>>,
    pub now: Mutex<Timestamp>,
    pub gone: AtomicBool,
    /// What history answers instead of an answer.
    pub history: Mutex<Option<HistoryRefusal>>,
    /// What questions about the policy, and commands, are answered with instead of an answer.
    pub policy: Mutex<Option<PolicyRefusal>>,
    /// The fleet that it is in.
    pub fleet: Mutex<Option<Arc<FleetView>>>,
    /// What questions about the fleet, and commands, are answered with instead of an answer.
    pub fleet_refusal: Mutex<Option<FleetRefusal>>,
    /// What questions about alerts, and commands, are answered with instead of an answer.
    pub alert_refusal: Mutex<Option<AlertRefusal>>,
    /// The questions it was asked, as they are written for debugging.
    pub asked: Mutex<Vec<String>>,
    flows: Vec<FlowRow>,
    closed: broadcast::Sender<Arc<FlowRow>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            snapshot: Mutex::new(Arc::new(data::snapshot())),
            now: Mutex::new(data::NOW),
            gone: AtomicBool::new(false),
            history: Mutex::new(None),
            policy: Mutex::new(None),
            fleet: Mutex::new(Some(Arc::new(example_fleet()))),
            fleet_refusal: Mutex::new(None),
            alert_refusal: Mutex::new(None),
            asked: Mutex::default(),
            flows: data::flows(),
            closed: broadcast::channel(4).0,
        }
    }
}

impl Fake {
    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(Arc::make_mut(&mut self.snapshot.lock().unwrap()));
    }

    /// Closes each flow in one go: more than four at once overtake every subscriber.
    pub fn close(&self, flows: impl IntoIterator<Item = FlowRow>) {
        for flow in flows {
            self.closed.send(Arc::new(flow)).unwrap();
        }
    }
}

impl Source for Fake {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap())
    }

    fn flows(&self, query: Query) -> BoxFuture<'static, Result<FlowPage, HistoryRefusal>> {
        let answer =
            if self.gone.load(Ordering::SeqCst) { Err(SourceGone.into()) } else { Ok(page(&self.flows, &query)) };
        self.asked.lock().unwrap().push(format!("history {}", query.history));
        Box::pin(std::future::ready(answer))
    }

    fn top(&self, query: TopQuery) -> BoxFuture<'static, Result<TopPage, HistoryRefusal>> {
        let times = [query.from, query.to].map(|time| time.map_or(String::new(), rfc3339));
        let asked = format!("{} {:?} {} `{}`", query.by.name(), times, query.limit, query.filter);
        self.asked.lock().unwrap().push(asked);
        let row = TopRow { key: "10.0.0.1".to_owned(), bytes: 900, packets: 9, flows: 1 };
        self.answer(TopPage {
            time: rfc3339(data::NOW),
            by: query.by,
            rows: vec![row],
            source: AnsweredFrom::Rollup,
            reaches_back_to: Some(rfc3339(Timestamp::from_secs(1_699_999_000))),
        })
    }

    fn export(&self, query: Query, format: ExportFormat) -> BoxFuture<'static, Result<ExportPieces, HistoryRefusal>> {
        self.asked.lock().unwrap().push(format!("{} `{}`", format.name(), query.filter));
        let (pieces, taker) = tokio::sync::mpsc::channel(2);
        pieces.try_send(Ok(b"first ".to_vec())).unwrap();
        pieces.try_send(Ok(b"second".to_vec())).unwrap();
        self.answer(taker)
    }

    fn series(&self, query: SeriesQuery) -> BoxFuture<'static, Result<SeriesPage, HistoryRefusal>> {
        let times = [query.from, query.to].map(|time| time.map_or(String::new(), rfc3339));
        self.asked.lock().unwrap().push(format!("{:?} {times:?} `{}`", query.step, query.filter));
        let point = SeriesPoint { time: rfc3339(data::NOW), bytes: 900, packets: 9, flows: 1 };
        self.answer(SeriesPage {
            time: rfc3339(data::NOW),
            step_seconds: 60.0,
            points: vec![point],
            source: AnsweredFrom::Flows,
            reaches_back_to: Some(rfc3339(Timestamp::from_secs(1_699_999_000))),
        })
    }

    fn policy_document(&self) -> BoxFuture<'static, Result<Option<String>, PolicyRefusal>> {
        self.say(Some("kind: Policy\n".to_owned()))
    }

    fn policy_schema(&self) -> Option<Value> {
        self.policy.lock().unwrap().is_none().then(|| serde_json::json!({"type": "object"}))
    }

    fn policy_check(&self, _: String) -> BoxFuture<'static, Result<PolicyCheck, PolicyRefusal>> {
        self.say(policies::check())
    }

    fn policy_diff(&self, _: String) -> BoxFuture<'static, Result<PolicyDifferences, PolicyRefusal>> {
        self.say(policies::differences())
    }

    fn policy_statement(&self, _: String) -> BoxFuture<'static, Result<PolicyStatement, PolicyRefusal>> {
        self.say(policies::statement())
    }

    fn explain(&self, request: ExplainRequest) -> BoxFuture<'static, Result<Explanation, PolicyRefusal>> {
        self.asked.lock().unwrap().push(format!("{request:?}"));
        self.say(policies::explanation())
    }

    fn rehearse(&self, request: RehearseRequest) -> BoxFuture<'static, Result<Rehearsal, PolicyRefusal>> {
        self.asked.lock().unwrap().push(format!("{request:?}"));
        self.say(policies::rehearsal())
    }

    fn inventory(&self) -> BoxFuture<'static, Result<Value, PolicyRefusal>> {
        self.say(serde_json::json!({ "tables": [] }))
    }

    fn command(
        &self,
        command: PolicyCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<PolicyOutcome, PolicyRefusal>> {
        assert!(caller.peer.ip().is_loopback() && caller.connected.elapsed() < Duration::from_mins(1));
        self.asked.lock().unwrap().push(format!("{command:?}"));
        self.say(policies::outcome())
    }

    fn fleet(&self) -> Option<Arc<FleetView>> {
        self.fleet.lock().unwrap().clone()
    }

    fn fleet_members(&self, page: PageOf) -> BoxFuture<'static, Result<MemberPage, FleetRefusal>> {
        let FleetView { time, states, members, .. } = example_fleet();
        let next = page.offset + page.limit;
        let next_offset = (next < members.len()).then_some(next as u64);
        let members = members.into_iter().skip(page.offset).take(page.limit).collect();
        self.tell(MemberPage { time, states, members, next_offset })
    }

    fn fleet_flows(&self, query: Query) -> BoxFuture<'static, Result<FleetFlowPage, FleetRefusal>> {
        let pages = [("aa", "web-1"), ("bb", "web-2")].map(|(id, name)| {
            let page = page(&self.flows, &hivewall_view::fleet::of_each_host(&query));
            (id.to_owned(), name.to_owned(), page)
        });
        self.tell(merge_flows(&query, rfc3339(data::NOW), example_answer(), pages))
    }

    fn fleet_snapshot(&self) -> BoxFuture<'static, Result<FleetSnapshotPage, FleetRefusal>> {
        let hosts = vec![data::digest()];
        self.tell(FleetSnapshotPage { time: rfc3339(data::NOW), answer: example_answer(), hosts })
    }

    fn fleet_rules(&self) -> BoxFuture<'static, Result<FleetRulesPage, FleetRefusal>> {
        let policy = data::snapshot().firewall_rules;
        self.tell(merge_rules(rfc3339(data::NOW), example_answer(), [&policy, &policy]))
    }

    fn fleet_alerts(&self, query: AlertQuery) -> BoxFuture<'static, Result<FleetAlertPage, FleetRefusal>> {
        self.asked.lock().unwrap().push(format!("{query:?}"));
        let page = || AlertPage { time: rfc3339(data::NOW), alerts: vec![data::alert()], matched: 1 };
        let said = ["host-1", "host-2"].map(|host| (format!("{host}-id"), host.to_owned(), page()));
        self.tell(merge_alerts(&query, rfc3339(data::NOW), example_answer(), said))
    }

    fn fleet_rehearse(&self, request: RehearseRequest) -> BoxFuture<'static, Result<FleetRehearsal, FleetRefusal>> {
        self.asked.lock().unwrap().push(format!("{request:?}"));
        let said = ["aa", "bb"].map(|id| (id.to_owned(), format!("web-{id}"), Ok(policies::rehearsal())));
        self.tell(merge_rehearsals(rfc3339(data::NOW), &example_answer(), said.into()))
    }

    fn fleet_audit(&self, page: PageOf) -> BoxFuture<'static, Result<AuditPage, FleetRefusal>> {
        let FleetView { time, audit: entries, audit_total: total, .. } = example_fleet();
        self.tell(AuditPage { time, total, entries, next_offset: Some((page.offset + page.limit) as u64) })
    }

    fn fleet_invitations(&self) -> BoxFuture<'static, Result<InvitationPage, FleetRefusal>> {
        self.tell(InvitationPage { time: rfc3339(data::NOW), invitations: vec![example_invitation()] })
    }

    fn fleet_invite(
        &self,
        invite: Invite,
        caller: Caller,
    ) -> BoxFuture<'static, Result<InvitationIssued, FleetRefusal>> {
        assert!(caller.peer.ip().is_loopback());
        self.asked.lock().unwrap().push(format!("{invite:?}"));
        self.tell(InvitationIssued { line: "hivewall-invitation".to_owned(), invitation: example_invitation() })
    }

    fn fleet_command(
        &self,
        command: FleetCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<FleetOutcome, FleetRefusal>> {
        assert!(caller.peer.ip().is_loopback());
        self.asked.lock().unwrap().push(format!("{command:?}"));
        self.tell(FleetOutcome { done: "done".to_owned(), notes: vec!["the others know it".to_owned()] })
    }

    fn alerts(&self, query: AlertQuery) -> BoxFuture<'static, Result<AlertPage, AlertRefusal>> {
        self.asked.lock().unwrap().push(format!("{query:?}"));
        self.warn(AlertPage { time: rfc3339(data::NOW), alerts: vec![data::alert()], matched: 1 })
    }

    fn alert_capture(&self, id: String) -> BoxFuture<'static, Result<AlertFile, AlertRefusal>> {
        self.asked.lock().unwrap().push(id);
        self.warn(AlertFile { name: "00c0ffee1234.pcapng".to_owned(), bytes: b"blocks".to_vec() })
    }

    fn alert_mutes(&self) -> BoxFuture<'static, Result<MutePage, AlertRefusal>> {
        self.warn(MutePage { mutes: vec![data::mute()] })
    }

    fn detectors(&self) -> BoxFuture<'static, Result<DetectorPage, AlertRefusal>> {
        self.warn(DetectorPage { detectors: vec![data::detector()] })
    }

    fn alert_command(
        &self,
        command: AlertCommand,
        caller: Caller,
    ) -> BoxFuture<'static, Result<AlertOutcome, AlertRefusal>> {
        assert!(caller.peer.ip().is_loopback());
        self.asked.lock().unwrap().push(format!("{command:?}"));
        let test = ChannelTest { channel: "journald:".to_owned(), error: Some("no socket".to_owned()), seconds: 0.5 };
        self.warn(AlertOutcome {
            message: "done".to_owned(),
            alert: Some(data::alert()),
            mute: Some(data::mute()),
            tests: vec![test],
        })
    }

    fn closed_flows(&self) -> broadcast::Receiver<Arc<FlowRow>> {
        self.closed.subscribe()
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }
}

impl Fake {
    fn warn<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, Result<T, AlertRefusal>> {
        let refusal = self.alert_refusal.lock().unwrap().clone();
        Box::pin(std::future::ready(refusal.map_or(Ok(answer), Err)))
    }

    fn tell<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, Result<T, FleetRefusal>> {
        let refusal = self.fleet_refusal.lock().unwrap().clone();
        Box::pin(std::future::ready(refusal.map_or(Ok(answer), Err)))
    }

    fn say<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, Result<T, PolicyRefusal>> {
        let refusal = self.policy.lock().unwrap().clone();
        Box::pin(std::future::ready(refusal.map_or(Ok(answer), Err)))
    }

    fn answer<T: Send + 'static>(&self, answer: T) -> BoxFuture<'static, Result<T, HistoryRefusal>> {
        let refusal = self.history.lock().unwrap().clone();
        Box::pin(std::future::ready(refusal.map_or(Ok(answer), Err)))
    }
}

fn page(flows: &[FlowRow], query: &Query) -> FlowPage {
    let mut rows: Vec<FlowRow> = flows.iter().filter(|row| query.filter.matches_row(row)).cloned().collect();
    rows.sort_by_key(|row| {
        std::cmp::Reverse(match query.sort {
            Sort::Packets => row.packets,
            Sort::Rate => row.bits_per_second as u64,
            _ => row.bytes,
        })
    });
    let matched = rows.len();
    let rows: Vec<FlowRow> = rows.into_iter().skip(query.offset).take(query.limit).collect();
    let next = query.offset + rows.len();
    FlowPage {
        time: rfc3339(data::NOW),
        matched: matched as u64,
        searched: flows.len() as u64,
        flows: rows,
        next_offset: (next < matched).then_some(next as u64),
        reaches_back_to: Some(rfc3339(Timestamp::from_secs(1_699_999_000))),
    }
}

/// A server, stopped when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that takes commands from whoever has [`TOKEN`].
    pub fn start() -> Self {
        Self::start_with(Access::token(TOKEN, "/run/hivewall/token".into()).unwrap())
    }

    pub fn start_with(access: Access) -> Self {
        let fake = Arc::new(Fake::default());
        let source: Arc<dyn Source> = Arc::clone(&fake) as _;
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = hivewall_api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let stopped = async move { drop(stopped.await) };
                hivewall_api::serve(listener, source, access, stopped).await.unwrap();
            });
        });
        Self { address: told.recv().unwrap(), fake, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells it to stop; returns when it has.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Sends a command or a question that has a body.
    pub fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let token = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        self.ask(method, path, &headers, body)
    }

    /// Sends anything with these headers.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let text = body.map(Value::to_string);
        if text.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(text.unwrap_or_default()).unwrap();
        Answer::read(agent.run(agent.configure_request(request).allow_non_standard_methods(true).build()).unwrap())
    }

    pub fn get(&self, path_and_query: &str) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let response = agent.get(format!("http://{}{path_and_query}", self.address)).call().unwrap();
        Answer::read(response)
    }

    /// Sends these very bytes on a connection of its own and reads until the server closes.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        // A test that would hang fails instead; no test needs this long.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Follows flows live; returns once the server has said that it listens.
    pub fn follow(&self, query: &str) -> Events {
        self.follow_as(query, "")
    }

    /// The same with more headers, each with its end of line.
    pub fn follow_as(&self, query: &str, headers: &str) -> Events {
        let mut stream = self.connect();
        write!(stream, "GET /api/v1/flows/live{query} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").unwrap();
        let mut events = Events { lines: BufReader::new(stream), head: String::new() };
        while !events.head.ends_with("\r\n\r\n") {
            assert!(events.lines.read_line(&mut events.head).unwrap() > 0, "{}", events.head);
        }
        if events.head.starts_with("HTTP/1.1 200") {
            let greeting = events.next().unwrap();
            assert_eq!(greeting.name, "", "{greeting:?}");
        }
        events
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Self {
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        Self { status: response.status().as_u16(), headers, body: response.body_mut().read_to_string().unwrap() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub fn media_type(&self) -> &str {
        self.header("content-type").split(';').next().unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The word for programs in an error.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// A stream of server-sent events.
pub struct Events {
    lines: BufReader<TcpStream>,
    pub head: String,
}

#[derive(Debug, Default)]
pub struct SentEvent {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl SentEvent {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

impl Iterator for Events {
    type Item = SentEvent;

    /// The next event, or `None` at the end of the stream. Chunk sizes stand on lines of their own and are no fields.
    fn next(&mut self) -> Option<SentEvent> {
        let mut event = SentEvent::default();
        let mut begun = false;
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event.name);
            } else if let Some(id) = line.strip_prefix("id: ") {
                id.clone_into(&mut event.id);
            } else if let Some(data) = line.strip_prefix("data: ") {
                data.clone_into(&mut event.data);
            } else if line.is_empty() && begun {
                return Some(event);
            } else if !line.starts_with("retry: ") && !line.starts_with(':') {
                continue;
            }
            begun = true;
        }
    }
}
