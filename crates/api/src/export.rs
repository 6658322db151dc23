//! The handler that hands out closed flows of history as a file. Deliberately not here: how a format is written.
//! Invariant: a slow reader holds back its own export and nothing else; one that leaves ends it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::error::{Problem, Refusal};
use crate::history::refusal;
use crate::params::{ExportParams, Pairs};
use crate::state::Shared;

/// Pieces of an export that wait for a slow reader before the writer waits as well.
pub const EXPORT_PIECES_MAX: usize = 16;

/// An export on its way: pieces of the file, or why it breaks off. The sender closes it at the end.
pub type ExportPieces = tokio::sync::mpsc::Receiver<Result<Vec<u8>, String>>;

/// Closed flows of history that match, as one file, in the order in which they ended.
#[utoipa::path(
    get,
    path = "/api/v1/export",
    tag = "history",
    operation_id = "export",
    params(ExportParams),
    responses(
        (status = 200, description = "The file, of the media type of its format; an export that breaks off ends without its last chunk.", content(
            (String = "application/vnd.apache.parquet"),
            (String = "text/csv"),
            (String = "application/jsonl"),
        )),
        (status = 400, description = "A parameter or the filter is not understood.", body = Problem),
        (status = 404, description = "The agent keeps no history.", body = Problem),
        (status = 503, description = "The agent has stopped, or cannot read its history.", body = Problem),
    )
)]
pub(crate) async fn export(State(shared): State<Arc<Shared>>, pairs: Pairs) -> Result<Response, Refusal> {
    let (query, format) = pairs.export(&shared)?;
    let pieces = shared.source.export(query, format).await.map_err(refusal)?;
    let stream = ReceiverStream::new(pieces).map(|piece| piece.map(Bytes::from).map_err(std::io::Error::other));
    let disposition = format!("attachment; filename=\"flows.{}\"", format.name());
    let headers = [(header::CONTENT_TYPE, format.media_type().to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(stream)).into_response())
}
