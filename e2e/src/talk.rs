//! What the tests of policies are made of: two documents, and conversations that a policy lets through or not.
//!
//! Invariant: a connection that is not answered is given up after [`SHORT`].

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use hivewall_testkit::netns::Host;

/// How long a connection that is not answered is waited for.
pub const SHORT: Duration = Duration::from_millis(700);

/// Lets nothing in but one port; what the host opens itself is answered.
pub const WEB_ONLY: &str = "tiers:
- name: main
  default: {in: drop, out: accept}
  rules:
  - {id: web, dir: in, proto: tcp, dport: 8080, action: accept}
";

/// Lets nothing in and nothing out.
pub const NOTHING: &str = "tiers:
- name: main
  default: {in: drop, out: drop}
  rules: []
";

/// Writes a document into a directory and gives its path.
pub fn document(directory: &Path, version: u32, body: &str) -> String {
    let path = directory.join(format!("policy-{version}.yaml"));
    std::fs::write(&path, format!("kind: Policy\nmetadata: {{name: test, version: {version}}}\n{body}")).unwrap();
    path.display().to_string()
}

/// Echoes what it is sent, on a port of `host`, until the test ends.
pub fn echo(host: &Host, port: u16) {
    let listener = host.enter(|| TcpListener::bind(("::", port))).unwrap().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            std::thread::spawn(move || {
                let mut bytes = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Connects from `host`.
pub fn connect(host: &Host, to: &str) -> std::io::Result<TcpStream> {
    let to: SocketAddr = to.parse().unwrap();
    let stream = host.enter(|| TcpStream::connect_timeout(&to, SHORT)).unwrap()?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

/// Sends a word and reads it back.
#[track_caller]
pub fn says(stream: &mut TcpStream, word: &[u8]) -> std::io::Result<()> {
    stream.write_all(word)?;
    let mut back = [0; 4];
    stream.read_exact(&mut back)?;
    assert_eq!(&back, word);
    Ok(())
}
