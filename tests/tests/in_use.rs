//! One spool, two programs: the second is told at once who has it and leaves nothing behind; what is only about to end
//! is waited for, and that is said.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::{Program, binary, free_port, service, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn configuration(port: u16, spool: &Path, runtime: &Path) -> String {
    let (spool, runtime) = (spool.display(), runtime.display());
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{spool}\"\nruntime = \"{runtime}\"\n[listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"a.test\"]\nusers = [\"postmaster\"]\ndeliver = \"maildir:{runtime}/mail/{{user}}\"\n"
    )
}

fn start(config: &Path, log: &Path) -> Child {
    let mut command = service(&[config.parent().expect("a folder")]);
    command.arg("--config").arg(config).arg("run");
    let log = File::create(log).expect("writable");
    let started = command.stdout(Stdio::piped()).stderr(log).spawn();
    started.expect("the program starts")
}

/// Its exit code; it has to end by itself.
fn end(child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("ours") {
            return status.code();
        }
        if began.elapsed() > SOON {
            child.kill().expect("ours");
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_second_run_on_a_spool_ends_at_once_and_check_says_why() {
    let (port, other) = (free_port(), free_port());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let spool = folder.path().join("spool");
    let run = |name: &str| folder.path().join(name);
    // As it is for a service: its own.
    drop(service(&[folder.path()]));
    let mut first = Program::start(&configuration(port, &spool, &run("run1")));
    let config = folder.path().join("second.toml");
    fs::write(&config, configuration(other, &spool, &run("run2"))).expect("writable");
    fs::create_dir_all(run("run2").join("mail")).expect("writable");
    let log = folder.path().join("log2");

    let mut second = start(&config, &log);
    assert_eq!(end(&mut second), Some(1));
    let said = fs::read_to_string(&log).expect("written");
    let why = format!(
        "spool {} is in use by another Ringmail (pid {})",
        spool.display(),
        first.pid()
    );
    assert_eq!(
        said,
        format!("ringmail: {why}: stop it, or name another folder\n")
    );
    assert!(!run("run2").join("control").exists());
    let check = |config: &Path| {
        let mut command = Command::new(binary());
        let output = command.arg("--config").arg(config).arg("check").output();
        let output = output.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = check(&config);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("error: {why}\n")), "{said}");
    // Of the one that runs with its own file that is no news.
    fs::create_dir_all(run("run1").join("mail")).expect("writable");
    let (code, said) = check(&first.config());
    assert_eq!(code, Some(0), "{said}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    // A supervisor that is gone, however it went, has nothing.
    first.kill();
    let mut second = start(&config, &log);
    wait_until("it listens", SOON, || {
        TcpStream::connect(("127.0.0.1", other)).is_ok()
    });
    let pid = second.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.expect("kill(1)").success());
    assert_eq!(end(&mut second), Some(0));
}

#[test]
fn a_spool_that_something_else_has_is_waited_for_and_then_given_up() {
    let port = free_port();
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (spool, log) = (folder.path().join("spool"), folder.path().join("log"));
    let config = folder.path().join("ringmail.toml");
    let text = configuration(port, &spool, &folder.path().join("run"));
    fs::write(&config, text).expect("writable");
    fs::create_dir(&spool).expect("writable");
    let held = File::open(&spool).expect("a folder");
    held.lock().expect("free");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let awaited = format!(
        "event=spool.awaited level=warn role=queue spool={}",
        spool.display()
    );

    let mut program = start(&config, &log);
    wait_until("it says that it waits", SOON, || said().contains(&awaited));
    assert_eq!(end(&mut program), Some(1));
    let why = format!(
        "ringmail: spool {} is in use by another Ringmail",
        spool.display()
    );
    assert!(said().contains(&why), "{}", said());
    assert_eq!(said().matches("spool.awaited").count(), 1);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());

    let mut program = start(&config, &log);
    wait_until("it says that it waits", SOON, || said().contains(&awaited));
    held.unlock().expect("ours");
    let mut ready = [0; 6];
    let out = program.stdout.as_mut().expect("piped");
    out.read_exact(&mut ready).expect("it starts");
    assert_eq!(&ready, b"ready\n");
    let told = Command::new("kill")
        .args(["-TERM", &program.id().to_string()])
        .status();
    assert!(told.expect("kill(1)").success());
    assert_eq!(end(&mut program), Some(0));
}
