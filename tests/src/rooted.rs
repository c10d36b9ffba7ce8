//! The program as root starts it, with users of its own for each process, which this machine does not have: the list of
//! users that it sees is one that stands in its folder, in a mount namespace.

use crate::binary;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The first of the users' ids; the others follow, in the order of [`USERS`]. No system gives ids there out.
pub const FIRST_ID: u32 = 61_000;
/// The users, in the order of their ids.
pub const USERS: [&str; 11] = [
    "ringmail",
    "ringmail-launch",
    "ringmail-queue",
    "ringmail-policy",
    "ringmail-keys",
    "ringmail-auth",
    "ringmail-local",
    "ringmail-relay",
    "ringmail-admin",
    "ringmail-smtpd",
    "ringmail-submission",
];

/// The file in the program's folder that has the first id of its users, where they are to be nobody else's: the kernel counts
/// processes by user, and other tests run beside.
pub const IDS: &str = "ids";

/// The file in the program's folder that has lines of more users, as `passwd(5)` has them.
pub const PEOPLE: &str = "people";

/// The id of the user of a role, or of launch; of any other name that of the supervisor.
pub fn id_of(role: &str) -> u32 {
    let is_it = |user: &&str| user.strip_prefix("ringmail-") == Some(role);
    let at = USERS.iter().position(is_it).unwrap_or(0);
    FIRST_ID + u32::try_from(at).expect("few users")
}

/// What is missing for it on this machine, if anything.
pub fn lacks() -> Option<&'static str> {
    static LACKS: OnceLock<Option<&'static str>> = OnceLock::new();
    *LACKS.get_or_init(|| {
        let tried = Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("test $(id -u) = 0 && mount --bind /etc/passwd /etc/passwd")
            .stderr(Stdio::null())
            .status();
        let works = tried.is_ok_and(|status| status.success());
        (!works).then_some("it takes root and a mount namespace")
    })
}

/// A command that runs the program as root, with those users, in the wrapper where there is one. The folder can be passed by everybody.
pub fn command(folder: &Path, wrapper: Option<&Path>) -> Command {
    let passwd = folder.join("passwd");
    let line = |(user, id)| format!("{user}:x:{id}:{id}:Ringmail:/:/usr/sbin/nologin\n");
    let first = fs::read_to_string(folder.join(IDS)).ok();
    let first = first.and_then(|first| first.trim().parse().ok());
    let ours: String = USERS
        .iter()
        .zip(first.unwrap_or(FIRST_ID)..)
        .map(line)
        .collect();
    // Lines that the test wants beside them.
    let people = fs::read_to_string(folder.join(PEOPLE)).unwrap_or_default();
    let text = format!("root:x:0:0:root:/root:/bin/sh\n{ours}{people}");
    fs::write(&passwd, text).expect("a writable scratch folder");
    command_with(folder, &passwd, wrapper.into_iter().map(Path::as_os_str))
}

/// The same, with words before the program: of setpriv(1) and its options.
pub fn command_of(folder: &Path, program: &[&str], options: &[&str]) -> Command {
    let passwd = folder.join("passwd");
    drop(command(folder, None));
    let words = program.iter().chain(options).map(OsStr::new);
    command_with(folder, &passwd, words)
}

fn command_with<'a>(
    folder: &Path,
    passwd: &Path,
    words: impl Iterator<Item = &'a OsStr>,
) -> Command {
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).expect("our own folder");
    let script = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]);
    command.arg(passwd).args(words).arg(binary());
    command
}
