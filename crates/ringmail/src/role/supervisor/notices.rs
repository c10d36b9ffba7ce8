//! Notices to the service manager that started the service, if one did (`sd_notify(3)`): that it serves, that it stops, that
//! it is alive. A manager that does not read them holds nothing up: what is owed is said as soon as it reads.

use crate::event::{self, Event};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;
use tokio::time::Instant;

/// When a notice that found no room is said again.
const AGAIN: Duration = Duration::from_millis(100);

/// Says notices; where nobody wants them, nothing.
#[derive(Default)]
pub struct Notices {
    to: Option<(OwnedFd, SocketAddrUnix)>,
    /// Said and not taken yet.
    owed: Vec<&'static str>,
    alive: Option<Alive>,
}

/// How often the manager wants to hear that the service is alive.
struct Alive {
    pause: Duration,
    next: Instant,
}

impl Notices {
    /// As the manager says in our environment.
    pub fn of_environment() -> Self {
        let of = |name| std::env::var_os(name);
        Self::of(of("NOTIFY_SOCKET"), of("WATCHDOG_USEC"), of("WATCHDOG_PID"))
    }

    fn of(
        socket: Option<impl AsRef<OsStr>>,
        watchdog: Option<impl AsRef<OsStr>>,
        watched: Option<impl AsRef<OsStr>>,
    ) -> Self {
        let Some(socket) = socket else {
            return Self::default();
        };
        let to = match open(socket.as_ref()) {
            Ok(to) => Some(to),
            Err(error) => {
                trouble(&error);
                None
            }
        };
        let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<u64>().ok());
        let ours =
            watched.is_none_or(|pid| number(pid.as_ref()) == Some(std::process::id().into()));
        let longest = watchdog.and_then(|usec| number(usec.as_ref()));
        let longest = longest.filter(|usec| *usec > 0 && ours && to.is_some());
        let alive = longest.map(|usec| Alive {
            pause: Duration::from_micros(usec / 2),
            next: Instant::now(),
        });
        let owed = Vec::new();
        Self { to, owed, alive }
    }

    /// The service serves.
    pub fn ready(&mut self) {
        self.say("READY=1\n");
    }

    /// It is about to end.
    pub fn stopping(&mut self) {
        self.alive = None;
        self.say("STOPPING=1\n");
    }

    fn say(&mut self, notice: &'static str) {
        if self.to.is_some() {
            self.owed.push(notice);
            self.go_on();
        }
    }

    /// Says what is due.
    pub fn go_on(&mut self) {
        if let Some(alive) = self.alive.as_mut()
            && Instant::now() >= alive.next
        {
            alive.next = Instant::now() + alive.pause;
            // It says nothing more by being said twice.
            let notice = "WATCHDOG=1\n";
            if !self.owed.contains(&notice) {
                self.owed.push(notice);
            }
        }
        let Some((socket, address)) = &self.to else {
            return;
        };
        while let Some(notice) = self.owed.first() {
            match sendto(socket, notice.as_bytes(), SendFlags::NOSIGNAL, address) {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                // A manager that is gone, or about to be another.
                Err(error) => trouble(&error.into()),
            }
            self.owed.remove(0);
        }
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Instant> {
        let again = (!self.owed.is_empty()).then(|| Instant::now() + AGAIN);
        let alive = self.alive.as_ref().map(|alive| alive.next);
        [again, alive].into_iter().flatten().min()
    }
}

fn trouble(error: &io::Error) {
    event::say(&Event::Trouble {
        place: "service manager",
        cause: error.to_string(),
    });
}

/// A socket, and where to: a path, or behind `@` a name that is none.
fn open(socket: &OsStr) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let address = match socket.as_bytes() {
        [b'/', ..] => SocketAddrUnix::new(socket)?,
        [b'@', name @ ..] if !name.is_empty() => SocketAddrUnix::new_abstract_name(name)?,
        _ => {
            return Err(io::Error::other(
                "NOTIFY_SOCKET is neither a path nor @NAME",
            ));
        }
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    const NOTHING: Option<&str> = None;

    fn heard(manager: &UnixDatagram) -> Vec<String> {
        let mut octets = [0; 100];
        let mut all = Vec::new();
        while let Ok(count) = manager.recv(&mut octets) {
            all.push(String::from_utf8_lossy(&octets[..count]).into_owned());
        }
        all
    }

    fn manager(at: &std::path::Path) -> UnixDatagram {
        let manager = UnixDatagram::bind(at).unwrap();
        manager.set_nonblocking(true).unwrap();
        manager
    }

    #[test]
    fn a_manager_hears_all_of_it_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = manager(&path);
        let pid = std::process::id().to_string();
        let mut notices = Notices::of(Some(&path), Some("2000000"), Some(pid));
        notices.go_on();
        notices.ready();
        let next = notices.next().unwrap() - Instant::now();
        assert!(next <= Duration::from_secs(1), "{next:?}");
        notices.stopping();
        assert_eq!(notices.next(), None);
        assert_eq!(
            heard(&manager),
            ["WATCHDOG=1\n", "READY=1\n", "STOPPING=1\n"]
        );
    }

    #[test]
    fn one_that_does_not_read_is_told_when_it_does_and_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = manager(&path);
        let mut notices = Notices::of(Some(&path), NOTHING, NOTHING);
        for _ in 0..100_000 {
            if notices.owed.is_empty() {
                notices.ready();
            }
        }
        assert!(notices.next().is_some());
        let before = heard(&manager).len();
        assert!(before > 0);
        notices.go_on();
        assert_eq!(heard(&manager), ["READY=1\n"]);
        assert_eq!(notices.next(), None);
    }

    #[test]
    fn a_name_that_is_no_path_is_a_name() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let name = format!("ringmail-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        let mut notices = Notices::of(Some(format!("@{name}")), NOTHING, NOTHING);
        notices.ready();
        assert_eq!(heard(&manager), ["READY=1\n"]);
    }

    #[test]
    fn without_a_manager_or_for_another_process_nothing_is_said() {
        let mut nobody = Notices::of(NOTHING, Some("2000000"), NOTHING);
        nobody.ready();
        assert_eq!(nobody.next(), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = manager(&path);
        let mut other = Notices::of(Some(&path), Some("2000000"), Some("1"));
        other.go_on();
        assert_eq!(other.next(), None);
        assert!(heard(&manager).is_empty());
        for wrong in ["", "@", "vsock:2:1"] {
            let mut notices = Notices::of(Some(wrong), Some("2000000"), NOTHING);
            notices.ready();
            assert_eq!(notices.next(), None, "{wrong}");
        }
    }
}
