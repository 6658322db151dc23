//! Answers in fewer bytes for who takes them so: a page of 200 flows is 165 KB of JSON, asked for every two seconds, and may be
//! looked at across a thin line. Deliberately not here: the page's own files, which are compressed when the program is built.

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};

/// Fewer bytes fit in one packet as they are.
const FROM_BYTES: u64 = 1_024;

type Worth = And<And<SizeAbove, NotForContentType>, NotForContentType>;

/// gzip at its fastest, for whatever is long enough. Not for events, which would wait for more of them, nor for Parquet, which has a
/// compression of its own.
pub(crate) fn layer() -> CompressionLayer<Worth> {
    let worth = SizeAbove::new(FROM_BYTES)
        .and(NotForContentType::SSE)
        .and(NotForContentType::const_new("application/vnd.apache.parquet"));
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth)
}
