//! Pages over HTTP/1.1: clients that ask a small server for pages of several sizes, a few on each connection, and now
//! and then for one that is not there.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::listen::{self, Ending, PATIENCE};
use crate::pace::Pace;
use crate::{Done, Limits, Plan, TrafficError};

/// Where a newcomer looks for a web server.
const PORTS: [u16; 2] = [8080, 8000];
/// Pages asked for in one second.
const PAGES_PER_SECOND: u64 = 20;
/// Pages on one connection.
const PAGES_PER_CONNECTION: u64 = 4;
/// Bytes of the pages, in turn.
const SIZES: [usize; 5] = [600, 4_000, 25_000, 1_500, 120_000];
/// Hosts asked for, in turn (RFC 2606 names).
const HOSTS: [&str; 3] = ["www.example.com", "shop.example.org", "api.example.net"];
/// Longest head of a request or response.
const HEAD_BYTES_MAX: usize = 4096;
/// Every so many pages one is asked for that is not there.
const MISSING_EVERY: u64 = 9;

pub(crate) fn run(plan: &Plan, limits: Limits<'_>) -> Result<Done, TrafficError> {
    let (listener, address) = listen::tcp("pages", plan.options().target, &PORTS)?;
    let ending = Ending::default();
    let mut done = Done::default();
    thread::scope(|scope| {
        scope.spawn(|| listen::serve(&listener, &ending, |stream| drop(answer(stream))));
        let mut pace = Pace::new(PAGES_PER_SECOND);
        while done.tried < plan.options().pages && !limits.over() {
            // A connection that fails costs its pages and nothing else.
            let most = PAGES_PER_CONNECTION.min(plan.options().pages - done.tried);
            if visit(address, most, &mut pace, limits, &mut done).is_err() {
                done.tried += 1;
            }
        }
        ending.end();
    });
    Ok(done)
}

/// One connection's pages.
fn visit(address: SocketAddr, pages: u64, pace: &mut Pace, limits: Limits<'_>, done: &mut Done) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    listen::patient(&stream)?;
    for _ in 0..pages {
        if !pace.turn(limits) {
            return Ok(());
        }
        let number = done.tried;
        let page =
            if number % MISSING_EVERY == MISSING_EVERY - 1 { "missing".to_owned() } else { format!("page/{number}") };
        let host = HOSTS.get((number % HOSTS.len() as u64) as usize).copied().unwrap_or_default();
        let request = format!("GET /{page} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: hivewall-traffic\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let (head, begun) = head(&mut stream)?;
        let length = length(&head).unwrap_or(0);
        let mut rest = vec![0; length.saturating_sub(begun)];
        stream.read_exact(&mut rest)?;
        done.tried += 1;
        done.well += 1;
        done.bytes += (request.len() + head.len() + length) as u64;
    }
    Ok(())
}

/// Answers the requests of one connection until the client closes it.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut pages = SIZES.iter().cycle();
    loop {
        let (head, _) = head(&mut stream)?;
        let found = head.starts_with("GET /page/");
        let size = if found { *pages.next().unwrap_or(&0) } else { 60 };
        let status = if found { "200 OK" } else { "404 Not Found" };
        let response = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(response.as_bytes())?;
        stream.write_all(&vec![b'.'; size])?;
    }
}

/// The head of a message, and how many bytes of its body came with it.
fn head(stream: &mut TcpStream) -> io::Result<(String, usize)> {
    const END: &[u8] = b"\r\n\r\n";
    let mut message = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        if let Some(at) = message.windows(END.len()).position(|window| window == END) {
            let end = at + END.len();
            let head = String::from_utf8_lossy(message.get(..end).unwrap_or_default()).into_owned();
            return Ok((head, message.len() - end));
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 || message.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        message.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.trim().parse().ok()
}
