//! The spool's folder on this machine, locked, with a thread that commits.

use super::{Pending, Store};
use crate::config::Config;
use crate::drive::committer::{Committer, Done, Thread};
use crate::drive::disk::RealDisk;
use crate::drive::holder;
use crate::event::{self, Event};
use queue::spool::{Options, Recovered, Spool};
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// How long a queue that was killed may hold the spool's lock after a new one was started.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// The pause between two looks at the lock.
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// The folder that the configuration names, and the thread that will write to it.
pub struct SpoolFolder {
    thread: Cell<Option<Thread>>,
}

impl SpoolFolder {
    /// Starts the thread; the folder is opened later, once.
    pub fn start() -> io::Result<Self> {
        Ok(Self {
            thread: Cell::new(Some(Thread::start()?)),
        })
    }
}

impl Store for SpoolFolder {
    fn open<'a>(
        &'a self,
        config: &'a Config,
        done: UnboundedSender<Done>,
    ) -> Pending<'a, io::Result<(Committer, Recovered)>> {
        Box::pin(async move {
            let disk = lock(config).await?;
            let (spool, recovered) = Spool::open(disk, Options::default())?;
            let thread = self.thread.take();
            let thread = thread.ok_or_else(|| io::Error::other("the spool was opened before"))?;
            Ok((Committer::on(thread, spool, done), recovered))
        })
    }

    fn random(&self) -> u64 {
        sys::file::random()
    }
}

/// Opens and locks the spool. The queue before this one may be about to end.
async fn lock(config: &Config) -> io::Result<RealDisk> {
    let began = Instant::now();
    let mut said = false;
    loop {
        let told = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("spool {}: {error}", config.spool.display()),
            )
        };
        match RealDisk::open(&config.spool).map_err(told)? {
            Some(disk) => return Ok(disk),
            None if began.elapsed() < LOCK_WAIT => {
                if !std::mem::replace(&mut said, true) {
                    event::say(&Event::SpoolAwaited {
                        spool: config.spool.display().to_string(),
                    });
                    // Nothing else may happen in this turn of the event loop.
                    event::turn_ended();
                }
                tokio::time::sleep(LOCK_LOOK).await;
            }
            None => return Err(io::Error::other(holder::in_use(&config.spool, None))),
        }
    }
}
