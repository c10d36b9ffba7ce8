//! launch: starts the roles, each as its own user, when the service was started as root. It is the one process that
//! keeps a right when root is given up: to become another user that is not root, and to end what it started.
//!
//! Trusts the supervisor for which role is started and when, and for nothing else: who each role is was said to it
//! before root was given up, and who a courier becomes it looks up itself. May touch one socket. Its records are of one
//! size and hold numbers, or a name of few letters. If it is taken over, everything that one of our users or another that
//! is not root may do can be done.

use crate::confine::accounts::{self, Unfit};
use crate::confine::users::{Ids, Users};
use crate::ipc::launch::{Ask, Name, RECORD_OCTETS, Told, Whom};
use crate::ipc::spawn::Role;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitCode};
use std::time::Duration;

/// How long roles may take to end by themselves when the supervisor is gone.
const END_WAIT: Duration = Duration::from_millis(200);

/// A process that was started, who it is, and what becomes readable when it ends.
struct Started {
    child: Child,
    ids: Ids,
    ended: OwnedFd,
}

/// Runs this process as launch, on the descriptor that it was born with, until the supervisor is gone.
pub fn main() -> ExitCode {
    crate::event::speak_as("launch");
    sys::process::set_name("ringmail");
    let Ok(Some(birth)) = sys::process::take_birth_socket() else {
        eprintln!("ringmail: launch is started by `ringmail run`, not by hand");
        return ExitCode::from(2);
    };
    match run(&birth) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringmail: launch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(supervisor: &OwnedFd) -> io::Result<()> {
    // Still root, and so is who speaks: no other record is believed.
    let Some((Ask::Users(users), None)) = hear(supervisor)? else {
        return Err(io::Error::other("no users were named"));
    };
    sys::sandbox::private_files();
    sys::identity::become_launcher(users.launch)?;
    sys::sandbox::hide()?;
    sys::process::end_with_parent()?;
    say(supervisor, Told::Stands)?;
    let mut started: BTreeMap<Whom, Started> = BTreeMap::new();
    loop {
        let mut watched = vec![PollFd::new(supervisor, PollFlags::IN)];
        let all: Vec<Whom> = started.keys().copied().collect();
        watched.extend(
            started
                .values()
                .map(|one| PollFd::new(&one.ended, PollFlags::IN)),
        );
        retry_on_intr(|| poll(&mut watched, None))?;
        let ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (whom, _) in all.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            bury(supervisor, &mut started, *whom)?;
        }
        if ready[0] {
            match hear(supervisor)? {
                Some((Ask::Start(role), Some(birth))) => {
                    let told = start(&users, role, &birth, &mut started);
                    say(supervisor, told)?;
                }
                Some((Ask::Deliver(place, name), Some(birth))) => {
                    let told = deliver(&users, (place, name), &birth, &mut started);
                    say(supervisor, told)?;
                }
                Some((Ask::Kill(whom), None)) => {
                    if let Some(one) = started.get(&whom) {
                        kill(whom, one);
                    }
                }
                Some((Ask::Watch, None)) => say(supervisor, Told::Awake)?,
                Some(_) => return Err(io::Error::other("a record that launch cannot have")),
                None => {
                    // They hear of the supervisor's end as we do. One that does not is ended.
                    std::thread::sleep(END_WAIT);
                    for (whom, one) in &mut started {
                        if matches!(one.child.try_wait(), Ok(None)) {
                            kill(*whom, one);
                        }
                    }
                    return Ok(());
                }
            }
        }
    }
}

fn kill(whom: Whom, one: &Started) {
    if let Err(error) = sys::identity::kill_as(one.ids, one.child.id()) {
        eprintln!("ringmail: launch: {whom:?} cannot be ended: {error}");
    }
}

/// Starts a role as its user.
fn start(
    users: &Users,
    role: Role,
    birth: &OwnedFd,
    started: &mut BTreeMap<Whom, Started>,
) -> Told {
    let arguments = ["role".as_ref(), role.name().as_ref()];
    let whom = Whom::Role(role);
    match execute(whom, arguments, users.of_role(role), birth, started) {
        Ok(pid) => Told::Started(whom, pid),
        Err(error) => Told::Failed(role, error.raw_os_error().unwrap_or(0)),
    }
}

/// Starts a courier as the user of this name, who is looked up here.
fn deliver(
    users: &Users,
    (place, name): (u8, Name),
    birth: &OwnedFd,
    started: &mut BTreeMap<Whom, Started>,
) -> Told {
    let person = match accounts::find(name.as_str(), users.uids()) {
        Ok(person) => person,
        Err(why) => return Told::Unfit(place, why),
    };
    let arguments = ["courier".as_ref(), person.home.as_os_str()];
    let whom = Whom::Courier(place);
    match execute(whom, arguments, person.ids, birth, started) {
        Ok(pid) => Told::Started(whom, pid),
        Err(error) => {
            eprintln!("ringmail: launch: a courier cannot be started: {error}");
            Told::Unfit(place, Unfit::NotStarted)
        }
    }
}

/// Starts this program as this user. One that lives is not started once more.
fn execute(
    whom: Whom,
    arguments: [&OsStr; 2],
    ids: Ids,
    birth: &OwnedFd,
    started: &mut BTreeMap<Whom, Started>,
) -> io::Result<u32> {
    if started.contains_key(&whom) {
        return Err(Errno::BUSY.into());
    }
    let mut child = sys::process::start_role(&arguments, birth.as_fd(), Some(ids))?;
    let pid = child.id();
    let ended = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let ended = ended.ok_or(Errno::INVAL);
    match ended.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Ok(ended) => {
            started.insert(whom, Started { child, ids, ended });
            Ok(pid)
        }
        Err(error) => {
            // Nobody would hear of its end.
            if sys::identity::kill_as(ids, pid).is_ok() {
                let _ = child.wait();
            }
            Err(error.into())
        }
    }
}

fn bury(supervisor: &OwnedFd, started: &mut BTreeMap<Whom, Started>, whom: Whom) -> io::Result<()> {
    let Some(one) = started.get_mut(&whom) else {
        return Ok(());
    };
    let Some(status) = one.child.try_wait()? else {
        return Ok(());
    };
    let pid = one.child.id();
    started.remove(&whom);
    say(supervisor, Told::Ended(whom, pid, status.into_raw()))
}

/// Waits for a record. `None`: the supervisor is gone.
fn hear(supervisor: &OwnedFd) -> io::Result<Option<(Ask, Option<OwnedFd>)>> {
    // One more than a record has: a longer one is none, and would be cut to one.
    let mut octets = [0; RECORD_OCTETS + 1];
    let mut fds = Vec::new();
    let count = loop {
        let mut watched = [PollFd::new(supervisor, PollFlags::IN)];
        retry_on_intr(|| poll(&mut watched, None))?;
        match sys::socket::receive(supervisor, &mut octets, &mut fds) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            received => break received?,
        }
    };
    if count == 0 {
        return Ok(None);
    }
    let ask = Ask::decode(&octets[..count]).filter(|_| fds.len() <= 1);
    let ask = ask.ok_or_else(|| io::Error::other("a record that is none"))?;
    Ok(Some((ask, fds.pop())))
}

/// Says something. A supervisor that is gone is noticed at the next record.
fn say(supervisor: &OwnedFd, told: Told) -> io::Result<()> {
    match sys::socket::send(supervisor, &told.encode(), &[]) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
