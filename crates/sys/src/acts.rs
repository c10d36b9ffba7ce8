//! What a role must not do, done: for the tests from inside alone. Each act is one or two raw system calls, as somebody
//! would make them who has taken a role over. The program is built without this file.

mod files;
mod images;
mod network;
mod processes;

use files::{chmod_own, make, make_set_uid, node, open_device};
use images::{execute, execute_memory, execute_own};
use network::{
    fast_open_by_option, fast_open_by_sendmmsg, fast_open_by_sendmsg, hear_fast_open, send_to,
    socket, with_socket,
};
use processes::{
    become_file_id, become_id, foreign_memory, fork, kill, many_descriptors, map, mount, pid,
    proc_of, raise_limit, unshare,
};
use std::ffi::CString;
use std::io;

/// Whom and what the acts are aimed at.
#[derive(Clone, Debug)]
pub struct Target {
    /// The spool's folder.
    pub spool: CString,
    /// A folder of mailboxes.
    pub mail: CString,
    /// A folder that everybody may write to, and that is nobody's business.
    pub elsewhere: CString,
    /// The folder that the role keeps files in; the spool, for one that keeps none.
    pub own: CString,
    /// Another process.
    pub pid: i32,
    /// That process's user.
    pub uid: u32,
    /// A TCP port on loopback where somebody listens that nobody has business with.
    pub port: u16,
    /// A process of each user of the service.
    pub people: Vec<Person>,
}

/// A user of the service, and a process that runs as that user.
#[derive(Clone, Debug)]
pub struct Person {
    /// Whose user it is.
    pub name: String,
    /// The process.
    pub pid: i32,
    /// The user.
    pub uid: u32,
}

/// How an act went: nothing where it was done, and the system's number where it was refused.
pub type Went = Result<(), i32>;

type Act = (&'static str, fn(&Target) -> Went);

type ActOn = (&'static str, fn(&Person) -> Went);

/// The system's answer to a call.
fn call(number: libc::c_long, arguments: [usize; 6]) -> Result<usize, i32> {
    let of = arguments;
    // SAFETY: this is what the tests are for: whatever the call does, it does to this process, which ends after it;
    // pointers among the arguments are to memory that outlives the call.
    let result = unsafe { libc::syscall(number, of[0], of[1], of[2], of[3], of[4], of[5]) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

fn done(number: libc::c_long, arguments: [usize; 6]) -> Went {
    call(number, arguments).map(drop)
}

const fn none() -> [usize; 6] {
    [0; 6]
}

fn path(text: &'static std::ffi::CStr) -> usize {
    text.as_ptr() as usize
}

/// As a register has it.
const AT_FDCWD: usize = (libc::AT_FDCWD as isize).cast_unsigned();

fn open(path: *const libc::c_char, flags: libc::c_int) -> Went {
    let flags = flags.unsigned_abs() as usize;
    done(
        libc::SYS_openat,
        [AT_FDCWD, path as usize, flags, 0o600, 0, 0],
    )
}

fn below(folder: &CString, name: &str) -> CString {
    let mut octets = folder.as_bytes().to_vec();
    octets.extend_from_slice(name.as_bytes());
    CString::new(octets).unwrap_or_default()
}

/// A pointer that is nobody's: a call that is let so far says EFAULT or EINVAL, and was let.
fn probe(number: libc::c_long, arguments: [usize; 6]) -> Went {
    match done(number, arguments) {
        Err(libc::EFAULT | libc::EINVAL | libc::EBADF | libc::ENOENT | libc::ESRCH) => Ok(()),
        other => other,
    }
}

/// Acts that are aimed at nobody of the service, by name.
const ACTS: &[Act] = &[
    ("execve", |_| execute(c"/bin/sh")),
    ("execveat a memfd", |_| execute_memory()),
    ("execute a file of its own", execute_own),
    ("fork", |_| fork()),
    ("open /etc/passwd", |_| {
        open(c"/etc/passwd".as_ptr(), libc::O_RDONLY)
    }),
    ("open / for listing", |_| {
        open(c"/".as_ptr(), libc::O_DIRECTORY)
    }),
    ("make a file elsewhere", |t| {
        open(
            below(&t.elsewhere, "/x").as_ptr(),
            libc::O_CREAT | libc::O_WRONLY,
        )
    }),
    ("open the spool", |t| {
        open(below(&t.spool, "/segment").as_ptr(), libc::O_DIRECTORY)
    }),
    ("write to the spool", |t| {
        open(
            below(&t.spool, "/x").as_ptr(),
            libc::O_CREAT | libc::O_WRONLY,
        )
    }),
    ("open a mailbox", |t| {
        open(below(&t.mail, "/ann").as_ptr(), libc::O_DIRECTORY)
    }),
    ("write to a mailbox", |t| {
        open(
            below(&t.mail, "/x").as_ptr(),
            libc::O_CREAT | libc::O_WRONLY,
        )
    }),
    ("open another's /proc", proc_of),
    ("make a symbolic link", |t| {
        done(
            libc::SYS_symlinkat,
            [
                path(c"/etc"),
                AT_FDCWD,
                below(&t.own, "/link").as_ptr() as usize,
                0,
                0,
                0,
            ],
        )
    }),
    ("make a device", |t| node(t, "/null", libc::S_IFCHR)),
    ("make a fifo", |t| node(t, "/fifo", libc::S_IFIFO)),
    ("open a device of its folder", open_device),
    ("make a set-uid file", |t| make_set_uid(t, libc::S_ISUID)),
    ("make a set-gid file", |t| make_set_uid(t, libc::S_ISGID)),
    ("chmod its own file", chmod_own),
    ("open_by_handle_at", |_| {
        probe(libc::SYS_open_by_handle_at, [AT_FDCWD, 0, 0, 0, 0, 0])
    }),
    ("socket unix", |_| {
        socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).map(drop)
    }),
    ("socket unix datagram", |_| {
        socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).map(drop)
    }),
    ("socket tcp", |_| {
        socket(libc::AF_INET, libc::SOCK_STREAM, 0).map(drop)
    }),
    ("socket tcp6", |_| {
        socket(libc::AF_INET6, libc::SOCK_STREAM, 0).map(drop)
    }),
    ("socket udp", |_| {
        socket(libc::AF_INET, libc::SOCK_DGRAM, 0).map(drop)
    }),
    ("socket mptcp", |_| {
        socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP).map(drop)
    }),
    ("socket sctp", |_| {
        socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP).map(drop)
    }),
    ("socket raw", |_| {
        socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP).map(drop)
    }),
    ("socket ping", |_| {
        socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP).map(drop)
    }),
    ("socket netlink", |_| {
        socket(libc::AF_NETLINK, libc::SOCK_RAW, 0).map(drop)
    }),
    ("socket packet", |_| {
        socket(libc::AF_PACKET, libc::SOCK_RAW, 0).map(drop)
    }),
    ("socket vsock", |_| {
        socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0).map(drop)
    }),
    ("socket alg", |_| {
        socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0).map(drop)
    }),
    ("connect to a port of nobody's", |t| {
        with_socket(libc::SYS_connect, t.port)
    }),
    ("fast open to a port of nobody's", |t| {
        send_to(libc::SOCK_STREAM, libc::MSG_FASTOPEN, t.port)
    }),
    ("fast open by sendmsg", |t| fast_open_by_sendmsg(t.port)),
    ("fast open by sendmmsg", |t| fast_open_by_sendmmsg(t.port)),
    ("fast open by an option", |t| fast_open_by_option(t.port)),
    ("hear fast open", |_| hear_fast_open()),
    ("send a datagram to anybody", |t| {
        send_to(libc::SOCK_DGRAM, 0, t.port)
    }),
    ("bind a tcp port", |_| with_socket(libc::SYS_bind, 0)),
    ("ptrace another", |t| {
        done(
            libc::SYS_ptrace,
            [libc::PTRACE_SEIZE as usize, pid(t), 0, 0, 0, 0],
        )
    }),
    ("kill another", |t| kill(t.pid)),
    ("tgkill another", |t| {
        done(
            libc::SYS_tgkill,
            [
                pid(t),
                pid(t),
                libc::SIGCONT.unsigned_abs() as usize,
                0,
                0,
                0,
            ],
        )
    }),
    ("pidfd_open another", |t| {
        done(libc::SYS_pidfd_open, [pid(t), 0, 0, 0, 0, 0])
    }),
    ("process_vm_readv another", foreign_memory),
    ("setuid 0", |_| become_id(libc::SYS_setuid, 0, 1)),
    ("setreuid 0", |_| become_id(libc::SYS_setreuid, 0, 2)),
    ("setresuid 0", |_| become_id(libc::SYS_setresuid, 0, 3)),
    ("setfsuid 0", |_| become_file_id(libc::SYS_setfsuid, 0)),
    ("setgid 0", |_| become_id(libc::SYS_setgid, 0, 1)),
    ("setregid 0", |_| become_id(libc::SYS_setregid, 0, 2)),
    ("setresgid 0", |_| become_id(libc::SYS_setresgid, 0, 3)),
    ("setfsgid 0", |_| become_file_id(libc::SYS_setfsgid, 0)),
    ("setresuid another", |t| {
        become_id(libc::SYS_setresuid, t.uid, 3)
    }),
    ("setgroups", |_| {
        done(
            libc::SYS_setgroups,
            [1, [0_u32].as_ptr() as usize, 0, 0, 0, 0],
        )
    }),
    ("capset", |_| probe(libc::SYS_capset, none())),
    ("mount", |_| mount()),
    ("umount", |_| {
        done(
            libc::SYS_umount2,
            [
                path(c"/"),
                libc::MNT_DETACH.unsigned_abs() as usize,
                0,
                0,
                0,
                0,
            ],
        )
    }),
    ("open_tree", |_| {
        done(libc::SYS_open_tree, [AT_FDCWD, path(c"/"), 1, 0, 0, 0])
    }),
    ("fsopen", |_| {
        done(libc::SYS_fsopen, [path(c"tmpfs"), 0, 0, 0, 0, 0])
    }),
    ("pivot_root", |_| {
        probe(libc::SYS_pivot_root, [path(c"/"), path(c"/"), 0, 0, 0, 0])
    }),
    ("chroot", |_| {
        done(libc::SYS_chroot, [path(c"/"), 0, 0, 0, 0, 0])
    }),
    ("unshare user", |_| unshare(libc::CLONE_NEWUSER)),
    ("unshare mounts", |_| unshare(libc::CLONE_NEWNS)),
    ("setns", |_| probe(libc::SYS_setns, [0, 0, 0, 0, 0, 0])),
    ("io_uring_setup", |_| {
        probe(libc::SYS_io_uring_setup, none())
    }),
    ("bpf", |_| probe(libc::SYS_bpf, none())),
    ("userfaultfd", |_| done(libc::SYS_userfaultfd, none())),
    ("perf_event_open", |_| {
        probe(libc::SYS_perf_event_open, none())
    }),
    ("keyctl", |_| probe(libc::SYS_keyctl, none())),
    ("add_key", |_| probe(libc::SYS_add_key, none())),
    ("memory that is executable", |_| {
        map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, 4096).map(drop)
    }),
    ("memory that becomes executable", |_| {
        let at = map(libc::PROT_READ | libc::PROT_WRITE, 4096)?;
        let protection = (libc::PROT_READ | libc::PROT_EXEC).unsigned_abs() as usize;
        done(libc::SYS_mprotect, [at, 4096, protection, 0, 0, 0])
    }),
    ("very much memory", |_| {
        map(libc::PROT_READ | libc::PROT_WRITE, 1 << 36).map(drop)
    }),
    ("very many descriptors", |_| many_descriptors()),
    ("raise a limit", |_| raise_limit()),
    ("prctl", |_| {
        done(
            libc::SYS_prctl,
            [libc::PR_SET_DUMPABLE.unsigned_abs() as usize, 1, 0, 0, 0, 0],
        )
    }),
    ("personality", |_| {
        done(libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0, 0])
    }),
    ("seccomp once more", |_| {
        probe(libc::SYS_seccomp, [1, 0, 0, 0, 0, 0])
    }),
    ("sethostname", |_| {
        done(libc::SYS_sethostname, [path(c"x"), 1, 0, 0, 0, 0])
    }),
    ("shared memory of System V", |_| {
        done(libc::SYS_shmget, [0, 4096, 0o1600, 0, 0, 0])
    }),
    ("inotify", |_| done(libc::SYS_inotify_init1, none())),
    ("fanotify", |_| done(libc::SYS_fanotify_init, none())),
    ("settimeofday", |_| probe(libc::SYS_clock_settime, none())),
    ("syslog", |_| done(libc::SYS_syslog, [10, 0, 0, 0, 0, 0])),
    ("init_module", |_| probe(libc::SYS_init_module, none())),
    ("reboot", |_| probe(libc::SYS_reboot, none())),
];

/// What is done to each of the people of the service, by its front; behind it stands whose process or user it is.
const TO_PEOPLE: &[ActOn] = &[
    ("kill ", |person| kill(person.pid)),
    ("setresuid ", |person| {
        become_id(libc::SYS_setresuid, person.uid, 3)
    }),
];

/// The names of all acts, where these are the people of the service.
pub fn names(people: &[&str]) -> Vec<String> {
    let fixed = ACTS.iter().map(|(name, _)| (*name).to_owned());
    let to_people = TO_PEOPLE
        .iter()
        .flat_map(|(front, _)| people.iter().map(move |person| format!("{front}{person}")));
    fixed.chain(to_people).collect()
}

/// Does one.
pub fn act(name: &str, target: &Target) -> Option<Went> {
    if let Some((_, act)) = ACTS.iter().find(|(known, _)| *known == name) {
        return Some(act(target));
    }
    TO_PEOPLE.iter().find_map(|(front, act)| {
        let whose = name.strip_prefix(front)?;
        let person = target.people.iter().find(|person| person.name == whose)?;
        Some(act(person))
    })
}
