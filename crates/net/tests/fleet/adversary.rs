//! Those who are not members, not any more, or behave badly: each is refused and counted, and the others go on.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hivewall_cluster::Order;
use hivewall_net::{AskError, EnrolError, Life, Limits, LinkReason, enrol};
use hivewall_trust::HostKey;

use crate::bed::{Bed, Host, PATIENCE, unix_s, wait_for_all};

/// A small deterministic source of bytes (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Whether the two still answer one another.
fn still_work(hosts: &[Host]) {
    wait_for_all(hosts, PATIENCE);
    for (one, other) in [(0, 1), (1, 0)] {
        let answer = hosts[one].handle.ask_anew(hosts[other].id, b"abc".to_vec(), PATIENCE);
        assert_eq!(answer.as_deref(), Ok(b"cba".as_slice()));
    }
}

#[test]
fn a_member_of_another_cluster_is_refused_on_both_links() {
    let (ours, theirs) = (Bed::new(120), Bed::new(121));
    let first = ours.start(1, "127.0.0.1:0", &[]);
    let other = theirs.start(2, "127.0.0.1:0", &[first.address]);
    first.wait("the stranger is refused", PATIENCE, |state| state.link_losses.get(LinkReason::Refused) > 0);
    assert_eq!(first.handle.state().members.len(), 1);
    assert_eq!(other.handle.state().members.len(), 1);
}

#[test]
fn a_removed_host_is_cut_off_at_once_and_stays_out() {
    let bed = Bed::new(122);
    let hosts = bed.fleet(3, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let (gone, asker) = (&hosts[2], &hosts[1]);
    assert!(asker.handle.ask(gone.id, b"abc".to_vec(), PATIENCE).is_ok());
    let charter = bed.charter().without(gone.id, unix_s(), "test", hosts.iter().map(|host| host.id));
    let began = Instant::now();
    hosts[0].handle.order(Order::Publish(bed.root.sign_charter(&charter).unwrap()));
    for host in &hosts[..2] {
        host.wait("the links are closed", Duration::from_secs(2), |state| {
            let is_new = state.policies.get("charter").is_some_and(|held| held.head().version == 2);
            is_new && state.member(gone.id).is_some_and(|member| member.link.is_none())
        });
    }
    println!("links with a removed host are closed after {:?}", began.elapsed());
    assert!(asker.handle.ask(gone.id, b"abc".to_vec(), PATIENCE).is_err());
    assert!(gone.handle.ask(asker.id, b"abc".to_vec(), PATIENCE).is_err());
    hosts[0].wait("it counts as gone", PATIENCE, |state| {
        state.member(gone.id).is_some_and(|member| member.life == Life::Down)
    });
    still_work(&hosts[..2]);
}

#[test]
fn an_invitation_admits_one_host_and_only_while_it_holds() {
    let bed = Bed::new(123);
    let first = bed.start(1, "127.0.0.1:0", &[]);
    let invitation = bed.invite(&first, 1);
    let refused = |result: Result<hivewall_net::Enrolled, EnrolError>| match result {
        Err(EnrolError::Refused(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("enrolled"),
    };
    let mut guessed = invitation.clone();
    guessed.secret[0] ^= 1;
    refused(enrol(&guessed, HostKey::from_seed([7; 32]), "guesses", PATIENCE));
    assert!(enrol(&invitation, HostKey::from_seed([8; 32]), "first", PATIENCE).is_ok());
    refused(enrol(&invitation, HostKey::from_seed([9; 32]), "second", PATIENCE));
    let mut elsewhere = invitation.clone();
    elsewhere.root = Bed::new(124).root.public();
    let other = enrol(&elsewhere, HostKey::from_seed([10; 32]), "misled", PATIENCE);
    assert!(matches!(other, Err(EnrolError::OtherCluster { .. })), "{:?}", other.err());
    assert!(first.kept.lock().unwrap().1.is_some(), "the book was kept");
    first.wait("refusals are counted", PATIENCE, |state| state.link_losses.get(LinkReason::EnrolRefused) >= 2);
}

#[test]
fn whatever_bytes_come_to_the_port_the_members_go_on() {
    let hosts = Bed::new(125).fleet(2, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let socket = socket();
    for round in 0..4000 {
        let length = (noise.next() % 1500) as usize;
        let mut bytes = noise.bytes(length);
        if let (Some(first), true) = (bytes.first_mut(), round % 2 == 0) {
            *first = 1;
        }
        if let (Some(kind), true) = (bytes.get_mut(1), round % 2 == 0) {
            *kind %= 7;
        }
        let _ = socket.send_to(&bytes, hosts[round / 2 % 2].address);
    }
    for host in &hosts {
        let counted = [LinkReason::Version, LinkReason::Malformed, LinkReason::NoSession, LinkReason::Stranger];
        host.wait("each is counted by its reason", PATIENCE, |state| {
            counted.iter().all(|reason| state.link_losses.get(*reason) > 0)
        });
    }
    still_work(&hosts);
}

#[test]
fn another_version_beside_this_one_is_counted_and_answered_by_silence() {
    let hosts = Bed::new(126).fleet(2, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let socket = socket();
    for version in [0_u8, 2, 3, 63] {
        socket.send_to(&[version, 1, 0, 0, 0, 0, 0, 0], hosts[0].address).unwrap();
    }
    hosts[0].wait("four of other versions", PATIENCE, |state| state.link_losses.get(LinkReason::Version) == 4);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err(), "no answer");
    still_work(&hosts);
}

#[test]
fn a_flood_of_forged_first_packets_leaves_no_connection_behind() {
    let bed = Bed::new(127);
    let hosts = bed.fleet(2, "[::1]:0");
    wait_for_all(&hosts, PATIENCE);
    // QUIC version 1, an Initial, padded: looks like the first packet of a connection.
    let mut initial = vec![0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x44, 0xb0];
    initial.resize(1200, 0x55);
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    for at in 0..2000_u32 {
        initial[6..10].copy_from_slice(&at.to_le_bytes());
        let _ = socket.send_to(&initial, hosts[0].address);
    }
    wait_for_all(&hosts, PATIENCE);
    let state = hosts[0].handle.state();
    assert!(state.connections <= Limits::default().connections && state.sessions <= 4);
    assert!(hosts[0].handle.ask(hosts[1].id, b"abc".to_vec(), PATIENCE).is_ok());
}

#[test]
fn a_member_that_asks_without_end_is_cut_to_its_rate_and_others_are_served() {
    let bed = Bed::new(128);
    let limits = Limits { streams_s: 50, ..Limits::default() };
    let mut hosts = vec![Bed::start_as(bed.identity(1), "127.0.0.1:0", &[], bed.disk(), limits)];
    let seeds: Vec<SocketAddr> = vec![hosts[0].address];
    hosts.extend((2..=3).map(|number| bed.start(number, "127.0.0.1:0", &seeds)));
    wait_for_all(&hosts, PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (flooder, to) = (hosts[1].handle.clone(), hosts[0].id);
    let results = runtime.block_on(async {
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let flooder = flooder.clone();
            asked.spawn(async move { flooder.ask_async(to, b"abc".to_vec(), PATIENCE, false).await });
        }
        asked.join_all().await
    });
    let refused = results.iter().filter(|result| **result == Err(AskError::Unreachable)).count();
    assert!(refused > 500, "{refused} of 1000 refused");
    hosts[0].wait("counted", PATIENCE, |state| state.link_losses.get(LinkReason::StreamRate) >= refused as u64);
    assert_eq!(hosts[2].handle.ask(to, b"abc".to_vec(), PATIENCE).as_deref(), Ok(b"cba".as_slice()));
    assert!(Arc::strong_count(&hosts[0].disk) >= 1);
}

/// Connects with these certificates and writes these streams; then waits until the host has closed or answered.
fn connect_raw(to: SocketAddr, tls: rustls::ClientConfig, streams: &[Vec<u8>]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(Arc::new(tls)).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, to, hivewall_trust::tls::SERVER_NAME).unwrap();
        let Ok(connection) = connecting.await else { return };
        for bytes in streams {
            let Ok((mut send, mut receive)) = connection.open_bi().await else { return };
            let _ = send.write_all(bytes).await;
            let _ = send.finish();
            let answer = tokio::time::timeout(PATIENCE, receive.read_to_end(1000)).await.unwrap();
            assert!(answer.is_err(), "an answer to {} bytes", bytes.len());
        }
        if streams.is_empty() {
            tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
        }
    });
}

#[test]
fn a_stranger_without_certificate_is_closed_out_by_quic() {
    let bed = Bed::new(129);
    let first = bed.start(1, "127.0.0.1:0", &[]);
    let mut tls = (*hivewall_trust::tls::newcomer(bed.root.public()).unwrap()).clone();
    tls.alpn_protocols = vec![hivewall_trust::tls::ALPN.to_vec()];
    connect_raw(first.address, tls, &[]);
    let state = first.wait("counted", PATIENCE, |state| state.link_losses.get(LinkReason::Stranger) == 1);
    assert_eq!(state.connections, 0);
}

#[test]
fn oversized_and_malformed_streams_of_a_member_are_refused_one_by_one() {
    let bed = Bed::new(130);
    let hosts = bed.fleet(2, "127.0.0.1:0");
    wait_for_all(&hosts, PATIENCE);
    let identity = bed.identity(3);
    let tls = (*hivewall_trust::tls::client(&identity, &identity.roster().unwrap()).unwrap()).clone();
    let mut too_long = vec![1, 2];
    too_long.resize(hivewall_net::QUESTION_BYTES_MAX + 100, 7);
    let streams = [vec![], vec![1], vec![2, 1, 0], vec![1, 99, 0], vec![1, 4, 0], too_long];
    connect_raw(hosts[0].address, tls, &streams);
    hosts[0].wait("each is counted by its reason", PATIENCE, |state| {
        let count = |reason| state.link_losses.get(reason);
        count(LinkReason::Malformed) == 4 && count(LinkReason::Version) == 1 && count(LinkReason::StreamTooLong) == 1
    });
    still_work(&hosts);
}
