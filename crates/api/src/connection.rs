//! Connections and their limits, below HTTP. Deliberately not here: anything that a complete request says (`guard`).
//!
//! Invariant: a client can hold at most one of [`CONNECTIONS_MAX`] places, and only while bytes move: every request has
//! to be whole, and every response under way, within [`ANSWER_WAIT_SECONDS`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::access::BODY_BYTES_MAX;
use crate::state::{Shared, count};
use crate::wire::{Handshakes, Wire};

/// Connections that may be open at once; one more is told so and closed, and counted.
pub const CONNECTIONS_MAX: usize = 256;
/// Bytes a client may send before it gets a byte back. No request is that long (see [`crate::HEADER_BYTES_MAX`] and
/// [`crate::BODY_BYTES_MAX`]); what goes on without end is cut here. Nothing is kept of it but what a handler reads.
pub const REQUEST_BYTES_MAX: usize = BODY_BYTES_MAX + 64 * 1024;
/// Seconds from the first byte of a request to the first byte of its response, between two requests, and between two
/// pieces of a response that the client does not take.
pub const ANSWER_WAIT_SECONDS: u64 = 30;

/// Connections being turned away at once; beyond, they are closed without a word.
const REFUSALS_MAX: usize = 16;
/// How long a client that is turned away may take to read why.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);
const ANSWER_WAIT: Duration = Duration::from_secs(ANSWER_WAIT_SECONDS);

const REFUSAL: &str = "{\"error\":\"too_many_connections\",\"detail\":\"too many connections to this agent are open\",\
     \"hint\":\"close some, or try again later\"}";

/// A connection that can be served, and whose it is.
type Accepted = (GuardedStream, SocketAddr);

/// A listener that hands out at most [`CONNECTIONS_MAX`] connections.
pub(crate) struct GuardedListener {
    listener: TcpListener,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    handshakes: Option<Handshakes>,
    /// Connections whose handshake is done.
    done: (mpsc::Sender<Accepted>, mpsc::Receiver<Accepted>),
}

impl GuardedListener {
    pub(crate) fn new(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
        let handshakes = shared.access.tls.clone().map(Handshakes::new);
        // Each holds one of the places: there is always room.
        Self { listener, shared, places, refusals, handshakes, done: mpsc::channel(CONNECTIONS_MAX) }
    }

    /// Begins a handshake beside the listener. Where there are too many, the connection is closed: to say why would take one.
    fn shake(&self, handshakes: &Handshakes, stream: TcpStream, peer: SocketAddr) {
        let connected = std::time::Instant::now();
        let Some(turn) = handshakes.turn(peer.ip()) else {
            count(&self.shared.counts.connections_refused, 1);
            return;
        };
        let (handshakes, places, done) = (handshakes.clone(), Arc::clone(&self.places), self.done.0.clone());
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let shaken = handshakes.shake(stream).await;
            drop(turn);
            match (shaken, places.try_acquire_owned()) {
                (Err(error), _) => {
                    tracing::debug!(%peer, %error, "no TLS came about");
                    count(&shared.counts.handshakes_failed, 1);
                }
                (Ok(_), Err(_)) => count(&shared.counts.connections_refused, 1),
                // An error means that the listener is gone.
                (Ok(wire), Ok(place)) => {
                    let _ = done.send((GuardedStream::new(wire, place, shared, connected), peer)).await;
                }
            }
        });
    }

    fn refuse(&self, stream: TcpStream) {
        count(&self.shared.counts.connections_refused, 1);
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        tokio::spawn(async move {
            // Too late or gone: the client that does not read its refusal has none.
            let _ = timeout(REFUSAL_WAIT, say_no(stream)).await;
            drop(permit);
        });
    }
}

/// Answers without reading the request, then waits for the client to close, because closing first with unread bytes
/// would reset the connection and take the answer with it.
async fn say_no(mut stream: TcpStream) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        REFUSAL.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(REFUSAL.as_bytes()).await?;
    stream.shutdown().await?;
    let mut scrap = [0; 1024];
    while stream.read(&mut scrap).await? > 0 {}
    Ok(())
}

impl Listener for GuardedListener {
    type Io = GuardedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (GuardedStream, SocketAddr) {
        loop {
            // axum's own implementation logs and retries what accept(2) can fail with.
            let (stream, peer) = tokio::select! {
                Some(done) = self.done.1.recv() => return done,
                accepted = Listener::accept(&mut self.listener) => accepted,
            };
            if let Some(handshakes) = &self.handshakes {
                self.shake(handshakes, stream, peer);
                continue;
            }
            let (shared, connected) = (Arc::clone(&self.shared), std::time::Instant::now());
            match Arc::clone(&self.places).try_acquire_owned() {
                Ok(place) => return (GuardedStream::new(Wire::Plain(stream), place, shared, connected), peer),
                Err(_) => self.refuse(stream),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends itself when its client stops taking part.
pub(crate) struct GuardedStream {
    stream: Wire,
    shared: Arc<Shared>,
    /// Bytes read since the last one written.
    unanswered: usize,
    deadline: Pin<Box<Sleep>>,
    connected: std::time::Instant,
    _place: OwnedSemaphorePermit,
}

impl GuardedStream {
    fn new(stream: Wire, place: OwnedSemaphorePermit, shared: Arc<Shared>, connected: std::time::Instant) -> Self {
        count(&shared.counts.connections, 1);
        Self { stream, shared, unanswered: 0, deadline: Box::pin(sleep(ANSWER_WAIT)), connected, _place: place }
    }

    /// When it was accepted.
    pub(crate) fn connected(&self) -> std::time::Instant {
        self.connected
    }

    fn put_off_deadline(&mut self) {
        self.deadline.as_mut().reset(Instant::now() + ANSWER_WAIT);
    }

    /// For the moment when nothing can be done but wait: an error when that has lasted too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Pending => self.wait(cx),
            Poll::Ready(Ok(bytes)) => {
                if bytes > 0 {
                    self.unanswered = 0;
                    self.put_off_deadline();
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for GuardedStream {
    fn drop(&mut self) {
        self.shared.counts.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.wait(cx),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let read = buf.filled().len() - before;
                if self.unanswered == 0 && read > 0 {
                    self.put_off_deadline();
                }
                self.unanswered += read;
                if self.unanswered > REQUEST_BYTES_MAX {
                    // A read that fails has to have read nothing.
                    buf.set_filled(before);
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // TLS keeps bytes back, so that both can wait for a client that takes nothing.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.wait(cx),
            done @ Poll::Ready(_) => done,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.wait(cx),
            done @ Poll::Ready(_) => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::source::{BoxFuture, HistoryRefusal, Source};
    use hivewall_view::{FlowPage, FlowRow, Query, Snapshot};
    use tokio::sync::{broadcast, watch};

    struct Nothing;

    impl Source for Nothing {
        fn snapshot(&self) -> Arc<Snapshot> {
            Arc::default()
        }

        fn flows(&self, _: Query) -> BoxFuture<'static, Result<FlowPage, HistoryRefusal>> {
            Box::pin(std::future::pending())
        }

        fn closed_flows(&self) -> broadcast::Receiver<Arc<FlowRow>> {
            broadcast::channel(1).1
        }

        fn now(&self) -> hivewall_model::Timestamp {
            hivewall_model::Timestamp::default()
        }
    }

    /// A client's end, and the server's.
    async fn pair() -> (TcpStream, GuardedStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(Arc::new(Nothing), Access::none(), address, watch::channel(false).1));
        let mut listener = GuardedListener::new(listener, shared);
        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = Listener::accept(&mut listener).await;
        (client, server)
    }

    // The clock stands still while anything can be done and jumps to the next deadline when nothing can.

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_is_let_go_after_the_wait() {
        let (_client, mut server) = pair().await;
        let begin = Instant::now();
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() + Duration::from_secs(1) >= ANSWER_WAIT, "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_an_unfinished_request_win_no_time() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"GE").await.unwrap();
        server.read_u8().await.unwrap();
        let begin = Instant::now();
        tokio::time::advance(ANSWER_WAIT / 2).await;
        server.read_u8().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() <= ANSWER_WAIT + Duration::from_secs(1), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go_after_the_wait() {
        let (_client, mut server) = pair().await;
        let block = vec![0; 1 << 20];
        let error = loop {
            if let Err(error) = server.write_all(&block).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn more_than_a_request_can_have_is_an_error() {
        let (mut client, mut server) = pair().await;
        let sender = tokio::spawn(async move {
            let _ = client.write_all(&vec![b'x'; REQUEST_BYTES_MAX + 1]).await;
            client
        });
        let mut all = Vec::new();
        let error = server.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(sender.await);
    }

    #[tokio::test]
    async fn an_answer_makes_room_for_the_next_request() {
        let (mut client, mut server) = pair().await;
        let half = vec![b'x'; REQUEST_BYTES_MAX / 2 + 1];
        let mut taken = vec![0; half.len()];
        for _ in 0..3 {
            // Both at once: so much does not fit into what the sockets hold.
            let (sent, read) = tokio::join!(client.write_all(&half), server.read_exact(&mut taken));
            sent.unwrap();
            read.unwrap();
            server.write_all(b"!").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'!');
        }
    }
}
