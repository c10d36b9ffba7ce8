//! Where roles are born: as children of the supervisor where it was started without root, and else of launch, which may
//! make each its own user.

use crate::confine::accounts::{self, Unfit};
use crate::confine::users::Users;
use crate::ipc::launch::{Ask, Name, TOLD_OCTETS, Told, Whom};
use crate::ipc::spawn::Role;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::Duration;
use sys::socket::Kind;

/// How long launch may take to answer: it forks and executes, no more.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Who starts roles.
pub enum Nursery {
    /// The supervisor itself, as the user that it is.
    Own,
    /// launch, as users of their own.
    Launch(Launch),
}

/// A process that was started.
pub enum Born {
    /// A child of ours.
    Own(Child),
    /// A child of launch, by its pid.
    Launched(Whom, u32),
}

/// What became of a call for a courier.
pub type Called = (u8, Result<Born, Unfit>);

impl Born {
    /// Its pid.
    pub fn id(&self) -> u32 {
        match self {
            Born::Own(child) => child.id(),
            Born::Launched(_, pid) => *pid,
        }
    }
}

/// The supervisor's end of launch.
pub struct Launch {
    socket: OwnedFd,
    users: Users,
    /// Processes that have ended and were not asked for yet.
    ended: BTreeMap<u32, ExitStatus>,
    /// Answers to calls that were not asked for yet.
    called: Vec<Called>,
    _child: Child,
}

impl Nursery {
    /// Starts a role with this socket of birth.
    pub fn start(&mut self, role: Role, birth: &OwnedFd) -> io::Result<Born> {
        match self {
            Nursery::Own => {
                let arguments = ["role", role.name()];
                sys::process::start_role(&arguments, birth.as_fd(), None).map(Born::Own)
            }
            Nursery::Launch(launch) => launch.start(role, birth),
        }
    }

    /// Calls for a courier of this place for this user. [`Nursery::called`] gives what becomes of it.
    pub fn call(&mut self, place: u8, name: Name, birth: &OwnedFd) -> Result<Option<Born>, Unfit> {
        match self {
            Nursery::Own => {
                let person = accounts::find(name.as_str(), [])?;
                if person.ids.uid != rustix::process::geteuid().as_raw() {
                    return Err(Unfit::NotOurs);
                }
                let arguments = ["courier".as_ref(), person.home.as_os_str()];
                let child = sys::process::start_role(&arguments, birth.as_fd(), None);
                child
                    .map(Born::Own)
                    .map(Some)
                    .map_err(|_| Unfit::NotStarted)
            }
            Nursery::Launch(launch) => {
                let ask = Ask::Deliver(place, name).encode();
                let asked = sys::socket::send(&launch.socket, &ask, &[birth.as_fd()]);
                asked.map(|_| None).map_err(|_| Unfit::Busy)
            }
        }
    }

    /// What became of calls since it was last asked.
    pub fn called(&mut self) -> io::Result<Vec<Called>> {
        match self {
            Nursery::Own => Ok(Vec::new()),
            Nursery::Launch(launch) => {
                launch.hear_all()?;
                Ok(std::mem::take(&mut launch.called))
            }
        }
    }

    /// How a process ended; nothing while it lives.
    pub fn try_wait(&mut self, born: &mut Born) -> io::Result<Option<ExitStatus>> {
        match (self, born) {
            (_, Born::Own(child)) => child.try_wait(),
            (Nursery::Launch(launch), Born::Launched(_, pid)) => {
                launch.hear_all()?;
                Ok(launch.ended.remove(pid))
            }
            (Nursery::Own, Born::Launched(..)) => Ok(None),
        }
    }

    /// Ends a process at once.
    pub fn kill(&mut self, born: &mut Born) {
        match (self, born) {
            (_, Born::Own(child)) => sys::process::kill(child),
            (Nursery::Launch(launch), Born::Launched(whom, _)) => {
                // launch that is gone took its children with it.
                let _ = sys::socket::send(&launch.socket, &Ask::Kill(*whom).encode(), &[]);
            }
            (Nursery::Own, Born::Launched(..)) => {}
        }
    }

    /// The user that a role is; nothing where it is ours.
    pub fn uid_of(&self, role: Role) -> Option<u32> {
        match self {
            Nursery::Own => None,
            Nursery::Launch(launch) => Some(launch.users.of_role(role).uid),
        }
    }

    /// What becomes readable when launch has something to say.
    pub fn socket(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            Nursery::Own => Ok(None),
            Nursery::Launch(launch) => launch.socket.try_clone().map(Some),
        }
    }
}

impl Launch {
    /// Starts launch, as root, and waits until it has given root up.
    pub fn start_as_root(users: &Users) -> io::Result<Self> {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
        let child = sys::process::start_role(&["launch"], theirs.as_fd(), None)?;
        drop(theirs);
        sys::socket::send(&ours, &Ask::Users(users.clone()).encode(), &[])?;
        let launch = Self {
            socket: ours,
            users: users.clone(),
            ended: BTreeMap::new(),
            called: Vec::new(),
            _child: child,
        };
        match launch.wait()? {
            Told::Stands => Ok(launch),
            other => Err(io::Error::other(format!("launch said {other:?}"))),
        }
    }

    fn start(&mut self, role: Role, birth: &OwnedFd) -> io::Result<Born> {
        sys::socket::send(&self.socket, &Ask::Start(role).encode(), &[birth.as_fd()])?;
        loop {
            match self.wait()? {
                Told::Started(Whom::Role(started), pid) if started == role => {
                    return Ok(Born::Launched(Whom::Role(role), pid));
                }
                Told::Failed(failed, number) if failed == role => {
                    return Err(io::Error::from_raw_os_error(number));
                }
                other => self.note(other)?,
            }
        }
    }

    /// Takes note of all that was said meanwhile.
    fn hear_all(&mut self) -> io::Result<()> {
        while let Some(told) = self.hear()? {
            self.note(told)?;
        }
        Ok(())
    }

    fn note(&mut self, told: Told) -> io::Result<()> {
        match told {
            Told::Ended(_, pid, status) => {
                self.ended.insert(pid, ExitStatus::from_raw(status));
                Ok(())
            }
            Told::Started(whom @ Whom::Courier(place), pid) => {
                self.called.push((place, Ok(Born::Launched(whom, pid))));
                Ok(())
            }
            // It took so long that it is tried again by now. That one has no supervisor.
            Told::Started(whom @ Whom::Role(_), _) => {
                let kill = Ask::Kill(whom).encode();
                sys::socket::send(&self.socket, &kill, &[]).map(drop)
            }
            Told::Failed(..) => Ok(()),
            Told::Unfit(place, why) => {
                self.called.push((place, Err(why)));
                Ok(())
            }
            other => Err(io::Error::other(format!("launch said {other:?}"))),
        }
    }

    /// What was said; nothing where there is nothing now.
    fn hear(&self) -> io::Result<Option<Told>> {
        let mut octets = [0; TOLD_OCTETS];
        match sys::socket::receive(&self.socket, &mut octets, &mut Vec::new()) {
            Ok(0) => Err(io::Error::other("launch has ended")),
            Ok(count) => {
                let told = Told::decode(&octets[..count]);
                told.ok_or_else(|| io::Error::other("launch said nothing sensible"))
                    .map(Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn wait(&self) -> io::Result<Told> {
        let wait = Timespec::try_from(ANSWER_WAIT).map_err(io::Error::other)?;
        loop {
            if let Some(told) = self.hear()? {
                return Ok(told);
            }
            let mut watched = [PollFd::new(&self.socket, PollFlags::IN)];
            // A signal to stop is heard when what is under way has an end.
            if retry_on_intr(|| poll(&mut watched, Some(&wait)))? == 0 {
                return Err(io::Error::other("launch does not answer"));
            }
        }
    }
}
