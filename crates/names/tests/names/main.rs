//! The crate from outside: packets in, findings and counters out.
//!
//! Protocols are told in [`talk`], bytes beside what they mean; captures come through [`seen`]. Expected values are the protocols' own
//! documents, another tool's, or arithmetic.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "expect! makes what check takes")]
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes its pictures this way")]

mod corpus;
mod dns;
mod hostile;
mod http;
mod limits;
mod order;
mod quic;
mod seen;
mod ssh;
mod talk;
mod times;
mod tls;
mod tshark;
