//! Logs of logins. See the body of the same name for what has to hold.
#![no_main]

#[path = "../../crates/hivewall/tests/play/mod.rs"]
mod play;
#[path = "../../crates/hivewall/tests/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::authlog::authlog(data));
