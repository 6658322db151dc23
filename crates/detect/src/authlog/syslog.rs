//! Lines of syslog files: the time, the program and its message. Both ways that rsyslog and syslog-ng write them: RFC 3164
//! (`Nov 27 07:31:29 host sshd[12]: …`) and with an ISO 8601 time.
//!
//! Not here: what the message means. Invariant: no line panics.

use std::time::Duration;

use hivewall_model::Timestamp;
use jiff::civil::DateTime;

/// One line taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogLine<'a> {
    /// When.
    pub time: Timestamp,
    /// `sshd`, `postfix/smtpd`.
    pub program: &'a str,
    /// 0 where none stands there.
    pub pid: u32,
    /// The rest.
    pub message: &'a str,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Takes a line apart. RFC 3164 writes local time and no year: `utc_offset_seconds` is the host's offset then, and the year is
/// the latest that does not put the line more than a day behind `now` in the future. `None` for lines of another shape.
pub fn syslog_line(line: &str, now: Timestamp, utc_offset_seconds: i32) -> Option<SyslogLine<'_>> {
    let line = line.trim_end();
    let (time, rest) = iso(line).or_else(|| rfc3164(line, now, utc_offset_seconds))?;
    let (_host, rest) = rest.trim_start().split_once(' ')?;
    // rsyslog writes "host program[pid]: message"; a program's name has no spaces.
    let (tag, message) = rest.split_once(": ")?;
    if tag.contains(' ') {
        return None;
    }
    let (program, pid) = match tag.split_once('[') {
        Some((program, pid)) => (program, pid.trim_end_matches(']').parse().unwrap_or(0)),
        None => (tag, 0),
    };
    Some(SyslogLine { time, program, pid, message })
}

fn iso(line: &str) -> Option<(Timestamp, &str)> {
    let (stamp, rest) = line.split_once(' ')?;
    if !stamp.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let time: jiff::Timestamp = stamp.parse().ok()?;
    Some((Timestamp(i64::try_from(time.as_nanosecond()).ok()?), rest))
}

fn rfc3164(line: &str, now: Timestamp, utc_offset_seconds: i32) -> Option<(Timestamp, &str)> {
    let (month, rest) = line.split_at_checked(3)?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let (day, rest) = rest.trim_start().split_once(' ')?;
    let (clock, rest) = rest.trim_start().split_once(' ')?;
    let mut parts = clock.splitn(3, ':');
    let mut part = || parts.next()?.parse::<i8>().ok();
    let (hour, minute, second) = (part()?, part()?, part()?);
    let day = day.parse().ok()?;
    let year_now = jiff::Timestamp::from_second(now.secs()).ok()?.to_zoned(jiff::tz::TimeZone::UTC).year();
    // The 29th of February may be several years back.
    (year_now.saturating_sub(8)..=year_now.saturating_add(1)).rev().find_map(|year| {
        let local = DateTime::new(year, month as i8, day, hour, minute, second.min(59), 0).ok()?;
        let seconds = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
        let time = Timestamp::from_secs(seconds.checked_sub(i64::from(utc_offset_seconds))?);
        (time <= now + Duration::from_secs(86_400)).then_some((time, rest))
    })
}
