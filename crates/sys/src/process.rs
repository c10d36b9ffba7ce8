//! Processes: start a role as a new image of this program, with one descriptor and nothing else.

use crate::identity::{self, Ids};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Where a role finds the socket to its supervisor.
pub const BIRTH_FD: RawFd = 3;
/// Where it finds who it is to become, if it is to become anybody.
const IDS_FD: RawFd = BIRTH_FD + 1;
/// Descriptors from here on are in nobody's way.
const HIGH_FD: RawFd = 10;

/// Starts this program anew with `arguments`, an empty environment, standard output and error as ours,
/// and `birth` as descriptor [`BIRTH_FD`]. Every other descriptor is closed. The child gets SIGKILL
/// when its parent thread ends, and does not hear SIGINT and SIGTERM: it ends when its supervisor says so or is gone.
///
/// With `ids` it becomes that user, without any capability, before it takes `birth` ([`take_birth_socket`]): that takes the
/// rights of [`crate::identity::become_launcher`]. Not before it is this program anew: whoever that user is could stop it
/// then, and with it the caller, who waits for that.
pub fn start_role<A: AsRef<OsStr>>(
    arguments: &[A],
    birth: BorrowedFd<'_>,
    ids: Option<Ids>,
) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    // What `ps` shows; what `pgrep -x` and the kernel's log show the role sets itself.
    command
        .arg0("ringmail")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null());
    let birth_fd = birth.as_raw_fd();
    let named = ids.map(named).transpose()?;
    let named_fd = named.as_ref().map(AsRawFd::as_raw_fd);
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are made (dup3, close_range, prctl, capset, signal,
    // getppid), no memory is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            if birth_fd == BIRTH_FD {
                let flags = libc::fcntl(birth_fd, libc::F_GETFD);
                check(libc::fcntl(
                    birth_fd,
                    libc::F_SETFD,
                    flags & !libc::FD_CLOEXEC,
                ))?;
            } else {
                check(libc::dup3(birth_fd, BIRTH_FD, 0))?;
            }
            let mut last = BIRTH_FD;
            if let Some(named_fd) = named_fd {
                check(libc::dup3(named_fd, IDS_FD, 0))?;
                last = IDS_FD;
                identity::bequeath_rights()?;
            }
            // Mark, do not close: std's own pipe that reports a failed exec must live until exec.
            check_long(libc::syscall(
                libc::SYS_close_range,
                last + 1,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            ))?;
            // Who becomes somebody else loses it, and has nobody who could do it.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            // Ctrl-C goes to all processes of a terminal, a service manager's SIGTERM to all of a service; the
            // supervisor ends its roles in order.
            for signal in [libc::SIGINT, libc::SIGTERM] {
                if libc::signal(signal, libc::SIG_IGN) == libc::SIG_ERR {
                    return Err(io::Error::last_os_error());
                }
            }
            if libc::getppid().unsigned_abs() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    command.spawn()
}

/// A pipe out of which these ids come.
fn named(ids: Ids) -> io::Result<OwnedFd> {
    ids.are_usable()?;
    let (named, into) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let octets = [ids.uid.to_le_bytes(), ids.gid.to_le_bytes()].concat();
    rustix::io::write(&into, &octets)?;
    // Out of the way of the two that are put at their places.
    Ok(rustix::io::fcntl_dupfd_cloexec(&named, HIGH_FD)?)
}

/// The other end of it: who this process is to become; nothing where it is to stay who it is.
fn told_who() -> io::Result<Option<Ids>> {
    // SAFETY: fcntl with F_GETFD touches no memory; it only asks whether the descriptor is open.
    if unsafe { libc::fcntl(IDS_FD, libc::F_GETFD) } < 0 {
        return Ok(None);
    }
    // SAFETY: the descriptor is open, and was put there for us by `start_role` before this image began; this is called once.
    let named = unsafe { OwnedFd::from_raw_fd(IDS_FD) };
    let mut octets = [0; 8];
    if rustix::io::read(&named, &mut octets)? != octets.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let [uid, gid] = *octets.as_chunks::<4>().0 else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(Some(Ids {
        uid: u32::from_le_bytes(uid),
        gid: u32::from_le_bytes(gid),
    }))
}

/// This process gets SIGKILL when its parent thread ends. Where the two are different users the parent must have the
/// right to signal this one; else the end of what joins them must do.
pub fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        rustix::process::Signal::KILL,
    ))?)
}

fn check(result: libc::c_int) -> io::Result<()> {
    check_long(result.into())
}

fn check_long(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sockets that a service manager opened for us (`sd_listen_fds(3)`), once: none where it opened none. They are
/// close-on-exec from here on.
pub fn sockets_of_the_manager() -> Vec<OwnedFd> {
    static TAKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    if TAKEN.swap(true, std::sync::atomic::Ordering::SeqCst) {
        return Vec::new();
    }
    let fds = BIRTH_FD..BIRTH_FD + sockets_named();
    fds.filter_map(|fd| {
        // SAFETY: fcntl with F_SETFD touches no memory; it fails where the descriptor is not open.
        if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return None;
        }
        // SAFETY: the descriptor is open, the manager gave it to this process, and the flag above lets us take it once.
        Some(unsafe { OwnedFd::from_raw_fd(fd) })
    })
    .collect()
}

/// Closes whatever descriptors this process was started with, but for the first three and the sockets that a service manager
/// opened for us: nobody meant them for us. Before anything is opened, for it closes that too.
pub fn close_inherited() {
    let ours = u32::try_from(BIRTH_FD + sockets_named()).unwrap_or(u32::MAX);
    // SAFETY: the call takes numbers; nothing of ours is open yet, so that nobody owns what is closed. Kernels before
    // 5.9 have no such call, and those descriptors stay.
    unsafe { libc::syscall(libc::SYS_close_range, ours, u32::MAX, 0) };
}

/// How many sockets a service manager says that it opened for us.
fn sockets_named() -> RawFd {
    let number = |name: &str| std::env::var(name).ok()?.parse::<RawFd>().ok();
    let ours = number("LISTEN_PID").is_some_and(|pid| pid.unsigned_abs() == std::process::id());
    let count = number("LISTEN_FDS").filter(|count| ours && (0..=SOCKETS_MAX).contains(count));
    count.unwrap_or(0)
}

/// Most sockets that are taken from a service manager.
const SOCKETS_MAX: RawFd = 256;

/// In a role: becomes who it is to be, for good, and takes the socket to the supervisor. First of all, while it has one
/// thread. `None` when this process was not started as a role, or took it before.
pub fn take_birth_socket() -> io::Result<Option<OwnedFd>> {
    static TAKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    if TAKEN.swap(true, std::sync::atomic::Ordering::SeqCst) {
        return Ok(None);
    }
    // SAFETY: fcntl with F_GETFD touches no memory; it only asks whether the descriptor is open.
    if unsafe { libc::fcntl(BIRTH_FD, libc::F_GETFD) } < 0 {
        return Ok(None);
    }
    if let Some(ids) = told_who()? {
        identity::become_user(ids)?;
        // As a program is that was just executed: its walls are raised through files of its own in /proc, which are root's
        // as long as it is hidden. It has no right any more that it could be robbed of.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?;
    }
    // SAFETY: the descriptor is open, was put there for us by `start_role` before this image began, and
    // the flag above lets this happen once in a process.
    let birth = unsafe { OwnedFd::from_raw_fd(BIRTH_FD) };
    // SAFETY: F_SETFD touches no memory.
    unsafe { libc::fcntl(BIRTH_FD, libc::F_SETFD, libc::FD_CLOEXEC) };
    Ok(Some(birth))
}

/// Sets the name under which the kernel knows this process, in `ps -C`, `pgrep -x` and its log; the front of it
/// counts, 15 octets.
pub fn set_name(name: &str) {
    let mut front = [0; 16];
    let octets = name.bytes().filter(|octet| *octet != 0).take(15);
    for (place, octet) in front.iter_mut().zip(octets) {
        *place = octet;
    }
    // Always NUL-terminated: the last octet stays 0. A name that cannot be set changes nothing else.
    if let Ok(name) = std::ffi::CStr::from_bytes_until_nul(&front) {
        let _ = rustix::thread::set_name(name);
    }
}

/// Raises the limit of open files to what the system allows, at most `wanted`; gives the limit in force.
pub fn raise_file_limit(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let old = getrlimit(Resource::Nofile);
    let limit = old.maximum.unwrap_or(u64::MAX).min(wanted);
    let new = Rlimit {
        current: Some(limit),
        maximum: old.maximum,
    };
    if old.current.is_some_and(|current| current < limit)
        && setrlimit(Resource::Nofile, new).is_ok()
    {
        return limit;
    }
    old.current.unwrap_or(u64::MAX)
}

/// Ends a process that we started, at once.
pub fn kill(child: &mut Child) {
    // A child that is gone already is what was wanted.
    let _ = child.kill();
}
