//! The machine's users, by whatever its name service asks (`nsswitch.conf(5)`): files, a directory, a daemon. The modules
//! that do so are programs of others in our process, so that a child without a right asks them, says what they said, and
//! ends.

use crate::sandbox;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest home that is taken, in octets.
pub const HOME_OCTETS: usize = 512;
/// What a module may write for one user.
const BUFFER_OCTETS: usize = 64 * 1024;
/// Of the child's word: whether there is such a user, whether it is disabled, its ids; whether its home is a folder, that
/// one's ids and mode.
const FRONT_OCTETS: usize = 10 + 13;
/// How long a child that was ended may take to be gone. One that waits for a file system of another machine may take for
/// ever, and is left to it.
const END_WAIT: Duration = Duration::from_secs(1);

/// A user as the name service has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Its home, as written.
    pub home: PathBuf,
    /// The folder that is there; nothing where there is none that can be seen.
    pub folder: Option<Folder>,
    /// Whether its password is marked as one that nobody can use (`passwd -l`), where that can be seen.
    pub disabled: bool,
}

/// Whose a home is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its mode.
    pub mode: u32,
}

/// Looks a user up. `None`: there is none of this name. The process has one thread. An answer that does not come in time
/// is an error, and so is one that cannot be.
pub fn find(name: &str, longest: Duration) -> io::Result<Option<Account>> {
    let name = CString::new(name)?;
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: this process has one thread, so that the child finds every lock free; it asks, says what it heard and ends
    // without running anything of ours.
    let child = unsafe { libc::fork() };
    match child {
        0 => {
            let alone = unprivileged().and_then(|()| has_nothing());
            let said = match alone {
                Ok(true) => ask(&name),
                _ => Err(io::ErrorKind::PermissionDenied.into()),
            };
            let written = said.is_ok_and(|said| rustix::io::write(&theirs, &said).is_ok());
            // SAFETY: ends the child at once, without its parent's clean-up.
            unsafe { libc::_exit(i32::from(!written)) }
        }
        pid if pid > 0 => {
            drop(theirs);
            let heard = hear(&ours, longest);
            end(pid);
            decode(&heard?)
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends the child and waits for it, for a time.
fn end(child: libc::pid_t) {
    // SAFETY: the call takes numbers; the child was not waited for, so that its number is its own.
    unsafe { libc::kill(child, libc::SIGKILL) };
    let deadline = Instant::now() + END_WAIT;
    // SAFETY: the call takes numbers, and a null pointer where the status is not wanted.
    while unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG) } == 0
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is asked must not get what we may do; that is looked at, for nobody outside sees so short a life.
fn unprivileged() -> io::Result<()> {
    sandbox::drop_capabilities()?;
    sandbox::no_new_privileges()
}

/// Whether there is no right left.
fn has_nothing() -> io::Result<bool> {
    let sets = rustix::thread::capabilities(None)?;
    Ok(sets.permitted.is_empty() && rustix::thread::no_new_privs()?)
}

/// Waits for all that the child says.
fn hear(child: &OwnedFd, longest: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + longest;
    let (mut said, mut octets) = (Vec::new(), [0; FRONT_OCTETS + HOME_OCTETS]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut watched = [PollFd::new(child, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut watched, Some(&left)))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match retry_on_intr(|| rustix::io::read(child, &mut octets))? {
            0 => return Ok(said),
            count => said.extend_from_slice(&octets[..count]),
        }
        if said.len() > FRONT_OCTETS + HOME_OCTETS {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// What the modules say, as octets.
fn ask(name: &CStr) -> io::Result<Vec<u8>> {
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut buffer = vec![0; BUFFER_OCTETS];
    let mut found = std::ptr::null_mut();
    // SAFETY: all pointers are to places that live through the call and are as long as is said.
    let error = unsafe {
        libc::getpwnam_r(
            name.as_ptr(),
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        )
    };
    if found.is_null() {
        // POSIX lets modules say "no such user" by these too.
        return match error {
            0 | libc::ENOENT | libc::ESRCH => Ok(vec![0]),
            error => Err(io::Error::from_raw_os_error(error)),
        };
    }
    // SAFETY: the call succeeded: the entry is whole, and its texts are C strings in the buffer, or null.
    let (uid, gid, home, disabled) = unsafe {
        let entry = entry.assume_init();
        let text = |text: *const libc::c_char| {
            (!text.is_null()).then(|| CStr::from_ptr(text).to_bytes().to_vec())
        };
        let disabled = text(entry.pw_passwd).is_some_and(|password| password.starts_with(b"!"));
        (entry.pw_uid, entry.pw_gid, text(entry.pw_dir), disabled)
    };
    let mut said = vec![1, u8::from(disabled)];
    said.extend(uid.to_le_bytes());
    said.extend(gid.to_le_bytes());
    let home = home.unwrap_or_default();
    let folder = rustix::fs::stat(OsStr::from_bytes(&home)).ok();
    let is_folder = |stat: &rustix::fs::Stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let folder = folder.filter(is_folder);
    said.push(u8::from(folder.is_some()));
    for number in folder.map_or([0; 3], |stat| [stat.st_uid, stat.st_gid, stat.st_mode]) {
        said.extend(number.to_le_bytes());
    }
    said.extend(home);
    Ok(said)
}

fn decode(said: &[u8]) -> io::Result<Option<Account>> {
    let number = |at: usize| Some(u32::from_le_bytes(said.get(at..at + 4)?.try_into().ok()?));
    match said {
        [0] => Ok(None),
        [1, disabled @ 0..=1, rest @ ..] if rest.len() > FRONT_OCTETS - 2 => {
            let (uid, gid) = number(2).zip(number(6)).ok_or(io::ErrorKind::InvalidData)?;
            let [is_folder, owner @ ..] = &said[10..FRONT_OCTETS] else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let folder = match owner.as_chunks::<4>().0 {
                [uid, gid, mode] if *is_folder == 1 => Some(Folder {
                    uid: u32::from_le_bytes(*uid),
                    gid: u32::from_le_bytes(*gid),
                    mode: u32::from_le_bytes(*mode),
                }),
                _ => None,
            };
            Ok(Some(Account {
                uid,
                gid,
                home: OsStr::from_bytes(&said[FRONT_OCTETS..]).into(),
                folder,
                disabled: *disabled == 1,
            }))
        }
        // It could not ask, or was ended.
        _ => Err(io::Error::other("the name service gave no answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn root_is_found_and_nobody_who_is_not_there() {
        let root = find("root", LONG).unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.home.is_absolute());
        assert_eq!(root.folder.map(|folder| folder.uid), Some(0));
        assert_eq!(find("no-such-user-here", LONG).unwrap(), None);
        assert!(find("r\0t", LONG).is_err());
    }

    #[test]
    fn what_is_no_answer_is_none() {
        assert!(decode(b"").is_err());
        assert!(decode(&[1, 0, 1, 0]).is_err());
        assert!(decode(&[1, 2, 1, 0, 0, 0, 1, 0, 0, 0, b'/']).is_err());
        let front = [1, 1, 1, 2, 0, 0, 3, 0, 0, 0];
        let there = [1, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0];
        let one = decode(&[&front[..], &there, b"/"].concat());
        let one = one.unwrap().unwrap();
        assert_eq!((one.uid, one.gid, one.disabled), (0x201, 3, true));
        let (uid, gid, mode) = (4, 5, 6);
        assert_eq!(one.folder, Some(Folder { uid, gid, mode }));
        let none = decode(&[&front[..], &[0; 13], b"/"].concat());
        assert_eq!(none.unwrap().unwrap().folder, None);
    }
}
