//! Mail that arrives in Maildirs: counted as it comes, read and checked afterwards.

use crate::arrivals::Arrivals;
use crate::message;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the kernel is asked what came: no oftener, so that the asking costs next to nothing.
const LOOK: Duration = Duration::from_millis(2);

/// Makes the folders of a Maildir, as deep as need be.
pub fn create(maildir: &Path) -> io::Result<()> {
    for sub in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(sub))?;
    }
    Ok(())
}

/// Counts what gets a name in `new/`.
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    came: AtomicUsize,
    last: Mutex<Option<Instant>>,
    stop: AtomicBool,
}

impl Watch {
    /// Begins to count.
    pub fn start(maildirs: &[PathBuf]) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        for maildir in maildirs {
            let what = WatchFlags::CREATE | WatchFlags::MOVED_TO;
            inotify::add_watch(&events, maildir.join("new"), what)?;
        }
        let shared = Arc::<Shared>::default();
        let told = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("maildir".into())
            .spawn(move || {
                while !told.stop.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                    let came = drain(&events);
                    if came > 0 {
                        *told.last.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(Instant::now());
                        told.came.fetch_add(came, Ordering::Release);
                    }
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// How many came.
    pub fn came(&self) -> usize {
        self.shared.came.load(Ordering::Acquire)
    }

    /// When the last came, to a few milliseconds.
    pub fn last(&self) -> Option<Instant> {
        *self
            .shared
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

fn drain(events: &OwnedFd) -> usize {
    let mut buffer = vec![const { MaybeUninit::uninit() }; 64 * 1024];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    let mut came = 0;
    // Ends with EAGAIN when there is nothing more.
    while let Ok(event) = reader.next() {
        let named = ReadFlags::CREATE | ReadFlags::MOVED_TO;
        came += usize::from(event.events().intersects(named));
    }
    came
}

/// Reads every message in `new/`, tells `arrivals`, and removes it.
pub fn read_and_empty(maildirs: &[PathBuf], arrivals: &Arrivals, when: Instant) -> io::Result<()> {
    for maildir in maildirs {
        for entry in fs::read_dir(maildir.join("new"))? {
            let path = entry?.path();
            arrivals.take(message::read_file(&fs::read(&path)?), when);
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Template;

    #[test]
    fn what_is_renamed_into_new_is_counted_read_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let maildir = folder.path().join("ann");
        create(&maildir).unwrap();
        let maildirs = [maildir.clone()];
        let watch = Watch::start(&maildirs).unwrap();
        let mut template = Template::new(3, 500);
        for number in 0..20 {
            let wire = template.write(number);
            let text = String::from_utf8(wire[..wire.len() - 3].to_vec()).unwrap();
            let tmp = maildir.join("tmp").join(number.to_string());
            fs::write(&tmp, text.replace("\r\n", "\n").replace("\n.", "\n")).unwrap();
            fs::rename(tmp, maildir.join("new").join(number.to_string())).unwrap();
        }
        let patience = Duration::from_secs(20);
        assert!(crate::arrivals::wait(|| watch.came(), 20, patience));
        assert!(watch.last().is_some());
        let arrivals = Arrivals::new(3);
        read_and_empty(&maildirs, &arrivals, Instant::now()).unwrap();
        assert!(arrivals.faults(20).none());
        assert_eq!(fs::read_dir(maildir.join("new")).unwrap().count(), 0);
    }
}
