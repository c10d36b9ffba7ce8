//! Listening TCP sockets.

use super::{Door, Doors, Pending, Stream};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use tokio::net::TcpListener;

/// Takes listeners for what they are.
pub struct TcpDoors;

impl Doors for TcpDoors {
    fn open(&self, listener: OwnedFd) -> io::Result<Box<dyn Door>> {
        Ok(Box::new(TcpListener::from_std(listener.into())?))
    }
}

impl Door for TcpListener {
    fn accept(&self) -> Pending<'_, io::Result<(Box<dyn Stream>, IpAddr)>> {
        Box::pin(async move {
            let (stream, peer) = TcpListener::accept(self).await?;
            // A reply is small and must not wait for the acknowledgement of the one before.
            stream.set_nodelay(true)?;
            // IPv4 peers of a dual-stack listener are IPv4 before any rule, limit or log line.
            Ok((
                Box::new(stream) as Box<dyn Stream>,
                peer.ip().to_canonical(),
            ))
        })
    }
}
