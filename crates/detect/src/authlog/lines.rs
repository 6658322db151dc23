//! What the daemons' own words mean. One function a daemon; the words are those of the programs' sources and manuals.
//!
//! A user name is whatever a client sent, so it may look like the rest of a line. Where a daemon writes the address behind the
//! name, the last one counts. Invariant: no message panics; what is not understood is no login.

use std::net::{IpAddr, SocketAddr};

use super::{Teller, Told};

/// What a message of a program tells.
pub(crate) fn told<'a>(program: &'a str, message: &'a str) -> Option<Told<'a>> {
    let message = message.trim();
    let base = program.rsplit('/').next().unwrap_or(program);
    match base {
        "sshd" | "sshd-session" | "sshd-auth" => sshd(message),
        "su" | "su-l" => su(message).or_else(|| pam(message)),
        "sudo" => sudo(message),
        "login" | "telnetd" | "in.telnetd" => login(message).or_else(|| pam(message)),
        "vsftpd" => vsftpd(message).or_else(|| pam(message)),
        "proftpd" => proftpd(message),
        "pure-ftpd" => pure_ftpd(message),
        "dovecot" | "imap-login" | "pop3-login" | "submission-login" | "managesieve-login" => dovecot(message),
        "smtpd" | "postfix" => postfix(message),
        "exim" | "exim4" => exim(message),
        "xrdp" | "xrdp-sesman" => xrdp(message),
        "smbd" | "samba" | "smbd_audit" => samba(message),
        "mysqld" | "mariadbd" | "mysql" | "mariadb" => mysql(message),
        _ if base.starts_with("postgres") => postgres(message),
        _ => pam(message),
    }
}

fn failed<'a>(service: &'a str, user: &'a str, from: Option<IpAddr>) -> Told<'a> {
    Told { service, user, from, succeeded: false, user_exists: None, is_epilogue: false, teller: Teller::Daemon }
}

fn succeeded<'a>(service: &'a str, user: &'a str, from: Option<IpAddr>) -> Told<'a> {
    Told { succeeded: true, user_exists: Some(true), ..failed(service, user, from) }
}

/// An address with whatever stands around it: brackets, a port, an interface.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches(|c| matches!(c, '"' | '\'' | '<' | '>' | ','));
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let bare = bare.split('%').next().unwrap_or(bare);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|end| end.ip()))
}

/// What stands between the first `before` and the next `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after).map_or(rest, |(inner, _)| inner))
}

/// `key=value`, up to a space, a comma or the end.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find(key) {
        let at = from + found;
        let begins = text.get(..at)?.chars().next_back().is_none_or(|c| matches!(c, ' ' | ',' | ';'));
        if begins {
            let value = text.get(at + key.len()..)?;
            return Some(value.split([' ', ',', ';']).next().unwrap_or(value));
        }
        from = at + key.len();
    }
    None
}

/// OpenSSH, `auth.c` and `monitor.c`.
fn sshd(message: &str) -> Option<Told<'_>> {
    // The address stands behind the name: "… for NAME from ADDRESS port PORT ssh2".
    let by_from = |rest: &'static str| {
        let (_, named) = message.split_once(rest)?;
        let (user, from) = named.rsplit_once(" from ")?;
        Some((user, address(from.split(' ').next()?)))
    };
    if message.starts_with("Accepted ") {
        let (user, from) = by_from(" for ")?;
        return Some(succeeded("ssh", user, from));
    }
    if message.starts_with("Failed ") {
        // A key that is refused is no guess: clients offer every key that they have.
        if message.starts_with("Failed publickey") || message.starts_with("Failed none") {
            return None;
        }
        let (user, from) = by_from(" for ")?;
        return Some(match user.strip_prefix("invalid user ") {
            Some(user) => Told { user_exists: Some(false), ..failed("ssh", user, from) },
            None => failed("ssh", user, from),
        });
    }
    let epilogues = [
        ("Connection closed by authenticating user ", None),
        ("Connection closed by invalid user ", Some(false)),
        ("Connection reset by authenticating user ", None),
        ("Connection reset by invalid user ", Some(false)),
        ("Disconnected from authenticating user ", None),
        ("Disconnected from invalid user ", Some(false)),
    ];
    epilogues.iter().find_map(|(words, user_exists)| {
        let rest = message.strip_prefix(words)?.strip_suffix("[preauth]")?.trim_end();
        // "NAME ADDRESS port PORT"
        let (rest, _port) = rest.rsplit_once(" port ")?;
        let (user, from) = rest.rsplit_once(' ')?;
        Some(Told { user_exists: *user_exists, is_epilogue: true, ..failed("ssh", user, address(from)) })
    })
}

/// util-linux `su` and shadow's.
fn su(message: &str) -> Option<Told<'_>> {
    if let Some(rest) = message.strip_prefix("FAILED SU (to ") {
        return Some(failed("su", rest.split(')').next()?, None));
    }
    if let Some(rest) = message.strip_prefix("FAILED su for ") {
        return Some(failed("su", rest.split(' ').next()?, None));
    }
    if let Some(rest) = message.strip_prefix("Successful su for ") {
        return Some(succeeded("su", rest.split(' ').next()?, None));
    }
    let rest = message.strip_prefix("(to ")?;
    Some(succeeded("su", rest.split(')').next()?, None))
}

/// sudo: `NAME : reason ; TTY=… ; PWD=… ; USER=… ; COMMAND=…`.
fn sudo(message: &str) -> Option<Told<'_>> {
    let (user, rest) = message.split_once(" : ")?;
    if user.contains(' ') {
        return None;
    }
    let reason = rest.split(" ; ").next()?;
    if reason.contains("incorrect password attempt") || reason.contains("NOT in sudoers") {
        return Some(failed("sudo", user, None));
    }
    (reason.starts_with("TTY=") || reason.starts_with("PWD=")).then(|| succeeded("sudo", user, None))
}

/// util-linux `login`, which telnetd starts.
fn login(message: &str) -> Option<Told<'_>> {
    if message.starts_with("FAILED LOGIN ") {
        // "FAILED LOGIN (1) on '/dev/pts/0' from 'host' FOR 'root', Authentication failure"
        let (before, user) = message.split_once(" FOR ")?;
        let user = user.split(", ").next()?.trim_matches('\'');
        let from = between(before, " from '", "'").or_else(|| between(before, " FROM ", " ")).and_then(address);
        return Some(failed("login", user, from));
    }
    if let Some(rest) = message.strip_prefix("ROOT LOGIN") {
        let from = between(rest, " from '", "'").or_else(|| between(rest, " FROM ", " ")).and_then(address);
        return Some(succeeded("login", "root", from));
    }
    let rest = message.strip_prefix("LOGIN ON ")?;
    let user = between(rest, " BY ", " ")?;
    Some(succeeded("login", user, between(rest, " FROM ", " ").and_then(address)))
}

/// vsftpd: `[NAME] FAIL LOGIN: Client "ADDRESS"`, with or without time and pid before it.
fn vsftpd(message: &str) -> Option<Told<'_>> {
    let (made, at) = match (message.rfind("] FAIL LOGIN: Client "), message.rfind("] OK LOGIN: Client ")) {
        (Some(at), _) => (failed as fn(_, _, _) -> _, at),
        (None, Some(at)) => (succeeded as fn(_, _, _) -> _, at),
        _ => return None,
    };
    let (before, after) = message.split_at_checked(at)?;
    let user = before.rsplit('[').next()?;
    let from = between(after, "Client \"", "\"").and_then(address);
    Some(made("ftp", user, from))
}

/// ProFTPD: `HOST (NAME[ADDRESS]) - USER name (Login failed): …`.
fn proftpd(message: &str) -> Option<Told<'_>> {
    let (head, rest) = message.split_once(" - USER ")?;
    let from = head.rsplit_once('[').and_then(|(_, from)| address(from.trim_end_matches([')', ']'])));
    if let Some((user, _)) = rest.split_once(" (Login failed)") {
        return Some(failed("ftp", user, from));
    }
    if let Some((user, _)) = rest.split_once(": no such user found") {
        return Some(Told { user_exists: Some(false), ..failed("ftp", user, from) });
    }
    let (user, _) = rest.split_once(": Login successful")?;
    Some(succeeded("ftp", user, from))
}

/// Pure-FTPd: `(?@ADDRESS) [WARNING] Authentication failed for user [name]`.
fn pure_ftpd(message: &str) -> Option<Told<'_>> {
    let (head, rest) = message.split_once(") [")?;
    let from = head.rsplit('@').next().and_then(address);
    if let Some((_, user)) = rest.split_once("Authentication failed for user [") {
        return Some(failed("ftp", user.trim_end_matches(']'), from));
    }
    let (before, _) = rest.split_once(" is now logged in")?;
    Some(succeeded("ftp", before.rsplit(' ').next()?, from))
}

/// Dovecot's login processes: `imap-login: Disconnected (auth failed, 1 attempts …): user=<name>, …, rip=ADDRESS, …`.
fn dovecot(message: &str) -> Option<Told<'_>> {
    let service = if message.contains("pop3") { "pop3" } else { "imap" };
    let from = field(message, "rip=").and_then(address);
    let user = between(message, "user=<", ">").unwrap_or_default();
    if message.contains("(auth failed,") || message.contains("auth failed, ") {
        return Some(failed(service, user, from));
    }
    message.split_once("Login: user=<").map(|_| succeeded(service, user, from))
}

/// Postfix: `warning: HOST[ADDRESS]: SASL LOGIN authentication failed: …` and `client=HOST[ADDRESS], sasl_method=…`.
fn postfix(message: &str) -> Option<Told<'_>> {
    let user = field(message, "sasl_username=").unwrap_or_default();
    if let Some((head, rest)) = message.split_once("]: SASL ") {
        let from = head.rsplit('[').next().and_then(address);
        return rest.contains("authentication failed").then(|| failed("smtp", user, from));
    }
    if user.is_empty() {
        return None;
    }
    let client = between(message, "client=", ",")?;
    Some(succeeded("smtp", user, client.rsplit_once('[').and_then(|(_, from)| address(from))))
}

/// Exim: `login authenticator failed for HOST (HELO) [ADDRESS]: 535 Incorrect authentication data (set_id=name)`.
fn exim(message: &str) -> Option<Told<'_>> {
    let (_, rest) = message.split_once(" authenticator failed for ")?;
    let (head, tail) = rest.split_once("]: 535")?;
    let user = between(tail, "set_id=", ")").unwrap_or_default();
    Some(failed("smtp", user, head.rsplit('[').next().and_then(address)))
}

/// xrdp: `AUTHFAIL: user=name ip=ADDRESS time=…`, and sessions that were granted.
fn xrdp(message: &str) -> Option<Told<'_>> {
    if let Some((_, rest)) = message.split_once("AUTHFAIL: ") {
        let (user, from) = rest.strip_prefix("user=")?.rsplit_once(" ip=")?;
        return Some(failed("rdp", user, from.split(' ').next().and_then(address)));
    }
    let (_, rest) = message.split_once("(access granted): username ")?;
    let (user, from) = rest.split_once(", ip ")?;
    Some(succeeded("rdp", user, from.split(' ').next().and_then(address_with_port)))
}

/// `::ffff:192.0.2.1:52000` has no brackets: what stands behind the last colon is the port.
fn address_with_port(text: &str) -> Option<IpAddr> {
    text.rsplit_once(':').and_then(|(address, _)| address.parse().ok()).or_else(|| address(text))
}

/// Samba's audit of authentication (`auth_audit`): `Auth: [SMB2,(null)] user [DOMAIN]\[name] … status [NT_STATUS_…] … remote
/// host [ipv4:ADDRESS:PORT]`.
fn samba(message: &str) -> Option<Told<'_>> {
    let (_, rest) = message.split_once("Auth: [")?;
    let (_, rest) = rest.split_once("]\\[")?;
    // The name ends where the daemon's own words go on.
    let (user, rest) = rest.split_once("] at [")?;
    let status = between(rest, " status [", "]")?;
    let from = between(rest, " remote host [", "]")
        .and_then(|host| host.strip_prefix("ipv4:").or_else(|| host.strip_prefix("ipv6:")))
        .and_then(address_with_port);
    Some(match status {
        "NT_STATUS_OK" => succeeded("smb", user, from),
        "NT_STATUS_NO_SUCH_USER" => Told { user_exists: Some(false), ..failed("smb", user, from) },
        _ => failed("smb", user, from),
    })
}

/// MySQL and MariaDB: `Access denied for user 'name'@'ADDRESS' (using password: YES)`.
fn mysql(message: &str) -> Option<Told<'_>> {
    let (_, rest) = message.split_once("Access denied for user '")?;
    let (user, host) = rest.rsplit_once("'@'")?;
    Some(failed("mysql", user, host.split('\'').next().and_then(address)))
}

/// PostgreSQL. The address stands in the line's prefix where `log_line_prefix` has %h or %r.
fn postgres(message: &str) -> Option<Told<'_>> {
    let prefix = |message: &'static str, all: &str| -> Option<IpAddr> {
        let (head, _) = all.split_once(message)?;
        head.split([' ', '=', ',', '(', ')']).find_map(address)
    };
    if let Some((_, user)) = message.split_once("authentication failed for user \"") {
        let user = user.rsplit_once('"').map_or(user, |(user, _)| user);
        return Some(failed("postgresql", user, prefix("FATAL:", message)));
    }
    if let Some((_, rest)) = message.split_once("no pg_hba.conf entry for host \"") {
        let from = rest.split('"').next().and_then(address);
        return Some(failed("postgresql", between(rest, "user \"", "\"").unwrap_or_default(), from));
    }
    let (_, rest) = message.split_once("connection authorized: user=")?;
    Some(succeeded("postgresql", rest.split(' ').next()?, prefix("LOG:", message)))
}

/// Whatever else asks PAM: `pam_unix(cockpit:auth): authentication failure; … rhost=ADDRESS user=name`.
fn pam(message: &str) -> Option<Told<'_>> {
    let (module, rest) = message.split_once("): ")?;
    let (module, service) = module.split_once('(')?;
    let service = service.strip_suffix(":auth")?;
    if !module.starts_with("pam_") || !rest.starts_with("authentication failure;") {
        return None;
    }
    let from = field(rest, "rhost=").and_then(address);
    let user = field(rest, "user=").filter(|user| !user.is_empty()).or_else(|| field(rest, "ruser="));
    let service = match service {
        "vsftpd" | "ftp" | "proftpd" | "pure-ftpd" => "ftp",
        "dovecot" | "imap" => "imap",
        "smtp" | "smtpd" => "smtp",
        "xrdp-sesman" => "rdp",
        "su-l" => "su",
        "remote" => "login",
        other => other,
    };
    Some(Told { teller: Teller::Pam, ..failed(service, user.unwrap_or_default(), from) })
}
