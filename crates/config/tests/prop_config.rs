//! Generated configurations: nothing panics, and what is written is read back as the same.
//!
//! Values are generated from the table of settings, so that a new setting is covered on the day it is added.

use hivewall_config::{
    Config, ConfigError, Fault, Kind, Origin, Origins, Setting, from_environment, sample_toml, settings,
};
use proptest::prelude::*;
use proptest::sample::select;

/// Values a kind allows, as (file, flag) texts.
fn allowed(kind: &Kind) -> BoxedStrategy<(String, String)> {
    let same = |text: String| (text.clone(), text);
    let quoted = |text: String| (format!("\"{text}\""), text);
    let list = |items: Vec<String>| {
        let in_file: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
        (format!("[{}]", in_file.join(", ")), items.join(","))
    };
    match *kind {
        Kind::Boolean => any::<bool>().prop_map(move |value| same(value.to_string())).boxed(),
        Kind::Number { min, max, zero, .. } => {
            let special = if zero.is_some() { 0 } else { min };
            let number = prop_oneof![Just(special), Just(min), Just(max), min..=max];
            number.prop_map(move |value| same(value.to_string())).boxed()
        }
        Kind::Choice(choices) => select(choices).prop_map(move |choice| quoted(choice.name.to_owned())).boxed(),
        Kind::HostName { .. } => "([A-Za-z0-9][A-Za-z0-9._-]{0,252})?".prop_map(quoted).boxed(),
        Kind::Path { .. } => "(/?[a-zA-Z0-9 #='\\[\\]é🐝_./-]{0,60}[a-z])?".prop_map(quoted).boxed(),
        Kind::Listen => prop_oneof![
            (any::<[u8; 3]>(), any::<u16>()).prop_map(|([b, c, d], port)| format!("127.{b}.{c}.{d}:{port}")),
            any::<u16>().prop_map(|port| format!("[::1]:{port}")),
        ]
        .prop_map(quoted)
        .boxed(),
        Kind::Bind => socket().prop_map(quoted).boxed(),
        Kind::Addresses => prop::collection::vec(socket(), 0..4).prop_map(list).boxed(),
        Kind::Labels => prop::collection::btree_map("[a-zA-Z0-9._/-]{1,64}", "[a-zA-Z0-9._/-]{0,64}", 0..16)
            .prop_map(|labels| labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
            .prop_map(list)
            .boxed(),
        Kind::Words { .. } => prop::collection::vec("[a-z+:/.=?&é-]{1,40}", 0..20).prop_map(list).boxed(),
        Kind::Patterns => prop::collection::vec("!?[a-z*?\\[\\]é.-]{1,7}", 0..20).prop_map(list).boxed(),
        Kind::Networks => {
            let v4 = (any::<u32>(), 0..=32u32).prop_map(|(bits, length)| {
                format!("{}/{length}", std::net::Ipv4Addr::from(bits & (!0u64 << (32 - length)) as u32))
            });
            let v6 = (any::<u128>(), 1..=128u32).prop_map(|(bits, length)| {
                format!("{}/{length}", std::net::Ipv6Addr::from(bits & (!0u128 << (128 - length))))
            });
            prop::collection::vec(prop_oneof![v4, v6], 0..20).prop_map(list).boxed()
        }
    }
}

/// Any address and port.
fn socket() -> impl Strategy<Value = String> {
    let v4 = (any::<u32>(), any::<u16>()).prop_map(|(bits, port)| format!("{}:{port}", std::net::Ipv4Addr::from(bits)));
    let v6 =
        (any::<u128>(), any::<u16>()).prop_map(|(bits, port)| format!("[{}]:{port}", std::net::Ipv6Addr::from(bits)));
    prop_oneof![v4, v6]
}

/// A subset of the settings with a value each.
fn chosen() -> impl Strategy<Value = Vec<(&'static Setting, (String, String))>> {
    let each: Vec<_> =
        settings().map(|setting| proptest::option::weighted(0.7, (Just(setting), allowed(&setting.kind)))).collect();
    // A certificate and its key are of use together only.
    let is_pair = |key: &str| matches!(key, "api.tls_cert" | "api.tls_key");
    each.prop_map(move |values| {
        let chosen: Vec<(&'static Setting, (String, String))> = values.into_iter().flatten().collect();
        let is_whole =
            chosen.iter().filter(|(setting, (_, flag))| is_pair(setting.key) && !flag.is_empty()).count() != 1;
        chosen.into_iter().filter(|(setting, _)| is_whole || !is_pair(setting.key)).collect()
    })
}

/// Lines that have something to do with a configuration, and then something wrong.
fn near_miss() -> impl Strategy<Value = String> {
    let sample = sample_toml().replace("\n#", "\n");
    let lines: Vec<String> = sample.lines().filter(|line| !line.starts_with(' ')).map(str::to_owned).collect();
    let word = prop_oneof![Just("\"".to_owned()), Just("[".to_owned()), Just("}".to_owned()), "\\PC{0,8}"];
    let line = (select(lines), any::<prop::sample::Index>(), word).prop_map(|(mut line, at, word)| {
        let at = (0..=at.index(line.len() + 1)).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.insert_str(at, &word);
        line
    });
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
}

/// A file with one value a line.
fn file<'a>(values: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    values.fold(String::new(), |text, (key, value)| text + key + " = " + value + "\n")
}

fn is_well_formed(error: &ConfigError) {
    assert!(!error.problems.is_empty());
    for problem in &error.problems {
        let line = problem.to_string();
        assert!(!line.contains(char::is_control), "a message is one plain line: {line:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), name in any::<String>()) {
        if let Err(error) = Config::parse(&text, &name) {
            is_well_formed(&error);
        }
    }

    #[test]
    fn text_that_is_nearly_right_never_panics(text in near_miss()) {
        match Config::parse(&text, "f") {
            Err(error) => is_well_formed(&error),
            Ok((config, origins)) => prop_assert_eq!(config.explain(&origins).len(), settings().count()),
        }
    }

    #[test]
    fn arbitrary_overrides_never_panic_and_change_nothing_when_wrong(
        key in prop_oneof![any::<String>(), select(settings().map(|s| s.key.to_owned()).collect::<Vec<_>>())],
        value in any::<String>(),
    ) {
        let (mut config, mut origins) = (Config::default(), Origins::default());
        if let Err(error) = config.apply(&mut origins, [(key, value, Origin::Flag("x".to_owned()))]) {
            is_well_formed(&error);
            prop_assert_eq!((config, origins), (Config::default(), Origins::default()));
        }
    }

    #[test]
    fn file_flag_and_variable_mean_the_same(values in chosen()) {
        let text = file(values.iter().map(|(setting, (in_file, _))| (setting.key, in_file.as_str())));
        let (from_file, origins) = Config::parse(&text, "f").unwrap();

        let mut from_flags = Config::default();
        let flags = values.iter().map(|(setting, (_, flag))| (setting.key, flag, Origin::Flag(setting.flag.to_owned())));
        if let Err(error) = from_flags.apply(&mut Origins::default(), flags) {
            // The one contradiction there is, which only `apply` looks for.
            prop_assert!(error.problems.iter().all(|problem| problem.fault == Fault::NothingToLog), "{}", error);
            return Ok(());
        }
        prop_assert_eq!(&from_flags, &from_file);

        let mut from_variables = Config::default();
        let variables = from_environment(values.iter().map(|(setting, (_, text))| (setting.env(), text.clone())));
        prop_assert_eq!(variables.len(), values.len());
        from_variables.apply(&mut Origins::default(), variables).unwrap();
        prop_assert_eq!(&from_variables, &from_file);

        for (line, (setting, (in_file, _))) in values.iter().enumerate() {
            prop_assert_eq!(origins.get(setting.key), Origin::File { line: line + 1 });
            if matches!(setting.kind, Kind::Number { .. } | Kind::Boolean | Kind::Choice(_)) {
                prop_assert_eq!(&setting.value(&from_file), in_file);
            }
        }
    }

    #[test]
    fn what_is_explained_is_read_back_as_the_same(values in chosen()) {
        let text = file(values.iter().map(|(setting, (in_file, _))| (setting.key, in_file.as_str())));
        let (config, origins) = Config::parse(&text, "f").unwrap();
        let explained = config.explain(&origins);
        let explained = file(explained.iter().map(|row| (row.key, row.value.as_str())));
        prop_assert_eq!(Config::parse(&explained, "f").unwrap().0, config);
    }
}
