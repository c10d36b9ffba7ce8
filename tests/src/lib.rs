//! What the tests of the whole share: the program, started for real; an SMTP client and a sink that do what a
//! test tells them; scratch folders and free ports.

mod authority;
pub mod cell;
mod client;
pub mod debian;
mod hop;
pub mod interop;
pub mod leaks;
mod left_out;
mod logins;
pub mod maildir;
mod memory;
pub mod peer;
mod program;
pub mod rooted;
pub mod sink;
mod target;
mod trial;
mod unprivileged;

pub use authority::Authority;
pub use client::Client;
pub use hop::{Account, Came, Hop, Manner, TakenBy};
pub use left_out::left_out;
pub use logins::{set_password, set_password_for_scram};
pub use memory::memory_of;
pub use program::{Program, binary, children_of, find_files, wait_until};
pub use trial::Trial;
pub use unprivileged::{SERVICE_ID, Unprivileged, service, service_of};

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports that the kernel gives to nobody by itself: outgoing connections get theirs from 32768 on.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// How many of them one test starts from before it comes to those of another.
const PORTS_EACH: u32 = 40;
/// How many this process asked for.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// A port that nobody listens on now, and that no other test running beside this one will be given: it stays free
/// until the server that is told of it starts.
pub fn free_port() -> u16 {
    let mine = std::process::id().wrapping_mul(PORTS_EACH);
    for _ in PORTS {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        let place = mine.wrapping_add(asked) % u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(place).expect("there are fewer ports than that");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_given_once() {
        let ports: std::collections::BTreeSet<u16> = (0..PORTS_EACH).map(|_| free_port()).collect();
        assert_eq!(ports.len(), PORTS_EACH as usize);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }
}
