//! The bytes of a connection, plain or under TLS, and how a TLS one begins. Deliberately not here: limits on what follows
//! (`connection`).
//!
//! Invariant: a handshake happens beside the listener, within [`HANDSHAKE_SECONDS_MAX`], one of [`HANDSHAKES_MAX`] and of
//! [`PEER_HANDSHAKES_MAX`] for its peer: who does not finish one is in nobody's way.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::Tls;

/// Longest that a handshake may take.
pub const HANDSHAKE_SECONDS_MAX: u64 = 10;
/// Handshakes under way at once.
pub const HANDSHAKES_MAX: usize = 128;
/// And with one peer.
pub const PEER_HANDSHAKES_MAX: usize = 16;

/// First byte of a TLS connection: a record that holds a handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;
const PLAIN: &str = "{\"error\":\"tls_only\",\"detail\":\"this port speaks HTTPS, and what came is not TLS\",\
     \"hint\":\"use https:// in front of the same address\"}";

/// A connection's bytes.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Handshakes under way.
#[derive(Clone)]
pub(crate) struct Handshakes {
    tls: Tls,
    places: Arc<Semaphore>,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place among them, given back when dropped.
pub(crate) struct Turn {
    peer: IpAddr,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = peers.get_mut(&self.peer) {
            *turns = turns.saturating_sub(1);
            if *turns == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

impl Handshakes {
    pub(crate) fn new(tls: Tls) -> Self {
        Self { tls, places: Arc::new(Semaphore::new(HANDSHAKES_MAX)), peers: Arc::default() }
    }

    /// A place for one more, where there is one.
    pub(crate) fn turn(&self, peer: IpAddr) -> Option<Turn> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = peers.entry(peer).or_default();
        if *turns >= PEER_HANDSHAKES_MAX {
            return None;
        }
        *turns += 1;
        Some(Turn { peer, peers: Arc::clone(&self.peers), _place: place })
    }

    /// The connection, once TLS is spoken on it. Who speaks plain HTTP is told so.
    pub(crate) async fn shake(&self, stream: TcpStream) -> io::Result<Wire> {
        timeout(Duration::from_secs(HANDSHAKE_SECONDS_MAX), self.begin(stream)).await?
    }

    async fn begin(&self, stream: TcpStream) -> io::Result<Wire> {
        let mut first = [0];
        if stream.peek(&mut first).await? > 0 && first != [HANDSHAKE_RECORD] {
            refuse_plain(stream).await?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        let stream = TlsAcceptor::from(self.tls.config()).accept(stream).await?;
        Ok(Wire::Tls(Box::new(stream)))
    }
}

async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{PLAIN}",
        PLAIN.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would reset the connection and take the answer with it.
    let mut scrap = [0; 1024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

/// The same call on whichever it is.
macro_rules! either {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match &mut *$self {
            Wire::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}
