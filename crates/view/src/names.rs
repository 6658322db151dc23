//! Names of what goes by number: DNS types and codes, TLS versions, applications by port.

/// `A`, `AAAA`, …, or `TYPE123` (RFC 3597 §5).
pub fn dns_type(number: u16) -> String {
    let name = match number {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        41 => "OPT",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        other => return format!("TYPE{other}"),
    };
    name.to_owned()
}

/// `NOERROR`, `NXDOMAIN`, …, or `RCODE123` (IANA "DNS RCODEs").
pub fn dns_rcode(number: u16) -> String {
    let name = match number {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        other => return format!("RCODE{other}"),
    };
    name.to_owned()
}

/// `TLS 1.3` of 0x0304, and so on; the number in hexadecimal where it has no name.
pub fn tls_version(number: u16) -> String {
    match number {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        other => format!("{other:#06x}"),
    }
}

/// The application that usually serves at a port (IANA "Service Name and Transport Protocol Port Number Registry"): a
/// guess, and to be shown as one.
pub fn application_by_port(protocol: u8, port: u16) -> Option<&'static str> {
    const TCP: u8 = 6;
    Some(match (protocol, port) {
        (TCP, 20) => "ftp-data",
        (TCP, 21) => "ftp",
        (TCP, 22) => "ssh",
        (TCP, 23) => "telnet",
        (TCP, 25) => "smtp",
        (_, 53) => "dns",
        (17, 67 | 68) => "dhcp",
        (17, 69) => "tftp",
        (TCP, 80 | 8000 | 8080) => "http",
        (_, 88) => "kerberos",
        (TCP, 110) => "pop3",
        (17, 123) => "ntp",
        (TCP, 135) => "msrpc",
        (17, 137 | 138) => "netbios",
        (TCP, 139 | 445) => "smb",
        (TCP, 143) => "imap",
        (17, 161 | 162) => "snmp",
        (TCP, 179) => "bgp",
        (_, 389) => "ldap",
        (TCP, 443 | 8443) => "https",
        (17, 443) => "quic",
        (TCP, 465 | 587) => "submission",
        (17, 500 | 4500) => "ipsec",
        (_, 514) => "syslog",
        (17, 546 | 547) => "dhcpv6",
        (TCP, 636) => "ldaps",
        (TCP, 853) => "dns-over-tls",
        (TCP, 873) => "rsync",
        (TCP, 993) => "imaps",
        (TCP, 995) => "pop3s",
        (_, 1194) => "openvpn",
        (TCP, 1433) => "mssql",
        (TCP, 1521) => "oracle",
        (TCP, 1883) => "mqtt",
        (17, 1900) => "ssdp",
        (_, 2049) => "nfs",
        (TCP, 2379 | 2380) => "etcd",
        (TCP, 3128) => "http-proxy",
        (TCP, 3306) => "mysql",
        (_, 3389) => "rdp",
        (_, 3478) => "stun",
        (TCP, 5432) => "postgresql",
        (TCP, 5201) => "iperf3",
        (17, 5353) => "mdns",
        (17, 5355) => "llmnr",
        (_, 5060 | 5061) => "sip",
        (TCP, 5672) => "amqp",
        (TCP, 5900) => "vnc",
        (TCP, 6379) => "redis",
        (TCP, 6443) => "kubernetes",
        (17, 6081) => "geneve",
        (17, 4789) => "vxlan",
        (TCP, 9090) => "prometheus",
        (TCP, 9092) => "kafka",
        (TCP, 9100) => "node-exporter",
        (TCP, 9200) => "elasticsearch",
        (TCP, 11211) => "memcached",
        (TCP, 27017) => "mongodb",
        (17, 51820) => "wireguard",
        _ => return None,
    })
}
