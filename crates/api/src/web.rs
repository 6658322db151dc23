//! The web page: the files of its bundle, out of the program itself. Deliberately not here: what it shows, which it asks
//! the API for like everybody else. Invariant: nothing here depends on who asks; a page without a login is an empty one.

use std::sync::Arc;

use axum::Router;
use memory_serve::CacheControl;

use crate::state::Shared;

/// Paths of the page's files: they tell nothing of this host, so that whoever is to log in can load them.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/" || path == "/index.html" || path == "/icon.svg" || path.starts_with("/assets/")
}

/// Routes of all files. `/` is the page; the names of the others change with what is in them, so that they may be kept.
#[expect(unused_qualifications, reason = "in what the crate's own macro writes")]
pub(crate) fn router() -> Router<Arc<Shared>> {
    memory_serve::load!()
        .index_file(Some("/index.html"))
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::Long)
        .enable_brotli(true)
        .enable_gzip(true)
        .into_router()
}
