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

/// How long launch may take to answer: it forks and executes, and may be looking users up before, some seconds each.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// Rounds of the watch that it may leave unanswered.
const UNANSWERED_MAX: u8 = 2;

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
    /// Rounds of the watch that it has not answered.
    unanswered: u8,
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

    /// Asks launch whether it is awake. One that did not say so for some rounds is as good as gone: nobody would be started
    /// any more, and no end would be heard of, so that whatever is asked of it next is an error.
    pub fn watch(&mut self) {
        if let Nursery::Launch(launch) = self {
            launch.unanswered = launch.unanswered.saturating_add(1);
            // Where there is no room it is because it does not read.
            let _ = sys::socket::send(&launch.socket, &Ask::Watch.encode(), &[]);
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
        let mut launch = Self {
            socket: ours,
            users: users.clone(),
            ended: BTreeMap::new(),
            called: Vec::new(),
            unanswered: 0,
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
        if self.unanswered > UNANSWERED_MAX {
            return Err(io::Error::other("launch does not say that it is awake"));
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
            Told::Awake => {
                self.unanswered = 0;
                Ok(())
            }
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

    fn wait(&mut self) -> io::Result<Told> {
        let wait = Timespec::try_from(ANSWER_WAIT).map_err(io::Error::other)?;
        loop {
            if let Some(told) = self.hear()? {
                return Ok(told);
            }
            let mut watched = [PollFd::new(&self.socket, PollFlags::IN)];
            // A signal to stop is heard when what is under way has an end.
            if retry_on_intr(|| poll(&mut watched, Some(&wait)))? == 0 {
                // As good as gone: nothing is waited for any more.
                self.unanswered = u8::MAX;
                return Err(io::Error::other("launch does not answer"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confine::users::Ids;
    use std::process::Command;

    /// A nursery with a launch that the test is itself.
    fn with_launch() -> (Nursery, OwnedFd) {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket).unwrap();
        let ids = Ids { uid: 1, gid: 1 };
        let launch = Launch {
            socket: ours,
            users: Users {
                supervisor: ids,
                launch: ids,
                roles: Role::ALL.map(|role| (role, ids)).into(),
            },
            ended: BTreeMap::new(),
            called: Vec::new(),
            unanswered: 0,
            _child: Command::new("true").spawn().unwrap(),
        };
        (Nursery::Launch(launch), theirs)
    }

    fn role_ended(nursery: &mut Nursery) -> io::Result<bool> {
        let mut born = Born::Launched(Whom::Role(Role::Relay), 77);
        nursery.try_wait(&mut born).map(|status| status.is_some())
    }

    #[test]
    fn a_launch_that_answers_is_gone_on_with() {
        let (mut nursery, launch) = with_launch();
        for _ in 0..5 {
            nursery.watch();
            // The answer may be a round late.
            assert!(!role_ended(&mut nursery).unwrap());
            sys::socket::send(&launch, &Told::Awake.encode(), &[]).unwrap();
        }
        assert!(!role_ended(&mut nursery).unwrap());
    }

    #[test]
    fn one_that_does_not_is_as_good_as_gone_after_two_rounds() {
        let (mut nursery, launch) = with_launch();
        for _ in 0..=UNANSWERED_MAX {
            assert!(!role_ended(&mut nursery).unwrap());
            nursery.watch();
        }
        let why = role_ended(&mut nursery).unwrap_err().to_string();
        assert!(why.contains("launch does not say"), "{why}");
        // It reads again in the end, all of it.
        sys::socket::send(&launch, &Told::Awake.encode(), &[]).unwrap();
        assert!(!role_ended(&mut nursery).unwrap());
    }
}
