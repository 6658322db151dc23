//! The API on its own thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::pipeline::Handle;

/// A running API server; dropping it stops it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds and serves.
    pub(crate) fn start(listen: SocketAddr, handle: Handle) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the API's runtime cannot be made")?;
        let listener = runtime.block_on(hivewall_api::bind(listen))?;
        let address = listener.local_addr().context("the API's address cannot be read")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("hivewall-api".to_owned())
            .spawn(move || {
                let until = async {
                    // An error means that the server was dropped, which is the same wish.
                    let _ = stopped.await;
                };
                if let Err(error) = runtime.block_on(hivewall_api::serve(listener, Arc::new(handle), until)) {
                    tracing::error!(%error, "the API stopped; restart the agent");
                }
            })
            .context("the API's thread cannot be started")?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The server may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
