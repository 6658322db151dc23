//! Lines to sockets, and receivers that hang, go away, come back or are not there yet.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::{Duration, Instant};

use common::{LONGEST, close, export_to, free_tcp_port, free_udp_port, mixture, name, wait_for};
use hivewall_flowexport::{Exporters, LossReason, Target};

fn line(number: usize) -> String {
    format!(r#"{{"timestamp":"2026-11-21T10:00:00.000000+0000","event_type":"flow","number":{number}}}"#)
}

fn numbers(lines: impl IntoIterator<Item = String>) -> BTreeSet<usize> {
    let number = |line: String| line.rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap();
    lines.into_iter().map(number).collect()
}

#[test]
fn a_unix_stream_gets_every_line_although_its_reader_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("eve.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let exporters = export_to(&format!("eve+unix://{}", path.display()), directory.path());
    (0..1000).for_each(|number| exporters.line(line(number).as_bytes()));
    let (stream, _) = listener.accept().unwrap();
    let mut lines: Vec<_> = BufReader::new(stream).lines().take(300).map(Result::unwrap).collect();
    // The reader is gone, and what it had not read with it.
    (1000..2000).for_each(|number| exporters.line(line(number).as_bytes()));
    let reader = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        BufReader::new(stream).lines().map_while(Result::ok).collect::<Vec<_>>()
    });
    let counters = close(exporters);
    lines.extend(reader.join().unwrap());
    assert_eq!(numbers(lines), (0..2000).collect(), "{counters:?}");
    assert_eq!((counters.sent, counters.lost_total(), counters.queued), (2000, 0, 0));
    assert!(counters.resent > 0, "{counters:?}");
}

#[test]
fn a_unix_datagram_socket_gets_a_line_each() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("eve.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LONGEST)).unwrap();
    let exporters = export_to(&format!("eve+unix://{}", path.display()), directory.path());
    (0..500).for_each(|number| exporters.line(line(number).as_bytes()));
    let mut buffer = [0; 4096];
    for number in 0..500 {
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), line(number) + "\n");
    }
    // One too long for a datagram is given up, and does not stand in the way of the next.
    exporters.line(&vec![b'x'; 4 << 20]);
    exporters.line(line(500).as_bytes());
    assert_eq!(socket.recv(&mut buffer).unwrap(), line(500).len() + 1);
    let counters = close(exporters);
    assert_eq!((counters.sent, counters.lost(LossReason::Rejected)), (501, 1), "{counters:?}");
}

#[test]
fn what_comes_while_a_receiver_is_away_waits_for_it() {
    let port = free_tcp_port();
    let state = tempfile::tempdir().unwrap();
    let exporters = export_to(&format!("eve+tcp://127.0.0.1:{port}"), state.path());
    (0..5000).for_each(|number| exporters.line(line(number).as_bytes()));
    wait_for("a failed connection", || exporters.counters()[0].failures >= 2);
    let counters = exporters.counters().remove(0);
    assert_eq!((counters.queued, counters.sent, counters.up), (5000, 0, false));
    assert!(counters.last_error.is_some_and(|error| error.contains("refused")));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let reader = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        BufReader::new(stream).lines().map_while(Result::ok).collect::<Vec<_>>()
    });
    let counters = close(exporters);
    assert_eq!(numbers(reader.join().unwrap()), (0..5000).collect());
    assert_eq!((counters.sent, counters.lost_total(), counters.resent), (5000, 0, 0), "{counters:?}");
}

#[test]
fn a_receiver_that_hangs_delays_nobody_and_what_it_misses_is_counted() {
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let well = TcpListener::bind("127.0.0.1:0").unwrap();
    let state = tempfile::tempdir().unwrap();
    let words = [
        format!("eve+tcp://{}?queue_mb=1", hung.local_addr().unwrap()),
        format!("eve+tcp://{}", well.local_addr().unwrap()),
        "eve+tcp://name-that-is-not.invalid:9?queue_mb=1".to_owned(),
    ];
    let targets = words.iter().map(|word| word.parse::<Target>().unwrap()).collect();
    let exporters = Exporters::start(targets, state.path()).unwrap();
    let (held, _) = hung.accept().unwrap();
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = well.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.len()
    });
    let big = vec![b'x'; 10_000];
    let mut slowest = Duration::ZERO;
    for _ in 0..2000 {
        let start = Instant::now();
        exporters.line(&big);
        slowest = slowest.max(start.elapsed());
    }
    wait_for("the well target's lines", || exporters.counters()[1].sent == 2000);
    assert!(slowest < Duration::from_secs(1), "a line took {slowest:?} to hand over");
    let counters = exporters.close(Instant::now() + Duration::from_millis(300));
    assert_eq!(reader.join().unwrap(), 2000 * 10_001);
    assert_eq!((counters[1].sent, counters[1].lost_total()), (2000, 0));
    for away in [&counters[0], &counters[2]] {
        assert_eq!((away.given, away.queued), (2000, 0));
        assert_eq!(away.sent + away.lost_total(), 2000);
        assert!(away.lost(LossReason::QueueFull) > 0 && away.lost(LossReason::Closed) > 0, "{away:?}");
    }
    drop(held);
}

#[test]
fn a_udp_collector_that_refuses_is_waited_for() {
    let port = free_udp_port();
    let state = tempfile::tempdir().unwrap();
    let exporters = export_to(&format!("netflow5://127.0.0.1:{port}"), state.path());
    let flows: Vec<_> = mixture(900).into_iter().filter(|flow| flow.tuple.client.is_ipv4()).collect();
    exporters.flows(&flows, &name);
    wait_for("a refusal", || exporters.counters()[0].failures >= 2);
    assert_eq!(exporters.counters()[0].sent, 0);
    let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let reader = std::thread::spawn(move || {
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut buffer = [0; 2048];
        let mut headers = Vec::new();
        while let Ok(length) = socket.recv(&mut buffer) {
            assert!(length > 24);
            let count = u32::from(u16::from_be_bytes([buffer[2], buffer[3]]));
            headers.push((u32::from_be_bytes(buffer[16..20].try_into().unwrap()), count));
        }
        headers
    });
    wait_for("all to be sent", || exporters.counters()[0].queued == 0);
    let headers = reader.join().unwrap();
    let mut wanted = 0;
    for (sequence, count) in headers {
        assert_eq!(sequence, wanted, "a gap, though nothing was lost");
        wanted += count;
    }
    let counters = close(exporters);
    assert_eq!(u64::from(wanted), counters.records, "{counters:?}");
    assert_eq!((counters.sent, counters.lost_total()), (flows.len() as u64, 0));
}
