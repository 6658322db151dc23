//! History: closed flows in Parquet segments, roll-ups, and small state in a transactional store.
#![forbid(unsafe_code)]
