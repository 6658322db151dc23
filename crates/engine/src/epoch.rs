//! What flows moved since that was asked last: the share of this host in sums over many hosts.
//!
//! Whoever adds up asks about every ten seconds. Invariant: what all answers say of a flow adds up to what the flow counts,
//! less what is counted as left out.

use std::net::IpAddr;

use hashbrown::HashMap;
use hivewall_model::{Flow, FlowId};

use crate::Engine;

/// Most flows that ended between two questions.
const ENDED_MAX: usize = 1 << 20;

/// What a flow moved since the last question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Who opened it.
    pub client: IpAddr,
    /// Who was called.
    pub server: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// The port that was called; 0 for protocols without.
    pub server_port: u16,
    /// Whether client and server are this host.
    pub is_local: [bool; 2],
    /// Packets, both ways.
    pub packets: u64,
    /// IP bytes, both ways.
    pub bytes: u64,
}

/// What was said so far.
#[derive(Default)]
pub(crate) struct Epochs {
    /// Nobody asks before the first question.
    is_on: bool,
    told: HashMap<FlowId, (u64, u64)>,
    ended: Vec<Moved>,
    left_out: u64,
}

impl Engine {
    /// What every flow moved since this was asked last, those that ended since too, and how many that ended are left out
    /// because they were too many. Inner flows of tunnels are in the outer ones.
    pub fn moved(&mut self) -> (Vec<Moved>, u64) {
        self.epochs.is_on = true;
        let mut all = std::mem::take(&mut self.epochs.ended);
        for entry in self.table.iter() {
            let flow = entry.to_flow(&self.interfaces, &self.rulings.names, self.now);
            let now = sum(&flow);
            let before = self.epochs.told.insert(flow.id, now).unwrap_or_default();
            all.extend(self.moved_since(&flow, before));
        }
        (all, std::mem::take(&mut self.epochs.left_out))
    }

    /// A flow ends: what it moved since the last question is told with the next.
    pub(crate) fn keep_moved(&mut self, flow: &Flow) {
        if !self.epochs.is_on {
            return;
        }
        let before = self.epochs.told.remove(&flow.id).unwrap_or_default();
        let Some(moved) = self.moved_since(flow, before) else { return };
        if self.epochs.ended.len() < ENDED_MAX {
            self.epochs.ended.push(moved);
        } else {
            self.epochs.left_out += 1;
        }
    }

    fn moved_since(&self, flow: &Flow, (packets, bytes): (u64, u64)) -> Option<Moved> {
        let is_inner = !flow.points.is_empty() && flow.points.iter().all(|point| point.tunnel.is_some());
        let (packets_now, bytes_now) = sum(flow);
        if is_inner || packets_now <= packets {
            return None;
        }
        let (client, server) = (flow.tuple.client, flow.tuple.server);
        Some(Moved {
            client,
            server,
            protocol: flow.tuple.protocol,
            server_port: flow.tuple.server_port,
            is_local: [self.interfaces.is_local(client), self.interfaces.is_local(server)],
            packets: packets_now - packets,
            bytes: bytes_now.saturating_sub(bytes),
        })
    }
}

fn sum(flow: &Flow) -> (u64, u64) {
    (flow.to_server.packets + flow.to_client.packets, flow.to_server.ip_bytes + flow.to_client.ip_bytes)
}
