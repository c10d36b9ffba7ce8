//! The threads that look whether a password is right: that is made to take long, and the event loop does not wait.

use crate::drive::thread;
use crate::passwords::{Checked, Memory, Passwords};
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Passwords that are looked at at once: each takes a processor for some 20 ms and some 20 MiB, and mail goes on meanwhile.
const THREADS: usize = 2;

/// What one thread is given.
pub(super) struct Check {
    /// Against these.
    pub(super) passwords: Arc<Passwords>,
    /// The name that was given.
    pub(super) user: String,
    /// The password that was given.
    pub(super) password: Zeroizing<Vec<u8>>,
}

/// Whose it is.
type Answer = oneshot::Sender<Checked>;

/// The threads; they end with this value.
pub struct Checkers(mpsc::Sender<(Check, Answer)>);

impl Checkers {
    /// Starts them.
    pub fn start() -> io::Result<Self> {
        let (work, received) = mpsc::channel::<(Check, Answer)>();
        let received = Arc::new(Mutex::new(received));
        for number in 0..THREADS {
            let received = Arc::clone(&received);
            thread::start(&format!("check {number}"), move || {
                // Kept as long as the thread: it grows where a file has dearer hashes, and is not made anew with each.
                let mut kept: Option<Memory> = None;
                while let Some((check, answer)) = next(&received) {
                    let Check {
                        passwords,
                        user,
                        password,
                    } = check;
                    let memory = kept.get_or_insert_with(|| Memory::new(&passwords));
                    // Nobody waits any more when the role stops.
                    let _ = answer.send(passwords.check(&user, &password, memory));
                }
            })?;
        }
        Ok(Self(work))
    }

    /// Has one looked at. Without threads the answer is dropped, which its asker hears.
    pub(super) fn check(&self, check: Check) -> oneshot::Receiver<Checked> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.send((check, answer));
        answered
    }
}

fn next(received: &Mutex<mpsc::Receiver<(Check, Answer)>>) -> Option<(Check, Answer)> {
    // A poisoned lock means that another thread panicked: this process ends anyway.
    received.lock().ok()?.recv().ok()
}
