//! Arbitrary bytes where logs are expected: nothing panics, and nobody is invented.

use hivewall_detect::authlog::{AuthLog, BTMP_RECORD_BYTES, JournalReader, logins_of_btmp, syslog_line};
use hivewall_model::Timestamp;
use proptest::prelude::*;

const PROGRAMS: [&str; 18] = [
    "sshd",
    "su",
    "sudo",
    "login",
    "vsftpd",
    "proftpd",
    "pure-ftpd",
    "dovecot",
    "postfix/smtpd",
    "exim4",
    "xrdp-sesman",
    "smbd",
    "mysqld",
    "postgres",
    "cockpit-session",
    "telnetd",
    "",
    "/",
];

/// Pieces of real lines in any order, with anything between them.
fn line() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "Failed password for ",
        "invalid user ",
        " from ",
        "192.0.2.7",
        " port ",
        "Accepted ",
        "[preauth]",
        " - USER ",
        " (Login failed)",
        "] FAIL LOGIN: Client ",
        "\"",
        "user=<",
        ">",
        "rip=",
        "auth failed, ",
        "]: SASL ",
        "authentication failed",
        "sasl_username=",
        "Auth: [",
        "]\\[",
        "] at [",
        " status [",
        " remote host [ipv4:",
        "'@'",
        "Access denied for user '",
        "AUTHFAIL: ",
        "user=",
        " ip=",
        "FATAL:",
        "pam_unix(x:auth): ",
        "authentication failure;",
        "rhost=",
        "é",
        "\u{0}",
        " : ",
        "TTY=",
        "[",
        "]",
        "(",
        ")",
        ", ",
        "",
        "Connection closed by authenticating user ",
        "FAILED LOGIN ",
        " FOR ",
        " FROM ",
        " BY ",
        "LOGIN ON ",
        "%",
        ":",
    ]);
    prop::collection::vec(prop_oneof![4 => words.prop_map(str::to_owned), 1 => ".{0,12}"], 0..12)
        .prop_map(|all| all.concat())
}

proptest! {
    #[test]
    fn no_message_panics(text in prop_oneof![line(), ".*"], program in prop::sample::select(PROGRAMS.to_vec())) {
        let login = AuthLog::new().read(Timestamp::from_secs(1), program, 1, &text);
        if let Some(from) = login.and_then(|login| login.from) {
            // Whoever is named stands in the line (other spellings of IPv6 aside).
            prop_assert!(from.is_ipv6() || text.contains(&from.to_string()), "{from} is not in {text:?}");
        }
    }

    #[test]
    fn no_syslog_line_panics(text in prop_oneof![line(), ".*", "[A-Z][a-z]{2} [ 0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} .*",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T.{0,20} .*"], now in any::<i64>(), offset in any::<i32>()) {
        let _ = syslog_line(&text, Timestamp(now), offset);
        let _ = AuthLog::new().read_syslog(&text, Timestamp(now), offset);
    }

    #[test]
    fn no_journal_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32)) {
        let (mut reader, mut entries) = (JournalReader::default(), Vec::new());
        for piece in &pieces {
            reader.push(piece, &mut entries);
            reader.push(b"\nMESSAGE\n", &mut entries);
        }
    }

    #[test]
    fn no_btmp_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(logins_of_btmp(&bytes).len() <= bytes.len() / BTMP_RECORD_BYTES);
        let _ = AuthLog::new().read_btmp(&bytes);
    }
}
