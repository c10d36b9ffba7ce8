//! Sockets: pairs, descriptors that travel over them, listeners, and who is at the other end.

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Most descriptors that one message carries.
pub const FDS_MAX: usize = 4;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// How a pair of sockets cuts what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Octets in order, without borders.
    Stream,
    /// Records, each whole.
    SeqPacket,
}

/// Two connected Unix sockets, close-on-exec and non-blocking.
pub fn pair(kind: Kind) -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::SeqPacket => SocketType::SEQPACKET,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        kind,
        flags,
        None,
    )?)
}

/// Sends octets, with descriptors at their first; gives how many were taken. At most [`FDS_MAX`].
pub fn send(socket: impl AsFd, octets: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(
        socket,
        &[IoSlice::new(octets)],
        &mut ancillary,
        flags,
    )?)
}

/// Receives octets and the descriptors that came with them, which are close-on-exec.
/// 0 octets: the other end is closed.
pub fn receive(socket: impl AsFd, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(into)], &mut ancillary, flags)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(received.bytes)
}

/// Listens on an address. `[::]` takes IPv4 too; where the kernel has no IPv6 it becomes `0.0.0.0`,
/// which the returned listener's own address shows.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match listen_on(address) {
        Err(error) if is_fallback(address, &error) => {
            listen_on((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}

/// Whether this is `[::]` on a kernel without IPv6.
fn is_fallback(address: SocketAddr, error: &io::Error) -> bool {
    let no_ipv6 = matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    );
    address.ip() == Ipv6Addr::UNSPECIFIED && no_ipv6
}

/// Whether [`listen`] would succeed now. Nothing listens meanwhile, so that no connection is lost.
pub fn can_listen(address: SocketAddr) -> io::Result<()> {
    match bind(address) {
        Err(error) if is_fallback(address, &error) => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into()).map(drop)
        }
        result => result.map(drop),
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn bind(address: SocketAddr) -> io::Result<OwnedFd> {
    use rustix::net::sockopt;
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// The uid of the process at the other end of a Unix socket, as the kernel knows it.
pub fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

/// The pid of the process that made the Unix socket at the other end listen, or made the pair.
pub fn peer_pid(socket: impl AsFd) -> io::Result<u32> {
    let pid = rustix::net::sockopt::socket_peercred(socket)?.pid;
    Ok(pid.as_raw_nonzero().get().unsigned_abs())
}

/// Whether somebody takes connections at a Unix socket. Does not wait: one that is busy takes them.
pub fn connects(path: &Path) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = rustix::net::SocketAddrUnix::new(path)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::AGAIN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_travel_with_the_octets_they_were_sent_with() {
        let (a, b) = pair(Kind::Stream).unwrap();
        let (c, _d) = pair(Kind::SeqPacket).unwrap();
        assert_eq!(send(&a, b"one", &[]).unwrap(), 3);
        assert_eq!(send(&a, b"two", &[c.as_fd()]).unwrap(), 3);
        let (mut octets, mut fds) = ([0u8; 16], Vec::new());
        let mut all = Vec::new();
        while all.len() < 6 {
            let count = receive(&b, &mut octets, &mut fds).unwrap();
            all.extend_from_slice(&octets[..count]);
        }
        assert_eq!((&all[..], fds.len()), (&b"onetwo"[..], 1));
        drop(a);
        assert_eq!(receive(&b, &mut octets, &mut fds).unwrap(), 0);
    }

    #[test]
    fn a_port_that_is_taken_cannot_be_listened_on_and_is_left_alone() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = can_listen(address).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        std::net::TcpStream::connect(address).unwrap();
        drop(listener);
        can_listen(address).unwrap();
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn who_listens_at_a_unix_socket_is_known() {
        let folder = std::env::temp_dir().join(format!("ringmail-sys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        connects(&path).unwrap();
        let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert_eq!(peer_pid(&stream).unwrap(), std::process::id());
        drop(listener);
        assert_eq!(
            connects(&path).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_wildcard_listener_takes_both_families() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
}
