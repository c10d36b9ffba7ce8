//! A server from a Debian package, in a cell of its own on the same disk as everybody else. The network is the
//! machine's, for its loopback.

use super::{LOCAL_DOMAIN, Running, users};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tests::cell::{self, Cell, MAIL_USER, User};
use tests::debian::{self, Root, Set};

/// Why a server from a package cannot run here, if it cannot: the package is fetched now if need be.
pub fn prepare(set: &Set) -> Result<(), String> {
    if let Some(lacks) = cell::lacks() {
        return Err(lacks.into());
    }
    debian::root(set).map(drop)
}

/// A server in its cell.
struct Caged {
    running: cell::Running,
    maildirs: Vec<PathBuf>,
    port: u16,
}

/// Starts a server below `folder`: `furnish` writes its configuration for the port and gives the command to start it.
pub fn start(
    set: &Set,
    folder: &Path,
    accounts: &[User],
    furnish: impl FnOnce(&Cell, &Root, u16) -> io::Result<&'static str>,
) -> io::Result<Box<dyn Running>> {
    let package = debian::root(set).map_err(io::Error::other)?;
    let port = tests::free_port();
    // A cell tells what is wrong by a panic, as a test wants it; here the other servers go on.
    let started = catch_unwind(AssertUnwindSafe(|| {
        let hostname = format!("mx.{LOCAL_DOMAIN}");
        let cell = Cell::below(folder, &package, &hostname, accounts);
        // No name server is there to be asked; the resolver of OpenSMTPD must be told.
        cell.write("etc/resolv.conf", "lookup file\n");
        let maildirs: Vec<PathBuf> = users().map(|user| cell.mail().join(user)).collect();
        for maildir in &maildirs {
            crate::maildir::create(maildir)?;
            for sub in ["", "tmp", "new", "cur"] {
                chown(maildir.join(sub), Some(MAIL_USER.id), Some(MAIL_USER.id))?;
            }
        }
        let command = furnish(&cell, &package, port)?;
        let running = cell.start(command, port);
        Ok::<_, io::Error>(Caged {
            running,
            maildirs,
            port,
        })
    }));
    let started = started.map_err(|_| io::Error::other("its cell could not be made, see above"))?;
    Ok(Box::new(started?))
}

impl Running for Caged {
    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn maildirs(&self) -> Vec<PathBuf> {
        self.maildirs.clone()
    }

    fn last_words(&self) -> String {
        super::tail(&self.running.log())
    }
}
