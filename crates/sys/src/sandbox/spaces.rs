//! A room of its own: namespaces of users, mounts, IPC, names and network, and a root that holds the folders that
//! were named and nothing else.
//!
//! The user namespace is what gives a process without privilege the right to the others. It maps our own uid and gid
//! and nobody else: whoever is somebody else shows as 65534, in `SO_PEERCRED` too.

use rustix::fs::{CWD, Mode};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use rustix::process::WaitOptions;
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A folder that is seen in the room, at its own path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// Its absolute path, without symbolic links.
    pub path: PathBuf,
    /// Whether it may be written to.
    pub writable: bool,
}

/// What the room is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spaces {
    /// What is seen of the file system.
    pub folders: Vec<Bound>,
    /// Whether this machine's network is seen; else there is none.
    pub network: bool,
}

/// Where the new root is put together: it is on every Linux, and what was in it is not needed any more.
const WORKSHOP: &str = "/proc";
/// The new root itself is small: it takes folders while it is made, and nothing after.
const ROOT_OPTIONS: &str = "mode=0555,size=64k,nr_inodes=1k";
/// The host's name in there.
const HOSTNAME: &[u8] = b"localhost";

/// Enters the room. The process must have one thread. After an error it stands somewhere between and must end;
/// whether it will work is what [`can_enter`] tries.
pub fn enter(spaces: &Spaces) -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let mut flags =
        UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if !spaces.network {
        flags |= UnshareFlags::NEWNET;
    }
    unshare(flags).map_err(at("unshare"))?;
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text).map_err(at(file))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("{uid} {uid} 1"))?;
    write("gid_map", format!("{gid} {gid} 1"))?;
    // The host's name is no secret; where a service manager forbids to set it, it is seen.
    let _ = rustix::system::sethostname(HOSTNAME);
    new_root(&spaces.folders)
}

/// Whether [`enter`] works here: a child tries it and ends. The process must have one thread.
pub fn can_enter(spaces: &Spaces) -> io::Result<()> {
    let (ours, theirs) = rustix::pipe::pipe()?;
    // SAFETY: this process has one thread, so that the child finds every lock free; it tries, says how it went and
    // ends without running anything of ours.
    let child = unsafe { libc::fork() };
    match child {
        0 => {
            let said = match enter(spaces) {
                Ok(()) => String::new(),
                Err(error) => error.to_string(),
            };
            let _ = rustix::io::write(&theirs, said.as_bytes());
            // SAFETY: ends the child at once, without its parent's clean-up.
            unsafe { libc::_exit(i32::from(!said.is_empty())) }
        }
        pid if pid > 0 => {
            drop(theirs);
            let mut said = [0; 512];
            let count = rustix::io::read(&ours, &mut said).unwrap_or(0);
            let status = rustix::process::waitpid(
                rustix::process::Pid::from_raw(pid),
                WaitOptions::empty(),
            )?;
            if status.is_some_and(|(_, status)| status.exit_status() == Some(0)) {
                return Ok(());
            }
            Err(io::Error::other(
                String::from_utf8_lossy(&said[..count]).into_owned(),
            ))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Says at which step an error was met.
fn at<E: Into<io::Error>>(step: impl fmt::Display) -> impl FnOnce(E) -> io::Error {
    move |error| {
        let error = error.into();
        io::Error::new(error.kind(), format!("{step}: {error}"))
    }
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: without CLONE_FILES and CLONE_VM nothing changes that this process shares with another thread of its
    // own; it has one.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Makes a root that holds these folders at their paths, read-only but for those, and goes there.
fn new_root(folders: &[Bound]) -> io::Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(at("mount --make-rprivate /"))?;
    // Before the workshop hides what may lie below it.
    let trees: Vec<(OwnedFd, &Bound)> = folders
        .iter()
        .map(|bound| Ok((tree(&bound.path)?, bound)))
        .collect::<io::Result<_>>()?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = CString::new(ROOT_OPTIONS)?;
    rustix::mount::mount("none", WORKSHOP, "tmpfs", flags, options.as_c_str())
        .map_err(at("mount a root"))?;
    for (tree, bound) in trees {
        let shown = bound.path.display();
        harden(&tree, bound.writable).map_err(at(format_args!("harden {shown}")))?;
        let below = bound.path.strip_prefix("/").unwrap_or(&bound.path);
        let target = Path::new(WORKSHOP).join(below);
        make_folders(&target).map_err(at(format_args!("make {shown}")))?;
        let empty_path = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&tree, "", CWD, &target, empty_path)
            .map_err(at(format_args!("bind {shown}")))?;
    }
    pivot(flags | MountFlags::RDONLY).map_err(at("pivot_root"))
}

/// Makes the workshop the root, read-only, and forgets the old one.
fn pivot(flags: MountFlags) -> io::Result<()> {
    rustix::process::chdir(WORKSHOP)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(rustix::mount::mount_remount("/", flags, c"")?)
}

/// A detached copy of what is mounted at a folder, and below it.
fn tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, path, flags).map_err(at(format_args!("open {}", path.display())))
}

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Nothing in a bound folder is a program, a device, or gives privileges.
fn harden(tree: &OwnedFd, writable: bool) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    if !writable {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        user_namespace: 0,
    };
    // SAFETY: the path is an empty C string; the attributes live through the call and are as long as is said.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes a folder and those above it, which everybody may pass and nobody write to.
fn make_folders(path: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|path| !path.is_dir()).collect();
    missing.reverse();
    for folder in missing {
        rustix::fs::mkdir(folder, Mode::from_raw_mode(0o755))?;
        // The umask has no say here.
        rustix::fs::chmod(folder, Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}
