//! One long transfer over TCP, as fast as it goes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use crate::listen::{self, Ending, PATIENCE};
use crate::{Done, Limits, Plan, TrafficError};

/// Where iperf3 serves.
const PORTS: [u16; 1] = [5201];
const CHUNK_BYTES: usize = 128 * 1024;

pub(crate) fn run(plan: &Plan, limits: Limits<'_>) -> Result<Done, TrafficError> {
    let (listener, address) = listen::tcp("the transfer", plan.options().target, &PORTS)?;
    let ending = Ending::default();
    let mut done = Done { tried: 1, ..Done::default() };
    thread::scope(|scope| {
        scope.spawn(|| listen::serve(&listener, &ending, |stream| drop(take(stream))));
        let result = send(address, plan.options().bulk_bytes, limits, &mut done.bytes);
        done.well = u64::from(result.is_ok() && done.bytes == plan.options().bulk_bytes);
        ending.end();
    });
    Ok(done)
}

fn send(address: SocketAddr, bytes: u64, limits: Limits<'_>, sent: &mut u64) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE.min(limits.left()))?;
    listen::patient(&stream)?;
    let chunk = vec![0; CHUNK_BYTES];
    while *sent < bytes && !limits.over() {
        let rest = usize::try_from(bytes - *sent).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        *sent += stream.write(chunk.get(..rest).unwrap_or_default())? as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // The receiver closes once it has all of it.
    stream.read(&mut [0]).map(drop)
}

fn take(mut stream: TcpStream) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    while stream.read(&mut chunk)? > 0 {}
    Ok(())
}
