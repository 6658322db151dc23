//! An agent that other hosts reach: TLS on its wire, users of the command line, roles, the trail, and a code that opens the
//! page once. The clients are the product's own, on another host.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hivewall_e2e::network::Pair;
use hivewall_e2e::tool::{self, Said};
use hivewall_e2e::{binary, until};
use hivewall_testkit::netns::Host;
use hivewall_testkit::require_root;
use serde_json::{Value, json};
use tempfile::TempDir;

const ADDRESS: &str = "10.0.0.1:7733";
const PASSWORD: &str = "correct horse battery";

/// An agent on the wire of `a`; it ends with its value.
struct Reached {
    child: Child,
    directory: TempDir,
    fingerprint: String,
}

impl Drop for Reached {
    fn drop(&mut self) {
        // Fails when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reached {
    fn start(host: &Host) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let messages = directory.path().join("messages");
        let access = directory.path().join("access").display().to_string();
        let policy = directory.path().join("policy").display().to_string();
        let mut command = host.command(binary::path());
        command.args(["run", "--api-listen", ADDRESS, "--api-directory", &access, "--policy-state", &policy]);
        command.args(["--history-directory", "", "--fleet-directory", "", "--alerts-directory", ""]);
        command.args(["--export-directory", "", "--policy-pins", "", "--api-allowed-host", "web-1.example"]);
        command.env("HIVEWALL_TOKEN_FILE", directory.path().join("token"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&messages).unwrap());
        let child = command.spawn().unwrap();
        let mut reached = Self { child, directory, fingerprint: String::new() };
        reached.fingerprint = until("the agent's API", || {
            let text = fs::read_to_string(&messages).unwrap_or_default();
            if let Ok(Some(status)) = reached.child.try_wait() {
                panic!("the agent ended with {status}: {text}");
            }
            let told = text.split("SHA-256 of its certificate: ").nth(1).and_then(|rest| rest.get(..64));
            let told = told.filter(|_| text.contains("the API is at https://10.0.0.1:7733/"));
            told.map(str::to_owned).ok_or(text)
        });
        reached
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The product's own command on that host, with that token and these words more.
    fn command(&self, host: &Host, token: &Path, args: &[&str]) -> Command {
        let mut command = host.command(binary::path());
        command.args(args).args(["--host", &format!("https://{ADDRESS}"), "--fingerprint", &self.fingerprint]);
        command.env("HIVEWALL_TOKEN_FILE", token);
        command
    }

    fn tell(&self, host: &Host, token: &Path, args: &[&str]) -> Said {
        tool::run(self.command(host, token, args))
    }

    /// The same with a line of input.
    fn tell_with(&self, host: &Host, token: &Path, args: &[&str], line: &str) -> String {
        let mut child = self.command(host, token, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
        let said = child.wait_with_output().unwrap();
        assert!(said.status.success(), "{args:?}");
        String::from_utf8(said.stdout).unwrap()
    }

    /// A file with the token of a new user, which only its owner can read.
    fn user(&self, host: &Host, name: &str, role: &str) -> PathBuf {
        let token = self.path("token");
        let added = self.tell_with(host, &token, &["user", "add", name, "--role", role], PASSWORD);
        assert_eq!(added, format!("user {name} is added with the role {role}\n"));
        let issued = self.tell(host, &token, &["user", "token", name, "--label", "test"]).fine();
        let file = self.path(name);
        let mut open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).unwrap();
        open.write_all(issued.as_bytes()).unwrap();
        file
    }

    /// One request by `curl`, which trusts the agent's own certificate: status code, and what came.
    fn curl(&self, host: &Host, method: &str, path: &str, more: &[&str]) -> (u16, Value) {
        let mut command = host.command("curl");
        let certificate = self.path("access/tls-cert.pem").display().to_string();
        command.args(["--silent", "--show-error", "--cacert", &certificate, "--request", method, "--max-time", "20"]);
        command.args(["--write-out", "\n%{http_code}"]).args(more).arg(format!("https://{ADDRESS}{path}"));
        let text = tool::run(command).fine();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_else(|_| Value::from(body)))
    }

    fn log_in(&self, host: &Host, body: &Value, jar: &str) -> (u16, Value) {
        let body = body.to_string();
        let more = ["--header", "content-type: application/json", "--cookie-jar", jar, "--data", &body];
        self.curl(host, "POST", "/api/v1/session", &more)
    }
}

#[test]
fn users_of_other_hosts_do_what_their_role_lets_them_over_tls_and_the_trail_has_it() {
    require_root!();
    let pair = Pair::new("access-roles");
    let agent = Reached::start(&pair.a);
    let host = agent.path("token");
    let (viewer, operator) = (agent.user(&pair.a, "vic", "viewer"), agent.user(&pair.a, "opal", "operator"));
    let nobody = agent.path("nobody");
    agent.tell(&pair.b, &nobody, &["snapshot"]).refused(1, &["login"]);
    assert!(agent.tell(&pair.b, &viewer, &["snapshot"]).fine().contains("\"capture\""));
    let ban = ["policy", "ban", "192.0.2.7"];
    agent.tell(&pair.b, &viewer, &ban).refused(1, &["needs the role operator", "vic has the role viewer"]);
    agent.tell(&pair.b, &operator, &ban).fine();
    let jar = agent.path("jar").display().to_string();
    let (status, session) = agent.log_in(&pair.b, &json!({ "user": "vic", "password": PASSWORD }), &jar);
    assert_eq!((status, &session["role"], &session["tls"]), (200, &json!("viewer"), &json!(true)));
    let cookie = fs::read_to_string(&jar).unwrap();
    assert!(cookie.contains("#HttpOnly_10.0.0.1") && cookie.contains("__Host-hivewall-7733"), "{cookie}");
    assert_eq!(agent.curl(&pair.b, "GET", "/api/v1/snapshot", &["--cookie", &jar]).0, 200);
    assert_eq!(agent.curl(&pair.b, "GET", "/api/v1/snapshot", &[]).0, 401);
    let trail = fs::read_to_string(agent.path("access/audit.jsonl")).unwrap();
    let entries: Vec<Value> = trail.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |user: &str, path: &str, status: u64| {
        let found =
            entries.iter().find(|entry| entry["user"] == user && entry["path"] == path && entry["status"] == status);
        found.unwrap_or_else(|| panic!("{user} {path} {status}: {trail}"))
    };
    assert_eq!(of("vic", "/api/v1/bans", 403)["peer"], "10.0.0.2");
    assert_eq!(of("opal", "/api/v1/bans", 200)["detail"], "ban 192.0.2.7/32 until lifted: ");
    of("vic", "/api/v1/session", 200);
    of("root (host)", "/api/v1/users", 200);
    assert!(!trail.contains(PASSWORD));
    let mode = |name: &str| fs::metadata(agent.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("access/users.json"), mode("access/tls-key.pem"), mode("access/audit.jsonl")),
        (0o600, 0o600, 0o600)
    );
    agent.tell(&pair.a, &host, &["user", "remove", "vic"]).fine();
    agent.tell(&pair.b, &viewer, &["snapshot"]).refused(1, &["token"]);
    assert_eq!(agent.curl(&pair.b, "GET", "/api/v1/snapshot", &["--cookie", &jar]).0, 401, "the session has ended");
}

#[test]
fn a_code_of_the_host_opens_the_page_once() {
    require_root!();
    let pair = Pair::new("access-code");
    let agent = Reached::start(&pair.a);
    let url = agent.tell(&pair.a, &agent.path("token"), &["login"]).fine();
    let code = url.trim().strip_prefix(&format!("https://{ADDRESS}/#login=")).unwrap_or_else(|| panic!("{url}"));
    let jar = agent.path("jar").display().to_string();
    let (status, session) = agent.log_in(&pair.b, &json!({ "code": code }), &jar);
    assert_eq!((status, &session["user"], &session["role"]), (200, &json!("root (host)"), &json!("admin")));
    assert_eq!(agent.log_in(&pair.b, &json!({ "code": code }), &jar).0, 401);
}

#[test]
fn what_is_not_trusted_not_tls_or_not_finished_is_in_nobodys_way() {
    require_root!();
    let pair = Pair::new("access-tls");
    let agent = Reached::start(&pair.a);
    let token = agent.path("token");
    let mut wrong = pair.b.command(binary::path());
    wrong.args(["snapshot", "--host", &format!("https://{ADDRESS}"), "--fingerprint", &"0".repeat(64)]);
    let said = tool::run(wrong);
    assert!(said.code != Some(0) && said.err.contains("is not trusted"), "{said:#?}");
    let mut plain = pair.b.command("curl");
    plain.args(["--silent", "--max-time", "20", "--write-out", "%{http_code}", &format!("http://{ADDRESS}/")]);
    let text = tool::run(plain).fine();
    assert!(text.contains("tls_only") && text.ends_with("400"), "{text}");
    // More than may be under way with one peer, and none of them goes on.
    let address: SocketAddr = ADDRESS.parse().unwrap();
    let open = move || (0..40).filter_map(|_| TcpStream::connect(address).ok()).collect::<Vec<_>>();
    let mut silent = pair.b.enter(open).unwrap();
    let begin = std::time::Instant::now();
    assert!(agent.tell(&pair.a, &token, &["snapshot"]).fine().contains("\"capture\""));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    // They are let go in the end.
    let first = &mut silent[0];
    first.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(first.read(&mut [0; 16]).unwrap_or(0), 0);
    let named = ["--header", "host: web-1.example", "--header"];
    let bearer = format!("authorization: Bearer {}", fs::read_to_string(&token).unwrap().trim());
    let ask = |more: &[&str]| agent.curl(&pair.b, "GET", "/api/v1/health", more).0;
    assert_eq!(ask(&[&named[..], &[&bearer]].concat()), 200);
    assert_eq!(ask(&["--header", "host: evil.example", "--header", &bearer]), 421);
}
