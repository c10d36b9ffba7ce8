//! What a container engine does to a program that it gives no extra rights: for tests of how we fare in one.

use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::io;

/// What Docker's default profile refuses to whoever has not `CAP_SYS_ADMIN` and the like, as far as it is ours.
const REFUSED: [libc::c_long; 28] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_settime,
    libc::SYS_fanotify_init,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Keeps these capabilities at most, refuses those calls with EPERM, and clone where it would make a namespace.
pub fn contain(kept: CapabilitySet) -> io::Result<()> {
    super::drop_bounding_set_but(kept)?;
    let now = rustix::thread::capabilities(None)?;
    let sets = CapabilitySets {
        effective: now.effective & kept,
        permitted: now.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets)?;
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> = REFUSED
        .into_iter()
        .map(|number| (number, Vec::new()))
        .collect();
    let user = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(NEW_USER),
        NEW_USER,
    );
    let user = user.and_then(|user| SeccompRule::new(vec![user]));
    rules.insert(libc::SYS_clone, vec![user.map_err(io::Error::other)?]);
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// `CLONE_NEWUSER`.
const NEW_USER: u64 = 0x1000_0000;
