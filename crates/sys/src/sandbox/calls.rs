//! seccomp: which system calls a process may make, and with what arguments. Anything else ends it at once, and its
//! last word says which call it was.

use super::names::name_of;
use crate::process::BIRTH_FD;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// The exit code of a process that made a call which it may not make.
pub const TRAPPED: i32 = 159;

/// What an argument must be. Arguments are compared as the 32 bits that the kernel takes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The argument of this place is this.
    Is(u8, u32),
    /// Of the argument of this place the bits of the mask are these.
    Bits(u8, u32, u32),
    /// The argument of this place, a pointer, is null.
    Null(u8),
}

/// One use of a system call: its number, and what must hold of its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The kernel's number for it.
    pub number: libc::c_long,
    /// All of these; nothing where any arguments will do.
    pub arguments: &'static [Argument],
}

impl Call {
    /// Its name in the kernel's table.
    pub fn name(&self) -> &'static str {
        u32::try_from(self.number)
            .ok()
            .and_then(name_of)
            .unwrap_or("?")
    }
}

/// A program for the kernel's filter, made before the process is closed.
pub struct Filter(BpfProgram);

impl Filter {
    /// Allows these uses and nothing else.
    pub fn new(calls: impl IntoIterator<Item = Call>) -> io::Result<Self> {
        let mut rules: BTreeMap<i64, Option<Vec<SeccompRule>>> = BTreeMap::new();
        for call in calls {
            let known = rules.entry(call.number).or_insert_with(|| Some(Vec::new()));
            if call.arguments.is_empty() {
                *known = None;
            } else if let Some(known) = known {
                known.push(rule(call.arguments).map_err(io::Error::other)?);
            }
        }
        let rules = rules
            .into_iter()
            .map(|(number, rules)| (number, rules.unwrap_or_default()));
        let arch = std::env::consts::ARCH
            .try_into()
            .map_err(io::Error::other)?;
        let filter = SeccompFilter::new(
            rules.collect(),
            SeccompAction::Trap,
            SeccompAction::Allow,
            arch,
        );
        let program = filter
            .and_then(TryInto::try_into)
            .map_err(io::Error::other)?;
        Ok(Self(program))
    }

    /// Closes all threads of this process. From here on a forbidden call sends `front` and its number, four octets
    /// with the lowest first, over the socket of birth, and ends the process with [`TRAPPED`].
    pub fn close(self, front: u8) -> io::Result<()> {
        FRONT.store(front, Ordering::Relaxed);
        catch()?;
        seccompiler::apply_filter_all_threads(&self.0).map_err(io::Error::other)
    }
}

/// Refuses every call by which this process, or one that it starts, would become root or take a group beside its own,
/// and allows everything else. Such a call fails with EPERM.
pub(crate) fn refuse_root() -> io::Result<()> {
    const BECOME: [(libc::c_long, u8); 8] = [
        (libc::SYS_setuid, 1),
        (libc::SYS_setgid, 1),
        (libc::SYS_setreuid, 2),
        (libc::SYS_setregid, 2),
        (libc::SYS_setresuid, 3),
        (libc::SYS_setresgid, 3),
        (libc::SYS_setfsuid, 1),
        (libc::SYS_setfsgid, 1),
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (number, arguments) in &BECOME {
        let zero = |place| rule(&[Argument::Is(place, 0)]);
        let each = (0..*arguments).map(zero).collect::<Result<_, _>>();
        rules.insert(*number, each.map_err(io::Error::other)?);
    }
    let some = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0);
    let some = some.and_then(|some| SeccompRule::new(vec![some]));
    rules.insert(libc::SYS_setgroups, vec![some.map_err(io::Error::other)?]);
    refuse(rules, libc::EPERM)
}

/// Refuses what a process never does that starts no other, and what nobody needs who looks after others: programs,
/// processes, namespaces, mounts, other processes' memory, keys and other subsystems of the kernel. Threads may be started.
pub fn start_nothing() -> io::Result<()> {
    /// `open_tree_attr(2)`, of Linux 6.15; libc has no name for it.
    const OPEN_TREE_ATTR: libc::c_long = 467;
    const NEVER: [libc::c_long; 39] = [
        OPEN_TREE_ATTR,
        libc::SYS_acct,
        libc::SYS_add_key,
        libc::SYS_bpf,
        libc::SYS_chroot,
        libc::SYS_delete_module,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_finit_module,
        libc::SYS_fsopen,
        libc::SYS_init_module,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_io_uring_setup,
        libc::SYS_kcmp,
        libc::SYS_kexec_load,
        libc::SYS_keyctl,
        libc::SYS_mount,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_open_tree,
        libc::SYS_perf_event_open,
        libc::SYS_personality,
        libc::SYS_pidfd_getfd,
        libc::SYS_pivot_root,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_ptrace,
        libc::SYS_quotactl,
        libc::SYS_reboot,
        libc::SYS_request_key,
        libc::SYS_setns,
        libc::SYS_swapoff,
        libc::SYS_swapon,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_userfaultfd,
    ];
    let thread = libc::CLONE_THREAD.unsigned_abs();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = NEVER
        .into_iter()
        .map(|number| (number, Vec::new()))
        .collect();
    let fork = rule(&[Argument::Bits(0, thread, 0)]).map_err(io::Error::other)?;
    rules.insert(libc::SYS_clone, vec![fork]);
    #[cfg(target_arch = "x86_64")]
    for number in [libc::SYS_fork, libc::SYS_vfork] {
        rules.insert(number, Vec::new());
    }
    refuse(rules, libc::EPERM)?;
    // Its flags lie in memory, where a filter cannot look. The C library does with clone then.
    refuse(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        libc::ENOSYS,
    )
}

/// Calls of x86-64 that have another number where a program is of the kind with short pointers (x32), and that number.
#[cfg(target_arch = "x86_64")]
const X32_OTHERS: [(libc::c_long, i64); 6] = [
    (libc::SYS_execve, 520),
    (libc::SYS_ptrace, 521),
    (libc::SYS_kexec_load, 528),
    (libc::SYS_process_vm_readv, 539),
    (libc::SYS_process_vm_writev, 540),
    (libc::SYS_execveat, 545),
];

/// Adds the numbers by which a kernel that knows x32 knows the same calls: a program of any kind may use them, and what is
/// not refused by its number is allowed.
#[cfg(target_arch = "x86_64")]
fn with_x32(rules: &mut BTreeMap<i64, Vec<SeccompRule>>) {
    /// `__X32_SYSCALL_BIT`.
    const X32: i64 = 0x4000_0000;
    for (number, conditions) in rules.clone() {
        let other = X32_OTHERS.iter().find(|(call, _)| *call == number);
        rules.insert(number | X32, conditions.clone());
        if let Some((_, other)) = other {
            rules.insert(other | X32, conditions);
        }
    }
}

/// Refuses these calls with this error in all threads, and allows everything else.
fn refuse(mut rules: BTreeMap<i64, Vec<SeccompRule>>, error: libc::c_int) -> io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    with_x32(&mut rules);
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&program).map_err(io::Error::other)
}

fn rule(arguments: &[Argument]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions = arguments.iter().map(|argument| match *argument {
        Argument::Is(place, value) => SeccompCondition::new(
            place,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            value.into(),
        ),
        Argument::Bits(place, mask, value) => SeccompCondition::new(
            place,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask.into()),
            value.into(),
        ),
        Argument::Null(place) => {
            SeccompCondition::new(place, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
        }
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// The first octet of a trapped process's last word.
static FRONT: AtomicU8 = AtomicU8::new(0);

/// Sets the handler of SIGSYS.
fn catch() -> io::Result<()> {
    // SAFETY: all zeroes is a sigaction with an empty mask; its handler is set before it is used.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = trapped as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    // SAFETY: the action is whole and lives through the call; the handler does only what a handler may.
    let set = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Where the kernel puts the number of the call in SIGSYS's `siginfo_t` (`si_syscall`, sigaction(2)): behind three
/// numbers and a pointer.
#[repr(C)]
struct SigsysInfo {
    signo: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    call_addr: *const libc::c_void,
    syscall: libc::c_int,
}

/// Says which call it was and ends. Only calls that are safe in a handler; none of them if they are not allowed
/// either, for then this runs once more and so on until the kernel ends the process for want of stack.
extern "C" fn trapped(_: libc::c_int, info: *const SigsysInfo, _: *const libc::c_void) {
    // SAFETY: the kernel gives a whole siginfo_t to a handler that was set with SA_SIGINFO.
    let number = unsafe { (*info).syscall };
    let [a, b, c, d] = number.to_le_bytes();
    let word = [FRONT.load(Ordering::Relaxed), a, b, c, d];
    // SAFETY: write(2) and exit_group(2) may be made in a handler; the octets live on this stack. Where the
    // descriptor is not open, or nobody reads it, nothing is said.
    unsafe {
        libc::write(BIRTH_FD, word.as_ptr().cast(), word.len());
        libc::syscall(libc::SYS_exit_group, TRAPPED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_layout_is_what_we_think() {
        // SAFETY: all zeroes is a siginfo_t.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let ours = (&raw mut info).cast::<SigsysInfo>();
        assert!(size_of::<SigsysInfo>() <= size_of::<libc::siginfo_t>());
        // SAFETY: a SigsysInfo is smaller than the siginfo_t that it points to, and not aligned more strictly.
        unsafe {
            (*ours).signo = libc::SIGSYS;
            (*ours).call_addr = std::ptr::dangling();
        }
        assert_eq!(info.si_signo, libc::SIGSYS);
        // SAFETY: si_addr is where call_addr is: the first pointer.
        assert_eq!(unsafe { info.si_addr() }, std::ptr::dangling_mut());
    }

    /// What a child of ours meets that has closed itself: the number of the error, or 0.
    fn in_a_child(close: fn() -> io::Result<()>, number: libc::c_long) -> i32 {
        // SAFETY: the child makes system calls and ends; what it allocates for a filter is its own, and no other thread of
        // this test holds the allocator's lock for ever.
        match unsafe { libc::fork() } {
            0 => {
                let closed = crate::sandbox::no_new_privileges().and_then(|()| close());
                // SAFETY: the calls that are tried take numbers, or pointers that are null.
                let result = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
                let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
                let said = if result < 0 { error } else { 0 };
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(if closed.is_ok() { said } else { 255 }) }
            }
            child => {
                let mut status = 0;
                // SAFETY: the status is a place for a number.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                libc::WEXITSTATUS(status)
            }
        }
    }

    #[test]
    fn what_is_refused_is_refused_by_all_of_its_numbers() {
        let (mut become_root, mut start) = (vec![libc::SYS_setresuid], vec![libc::SYS_execve]);
        if cfg!(target_arch = "x86_64") {
            become_root.push(libc::SYS_setresuid | 0x4000_0000);
            start.extend([libc::SYS_execve | 0x4000_0000, 0x208 | 0x4000_0000]);
        }
        for number in become_root {
            assert_eq!(in_a_child(refuse_root, number), libc::EPERM, "{number:#x}");
        }
        for number in start {
            assert_eq!(
                in_a_child(start_nothing, number),
                libc::EPERM,
                "{number:#x}"
            );
        }
        assert_eq!(in_a_child(start_nothing, libc::SYS_clone3), libc::ENOSYS);
        assert_eq!(in_a_child(start_nothing, libc::SYS_getppid), 0);
    }

    #[test]
    fn calls_have_their_names() {
        assert_eq!(
            name_of(u32::try_from(libc::SYS_execve).unwrap()),
            Some("execve")
        );
        assert_eq!(name_of(u32::MAX), None);
    }

    #[test]
    fn a_use_without_conditions_wins_over_those_with() {
        let any = Call {
            number: libc::SYS_read,
            arguments: &[],
        };
        let zero = Call {
            number: libc::SYS_read,
            arguments: &[Argument::Is(0, 0)],
        };
        let program = |calls: Vec<Call>| Filter::new(calls).unwrap().0;
        assert_eq!(program(vec![zero, any]), program(vec![any]));
        assert_ne!(program(vec![zero]), program(vec![any]));
    }
}
