//! The way of a process's events to the event store: a socket to admin, which the supervisor hands over. It never
//! makes anybody wait: what the socket does not take at once is kept here up to a bound, and beyond it dropped and
//! counted.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Octets that wait for the socket. Enough for what a role says while admin is started again under full load for
/// some tenths of a second.
const WAITING_OCTETS: usize = 256 * 1024;
/// Longest line that is kept; the rest of a longer one is cut off.
pub const LINE_OCTETS: usize = 8 * 1024;

struct Outlet {
    socket: Option<OwnedFd>,
    waiting: Vec<u8>,
    lost: u64,
}

static OUTLET: Mutex<Outlet> = Mutex::new(Outlet {
    socket: None,
    waiting: Vec::new(),
    lost: 0,
});

/// From now on this process's events go here. What waits goes first.
pub fn through(socket: OwnedFd) {
    if let Ok(mut outlet) = OUTLET.lock() {
        // A line may have been cut in the middle by the end of the old way.
        let cut = outlet.waiting.iter().position(|b| *b == b'\n');
        if let (Some(cut), false) = (cut, outlet.waiting.starts_with(b"at=")) {
            outlet.waiting.drain(..=cut);
        }
        outlet.socket = Some(socket);
        outlet.send();
    }
}

/// Keeps a line, with the time before it, until [`send`].
pub fn keep(line: &str) {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let micros = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
    let at = mail::Time::from_micros(micros).stamp();
    // A poisoned lock means that a thread panicked: this process ends anyway.
    if let Ok(mut outlet) = OUTLET.lock() {
        if outlet.lost > 0 && outlet.has_room() {
            let (lost, role) = (std::mem::take(&mut outlet.lost), super::role());
            outlet.put(&format!(
                "at={at} event=events.lost level=warn role={role} events={lost} cause=\"too many at once\"\n"
            ));
        }
        if outlet.has_room() {
            outlet.put(&format!("at={at} {line}"));
        } else {
            outlet.lost += 1;
        }
    }
}

/// Sends what was kept, as far as the socket takes it now.
pub fn send() {
    if let Ok(mut outlet) = OUTLET.lock() {
        outlet.send();
    }
}

impl Outlet {
    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_OCTETS
    }

    fn put(&mut self, line: &str) {
        // All of it is ASCII: text in it is escaped.
        let line = line.as_bytes();
        if line.len() > LINE_OCTETS {
            self.waiting.extend_from_slice(&line[..LINE_OCTETS - 1]);
            self.waiting.push(b'\n');
        } else {
            self.waiting.extend_from_slice(line);
        }
    }

    /// Sends what the socket takes now.
    fn send(&mut self) {
        while let Some(socket) = &self.socket
            && !self.waiting.is_empty()
        {
            match sys::socket::send(socket, &self.waiting, &[]) {
                Ok(taken) => drop(self.waiting.drain(..taken)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // Admin is gone; the supervisor will hand over another way.
                Err(_) => self.socket = None,
            }
        }
    }
}
