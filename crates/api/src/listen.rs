//! Binding the address. Invariants: beyond loopback only TLS is served; each failure says which address and what to do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

/// Where an agent serves when nobody says otherwise.
pub const ADDRESS_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7733);

/// Why an address could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone else listens there.
    #[error(
        "{address} is in use, perhaps by another hivewall; stop that program (`ss -ltnp 'sport = :{port}'` names it) \
         or choose another address for the API",
        port = address.port()
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Beyond loopback without TLS.
    #[error(
        "{address} can be reached from other hosts, and without TLS nothing is served there; \
         use 127.0.0.1 or [::1], and reach it from elsewhere through an SSH tunnel"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// No such address on this host.
    #[error("{address} is not an address of this host; use 127.0.0.1, or [::1] where IPv6 is switched on")]
    NotHere {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A port that takes a privilege.
    #[error("no permission to listen on {address}; choose a port from 1024 up")]
    NotPermitted {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}; choose another address for the API")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Listens on `address`. Port 0 takes a free port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address, source },
        io::ErrorKind::AddrNotAvailable => BindError::NotHere { address, source },
        io::ErrorKind::PermissionDenied => BindError::NotPermitted { address, source },
        _ => BindError::Other { address, source },
    })
}

pub(crate) fn refuse_beyond_loopback(address: SocketAddr) -> Result<(), BindError> {
    if address.ip().to_canonical().is_loopback() { Ok(()) } else { Err(BindError::NotLoopback { address }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_named_with_the_way_to_find_who_has_it() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).await.unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }));
        let text = error.to_string();
        assert!(text.starts_with(&format!("{address} is in use")), "{text}");
        assert!(text.contains(&format!("sport = :{}", address.port())), "{text}");
    }

    #[test]
    fn an_address_beyond_loopback_is_refused_without_tls() {
        for address in ["127.0.0.1:0", "[::1]:7733", "[::ffff:127.0.0.1]:1"] {
            assert!(refuse_beyond_loopback(address.parse().unwrap()).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7733", "[::ffff:192.0.2.1]:1"] {
            let error = refuse_beyond_loopback(address.parse().unwrap()).unwrap_err();
            assert!(matches!(error, BindError::NotLoopback { .. }), "{address}: {error}");
        }
    }
}
