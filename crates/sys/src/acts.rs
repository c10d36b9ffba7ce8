//! What a role must not do, done: for the tests from inside alone. Each act is one or two raw system calls, as somebody
//! would make them who has taken a role over. The program is built without this file.

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
    /// Another process.
    pub pid: i32,
    /// That process's user.
    pub uid: u32,
    /// A TCP port on loopback where somebody listens that nobody has business with.
    pub port: u16,
}

/// How an act went: nothing where it was done, and the system's number where it was refused.
pub type Went = Result<(), i32>;

type Act = (&'static str, fn(&Target) -> Went);

/// What an image that was executed ends with: the act was done.
const DONE: &str = "exit 200";

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

fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> Result<usize, i32> {
    let number = |number: libc::c_int| number.unsigned_abs() as usize;
    call(
        libc::SYS_socket,
        [number(family), number(kind), number(protocol), 0, 0, 0],
    )
}

fn loopback(port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: 2,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes([127, 0, 0, 1]),
        },
        sin_zero: [0; 8],
    }
}

fn with_socket(number: libc::c_long, port: u16) -> Went {
    let fd = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    let address = loopback(port);
    let length = size_of::<libc::sockaddr_in>();
    done(number, [fd, &raw const address as usize, length, 0, 0, 0])
}

fn send_to(kind: libc::c_int, flags: libc::c_int, port: u16) -> Went {
    let fd = socket(libc::AF_INET, kind, 0)?;
    let (address, octet) = (loopback(port), [b'x']);
    let arguments = [
        fd,
        octet.as_ptr() as usize,
        1,
        flags.unsigned_abs() as usize,
        &raw const address as usize,
        size_of::<libc::sockaddr_in>(),
    ];
    done(libc::SYS_sendto, arguments)
}

fn execute(program: &std::ffi::CStr) -> Went {
    let words = [
        c"sh".as_ptr(),
        c"-c".as_ptr(),
        c"exit 200".as_ptr(),
        std::ptr::null(),
    ];
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    let arguments = [
        program.as_ptr() as usize,
        words.as_ptr() as usize,
        none.as_ptr() as usize,
        0,
        0,
        0,
    ];
    done(libc::SYS_execve, arguments)
}

fn execute_memory() -> Went {
    let fd = call(libc::SYS_memfd_create, [path(c"x"), 0, 0, 0, 0, 0])?;
    let script = format!("#!/bin/sh\n{DONE}\n");
    call(
        libc::SYS_write,
        [fd, script.as_ptr() as usize, script.len(), 0, 0, 0],
    )?;
    let words = [c"x".as_ptr(), std::ptr::null()];
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    let flags = libc::AT_EMPTY_PATH.unsigned_abs() as usize;
    let arguments = [
        fd,
        path(c""),
        words.as_ptr() as usize,
        none.as_ptr() as usize,
        flags,
        0,
    ];
    done(libc::SYS_execveat, arguments)
}

fn fork() -> Went {
    let pid = call(
        libc::SYS_clone,
        [libc::SIGCHLD.unsigned_abs() as usize, 0, 0, 0, 0, 0],
    )?;
    if pid == 0 {
        let _ = call(libc::SYS_exit_group, none());
    }
    Ok(())
}

fn map(protection: libc::c_int, octets: usize) -> Result<usize, i32> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let flags = flags.unsigned_abs() as usize;
    let protection = protection.unsigned_abs() as usize;
    call(
        libc::SYS_mmap,
        [0, octets, protection, flags, usize::MAX, 0],
    )
}

fn raise_limit() -> Went {
    let old = rustix::process::getrlimit(rustix::process::Resource::Nproc);
    let new = libc::rlimit64 {
        rlim_cur: 1 << 20,
        rlim_max: 1 << 20,
    };
    // Where it is not bounded yet there is nothing to raise: that it is not is what was to be shown.
    if old.maximum.is_none_or(|most| most >= 1 << 20) {
        return Ok(());
    }
    let resource = libc::RLIMIT_NPROC as usize;
    done(
        libc::SYS_prlimit64,
        [0, resource, &raw const new as usize, 0, 0, 0],
    )
}

/// More than a role has whose work has nothing to do with sessions.
const DESCRIPTORS: usize = 9000;

fn many_descriptors() -> Went {
    for _ in 0..DESCRIPTORS {
        let duplicate = libc::F_DUPFD_CLOEXEC.unsigned_abs() as usize;
        call(libc::SYS_fcntl, [0, duplicate, 0, 0, 0, 0])?;
    }
    Ok(())
}

fn unshare(flags: libc::c_int) -> Went {
    done(
        libc::SYS_unshare,
        [flags.unsigned_abs() as usize, 0, 0, 0, 0, 0],
    )
}

fn become_uid(number: libc::c_long, uid: u32, arguments: usize) -> Went {
    let mut all = none();
    all[..arguments].fill(uid as usize);
    done(number, all)
}

fn foreign_memory(target: &Target) -> Went {
    let mut octet = [0_u8];
    let local = [libc::iovec {
        iov_base: octet.as_mut_ptr().cast(),
        iov_len: 1,
    }];
    let remote = [libc::iovec {
        iov_base: std::ptr::dangling_mut::<libc::c_void>(),
        iov_len: 1,
    }];
    let pid = target.pid.unsigned_abs() as usize;
    let (local, remote) = (local.as_ptr() as usize, remote.as_ptr() as usize);
    match done(libc::SYS_process_vm_readv, [pid, local, 1, remote, 1, 0]) {
        // We may look, there is just nothing at that address.
        Err(libc::EFAULT) => Ok(()),
        other => other,
    }
}

fn proc_of(target: &Target) -> Went {
    let path = CString::new(format!("/proc/{}/mem", target.pid)).unwrap_or_default();
    open(path.as_ptr(), libc::O_RDONLY)
}

fn pid(target: &Target) -> usize {
    target.pid.unsigned_abs() as usize
}

fn mount() -> Went {
    done(
        libc::SYS_mount,
        [path(c"none"), path(c"/"), path(c"tmpfs"), 0, 0, 0],
    )
}

/// A pointer that is nobody's: a call that is let so far says EFAULT or EINVAL, and was let.
fn probe(number: libc::c_long, arguments: [usize; 6]) -> Went {
    match done(number, arguments) {
        Err(libc::EFAULT | libc::EINVAL | libc::EBADF | libc::ENOENT | libc::ESRCH) => Ok(()),
        other => other,
    }
}

/// All acts, by name.
pub const ACTS: &[Act] = &[
    ("execve", |_| execute(c"/bin/sh")),
    ("execveat a memfd", |_| execute_memory()),
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
                below(&t.spool, "/link").as_ptr() as usize,
                0,
                0,
                0,
            ],
        )
    }),
    ("make a device", |t| {
        done(
            libc::SYS_mknodat,
            [
                AT_FDCWD,
                below(&t.spool, "/null").as_ptr() as usize,
                0o20666,
                0x103,
                0,
                0,
            ],
        )
    }),
    ("make a fifo", |t| {
        done(
            libc::SYS_mknodat,
            [
                AT_FDCWD,
                below(&t.spool, "/fifo").as_ptr() as usize,
                0o10666,
                0,
                0,
                0,
            ],
        )
    }),
    ("chmod", |t| {
        done(
            libc::SYS_fchmodat,
            [AT_FDCWD, t.spool.as_ptr() as usize, 0o4777, 0, 0, 0],
        )
    }),
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
    ("kill another", |t| {
        done(libc::SYS_kill, [pid(t), 0, 0, 0, 0, 0])
    }),
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
    ("setuid 0", |_| become_uid(libc::SYS_setuid, 0, 1)),
    ("setreuid 0", |_| become_uid(libc::SYS_setreuid, 0, 2)),
    ("setresuid 0", |_| become_uid(libc::SYS_setresuid, 0, 3)),
    ("setgid 0", |_| become_uid(libc::SYS_setgid, 0, 1)),
    ("setresuid another", |t| {
        become_uid(libc::SYS_setresuid, t.uid, 3)
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

/// Does one.
pub fn act(name: &str, target: &Target) -> Option<Went> {
    let (_, act) = ACTS.iter().find(|(known, _)| *known == name)?;
    Some(act(target))
}
