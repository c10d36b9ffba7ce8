//! Threads that wait for the disk, so that the event loop does not.

use std::io;
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};

/// Starts a thread of this name. It runs its own work when this returns: nothing of what a thread does to begin is
/// left to do, and the process may be closed.
pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let (begun, begins) = channel();
    let thread = Builder::new().name(name.into()).spawn(move || {
        // Who waits for it is in `start`.
        let _ = begun.send(());
        work();
    })?;
    begins.recv().map_err(io::Error::other)?;
    Ok(thread)
}
