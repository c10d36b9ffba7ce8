//! The supervisor and launch are real, the roles do nothing but live. launch is stopped: the service ends, for nobody could
//! start what dies any more, and nobody would hear of it.

use super::launch::{IDLE, users};
use super::supervisor::{arguments, children_of, serve};
use super::words;
use crate::role::Place;
use ringmail::drive::holder;
use ringmail::ipc::spawn::Role;
use ringmail::role::supervisor::{Launch, Nursery, root};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The name by which this program is that supervisor.
pub const WATCHED: &str = "watched";
/// How often launch is asked whether it is awake.
/// All roles are there before the first round: they never begin to serve, and would be ended in the third.
const WATCH_ROUND: Duration = Duration::from_secs(1);
/// How long each step may take.
const SOON: Duration = Duration::from_secs(20);

pub fn look() -> Vec<String> {
    if !sys::identity::is_root() {
        println!("left out: it takes root");
        return Vec::new();
    }
    siege().err().into_iter().collect()
}

fn siege() -> Result<(), String> {
    let place = Place::new();
    let folder = place.folder();
    fs::write(folder.join(IDLE), b"").map_err(words)?;
    let said = File::create(folder.join("said")).map_err(words)?;
    let mut service = Command::new("/proc/self/exe")
        .args(["role", WATCHED])
        .current_dir(folder)
        .stderr(said)
        .spawn()
        .map_err(words)?;
    let launch = until("launch is there, and has started all", || {
        let children = children_of(service.id()).into_iter();
        let mut all = children.filter(|pid| {
            arguments(*pid).is_some_and(|words| words.last().is_some_and(|word| word == "launch"))
        });
        all.find(|launch| {
            let roles = children_of(*launch).into_iter().filter_map(arguments);
            let roles = roles.filter(|words| words.get(1).is_some_and(|word| word == "role"));
            roles.count() == Role::ALL.len()
        })
    });
    let went = launch.and_then(|launch| {
        let pid = i32::try_from(launch).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("no pid")?;
        kill_process(pid, Signal::STOP).map_err(words)?;
        let ended = until("the service ends", || service.try_wait().ok().flatten());
        // It has not heard that yet.
        kill_process(pid, Signal::KILL).map_err(words)?;
        ended
    });
    sys::process::kill(&mut service);
    let _ = service.wait();
    let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
    match went {
        Ok(status) if !status.success() && said.contains("launch does not say") => Ok(()),
        other => Err(format!("{other:?}: {said}")),
    }
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> Result<T, String> {
    let began = Instant::now();
    while began.elapsed() < SOON {
        if let Some(found) = found() {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(format!("{what}: not in time"))
}

/// Is that supervisor, in the folder that it runs in.
pub fn be() -> ExitCode {
    match supervise() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the supervisor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn supervise() -> io::Result<()> {
    let dir = std::env::current_dir()?.display().to_string();
    let configuration =
        format!("hostname = \"mx.a.test\"\nspool = \"{dir}/spool\"\nruntime = \"{dir}/run\"\n");
    let path = format!("{dir}/ringmail.toml");
    serve(&path, configuration, WATCH_ROUND, |config| {
        Ok(root::Ready {
            hold: holder::hold(&config.spool)?,
            listeners: Vec::new(),
            secrets: Vec::new(),
            nursery: Nursery::Launch(Launch::start_as_root(&users(|_| ()))?),
            from_root: None,
        })
    })
}
