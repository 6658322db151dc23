//! The body of the target `authlog`.

use hivewall_detect::Login;
use hivewall_detect::authlog::{AuthLog, BTMP_RECORD_BYTES, JournalEntry, JournalReader, syslog_line};
use hivewall_model::Timestamp;

/// Programs that the second byte chooses from.
const PROGRAMS: [&str; 12] = [
    "sshd",
    "su",
    "sudo",
    "login",
    "vsftpd",
    "proftpd",
    "dovecot",
    "postfix/smtpd",
    "exim4",
    "mysqld",
    "postgres",
    "cockpit-session",
];
/// Longest name that a login may carry.
const NAME_BYTES_MAX: usize = 64;

/// Any bytes as messages, as lines of syslog, as a journal in pieces, or as btmp: nobody is invented, and pieces change nothing.
pub(crate) fn authlog(data: &[u8]) {
    let Some((&[how, which], bytes)) = data.split_first_chunk::<2>() else { return };
    match how & 3 {
        0 => messages(&String::from_utf8_lossy(bytes), which),
        1 => syslog(&String::from_utf8_lossy(bytes), which),
        2 => journal(bytes, usize::from(which)),
        _ => btmp(bytes),
    }
}

fn check(login: &Login, text: &str) {
    assert!(login.user.len() <= NAME_BYTES_MAX && login.service.len() <= NAME_BYTES_MAX, "{login:?}");
    if let Some(from) = login.from.filter(std::net::IpAddr::is_ipv4) {
        // Or as an IPv6 address with an IPv4 one in it, in whatever spelling.
        let is_there = text.contains(&from.to_string()) || text.to_ascii_lowercase().contains("ffff:");
        assert!(is_there, "{from} is not in {text:?}");
    }
}

fn messages(text: &str, which: u8) {
    let program = PROGRAMS.get(usize::from(which) % PROGRAMS.len()).copied().unwrap_or_default();
    let mut log = AuthLog::new();
    for (number, line) in text.lines().enumerate() {
        let time = Timestamp::from_secs(1_700_000_000 + number as i64);
        if let Some(login) = log.read(time, program, u32::from(which >> 4), line) {
            assert_eq!(login.time, time);
            check(&login, line);
        }
    }
}

fn syslog(text: &str, which: u8) {
    let now = Timestamp::from_secs(1_700_000_000);
    let offset = (i32::from(which) - 128) * 900;
    let mut log = AuthLog::new();
    for line in text.lines() {
        let parts = syslog_line(line, now, offset);
        if let Some(parts) = &parts {
            assert!(line.contains(parts.program) && line.contains(parts.message) && !parts.program.contains(' '));
        }
        if let Some(login) = log.read_syslog(line, now, offset) {
            assert_eq!(Some(login.time), parts.map(|parts| parts.time), "a login where there is no line");
            check(&login, line);
        }
    }
}

fn entries<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<JournalEntry>, u64) {
    let (mut reader, mut entries) = (JournalReader::default(), Vec::new());
    pieces.for_each(|piece| reader.push(piece, &mut entries));
    (entries, reader.passed_over())
}

fn journal(bytes: &[u8], piece: usize) {
    let whole = entries(std::iter::once(bytes));
    let parts = entries(bytes.chunks(piece + 1));
    assert_eq!(whole, parts, "pieces of {} bytes tell something else", piece + 1);
    let mut log = AuthLog::new();
    for entry in &whole.0 {
        if let Some(login) = log.read_journal(entry) {
            check(&login, &entry.message);
        }
    }
}

fn btmp(bytes: &[u8]) {
    let logins = AuthLog::new().read_btmp(bytes);
    assert!(logins.len() <= bytes.len() / BTMP_RECORD_BYTES);
    for login in &logins {
        assert!(!login.succeeded && login.user.len() <= NAME_BYTES_MAX && login.service.len() <= NAME_BYTES_MAX);
    }
}
