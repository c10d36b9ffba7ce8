//! A server from a Debian package in a root of its own: a private mount namespace shows it the unpacked package at
//! the paths it was built for, with users and files that only it sees, and a pid namespace ends with its first
//! process. Nothing on the machine changes, and nothing is left when the test ends, however it ends.

use crate::debian::Root;
use crate::wait_until;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a server may take to listen, on a loaded machine.
const START_WAIT: Duration = Duration::from_mins(1);
/// How long the kernel may take to end all processes of a namespace.
const END_WAIT: Duration = Duration::from_secs(20);
/// Longest line that a server may send to syslog.
const SYSLOG_LINE_OCTETS: usize = 64 << 10;

/// A user and a group of one name that exist inside only.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// Its name.
    pub name: &'static str,
    /// Number of user and group: one that nobody outside has.
    pub id: u32,
}

/// The user that mailboxes belong to.
pub const MAIL_USER: User = User {
    name: "vmail",
    id: 61_000,
};

/// Where mailboxes lie, as the server sees it.
pub const MAIL: &str = "/mail";

/// A root before its server runs.
pub struct Cell {
    folder: tempfile::TempDir,
    unpacked: Root,
    hostname: String,
}

/// A server that runs.
pub struct Running {
    cell: Cell,
    child: Child,
    lifeline: Option<ChildStdin>,
}

/// What a cell needs and this machine lacks, if anything.
pub fn lacks() -> Option<&'static str> {
    static LACKS: OnceLock<Option<&'static str>> = OnceLock::new();
    *LACKS.get_or_init(|| {
        let uid = Command::new("id").arg("-u").output();
        if !uid.is_ok_and(|output| output.stdout == b"0\n") {
            return Some("it takes root");
        }
        let tried = Command::new("unshare")
            .args(["--mount", "--pid", "--uts", "--fork", "--kill-child"])
            .args(["sh", "-c", "mount --bind /usr /mnt && chroot / true"])
            .stderr(Stdio::null())
            .status();
        (!tried.is_ok_and(|status| status.success())).then_some("it takes mount and pid namespaces")
    })
}

impl Cell {
    /// Makes the root: `/usr` of the packages, and a copy of their `/etc` and `/var` that the server may write to.
    pub fn new(unpacked: &Root, hostname: &str, users: &[User]) -> Self {
        Self::below(&std::env::temp_dir(), unpacked, hostname, users)
    }

    /// The same in a folder below this one, for when it matters which disk it lies on.
    pub fn below(above: &Path, unpacked: &Root, hostname: &str, users: &[User]) -> Self {
        let cell = Self {
            folder: tempfile::tempdir_in(above).expect("a scratch folder"),
            unpacked: unpacked.clone(),
            hostname: hostname.to_owned(),
        };
        for folder in [
            "dev", "etc", "mail", "proc", "root", "run", "tmp", "usr", "var",
        ] {
            fs::create_dir_all(cell.inside(folder)).expect("a writable scratch folder");
        }
        for (from, to) in crate::debian::LINKS {
            symlink(to, cell.inside(from)).expect("a writable scratch folder");
        }
        for folder in ["etc", "var"] {
            let copied = Command::new("cp")
                .arg("--archive")
                .arg(unpacked.path().join(folder))
                .arg(cell.inside(""))
                .status();
            assert!(copied.is_ok_and(|status| status.success()), "cp {folder}");
        }
        if !cell.inside("var/run").exists() {
            symlink("/run", cell.inside("var/run")).expect("a writable scratch folder");
        }
        cell.open_to_all("tmp");
        cell.open_to_all("var/tmp");
        fs::create_dir_all(cell.inside("var/spool")).expect("a writable scratch folder");
        cell.users(users);
        cell.write("etc/hosts", &format!("127.0.0.1 localhost {hostname}\n"));
        cell.write("etc/hostname", &format!("{hostname}\n"));
        cell.write("etc/mailname", &format!("{hostname}\n"));
        cell.write(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
        );
        cell.write("etc/resolv.conf", "nameserver 127.0.0.1\n");
        cell.owned_by("mail", MAIL_USER);
        cell
    }

    /// A path of the root, as this test sees it.
    pub fn inside(&self, path: &str) -> PathBuf {
        self.folder
            .path()
            .join("root")
            .join(path.trim_start_matches('/'))
    }

    /// Where mailboxes lie, as this test sees it.
    pub fn mail(&self) -> PathBuf {
        self.inside(MAIL)
    }

    /// Writes a file inside, and the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.inside(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("a writable scratch folder");
        }
        fs::write(path, text).expect("a writable scratch folder");
    }

    /// Makes a folder inside that belongs to a user.
    pub fn owned_by(&self, path: &str, user: User) {
        let path = self.inside(path);
        fs::create_dir_all(&path).expect("a writable scratch folder");
        chown(&path, Some(user.id), Some(user.id)).expect("root may give folders away");
    }

    /// Sets the mode of a path inside.
    pub fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.inside(path), fs::Permissions::from_mode(mode))
            .expect("the path is there");
    }

    /// Makes a folder inside that everybody may write to.
    pub fn open_to_all(&self, path: &str) {
        fs::create_dir_all(self.inside(path)).expect("a writable scratch folder");
        self.mode(path, 0o1777);
    }

    /// Runs a command inside and waits for its end, such as one that prepares a table.
    pub fn run(&self, command: &str) {
        let output = self
            .namespace(command)
            .stdin(Stdio::null())
            .output()
            .expect("unshare is there");
        assert!(
            output.status.success(),
            "{command}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Starts the server: a shell command that stays in the foreground. Returns when it listens on the port.
    pub fn start(self, command: &str, port: u16) -> Running {
        self.hear_syslog();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path());
        let log = log.expect("a log");
        // The test holds the other end of the input: when that ends, the server is killed. When the server ends, so
        // does the first process, and with it the kernel ends all others of the pid namespace, even those that put
        // themselves into the background.
        let lives = "exec 3<&0; (read -r end <&3; kill -9 -1) &";
        let mut child = self
            .namespace(&format!("{lives} {command}"))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("unshare is there");
        let lifeline = child.stdin.take();
        let mut running = Running {
            cell: self,
            child,
            lifeline,
        };
        let what = format!("{} listens", running.cell.hostname);
        wait_until(&what, START_WAIT, || {
            let ended = running.child.try_wait();
            assert!(matches!(ended, Ok(None)), "{what}: it ended instead");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        running
    }

    /// A command that runs inside, as root, with all the rest of the machine out of sight.
    fn namespace(&self, inner: &str) -> Command {
        let root = self.inside("").display().to_string();
        let packages = self.unpacked.path().join("usr").display().to_string();
        let script = format!(
            "set -e\n\
             hostname '{host}'\n\
             mount --bind '{packages}' '{root}/usr'\n\
             mount -o remount,bind,ro '{root}/usr'\n\
             mount -t proc proc '{root}/proc'\n\
             for device in full null random urandom zero; do\n\
             : > '{root}'/dev/$device; mount --bind /dev/$device '{root}'/dev/$device\n\
             done\n\
             ln -sfn /proc/self/fd '{root}/dev/fd'\n\
             ln -sfn /proc/self/fd/1 '{root}/dev/stdout'\n\
             ln -sfn /proc/self/fd/2 '{root}/dev/stderr'\n\
             exec chroot '{root}' /bin/sh -c '{inner}'\n",
            host = self.hostname,
            root = root.trim_end_matches('/'),
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--uts", "--fork", "--kill-child"])
            .args(["sh", "-c", &script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C");
        command
    }

    fn users(&self, users: &[User]) {
        let (mut passwd, mut group) = (
            "root:x:0:0:root:/root:/bin/sh\n".to_owned(),
            "root:x:0:\nmail:x:8:\n".to_owned(),
        );
        // Writing into a String does not fail.
        for User { name, id } in users.iter().chain([&MAIL_USER]) {
            let _ = writeln!(passwd, "{name}:x:{id}:{id}:{name}:{MAIL}:/bin/sh");
            let _ = writeln!(group, "{name}:x:{id}:");
        }
        passwd += "nobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n";
        group += "nogroup:x:65534:\n";
        self.write("etc/passwd", &passwd);
        self.write("etc/group", &group);
    }

    /// What the server tells syslog goes into its log.
    fn hear_syslog(&self) {
        let socket = UnixDatagram::bind(self.inside("dev/log")).expect("a writable scratch folder");
        self.mode("dev/log", 0o666);
        let path = self.log_path();
        std::thread::spawn(move || {
            let mut line = vec![0; SYSLOG_LINE_OCTETS];
            while let Ok(octets) = socket.recv(&mut line) {
                let Ok(mut log) = File::options().create(true).append(true).open(&path) else {
                    return;
                };
                // The folder may go away with the test.
                let _ = log.write_all(&[&line[..octets], b"\n"].concat());
            }
        });
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Running {
    /// Its root.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        let log = fs::read(self.cell.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!(
                "--- the log of {}:\n{}",
                self.cell.hostname,
                lines[last..].join("\n")
            );
        }
        drop(self.lifeline.take());
        let began = Instant::now();
        while began.elapsed() < END_WAIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // `unshare` takes its child along, and with it the namespace. It may have ended by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How much of a server's log is shown when a test fails.
const LOG_LINES_SHOWN: usize = 200;
