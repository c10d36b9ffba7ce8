//! How much a closed role may have of what the kernel counts. Far above what its own bounds let it take, so that
//! nothing that is right meets them, and far below what would hurt the rest of the machine.

use super::Layer;
use crate::ipc::spawn::Role;
pub use sys::sandbox::Limited;

const MIB: u64 = 1024 * 1024;

/// Signals that may wait for a process.
const SIGNALS: u64 = 64;
/// The largest file of the spool, of a mailbox, or that smtpd writes a body to.
const FILE: u64 = 4096 * MIB;
/// The largest file of the event store, and room for a last line.
const EVENTS_FILE: u64 = 32 * MIB;

/// A role's limits. Those of processes are beside what runs when the last wall closes: none is started then.
pub fn of(role: Role) -> [(Limited, u64); 7] {
    let (files, memory, file) = match role {
        Role::Policy => (64, 256 * MIB, 0),
        // Two passwords are looked at at once; of each thread's hashes the dearest of either kind that takes memory, 256 MiB
        // each, may be there, and as much again while one goes and another comes.
        Role::Auth => (64, 2048 * MIB, 0),
        Role::Keys => (256, 256 * MIB, 0),
        Role::Admin => (256, 256 * MIB, EVENTS_FILE),
        Role::Relay => (8192, 4096 * MIB, 0),
        Role::Local => (8192, 4096 * MIB, FILE),
        // A session has a connection, and may have a body; queue holds the other ends.
        Role::Queue | Role::Smtpd | Role::Submission => (65_536, 4096 * MIB, FILE),
    };
    // It locks its own before this limit stands; what is asked for later counts too.
    let locked = if Layer::Memory.is_of(role) { memory } else { 0 };
    [
        (Limited::Nofile, files),
        (Limited::Data, memory),
        (Limited::Fsize, file),
        (Limited::Nproc, 0),
        (Limited::Memlock, locked),
        (Limited::Msgqueue, 0),
        (Limited::Sigpending, SIGNALS),
    ]
}
