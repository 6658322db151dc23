//! Bytes as a summary: refused, or the same again after encoding, and merging stays within the limits.
#![no_main]

use hivewall_sketch::Summary;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Past the compression, which coverage cannot guess: the input is the text inside.
    let packed = [&[1][..], &zstd::bulk::compress(data, 1).expect("memory")].concat();
    for bytes in [data.to_vec(), packed] {
        if let Ok(summary) = Summary::decode(&bytes) {
            let mut twice = summary.clone();
            twice.merge(&summary);
            assert!(Summary::decode(&twice.encode()).is_ok());
            assert!(Summary::decode(&summary.encode()).is_ok());
        }
    }
});
