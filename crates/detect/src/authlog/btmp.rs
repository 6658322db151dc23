//! Records of btmp: `struct utmp` of 384 bytes, as utmp(5) and glibc's `bits/utmp.h` lay it out for all 64-bit Linux systems.
//!
//! Not here: where the file is, and how far it was read. Invariant: whole records only; none of them panics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hivewall_model::Timestamp;

use crate::Login;

/// Bytes of one record.
pub const BTMP_RECORD_BYTES: usize = 384;

const LINE: usize = 8;
const USER: usize = 44;
const HOST: usize = 76;
const SECONDS: usize = 340;
const MICROSECONDS: usize = 344;
const ADDRESS: usize = 348;

/// The failed logins in whole records of btmp. Records without a user and a line are left out.
pub fn logins_of_btmp(bytes: &[u8]) -> Vec<Login> {
    bytes.chunks_exact(BTMP_RECORD_BYTES).filter_map(login).collect()
}

fn login(record: &[u8]) -> Option<Login> {
    let line = text(record, LINE, 32);
    let user = text(record, USER, 32);
    if line.is_empty() && user.is_empty() {
        return None;
    }
    let host = text(record, HOST, 256);
    let seconds = i64::from(i32::from_le_bytes(array(record, SECONDS)?));
    let microseconds = u64::from(u32::from_le_bytes(array(record, MICROSECONDS)?)).min(999_999);
    // sshd writes `ssh:notty`; login writes the terminal, which is a network's too where telnetd gave it one.
    let service = match line.split_once(':') {
        Some((service, _)) if !service.is_empty() => service.to_owned(),
        _ => "login".to_owned(),
    };
    Some(Login {
        time: Timestamp::from_secs(seconds) + Duration::from_micros(microseconds),
        service: service.into(),
        user: user.into(),
        from: address(&array(record, ADDRESS)?).or_else(|| host.parse().ok()).map(|address| address.to_canonical()),
        succeeded: false,
        user_exists: None,
    })
}

/// IPv4 in the first four bytes and zeros, or IPv6; all zeros for none.
fn address(bytes: &[u8; 16]) -> Option<IpAddr> {
    match bytes {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => None,
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Some(Ipv4Addr::new(*a, *b, *c, *d).into()),
        all => Some(Ipv6Addr::from(*all).into()),
    }
}

fn array<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..at + N)?.try_into().ok()
}

fn text(record: &[u8], at: usize, length: usize) -> String {
    let field = record.get(at..at + length).unwrap_or_default();
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}
