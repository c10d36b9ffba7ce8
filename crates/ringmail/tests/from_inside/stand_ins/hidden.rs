//! Each process hides its memory and makes its files for itself alone, by its own doing: this test, from which all would
//! inherit it, has let everybody look and dump before it starts them.

use super::launch::Launched;
use super::supervisor::Service;
use super::{Besieged, run, words};
use crate::role::Place;
use ringmail::ipc::spawn::Role;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

pub fn look() -> Vec<String> {
    let before = umask(Mode::from_raw_mode(0o022));
    let core = getrlimit(Resource::Core);
    let dumps = Rlimit {
        current: core.maximum,
        maximum: core.maximum,
    };
    // One that was bounded before stays: then that limit shows nothing.
    let _ = setrlimit(Resource::Core, dumps);
    let mut wrong = roles();
    wrong.extend(launch());
    wrong.extend(supervisor());
    umask(before);
    wrong
}

fn roles() -> Vec<String> {
    run(async |place: &Place| {
        // So that what is looked at shows something at all.
        let open = look_at(place.victim());
        if open.len() < 2 {
            return Err(format!("a process that hides nothing: {open:?}"));
        }
        for role in Role::ALL {
            let it = Besieged::start(place, role).map_err(words)?;
            it.serves().await?;
            right(role.name(), it.child.id())?;
        }
        Ok(())
    })
}

fn launch() -> Option<String> {
    if !sys::identity::is_root() {
        return None;
    }
    let looked = Launched::standing().and_then(|launch| right("launch", launch.pid()));
    looked.err()
}

/// As a plain user starts it. Root's is hidden by the kernel already, for it has become somebody else.
fn supervisor() -> Option<String> {
    let looked = || {
        let place = Place::new();
        let mut service = Service::prepared(&place)?;
        service.begins()?;
        right("supervisor", service.pid())
    };
    looked().err()
}

fn right(name: &str, pid: u32) -> Result<(), String> {
    let wrong = look_at(pid);
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}: {}", wrong.join(", ")))
    }
}

/// What is not hidden of a process.
fn look_at(pid: u32) -> Vec<String> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        let words = found.unwrap_or_default().split_whitespace();
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    let mask = line(&read("status"), "Umask:");
    if mask != ["0077"] {
        wrong.push(format!("its umask is {mask:?}"));
    }
    let core = line(&read("limits"), "Max core file size");
    if core.get(..2) != Some(&["0".to_owned(), "0".to_owned()]) {
        wrong.push(format!("its cores may have {core:?}"));
    }
    let user = line(&read("status"), "Uid:");
    let user = user.first().and_then(|id| id.parse::<u32>().ok());
    // proc(5): the files of a process that may not be dumped are root's.
    let environ = format!("/proc/{pid}/environ");
    let owner = fs::metadata(&environ).map(|found| found.uid()).ok();
    if owner != Some(0) {
        wrong.push(format!("its memory is that of {owner:?}"));
    }
    if let Some(id) = user.filter(|_| sys::identity::is_root()) {
        let mut same = Command::new("head");
        same.args(["-c", "1", &environ]).uid(id).gid(id);
        let looked = same.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !looked.is_ok_and(|status| !status.success()) {
            wrong.push("its own user looks into it".into());
        }
    }
    wrong
}
