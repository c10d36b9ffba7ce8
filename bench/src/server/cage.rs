//! A server from a Debian package, run in a root of its own: its programs read-only from where they were unpacked,
//! `etc`, `var` and `mail` on the same disk as everybody else's. The network is the machine's, for its loopback.

use super::{LOCAL_DOMAIN, Running, users};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::debian::{self, Set};

/// How long a start may take on a loaded machine.
const START_WAIT: Duration = Duration::from_secs(30);
/// Who owns the Maildirs.
pub const MAIL_ID: u32 = 1000;

/// Why servers from packages cannot be run here, if they cannot: the package is fetched now if need be.
pub fn prepare(set: &Set) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("a root of its own can be made by root only".into());
    }
    debian::root(set).map(drop)
}

/// A user of a server: name, and number of user and group.
pub type User = (&'static str, u32);

/// The folders of a server that is to be started.
pub struct Home {
    folder: PathBuf,
    packages: PathBuf,
}

impl Home {
    /// Copies what a package brings for `etc` and `var`, and adds what its own installation would have made.
    pub fn make(set: &Set, folder: &Path, accounts: &[User], groups: &[User]) -> io::Result<Self> {
        let packages = debian::root(set)
            .map_err(io::Error::other)?
            .path()
            .to_owned();
        for sub in ["etc", "var"] {
            let from = packages.join(sub);
            let copied = Command::new("cp")
                .arg("-a")
                .arg(from)
                .arg(folder)
                .status()?;
            if !copied.success() {
                return Err(io::Error::other(format!("{sub} cannot be copied")));
            }
        }
        fs::create_dir_all(folder.join("root"))?;
        let home = Self {
            folder: folder.to_owned(),
            packages,
        };
        let all = [("root", 0), ("mail", MAIL_ID), ("nobody", 65534)];
        let (mut passwd, mut group) = (String::new(), String::new());
        for (name, id) in all.iter().chain(accounts) {
            // Writing into a String does not fail.
            let _ = writeln!(passwd, "{name}:x:{id}:{id}::/var/empty:/bin/sh");
        }
        for (name, id) in all.iter().chain(accounts).chain(groups) {
            let _ = writeln!(group, "{name}:x:{id}:");
        }
        home.write("etc/passwd", &passwd)?;
        home.write("etc/group", &group)?;
        home.write("etc/hosts", "127.0.0.1 localhost\n")?;
        home.write("etc/mailname", &format!("mx.{LOCAL_DOMAIN}\n"))?;
        home.write(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\nservices: files\n",
        )?;
        // No name server is there to be asked; OpenSMTPD's resolver must be told.
        home.write("etc/resolv.conf", "lookup file\n")?;
        for maildir in home.maildirs() {
            crate::maildir::create(&maildir)?;
            for folder in [
                &maildir,
                &maildir.join("tmp"),
                &maildir.join("new"),
                &maildir.join("cur"),
            ] {
                chown(folder, Some(MAIL_ID), Some(MAIL_ID))?;
            }
        }
        let domain = home.folder.join("mail").join(LOCAL_DOMAIN);
        chown(domain, Some(MAIL_ID), Some(MAIL_ID))?;
        Ok(home)
    }

    /// Writes a file, by its path inside.
    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        fs::write(self.folder.join(path), text)
    }

    /// Reads a file that came with the package, by its path inside.
    pub fn packaged(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.packages.join(path))
    }

    /// Makes a folder, by its path inside, with its owner and its mode.
    pub fn create(&self, path: &str, owner: u32, mode: u32) -> io::Result<()> {
        let path = self.folder.join(path);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        chown(path, Some(owner), Some(owner))
    }

    fn maildirs(&self) -> Vec<PathBuf> {
        let mail = self.folder.join("mail").join(LOCAL_DOMAIN);
        users().map(|user| mail.join(user)).collect()
    }

    /// Starts a program that stays in the foreground, and waits until it greets on `port`. What it says goes to a
    /// file, and so does its log if it is `log`, by its path inside.
    pub fn start(
        self,
        command: &[&str],
        port: u16,
        log: Option<&str>,
    ) -> io::Result<Box<dyn Running>> {
        let out = self.folder.join("out");
        let said = fs::File::create(&out)?;
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", include_str!("cage.sh"), "cage"])
            .arg(&self.packages)
            .arg(&self.folder)
            .args(command)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()?;
        let mut caged = Caged {
            log: log.map_or(out, |log| self.folder.join(log)),
            maildirs: self.maildirs(),
            child,
            port,
        };
        let until = Instant::now() + START_WAIT;
        while let Err(error) = greeted(port) {
            let ended = caged.child.try_wait()?.is_some();
            if ended || Instant::now() > until {
                let said = caged.last_words();
                return Err(io::Error::other(format!(
                    "it does not serve: {error}\n{said}"
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Box::new(caged))
    }
}

fn greeted(port: u16) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?);
    stream.get_ref().set_read_timeout(Some(START_WAIT))?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    stream.get_mut().write_all(b"QUIT\r\n")?;
    if line.starts_with("220 ") {
        Ok(())
    } else {
        Err(io::Error::other(line))
    }
}

struct Caged {
    child: Child,
    port: u16,
    maildirs: Vec<PathBuf>,
    log: PathBuf,
}

impl Running for Caged {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn maildirs(&self) -> Vec<PathBuf> {
        self.maildirs.clone()
    }

    fn last_words(&self) -> String {
        super::tail(&self.log)
    }
}

impl Drop for Caged {
    fn drop(&mut self) {
        // The first process of the cage dies with this one, and all others with that. Mounts go with the last.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
