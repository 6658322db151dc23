//! The whole way of a packet that is dropped: from the sender's packet socket over a veth pair to the filter, on one CPU,
//! less what sending alone costs.
//!
//! Every filter has a receiver and a link of its own, so that all of them take turns. Sending is measured by a link whose
//! other end is down: its driver takes the frame, and drops it where it would hand it over. Invariant: before it is timed, a filter has
//! shown that nothing passes.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hivewall_testkit::netns::{Host, Lab, Offloads};
use hivewall_testkit::packet::frame;
use hivewall_testkit::traffic::raw_frames;
use nix::time::{ClockId, clock_gettime};

use super::Plan;
use super::filters::{Filter, INTERFACE, Receiver, source};
use crate::bench::datapath::pin;
use crate::bench::report::{Cell, Report};
use crate::bench::sample::Sample;

/// The interface of which the other end is down.
const FLOOR: &str = "floor";
/// Ports that packets come from, so that they are more than one flow.
const PORTS: usize = 256;
/// Frames after which a filter must have let nothing pass.
const TRIAL: usize = 64;

/// Runs this part.
pub(super) fn run(plan: &Plan, workbench: &[u8]) -> Result<Vec<Report>> {
    let place = Place::new(plan)?;
    let names: Vec<String> = plan.entries.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut report = Report::new("The way of a packet that is dropped, by entries", "ns, least / median", &names);
    let mut receivers = place.receivers()?;
    // Not before: a link that is made waits for the carriers of all.
    place.nobody.ip(&["link", "set", INTERFACE, "down"])?;
    let mut columns = Vec::new();
    for entries in plan.entries {
        eprintln!("{entries} entries …");
        columns.push(place.column(&mut receivers, *entries, workbench)?);
    }
    for (row, filter) in Filter::ALL.iter().enumerate() {
        let cells = columns.iter().map(|(floor, samples)| match samples.get(row) {
            Some(sample) if !sample.0.is_empty() => {
                Cell::Spread { min: sample.min() - floor.min(), median: sample.above(floor).median() }
            }
            _ => Cell::None,
        });
        report.row(filter.name(), cells.collect());
    }
    let floor = |(floor, _): &(Sample, Vec<Sample>)| Cell::Spread { min: floor.min(), median: floor.median() };
    report.row("sending alone (taken off above)", columns.iter().map(floor).collect());
    report.note(format!(
        "CPU {}, {} rounds of {} frames of 60 bytes, all in turn; one source, {PORTS} ports; the entry that matches is the \
         last.",
        place.cpu, plan.rounds, plan.frames
    ));
    Ok(vec![report])
}

struct Place<'p> {
    plan: &'p Plan,
    cpu: u32,
    sender: Host,
    nobody: Host,
    lab: Lab,
}

impl<'p> Place<'p> {
    fn new(plan: &'p Plan) -> Result<Self> {
        let cpu = pin(plan.cpu)?;
        let lab = Lab::new("path")?;
        let sender = lab.host("sender")?;
        let nobody = lab.host("nobody")?;
        lab.link(&sender, FLOOR, &nobody, INTERFACE).offloads(Offloads::NONE).up()?;
        Ok(Self { plan, cpu, sender, nobody, lab })
    }

    fn receivers(&self) -> Result<Vec<(Receiver, Vec<u8>)>> {
        Filter::ALL.iter().enumerate().map(|(number, filter)| self.receiver(number, *filter)).collect()
    }

    /// A receiver, and the beginning of frames to it.
    fn receiver(&self, number: usize, filter: Filter) -> Result<(Receiver, Vec<u8>)> {
        let host = self.lab.host(&format!("r{number}"))?;
        let addresses = [format!("10.71.{number}.1/24"), format!("10.71.{number}.2/24")];
        let [ours, theirs] = addresses.each_ref().map(String::as_str);
        let link = self.lab.link(&self.sender, link(number).leak(), &host, INTERFACE);
        link.addresses(&[ours], &[theirs]).offloads(Offloads::NONE).up()?;
        host.ip(&["route", "add", "default", "via", &format!("10.71.{number}.1")])?;
        let at = format!("10.71.{number}.2:9");
        let socket = host.enter(|| UdpSocket::bind(at))??;
        let mac = mac(&host)?;
        Ok((Receiver::new(filter, host, socket)?, mac.to_vec()))
    }

    /// What sending costs, and each filter on top of it; no samples where a filter is not for so many entries.
    fn column(
        &self,
        receivers: &mut [(Receiver, Vec<u8>)],
        entries: usize,
        workbench: &[u8],
    ) -> Result<(Sample, Vec<Sample>)> {
        let mut frames = Vec::new();
        for (number, (receiver, mac)) in receivers.iter_mut().enumerate() {
            frames.push(self.frames(number, mac, entries));
            if entries > receiver.filter.max() {
                continue;
            }
            receiver.install(entries, workbench)?;
            let trial: Vec<_> = frames.iter().flatten().rev().take(TRIAL).cloned().collect();
            self.send(&link(number), &trial)?;
            let is_open = receiver.filter == Filter::Nothing;
            ensure!(receiver.has_received() == is_open, "{}: packets passed, or none did", receiver.filter.name());
        }
        let (mut floor, mut samples) = (Sample::default(), vec![Sample::default(); receivers.len()]);
        for _ in 0..self.plan.rounds {
            let any = frames.first().context("there are receivers")?;
            floor.0.push(self.send(FLOOR, any)?);
            for (number, ((receiver, _), sample)) in receivers.iter().zip(&mut samples).enumerate() {
                if let Some(frames) = frames.get(number)
                    && entries <= receiver.filter.max()
                {
                    sample.0.push(self.send(&link(number), frames)?);
                }
            }
        }
        receivers.iter_mut().try_for_each(|(receiver, _)| receiver.remove())?;
        Ok((floor, samples))
    }

    fn frames(&self, number: usize, mac: &[u8], entries: usize) -> Vec<Vec<u8>> {
        let mut to = [0; 6];
        to.iter_mut().zip(mac).for_each(|(to, byte)| *to = *byte);
        let from = source(entries.saturating_sub(1));
        let one = |port: usize| {
            let packet = frame().mac(to, [2, 0, 0, 0, 0, 1]).ipv4(from, format!("10.71.{number}.2").as_str());
            packet.udp(1024 + (port % PORTS) as u16, 9).pad_to(60).build()
        };
        (0..self.plan.frames).map(one).collect()
    }

    /// Nanoseconds a frame.
    fn send(&self, interface: &str, frames: &[Vec<u8>]) -> Result<f64> {
        self.sender.enter(|| -> Result<f64> {
            pin(Some(self.cpu as usize))?;
            // Time of this thread, in which the receiver's softirq runs too: closing a packet socket waits for all readers
            // of the kernel's lists, which is no cost of a frame.
            let start = thread_time()?;
            raw_frames(interface, frames)?;
            Ok(thread_time()?.saturating_sub(start).as_nanos() as f64 / frames.len() as f64)
        })?
    }
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn link(number: usize) -> String {
    format!("to{number}")
}

/// The hardware address of a receiver.
fn mac(host: &Host) -> Result<[u8; 6]> {
    let text = host.ip(&["-brief", "link", "show", INTERFACE])?;
    let word = text.split_whitespace().find(|word| word.len() == 17 && word.contains(':'));
    let bytes: Option<Vec<u8>> =
        word.map(|word| word.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect());
    bytes.and_then(|bytes| bytes.try_into().ok()).context("`ip` tells no hardware address")
}
