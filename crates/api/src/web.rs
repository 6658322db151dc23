//! The web page: the files of its bundle, out of the program itself. Deliberately not here: what it shows, which it asks
//! the API for like everybody else. Invariant: nothing here depends on who asks; a page without a login is an empty one.

use std::sync::{Arc, LazyLock};

use axum::Router;
use memory_serve::CacheControl;

use crate::state::Shared;

/// Paths of the page's files: they tell nothing of this host, so that whoever is to log in can load them.
pub(crate) fn is_page(path: &str) -> bool {
    path == "/" || path == "/index.html" || path == "/icon.svg" || path.starts_with("/assets/")
}

/// Made once, however many servers a process has (a demo, tests): it compresses, and what it makes is never freed.
#[expect(unused_qualifications, reason = "in what the crate's own macro writes")]
static FILES: LazyLock<Router<Arc<Shared>>> = LazyLock::new(|| {
    memory_serve::load!()
        .index_file(Some("/index.html"))
        .html_cache_control(CacheControl::NoCache)
        .cache_control(CacheControl::Long)
        .into_router()
});

/// Routes of all files. `/` is the page; the names of the others change with what is in them, so that they may be kept. Released
/// programs send them compressed; development builds do not, since they would have to compress at each start.
pub(crate) fn router() -> Router<Arc<Shared>> {
    FILES.clone()
}
