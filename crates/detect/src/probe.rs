//! A flow as an attempt: who called whom at which port, how, and what came of it. What scan detectors share.
//!
//! Roles in a pulse are guesses where no handshake was seen; here the side that was refused, or that speaks alone, is the
//! caller. Invariant: what may be an answer to something that was not seen is nobody's attempt.

use std::net::IpAddr;

use hivewall_model::{Pulse, Side, TcpFlags, TcpState, Timestamp};

use crate::wire::{ICMP, ICMPV6, SCTP, TCP, is_echo, is_host, one_sided, reflector};

/// Most packets of an attempt that is nothing but that.
const PACKETS_MAX: u64 = 6;
/// A TCP packet without payload has at most so many IP bytes: IPv6 and TCP headers, and options.
const BARE_BYTES_MAX: u64 = 80;
/// Ports that traceroute calls on purpose, since nobody waits there (traceroute(8): 33434 and so many hops times three on).
const TRACEROUTE: std::ops::RangeInclusive<u16> = 33434..=33625;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing yet.
    Awaited,
    /// Nothing, and nothing will.
    Silence,
    /// A refusal.
    Refused,
    /// It was opened, and dropped without a word.
    Touched,
    /// A conversation.
    Talk,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Who called.
    pub(crate) source: IpAddr,
    /// Whom.
    pub(crate) target: IpAddr,
    /// At which port; 0 for ICMP.
    pub(crate) port: u16,
    /// IP protocol number.
    pub(crate) protocol: u8,
    /// What came of it.
    pub(crate) answer: Answer,
    /// How, as scanners call it.
    pub(crate) how: How,
    /// When it began.
    pub(crate) time: Timestamp,
}

/// Kinds of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum How {
    Syn,
    Connect,
    Null,
    Fin,
    Xmas,
    Ack,
    Maimon,
    Flags,
    Udp,
    Sctp,
    Echo,
    Other,
}

impl How {
    /// The name that scanners' manuals use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Syn => "TCP SYN",
            Self::Connect => "TCP connect",
            Self::Null => "TCP NULL",
            Self::Fin => "TCP FIN",
            Self::Xmas => "TCP XMAS",
            Self::Ack => "TCP ACK",
            Self::Maimon => "TCP Maimon",
            Self::Flags => "TCP with odd flags",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Echo => "ICMP echo",
            Self::Other => "other",
        }
    }
}

impl Probe {
    /// What this flow is as an attempt; `None` where it is none.
    pub(crate) fn read(pulse: &Pulse) -> Option<Self> {
        let probe = match pulse.tuple.protocol {
            TCP if pulse.roles_known => opened(pulse),
            TCP => odd(pulse),
            ICMP | ICMPV6 => echo(pulse),
            _ if pulse.tuple.has_ports() => datagrams(pulse),
            _ => None,
        }?;
        (is_host(probe.source) && is_host(probe.target) && probe.source != probe.target).then_some(probe)
    }

    /// Whether nobody talks there, as far as can be told.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.answer, Answer::Silence | Answer::Refused | Answer::Touched)
    }
}

fn silence(pulse: &Pulse) -> Answer {
    if pulse.ended.is_some() { Answer::Silence } else { Answer::Awaited }
}

fn of_client(pulse: &Pulse, answer: Answer, how: How) -> Probe {
    let tuple = &pulse.tuple;
    let (source, target, port) = (tuple.client, tuple.server, tuple.server_port);
    Probe { source, target, port, protocol: tuple.protocol, answer, how, time: pulse.start }
}

fn is_bare(side: &Side) -> bool {
    side.packets <= PACKETS_MAX && side.ip_bytes <= side.packets * BARE_BYTES_MAX
}

/// TCP with a SYN.
fn opened(pulse: &Pulse) -> Option<Probe> {
    let (up, down) = (&pulse.to_server, &pulse.to_client);
    if !up.flags.has(TcpFlags::SYN) {
        // An answer to a SYN that was not seen, or that was sent in this host's name.
        return None;
    }
    let how = if up.flags.has(TcpFlags::FIN) && down.packets == 0 { How::Flags } else { How::Syn };
    if down.packets == 0 {
        return Some(of_client(pulse, silence(pulse), how));
    }
    if !down.flags.has(TcpFlags::SYN) {
        let is_refused = down.flags.has(TcpFlags::RST);
        return Some(of_client(pulse, if is_refused { Answer::Refused } else { Answer::Talk }, how));
    }
    let is_over = pulse.ended.is_some() || pulse.tcp_state == Some(TcpState::Reset);
    let is_bare = is_bare(up) && is_bare(down);
    let how = if up.flags.has(TcpFlags::ACK) { How::Connect } else { How::Syn };
    let answer = match (is_bare, is_over) {
        (true, true) => Answer::Touched,
        (true, false) if pulse.tcp_state == Some(TcpState::SynRecv) => Answer::Awaited,
        _ => Answer::Talk,
    };
    Some(of_client(pulse, answer, how))
}

/// TCP without a SYN: scans by flags that no connection begins with.
fn odd(pulse: &Pulse) -> Option<Probe> {
    let tuple = &pulse.tuple;
    let is_refusal = |side: &Side| {
        side.packets <= PACKETS_MAX
            && side.flags.has(TcpFlags::RST)
            && side.flags.0 & !(TcpFlags::RST | TcpFlags::ACK) == 0
    };
    let (up, down) = (&pulse.to_server, &pulse.to_client);
    let client = ((tuple.client, tuple.client_port), (tuple.server, tuple.server_port));
    let server = (client.1, client.0);
    let ((from, to), side, answer) = match (up.packets, down.packets) {
        (_, 0) => (client, up, silence(pulse)),
        (0, _) => (server, down, silence(pulse)),
        _ if is_refusal(down) => (client, up, Answer::Refused),
        _ if is_refusal(up) => (server, down, Answer::Refused),
        _ => return None,
    };
    let how = by_flags(side.flags)?;
    let is_answer = from.1 < 1024 && to.1 >= 1024;
    if is_answer || !is_bare(side) {
        return None;
    }
    Some(Probe { source: from.0, target: to.0, port: to.1, protocol: TCP, answer, how, time: pulse.start })
}

/// The scan that is known by these flags; `None` for those of a connection under way and of answers.
fn by_flags(flags: TcpFlags) -> Option<How> {
    const XMAS: u8 = TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG;
    const MAIMON: u8 = TcpFlags::FIN | TcpFlags::ACK;
    match flags.0 {
        0 => Some(How::Null),
        TcpFlags::FIN => Some(How::Fin),
        XMAS => Some(How::Xmas),
        TcpFlags::ACK => Some(How::Ack),
        MAIMON => Some(How::Maimon),
        other if other & (TcpFlags::RST | TcpFlags::ACK) == 0 => Some(How::Flags),
        _ => None,
    }
}

fn echo(pulse: &Pulse) -> Option<Probe> {
    if !pulse.roles_known || !is_echo(&pulse.tuple) {
        return None;
    }
    let answer = if pulse.to_client.packets > 0 { Answer::Talk } else { silence(pulse) };
    let probe = of_client(pulse, answer, How::Echo);
    Some(Probe { port: 0, ..probe })
}

/// UDP, SCTP and their kin, in which nothing says who began.
fn datagrams(pulse: &Pulse) -> Option<Probe> {
    let tuple = &pulse.tuple;
    let how = match tuple.protocol {
        SCTP => How::Sctp,
        crate::wire::UDP => How::Udp,
        _ => How::Other,
    };
    if tuple.client_port == 0 && tuple.server_port == 0 {
        // Fragments whose ports are unknown.
        return None;
    }
    let Some((from, to)) = one_sided(pulse) else {
        // An SCTP association of a few packets each way is an INIT that was refused or dropped again (RFC 9260, 5.1).
        let is_brief = how == How::Sctp && pulse.to_server.packets <= 2 && pulse.to_client.packets <= 2;
        return Some(of_client(pulse, if is_brief { Answer::Touched } else { Answer::Talk }, how));
    };
    let is_answer = (from.1 < 1024 || reflector(from.1).is_some()) && to.1 >= 1024;
    if is_answer || TRACEROUTE.contains(&to.1) {
        return None;
    }
    let (source, target, port) = (from.0, to.0, to.1);
    Some(Probe { source, target, port, protocol: tuple.protocol, answer: silence(pulse), how, time: pulse.start })
}

#[cfg(test)]
mod tests {
    use hivewall_model::EndReason;

    use super::*;
    use crate::testing::{Make, host};

    const A: u16 = 51_000;

    fn odd_flow(flags: u8, port: u16) -> Make {
        Make::flow(TCP, host(1), A, host(2), port).roles_guessed().client_says(1, 40, flags)
    }

    fn read(make: &Make) -> Option<(IpAddr, u16, Answer, How)> {
        Probe::read(&make.0).map(|probe| (probe.target, probe.port, probe.answer, probe.how))
    }

    #[test]
    fn a_syn_is_awaited_refused_silent_touched_or_talk() {
        let syn = Make::syn(host(1), A, host(2), 80);
        assert_eq!(read(&syn), Some((host(2), 80, Answer::Awaited, How::Syn)));
        assert_eq!(read(&syn.clone().ended(EndReason::Idle)), Some((host(2), 80, Answer::Silence, How::Syn)));
        assert_eq!(read(&Make::refused(host(1), A, host(2), 80)), Some((host(2), 80, Answer::Refused, How::Syn)));
        let half = syn.server_says(1, 44, TcpFlags::SYN | TcpFlags::ACK).client_says(1, 40, TcpFlags::RST);
        assert_eq!(read(&half), Some((host(2), 80, Answer::Touched, How::Syn)));
        let talk = Make::tcp((host(1), A), (host(2), 80), 300, 5_000);
        assert_eq!(read(&talk), Some((host(2), 80, Answer::Talk, How::Connect)));
    }

    #[test]
    fn flags_that_begin_no_connection_have_their_names() {
        let kinds = [(0, How::Null), (1, How::Fin), (0x29, How::Xmas), (0x10, How::Ack), (0x11, How::Maimon)];
        for (flags, how) in kinds {
            assert_eq!(read(&odd_flow(flags, 8080)), Some((host(2), 8080, Answer::Awaited, how)));
            let refused = odd_flow(flags, 8080).server_says(1, 40, TcpFlags::RST);
            assert_eq!(read(&refused), Some((host(2), 8080, Answer::Refused, how)));
        }
    }

    #[test]
    fn who_is_refused_called_even_where_the_roles_were_guessed_the_other_way_round() {
        let turned = Make::flow(TCP, host(2), 60_000, host(1), 40_000)
            .roles_guessed()
            .server_says(1, 40, 0)
            .client_says(1, 40, TcpFlags::RST | TcpFlags::ACK);
        let probe = Probe::read(&turned.0).unwrap();
        assert_eq!((probe.source, probe.target, probe.port), (host(1), host(2), 60_000));
    }

    #[test]
    fn answers_to_what_was_not_seen_and_connections_under_way_are_no_attempts() {
        let syn_ack = Make::flow(TCP, host(1), A, host(2), 80).server_says(1, 44, TcpFlags::SYN | TcpFlags::ACK);
        assert_eq!(read(&syn_ack), None);
        assert_eq!(read(&odd_flow(TcpFlags::RST, 80)), None);
        assert_eq!(read(&odd_flow(TcpFlags::PSH | TcpFlags::ACK, 80)), None);
        let late = Make::flow(TCP, host(1), A, host(2), 443)
            .roles_guessed()
            .server_says(1, 40, TcpFlags::FIN | TcpFlags::ACK)
            .client_says(1, 40, TcpFlags::RST);
        assert_eq!(read(&late), None);
        assert_eq!(read(&Make::udp((host(1), A), (host(2), 53), (0, 0), (1, 500))), None);
    }

    #[test]
    fn datagrams_without_an_answer_and_pings_are_attempts_and_traceroute_is_none() {
        let udp = |port| Make::udp((host(1), A), (host(2), port), (1, 28), (0, 0));
        assert_eq!(read(&udp(161)), Some((host(2), 161, Answer::Awaited, How::Udp)));
        assert_eq!(read(&udp(33_440)), None);
        assert_eq!(read(&Make::ping(host(1), host(2), 1, 0)), Some((host(2), 0, Answer::Awaited, How::Echo)));
        assert_eq!(read(&Make::ping(host(1), host(2), 1, 1)), Some((host(2), 0, Answer::Talk, How::Echo)));
        let to_all = Make::udp((host(1), A), ("255.255.255.255".parse().unwrap(), 67), (1, 300), (0, 0));
        assert_eq!(read(&to_all), None);
    }
}
