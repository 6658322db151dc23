//! One request to a listener on loopback that answers what it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use super::*;

/// Takes one request and gives one answer; what it got comes back with `join`.
fn once(answer: &'static str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let from = head.len();
            assert!(reader.read_line(&mut head).unwrap() > 0);
            if let Some(value) = head[from..].to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
        head + &String::from_utf8(body).unwrap()
    });
    (format!("http://{address}/in"), thread)
}

fn options() -> HttpOptions {
    HttpOptions { timeout: Duration::from_secs(10), ca_file: None, credentials: None }
}

fn ask(answer: &'static str) -> Result<(), Failure> {
    let (url, thread) = once(answer);
    let result = Client::new(&url, &options()).unwrap().post("text/plain", &[("x-one", "1")], b"hello");
    let request = thread.join().unwrap();
    assert!(request.starts_with("POST /in HTTP/1.1\r\n") && request.ends_with("\r\n\r\nhello"), "{request}");
    assert!(request.to_lowercase().contains("\r\nx-one: 1\r\n"), "{request}");
    result.unwrap().judge()
}

#[test]
fn answers_mean_what_the_protocol_says() {
    assert_eq!(ask("HTTP/1.1 204 No Content\r\n\r\n"), Ok(()));
    let busy = ask("HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nslow").unwrap_err();
    assert_eq!((busy.reason, busy.is_final, busy.retry_after), (Reason::Busy, false, Some(Duration::from_secs(7))));
    assert_eq!(busy.text, "answered 429: slow");
    let faulty = ask("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").unwrap_err();
    assert_eq!((faulty.reason, faulty.is_final, faulty.text.as_str()), (Reason::Faulty, false, "answered 502"));
    let refused = ask("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap_err();
    assert_eq!((refused.reason, refused.is_final), (Reason::Refused, true));
    let unauthorized = ask("HTTP/1.1 401 Who\r\ncontent-length: 0\r\n\r\n").unwrap_err();
    assert_eq!((unauthorized.reason, unauthorized.is_final), (Reason::Unauthorized, true));
}

#[test]
fn a_redirect_is_not_followed() {
    // The place it points to is the same listener, which would not answer a second time.
    let moved = ask("HTTP/1.1 307 Moved\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n").unwrap_err();
    assert_eq!((moved.reason, moved.is_final), (Reason::Redirected, true));
}

#[test]
fn nobody_there_and_no_answer_can_heal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let quick = HttpOptions { timeout: Duration::from_millis(50), ..options() };
    let silent = Client::new(&url, &quick).unwrap().post("text/plain", &[], b"").unwrap_err();
    assert_eq!((silent.reason, silent.is_final), (Reason::Timeout, false), "{silent}");
    drop(listener);
    let gone = Client::new(&url, &options()).unwrap().post("text/plain", &[], b"").unwrap_err();
    assert_eq!((gone.reason, gone.is_final), (Reason::Unreachable, false), "{gone}");
}

#[test]
fn credentials_are_sent_and_never_in_the_clear_to_others() {
    let (url, thread) = once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let secret = || Secret::from_line("open sesame".to_owned());
    let basic = HttpOptions { credentials: Some(Credentials::Basic("Aladdin".to_owned(), secret())), ..options() };
    Client::new(&url, &basic).unwrap().post("text/plain", &[], b"").unwrap();
    // The example of RFC 7617, section 2.
    assert!(thread.join().unwrap().contains("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    let bearer = HttpOptions { credentials: Some(Credentials::Bearer(secret())), ..options() };
    let error = Client::new("http://192.0.2.1/", &bearer).unwrap_err().to_string();
    assert!(error.contains("use https://"), "{error}");
}

#[test]
fn addresses_that_are_none_are_refused() {
    for url in ["ftp://host/", "host", "http://", "", "https:///path"] {
        assert!(matches!(Client::new(url, &options()), Err(ClientError::Url { .. })), "{url}");
    }
}

#[test]
fn a_file_without_certificates_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no certificate").unwrap();
    let with = HttpOptions { ca_file: Some(file.path().to_path_buf()), ..options() };
    let error = Client::new("https://localhost/", &with).unwrap_err().to_string();
    assert!(error.contains("no certificate in it") && error.contains("PEM"), "{error}");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let of = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        retry_after(&headers, now).map(|wait| wait.as_secs())
    };
    assert_eq!(of("120"), Some(120));
    // The date of RFC 9110, section 5.6.7, is `now`.
    assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
    assert_eq!(of("Sun, 06 Nov 1994 08:48:37 GMT"), Some(0));
    assert_eq!(of("soon"), None);
}
