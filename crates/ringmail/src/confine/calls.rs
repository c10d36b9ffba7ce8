//! Which system calls a closed role may make, each with its reason. One that is not here ends the process. What the
//! whole test suite never needs does not belong here: `cargo xtask calls` says which those are.

use super::Reach;
use crate::ipc::spawn::Role;
use sys::sandbox::calls::Argument::{self, Bits, Is, Null};
use sys::sandbox::calls::Call;
use sys::sandbox::number as n;

/// Who needs a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every role.
    All,
    /// Those that keep files: queue, local, admin.
    Files,
    /// Those that have threads: auth, local, queue.
    Threads,
    /// Those whose threads wait for the disk: local, queue.
    Disks,
    /// Those that take connections: admin, smtpd, submission.
    Doors,
    /// Those that talk to SMTP clients: smtpd, submission.
    Servers,
    /// Those that read files which were handed over: auth, keys.
    Secrets,
    /// Those that connect by TCP: relay, and local where an LMTP server is named by host and port.
    Tcp,
    /// Those that ask name servers.
    Names,
    /// Those that connect to Unix sockets: local.
    Sockets,
    /// One role.
    One(Role),
}

impl Who {
    /// Whether a role of this reach is one of them.
    pub fn has(self, role: Role, reach: &Reach) -> bool {
        match self {
            Who::All => true,
            Who::Files => matches!(role, Role::Admin | Role::Local | Role::Queue),
            Who::Threads => matches!(role, Role::Auth | Role::Local | Role::Queue),
            Who::Disks => matches!(role, Role::Local | Role::Queue),
            Who::Doors => role == Role::Admin || Role::SERVERS.contains(&role),
            Who::Servers => Role::SERVERS.contains(&role),
            Who::Secrets => matches!(role, Role::Auth | Role::Keys),
            Who::Tcp => !reach.ports.is_empty(),
            Who::Names => reach.names.is_some(),
            Who::Sockets => !reach.sockets.is_empty(),
            Who::One(one) => one == role,
        }
    }

    /// In words, for the page that is made from the table.
    pub const fn words(self) -> &'static str {
        match self {
            Who::All => "all",
            Who::Files => "admin, local, queue",
            Who::Threads => "auth, local, queue",
            Who::Disks => "local, queue",
            Who::Doors => "admin, smtpd, submission",
            Who::Servers => "smtpd, submission",
            Who::Secrets => "auth, keys",
            Who::Tcp => "relay; local with LMTP over TCP",
            Who::Names => "relay; local with LMTP to a host by its name",
            Who::Sockets => "local with LMTP over a Unix socket",
            Who::One(role) => role.name(),
        }
    }
}

/// One use of a system call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The call and what must hold of its arguments.
    pub call: Call,
    /// The same in words; empty where nothing must.
    pub only: &'static str,
    /// Who may make it.
    pub who: Who,
    /// What for.
    pub why: &'static str,
}

const fn any(who: Who, number: i64, why: &'static str) -> Row {
    only(who, number, "", &[], why)
}

const fn only(
    who: Who,
    number: i64,
    only: &'static str,
    arguments: &'static [Argument],
    why: &'static str,
) -> Row {
    Row {
        call: Call { number, arguments },
        only,
        who,
        why,
    }
}

const PROT_EXEC: u32 = 4;
const FAST_OPEN: u32 = 0x2000_0000;
const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const STREAM: u32 = 1;
const DGRAM: u32 = 2;
/// All of a socket's type but the flags close-on-exec and non-blocking, which may stand beside it.
const TYPE: u32 = !(0o2_000_000 | 0o4_000);
const TCP: u32 = 6;
const UDP: u32 = 17;
/// Of a file that is made: it would make whoever executes it the role's user, where the role's mounts do not reach.
const SET_ID: u32 = 0o6000;
const FIONBIO: u32 = 0x5421;
const F_GETFD: u32 = 1;
const F_GETFL: u32 = 3;
const F_SETLEASE: u32 = 1024;
const F_DUPFD_CLOEXEC: u32 = 1030;
const SOL_SOCKET: u32 = 1;
const SO_ERROR: u32 = 4;
const SO_PEERCRED: u32 = 17;
const TCP_NODELAY: u32 = 1;
const LOCK_EXCLUSIVE_NOW: u32 = 6;

/// The table.
pub const TABLE: &[Row] = &[
    // The event loop.
    any(Who::All, n::EPOLL_WAIT, "waits for what comes"),
    any(Who::All, n::EPOLL_CTL, "names what is waited for"),
    any(
        Who::All,
        n::CLOCK_GETTIME,
        "the time, where the kernel does not show it in memory",
    ),
    any(
        Who::All,
        n::FUTEX,
        "wakes the event loop, and threads each other",
    ),
    any(
        Who::All,
        n::RESTART_SYSCALL,
        "the kernel's own, after a stop",
    ),
    any(
        Who::All,
        n::RT_SIGPROCMASK,
        "the end of a thread and of the process",
    ),
    any(
        Who::All,
        n::SIGALTSTACK,
        "the end of a thread and of the process",
    ),
    any(Who::All, n::EXIT_GROUP, "the end"),
    any(Who::All, n::GETTID, "who panicked, for the log"),
    any(Who::All, n::GETRANDOM, "numbers that nobody can guess"),
    // Memory.
    only(
        Who::All,
        n::MMAP,
        "not executable",
        &[Bits(2, PROT_EXEC, 0)],
        "memory",
    ),
    only(
        Who::All,
        n::MPROTECT,
        "not executable",
        &[Bits(2, PROT_EXEC, 0)],
        "memory",
    ),
    any(Who::All, n::MUNMAP, "memory"),
    any(Who::All, n::MREMAP, "memory"),
    any(Who::All, n::MADVISE, "memory"),
    any(Who::All, n::BRK, "memory"),
    // Descriptors that it has.
    any(Who::All, n::READ, "arrows, files, wake-ups"),
    any(Who::All, n::WRITE, "arrows, files, the log"),
    any(Who::All, n::CLOSE, "what is not needed any more"),
    any(Who::All, n::RECVFROM, "arrows and connections"),
    only(
        Who::All,
        n::SENDTO,
        "to nobody by address, no fast open",
        &[Null(4), Bits(3, FAST_OPEN, 0)],
        "arrows and connections",
    ),
    any(Who::All, n::RECVMSG, "arrows, with descriptors"),
    only(
        Who::All,
        n::SENDMSG,
        "no fast open",
        &[Bits(2, FAST_OPEN, 0)],
        "arrows, with descriptors",
    ),
    any(Who::All, n::SHUTDOWN, "the end of an arrow or a connection"),
    only(
        Who::All,
        n::IOCTL,
        "FIONBIO",
        &[Is(1, FIONBIO)],
        "a descriptor that does not wait",
    ),
    only(
        Who::All,
        n::FCNTL,
        "F_GETFD",
        &[Is(1, F_GETFD)],
        "looks whether a descriptor is open (the standard library's checks)",
    ),
    only(
        Who::All,
        n::FCNTL,
        "F_GETFL",
        &[Is(1, F_GETFL)],
        "a descriptor that does not wait",
    ),
    only(
        Who::All,
        n::FCNTL,
        "F_DUPFD_CLOEXEC",
        &[Is(1, F_DUPFD_CLOEXEC)],
        "the same descriptor once more",
    ),
    only(
        Who::All,
        n::GETSOCKOPT,
        "SO_ERROR",
        &[Is(1, SOL_SOCKET), Is(2, SO_ERROR)],
        "how a connection failed",
    ),
    // Connections that come.
    any(Who::Doors, n::ACCEPT4, "takes connections of its listeners"),
    only(
        Who::Servers,
        n::SETSOCKOPT,
        "TCP_NODELAY",
        &[Is(1, TCP), Is(2, TCP_NODELAY)],
        "small replies go at once",
    ),
    only(
        Who::One(Role::Admin),
        n::GETSOCKOPT,
        "SO_PEERCRED",
        &[Is(1, SOL_SOCKET), Is(2, SO_PEERCRED)],
        "who is at the control socket",
    ),
    any(
        Who::One(Role::Admin),
        n::GETEUID,
        "whether that is its own user",
    ),
    // Connections that go.
    only(
        Who::Tcp,
        n::SOCKET,
        "TCP over IPv4",
        &[Is(0, AF_INET), Bits(1, TYPE, STREAM), Is(2, 0)],
        "a next hop",
    ),
    only(
        Who::Tcp,
        n::SOCKET,
        "TCP over IPv6",
        &[Is(0, AF_INET6), Bits(1, TYPE, STREAM), Is(2, 0)],
        "a next hop",
    ),
    any(
        Who::Tcp,
        n::CONNECT,
        "a next hop; Landlock says to which ports",
    ),
    only(
        Who::Tcp,
        n::SETSOCKOPT,
        "TCP_NODELAY",
        &[Is(1, TCP), Is(2, TCP_NODELAY)],
        "small commands go at once",
    ),
    only(
        Who::Names,
        n::SOCKET,
        "TCP over IPv4",
        &[Is(0, AF_INET), Bits(1, TYPE, STREAM), Is(2, TCP)],
        "a name server, where an answer is large",
    ),
    only(
        Who::Names,
        n::SOCKET,
        "TCP over IPv6",
        &[Is(0, AF_INET6), Bits(1, TYPE, STREAM), Is(2, TCP)],
        "a name server, where an answer is large",
    ),
    only(
        Who::Names,
        n::SOCKET,
        "UDP over IPv4",
        &[Is(0, AF_INET), Bits(1, TYPE, DGRAM), Is(2, 0)],
        "name servers; whether an address is ours",
    ),
    only(
        Who::Names,
        n::SOCKET,
        "UDP over IPv6",
        &[Is(0, AF_INET6), Bits(1, TYPE, DGRAM), Is(2, 0)],
        "name servers; whether an address is ours",
    ),
    only(
        Who::Names,
        n::SOCKET,
        "UDP over IPv4",
        &[Is(0, AF_INET), Bits(1, TYPE, DGRAM), Is(2, UDP)],
        "name servers",
    ),
    only(
        Who::Names,
        n::SOCKET,
        "UDP over IPv6",
        &[Is(0, AF_INET6), Bits(1, TYPE, DGRAM), Is(2, UDP)],
        "name servers",
    ),
    any(
        Who::Names,
        n::UNAME,
        "the resolver's library asks for the host's name, and is told that of the namespace",
    ),
    any(
        Who::Names,
        n::WRITEV,
        "a question over TCP, with its length before it",
    ),
    any(
        Who::Names,
        n::BIND,
        "a port of its own for each question (RFC 5452); Landlock refuses it to TCP",
    ),
    any(Who::Names, n::GETSOCKNAME, "whether an address is ours"),
    only(
        Who::Names,
        n::SENDTO,
        "no fast open",
        &[Bits(3, FAST_OPEN, 0)],
        "questions to name servers",
    ),
    only(
        Who::Sockets,
        n::SOCKET,
        "Unix",
        &[Is(0, AF_UNIX), Bits(1, TYPE, STREAM), Is(2, 0)],
        "an LMTP server",
    ),
    any(
        Who::Sockets,
        n::CONNECT,
        "an LMTP server, in the folders that it sees",
    ),
    // Files.
    only(
        Who::Files,
        n::OPENAT,
        "no set-uid, no set-gid",
        &[Bits(3, SET_ID, 0)],
        "its folders; Landlock and the root say which",
    ),
    any(Who::Files, n::STATX, "what a file is"),
    any(
        Who::All,
        n::FSTAT,
        "whether a descriptor that came is what was said",
    ),
    any(Who::Files, n::NEWFSTATAT, "what a file is"),
    any(Who::Files, n::GETDENTS64, "what is in a folder"),
    any(Who::Files, n::LSEEK, "a place in a file"),
    any(
        Who::Files,
        n::FSYNC,
        "folders and mailbox files are durable",
    ),
    any(Who::Files, n::MKDIR, "folders of its own"),
    any(Who::Files, n::UNLINK, "what is not needed any more"),
    any(
        Who::Secrets,
        n::PREAD64,
        "certificates, keys, hashes: in files that were handed over",
    ),
    any(
        Who::Servers,
        n::PPOLL,
        "the answer of keys, within a handshake",
    ),
    any(Who::Servers, n::WRITEV, "several records of TLS at once"),
    any(
        Who::One(Role::Relay),
        n::PREAD64,
        "a large body that was handed over",
    ),
    any(
        Who::Disks,
        n::PREAD64,
        "records; a large body that was handed over",
    ),
    any(
        Who::Disks,
        n::RENAME,
        "a segment is taken again; a message into new/",
    ),
    any(Who::Threads, n::EXIT, "the end of a thread"),
    any(
        Who::Threads,
        n::SCHED_YIELD,
        "a channel between threads that is busy at this instant",
    ),
    any(
        Who::Threads,
        n::SCHED_GETAFFINITY,
        "how many heaps two threads that want memory at once may have",
    ),
    any(Who::One(Role::Queue), n::PWRITE64, "records"),
    any(Who::One(Role::Queue), n::FDATASYNC, "records are durable"),
    any(
        Who::One(Role::Queue),
        n::FSTATFS,
        "room on the spool's file system",
    ),
    only(
        Who::One(Role::Queue),
        n::FCNTL,
        "F_SETLEASE",
        &[Is(1, F_SETLEASE)],
        "whether a body can still be written to",
    ),
    only(
        Who::One(Role::Queue),
        n::FLOCK,
        "exclusive, at once",
        &[Is(1, LOCK_EXCLUSIVE_NOW)],
        "the spool is its own",
    ),
    only(
        Who::One(Role::Admin),
        n::SOCKETPAIR,
        "Unix",
        &[Is(0, AF_UNIX)],
        "its own events go the way of the others'",
    ),
];

/// What this role may do with this reach.
pub fn of(role: Role, reach: &Reach) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| row.who.has(role, reach))
}
