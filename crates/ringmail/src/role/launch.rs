//! launch: starts the roles, each as its own user, when the service was started as root. It is the one process that
//! keeps a right when root is given up: to become another user that is not root, and to end what it started.
//!
//! Trusts the supervisor for which role is started and when, and for nothing else: who each role is was said to it
//! before root was given up. May touch one socket. Its records are of one size and hold numbers. If it is taken over,
//! everything that one of our users may do can be done.

use crate::confine::users::Users;
use crate::ipc::launch::{Ask, RECORD_OCTETS, Told};
use crate::ipc::spawn::Role;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitCode};
use std::time::Duration;

/// How long roles may take to end by themselves when the supervisor is gone.
const END_WAIT: Duration = Duration::from_millis(200);

/// A role that was started, and what becomes readable when it ends.
struct Started {
    child: Child,
    ended: OwnedFd,
}

/// Runs this process as launch, on the descriptor that it was born with, until the supervisor is gone.
pub fn main() -> ExitCode {
    crate::event::speak_as("launch");
    sys::process::set_name("ringmail");
    let Some(birth) = sys::process::take_birth_socket() else {
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
    let mut started: BTreeMap<Role, Started> = BTreeMap::new();
    loop {
        let mut watched = vec![PollFd::new(supervisor, PollFlags::IN)];
        let roles: Vec<Role> = started.keys().copied().collect();
        watched.extend(
            started
                .values()
                .map(|one| PollFd::new(&one.ended, PollFlags::IN)),
        );
        poll(&mut watched, None)?;
        let ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (role, _) in roles.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            bury(supervisor, &mut started, *role)?;
        }
        if ready[0] {
            match hear(supervisor)? {
                Some((Ask::Start(role), Some(birth))) => {
                    let told = start(&users, role, &birth, &mut started);
                    say(supervisor, told)?;
                }
                Some((Ask::Kill(role), None)) => {
                    if let Some(one) = started.get(&role) {
                        kill(&users, role, one);
                    }
                }
                Some(_) => return Err(io::Error::other("a record that launch cannot have")),
                None => {
                    // They hear of the supervisor's end as we do. One that does not is ended.
                    std::thread::sleep(END_WAIT);
                    for (role, one) in &mut started {
                        if matches!(one.child.try_wait(), Ok(None)) {
                            kill(&users, *role, one);
                        }
                    }
                    return Ok(());
                }
            }
        }
    }
}

fn kill(users: &Users, role: Role, one: &Started) {
    if let Err(error) = sys::identity::kill_as(users.of_role(role), one.child.id()) {
        eprintln!("ringmail: launch: {role} cannot be ended: {error}");
    }
}

/// Starts a role as its user. One that lives is not started once more.
fn start(
    users: &Users,
    role: Role,
    birth: &OwnedFd,
    started: &mut BTreeMap<Role, Started>,
) -> Told {
    let failed = |error: io::Error| Told::Failed(role, error.raw_os_error().unwrap_or(0));
    if started.contains_key(&role) {
        return Told::Failed(role, Errno::BUSY.raw_os_error());
    }
    let ids = users.of_role(role);
    let mut child = match sys::process::start_role(&["role", role.name()], birth.as_fd(), Some(ids))
    {
        Ok(child) => child,
        Err(error) => return failed(error),
    };
    let pid = child.id();
    let ended = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let ended = ended.ok_or(Errno::INVAL);
    match ended.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Ok(ended) => {
            started.insert(role, Started { child, ended });
            Told::Started(role, pid)
        }
        Err(error) => {
            // Nobody would hear of its end.
            if sys::identity::kill_as(ids, pid).is_ok() {
                let _ = child.wait();
            }
            failed(error.into())
        }
    }
}

fn bury(supervisor: &OwnedFd, started: &mut BTreeMap<Role, Started>, role: Role) -> io::Result<()> {
    let Some(one) = started.get_mut(&role) else {
        return Ok(());
    };
    let Some(status) = one.child.try_wait()? else {
        return Ok(());
    };
    let pid = one.child.id();
    started.remove(&role);
    say(supervisor, Told::Ended(role, pid, status.into_raw()))
}

/// Waits for a record. `None`: the supervisor is gone.
fn hear(supervisor: &OwnedFd) -> io::Result<Option<(Ask, Option<OwnedFd>)>> {
    // One more than a record has: a longer one is none, and would be cut to one.
    let mut octets = [0; RECORD_OCTETS + 1];
    let mut fds = Vec::new();
    let count = loop {
        let mut watched = [PollFd::new(supervisor, PollFlags::IN)];
        poll(&mut watched, None)?;
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
