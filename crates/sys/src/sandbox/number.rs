//! The kernel's numbers of those calls that a table of ours names. Where an older machine has a call of its own for
//! what a newer one does by a more general call, the number is that of the call which our libraries make there.

/// Public constants by the kernel's names.
macro_rules! numbers {
    ($($name:ident = $number:ident)*) => {
        $(
            #[allow(missing_docs, reason = "the kernel's own name")]
            pub const $name: libc::c_long = libc::$number;
        )*
    };
}

numbers! {
    ACCEPT4 = SYS_accept4
    BIND = SYS_bind
    BRK = SYS_brk
    CLOCK_GETTIME = SYS_clock_gettime
    CLOSE = SYS_close
    CONNECT = SYS_connect
    EPOLL_CTL = SYS_epoll_ctl
    EXIT = SYS_exit
    EXIT_GROUP = SYS_exit_group
    FCNTL = SYS_fcntl
    FDATASYNC = SYS_fdatasync
    FLOCK = SYS_flock
    FSTAT = SYS_fstat
    FSTATFS = SYS_fstatfs
    FSYNC = SYS_fsync
    FUTEX = SYS_futex
    GETDENTS64 = SYS_getdents64
    GETEUID = SYS_geteuid
    GETRANDOM = SYS_getrandom
    GETSOCKNAME = SYS_getsockname
    GETSOCKOPT = SYS_getsockopt
    IOCTL = SYS_ioctl
    GETTID = SYS_gettid
    LSEEK = SYS_lseek
    MADVISE = SYS_madvise
    MKDIRAT = SYS_mkdirat
    MMAP = SYS_mmap
    MPROTECT = SYS_mprotect
    MREMAP = SYS_mremap
    MUNMAP = SYS_munmap
    NEWFSTATAT = SYS_newfstatat
    OPENAT = SYS_openat
    PPOLL = SYS_ppoll
    PREAD64 = SYS_pread64
    PWRITE64 = SYS_pwrite64
    READ = SYS_read
    RECVFROM = SYS_recvfrom
    RECVMSG = SYS_recvmsg
    RESTART_SYSCALL = SYS_restart_syscall
    RT_SIGPROCMASK = SYS_rt_sigprocmask
    SCHED_GETAFFINITY = SYS_sched_getaffinity
    SCHED_YIELD = SYS_sched_yield
    SENDMSG = SYS_sendmsg
    SENDTO = SYS_sendto
    SETSOCKOPT = SYS_setsockopt
    SHUTDOWN = SYS_shutdown
    SIGALTSTACK = SYS_sigaltstack
    SOCKET = SYS_socket
    SOCKETPAIR = SYS_socketpair
    STATX = SYS_statx
    UNAME = SYS_uname
    UNLINKAT = SYS_unlinkat
    WRITE = SYS_write
    WRITEV = SYS_writev
}

#[cfg(target_arch = "x86_64")]
numbers! {
    EPOLL_WAIT = SYS_epoll_wait
    MKDIR = SYS_mkdir
    RENAME = SYS_rename
    UNLINK = SYS_unlink
}

#[cfg(not(target_arch = "x86_64"))]
numbers! {
    EPOLL_WAIT = SYS_epoll_pwait
    MKDIR = SYS_mkdirat
    RENAME = SYS_renameat
    UNLINK = SYS_unlinkat
}
