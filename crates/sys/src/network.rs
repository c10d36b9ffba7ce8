//! This machine's network interfaces.

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Each interface's name with each of its addresses, as getifaddrs(3) has them.
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `first` is a place for one pointer, and lives through the call.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: the list is ours until it is freed below, and each entry is whole.
        let entry = unsafe { &*next };
        if !entry.ifa_name.is_null()
            && let Some(address) = address(entry.ifa_addr)
        {
            // SAFETY: the name ends in a NUL and lives as long as the list.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            found.push((name.to_string_lossy().into_owned(), address));
        }
        next = entry.ifa_next;
    }
    // SAFETY: made by getifaddrs above, freed once; nothing that was kept points into it.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// The address in a socket address of the list, where it is of the internet.
fn address(from: *const libc::sockaddr) -> Option<IpAddr> {
    if from.is_null() {
        return None;
    }
    // SAFETY: not null, and each socket address begins with its family; it may be aligned less than its whole.
    let family = unsafe { ptr::addr_of!((*from).sa_family).read_unaligned() };
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: of this family it is a sockaddr_in.
            let v4 = unsafe { from.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: of this family it is a sockaddr_in6.
            let v6 = unsafe { from.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_its_address() {
        let found = addresses().unwrap();
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(found.contains(&("lo".into(), local)), "{found:?}");
    }
}
