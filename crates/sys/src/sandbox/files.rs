//! Landlock: which folders may be reached, and which TCP ports connected to. What is not named is refused with
//! EACCES. It also keeps a process from signalling others and from abstract Unix sockets, where the kernel can.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
};
use std::io;
use std::path::Path;

/// The newest rules that are asked for; a kernel that knows fewer enforces those that it knows.
const NEWEST: ABI = ABI::V7;

/// `linux/landlock.h`; libc has no name for it.
const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;

/// Which version of Landlock this kernel has; 0 where it has none or it is switched off.
pub fn version() -> u32 {
    // SAFETY: with this flag and nothing else the call gives its version and touches no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Confines this thread, and those it starts, to keeping files in these folders and connecting to these TCP ports.
/// A folder that is not there is an error.
pub fn confine<'a>(folders: impl IntoIterator<Item = &'a Path>, ports: &[u16]) -> io::Result<()> {
    let all = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?;
        for path in folders {
            rules = rules.add_rule(PathBeneath::new(PathFd::new(path)?, keep()))?;
        }
        for port in ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
        rules.restrict_self()?;
        Ok(())
    };
    all().map_err(io::Error::other)
}

/// What is done in a folder of ours, and nothing else: no devices, sockets, pipes or symbolic links are made, and
/// nothing is executed.
fn keep() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::Refer
}
