//! Look-ups at a small responder, which knows a few names and says of the others that there is no such name.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use crate::listen::{self, Ending, PATIENCE};
use crate::pace::Pace;
use crate::{Done, Limits, Plan, TrafficError};

/// DNS's own port where it is free, so that everyone knows it for DNS; without privilege it is another one.
const PORTS: [u16; 2] = [53, 5300];
/// Look-ups in one second.
const LOOKUPS_PER_SECOND: u64 = 20;
/// Names asked for, in turn; the last is not known.
const NAMES: [&str; 4] = ["www.example.com", "shop.example.org", "api.example.net", "no-such-name.example.com"];
/// Addresses of documentation (RFC 5737) stand for them.
const ANSWER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
const TTL_SECONDS: u32 = 30;
/// A message over UDP without extensions (RFC 1035 §4.2.1).
const MESSAGE_BYTES_MAX: usize = 512;

pub(crate) fn run(plan: &Plan, limits: Limits<'_>) -> Result<Done, TrafficError> {
    let target = plan.options().target;
    let (responder, address) = listen::udp("DNS", target, &PORTS)?;
    let (client, _) = listen::udp("the DNS client", target, &[])?;
    client.set_read_timeout(Some(PATIENCE)).map_err(|source| TrafficError::Serve {
        what: "the DNS client",
        target,
        source,
    })?;
    let ending = Ending::default();
    let mut done = Done::default();
    thread::scope(|scope| {
        scope.spawn(|| respond(&responder, &ending));
        let mut pace = Pace::new(LOOKUPS_PER_SECOND);
        while done.tried < plan.options().lookups && pace.turn(limits) {
            if let Some(bytes) = ask(&client, address, done.tried) {
                done.well += 1;
                done.bytes += bytes as u64;
            }
            done.tried += 1;
        }
        ending.end();
    });
    Ok(done)
}

/// Asks one name; gives the bytes of question and answer, if the answer is to this question.
fn ask(client: &UdpSocket, responder: SocketAddr, number: u64) -> Option<usize> {
    let name = NAMES.get((number % NAMES.len() as u64) as usize)?;
    let id = number as u16;
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(Question::new(Name::new(name).ok()?, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
    let query = query.build_bytes_vec().ok()?;
    client.send_to(&query, responder).ok()?;
    let mut answer = [0; MESSAGE_BYTES_MAX];
    let (length, from) = client.recv_from(&mut answer).ok()?;
    let answer = Packet::parse(answer.get(..length)?).ok()?;
    (from == responder && answer.id() == id).then_some(query.len() + length)
}

fn respond(socket: &UdpSocket, ending: &Ending) {
    let mut message = [0; MESSAGE_BYTES_MAX];
    while !ending.has_come() {
        if !listen::ready(socket) {
            continue;
        }
        let Ok((length, from)) = socket.recv_from(&mut message) else { continue };
        if let Some(answer) = message.get(..length).and_then(answer) {
            // A client that no longer listens is the client's affair.
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut answer = Packet::parse(query).ok()?.into_reply();
    answer.set_flags(PacketFlag::RECURSION_AVAILABLE);
    let name = answer.questions.first()?.qname.clone();
    let known = NAMES.split_last().is_some_and(|(_, known)| known.contains(&name.to_string().as_str()));
    if known {
        let address = RData::A(A { address: ANSWER.to_bits() });
        answer.answers.push(ResourceRecord::new(name, CLASS::IN, TTL_SECONDS, address));
    } else {
        *answer.rcode_mut() = RCODE::NameError;
    }
    answer.build_bytes_vec().ok()
}
