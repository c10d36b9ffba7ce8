//! Runs a program as a container engine would that gives no extra rights: Docker's default capabilities, and a filter that
//! refuses with EPERM what its default profile refuses to whoever has not `CAP_SYS_ADMIN`. For tests.

use rustix::thread::CapabilitySet;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("contained PROGRAM [ARGUMENTS]");
        return ExitCode::from(2);
    };
    let kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FSETID
        | CapabilitySet::FOWNER
        | CapabilitySet::MKNOD
        | CapabilitySet::NET_RAW
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID
        | CapabilitySet::SETFCAP
        | CapabilitySet::SETPCAP
        | CapabilitySet::NET_BIND_SERVICE
        | CapabilitySet::SYS_CHROOT
        | CapabilitySet::KILL
        | CapabilitySet::AUDIT_WRITE;
    if let Err(error) = sys::sandbox::contain(kept) {
        eprintln!("contained: {error}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("contained: {}: {error}", program.display());
    ExitCode::FAILURE
}
