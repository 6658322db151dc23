//! A bounded generator of test traffic on loopback, for newcomers and demonstrations.
#![forbid(unsafe_code)]
