//! Lines as the daemons write them, and what has to be made of them.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn read(program: &str, message: &str) -> Option<String> {
    AuthLog::new().read(at(0), program, 7, message).map(|login| shown(&login))
}

fn shown(login: &Login) -> String {
    format!(
        "{} {} {} {}{}",
        login.service,
        if login.user.is_empty() { "-" } else { &login.user },
        login.from.map_or("-".to_owned(), |from| from.to_string()),
        if login.succeeded { "ok" } else { "failed" },
        if login.user_exists == Some(false) { " unknown" } else { "" },
    )
}

/// Program, message, and what it means.
const LINES: &[(&str, &str, &str)] = &[
    ("sshd", "Failed password for root from 192.0.2.7 port 4242 ssh2", "ssh root 192.0.2.7 failed"),
    ("sshd", "Failed password for invalid user bob from 2001:db8::7 port 1 ssh2", "ssh bob 2001:db8::7 failed unknown"),
    ("sshd-session", "Accepted publickey for git from 192.0.2.7 port 9 ssh2: RSA SHA256:x", "ssh git 192.0.2.7 ok"),
    ("sshd", "Failed keyboard-interactive/pam for ann from 192.0.2.7 port 2 ssh2", "ssh ann 192.0.2.7 failed"),
    ("sshd", "Connection closed by authenticating user root 192.0.2.7 port 5 [preauth]", "ssh root 192.0.2.7 failed"),
    ("sshd", "Disconnected from invalid user x y 192.0.2.7 port 5 [preauth]", "ssh x y 192.0.2.7 failed unknown"),
    ("su", "FAILED SU (to root) bob on pts/0", "su root - failed"),
    ("su", "(to root) bob on pts/0", "su root - ok"),
    (
        "sudo",
        "bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
        "sudo bob - failed",
    ),
    ("sudo", "bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh", "sudo bob - ok"),
    (
        "login",
        "FAILED LOGIN (1) on '/dev/pts/1' from '192.0.2.7' FOR 'root', Authentication failure",
        "login root 192.0.2.7 failed",
    ),
    ("login", "LOGIN ON pts/1 BY bob FROM 192.0.2.7", "login bob 192.0.2.7 ok"),
    ("login", "ROOT LOGIN  on '/dev/tty1'", "login root - ok"),
    ("vsftpd", "[bob] FAIL LOGIN: Client \"::ffff:192.0.2.7\"", "ftp bob 192.0.2.7 failed"),
    ("vsftpd", "[bob] OK LOGIN: Client \"192.0.2.7\"", "ftp bob 192.0.2.7 ok"),
    (
        "vsftpd",
        "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=192.0.2.7",
        "ftp bob 192.0.2.7 failed",
    ),
    (
        "proftpd",
        "box (client.example[192.0.2.7]) - USER bob (Login failed): Incorrect password",
        "ftp bob 192.0.2.7 failed",
    ),
    (
        "proftpd",
        "box (client.example[192.0.2.7]) - USER bob: no such user found from c [192.0.2.7] to 192.0.2.1:21",
        "ftp bob 192.0.2.7 failed unknown",
    ),
    ("proftpd", "box (192.0.2.7[192.0.2.7]) - USER bob: Login successful.", "ftp bob 192.0.2.7 ok"),
    ("pure-ftpd", "(?@192.0.2.7) [WARNING] Authentication failed for user [bob]", "ftp bob 192.0.2.7 failed"),
    ("pure-ftpd", "(?@192.0.2.7) [INFO] bob is now logged in", "ftp bob 192.0.2.7 ok"),
    (
        "dovecot",
        "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<bob>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1",
        "imap bob 192.0.2.7 failed",
    ),
    (
        "dovecot",
        "pop3-login: Login: user=<bob>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, mpid=3",
        "pop3 bob 192.0.2.7 ok",
    ),
    (
        "postfix/smtpd",
        "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
        "smtp - 192.0.2.7 failed",
    ),
    (
        "postfix/submission/smtpd",
        "warning: h[192.0.2.7]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=bob",
        "smtp bob 192.0.2.7 failed",
    ),
    ("postfix/smtpd", "4F1: client=h[192.0.2.7], sasl_method=PLAIN, sasl_username=bob", "smtp bob 192.0.2.7 ok"),
    (
        "exim4",
        "dovecot_login authenticator failed for (h) [192.0.2.7]: 535 Incorrect authentication data (set_id=bob)",
        "smtp bob 192.0.2.7 failed",
    ),
    ("xrdp-sesman", "[INFO ] AUTHFAIL: user=bob ip=::ffff:192.0.2.7 time=1700000000", "rdp bob 192.0.2.7 failed"),
    (
        "xrdp-sesman",
        "[INFO ] ++ created session (access granted): username bob, ip ::ffff:192.0.2.7:52000 - socket: 12",
        "rdp bob 192.0.2.7 ok",
    ),
    (
        "smbd",
        "  Auth: [SMB2,(null)] user [WG]\\[bob] at [Thu, 05 Sep 2024] with [NTLMv2] status [NT_STATUS_WRONG_PASSWORD] workstation [X] remote host [ipv4:192.0.2.7:51234] became",
        "smb bob 192.0.2.7 failed",
    ),
    (
        "smbd",
        "Auth: [SMB2,(null)] user [WG]\\[bob] at [Thu] with [NTLMv2] status [NT_STATUS_OK] workstation [X] remote host [ipv6:2001:db8::7:51234] became",
        "smb bob 2001:db8::7 ok",
    ),
    (
        "mysqld",
        "12 [Note] Access denied for user 'root'@'192.0.2.7' (using password: YES)",
        "mysql root 192.0.2.7 failed",
    ),
    (
        "postgres",
        "192.0.2.7(5123) [99] bob@db FATAL:  password authentication failed for user \"bob\"",
        "postgresql bob 192.0.2.7 failed",
    ),
    (
        "postgres",
        "[99] FATAL:  no pg_hba.conf entry for host \"192.0.2.7\", user \"bob\", database \"x\", no encryption",
        "postgresql bob 192.0.2.7 failed",
    ),
    ("postgres", "192.0.2.7 LOG:  connection authorized: user=bob database=x", "postgresql bob 192.0.2.7 ok"),
    (
        "cockpit-session",
        "pam_unix(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= ruser= rhost=192.0.2.7  user=bob",
        "cockpit bob 192.0.2.7 failed",
    ),
];

#[test]
fn each_daemons_words_are_understood() {
    for (program, message, expected) in LINES {
        assert_eq!(read(program, message).as_deref(), Some(*expected), "{program}: {message}");
    }
}

#[test]
fn what_is_no_login_is_none() {
    let lines = [
        ("sshd", "Server listening on 0.0.0.0 port 22."),
        ("sshd", "Failed publickey for git from 192.0.2.7 port 9 ssh2: RSA SHA256:x"),
        (
            "sshd",
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=root",
        ),
        ("sshd", "Connection closed by 192.0.2.7 port 5 [preauth]"),
        ("CRON", "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"),
        ("kernel", "Failed password for root from 192.0.2.7 port 4242 ssh2"),
        (
            "sudo",
            "pam_unix(sudo:auth): authentication failure; logname=bob uid=1000 euid=0 tty=/dev/pts/0 ruser=bob rhost=  user=bob",
        ),
        ("dovecot", "imap-login: Disconnected: Inactivity (no auth attempts in 180 secs): user=<>, rip=192.0.2.7"),
    ];
    for (program, message) in lines {
        assert_eq!(read(program, message), None, "{program}: {message}");
    }
}

#[test]
fn a_user_name_that_looks_like_an_address_blames_nobody_else() {
    let line = "Failed password for invalid user x from 198.51.100.1 port 22 ssh2 from 192.0.2.7 port 4242 ssh2";
    assert_eq!(
        read("sshd", line).as_deref(),
        Some("ssh x from 198.51.100.1 port 22 ssh2 192.0.2.7 failed unknown"),
        "the last address is the daemon's"
    );
    let line = "[x] FAIL LOGIN: Client \"198.51.100.1\"] FAIL LOGIN: Client \"192.0.2.7\"";
    assert!(read("vsftpd", line).is_some_and(|login| login.contains("192.0.2.7 failed")));
}

#[test]
fn what_pam_the_daemon_and_btmp_wrote_of_one_failure_counts_once() {
    let mut log = AuthLog::new();
    let pam = "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=192.0.2.7";
    let own = "[bob] FAIL LOGIN: Client \"192.0.2.7\"";
    let mut seen = 0;
    for n in 0..5 {
        seen += u32::from(log.read(at(10 * n), "vsftpd", 4, pam).is_some());
        seen += u32::from(log.read(at(10 * n + 2), "vsftpd", 4, own).is_some());
    }
    assert_eq!(seen, 5);
    let line = "Failed password for root from 192.0.2.7 port 4242 ssh2";
    assert!(log.read(at(100), "sshd", 5, line).is_some());
    assert!(log.read_btmp(&record("ssh:notty", "root", [192, 0, 2, 7], 100)).is_empty());
    assert_eq!(log.read_btmp(&record("ssh:notty", "root", [192, 0, 2, 7], 100)).len(), 1, "another one");
}

#[test]
fn the_end_of_a_connection_that_failed_is_no_second_failure() {
    let mut log = AuthLog::new();
    let end = "Connection closed by authenticating user root 192.0.2.7 port 5 [preauth]";
    assert!(log.read(at(0), "sshd", 5, "Failed password for root from 192.0.2.7 port 5 ssh2").is_some());
    assert_eq!(log.read(at(1), "sshd", 5, end), None);
    assert!(log.read(at(2), "sshd", 6, end).is_some(), "of another connection");
}

#[test]
fn times_of_both_shapes_are_read() {
    // 2023-11-14 22:13:20 UTC
    let now = at(0);
    let iso = syslog_line("2023-11-14T23:13:19.5+01:00 box sshd[12]: hello: you", now, 0).unwrap();
    assert_eq!((iso.time, iso.program, iso.pid), (now - Duration::from_millis(500), "sshd", 12));
    assert_eq!(iso.message, "hello: you");
    let old = syslog_line("Nov 14 23:13:20 box postfix/smtpd[3]: m", now, 3600).unwrap();
    assert_eq!((old.time, old.program, old.pid), (now, "postfix/smtpd", 3));
    // A line of December, read in November, is last year's.
    let last_year = syslog_line("Dec  1 00:00:00 box su: m", now, 0).unwrap();
    assert_eq!(last_year.time, Timestamp::from_secs(1_669_852_800));
    assert_eq!(syslog_line("Feb 30 00:00:00 box su: m", now, 0), None);
    assert_eq!(syslog_line("-- boot --", now, 0), None);
}

#[test]
fn journal_entries_come_in_pieces() {
    let mut stream = b"__CURSOR=c1\n__REALTIME_TIMESTAMP=1700000000000000\nSYSLOG_IDENTIFIER=sshd\n_PID=5\n\
MESSAGE=Failed password for root from 192.0.2.7 port 4242 ssh2\n\n"
        .to_vec();
    stream.extend_from_slice(b"__REALTIME_TIMESTAMP=1700000001000000\n_COMM=su\nJUNK\n");
    stream.extend_from_slice(&200_000_u64.to_le_bytes());
    stream.extend(std::iter::repeat_n(b'\n', 200_000));
    stream.extend_from_slice(b"\nMESSAGE\n");
    stream.extend_from_slice(&9_u64.to_le_bytes());
    stream.extend_from_slice(b"two\nlines\n\n");
    for size in [1, 7, 4096, stream.len()] {
        let (mut reader, mut entries) = (JournalReader::default(), Vec::new());
        stream.chunks(size).for_each(|piece| reader.push(piece, &mut entries));
        assert_eq!(entries.len(), 2, "in pieces of {size}");
        assert_eq!((entries[0].program.as_str(), entries[0].pid, entries[0].cursor.as_str()), ("sshd", 5, "c1"));
        assert_eq!(entries[1].message, "two\nlines");
        assert_eq!(reader.passed_over(), 1);
        let login = AuthLog::new().read_journal(&entries[0]).unwrap();
        assert_eq!(shown(&login), "ssh root 192.0.2.7 failed");
    }
}

fn record(line: &str, user: &str, from: [u8; 4], seconds: i32) -> Vec<u8> {
    let mut record = vec![0; BTMP_RECORD_BYTES];
    record[0] = 6;
    record[8..8 + line.len()].copy_from_slice(line.as_bytes());
    record[44..44 + user.len()].copy_from_slice(user.as_bytes());
    record[340..344].copy_from_slice(&(1_700_000_000 + seconds).to_le_bytes());
    record[348..352].copy_from_slice(&from);
    record
}

#[test]
fn btmp_records_tell_of_failures() {
    let mut bytes = record("ssh:notty", "root", [192, 0, 2, 7], 1);
    bytes.extend(record("tty1", "bob", [0; 4], 2));
    bytes.extend([1; 100]);
    let all: Vec<_> = logins_of_btmp(&bytes).iter().map(shown).collect();
    assert_eq!(all, ["ssh root 192.0.2.7 failed", "login bob - failed"]);
    assert_eq!(logins_of_btmp(&bytes)[0].time, at(1));
}
