//! Frames through the AF_PACKET ring, counted exactly against what was sent. Needs root.
//!
//! Links of the lab are silent until a test speaks, so every frame seen is one that was sent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hivewall_datapath::{Direction, FlowKey, FragmentId, Fragments, Frame, FrameBytes, Link, parse, proto};
use hivewall_host::link::Links;
use hivewall_host::packet::{Fanout, FanoutMode, PacketError, PacketLosses, PacketOptions, PacketSocket};
use hivewall_model::{Interface, LinkLayer};
use hivewall_testkit::netns::{Host, Lab, Offloads};
use hivewall_testkit::packet::frame;
use hivewall_testkit::require_root;
use hivewall_testkit::traffic::{TcpSink, raw_frames, tcp_bulk, udp_blast, udp_fragmented};

const A: &[&str] = &["10.0.0.1/24", "fd00::1/64"];
const B: &[&str] = &["10.0.0.2/24", "fd00::2/64"];
const PATIENCE: Duration = Duration::from_secs(10);
const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);

fn interface(host: &Host, name: &str) -> Interface {
    let all = host.enter(|| Links::open().unwrap().dump().unwrap()).unwrap();
    all.into_iter().find(|interface| interface.name == name).unwrap()
}

fn capture(host: &Host, name: &str, options: PacketOptions) -> PacketSocket {
    let interface = interface(host, name);
    host.enter(|| PacketSocket::open(&interface, options).unwrap()).unwrap()
}

fn pair(lab: &Lab, offloads: Offloads) -> (Host, Host) {
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    lab.link(&a, "eth0", &b, "eth0").addresses(A, B).offloads(offloads).up().unwrap();
    (a, b)
}

/// No fragment memory: these tests count frames, not flows.
struct Forgetful;

impl Fragments for Forgetful {
    fn remember(&mut self, _: &FragmentId, _: u32) {}
    fn recall(&mut self, _: &FragmentId) -> Option<u32> {
        None
    }
}

/// What a capture has seen.
#[derive(Default, Debug)]
struct Seen {
    frames: Vec<(i64, Vec<u8>, Frame)>,
}

impl Seen {
    fn take(&mut self, socket: &mut PacketSocket, timeout: Duration) -> usize {
        let mut sink = |time, bytes: &[u8], frame| self.frames.push((time, bytes.to_vec(), frame));
        socket.poll(timeout, &mut sink).unwrap()
    }

    fn packets(&self, direction: Direction) -> (u64, u64) {
        let of = self.frames.iter().filter(|(_, _, frame)| frame.direction == direction);
        of.map(|(_, bytes, frame)| {
            let parsed = parse::parse(&FrameBytes(bytes), frame, &mut Forgetful).unwrap();
            (u64::from(parsed.packet.packets), u64::from(parsed.packet.ip_bytes))
        })
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn keys(&self) -> Vec<FlowKey> {
        let parse = |(_, bytes, frame): &(i64, Vec<u8>, Frame)| {
            parse::parse(&FrameBytes(bytes), frame, &mut Forgetful).unwrap().packet.key
        };
        self.frames.iter().map(parse).collect()
    }
}

/// Reads until `want` frames came, then until nothing has come for longer than a block can wait.
fn read(socket: &mut PacketSocket, want: usize) -> Seen {
    let (mut seen, start) = (Seen::default(), Instant::now());
    while seen.frames.len() < want && start.elapsed() < PATIENCE {
        seen.take(socket, Duration::from_millis(200));
    }
    while seen.take(socket, Duration::from_millis(60)) > 0 {}
    seen
}

fn to(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn every_datagram_of_both_families_is_seen_once_on_either_side() {
    require_root!();
    let lab = Lab::new("udp").unwrap();
    let (a, b) = pair(&lab, Offloads::NONE);
    let mut out = capture(&a, "eth0", PacketOptions::default());
    let mut inn = capture(&b, "eth0", PacketOptions::default());
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let sent = a
        .enter(|| {
            udp_blast(to("10.0.0.2:9000"), 3000, 32, 2).unwrap() + udp_blast(to("[fd00::2]:9000"), 2000, 32, 1).unwrap()
        })
        .unwrap();
    assert_eq!(sent.packets, 5000);
    let (sender, receiver) = (read(&mut out, 5000), read(&mut inn, 5000));
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    for (seen, direction) in [(&sender, Direction::Egress), (&receiver, Direction::Ingress)] {
        // ICMP "port unreachable" answers go the other way.
        let udp: Vec<_> = seen.frames.iter().filter(|(_, _, frame)| frame.direction == direction).collect();
        assert_eq!(udp.len(), 5000, "{direction:?}");
        assert_eq!(udp.iter().map(|(_, _, frame)| u64::from(frame.len)).sum::<u64>(), sent.wire_bytes);
        assert!(udp.iter().all(|(time, _, _)| (before..=after).contains(time)), "times are of the wall clock");
        assert!(udp.iter().all(|(_, bytes, frame)| bytes.len() == frame.len as usize && frame.vlan.is_none()));
        let v6 = seen.keys().iter().filter(|key| key.dport == 9000 && key.is_v6()).count();
        assert_eq!(v6, 2000);
    }
    assert_eq!((out.losses().unwrap(), inn.losses().unwrap()), (PacketLosses::default(), PacketLosses::default()));
}

#[test]
fn tags_are_in_the_frame_when_sent_and_in_metadata_when_received() {
    require_root!();
    let lab = Lab::new("vlan").unwrap();
    let (a, b) = pair(&lab, Offloads::NONE);
    let mut out = capture(&a, "eth0", PacketOptions::default());
    let mut inn = capture(&b, "eth0", PacketOptions::default());
    let tagged = |tci| frame().mac(MACS.0, MACS.1).vlan(tci).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload_len(40);
    let stacked = frame().mac(MACS.0, MACS.1).service_vlan(100).vlan(200).ipv6("fd00::1", "fd00::2").udp(3, 4);
    let frames: Vec<Vec<u8>> =
        (1..=50).map(|tci| tagged(0x2000 | tci).build()).chain([stacked.payload_len(40).build()]).collect();
    let sent = a.enter(|| raw_frames("eth0", &frames).unwrap()).unwrap();
    let (sender, receiver) = (read(&mut out, 51), read(&mut inn, 51));
    assert_eq!((sender.frames.len(), receiver.frames.len()), (51, 51));
    assert!(sender.frames.iter().all(|(_, _, frame)| frame.vlan.is_none()));
    let tcis: Vec<_> = receiver.frames.iter().map(|(_, _, frame)| frame.vlan.unwrap()).collect();
    let want: Vec<u16> = (1..=50).map(|tci| 0x2000 | tci).chain([100]).collect();
    assert_eq!(tcis, want);
    // Either way the parser gives the same VLANs and the same bytes.
    let vlans = |seen: &Seen| seen.keys().iter().map(FlowKey::vlans).collect::<Vec<_>>();
    assert_eq!(vlans(&sender), vlans(&receiver));
    for seen in [&sender, &receiver] {
        let wire: u64 = seen.frames.iter().map(|(_, _, frame)| u64::from(parse::wire_len(frame))).sum();
        assert_eq!(wire, sent.wire_bytes);
    }
}

#[test]
fn fragments_and_long_frames_are_delivered_cut_with_their_whole_length() {
    require_root!();
    let lab = Lab::new("snap").unwrap();
    let (a, b) = pair(&lab, Offloads::NONE);
    let mut inn = capture(&b, "eth0", PacketOptions { snap_bytes: 100, ..PacketOptions::default() });
    let sent = a
        .enter(|| udp_fragmented(to("10.0.0.2:9"), 4000).unwrap() + udp_fragmented(to("[fd00::2]:9"), 4000).unwrap())
        .unwrap();
    let seen = read(&mut inn, sent.packets as usize);
    let received: Vec<_> = seen.frames.iter().filter(|(_, _, frame)| frame.direction == Direction::Ingress).collect();
    assert_eq!(received.len() as u64, sent.packets);
    assert!(received.iter().all(|(_, bytes, frame)| bytes.len() == 100.min(frame.len as usize)));
    assert_eq!(received.iter().map(|(_, _, frame)| u64::from(frame.len)).sum::<u64>(), sent.wire_bytes);
}

#[test]
fn buffers_of_many_tcp_segments_count_as_their_packets() {
    require_root!();
    let lab = Lab::new("gso").unwrap();
    let (a, b) = pair(&lab, Offloads::ALL);
    let options = PacketOptions { blocks: 64, segments: Some(true), ..PacketOptions::default() };
    let mut inn = capture(&b, "eth0", options);
    assert!(inn.counts_segments());
    const BYTES: u64 = 4 << 20;
    let sink = b.enter(|| TcpSink::bind(&[to("10.0.0.2:7000")], 1).unwrap()).unwrap();
    let sender = a.spawn(|| tcp_bulk(to("10.0.0.2:7000"), BYTES).unwrap()).unwrap();
    sender.join().unwrap().unwrap();
    assert_eq!(sink.finish(1, PATIENCE).bytes, BYTES);
    let seen = read(&mut inn, 1);
    assert_eq!(inn.losses().unwrap(), PacketLosses::default());
    let mut payload = 0;
    let mut big = 0;
    for (_, bytes, frame) in seen.frames.iter().filter(|(_, _, frame)| frame.direction == Direction::Ingress) {
        let parsed = parse::parse(&FrameBytes(bytes), frame, &mut Forgetful).unwrap();
        assert_eq!(parsed.packet.key.proto(), proto::TCP);
        let inside = (parsed.end - parsed.payload_at) as u32;
        payload += u64::from(inside);
        if frame.len > 1514 {
            big += 1;
            assert!((1000..=1460).contains(&frame.segment_size), "{frame:?}");
            assert_eq!(frame.segments, inside.div_ceil(frame.segment_size));
        } else {
            assert_eq!((frame.segments, frame.segment_size), (0, 0));
        }
    }
    assert_eq!(payload, BYTES);
    assert!(big > 10, "{big} buffers of several segments");
    let (packets, _) = seen.packets(Direction::Ingress);
    assert!(packets >= BYTES / 1460, "{packets}");
}

#[test]
fn a_buffer_of_udp_segments_counts_as_its_datagrams() {
    require_root!();
    let lab = Lab::new("uso").unwrap();
    let (a, b) = pair(&lab, Offloads::ALL);
    let mut inn = capture(&b, "eth0", PacketOptions::default());
    a.enter(|| {
        let socket = std::net::UdpSocket::bind("10.0.0.1:0").unwrap();
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::UdpGsoSegment, &1000).unwrap();
        assert_eq!(socket.send_to(&[7; 4500], "10.0.0.2:9").unwrap(), 4500);
    })
    .unwrap();
    let seen = read(&mut inn, 1);
    assert_eq!(inn.losses().unwrap(), PacketLosses::default());
    let got: Vec<_> = seen.frames.iter().filter(|(_, _, frame)| frame.direction == Direction::Ingress).collect();
    if inn.counts_segments() {
        let (packets, ip_bytes) = seen.packets(Direction::Ingress);
        assert_eq!((got.len(), packets, ip_bytes), (1, 5, 4500 + 5 * 28));
        assert_eq!((got[0].2.segments, got[0].2.segment_size), (5, 1000));
    } else {
        // Before Linux 6.2: seen, as one packet, instead of lost.
        assert_eq!((got.len(), got[0].2.segment_size), (1, 0));
    }
}

#[test]
fn on_the_loopback_a_packet_shows_in_both_directions() {
    require_root!();
    let lab = Lab::new("lo").unwrap();
    let a = lab.host("a").unwrap();
    let mut lo = capture(&a, "lo", PacketOptions::default());
    let sink = a.enter(|| std::net::UdpSocket::bind("127.0.0.1:9000").unwrap()).unwrap();
    a.enter(|| udp_blast(to("127.0.0.1:9000"), 100, 10, 1).unwrap()).unwrap();
    let seen = read(&mut lo, 200);
    drop(sink);
    assert_eq!((seen.packets(Direction::Egress), seen.packets(Direction::Ingress)), ((100, 3800), (100, 3800)));
}

#[test]
fn a_tun_interface_gives_bare_ip() {
    require_root!();
    let lab = Lab::new("tun").unwrap();
    let a = lab.host("a").unwrap();
    a.ip_batch("tuntap add dev tun0 mode tun\nlink set tun0 up\naddr add 10.7.0.1/24 dev tun0\n").unwrap();
    let tun = interface(&a, "tun0");
    assert_eq!(tun.link, LinkLayer::Ip);
    // Nobody holds the other end, so the device has no carrier and queues nothing: only a second opener gives it one.
    let held = a.enter(|| hold_tun("tun0")).unwrap();
    let mut socket = a.enter(|| PacketSocket::open(&tun, PacketOptions::default()).unwrap()).unwrap();
    a.settle().unwrap();
    a.enter(|| udp_blast(to("10.7.0.2:9"), 20, 30, 1).unwrap()).unwrap();
    let seen = read(&mut socket, 20);
    drop(held);
    assert!(seen.frames.iter().all(|(_, bytes, frame)| frame.link == Link::Ip && bytes[0] >> 4 == 4));
    assert_eq!(seen.packets(Direction::Egress), (20, 20 * 58));
}

/// Opens the user-space end of a tun interface.
fn hold_tun(name: &str) -> std::fs::File {
    use std::os::fd::AsRawFd;
    let file = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").unwrap();
    // SAFETY: ifreq is a name and a union of plain values; zero bytes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: TUNSETIFF reads and writes an ifreq, which outlives the call.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    file
}

#[test]
fn sockets_of_a_group_share_the_frames_and_keep_a_flow_together() {
    require_root!();
    let lab = Lab::new("fanout").unwrap();
    let (a, b) = pair(&lab, Offloads::NONE);
    let fanout = Some(Fanout { group: 77, mode: FanoutMode::Flow });
    let options = PacketOptions { fanout, ..PacketOptions::default() };
    let mut both = [capture(&b, "eth0", options), capture(&b, "eth0", options)];
    let frames: Vec<Vec<u8>> = (0..1000)
        .map(|n| frame().mac(MACS.0, MACS.1).ipv4("10.0.0.1", "10.0.0.2").udp(1000 + n % 50, 5).payload_len(9).build())
        .collect();
    a.enter(|| raw_frames("eth0", &frames).unwrap()).unwrap();
    let (mut seen, start) = ([Seen::default(), Seen::default()], Instant::now());
    while seen.iter().map(|one| one.frames.len()).sum::<usize>() < 1000 && start.elapsed() < PATIENCE {
        for (one, socket) in seen.iter_mut().zip(&mut both) {
            one.take(socket, Duration::from_millis(20));
        }
    }
    assert!(both.iter_mut().all(|socket| read(socket, 0).frames.is_empty()), "no frame twice");
    assert_eq!(seen[0].frames.len() + seen[1].frames.len(), 1000);
    let ports = |seen: &Seen| seen.keys().iter().map(|key| key.sport).collect::<std::collections::BTreeSet<_>>();
    assert!(ports(&seen[0]).is_disjoint(&ports(&seen[1])));
    assert!(seen.iter().all(|one| !one.frames.is_empty()), "50 flows over 2 sockets");
}

#[test]
fn what_a_full_ring_cannot_take_is_counted() {
    require_root!();
    let lab = Lab::new("full").unwrap();
    let (a, b) = pair(&lab, Offloads::NONE);
    let options = PacketOptions { block_bytes: 4096, blocks: 2, ..PacketOptions::default() };
    let mut inn = capture(&b, "eth0", options);
    let frames: Vec<Vec<u8>> = (0..2000)
        .map(|n| frame().mac(MACS.0, MACS.1).ipv4("10.0.0.1", "10.0.0.2").udp(n, 5).payload_len(200).build())
        .collect();
    a.enter(|| raw_frames("eth0", &frames).unwrap()).unwrap();
    let arrived = b.counters("eth0").unwrap().rx_packets;
    assert_eq!(arrived, 2000);
    let seen = read(&mut inn, 1);
    let losses = inn.losses().unwrap();
    assert!(losses.dropped > 1900 && losses.freezes >= 1, "{losses:?}");
    assert_eq!(seen.frames.len() as u64 + losses.dropped, arrived);
    assert_eq!(inn.losses().unwrap(), losses, "cumulative, not counted twice");
    // Once there is room again, frames arrive again.
    a.enter(|| raw_frames("eth0", &frames[..5]).unwrap()).unwrap();
    assert_eq!(read(&mut inn, 5).frames.len(), 5);
}

#[test]
fn going_down_is_told_once_and_going_away_for_good() {
    require_root!();
    let lab = Lab::new("down").unwrap();
    let (a, b) = pair(&lab, Offloads::NONE);
    let mut inn = capture(&b, "eth0", PacketOptions::default());
    let one = vec![frame().mac(MACS.0, MACS.1).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload_len(9).build()];
    b.ip(&["link", "set", "eth0", "down"]).unwrap();
    let error = inn.poll(PATIENCE, &mut |_, _, _| ()).unwrap_err();
    assert!(matches!(error, PacketError::Down { .. }), "{error}");
    b.ip(&["link", "set", "eth0", "up"]).unwrap();
    lab.settle().unwrap();
    a.enter(|| raw_frames("eth0", &one).unwrap()).unwrap();
    assert_eq!(read(&mut inn, 1).frames.len(), 1, "captures again");
    b.ip(&["link", "del", "eth0"]).unwrap();
    let error = inn.poll(PATIENCE, &mut |_, _, _| ()).unwrap_err();
    assert!(matches!(error, PacketError::Gone { .. }), "{error}");
}

#[test]
fn mistakes_are_named_with_what_to_do() {
    require_root!();
    let lab = Lab::new("wrong").unwrap();
    let a = lab.host("a").unwrap();
    let lo = interface(&a, "lo");
    let told = |interface: &Interface, options| {
        let opened = a.enter(|| PacketSocket::open(interface, options).map(drop)).unwrap();
        opened.unwrap_err().to_string()
    };
    let usual = PacketOptions::default();
    assert!(told(&lo, PacketOptions { block_bytes: 5000, ..usual }).contains("page size"));
    assert!(told(&lo, PacketOptions { blocks: 1, ..usual }).contains("at least 2 blocks"));
    assert!(told(&lo, PacketOptions { snap_bytes: 1 << 20, ..usual }).contains("lower the capture length"));
    assert!(told(&lo, PacketOptions { timeout_ms: 0, ..usual }).contains("block timeout"));
    let gone = Interface { index: 4_000, name: "eth9".to_owned(), ..lo.clone() };
    assert!(told(&gone, usual).contains("`eth9` is gone"));
    let far = Interface { index: 1 << 24, ..gone.clone() };
    assert!(told(&far, usual).contains("beyond the 16777215"));
    let can = Interface { link: LinkLayer::Other(280), name: "can0".to_owned(), ..lo };
    assert!(told(&can, usual).contains("`--interface '!can0'`"));
}
