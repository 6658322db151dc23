//! Names of IP protocol numbers, as IANA and /etc/protocols write them.

const NAMES: &[(u8, &str)] = &[
    (0, "hopopt"),
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipip"),
    (6, "tcp"),
    (8, "egp"),
    (17, "udp"),
    (27, "rdp"),
    (33, "dccp"),
    (41, "ipv6"),
    (46, "rsvp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (59, "ipv6-nonxt"),
    (88, "eigrp"),
    (89, "ospf"),
    (94, "ipip-old"),
    (97, "etherip"),
    (103, "pim"),
    (108, "ipcomp"),
    (112, "vrrp"),
    (115, "l2tp"),
    (132, "sctp"),
    (136, "udplite"),
    (137, "mpls-in-ip"),
];

/// The protocol's name; `None` for numbers without a usual one.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    NAMES.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

/// The number behind a name or a decimal number, whatever the case.
pub fn protocol_by_name(name: &str) -> Option<u8> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let name = name.to_ascii_lowercase();
    let name = if name == "ipv6-icmp" { "icmpv6" } else { &name };
    NAMES.iter().find(|(_, n)| *n == name).map(|(number, _)| *number)
}
