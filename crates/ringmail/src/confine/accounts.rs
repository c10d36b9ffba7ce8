//! Whose mail is delivered as himself: a user of the machine, looked up by who starts the process that becomes him, and
//! never root, a service's user or one of ours.

use super::users::Ids;
use policy::can_be_a_user;
use std::fmt;
use std::path::{Component, PathBuf};
use std::time::Duration;
use sys::users::{Account, Folder, HOME_OCTETS};

/// The first uid of people; those below it are the system's own (`UID_MIN` of `login.defs(5)` on every distribution).
pub const UID_MIN: u32 = 1000;
/// The user who owns nothing, by everybody's custom.
const NOBODY: u32 = 65_534;
/// How long the machine's name service may take.
const FIND_WAIT: Duration = Duration::from_secs(5);

/// Who it is, and where his mail lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub ids: Ids,
    /// His home.
    pub home: PathBuf,
}

/// Why nobody delivers as this user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is none of this name.
    Unknown,
    /// Root, or a user of the system.
    Low,
    /// One of Ringmail's own.
    Ours,
    /// Nobody may be him.
    Disabled,
    /// His home is none, is another's, or can be written to by others.
    Home,
    /// The name service did not say.
    NoAnswer,
    /// The process could not be started.
    NotStarted,
    /// Too many are at work.
    Busy,
    /// The service was not started with the right to become him.
    NotOurs,
}

impl Unfit {
    /// All of them; the place is the number of the record.
    pub const ALL: [Unfit; 9] = [
        Unfit::Unknown,
        Unfit::Low,
        Unfit::Ours,
        Unfit::Disabled,
        Unfit::Home,
        Unfit::NoAnswer,
        Unfit::NotStarted,
        Unfit::Busy,
        Unfit::NotOurs,
    ];

    /// For the log and for `check`.
    pub const fn words(self) -> &'static str {
        match self {
            Unfit::Unknown => "there is no such user on this machine",
            Unfit::Low => {
                "its uid is below 1000, or nobody's: mail is delivered as no user of the system; an alias leads elsewhere"
            }
            Unfit::Ours => "it is one of Ringmail's own users",
            Unfit::Disabled => "the user is locked",
            Unfit::Home => "its home is not there, is not its own, or can be written to by others",
            Unfit::NoAnswer => "the machine's name service did not answer",
            Unfit::NotStarted => "the process that delivers could not be started",
            Unfit::Busy => "too many deliveries as users are under way",
            Unfit::NotOurs => {
                "the service runs as another user, without the right to become this one"
            }
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Finds a user who may have mail as himself. `ours` are uids that never may. The process has one thread.
pub fn find(name: &str, ours: impl IntoIterator<Item = u32>) -> Result<Person, Unfit> {
    if !can_be_a_user(name) {
        return Err(Unfit::Unknown);
    }
    let found = sys::users::find(name, FIND_WAIT).map_err(|_| Unfit::NoAnswer)?;
    fit(found.ok_or(Unfit::Unknown)?, ours)
}

/// What the answer of a name service must be: it may come from another machine.
fn fit(account: Account, ours: impl IntoIterator<Item = u32>) -> Result<Person, Unfit> {
    let Account {
        uid,
        gid,
        home,
        folder,
        disabled,
    } = account;
    if uid < UID_MIN || uid == NOBODY || uid == u32::MAX || gid == 0 || gid == u32::MAX {
        return Err(Unfit::Low);
    }
    if ours.into_iter().any(|one| one == uid) {
        return Err(Unfit::Ours);
    }
    if disabled {
        return Err(Unfit::Disabled);
    }
    let straight = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let below_root = home.parent().is_some() && home.components().all(straight);
    let ids = Ids { uid, gid };
    let is_his = folder.is_some_and(|folder| is_his(folder, ids));
    if !home.is_absolute() || !below_root || home.as_os_str().len() > HOME_OCTETS || !is_his {
        return Err(Unfit::Home);
    }
    Ok(Person { ids, home })
}

/// Whether a home is his own, and nobody else's to write to.
fn is_his(folder: Folder, ids: Ids) -> bool {
    // Of a group that is his first others may be, too; and where there are finer rules, they show as the group's.
    folder.uid == ids.uid && folder.mode & 0o022 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(uid: u32, gid: u32, home: &str) -> Account {
        Account {
            uid,
            gid,
            home: home.into(),
            folder: Some(Folder {
                uid,
                gid,
                mode: 0o700,
            }),
            disabled: false,
        }
    }

    fn fits(account: Account) -> Result<Person, Unfit> {
        fit(account, [61_000])
    }

    #[test]
    fn people_are_fit_and_nobody_else() {
        assert!(fits(account(1000, 1000, "/home/ann")).is_ok());
        for low in [0, 1, 999, NOBODY, u32::MAX] {
            assert_eq!(
                fits(account(low, 1000, "/home/ann")),
                Err(Unfit::Low),
                "{low}"
            );
        }
        assert_eq!(fits(account(1000, 0, "/home/ann")), Err(Unfit::Low));
        assert_eq!(fits(account(61_000, 1000, "/home/ann")), Err(Unfit::Ours));
        for home in ["", "/", "home/ann", "/home/../root", "/home/ann/.."] {
            assert_eq!(fits(account(1000, 1000, home)), Err(Unfit::Home), "{home}");
        }
        let locked = Account {
            disabled: true,
            ..account(1000, 1000, "/home/ann")
        };
        assert_eq!(fits(locked), Err(Unfit::Disabled));
    }

    #[test]
    fn a_home_is_ones_own() {
        let by = |uid, gid, mode| {
            let folder = Some(Folder { uid, gid, mode });
            fits(Account {
                folder,
                ..account(1000, 1000, "/home/ann")
            })
        };
        for mode in [0o700, 0o755, 0o751] {
            assert!(by(1000, 1000, mode).is_ok(), "{mode:o}");
        }
        for (uid, gid, mode) in [
            (1001, 1000, 0o700),
            (1000, 1000, 0o775),
            (1000, 1000, 0o777),
        ] {
            assert_eq!(by(uid, gid, mode), Err(Unfit::Home), "{uid} {gid} {mode:o}");
        }
        let none = Account {
            folder: None,
            ..account(1000, 1000, "/home/ann")
        };
        assert_eq!(fits(none), Err(Unfit::Home));
    }

    #[test]
    fn names_that_can_be_no_users_are_not_looked_up() {
        for name in ["", "-x", "a b", "a/b", "ann@x", "../x", "ä"] {
            assert_eq!(find(name, []), Err(Unfit::Unknown), "{name}");
        }
        assert_eq!(find("root", []), Err(Unfit::Low));
    }
}
