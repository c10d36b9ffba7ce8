//! A machine that is short of processes for a while: what died comes again later, sealed as it was, and the service goes
//! on meanwhile.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::rooted::{self, FIRST_ID, IDS, id_of};
use tests::{Client, Program, find_files, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// A process of somebody's, until it is dropped.
struct Sleeper(Child);

impl Sleeper {
    fn of(user: u32) -> Self {
        let mut command = as_user(user, "sleep");
        let command = command.arg("600").stdin(Stdio::null());
        Self(command.spawn().expect("setpriv is there"))
    }
}

/// A command of this user's.
fn as_user(user: u32, program: &str) -> Command {
    let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
    let mut command = Command::new("setpriv");
    command.args([&*uid, &*gid, "--clear-groups", program]);
    command
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn succeeds(command: &mut Command) {
    let status = command.status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?}");
}

fn pid_of(program: &Program, role: &str) -> Option<u32> {
    let found = program.roles().into_iter().find(|(name, _)| name == role);
    found.map(|(_, pid)| pid)
}

fn is_taken(port: u16) -> bool {
    let to = ["ann@a.test".to_owned()];
    let sent = Client::connect(port)
        .and_then(|mut client| client.send("joe@b.test", &to, b"Subject: x\r\n\r\n"));
    sent.is_ok_and(|answer| answer.starts_with("250 2.0.0"))
}

/// Descriptors of a process, by their numbers.
fn descriptors(pid: u32) -> Vec<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("root may look");
    let names = open.flatten().map(|fd| fd.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// The limit below which a process has room for so many more.
fn limit_for(pid: u32, room: usize) -> u64 {
    let open = descriptors(pid);
    let mut free = (0..).filter(|number| !open.contains(number));
    free.nth(room).expect("numbers have no end")
}

#[test]
fn a_role_that_is_there_and_cannot_be_joined_is_started_once_more() {
    let name = "a_role_that_is_there_and_cannot_be_joined_is_started_once_more";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let mut program = Program::start_by_root(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    ));
    let mail = program.folder().join("mail/ann/new");
    let supervisor = program.pid();
    let limit = |most: u64| {
        // Who is that user may limit it.
        let mut command = as_user(rooted::id_of("supervisor"), "prlimit");
        let most = format!("--nofile={most}:");
        succeeds(command.args(["--pid", &supervisor.to_string(), &most]));
    };
    let local = pid_of(&program, "local").expect("it runs");
    // With the one that its death sets free there are two: a birth takes two and gives one back, an arrow takes two.
    limit(limit_for(supervisor, 1));
    succeeds(Command::new("kill").args(["-KILL", &local.to_string()]));
    wait_until("it is said", SOON, || {
        program.log().contains("event=trouble.met") && program.log().contains("place=birth")
    });
    limit(1024);
    assert!(is_taken(port), "{}", program.log());
    wait_until("it is delivered", SOON, || find_files(&mail).len() == 1);
    assert!(program.stop());
}

/// The filters, and the namespace of mounts: the last wall, and the one that takes a process.
fn walls(pid: u32) -> Option<(String, std::path::PathBuf)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let filters = status
        .lines()
        .find(|line| line.starts_with("Seccomp_filters"))?;
    Some((
        filters.into(),
        fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()?,
    ))
}

#[test]
fn what_died_comes_again_sealed_as_it_was_when_there_are_processes_again() {
    let name = "what_died_comes_again_sealed_as_it_was_when_there_are_processes_again";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    // Ids that no other program has now: ports are given once.
    let first = 70_000 + u32::from(port) * 16;
    let id_of = |role| first + id_of(role) - FIRST_ID;
    let configuration = format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\nsandbox = \"required\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    );
    let mut program = Program::start_by_root_with(&configuration, |folder| {
        fs::write(folder.join(IDS), first.to_string()).expect("our own folder");
    });
    let mail = program.folder().join("mail/ann/new");
    let launch = pid_of(&program, "launch")
        .expect("root started it")
        .to_string();
    let ours = walls(program.pid()).expect("it lives").1;
    let is_sealed =
        |pid| walls(pid).is_some_and(|(filters, mounts)| filters.ends_with('2') && mounts != ours);
    // Who is that user may limit it, and its children with it.
    let few = |most: &str| {
        let mut command = as_user(id_of("launch"), "prlimit");
        succeeds(command.args(["--pid", &launch, &format!("--nproc={most}:")]));
    };
    // The first: launch may start it, but it may not start what tries its walls. The second: it cannot be started.
    let cases = [
        ("2", "stood before and cannot be had now"),
        (
            "1",
            "event=role.delayed level=error role=supervisor process=relay",
        ),
    ];
    for (count, (most, said)) in cases.into_iter().enumerate() {
        let relay = pid_of(&program, "relay").expect("it runs");
        assert!(is_sealed(relay));
        let sleeper = Sleeper::of(id_of("relay"));
        few(most);
        succeeds(Command::new("kill").args(["-KILL", &relay.to_string()]));
        wait_until("it is said", SOON, || program.log().contains(said));
        // All others serve.
        assert!(is_taken(port), "{}", program.log());
        wait_until("it is delivered", SOON, || {
            find_files(&mail).len() == count + 1
        });
        few("1000");
        drop(sleeper);
        wait_until("it is there again, sealed", SOON, || {
            pid_of(&program, "relay").is_some_and(is_sealed)
        });
    }
    assert!(program.stop());
}
