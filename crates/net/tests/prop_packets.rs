//! What the fuzzer does with packets, for a while with plain tests: whatever comes before anything is proved takes no
//! memory and is given to nobody. [`hivewall_net::bench::packets`] panics if it does.

use hivewall_net::bench::packets;

#[test]
fn packets_of_any_bytes_are_given_to_nobody_and_take_no_memory() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..5000 {
        let length = (next() % 1600) as usize;
        let mut input = (length as u16).to_le_bytes().to_vec();
        // Half of them begin as packets of this version do.
        let head = [1, (next() % 7) as u8];
        input.extend(if next() % 2 == 0 { head } else { (next() as u16).to_le_bytes() });
        input.extend((2..length.max(2)).map(|_| next() as u8));
        packets(&input);
    }
}
