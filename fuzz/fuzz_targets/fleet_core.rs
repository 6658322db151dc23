//! Events of peers into a core. See the body of the same name for what has to hold.
#![no_main]

#[path = "../../crates/cluster/tests/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::fleet_core(data));
