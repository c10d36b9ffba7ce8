//! Acts with sockets.

use super::{Went, call, done};

pub(super) fn socket(
    family: libc::c_int,
    kind: libc::c_int,
    protocol: libc::c_int,
) -> Result<usize, i32> {
    let number = |number: libc::c_int| number.unsigned_abs() as usize;
    call(
        libc::SYS_socket,
        [number(family), number(kind), number(protocol), 0, 0, 0],
    )
}

pub(super) fn loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: 2,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes([127, 0, 0, 1]),
        },
        sin_zero: [0; 8],
    }
}

pub(super) fn with_socket(number: libc::c_long, port: u16) -> Went {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let address = loopback(port);
    let length = size_of::<libc::sockaddr_in>();
    done(number, [fd, &raw const address as usize, length, 0, 0, 0])
}

pub(super) fn send_to(kind: libc::c_int, flags: libc::c_int, port: u16) -> Went {
    let fd = socket(libc::AF_INET, kind, 0)?;
    let (address, octet) = (loopback(port), [b'x']);
    let arguments = [
        fd,
        octet.as_ptr() as usize,
        1,
        flags.unsigned_abs() as usize,
        &raw const address as usize,
        size_of::<libc::sockaddr_in>(),
    ];
    done(libc::SYS_sendto, arguments)
}

/// The number of TCP, as setsockopt takes it.
const TCP: usize = libc::IPPROTO_TCP.unsigned_abs() as usize;

/// Gives a message with an octet, to that port, to whoever sends it.
fn with_message(port: u16, send: impl FnOnce(usize, libc::msghdr) -> Went) -> Went {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let (mut address, mut octet) = (loopback(port), [b'x']);
    let mut piece = libc::iovec {
        iov_base: octet.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: all zeroes is a message without a name, parts and control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = 16;
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    send(fd, message)
}

const FAST_OPEN: usize = libc::MSG_FASTOPEN.unsigned_abs() as usize;

pub(super) fn fast_open_by_sendmsg(port: u16) -> Went {
    with_message(port, |fd, message| {
        let at = (&raw const message) as usize;
        done(libc::SYS_sendmsg, [fd, at, FAST_OPEN, 0, 0, 0])
    })
}

pub(super) fn fast_open_by_sendmmsg(port: u16) -> Went {
    with_message(port, |fd, message| {
        let mut all = [libc::mmsghdr {
            msg_hdr: message,
            msg_len: 0,
        }];
        let at = all.as_mut_ptr() as usize;
        done(libc::SYS_sendmmsg, [fd, at, 1, FAST_OPEN, 0, 0])
    })
}

fn set_option(fd: usize, option: libc::c_int, value: libc::c_int) -> Went {
    let option = option.unsigned_abs() as usize;
    let at = (&raw const value) as usize;
    done(libc::SYS_setsockopt, [fd, TCP, option, at, 4, 0])
}

/// The connection is made by the first octets, and the call that names the port makes none.
pub(super) fn fast_open_by_option(port: u16) -> Went {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    set_option(fd, libc::TCP_FASTOPEN_CONNECT, 1)?;
    let address = loopback(port);
    let length = size_of::<libc::sockaddr_in>();
    let at = (&raw const address) as usize;
    done(libc::SYS_connect, [fd, at, length, 0, 0, 0])
}

/// Takes octets of whoever has not connected yet.
pub(super) fn hear_fast_open() -> Went {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    set_option(fd, libc::TCP_FASTOPEN, 5)
}
