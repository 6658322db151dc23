//! Bytes as packets at the port of a host, before anything is proved: nothing is given out, nothing takes memory.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hivewall_net::bench::packets(data));
