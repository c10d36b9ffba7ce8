//! What the tests of the whole share: the program, started for real; an SMTP client and a sink that do what a
//! test tells them; scratch folders and free ports.

pub mod cell;
mod client;
pub mod debian;
pub mod interop;
mod left_out;
pub mod maildir;
pub mod peer;
mod program;
pub mod sink;
mod target;
mod unprivileged;

pub use client::Client;
pub use left_out::left_out;
pub use program::{Program, binary, find_files, wait_until};
pub use unprivileged::Unprivileged;

use std::net::{Ipv4Addr, TcpListener};

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
