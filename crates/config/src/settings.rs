//! The settings: the one place where a setting is added, changed or taken out.
//!
//! The macro turns each entry into a field of [`Config`] with its default and a row of [`SECTIONS`]; the doc comment
//! is what help, sample file and reference page say. What the values mean for the agent is decided where they are
//! used. Invariant: every field has a row, every row a field, and the default and the example are within the range.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::{
    AlertCapture, Backend, Enforcement, Front, Kind, Label, LogFormat, LogLevel, Login, Pattern, Sandboxing, Section,
    Setting, Word,
};

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $Section:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty = $default:expr, $kind:expr, flag $flag:literal, example $example:literal;
            )+
        }
    )+) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $Section {
                $($(#[doc = $doc])+ pub $name: $type,)+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($name: $default,)+ }
                }
            }
        )+

        /// The whole configuration. Its `Default` is the documented one.
        #[derive(Clone, Debug, PartialEq, Eq, Default)]
        pub struct Config {
            $($(#[doc = $section_doc])+ pub $section: $Section,)+
        }

        /// Every setting, by section, in the order of the documentation.
        pub static SECTIONS: &[Section] = &[$(
            Section {
                name: stringify!($section),
                doc: concat!($($section_doc),+).trim_ascii(),
                settings: &[$(
                    Setting {
                        key: concat!(stringify!($section), ".", stringify!($name)),
                        section: stringify!($section),
                        name: stringify!($name),
                        doc: concat!($($doc),+).trim_ascii(),
                        kind: $kind,
                        flag: $flag,
                        example: $example,
                        read: |config| crate::value::Value::to_toml(&config.$section.$name),
                        write: |config, input, kind, fill| {
                            crate::value::fill(&mut config.$section.$name, input, kind, fill)
                        },
                    },
                )+],
            },
        )+];
    };
}

/// `min` to `max` of `unit`.
const fn number(min: u64, max: u64, unit: &'static str) -> Kind {
    Kind::Number { min, max, zero: None, unit }
}

/// The same, or 0 with a meaning of its own.
const fn number_or_zero(zero: &'static str, min: u64, max: u64, unit: &'static str) -> Kind {
    Kind::Number { min, max, zero: Some(zero), unit }
}

settings! {
    /// What is captured, and with how much memory.
    capture: Capture {
        /// Interfaces to capture on, by name or pattern; `!x` excludes. When nothing is included by name or pattern,
        /// all interfaces are, the loopback aside. Interfaces that appear later are picked up when they match.
        interfaces: Vec<Pattern> = Vec::new(), Kind::Patterns, flag "interface",
            example r#"["eth*", "wg0", "!eth9"]"#;
        /// Whether the loopback is captured too. Naming it in full in `interfaces` does the same; a pattern with
        /// `*` or `?` does not.
        loopback: bool = false, Kind::Boolean, flag "loopback", example "true";
        /// How packets are seen.
        backend: Backend = Backend::Auto, Kind::Choice(Backend::CHOICES), flag "backend", example r#""af-packet""#;
        /// Lines of the flow cache in the kernel, for each CPU; a line is 64 bytes and holds one direction of a flow.
        /// Rounded up to a power of two. A cache too small stays exact and costs more CPU time.
        flow_cache_lines: u32 = 0, number_or_zero("automatic", 64, 1 << 22, "lines"), flag "flow-cache-lines",
            example "16384";
        /// Slots of the ring between kernel and agent, for each CPU; a slot is 72 bytes. Rounded up to a power of two.
        /// What does not fit is lost and counted as such.
        ring_slots: u32 = 65_536, number(64, 1 << 22, "slots"), flag "ring-slots", example "131072";
        /// Time between two readings of the flow cache: how old what is shown can be.
        sweep_interval_ms: u32 = 1_000, number(100, 10_000, "milliseconds"), flag "sweep-interval-ms", example "500";
    }

    /// How flows are kept, and when they end.
    flows: Flows {
        /// Running flows held at most. Beyond it the flow that has been quiet longest is ended to make room.
        max: usize = 1_000_000, number(1, 100_000_000, "flows"), flag "flows-max", example "250000";
        /// Silence after which a flow has ended, for UDP and every protocol without a timeout of its own.
        idle_timeout_s: u64 = 60, number(1, DAY_S, "seconds"), flag "idle-timeout-s", example "30";
        /// Silence after which a TCP flow has ended that was neither closed nor reset.
        tcp_idle_timeout_s: u64 = 300, number(1, DAY_S, "seconds"), flag "tcp-idle-timeout-s", example "3600";
        /// Silence after which an ICMP or ICMPv6 flow has ended.
        icmp_idle_timeout_s: u64 = 15, number(1, DAY_S, "seconds"), flag "icmp-idle-timeout-s", example "5";
        /// Age at which a flow is ended and begun anew, so that a long one shows up in the log while it runs.
        active_timeout_s: u64 = 1_800, number(1, 7 * DAY_S, "seconds"), flag "active-timeout-s", example "300";
        /// How long a TCP flow that was closed or reset waits for late packets before it is reported.
        closed_linger_s: u64 = 2, number(0, 60, "seconds"), flag "closed-linger-s", example "5";
        /// Ended flows kept for queries; the oldest goes first.
        closed_keep: usize = 10_000, number(0, 10_000_000, "flows"), flag "closed-keep", example "100000";
    }

    /// What is counted by address and by subnet.
    traffic: Traffic {
        /// Addresses counted one by one. Beyond it the heaviest keep a counter of their own and the rest is summed.
        addresses_max: usize = 65_536, number(1, 1 << 24, "addresses"), flag "addresses-max", example "10000";
        /// Subnets that are counted as a whole. Addresses in several of them count in each.
        subnets: Vec<IpNet> = Vec::new(), Kind::Networks, flag "subnet", example r#"["10.0.0.0/8", "2001:db8::/32"]"#;
    }

    /// Names and times read from the first bytes of conversations: DNS, TLS, QUIC, HTTP, SSH, handshakes.
    names: Names {
        /// Whether they are read. Payload stays on this host and is not kept; without it flows have no names, no
        /// handshake times, and applications are guessed from ports.
        enabled: bool = true, Kind::Boolean, flag "names", example "false";
        /// Packets whose first bytes the kernel copies at most, for each CPU and second. Beyond it names are missing
        /// and that is counted; flows are exact all the same.
        peeks_per_second: u32 = 20_000, number(1, 10_000_000, "packets"), flag "peeks-per-second", example "5000";
    }

    /// Which process is behind a flow.
    processes: Processes {
        /// Whether flows are tied to processes and containers.
        enabled: bool = true, Kind::Boolean, flag "processes", example "false";
        /// Packets dropped by the kernel are counted by reason. Needs the same kernel features.
        drops: bool = true, Kind::Boolean, flag "kernel-drops", example "false";
    }

    /// History: flows that ended, kept on disk for questions about the past.
    history: History {
        /// Directory it is kept in; made when it is not there.
        directory: String = "/var/lib/hivewall".to_owned(), Kind::Path { empty: "no history" },
            flag "history-directory", example r#""/srv/hivewall""#;
        /// Age at which flows are removed.
        max_age_days: u32 = 30, number(1, 3_660, "days"), flag "history-max-age-days", example "7";
        /// Size of all flows on disk beyond which the oldest are removed.
        max_size_mb: u64 = 2_048, number(16, 1 << 24, "megabytes"), flag "history-max-size-mb", example "10000";
        /// Age at which summaries by minute and hour are removed; they answer questions about long spans.
        rollup_age_days: u32 = 400, number(1, 36_600, "days"), flag "history-rollup-age-days", example "90";
    }

    /// The firewall policy of this host.
    policy: Policy {
        /// Directory of the policy's state: whom this host trusts, the highest version it took up, the documents in
        /// force and to go back to. Only its owner may have access, and no configuration management should restore it.
        state: String = "/var/lib/hivewall/policy".to_owned(), Kind::Path { empty: "no policy" },
            flag "policy-state", example r#""/srv/hivewall/policy""#;
        /// What enforces the policy: programs of ours in the kernel, or the packet filter that is there already. All
        /// three give the same verdicts.
        backend: Enforcement = Enforcement::Ebpf, Kind::Choice(Enforcement::CHOICES), flag "policy-backend",
            example r#""nftables""#;
        /// Folder of a BPF file system for what outlives the agent while a policy or a ban is in force. It is mounted
        /// where it is missing.
        pins: String = "/sys/fs/bpf/hivewall".to_owned(), Kind::Path { empty: "nothing outlives the agent" },
            flag "policy-pins", example r#""/run/bpf/hivewall""#;
        /// Where banned sources are dropped, where interfaces can: before the kernel's network stack, or in it.
        front: Front = Front::Native, Kind::Choice(Front::CHOICES), flag "policy-front", example r#""generic""#;
        /// TCP port by which this host is managed. Sessions there survive every policy.
        management_port: u16 = 22, number(1, 65_535, "port"), flag "management-port", example "2222";
        /// Networks from which that port is always open, whatever a policy says.
        management: Vec<IpNet> = Vec::new(), Kind::Networks, flag "management", example r#"["10.9.0.0/24"]"#;
        /// Networks that are accepted before bans and policy are asked.
        exempt: Vec<IpNet> = Vec::new(), Kind::Networks, flag "policy-exempt", example r#"["192.0.2.1/32"]"#;
        /// File with rules of this host's own, which no policy can take away.
        floor: String = String::new(), Kind::Path { empty: "no rules" }, flag "policy-floor",
            example r#""/etc/hivewall/floor.yaml""#;
    }

    /// The fleet that this host belongs to. It belongs to none, and nothing listens, before `hivewall cluster init` or
    /// `hivewall cluster join`.
    fleet: Fleet {
        /// Directory of this host's part of the fleet: its identity and what the fleet agreed on. Only its owner may have
        /// access, and no two hosts may have the same.
        directory: String = "/var/lib/hivewall/fleet".to_owned(), Kind::Path { empty: "no fleet" },
            flag "fleet-directory", example r#""/srv/hivewall/fleet""#;
        /// Address and UDP port for everything that members say to one another.
        listen: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 7734), Kind::Bind,
            flag "fleet-listen", example r#""192.0.2.7:7734""#;
        /// Addresses at which the others reach this host, best first. Without any, those of its interfaces; behind a
        /// router that translates addresses, the outer one.
        advertise: Vec<SocketAddr> = Vec::new(), Kind::Addresses, flag "fleet-advertise",
            example r#"["203.0.113.9:7734"]"#;
        /// Addresses of members to look for when none of those that are remembered answers.
        seeds: Vec<SocketAddr> = Vec::new(), Kind::Addresses, flag "fleet-seed", example r#"["192.0.2.1:7734"]"#;
        /// Labels by which policies select this host and sets of hosts are made.
        labels: Vec<Label> = Vec::new(), Kind::Labels, flag "label", example r#"["role=web", "env=prod"]"#;
        /// Whether this host runs on a battery: it then sums up for others only where nobody else does.
        battery: bool = false, Kind::Boolean, flag "fleet-battery", example "true";
        /// Whether this host is announced on the local network (mDNS), for `hivewall cluster join` to suggest. Whoever
        /// joins needs an invitation all the same.
        discover: bool = false, Kind::Boolean, flag "fleet-discover", example "true";
    }

    /// Detection of attacks.
    detect: Detect {
        /// Whether detectors work. They see what flows do, names, ARP and packets that break a standard.
        enabled: bool = true, Kind::Boolean, flag "detect", example "false";
        /// Detectors that do not work; `hivewall alerts detectors` lists all.
        off: Vec<Word> = Vec::new(), Kind::Words { what: "the name of a detector, such as `beacon`" },
            flag "detect-off", example r#"["beacon"]"#;
        /// Thresholds of detectors that are not as they come.
        thresholds: Vec<Word> = Vec::new(), Kind::Words { what: "of the form `detector.threshold=number`" },
            flag "detect-threshold", example r#"["port_scan.ports=50"]"#;
        /// Whether the host's own logs of logins are read: the journal, `/var/log/auth.log`, `/var/log/secure`,
        /// `/var/log/btmp`.
        logins: bool = true, Kind::Boolean, flag "detect-logins", example "false";
    }

    /// Alerts: where they are kept and who is told.
    alerts: Alerts {
        /// Directory for alerts of earlier days, for what was acknowledged and silenced, and for messages that wait.
        directory: String = "/var/lib/hivewall/alerts".to_owned(), Kind::Path { empty: "nothing is kept" },
            flag "alerts-directory", example r#""/srv/hivewall/alerts""#;
        /// What is kept of the packets that an alert rests on: a small capture file beside the alerts, removed with the
        /// alert. `hivewall alerts capture ID` hands it out.
        capture: AlertCapture = AlertCapture::Headers, Kind::Choice(AlertCapture::CHOICES), flag "alerts-capture",
            example r#""peek""#;
        /// Who is told, and how.
        channels: Vec<Word> = Vec::new(),
            Kind::Words { what: "a channel such as `alertmanager+http://192.0.2.9:9093` or `journald:`" },
            flag "alerts-channel", example r#"["journald:"]"#;
    }

    /// Flow export: collectors that are sent flows as they end.
    export: Export {
        /// Where to.
        targets: Vec<Word> = Vec::new(), Kind::Words { what: "a target such as `ipfix+udp://192.0.2.9:4739`" },
            flag "export-to", example r#"["netflow9://192.0.2.9:2055"]"#;
        /// Directory for what waits for collectors that confirm (NATS, ClickHouse).
        directory: String = "/var/lib/hivewall/export".to_owned(), Kind::Path { empty: "nothing waits on disk" },
            flag "export-directory", example r#""/srv/hivewall/export""#;
    }

    /// Push of metrics and alerts to an OpenTelemetry collector (OTLP over HTTP).
    otlp: Otlp {
        /// The collector, without a path: `/v1/metrics` and `/v1/logs` are added. At most one.
        endpoint: Vec<Word> = Vec::new(), Kind::Words { what: "a URL such as `http://192.0.2.9:4318`" },
            flag "otlp-endpoint", example r#"["http://192.0.2.9:4318"]"#;
        /// Time between two pushes of metrics.
        interval_s: u64 = 30, number(1, HOUR_S, "seconds"), flag "otlp-interval-s", example "60";
    }

    /// The log of events: flows that ended, names, and statistics.
    log: Log {
        /// Form of the log.
        format: LogFormat = LogFormat::Console, Kind::Choice(LogFormat::CHOICES), flag "log-format",
            example r#""jsonl""#;
        /// File that the log is written to.
        file: String = String::new(), Kind::Path { empty: "standard output" }, flag "log-file",
            example r#""/var/log/hivewall/eve.json""#;
        /// Events that wait for a slow disk or reader. Beyond it events are left out of the log and counted; capture
        /// never waits.
        buffer_size: usize = 65_536, number(16, 1 << 24, "events"), flag "log-buffer-size", example "8192";
        /// Size at which the file is put aside and a new one begun. Standard output is never put aside.
        rotate_size_mb: u64 = 100, number_or_zero("off", 1, 1 << 20, "megabytes"), flag "log-rotate-size-mb",
            example "1000";
        /// Age at which the file is put aside and a new one begun.
        rotate_interval_s: u64 = 0, number_or_zero("off", 1, 366 * DAY_S, "seconds"), flag "log-rotate-interval-s",
            example "86400";
        /// Files put aside that are kept; the oldest is removed first.
        rotate_keep: u32 = 7, number(1, 10_000, "files"), flag "log-rotate-keep", example "30";
        /// Whether flows are logged when they end.
        flows: bool = true, Kind::Boolean, flag "log-flows", example "false";
        /// Whether DNS messages, HTTP requests, TLS and SSH handshakes are logged.
        names: bool = true, Kind::Boolean, flag "log-names", example "false";
        /// Whether statistics are logged.
        stats: bool = true, Kind::Boolean, flag "log-stats", example "false";
        /// Time between two statistics events.
        stats_interval_s: u64 = 10, number(1, DAY_S, "seconds"), flag "log-stats-interval-s", example "60";
    }

    /// The HTTP API, which `top`, `flows` and `snapshot` ask.
    api: Api {
        /// Address and port it listens on; port 0 takes any that is free. On an address that other hosts can reach it
        /// speaks TLS and wants a login.
        listen: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7733), Kind::Listen,
            flag "api-listen", example r#""[::1]:7733""#;
        /// Whether the agent answers at all. Without it the event log is the only way to see what it sees.
        enabled: bool = true, Kind::Boolean, flag "api-enabled", example "false";
        /// Whether a login is wanted even where other hosts cannot reach it.
        login: Login = Login::Auto, Kind::Choice(Login::CHOICES), flag "api-login", example r#""always""#;
        /// Directory for users, the audit trail and a certificate of the agent's own.
        directory: String = "/var/lib/hivewall/access".to_owned(), Kind::Path { empty: "no users, and a trail in memory" },
            flag "api-directory", example r#""/srv/hivewall/access""#;
        /// File with the certificate it shows, in PEM form, and those that lead to a root after it. It is read again when
        /// it changes.
        tls_cert: String = String::new(), Kind::Path { empty: "one of its own, where TLS is spoken" },
            flag "api-tls-cert", example r#""/etc/hivewall/tls-cert.pem""#;
        /// File with the certificate's key, in PEM form, which only its owner may read.
        tls_key: String = String::new(), Kind::Path { empty: "one of its own, where TLS is spoken" },
            flag "api-tls-key", example r#""/etc/hivewall/tls-key.pem""#;
        /// Names that it may be asked by, beyond its address and localhost. Others are refused, so that no web page can
        /// reach it through a name of its own.
        allowed_hosts: Vec<Word> = Vec::new(), Kind::Words { what: "a name such as `web-1.example`" },
            flag "api-allowed-host", example r#"["web-1.example"]"#;
    }

    /// What the agent may still do once it has started.
    privileges: Privileges {
        /// Whether capabilities, files and system calls that a part of the agent does not need are given up once it has
        /// started. `hivewall check` lists what each part is left with here.
        sandbox: Sandboxing = Sandboxing::Auto, Kind::Choice(Sandboxing::CHOICES), flag "sandbox",
            example r#""require""#;
    }

    /// The agent itself.
    agent: Agent {
        /// Name under which this host appears.
        name: String = String::new(), Kind::HostName { empty: "the host name" }, flag "name", example r#""web-1""#;
        /// How much the agent says about itself on standard error. The event log is not affected.
        log_level: LogLevel = LogLevel::Info, Kind::Choice(LogLevel::CHOICES), flag "log-level",
            example r#""debug""#;
    }
}
