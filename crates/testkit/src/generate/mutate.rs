//! Ways to break a frame, one at a time.
//!
//! None of them knows a format beyond where headers usually lie. Invariant: a frame never grows past 2,048 bytes.

use super::Rng;

const FRAME_MAX: usize = 2048;
/// Headers lie here; changes further in are payload and teach nothing.
const HEADERS: u64 = 96;
/// Values at which length checks go wrong.
const EDGES: [u16; 14] = [0, 1, 7, 8, 19, 20, 21, 39, 40, 0x7fff, 0x8000, 0xfff8, 0xfffe, 0xffff];
/// Next-header and protocol numbers, and bytes that start headers.
const NUMBERS: [u8; 20] = [0, 1, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132, 135, 255, 0x45, 0x46, 0x60];
/// EtherTypes that lead somewhere.
const ETHERTYPES: [u16; 8] = [0x8100, 0x88a8, 0x0800, 0x86dd, 0x0806, 0x9100, 0x8847, 0x05dc];

/// Breaks `frame` once; `other` is a frame to take pieces from.
pub(super) fn apply(frame: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    match rng.below(10) {
        0 | 1 => flip_bits(frame, rng),
        2 => frame.truncate(rng.below(frame.len() as u64 + 1) as usize),
        3 => set_word(frame, rng, |rng| rng.pick(&EDGES).unwrap_or_default()),
        4 => set_word(frame, rng, |rng| rng.bits() as u16),
        5 => set_byte(frame, rng, |rng| rng.pick(&NUMBERS).unwrap_or_default()),
        6 => splice(frame, other, rng),
        7 => insert(frame, rng),
        8 => ethertype(frame, rng),
        _ => random(frame, rng),
    }
}

fn place(frame: &[u8], rng: &mut Rng) -> usize {
    rng.below(HEADERS.min(frame.len() as u64)) as usize
}

fn flip_bits(frame: &mut [u8], rng: &mut Rng) {
    for _ in 0..=rng.below(8) {
        let at = place(frame, rng);
        if let Some(byte) = frame.get_mut(at) {
            *byte ^= 1 << rng.below(8);
        }
    }
}

/// Length fields lie at even offsets in nearly every header.
fn set_word(frame: &mut [u8], rng: &mut Rng, value: impl Fn(&mut Rng) -> u16) {
    let at = place(frame, rng) & !1;
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&value(rng).to_be_bytes());
    }
}

fn set_byte(frame: &mut [u8], rng: &mut Rng, value: impl Fn(&mut Rng) -> u8) {
    let at = place(frame, rng);
    if let Some(byte) = frame.get_mut(at) {
        *byte = value(rng);
    }
}

/// The head of this frame, then another one from anywhere on.
fn splice(frame: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    frame.truncate(place(frame, rng));
    let from = place(other, rng);
    frame.extend_from_slice(other.get(from..).unwrap_or_default());
    frame.truncate(FRAME_MAX);
}

/// A piece of the frame's own headers, doubled in place: a tag more, an extension header more.
fn insert(frame: &mut Vec<u8>, rng: &mut Rng) {
    let at = place(frame, rng) & !1;
    let len = [4, 8, 16].get(rng.below(3) as usize).copied().unwrap_or(4).min(frame.len() - at);
    frame.extend_from_within(at..at + len);
    frame.get_mut(at..).unwrap_or_default().rotate_right(len);
    frame.truncate(FRAME_MAX);
}

fn ethertype(frame: &mut [u8], rng: &mut Rng) {
    let at = rng.pick(&[12, 12, 16, 20]).unwrap_or(12);
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&rng.pick(&ETHERTYPES).unwrap_or_default().to_be_bytes());
    }
}

/// Noise behind a head of any length.
fn random(frame: &mut Vec<u8>, rng: &mut Rng) {
    frame.truncate(place(frame, rng));
    for _ in 0..=rng.below(16) {
        frame.extend_from_slice(&rng.bits().to_le_bytes());
    }
}
