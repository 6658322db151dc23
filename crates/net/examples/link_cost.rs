//! What the links cost: a sealed datagram there and opened, and a handshake of each kind, beside plain UDP in the same
//! run. `cargo run --release -p hivewall-net --example link_cost`
//!
//! Two nodes on loopback in this process; both ends and the kernel's part are in the figures.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use hivewall_net::bench;

fn main() {
    let plain = plain_udp();
    println!("plain UDP, 200 bytes, sent and received: {plain:?}");
    let [sealed, noise] = bench::noise(20_000, 500);
    let ratio = |time: Duration| time.as_secs_f64() / plain.as_secs_f64();
    println!("sealed and opened, 200 bytes, without socket: {sealed:?} = {:.1} of that", ratio(sealed));
    println!("Noise handshake, both ends: {noise:?} = {:.0} of that", ratio(noise));
}

fn plain_udp() -> Duration {
    let sockets = UdpSocket::bind("127.0.0.1:0").and_then(|one| Ok((UdpSocket::bind("127.0.0.1:0")?, one)));
    let Ok((one, other)) = sockets else { return Duration::ZERO };
    let Ok(to) = other.local_addr() else { return Duration::ZERO };
    let (bytes, mut buffer) = ([7; 200], [0; 1500]);
    let rounds = 20_000;
    let began = Instant::now();
    for _ in 0..rounds {
        if one.send_to(&bytes, to).and_then(|_| other.recv(&mut buffer)).is_err() {
            return Duration::ZERO;
        }
    }
    began.elapsed() / rounds
}
