//! The list's file: reading it, telling what is wrong with it, noticing that it changed.
//!
//! Invariant: a file that cannot be used gives an error that names the place, and never a part of a list.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hivewall_host::bans::Prefix;
use serde_json::Value;

/// The key of the list, and one for people.
const KEY: &str = "permitted_cidrs";
const ABOUT: &str = "description";
/// A larger file is not a list.
const BYTES_MAX: u64 = 16 << 20;

/// Why a file is no list.
#[derive(Debug)]
pub(super) struct ListError {
    path: PathBuf,
    why: String,
}

impl std::fmt::Display for ListError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

/// What tells one state of a file from another: a new file in its place has another number.
type Stamp = Option<(u64, u64, i64, i64, i64)>;

/// A list's file that is watched.
pub(super) struct ListFile {
    path: PathBuf,
    /// The state that was read.
    read: Stamp,
    /// The state at the last look.
    seen: Stamp,
}

impl ListFile {
    /// Reads the file for the first time.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Prefix>), ListError> {
        // Before the content, so that a change in between is noticed later.
        let stamp = stamp(path);
        let list = read(path)?;
        Ok((Self { path: path.to_owned(), read: stamp, seen: stamp }, list))
    }

    /// The list, if the file is another than the one read last, and has rested since the last look: whoever writes a file
    /// in place is not caught half way.
    pub(super) fn changed(&mut self) -> Option<Result<Vec<Prefix>, ListError>> {
        let now = stamp(&self.path);
        let rests = now == self.seen;
        self.seen = now;
        if now == self.read || !rests {
            return None;
        }
        self.read = now;
        Some(read(&self.path))
    }
}

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime_nsec()))
}

fn read(path: &Path) -> Result<Vec<Prefix>, ListError> {
    let error = |why: String| ListError { path: path.to_owned(), why };
    let size = fs::metadata(path).map_or(0, |file| file.len());
    if size > BYTES_MAX {
        return Err(error(format!("{size} bytes are no list; at most {BYTES_MAX} are read")));
    }
    let text = fs::read_to_string(path)
        .map_err(|io| error(format!("cannot be read ({io}); give a file such as deploy/guard/default.json")))?;
    parse(&text).map_err(error)
}

fn parse(text: &str) -> Result<Vec<Prefix>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let object = value.as_object().ok_or_else(|| format!("must be an object {{\"{KEY}\": [\"10.0.0.0/8\"]}}"))?;
    if let Some(other) = object.keys().find(|key| ![KEY, ABOUT].contains(&key.as_str())) {
        return Err(format!("the key \"{other}\" is not known; there are \"{KEY}\" and \"{ABOUT}\""));
    }
    let list = object.get(KEY).and_then(Value::as_array);
    let list = list.ok_or_else(|| format!("has no list \"{KEY}\"; write \"{KEY}\": [\"10.0.0.0/8\"]"))?;
    if list.is_empty() {
        return Err(format!("\"{KEY}\" is empty, which would permit nobody; name at least one network"));
    }
    list.iter()
        .enumerate()
        .map(|(number, entry)| network(entry).map_err(|why| format!("{KEY}[{number}]: {why}")))
        .collect()
}

fn network(entry: &Value) -> Result<Prefix, String> {
    let text = entry.as_str().ok_or_else(|| format!("{entry} is not text; write it in quotation marks"))?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let net: ipnet::IpNet =
        text.parse().map_err(|_| format!("\"{text}\" is neither an address nor a network such as 10.0.0.0/8"))?;
    if net.trunc() != net {
        return Err(format!("{text} has bits behind its length; did you mean {}?", net.trunc()));
    }
    Ok(net.into())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a picture is written in place")]
    fn check(text: &str, want: Expect) {
        want.assert_eq(&match parse(text) {
            Ok(list) => format!("{list:?}"),
            Err(why) => why,
        });
    }

    #[test]
    fn both_families_networks_and_addresses_are_read() {
        check(
            r#"{"description": "ours", "permitted_cidrs": ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1"]}"#,
            expect!["[10.0.0.0/8, 192.0.2.1, fd00::/8, ::1]"],
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        check("{", expect!["is not JSON: EOF while parsing an object at line 1 column 1"]);
        check("[]", expect![[r#"must be an object {"permitted_cidrs": ["10.0.0.0/8"]}"#]]);
        check(
            r#"{"permitted": []}"#,
            expect![[r#"the key "permitted" is not known; there are "permitted_cidrs" and "description""#]],
        );
        check("{}", expect![[r#"has no list "permitted_cidrs"; write "permitted_cidrs": ["10.0.0.0/8"]"#]]);
        check(
            r#"{"permitted_cidrs": []}"#,
            expect![[r#""permitted_cidrs" is empty, which would permit nobody; name at least one network"#]],
        );
        check(
            r#"{"permitted_cidrs": ["10.0.0.0/8", "10.0.0.300"]}"#,
            expect![[r#"permitted_cidrs[1]: "10.0.0.300" is neither an address nor a network such as 10.0.0.0/8"#]],
        );
        check(
            r#"{"permitted_cidrs": ["10.0.0.5/24"]}"#,
            expect!["permitted_cidrs[0]: 10.0.0.5/24 has bits behind its length; did you mean 10.0.0.0/24?"],
        );
    }

    #[test]
    fn the_lists_that_come_with_it_are_sound() {
        for name in ["default.json", "strict.json"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/guard").join(name);
            let list = read(&path).unwrap_or_else(|error| panic!("{error}"));
            let holds = |address: &str| {
                let address: IpAddr = address.parse().unwrap();
                list.iter().any(|prefix| ipnet::IpNet::from(*prefix).contains(&address))
            };
            assert!(holds("127.0.0.1") && holds("::1") && holds("fe80::1") && !holds("8.8.8.8"), "{name}");
        }
    }
}
