//! What the whole crate does with a text: values, messages, origins, pages. Generated input is in `tests/prop_config.rs`.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use crate::*;

#[track_caller]
fn refused(text: &str, expect: &Expect) {
    let error = Config::parse(text, "hivewall.toml").expect_err("the text should be refused");
    expect.assert_eq(&error.to_string());
}

fn parsed(text: &str) -> (Config, Origins) {
    Config::parse(text, "hivewall.toml").unwrap()
}

fn flag(key: &str, value: &str) -> (String, String, Origin) {
    (key.to_owned(), value.to_owned(), Origin::Flag(Setting::by_key(key).map_or(key, |s| s.flag).to_owned()))
}

#[test]
fn an_empty_file_is_the_default_configuration() {
    assert_eq!(parsed(""), (Config::default(), Origins::new("hivewall.toml")));
}

#[test]
fn values_and_their_lines_are_read() {
    let (config, origins) = parsed(
        "# mine\n[capture]\ninterfaces = [\n  \"eth*\",\n  \"!eth9\",\n]\nbackend = 'af-packet'\n\n[flows]\nmax = 0x1_0000\n\
         [traffic]\nsubnets = [\"10.0.0.0/8\", \"192.0.2.1\"]\n[api]\nlisten = \"[::1]:0\"\n",
    );
    assert_eq!(config.capture.interfaces.len(), 2);
    assert_eq!(config.capture.backend, Backend::AfPacket);
    assert_eq!(config.flows.max, 65_536);
    assert_eq!(config.traffic.subnets, ["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()]);
    assert_eq!(config.api.listen, "[::1]:0".parse().unwrap());
    assert_eq!(origins.get("capture.interfaces"), Origin::File { line: 3 });
    assert_eq!(origins.get("flows.max"), Origin::File { line: 10 });
    assert_eq!(origins.get("flows.closed_keep"), Origin::Default);
}

#[test]
fn dotted_keys_inline_tables_and_windows_line_ends_are_toml_too() {
    assert_eq!(parsed("flows.max = 7").0.flows.max, 7);
    assert_eq!(parsed("flows = { max = 7 }").0.flows.max, 7);
    assert_eq!(parsed("[flows]\r\nmax = 7\r\n").1.get("flows.max"), Origin::File { line: 2 });
}

#[test]
fn every_problem_is_told_in_the_order_of_the_file() {
    refused(
        "[log]\nformat = \"jsonlines\"\nrotate_keep = 0\n\n[flows]\nmax = \"many\"\nidle_timeout = 5\n\n[captures]\n\n\
         [capture]\ninterfaces = [\"eth0\", 7, \"a/b\"]\nsweep_interval_ms = 99999999999999999999999999999999999999999\n",
        &expect![[r#"
            hivewall.toml:2:10: log.format: "jsonlines" is not possible; give `console`, `json`, `csv` or `jsonl`; did you mean `jsonl`? (default: "console")
            hivewall.toml:3:15: log.rotate_keep: 0 is out of range; give 1 to 10000 files (default: 7)
            hivewall.toml:6:7: flows.max: "many" is text, not a number; give 1 to 100000000 flows (default: 1000000)
            hivewall.toml:7:1: flows.idle_timeout: there is no such setting; did you mean `idle_timeout_s`?
            hivewall.toml:9:2: captures: there is no such section; did you mean [capture]?
            hivewall.toml:12:23: capture.interfaces: 7 is a number, not a text; give an interface name such as `eth0`, or a pattern such as `en*`
            hivewall.toml:12:26: capture.interfaces: "a/b" is not a pattern for interfaces: '/' cannot stand in a pattern; write `?` where a name has it
            hivewall.toml:13:21: capture.sweep_interval_ms: 99999999999999999999999999999999999999999 is out of range; give 100 to 10000 milliseconds (default: 1000)"#]],
    );
}

#[test]
fn an_unknown_section_names_the_closest_or_all() {
    refused("[flow]\n", &expect!["hivewall.toml:1:2: flow: there is no such section; did you mean [flows]?"]);
    refused(
        "\n [zebra]\n",
        &expect![
            "hivewall.toml:2:3: zebra: there is no such section; the sections are [capture], [flows], [traffic], [names], [processes], [history], [policy], [fleet], [detect], [alerts], [export], [otlp], [log], [api], [privileges], [agent]"
        ],
    );
}

#[test]
fn an_unknown_setting_names_the_closest_wherever_it_is() {
    refused(
        "[flows]\n  maximum = 3\nidle-timeout = 3\nlisten = 3\nzebra = 3\n",
        &expect![[r#"
            hivewall.toml:2:3: flows.maximum: there is no such setting; did you mean `max`?
            hivewall.toml:3:1: flows.idle-timeout: there is no such setting; did you mean `idle_timeout_s`?
            hivewall.toml:4:1: flows.listen: there is no such setting; did you mean `listen` in [fleet]?
            hivewall.toml:5:1: flows.zebra: there is no such setting; [flows] has max, idle_timeout_s, tcp_idle_timeout_s, icmp_idle_timeout_s, active_timeout_s, closed_linger_s, closed_keep"#]],
    );
    refused(
        "max = 3\nzebra = 3\nflows_max = 3",
        &expect![[r#"
            hivewall.toml:1:1: max: there is no such setting; did you mean `max` in [flows]?
            hivewall.toml:2:1: zebra: there is no such setting; the sections are [capture], [flows], [traffic], [names], [processes], [history], [policy], [fleet], [detect], [alerts], [export], [otlp], [log], [api], [privileges], [agent]
            hivewall.toml:3:1: flows_max: there is no such setting; did you mean `max` in [flows]?"#]],
    );
    refused(
        "[flows]\nmax.of.all = 3\n\"a\\nb\\u001b[31m\" = 3",
        &expect![[r#"
        hivewall.toml:2:1: flows.max: {…} is a table, not a number; give 1 to 100000000 flows (default: 1000000)
        hivewall.toml:3:1: flows.a\nb\u{1b}[31m: there is no such setting; [flows] has max, idle_timeout_s, tcp_idle_timeout_s, icmp_idle_timeout_s, active_timeout_s, closed_linger_s, closed_keep"#]],
    );
}

#[test]
fn a_section_is_no_value() {
    refused(
        "flows = 3\n[[log]]\nfile = ''\n",
        &expect![[r#"
        hivewall.toml:1:1: flows: this is a section and has no value; write [flows] on a line of its own, once, and its settings below
        hivewall.toml:2:3: log: this is a section and has no value; write [log] on a line of its own, once, and its settings below"#]],
    );
}

#[test]
fn errors_of_syntax_are_told_with_what_is_wrong_before_them() {
    refused(
        "[flows]\nmax = 0\nidle_timeout_s =\n[api\nlisten = 3\n[log]\nformat = json\n",
        &expect![[r#"
        hivewall.toml:2:7: flows.max: 0 is out of range; give 1 to 100000000 flows (default: 1000000)
        hivewall.toml:3:17: not valid TOML: string values must be quoted, expected literal string
        hivewall.toml:4:5: not valid TOML: unclosed table, expected `]`
        hivewall.toml:7:10: not valid TOML: string values must be quoted, expected literal string"#]],
    );
    refused(
        "[flows]\nmax = 1\nmax = 2\n",
        &expect!["hivewall.toml:3:1: not valid TOML: duplicate key; keep one of them"],
    );
    refused(
        "[log]\nfile = \"never closed\n",
        &expect![[r#"hivewall.toml:2:21: not valid TOML: invalid basic string, expected `"`"#]],
    );
}

#[test]
fn columns_count_characters() {
    refused(
        "log = { file = 'ä', flows = 'ö' }",
        &expect![[
            r#"hivewall.toml:1:29: log.flows: "ö" is text, not a boolean; give `true` or `false` (default: true)"#
        ]],
    );
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let nothing: [(&str, &str, Origin); 0] = [];
    let (mut config, mut origins) = parsed("[api]\ntls_cert = \"/etc/cert.pem\"\n");
    let error = config.apply(&mut origins, nothing.clone()).unwrap_err();
    expect!["hivewall.toml:2: api.tls_cert: it is of no use alone; set api.tls_key, too"].assert_eq(&error.to_string());
    let (mut config, mut origins) = parsed("[api]\ntls_cert = '/c'\ntls_key = '/k'");
    config.apply(&mut origins, nothing).unwrap();
}

#[test]
fn an_api_listens_on_an_address_with_a_port() {
    refused(
        "[api]\nlisten = \"localhost:7733\"\n",
        &expect![[
            r#"hivewall.toml:2:10: api.listen: "localhost:7733" is not possible; give an address of this host and a port, such as `127.0.0.1:7733` or `0.0.0.0:7733` (default: "127.0.0.1:7733")"#
        ]],
    );
    for address in ["127.9.9.9:1", "[::1]:0", "0.0.0.0:8000", "[::]:0", "192.0.2.1:7733"] {
        let (config, _) = Config::parse(&format!("[api]\nlisten = '{address}'"), "").unwrap();
        assert_eq!(config.api.listen.to_string(), address);
    }
}

#[test]
fn a_network_with_host_bits_is_refused_and_both_meanings_named() {
    refused(
        "[traffic]\nsubnets = [\"10.0.0.0/8\",\n \"192.168.1.7/24\", \"fe80::1/129\"]\n",
        &expect![[r#"
        hivewall.toml:3:2: traffic.subnets: "192.168.1.7/24" has bits set beyond its prefix; write `192.168.1.0/24` for the network, or `192.168.1.7` for the address
        hivewall.toml:3:20: traffic.subnets: "fe80::1/129" is not possible; give a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address"#]],
    );
}

#[test]
fn names_and_paths_have_a_form() {
    refused(
        "[agent]\nname = 'web 1'\n[log]\nfile = '/var/log/'\n",
        &expect![[r#"
        hivewall.toml:2:8: agent.name: "web 1" is not possible; give up to 253 letters, digits, `.`, `-` and `_`, starting with a letter or digit; empty means the host name (default: "")
        hivewall.toml:4:8: log.file: "/var/log/" is not possible; give the path of a file; empty means standard output (default: "")"#]],
    );
}

#[test]
fn a_huge_file_is_refused_unread() {
    refused(
        &"#".repeat(TEXT_BYTES_MAX + 1),
        &expect!["hivewall.toml:1: it has 1048577 bytes, and a configuration at most 1048576; is it the right file?"],
    );
}

#[test]
fn a_long_list_is_refused() {
    let item = "\"10.0.0.0/8\",";
    assert!(Config::parse(&format!("[traffic]\nsubnets = [{}]", item.repeat(4_096)), "").is_ok());
    refused(
        &format!("[traffic]\nsubnets = [{}]", item.repeat(4_097)),
        &expect![
            "hivewall.toml:2:11: traffic.subnets: […] is out of range; give up to 4096 networks such as `10.0.0.0/8` or `2001:db8::/32`; an address alone stands for itself"
        ],
    );
}

#[test]
fn more_problems_than_anyone_reads_are_counted() {
    let error = Config::parse(&format!("[traffic]\nsubnets = [{}]", "1, ".repeat(1_000)), "f").unwrap_err();
    assert_eq!((error.problems.len(), error.left_out), (PROBLEMS_MAX, 1_000 - PROBLEMS_MAX));
    assert!(error.to_string().ends_with("\n… and 900 more"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (mut config, mut origins) = parsed("[flows]\nmax = 1\nclosed_keep = 1\nidle_timeout_s = 1\n");
    let mut overrides = from_environment([("HIVEWALL_FLOWS_MAX", "2"), ("HIVEWALL_FLOWS_CLOSED_KEEP", "2")]);
    overrides.push(flag("flows.max", "3"));
    config.apply(&mut origins, overrides).unwrap();
    assert_eq!((config.flows.max, config.flows.closed_keep, config.flows.idle_timeout_s), (3, 2, 1));
    let explained = config.explain(&origins);
    let origin = |key: &str| explained.iter().find(|row| row.key == key).unwrap().origin.to_string();
    assert_eq!(origin("flows.max"), "flag --flows-max");
    assert_eq!(origin("flows.closed_keep"), "environment HIVEWALL_FLOWS_CLOSED_KEEP");
    assert_eq!(origin("flows.idle_timeout_s"), "line 4");
    assert_eq!(origin("flows.active_timeout_s"), "default");
}

#[test]
fn a_repeated_flag_adds_to_its_list_and_replaces_an_earlier_origin() {
    let (mut config, mut origins) = parsed("[capture]\ninterfaces = ['wg0']\n");
    let overrides = [
        ("capture.interfaces", "a, b", Origin::Environment("HIVEWALL_CAPTURE_INTERFACES".to_owned())),
        ("capture.interfaces", "eth0,", Origin::Flag("interface".to_owned())),
        ("capture.interfaces", "!eth1", Origin::Flag("interface".to_owned())),
    ];
    config.apply(&mut origins, overrides).unwrap();
    assert_eq!(Setting::by_key("capture.interfaces").unwrap().value(&config), r#"["eth0", "!eth1"]"#);
}

#[test]
fn texts_of_booleans_and_numbers_are_as_people_write_them() {
    let mut config = Config::default();
    let overrides = [
        flag("capture.loopback", "yes"),
        flag("log.stats", "OFF"),
        flag("flows.max", " 1_000 "),
        flag("log.file", ""),
        flag("traffic.subnets", ""),
    ];
    config.apply(&mut Origins::default(), overrides).unwrap();
    assert!(config.capture.loopback && !config.log.stats);
    assert_eq!((config.flows.max, config.log.file.as_str()), (1_000, ""));
}

#[test]
fn wrong_overrides_are_all_told_and_change_nothing() {
    let (mut config, mut origins) = parsed("[flows]\nmax = 1\n");
    let before = (config.clone(), origins.clone());
    let mut overrides = from_environment([
        ("HIVEWALL_FLOWS_MAXX", "2"),
        ("HIVEWALL_LOG_FORMAT", "Json"),
        ("HIVEWALL_CONFIG", "/etc/hivewall.toml"),
        ("PATH", "/bin"),
    ]);
    overrides.extend([
        flag("flows.max", "-5"),
        flag("flows.closed_keep", "1e6"),
        flag("capture.loopback", "maybe"),
        flag("traffic.subnets", "10/8,::/0"),
        flag("intreface", "eth0"),
        flag("agent.name", "ok"),
    ]);
    let error = config.apply(&mut origins, overrides).unwrap_err();
    expect![[r#"
        environment HIVEWALL_FLOWS_MAXX: flows.maxx: there is no such setting; did you mean HIVEWALL_FLOWS_MAX?
        environment HIVEWALL_LOG_FORMAT: log.format: "Json" is not possible; give `console`, `json`, `csv` or `jsonl`; did you mean `json`? (default: "console")
        flag --flows-max: flows.max: "-5" is out of range; give 1 to 100000000 flows (default: 1000000)
        flag --closed-keep: flows.closed_keep: "1e6" is not possible; give 0 to 10000000 flows (default: 10000)
        flag --loopback: capture.loopback: "maybe" is not possible; give `true` or `false` (default: false)
        flag --subnet: traffic.subnets: "10/8" is not possible; give a network such as `10.0.0.0/8` or `2001:db8::/32`, or an address
        flag --intreface: intreface: there is no such setting; did you mean --interface?"#]].assert_eq(&error.to_string());
    assert_eq!((config, origins), before);
}

#[test]
fn a_log_of_flows_alone_without_flows_is_refused_when_all_is_known() {
    let (mut config, mut origins) = parsed("[log]\nformat = 'csv'\nflows = false\n");
    let nothing: [(&str, &str, Origin); 0] = [];
    let error = config.apply(&mut origins, nothing).unwrap_err();
    expect!["hivewall.toml:3: log.flows: a csv log holds flows only, so nothing would be written; set log.flows to true or choose another log.format"].assert_eq(&error.to_string());
    config.apply(&mut origins, [flag("log.format", "jsonl")]).unwrap();
    assert_eq!(config.log.format, LogFormat::Jsonl);
}

#[test]
fn keys_flags_and_variables_are_each_used_once() {
    let rows = settings().count();
    assert_eq!(settings().map(|s| s.key).collect::<BTreeSet<_>>().len(), rows);
    assert_eq!(settings().map(|s| s.flag).collect::<BTreeSet<_>>().len(), rows);
    assert_eq!(settings().map(Setting::env).collect::<BTreeSet<_>>().len(), rows);
    for setting in settings() {
        assert_eq!(setting.key, format!("{}.{}", setting.section, setting.name));
        assert!(setting.flag.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", setting.flag);
        assert!(setting.doc.ends_with('.') && !setting.doc.contains("  "), "{}: {}", setting.key, setting.doc);
        assert!(std::ptr::eq(Setting::by_flag(setting.flag).unwrap().key, setting.key));
    }
}

#[test]
fn examples_and_defaults_are_allowed_and_differ() {
    for setting in settings() {
        let text = |value: &str| format!("[{}]\n{} = {value}\n", setting.section, setting.name);
        let example = parsed(&text(setting.example)).0;
        assert_eq!(setting.value(&example), setting.example, "the example of {} is not in its own form", setting.key);
        assert_ne!(example, Config::default(), "the example of {} is its default", setting.key);
        assert_eq!(parsed(&text(&setting.default_value())).0, Config::default());
    }
}

#[test]
fn bounds_are_allowed_and_what_lies_beyond_is_not() {
    for setting in settings() {
        let Kind::Number { min, max, zero, .. } = setting.kind else { continue };
        let set = |value: u64| Config::parse(&format!("{} = {value}", setting.key), "").map(|read| read.0);
        for value in [min, max] {
            assert_eq!(setting.value(&set(value).unwrap()), value.to_string());
        }
        assert!(set(max + 1).is_err(), "{}", setting.key);
        assert_eq!(set(0).is_ok(), min == 0 || zero.is_some(), "{}", setting.key);
        assert!(min <= 1 || set(min - 1).is_err(), "{}", setting.key);
    }
}

#[test]
fn the_sample_file_is_the_default_as_it_is_and_uncommented() {
    let sample = sample_toml();
    assert_eq!(parsed(&sample).0, Config::default());
    let uncommented: Vec<&str> = sample
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect();
    let (config, origins) = parsed(&uncommented.join("\n"));
    assert_eq!(config, Config::default());
    for setting in settings() {
        assert!(matches!(origins.get(setting.key), Origin::File { .. }), "{} is not in the sample", setting.key);
    }
    assert!(sample.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn the_sample_file_explains_each_setting() {
    let sample = sample_toml();
    let (_, api) = sample.split_once("[api]").unwrap();
    let (api, _) = api.split_once("# What the agent may still do").unwrap();
    expect![[r#"


        # Address and port it listens on; port 0 takes any that is free. On an address that other hosts can
        # reach it speaks TLS and wants a login.
        # Allowed: an address of this host and a port, such as `127.0.0.1:7733` or `0.0.0.0:7733`.
        # Variable: HIVEWALL_API_LISTEN. Flag: --api-listen.
        # Example: listen = "[::1]:7733"
        #listen = "127.0.0.1:7733"

        # Whether the agent answers at all. Without it the event log is the only way to see what it sees.
        # Allowed: `true` or `false`.
        # Variable: HIVEWALL_API_ENABLED. Flag: --api-enabled.
        # Example: enabled = false
        #enabled = true

        # Whether a login is wanted even where other hosts cannot reach it.
        # - auto: Where other hosts can reach the agent; on loopback anybody may read, and commands need a
        # token or a session.
        # - always: Always.
        # Variable: HIVEWALL_API_LOGIN. Flag: --api-login.
        # Example: login = "always"
        #login = "auto"

        # Directory for users, the audit trail and a certificate of the agent's own.
        # Allowed: the path of a file; empty means no users, and a trail in memory.
        # Variable: HIVEWALL_API_DIRECTORY. Flag: --api-directory.
        # Example: directory = "/srv/hivewall/access"
        #directory = "/var/lib/hivewall/access"

        # File with the certificate it shows, in PEM form, and those that lead to a root after it. It is
        # read again when it changes.
        # Allowed: the path of a file; empty means one of its own, where TLS is spoken.
        # Variable: HIVEWALL_API_TLS_CERT. Flag: --api-tls-cert.
        # Example: tls_cert = "/etc/hivewall/tls-cert.pem"
        #tls_cert = ""

        # File with the certificate's key, in PEM form, which only its owner may read.
        # Allowed: the path of a file; empty means one of its own, where TLS is spoken.
        # Variable: HIVEWALL_API_TLS_KEY. Flag: --api-tls-key.
        # Example: tls_key = "/etc/hivewall/tls-key.pem"
        #tls_key = ""

        # Names that it may be asked by, beyond its address and localhost. Others are refused, so that no
        # web page can reach it through a name of its own.
        # Allowed: up to 256 texts without commas, each a name such as `web-1.example`.
        # Variable: HIVEWALL_API_ALLOWED_HOSTS. Flag: --api-allowed-host.
        # Example: allowed_hosts = ["web-1.example"]
        #allowed_hosts = []

    "#]]
    .assert_eq(api);
}

#[test]
fn the_reference_names_every_setting_flag_and_variable() {
    let page = reference_markdown();
    for setting in settings() {
        for needle in [format!("### {}", setting.key), format!("`--{}`", setting.flag), format!("`{}`", setting.env())]
        {
            assert!(page.contains(&needle), "{needle} is missing");
        }
    }
    let (_, backend) = page.split_once("### capture.backend").unwrap();
    expect![[r#"


        How packets are seen.

        - Type: text
        - Default: `"auto"`
        - Allowed: `auto`, `ebpf`, `ebpf-tcx`, `ebpf-clsact` or `af-packet`
          - `auto`: eBPF where the kernel has it, else AF_PACKET; the log says which, and why.
          - `ebpf`: eBPF only, on tcx or else clsact; without it the agent does not start.
          - `ebpf-tcx`: eBPF on tcx hooks (Linux 6.6 and later) only.
          - `ebpf-clsact`: eBPF on the clsact qdisc only, as kernels before 6.6 have it.
          - `af-packet`: AF_PACKET only.
        - Example: `backend = "af-packet"`
        - Flag: `--backend`
        - Variable: `HIVEWALL_CAPTURE_BACKEND`
    "#]]
    .assert_eq(backend.split_once("\n### ").unwrap().0);
}

#[test]
fn help_is_one_paragraph_with_default_and_variable() {
    expect!["Subnets that are counted as a whole. Addresses in several of them count in each. [up to 4096 networks such as `10.0.0.0/8` or `2001:db8::/32`; an address alone stands for itself; repeat the flag or part with commas] [default: []] [env: HIVEWALL_TRAFFIC_SUBNETS]"].assert_eq(&Setting::by_key("traffic.subnets").unwrap().help());
    assert!(settings().all(|setting| !setting.help().contains('\n')));
}

#[test]
fn a_file_full_of_problems_is_told_from_its_beginning_and_in_time() {
    let text = (0..80_000).fold("[log]\n".to_owned(), |text, n| text + "ab" + &n.to_string() + " = 1\n");
    let error = Config::parse(&text, "f").unwrap_err();
    assert_eq!((error.problems.len(), error.left_out), (PROBLEMS_MAX, 80_000 - PROBLEMS_MAX));
    assert_eq!(error.problems[99].key, "log.ab99");
}
