//! Two or more tables of sessions and a network in between that the test controls.

use std::collections::VecDeque;

use super::*;

/// Everybody's keys: a passport is the host's number.
struct Book;

fn secret(number: u8) -> [u8; 32] {
    [number; 32]
}

fn public(number: u8) -> [u8; 32] {
    *hivewall_trust::noise_public(&hivewall_trust::HostKey::from_seed(secret(number)).public()).as_ref().unwrap()
}

fn id(number: u8) -> NodeId {
    NodeId([number; 16])
}

impl Directory for Book {
    fn noise_key(&self, id: NodeId) -> Option<[u8; 32]> {
        Some(public(id.0[0]))
    }

    fn admit(&self, passport: &[u8]) -> Option<(NodeId, [u8; 32])> {
        let number = *passport.first()?;
        // Number 66 was removed.
        (number != 66).then(|| (id(number), public(number)))
    }
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::new([10, 0, 0, number].into(), 7734)
}

fn host(number: u8, limits: Limits) -> Noise {
    host_of(number, ClusterId([5; 16]), limits)
}

fn host_of(number: u8, cluster: ClusterId, limits: Limits) -> Noise {
    let key = hivewall_trust::HostKey::from_seed(secret(number));
    let proof = Proof { secret: *key.noise_secret(), public: public(number), passport: vec![number] };
    Noise::new(cluster, proof, limits, [number; 32], (0, 1_000_000_000), Arc::default())
}

/// Hosts by number, and the packets between them.
struct Net {
    hosts: Vec<(u8, Noise)>,
    now_us: u64,
    /// Every packet that was ever sent: from, to, bytes.
    seen: Vec<(u8, u8, Vec<u8>)>,
    given: Vec<(u8, Given)>,
}

impl Net {
    fn new(numbers: &[u8]) -> Self {
        let hosts = numbers.iter().map(|number| (*number, host(*number, Limits::default()))).collect();
        Self { hosts, now_us: 1000, seen: Vec::new(), given: Vec::new() }
    }

    fn host(&mut self, number: u8) -> &mut Noise {
        &mut self.hosts.iter_mut().find(|(one, _)| *one == number).unwrap().1
    }

    fn send(&mut self, from: u8, to: u8, bytes: &[u8]) {
        let now_us = self.now_us;
        self.host(from).send(id(to), &[address(to)], bytes.to_vec(), &Book, now_us);
    }

    /// Carries packets until there are none; those that `lost` names are not.
    fn settle(&mut self, mut lost: impl FnMut(u8, u8, &[u8]) -> bool) {
        let mut way = VecDeque::new();
        loop {
            for (number, host) in &mut self.hosts {
                way.extend(host.take_out().into_iter().map(|(path, packet)| (*number, path, packet)));
            }
            let Some((from, path, packet)) = way.pop_front() else { return };
            let IpAddr::V4(ip) = path.remote.ip() else { panic!() };
            let to = ip.octets()[3];
            self.seen.push((from, to, packet.clone()));
            if !lost(from, to, &packet) {
                self.deliver(from, to, &packet);
            }
        }
    }

    fn deliver(&mut self, from: u8, to: u8, packet: &[u8]) {
        self.now_us += 100;
        let now_us = self.now_us;
        let path = Path { remote: address(from), local: None };
        let host = self.host(to);
        host.receive(path, packet, &Book, now_us);
        let given = host.take_given();
        self.given.extend(given.into_iter().map(|given| (to, given)));
    }

    /// Lets time pass on all hosts.
    fn pass(&mut self, by_us: u64) {
        self.now_us += by_us;
        let now_us = self.now_us;
        self.hosts.iter_mut().for_each(|(_, host)| host.wake(&Book, now_us));
    }

    fn take_given(&mut self) -> Vec<(u8, Given)> {
        std::mem::take(&mut self.given)
    }

    fn lost(&mut self, number: u8, reason: LinkReason) -> u64 {
        self.host(number).counters.losses().get(reason)
    }
}

fn datagram(to: u8, from: u8, bytes: &[u8]) -> (u8, Given) {
    (to, Given::Datagram(id(from), bytes.to_vec()))
}

#[test]
fn a_datagram_to_a_new_peer_arrives_and_answers_need_no_second_handshake() {
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"one");
    net.settle(|_, _, _| false);
    net.send(2, 1, b"two");
    net.send(1, 2, b"three");
    net.settle(|_, _, _| false);
    let mut given = net.take_given();
    given.sort_by_key(|(to, _)| *to);
    assert_eq!(given, [datagram(1, 2, b"two"), datagram(2, 1, b"one"), datagram(2, 1, b"three")]);
    assert_eq!((net.host(1).sessions(), net.host(2).sessions()), (1, 1));
    assert!(net.host(1).measured(id(2)).unwrap().rtt_us.is_some());
}

#[test]
fn nothing_that_is_replayed_is_given_out_twice() {
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"one");
    net.settle(|_, _, _| false);
    net.send(1, 2, b"two");
    net.settle(|_, _, _| false);
    assert_eq!(net.take_given().len(), 2);
    let all = net.seen.clone();
    for (from, to, packet) in &all {
        net.deliver(*from, *to, packet);
    }
    assert_eq!(net.take_given(), []);
    // The same to a host that has lost all memory: nobody proves anew that he is there.
    let now_us = net.now_us;
    net.hosts[1].1 = host(2, Limits::default());
    for (from, to, packet) in all.iter().filter(|(_, to, _)| *to == 2) {
        net.deliver(*from, *to, packet);
    }
    assert_eq!(net.take_given(), []);
    assert!(net.now_us > now_us);
}

#[test]
fn a_changed_bit_anywhere_gives_nothing_out_and_breaks_nothing() {
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"one");
    net.settle(|_, _, _| false);
    net.send(1, 2, b"two");
    net.settle(|_, _, _| false);
    net.take_given();
    for (from, to, packet) in net.seen.clone() {
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 1;
            net.pass(100_000);
            net.deliver(from, to, &changed);
        }
    }
    assert_eq!(net.take_given(), []);
    net.send(1, 2, b"three");
    net.settle(|_, _, _| false);
    assert_eq!(net.take_given(), [datagram(2, 1, b"three")]);
}

#[test]
fn both_sides_may_begin_at_once() {
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"from one");
    net.send(2, 1, b"from two");
    net.settle(|_, _, _| false);
    let mut given = net.take_given();
    given.sort_by_key(|(to, _)| *to);
    assert_eq!(given, [datagram(1, 2, b"from two"), datagram(2, 1, b"from one")]);
    for at in 0..10_u8 {
        net.send(1, 2, &[at]);
        net.send(2, 1, &[at]);
        net.settle(|_, _, _| false);
    }
    assert_eq!(net.take_given().len(), 20);
    assert!(net.host(1).sessions() <= 2 && net.host(2).sessions() <= 2);
}

#[test]
fn a_peer_that_lost_its_session_is_reached_again_after_one_lost_message() {
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"one");
    net.settle(|_, _, _| false);
    net.hosts[1].1 = host(2, Limits::default());
    net.take_given();
    net.send(1, 2, b"lost");
    net.settle(|_, _, _| false);
    net.send(1, 2, b"heard");
    net.settle(|_, _, _| false);
    assert_eq!(net.take_given(), [datagram(2, 1, b"heard")]);
    // And the one that restarted begins by itself: nothing is lost, and it is given out with the first message.
    net.hosts[0].1 = host(1, Limits::default());
    net.hosts[0].1.epoch_us += 5_000_000;
    net.send(1, 2, b"again");
    net.settle(|_, _, packet| packet[1] != 1);
    assert_eq!(net.take_given(), [datagram(2, 1, b"again")]);
}

#[test]
fn lost_first_messages_and_answers_are_sent_again_and_silence_is_counted() {
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"one");
    net.settle(|_, _, _| true);
    net.pass(130_000);
    net.settle(|from, _, _| from == 2);
    net.pass(260_000);
    net.settle(|_, _, _| false);
    assert_eq!(net.take_given(), [datagram(2, 1, b"one")]);
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"one");
    (0..10).for_each(|_| {
        net.settle(|_, _, _| true);
        net.pass(1_000_000);
    });
    assert_eq!(net.lost(1, LinkReason::Unreachable), 1);
    assert_eq!(net.host(1).peers().count(), 0);
}

#[test]
fn strangers_other_clusters_and_removed_hosts_get_no_session() {
    let mut net = Net::new(&[1, 2]);
    net.hosts.push((3, host_of(3, ClusterId([6; 16]), Limits::default())));
    net.hosts.push((66, host(66, Limits::default())));
    net.send(3, 2, b"of another cluster");
    net.send(66, 2, b"removed");
    net.settle(|_, _, _| false);
    assert_eq!(net.take_given(), []);
    assert_eq!(net.host(2).sessions(), 0);
    assert_eq!((net.lost(2, LinkReason::Stranger), net.lost(2, LinkReason::Refused)), (1, 1));
}

#[test]
fn a_flood_of_first_messages_costs_no_memory_and_members_still_get_in_by_cookie() {
    let limits = Limits { handshakes_s: 20, handshakes_source_s: 1000, ..Limits::default() };
    let mut net = Net::new(&[1]);
    net.hosts.push((2, host(2, limits)));
    // An insider's first message, sent from many addresses.
    net.send(1, 2, b"flood");
    let (_, packet) = net.host(1).take_out().pop().unwrap();
    for at in 0..1000_u16 {
        let remote = SocketAddr::new([10, 9, (at >> 8) as u8, at as u8].into(), 1);
        let now_us = net.now_us;
        net.host(2).receive(Path { remote, local: None }, &packet, &Book, now_us);
    }
    net.host(2).take_out();
    assert!(net.lost(2, LinkReason::Cookie) > 900);
    assert!(net.host(2).sessions() <= 1);
    net.hosts.push((3, host(3, Limits::default())));
    net.send(3, 2, b"let me in");
    net.settle(|_, _, _| false);
    assert_eq!(net.take_given(), [datagram(2, 3, b"let me in")]);
}

#[test]
fn the_table_is_bounded_and_who_goes_is_counted() {
    let limits = Limits { sessions: 4, ..Limits::default() };
    let mut net = Net::new(&[]);
    net.hosts.push((1, host(1, limits)));
    net.hosts.extend((2..=9).map(|number| (number, host(number, Limits::default()))));
    for number in 2..=9 {
        net.send(number, 1, b"hello");
        net.settle(|_, _, _| false);
    }
    assert_eq!(net.take_given().len(), 8);
    assert_eq!((net.host(1).peers().count(), net.lost(1, LinkReason::SessionEvicted)), (4, 4));
}

#[test]
fn a_peer_that_floods_is_cut_to_its_rate_and_others_are_not() {
    let mut net = Net::new(&[1, 2, 3]);
    let limits = Limits { datagrams_s: 100, ..Limits::default() };
    net.hosts[0].1 = host(1, limits);
    net.send(2, 1, b"x");
    net.settle(|_, _, _| false);
    for _ in 0..1000 {
        net.send(2, 1, b"flood");
    }
    net.settle(|_, _, _| false);
    net.send(3, 1, b"calm");
    net.settle(|_, _, _| false);
    let given = net.take_given();
    assert!(given.contains(&datagram(1, 3, b"calm")));
    assert!(given.len() < 130, "{}", given.len());
    assert!(net.lost(1, LinkReason::DatagramRate) > 870);
}

#[test]
fn keys_are_replaced_after_an_hour_without_a_gap() {
    let mut net = Net::new(&[1, 2]);
    net.send(1, 2, b"one");
    net.settle(|_, _, _| false);
    net.pass(REKEY_US + 1);
    net.send(1, 2, b"two");
    net.settle(|_, _, _| false);
    net.send(1, 2, b"three");
    net.settle(|_, _, _| false);
    assert_eq!(net.take_given(), [datagram(2, 1, b"one"), datagram(2, 1, b"two"), datagram(2, 1, b"three")]);
    assert_eq!(net.host(1).counters.traffic().get(Carried::NoiseHandshakes), 2);
}
