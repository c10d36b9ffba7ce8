//! Ringmail: the program of the same build, beside this one.

use super::{LOCAL_DOMAIN, Running, Server, users};
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to end in order.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// Ringmail, no option set beyond what the work asks for.
pub struct Ringmail {
    /// As it comes; else without a wall around any role, to see what the walls cost.
    pub sealed: bool,
}

impl Ringmail {
    fn binary(&self) -> io::Result<PathBuf> {
        let name = if self.sealed {
            "ringmail"
        } else {
            "examples/unsealed"
        };
        Ok(std::env::current_exe()?.with_file_name(name))
    }
}

struct Program {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Server for Ringmail {
    fn name(&self) -> &'static str {
        if self.sealed {
            "Ringmail"
        } else {
            "Ringmail, unsealed"
        }
    }

    fn only_when_named(&self) -> bool {
        !self.sealed
    }

    fn durability(&self) -> &'static str {
        "durable: one sync for all that came together"
    }

    fn prepare(&self) -> Result<(), String> {
        let program = self.binary().map_err(|error| error.to_string())?;
        if program.is_file() {
            Ok(())
        } else {
            Err("the program is not built: cargo build --release -p ringmail --examples".into())
        }
    }

    fn start(&self, folder: &Path, sink: SocketAddr) -> io::Result<Box<dyn Running>> {
        let port = tests::free_port();
        let users: Vec<String> = users().map(|user| format!("\"{user}\"")).collect();
        let configuration = format!(
            "hostname = \"mx.{LOCAL_DOMAIN}\"\nspool = \"{dir}/spool\"\nruntime = \"{dir}/run\"\n\
             [listen]\nmx = \"127.0.0.1:{port}\"\n\
             [domain.\"{LOCAL_DOMAIN}\"]\nusers = [{users}]\naliases = {{ postmaster = \"user0\" }}\n\
             deliver = \"maildir:{dir}/mail/{{domain}}/{{user}}\"\n\
             [relay]\nto = \"smtp://{sink}\"\nfrom = \"127.0.0.1\"\n",
            dir = folder.display(),
            users = users.join(", "),
        );
        let file = folder.join("ringmail.toml");
        fs::write(&file, configuration)?;
        for maildir in maildirs(folder) {
            crate::maildir::create(&maildir)?;
        }
        let mut command = tests::service_of(&self.binary()?, &[folder]);
        let mut child = command
            .arg("--config")
            .arg(&file)
            .arg("run")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()?;
        let out = child.stdout.take();
        let program = Program {
            child,
            folder: folder.to_owned(),
            port,
        };
        let mut said = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut said)?;
        }
        if said.trim_end() != "ready" {
            return Err(io::Error::other(format!(
                "Ringmail did not start: {}",
                program.last_words()
            )));
        }
        Ok(Box::new(program))
    }
}

fn maildirs(folder: &Path) -> Vec<PathBuf> {
    let mail = folder.join("mail").join(LOCAL_DOMAIN);
    users().map(|user| mail.join(user)).collect()
}

impl Running for Program {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn maildirs(&self) -> Vec<PathBuf> {
        maildirs(&self.folder)
    }

    fn last_words(&self) -> String {
        super::tail(&fs::read_to_string(self.folder.join("log")).unwrap_or_default())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let until = Instant::now() + STOP_WAIT;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
