//! A scan: a connection to each port from 1 up, nearly all of which are closed.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::pace::Pace;
use crate::{Done, Limits, Plan};

/// Ports tried in one second.
const PORTS_PER_SECOND: u64 = 100;
/// Longest wait for one port: on the host itself the answer comes at once, or a firewall keeps it.
const PORT_WAIT: Duration = Duration::from_millis(200);

pub(crate) fn run(plan: &Plan, limits: Limits<'_>) -> Done {
    let mut done = Done::default();
    let mut pace = Pace::new(PORTS_PER_SECOND);
    for port in 1..=plan.options().scan_ports as u16 {
        if !pace.turn(limits) {
            break;
        }
        done.tried += 1;
        let address = SocketAddr::new(plan.options().target, port);
        let refused = TcpStream::connect_timeout(&address, PORT_WAIT)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        done.well += u64::from(refused);
    }
    done
}
