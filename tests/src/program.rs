//! The program, started as an administrator would, and ended by the pid that we started.

use crate::rooted;
use crate::unprivileged::service;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

/// How long a start may take on a loaded machine.
const START_WAIT: Duration = Duration::from_secs(30);

/// Who starts the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A plain user.
    User,
    /// Root.
    Root,
    /// Root, in a container without extra rights.
    Container,
}

impl By {
    /// As `RINGMAIL_TESTS_BY` says, so that one suite is run by all of them: `user`, `root` or `container`.
    fn of_this_run() -> Self {
        match std::env::var("RINGMAIL_TESTS_BY").as_deref() {
            Err(_) | Ok("user") => By::User,
            Ok("root") => By::Root,
            Ok("container") => By::Container,
            Ok(other) => panic!("RINGMAIL_TESTS_BY is {other:?}: user, root or container"),
        }
    }
}

/// What does to a program what a container engine does.
fn contained() -> PathBuf {
    binary().with_file_name("examples").join("contained")
}

/// A running Ringmail with a folder of its own.
pub struct Program {
    folder: tempfile::TempDir,
    child: Option<Child>,
    by: By,
    /// Whether it logs into a pipe, as it does where a service manager or a container engine keeps the log.
    piped: bool,
}

/// Whether the program was compared with its sources; once a process is enough.
static CURRENT: Once = Once::new();

/// The program: the binary beside the test's own; `cargo xtask test` builds it before the tests.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a file");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    let binary = folder.join("ringmail");
    assert!(
        binary.exists(),
        "{} is missing: cargo build --workspace first",
        binary.display()
    );
    CURRENT.call_once(|| is_of_these_sources(&binary));
    binary
}

/// A test run by hand must not judge a program of yesterday: cargo lists beside it what it was made of.
fn is_of_these_sources(binary: &Path) {
    let Ok(list) = fs::read_to_string(binary.with_extension("d")) else {
        return;
    };
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let built = changed(binary);
    // "binary: source source …", each blank inside a path behind a backslash.
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    for source in sources.replace("\\ ", "\0").split_whitespace() {
        let source = source.replace('\0', " ");
        assert!(
            changed(Path::new(&source)) <= built,
            "{source} is newer than the program: cargo build --workspace first"
        );
    }
}

impl Program {
    /// Writes a configuration with `{dir}` replaced by the program's own folder, and starts it.
    pub fn start(configuration: &str) -> Self {
        Self::start_by(configuration, By::of_this_run(), false, |_| {})
    }

    /// The same, with files that its folder has before.
    pub fn start_with(configuration: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_by(configuration, By::of_this_run(), false, prepare)
    }

    /// The same by root, with users for its processes that only it sees: see [`crate::rooted`].
    pub fn start_by_root(configuration: &str) -> Self {
        Self::start_by(configuration, By::Root, false, |_| {})
    }

    /// Both.
    pub fn start_by_root_with(configuration: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_by(configuration, By::Root, false, prepare)
    }

    /// Both, and what it logs goes through a pipe: where that is a plain file, file sizes are not bounded.
    pub fn start_by_root_into_a_pipe(configuration: &str, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_by(configuration, By::Root, true, prepare)
    }

    fn start_by(configuration: &str, by: By, piped: bool, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut program = Self {
            folder,
            child: None,
            by,
            piped,
        };
        let text = configuration.replace("{dir}", &program.folder().display().to_string());
        fs::write(program.config(), text).expect("a writable scratch folder");
        prepare(program.folder());
        program.run();
        program
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder().join("ringmail.toml")
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Starts it and waits until it says that it is ready.
    pub fn run(&mut self) {
        let mut log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("log"))
            .expect("a log");
        let mut command = match self.by {
            By::User => service(&[self.folder()]),
            By::Root => rooted::command(self.folder(), None),
            By::Container => rooted::command(self.folder(), Some(&contained())),
        };
        command.arg("--config").arg(self.config()).arg("run");
        let written = log.try_clone().expect("a descriptor");
        command.stderr(if self.piped {
            Stdio::piped()
        } else {
            written.into()
        });
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        if let Some(mut said) = child.stderr.take() {
            // Until nobody has the other end any more.
            std::thread::spawn(move || std::io::copy(&mut said, &mut log));
        }
        let out = child.stdout.take().expect("piped");
        self.child = Some(child);
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // The test may have gone on without listening.
                let _ = said.send(line);
            }
        });
        let ready = heard.recv_timeout(START_WAIT);
        assert!(ready.as_deref() == Ok("ready"), "not ready: {}", self.log());
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// Runs a command of it.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = match self.by {
            By::User => Command::new(binary()),
            By::Root | By::Container => rooted::command(self.folder(), None),
        };
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .output()
            .expect("the program runs")
    }

    /// Messages in its queue; `None` while nobody answers.
    pub fn queued(&self) -> Option<usize> {
        let output = self.command(&["queue", "list", "--json"]);
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).lines().count())
    }

    /// The pids of its roles, by name; launch among them where there is one.
    pub fn roles(&self) -> Vec<(String, u32)> {
        let mut roles = children_of(self.pid());
        if let Some((_, launch)) = roles.iter().find(|(name, _)| name == "launch") {
            roles.extend(children_of(*launch));
        }
        roles
    }

    /// Ends it at once, as a power cut would end it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it in order; whether it said that all was well.
    pub fn stop(&mut self) -> bool {
        let Some(mut child) = self.child.take() else {
            return false;
        };
        let told = Command::new("kill")
            .arg("-TERM")
            .arg(child.id().to_string())
            .status();
        told.is_ok_and(|status| status.success())
            && child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the program's log:\n{}", self.log());
        }
        self.kill();
    }
}

/// The last word of the command line of each child of a process, and its pid.
pub fn children_of(pid: u32) -> Vec<(String, u32)> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").expect("procfs").flatten() {
        let Some(child) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if parent == Some(pid) {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let last = line.trim_end_matches('\0').rsplit('\0').next();
            children.push((last.unwrap_or_default().to_owned(), child));
        }
    }
    children
}

/// All files below a folder.
pub fn find_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(find_files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Waits until something is so; panics when it is not in time.
pub fn wait_until(what: &str, longest: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < longest, "{what}: not within {longest:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
