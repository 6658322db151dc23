//! The captures of `cases/` that were made, not recorded: each shows one thing that no recording at hand shows.
//!
//! Their bytes are committed beside their expectations, so that they can be looked at with any tool; a test holds them
//! against this generator. Invariant: equal code gives equal bytes.

use hivewall_testkit::packet::{ACK, FIN, PSH, Packet, RST, SYN, bare, frame};
use hivewall_testkit::pcap::{
    Interface, LINUX_SLL2, NULL, Order, PcapFormat, PcapWriter, PcapngWriter, RAW, pcap_bytes,
};

const MS: u64 = 1_000_000;
/// 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600_000 * MS;

/// One made capture.
pub(crate) struct Made {
    /// Area and name below `cases/`.
    pub(crate) name: &'static str,
    /// File name in the case.
    pub(crate) file: &'static str,
    /// Why it is here.
    pub(crate) about: &'static str,
    /// Writes it.
    pub(crate) bytes: fn() -> Vec<u8>,
}

const fn made(name: &'static str, file: &'static str, about: &'static str, bytes: fn() -> Vec<u8>) -> Made {
    Made { name, file, about, bytes }
}

/// All of them.
pub(crate) const MADE: &[Made] = &[
    made("link/qinq", "in.pcap", "802.1ad around 802.1Q: both ids are the flow's, three tags are refused.", qinq),
    made("link/sll2", "in.pcap", "Linux cooked v2: direction from the packet type, ARP apart, 20 link bytes.", sll2),
    made(
        "link/loopback_big_endian",
        "in.pcap",
        "BSD loopback in a big-endian nanosecond file: IPv4 and IPv6.",
        loopback,
    ),
    made("link/raw_ip", "in.pcap", "Raw IP: SCTP, ESP and UDP-Lite, and a byte that is no IP version.", raw_ip),
    made(
        "time/out_of_order",
        "in.pcap",
        "Records up to 900 ms late keep the time reached; a leap of a day back restarts the clock.",
        out_of_order,
    ),
    made(
        "time/idle_gap",
        "in.pcap",
        "Two questions 61 s apart on one UDP tuple are two conversations by default.",
        idle_gap,
    ),
    made(
        "pcapng/forwarded",
        "in.pcapng",
        "In at one interface and out at another, as the file says: each packet counts once in the flow.",
        forwarded,
    ),
    made(
        "pcapng/two_interfaces",
        "in.pcapng",
        "Two interfaces, no word about directions: what both received are different packets.",
        two_interfaces,
    ),
    made(
        "pcapng/two_sections",
        "in.pcapng",
        "A big-endian section after a little-endian one, times in powers of two, a packet without a time.",
        two_sections,
    ),
    made(
        "fragments/in_order",
        "in.pcap",
        "IPv4 and IPv6 fragments: the later ones inherit the ports of the first.",
        fragments,
    ),
    made(
        "fragments/out_of_order",
        "in.pcap",
        "The last fragment first: its ports are unknown, not zero.",
        fragments_reversed,
    ),
    made("fragments/short_first", "in.pcap", "A first fragment of 8 bytes hides the TCP flags: refused.", short_first),
    made(
        "tcp/port_reuse",
        "in.pcap",
        "A second connection on the tuple of one that was closed by FIN: two flows.",
        port_reuse,
    ),
    made(
        "tcp/syn_ack_first",
        "in.pcap",
        "The capture began after the SYN: who answers with SYN-ACK is the server.",
        syn_ack_first,
    ),
    made("tcp/reset", "in.pcap", "A refused connection and one that is broken off.", reset),
    made("tcp/halves", "in.pcap", "Half open, half closed, and one seen from one side only.", halves),
    made(
        "tcp/offloaded",
        "in.pcap",
        "A buffer left to segmentation offload has IPv4 length 0: the frame's bytes count.",
        offloaded,
    ),
    made(
        "tunnel/vxlan_geneve",
        "in.pcap",
        "VXLAN and Geneve: outer flow, inner flow marked, nothing twice in the totals.",
        overlays,
    ),
    made(
        "tunnel/broken_inside",
        "in.pcap",
        "A 6in4 packet whose inside is no IPv6: the outer flow counts, the inside is told.",
        broken_inside,
    ),
    made(
        "ipv6/extensions",
        "in.pcap",
        "Eight extension headers are walked, nine are refused; AH counts in words of 4 bytes.",
        extensions,
    ),
    made(
        "icmp/pairs",
        "in.pcap",
        "Echo and reply are one flow, an error is one of its own; neighbour discovery pairs up.",
        icmp_pairs,
    ),
    made("invalid/lengths", "in.pcap", "One frame for each length that is a lie: every one under its reason.", lengths),
    made(
        "invalid/snapped",
        "in.pcap",
        "Cut by the snapshot length: in the flow where the ports are there, else told as snapped.",
        snapped,
    ),
];

/// Frames 1 ms apart.
fn ethernet(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    written(PcapFormat::default(), frames)
}

fn written(format: PcapFormat, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let frames: Vec<Vec<u8>> = frames.into_iter().collect();
    pcap_bytes(format, frames.iter().zip(0..).map(|(frame, number)| (START + number * MS, &frame[..])))
}

fn timed(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    pcap_bytes(PcapFormat::default(), frames.iter().map(|(ms, frame)| (START + ms * MS, &frame[..])))
}

const CLIENT: &str = "192.0.2.10";
const SERVER: &str = "198.51.100.80";

fn there(port: u16) -> Packet {
    frame().ipv4(CLIENT, SERVER).tcp(port, 80)
}

fn back(port: u16) -> Packet {
    frame().ipv4(SERVER, CLIENT).tcp(80, port)
}

fn handshake(port: u16) -> Vec<Vec<u8>> {
    vec![there(port).flags(SYN).build(), back(port).flags(SYN | ACK).build(), there(port).flags(ACK).build()]
}

fn closing(port: u16) -> Vec<Vec<u8>> {
    vec![there(port).flags(FIN | ACK).build(), back(port).flags(FIN | ACK).build(), there(port).flags(ACK).build()]
}

fn connection(port: u16, bytes: usize) -> Vec<Vec<u8>> {
    let mut frames = handshake(port);
    frames.push(there(port).flags(PSH | ACK).payload_len(bytes).build());
    frames.push(back(port).flags(ACK).build());
    frames.extend(closing(port));
    frames
}

fn qinq() -> Vec<u8> {
    let tagged = || frame().service_vlan(100).vlan(0x6014);
    ethernet(vec![
        tagged().ipv4(CLIENT, SERVER).udp(40_000, 53).payload_len(20).build(),
        tagged().ipv4(SERVER, CLIENT).udp(53, 40_000).payload_len(60).build(),
        // The same addresses under another inner tag are another conversation.
        frame().service_vlan(100).vlan(21).ipv4(CLIENT, SERVER).udp(40_000, 53).payload_len(20).build(),
        frame().vlan(20).ipv6("2001:db8::1", "2001:db8::2").udp(1, 2).build(),
        frame().tag(0x9100, 5).vlan(6).vlan(7).ipv4(CLIENT, SERVER).udp(1, 2).build(),
    ])
}

/// A cooked v2 header: EtherType, interface 3, packet type.
fn cooked(ethertype: u16, kind: u8, packet: &Packet) -> Vec<u8> {
    let [e0, e1] = ethertype.to_be_bytes();
    let mut bytes = vec![e0, e1, 0, 0, 0, 0, 0, 3, 0, 1, kind, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    bytes.extend(packet.build());
    bytes
}

fn sll2() -> Vec<u8> {
    const OUTGOING: u8 = 4;
    let format = PcapFormat { link: LINUX_SLL2, ..PcapFormat::default() };
    let frames = vec![
        cooked(0x0800, OUTGOING, &bare().ipv4(CLIENT, SERVER).udp(40_000, 53).payload_len(30)),
        cooked(0x0800, 0, &bare().ipv4(SERVER, CLIENT).udp(53, 40_000).payload_len(90)),
        cooked(0x86dd, 0, &bare().ipv6("2001:db8::1", "2001:db8::2").tcp(1, 2).flags(SYN)),
        cooked(0x0806, 1, &bare().arp_request(CLIENT, SERVER)),
    ];
    written(format, frames)
}

fn loopback() -> Vec<u8> {
    let family = |family: u32, packet: Packet| {
        let mut bytes = family.to_be_bytes().to_vec();
        bytes.extend(packet.build());
        bytes
    };
    let format = PcapFormat { link: NULL, order: Order::Big, nanoseconds: true, ..PcapFormat::default() };
    let frames = vec![
        family(2, bare().ipv4("127.0.0.1", "127.0.0.1").udp(5000, 6000).payload_len(10)),
        family(30, bare().ipv6("::1", "::1").udp(5000, 6000).payload_len(10)),
        family(7, bare().payload_len(40)),
    ];
    written(format, frames)
}

fn raw_ip() -> Vec<u8> {
    let packet = || bare().ipv4(CLIENT, SERVER);
    let frames = vec![
        packet().sctp(3868, 3868, 7).payload_len(16).build(),
        bare().ipv4(SERVER, CLIENT).sctp(3868, 3868, 9).payload_len(16).build(),
        packet().esp(1, 1).payload_len(40).build(),
        packet().protocol(136).payload(&[0x13, 0x88, 0x17, 0x70, 0, 8, 0, 0, 1, 2, 3]).build(),
        bare().ipv6("2001:db8::1", "2001:db8::2").udp(1, 2).build(),
        vec![0x15; 40],
    ];
    written(PcapFormat { link: RAW, ..PcapFormat::default() }, frames)
}

fn out_of_order() -> Vec<u8> {
    let there = |port| frame().ipv4(CLIENT, SERVER).udp(port, 53).payload_len(30).build();
    let back = |port| frame().ipv4(SERVER, CLIENT).udp(53, port).payload_len(90).build();
    const DAY: u64 = 86_400_000;
    timed(&[
        (DAY + 1_000, there(1)),
        (DAY + 1_900, there(2)),
        (DAY + 1_000, back(1)),
        (DAY + 1_950, back(2)),
        (1_000, there(3)),
        (1_010, back(3)),
    ])
}

fn idle_gap() -> Vec<u8> {
    let there = || frame().ipv4(CLIENT, SERVER).udp(40_000, 123).payload_len(48).build();
    let back = || frame().ipv4(SERVER, CLIENT).udp(123, 40_000).payload_len(48).build();
    timed(&[(0, there()), (20, back()), (61_020, there()), (61_040, back())])
}

/// An enhanced packet block with the option that tells the direction: 1 is inbound, 2 outbound.
fn directed(interface: u32, nanos: u64, direction: u32, frame: &[u8]) -> Vec<u8> {
    let (micros, len) = (nanos / 1000, frame.len() as u32);
    let words = [interface, (micros >> 32) as u32, micros as u32, len, len];
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(frame);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend([2, 0, 4, 0].into_iter().chain(direction.to_le_bytes()).chain([0; 4]));
    body
}

fn forwarded() -> Vec<u8> {
    const ENHANCED: u32 = 6;
    let write = || {
        let mut writer = PcapngWriter::new(Vec::new(), Order::Little)?;
        writer.interface(Interface { name: "lan", ..Interface::default() })?;
        writer.interface(Interface { name: "wan", ..Interface::default() })?;
        for (packet, number) in connection(40_000, 500).iter().zip(0..) {
            let at = START + number * MS;
            // The client's packets come in at the LAN, the server's at the WAN.
            let from_client = packet.get(26..30) == Some(&[192, 0, 2, 10]);
            let (inward, outward) = if from_client { (0, 1) } else { (1, 0) };
            writer.block(ENHANCED, &directed(inward, at, 1, packet))?;
            writer.block(ENHANCED, &directed(outward, at + 50_000, 2, packet))?;
        }
        writer.finish()
    };
    write().unwrap_or_else(|error: std::io::Error| unreachable!("memory takes every byte: {error}"))
}

fn two_interfaces() -> Vec<u8> {
    let write = || {
        let mut writer = PcapngWriter::new(Vec::new(), Order::Little)?;
        let lan = writer.interface(Interface { name: "lan", tsresol: Some(9), ..Interface::default() })?;
        let wan = writer.interface(Interface { name: "wan", ..Interface::default() })?;
        let mut at = START;
        for packet in connection(40_000, 500) {
            writer.packet(lan, at, &packet)?;
            writer.packet(wan, at + 50_000, &packet)?;
            at += MS;
        }
        writer.packet(lan, at, &frame().ipv4(CLIENT, "192.0.2.1").udp(5, 53).payload_len(9).build())?;
        writer.finish()
    };
    write().unwrap_or_else(|error: std::io::Error| unreachable!("memory takes every byte: {error}"))
}

fn two_sections() -> Vec<u8> {
    let there = frame().ipv4(CLIENT, SERVER).udp(40_000, 53).payload_len(30).build();
    let back = frame().ipv4(SERVER, CLIENT).udp(53, 40_000).payload_len(90).build();
    let write = || {
        let mut writer = PcapngWriter::new(Vec::new(), Order::Little)?;
        let first = writer.interface(Interface { tsresol: Some(0x8a), ..Interface::default() })?;
        writer.packet(first, START, &there)?;
        // A block type for local use, which carries no packet.
        writer.block(0x8000_0001, b"not a packet")?;
        writer.simple_packet(&back)?;
        writer.section(Order::Big)?;
        let second = writer.interface(Interface { name: "eth1", ..Interface::default() })?;
        writer.packet(second, START + 500 * MS, &there)?;
        writer.finish()
    };
    write().unwrap_or_else(|error: std::io::Error| unreachable!("memory takes every byte: {error}"))
}

fn datagrams() -> [Packet; 2] {
    [
        frame().ipv4(CLIENT, SERVER).udp(40_000, 2049).payload_len(3000),
        frame().ipv6("2001:db8::1", "2001:db8::2").udp(40_000, 2049).payload_len(3000),
    ]
}

fn fragments() -> Vec<u8> {
    ethernet(datagrams().iter().flat_map(|datagram| datagram.fragments(1480, 77)))
}

fn fragments_reversed() -> Vec<u8> {
    let reversed = datagrams().into_iter().flat_map(|datagram| {
        let mut pieces = datagram.fragments(1480, 77);
        pieces.reverse();
        pieces
    });
    ethernet(reversed)
}

fn short_first() -> Vec<u8> {
    let hidden = frame().ipv4(CLIENT, SERVER).tcp(40_000, 22).flags(SYN).payload_len(16);
    ethernet(hidden.fragments(8, 9))
}

fn port_reuse() -> Vec<u8> {
    let mut frames = connection(40_000, 100);
    frames.extend(connection(40_000, 200));
    ethernet(frames)
}

fn syn_ack_first() -> Vec<u8> {
    // Both ports are high and the server's is the higher one: without the SYN-ACK every guess would be wrong.
    let there = || frame().ipv4(CLIENT, SERVER).tcp(30_000, 50_000);
    let back = || frame().ipv4(SERVER, CLIENT).tcp(50_000, 30_000);
    ethernet(vec![
        back().flags(SYN | ACK).build(),
        there().flags(ACK).build(),
        there().flags(PSH | ACK).payload_len(10).build(),
    ])
}

fn reset() -> Vec<u8> {
    let mut frames = vec![there(1).flags(SYN).build(), back(1).flags(RST | ACK).build()];
    frames.extend(handshake(2));
    frames.push(there(2).flags(PSH | ACK).payload_len(700).build());
    frames.push(back(2).flags(RST).build());
    ethernet(frames)
}

fn halves() -> Vec<u8> {
    let mut frames = vec![there(1).flags(SYN).build()];
    frames.extend([there(2).flags(SYN).build(), back(2).flags(SYN | ACK).build()]);
    frames.extend(handshake(3));
    frames.push(there(3).flags(FIN | ACK).build());
    frames.extend([back(4).flags(ACK).payload_len(1000).build(), back(4).flags(ACK).payload_len(1000).build()]);
    ethernet(frames)
}

fn offloaded() -> Vec<u8> {
    let mut frames = handshake(1);
    // The total length of a buffer beyond 64 KiB, or one that the card will write, is 0.
    frames.push(frame().ipv4(CLIENT, SERVER).length(0).tcp(1, 80).flags(PSH | ACK).payload_len(20_000).build());
    frames.push(back(1).flags(ACK).build());
    ethernet(frames)
}

fn overlays() -> Vec<u8> {
    let inner = |id| frame().ipv4("10.0.0.1", "10.0.0.2").udp(id, 53).payload_len(40);
    ethernet(vec![
        frame().ipv4(CLIENT, SERVER).vxlan(42).inner(&inner(1)).build(),
        frame()
            .ipv4(SERVER, CLIENT)
            .vxlan(42)
            .inner(&frame().ipv4("10.0.0.2", "10.0.0.1").udp(53, 1).payload_len(80))
            .build(),
        frame().ipv6("2001:db8::1", "2001:db8::2").geneve(7).inner(&inner(2)).build(),
        // Port 4789 without the VXLAN flag is some other traffic.
        frame().ipv4(CLIENT, SERVER).udp(40_009, 4789).payload_len(60).build(),
    ])
}

fn broken_inside() -> Vec<u8> {
    let inner = bare().ipv6("2001:db8::1", "2001:db8::2").udp(1, 2).payload_len(8);
    ethernet(vec![
        frame().ipv4(CLIENT, SERVER).inner(&inner).build(),
        frame().ipv4(CLIENT, SERVER).protocol(41).payload_len(60).build(),
        frame().ipv4(CLIENT, SERVER).gre().inner(&bare().ipv4("10.0.0.1", "10.0.0.2").length(900).udp(1, 2)).build(),
    ])
}

fn extensions() -> Vec<u8> {
    let packet = || frame().ipv6("2001:db8::1", "2001:db8::2");
    let many = |count| (1..count).fold(packet().hop_by_hop(), |packet, _| packet.destination_options());
    ethernet(vec![
        packet().hop_by_hop().routing().destination_options().udp(1, 53).payload_len(5).build(),
        packet().authentication(12).tcp(2, 80).flags(SYN).build(),
        many(8).udp(3, 53).build(),
        many(9).udp(4, 53).build(),
        packet().ipv6_fragment(0, false, 5).reserved().udp(5, 53).build(),
    ])
}

fn icmp_pairs() -> Vec<u8> {
    ethernet(vec![
        frame().ipv4(CLIENT, SERVER).icmp(8, 0, 1).payload_len(56).build(),
        frame().ipv4(SERVER, CLIENT).icmp(0, 0, 1).payload_len(56).build(),
        frame().ipv4("192.0.2.1", CLIENT).icmp(11, 0, 0).payload_len(28).build(),
        frame().ipv6("2001:db8::1", "2001:db8::2").icmp6(128, 0, 1).payload_len(56).build(),
        frame().ipv6("2001:db8::2", "2001:db8::1").icmp6(129, 0, 1).payload_len(56).build(),
        frame().ipv6("fe80::1", "fe80::2").icmp6(135, 0, 0).payload_len(16).build(),
        frame().ipv6("fe80::2", "fe80::1").icmp6(136, 0, 0).payload_len(16).build(),
    ])
}

fn lengths() -> Vec<u8> {
    let v4 = || frame().ipv4(CLIENT, SERVER);
    let v6 = || frame().ipv6("2001:db8::1", "2001:db8::2");
    ethernet(vec![
        vec![0x55; 9],
        v4().header_words(4).udp(1, 2).build(),
        v4().length(1500).udp(1, 2).build(),
        v4().length(12).udp(1, 2).build(),
        v6().version(5).udp(1, 2).build(),
        v6().length(1000).udp(1, 2).build(),
        v6().hop_by_hop().length(200).udp(1, 2).build(),
        v4().tcp(1, 2).header_words(3).build(),
        v4().tcp(1, 2).header_words(15).build(),
        v4().udp(1, 2).length(7).build(),
        v4().udp(1, 2).length(400).build(),
        v4().protocol(1).payload(&[8]).build(),
        v4().protocol(132).payload(&[0, 1, 0, 2]).build(),
        frame().protocol(0x8847).payload_len(46).build(),
        frame().protocol(0x88cc).payload_len(46).build(),
        frame().protocol(0x0026).payload_len(46).build(),
        v4().udp(1, 2).payload_len(8).build(),
    ])
}

fn snapped() -> Vec<u8> {
    use hivewall_testkit::pcap::Cut;
    let whole = there(1).flags(PSH | ACK).payload_len(1000).build();
    let write = || {
        let mut writer = PcapWriter::new(Vec::new(), PcapFormat { snaplen: 96, ..PcapFormat::default() })?;
        for (number, cut) in [96_usize, 48, 47, 34, 20, 13, 0].into_iter().enumerate() {
            let data = whole.get(..cut).unwrap_or_default();
            writer.packet(START + number as u64 * MS, Cut { data, wire_len: whole.len() as u32 })?;
        }
        writer.finish()
    };
    write().unwrap_or_else(|error: std::io::Error| unreachable!("memory takes every byte: {error}"))
}
