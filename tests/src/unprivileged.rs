//! The program as a user who may not do everything: as it is where the tests run as such a user, as nobody where they
//! run as root.

use crate::binary;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user who owns nothing, by Debian's and everybody's custom.
const NOBODY: &str = "65534";

/// Who a service is that root's tests start: neither root nor nobody, so that nobody is a stranger to it. No system gives
/// ids there out.
pub const SERVICE_ID: u32 = 61_020;

/// The program for such a user.
pub struct Unprivileged {
    program: PathBuf,
    root: bool,
}

impl Unprivileged {
    /// Puts the program into a folder where everybody may run it. Why not, where this machine has no way.
    pub fn new(folder: &Path) -> Result<Self, String> {
        let root = fs::metadata("/proc/self")
            .map_err(|error| error.to_string())?
            .uid()
            == 0;
        if !root {
            return Ok(Self {
                program: binary(),
                root,
            });
        }
        let quiet = Command::new("setpriv")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !quiet.is_ok_and(|status| status.success()) {
            return Err("root without setpriv(1)".into());
        }
        let program = folder.join("ringmail");
        fs::copy(binary(), &program).map_err(|error| error.to_string())?;
        for path in [folder, &program] {
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(path, open).map_err(|error| error.to_string())?;
        }
        Ok(Self { program, root })
    }

    /// A command that runs it.
    pub fn command(&self) -> Command {
        if !self.root {
            return Command::new(&self.program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]);
        command.arg(&self.program);
        command
    }
}

/// A command that starts the program as a service without root, as one that root starts would be with users of its
/// own, which a machine that runs tests does not have. Where the tests run as root it is a user of its own, and these
/// folders become that user's.
pub fn service(folders: &[&Path]) -> Command {
    service_of(&binary(), folders)
}

/// The same of a program that lies elsewhere.
pub fn service_of(path: &Path, folders: &[&Path]) -> Command {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        return Command::new(path);
    }
    for folder in folders {
        give(folder, SERVICE_ID);
    }
    // By its descriptor: that user may not be able to reach where it lies.
    let mut command = Command::new("/proc/self/fd/0");
    let file = fs::File::open(path).expect("the program can be read");
    command
        .stdin(file)
        .arg0(path)
        .uid(SERVICE_ID)
        .gid(SERVICE_ID);
    command
}

/// Gives a folder, and all in it, to a user.
fn give(folder: &Path, user: u32) {
    std::os::unix::fs::lchown(folder, Some(user), Some(user)).expect("root may");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            give(&path, user);
        } else {
            // What was removed meanwhile needs no owner.
            let _ = std::os::unix::fs::lchown(&path, Some(user), Some(user));
        }
    }
}
