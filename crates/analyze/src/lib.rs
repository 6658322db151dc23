//! A report over a log that this program, or Suricata, wrote.
#![forbid(unsafe_code)]
