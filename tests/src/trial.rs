//! `ringmail try`, started as somebody would in a terminal: in a process group of its own, with all that it prints.

use crate::program::{binary, wait_until};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a start or an end may take on a loaded machine.
const WAIT: Duration = Duration::from_secs(30);
/// The last line of what is printed when all is ready.
const LAST: &str = "Ctrl-C ends it; what is queued stays.";

/// One that runs.
pub struct Trial {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    hearing: Option<JoinHandle<()>>,
    folder: PathBuf,
}

impl Trial {
    /// Starts it in a folder and waits until it says that all is ready.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &mut Command::new(binary()))
    }

    /// The same with a command that is prepared: for its environment.
    pub fn start_with(folder: &Path, command: &mut Command) -> Self {
        let trial = Self::spawn(folder, command);
        wait_until("try is ready", WAIT, || {
            trial.lines().iter().any(|line| line == LAST)
        });
        trial
    }

    fn spawn(folder: &Path, command: &mut Command) -> Self {
        let command = command.arg("try").arg(folder);
        let mut child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("piped");
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let hearing = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                heard.lock().expect("nobody panics with it").push(line);
            }
        });
        Self {
            child,
            said,
            hearing: Some(hearing),
            folder: folder.canonicalize().unwrap_or_else(|_| folder.into()),
        }
    }

    /// What it printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// The lines that it prints for pasting.
    pub fn pastes(&self) -> Vec<String> {
        let lines = self.lines().into_iter();
        lines
            .filter_map(|line| Some(line.strip_prefix("  ")?.to_owned()))
            .collect()
    }

    /// Waits for a line that holds these words; gives it.
    pub fn wait_for(&self, words: &str) -> String {
        wait_until(words, WAIT, || {
            self.lines().iter().any(|line| line.contains(words))
        });
        let mut lines = self.lines().into_iter();
        lines.find(|line| line.contains(words)).unwrap_or_default()
    }

    /// Where SMTP listens.
    pub fn port(&self) -> u16 {
        self.port_of("SMTP on 127.0.0.1:")
    }

    /// Where submission listens.
    pub fn submission_port(&self) -> u16 {
        self.port_of("submission on 127.0.0.1:")
    }

    fn port_of(&self, words: &str) -> u16 {
        let lines = self.lines();
        let found = lines
            .iter()
            .find_map(|line| Some(line.split_once(words)?.1));
        let digits = found.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        digits
            .and_then(|digits| digits.parse().ok())
            .expect("a port is said")
    }

    /// A mailbox's folder of new mail.
    pub fn mailbox(&self, domain: &str, user: &str) -> PathBuf {
        self.folder.join("mail").join(domain).join(user).join("new")
    }

    /// A command of it.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let config = self.folder.join("ringmail.toml");
        let mut command = Command::new(binary());
        command
            .arg("--config")
            .arg(config)
            .args(arguments)
            .output()
            .expect("the program runs")
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses Ctrl-C: SIGINT to the whole group. Gives how the program ended.
    pub fn ctrl_c(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("-INT");
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(began.elapsed() < WAIT, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        // Nobody of the group may be left.
        let group = format!("-{}", self.child.id());
        wait_until("the whole group ends", WAIT, || {
            let kill = Command::new("kill")
                .args(["-0", "--", &group])
                .stderr(Stdio::null())
                .status();
            kill.is_ok_and(|status| !status.success())
        });
        // Nobody is left who could print more: what was printed is heard to its end.
        let heard = self.hearing.take().map(JoinHandle::join);
        assert!(
            heard.is_some_and(|heard| heard.is_ok()),
            "the lines are read"
        );
        (status, self.lines())
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        let told = Command::new("kill")
            .args([signal, "--", &group])
            .stderr(Stdio::null())
            .status();
        assert!(told.is_ok(), "kill(1) is needed");
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal("-KILL");
            let _ = self.child.wait();
        }
    }
}
