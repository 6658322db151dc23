//! Detectors over recorded captures with ground truth.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

/// Prints what is said of a file: `HIVEWALL_LOOK=FILE cargo test -p hivewall-detect --test cases -- look --nocapture`.
#[test]
fn look() {
    let Some(file) = std::env::var_os("HIVEWALL_LOOK") else { return };
    for sign in support::replay(std::path::Path::new(&file), support::everything()) {
        println!("{} {:?} {} {:?} {:?}", sign.detector.name, sign.severity, sign.message, sign.subject, sign.figures);
    }
}
