//! What a service that was started as root does with root, and how it gives root up: for good, before anything is
//! heard from anywhere.

use super::listeners::{self, Open};
use super::nursery::{Launch, Nursery};
use super::secrets::{self, Secret};
use crate::config::Config;
use crate::confine::users::{Ids, Users};
use crate::confine::{Reach, users};
use crate::drive::folders;
use crate::drive::holder::{self, Hold};
use crate::event::{self, Event};
use crate::ipc::spawn::Role;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use sys::identity::Standing;

/// Memory of a supervisor that starts nothing itself: texts of a configuration, what waits to be said, no more.
const DATA_OCTETS: u64 = 256 * 1024 * 1024;

/// All that is had before the supervisor begins.
pub struct Ready {
    /// The spool is ours.
    pub hold: Hold,
    /// The sockets that listen.
    pub listeners: Vec<Open>,
    /// Files with secrets.
    pub secrets: Vec<Secret>,
    /// Who starts the roles.
    pub nursery: Nursery,
    /// Where root is heard; nothing where the supervisor is who it was.
    pub from_root: Option<OwnedFd>,
}

/// Gets ready. Who may become other users, root or a user with the rights for it, makes folders for their owners, opens
/// sockets, starts launch, and then becomes the supervisor's user, without a right. Who may not does everything as who
/// he is.
pub fn get_ready(config: &Config) -> io::Result<Ready> {
    match sys::identity::standing()? {
        Standing::Launcher => {}
        Standing::StuckRoot => {
            let cause = "started as root without the rights to become others (CAP_SETUID, CAP_SETGID, CAP_SETPCAP), root could not be given up: start it as a plain user";
            return Err(io::Error::other(cause));
        }
        Standing::Plain => {
            // Before anything listens: mail that is taken needs a place.
            let hold = holder::hold(&config.spool)?;
            let secrets = secrets::open_all(config)?;
            let listeners = listeners::open_all(config)?;
            close(None)?;
            return Ok(Ready {
                hold,
                listeners,
                secrets,
                nursery: Nursery::Own,
                from_root: None,
            });
        }
    }
    let users = Users::find()?;
    let secrets = secrets::open_all(config)?;
    prepare(config, &users)?;
    // As its owner: nothing in there is root's.
    let hold = sys::identity::as_user(users.of_role(Role::Queue), || holder::hold(&config.spool))??;
    let listeners = listeners::open_all(config)?;
    let from_root = listeners::unix_socket(&config.reload_socket())?;
    let launch = Launch::start_as_root(&users)?;
    close(Some(users.supervisor))?;
    confine()?;
    Ok(Ready {
        hold,
        listeners,
        secrets,
        nursery: Nursery::Launch(launch),
        from_root: Some(from_root),
    })
}

/// Gives up what the supervisor does not need, for good.
fn close(ids: Option<Ids>) -> io::Result<()> {
    match ids {
        Some(ids) => sys::identity::become_user(ids)?,
        None => sys::sandbox::drop_capabilities()?,
    }
    sys::sandbox::no_new_privileges()?;
    sys::sandbox::hide()?;
    sys::sandbox::private_files();
    Ok(())
}

/// Takes from the supervisor what it does not need where launch starts the roles. One that starts them itself has to do
/// whatever they do before they are closed.
fn confine() -> io::Result<()> {
    use sys::sandbox::{Limited, calls, limit};
    limit(Limited::Data, DATA_OCTETS)?;
    limit(Limited::Nproc, 0)?;
    limit(Limited::Memlock, 0)?;
    limit(Limited::Msgqueue, 0)?;
    calls::start_nothing()
}

/// What root does before a running service is told of a new configuration.
pub fn prepare_reload(config: &Config) -> io::Result<()> {
    prepare(config, &Users::find()?)
}

/// Makes each role's folders, its own. One that is there and somebody else's is left as it is: of the spool that is an
/// error, for without it nothing goes; of others it is said, and what they are for waits.
fn prepare(config: &Config, users: &Users) -> io::Result<()> {
    for role in Role::ALL {
        for folder in &Reach::of(role, config).folders {
            match own(folder, users.of_role(role)) {
                Ok(()) => {}
                Err(error) if role == Role::Queue => return Err(told(role, folder, &error)),
                Err(error) => event::say(&Event::Trouble {
                    place: "folders",
                    cause: told(role, folder, &error).to_string(),
                }),
            }
        }
    }
    Ok(())
}

fn told(role: Role, folder: &Path, error: &io::Error) -> io::Error {
    let (shown, user) = (folder.display(), users::name(role));
    io::Error::new(error.kind(), format!("{shown}, for user {user}: {error}"))
}

/// Folders that are there and that a role cannot keep files in: whose, which, and why not. For `check`.
pub fn foreign(config: &Config, users: &Users) -> Vec<(Role, PathBuf, String)> {
    let mut found = Vec::new();
    for role in Role::ALL {
        for folder in Reach::of(role, config).folders {
            let ids = users.of_role(role);
            if folder.is_dir()
                && let Err(error) = is_own(&folder, ids)
            {
                found.push((role, folder, error.to_string()));
            }
        }
    }
    found
}

/// Makes a folder that is this user's, or looks whether one that is there is.
fn own(folder: &Path, ids: Ids) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        folders::make_open(above)?;
    }
    if !folder.is_dir() {
        folders::make(folder)?;
        return chown(folder, Some(ids.uid), Some(ids.gid)).inspect_err(|_| {
            // One that is not its owner's would be in the way at the next start.
            let _ = fs::remove_dir(folder);
        });
    }
    is_own(folder, ids)
}

fn is_own(folder: &Path, Ids { uid, gid }: Ids) -> io::Result<()> {
    let found = fs::metadata(folder)?;
    let by_group = found.gid() == gid && found.mode() & 0o070 == 0o070;
    let by_all = found.mode() & 0o007 == 0o007;
    if found.uid() == uid || by_group || by_all {
        return Ok(());
    }
    let cause = format!(
        "it is there, and user {} owns it: `chown -R {uid}:{gid}` gives it over",
        found.uid()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, cause))
}

/// Gives root up where a trial was started by root: nobody needs it for that, and the folder becomes nobody's. One
/// that is not empty and somebody else's is left alone.
pub fn give_up_for_trial(folder: &Path) -> io::Result<()> {
    /// The user who owns nothing, by everybody's custom.
    const NOBODY: Ids = Ids {
        uid: 65_534,
        gid: 65_534,
    };
    if !sys::identity::is_root() {
        return Ok(());
    }
    let opened = fs::File::open(folder)?;
    let found = opened.metadata()?;
    if found.uid() != NOBODY.uid {
        let made_now = found.uid() == 0 && fs::read_dir(folder)?.next().is_none();
        if !made_now {
            let cause = format!(
                "a trial that root starts runs as nobody ({}), and this folder is not: name one that is not there yet",
                NOBODY.uid
            );
            return Err(io::Error::other(cause));
        }
        rustix::fs::fchown(
            &opened,
            Some(rustix::fs::Uid::from_raw(NOBODY.uid)),
            Some(rustix::fs::Gid::from_raw(NOBODY.gid)),
        )?;
    }
    sys::identity::become_user(NOBODY)?;
    // Who executes something as somebody else may not be looked at; the roles look at themselves as they start.
    if let Err(error) = fs::read_dir(folder) {
        let cause = format!(
            "a trial that root starts runs as nobody ({}), who cannot reach this folder ({error}): name one below /tmp",
            NOBODY.uid
        );
        return Err(io::Error::other(cause));
    }
    Ok(())
}
