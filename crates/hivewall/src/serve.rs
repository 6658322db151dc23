//! The API on its own thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use hivewall_api::Access;
use tokio::sync::oneshot;

use crate::pipeline::Handle;

/// An API server that holds its port and does not answer yet.
pub(crate) struct Bound {
    runtime: tokio::runtime::Runtime,
    listener: tokio::net::TcpListener,
}

/// A running API server; dropping it stops it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bound {
    /// Takes the port.
    pub(crate) fn to(listen: SocketAddr) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the API's runtime cannot be made")?;
        let listener = runtime.block_on(hivewall_api::bind(listen))?;
        Ok(Self { runtime, listener })
    }

    /// Answers from now on.
    pub(crate) fn serve(self, handle: Handle, access: Access) -> anyhow::Result<Server> {
        let Self { runtime, listener } = self;
        let address = listener.local_addr().context("the API's address cannot be read")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("hivewall-api".to_owned())
            .spawn(move || {
                let until = async {
                    // An error means that the server was dropped, which is the same wish.
                    let _ = stopped.await;
                };
                if let Err(error) = runtime.block_on(hivewall_api::serve(listener, Arc::new(handle), access, until)) {
                    tracing::error!(%error, "the API stopped; restart the agent");
                }
            })
            .context("the API's thread cannot be started")?;
        Ok(Server { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Server {
    /// Binds and serves; nobody beyond this host is answered.
    pub(crate) fn start(listen: SocketAddr, handle: Handle, access: Access) -> anyhow::Result<Self> {
        if !listen.ip().to_canonical().is_loopback() {
            bail!("{listen} can be reached from other hosts: only `hivewall run` is served there, listen on 127.0.0.1");
        }
        Bound::to(listen)?.serve(handle, access)
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
