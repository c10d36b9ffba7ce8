//! Who has the spool: a supervisor locks a file in it as long as it lives, and writes its pid there. The queue's own
//! lock says less: a queue whose supervisor was killed may have it for a moment.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The file's name in the spool's folder.
const NAME: &str = "supervisor";
/// How long a child that a killed supervisor was just starting may still have its descriptor.
const START_WAIT: Duration = Duration::from_millis(500);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// The digits of a pid.
const PID_OCTETS: u64 = 10;

/// The spool is this process's, until this is dropped or the process ends, however it ends.
pub struct Hold {
    _file: File,
}

/// Takes the spool for a supervisor, or says who has it.
pub fn hold(spool: &Path) -> io::Result<Hold> {
    let told = |error: io::Error| {
        io::Error::new(error.kind(), format!("spool {}: {error}", spool.display()))
    };
    super::folders::make(spool).map_err(told)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    let mut file = open(&mut options, spool).map_err(told)?;
    let began = Instant::now();
    while !sys::file::try_lock(&file).map_err(told)? {
        if began.elapsed() > START_WAIT {
            return Err(io::Error::other(in_use(spool, pid(&mut file))));
        }
        std::thread::sleep(LOOK);
    }
    // Who looks at it between these two reads no pid, and says so.
    file.set_len(0).map_err(told)?;
    write!(file, "{}", std::process::id()).map_err(told)?;
    Ok(Hold { _file: file })
}

/// The supervisor that has the spool, where one has it and we may look; its pid, where it can be read.
pub fn holder(spool: &Path) -> Option<Option<u32>> {
    let mut file = open(OpenOptions::new().read(true), spool).ok()?;
    match sys::file::try_lock(&file) {
        Ok(false) => Some(pid(&mut file)),
        _ => None,
    }
}

/// That the spool is in use, and by whom.
pub fn in_use(spool: &Path, pid: Option<u32>) -> String {
    let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let spool = spool.display();
    format!("spool {spool} is in use by another Ringmail{pid}: stop it, or name another folder")
}

fn open(options: &mut OpenOptions, spool: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    options.custom_flags(flags).open(spool.join(NAME))
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_OCTETS).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
