//! E-mail to Debian's aiosmtpd: STARTTLS with a login, TLS from the start, refusals.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use common::{Certificate, alert, certificate, secret, start, until};
use hivewall_notify::Change;
use hivewall_view::alerts::Severity;
use serde_json::Value;

/// Prints its port, and then every mail as a line of JSON. Arguments: starttls, tls or refuse; certificate; key.
const SERVER: &str = r#"
import asyncio, email, email.policy, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
mode, cert, key = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(cert, key)
def check(server, session, envelope, mechanism, login):
    right = login.login == b'hivewall' and login.password == b'it is a secret'
    # Not handled: the server itself answers a login that is wrong.
    return AuthResult(success=right, handled=False)
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if mode == 'refuse':
            return '550 no such mailbox'
        envelope.rcpt_tos.append(address)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(json.dumps({
            'from': envelope.mail_from, 'to': envelope.rcpt_tos, 'tls': session.ssl is not None or mode == 'tls',
            'login': bool(session.authenticated), 'subject': mail['subject'], 'auto': mail['auto-submitted'],
            'id': mail['message-id'], 'text': mail.get_body(('plain',)).get_content(),
            'html': mail.get_body(('html',)).get_content(),
        }), flush=True)
        return '250 taken'
def smtp():
    if mode == 'starttls':
        return SMTP(Handler(), tls_context=context, require_starttls=True, auth_required=True, authenticator=check)
    return SMTP(Handler())
async def main():
    server = await asyncio.get_running_loop().create_server(smtp, 'localhost', 0, family=2, ssl=context if mode == 'tls' else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

struct Server {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(mode: &str, certificate: &Certificate) -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", SERVER, mode])
            .args([&certificate.file, &certificate.key_file])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 and python3-aiosmtpd are installed by scripts/setup.sh test");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Self { port: port.trim().parse().expect("python3-aiosmtpd is installed"), child, lines }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[test]
fn a_mail_with_login_over_starttls_says_how_bad_and_where() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = certificate(directory.path());
    let mut server = Server::start("starttls", &certificate);
    let password = secret(directory.path(), "password", "it is a secret\n");
    let line = format!(
        "smtp+starttls://hivewall@localhost:{}?from=Hivewall <hivewall@example.org>&to=ops+alerts@example.org,boss@example.org\
         &password_file={password}&ca_file={}&group_wait=0s",
        server.port,
        certificate.file.display()
    );
    let notifier = start(&[&line], None);
    let mut evil = alert("1", Severity::High);
    evil.title = "Port scan\r\nBcc: everybody@example.org".to_owned();
    evil.message = "<script>alert(1)</script>".to_owned();
    notifier.tell(&evil, Change::Raised);
    let mail = server.next();
    assert_eq!((&mail["tls"], &mail["login"]), (&true.into(), &true.into()));
    assert_eq!(mail["to"], serde_json::json!(["ops+alerts@example.org", "boss@example.org"]));
    assert_eq!(
        mail["subject"], "[hivewall] HIGH on web1: Port scan  Bcc: everybody@example.org",
        "one line, whatever it says"
    );
    assert_eq!(mail["auto"], "auto-generated");
    let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
    assert!(text.contains("source: 198.51.100.7") && text.contains("technique: T1046"), "{text}");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script>"), "{html}");
    until(&notifier, 0, |counters| counters.delivered == 1);
}

#[test]
fn tls_from_the_start_and_a_server_that_is_not_who_it_should_be() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = certificate(directory.path());
    let mut server = Server::start("tls", &certificate);
    let line = |host: &str| {
        let (port, file) = (server.port, certificate.file.display());
        format!("smtp+tls://{host}:{port}?from=a@example.org&to=b@example.org&ca_file={file}&group_wait=0s&retry=1ms")
    };
    let (right, wrong) = (line("localhost"), line("127.0.0.1"));
    let notifier = start(&[&right], None);
    notifier.tell(&alert("1", Severity::High), Change::Ended);
    let mail = server.next();
    assert_eq!((&mail["tls"], &mail["subject"]), (&true.into(), &"[hivewall] HIGH on web1: Port scan (ended)".into()));
    let notifier = start(&[&wrong], None);
    notifier.tell(&alert("2", Severity::High), Change::Raised);
    let counters = until(&notifier, 0, |counters| counters.retried.values().sum::<u64>() > 0);
    assert!(counters.last_error.unwrap().1.to_lowercase().contains("certificate"));
    assert_eq!(counters.delivered, 0);
}

#[test]
fn a_mailbox_that_is_not_there_is_given_up_and_a_login_that_is_wrong_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = certificate(directory.path());
    let refusing = Server::start("refuse", &certificate);
    let line = format!("smtp+none://localhost:{}?from=a@example.org&to=b@example.org&group_wait=0s", refusing.port);
    let notifier = start(&[&line], None);
    notifier.tell(&alert("1", Severity::High), Change::Raised);
    let counters = until(&notifier, 0, |counters| counters.failed.contains_key("refused"));
    assert!(counters.last_error.unwrap().1.contains("no such mailbox"));

    let server = Server::start("starttls", &certificate);
    let password = secret(directory.path(), "password", "guessed");
    let (port, file) = (server.port, certificate.file.display());
    let line = format!(
        "smtp+starttls://hivewall@localhost:{port}?from=a@example.org&to=b@example.org&ca_file={file}&password_file={password}"
    );
    let results = start(&[&line], None).test(None);
    assert!(results[0].1.as_ref().unwrap_err().contains("535"), "{results:?}");
}
