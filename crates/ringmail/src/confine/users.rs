//! Who each process is when the service is started as root: a user and a group of its own, made once by
//! `ringmail setup users` or by sysusers.d.

use crate::ipc::spawn::Role;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
pub use sys::identity::Ids;

/// The supervisor's user, and the front of all others' names.
pub const SUPERVISOR: &str = "ringmail";
/// Who starts the others, and has the rights for it.
pub const LAUNCH: &str = "ringmail-launch";
/// Largest file of users that is read.
const PASSWD_OCTETS: u64 = 16 * 1024 * 1024;

/// The name of a role's user; its group has the same.
pub fn name(role: Role) -> String {
    format!("{SUPERVISOR}-{role}")
}

/// All names, in the order of the page and of sysusers.d.
pub fn names() -> Vec<String> {
    let fixed = [SUPERVISOR.to_owned(), LAUNCH.to_owned()];
    fixed.into_iter().chain(Role::ALL.map(name)).collect()
}

/// What sysusers.d says, and `setup users` obeys.
pub fn sysusers() -> String {
    let line = |name: String| format!("u {name} - \"Ringmail\" - -\n");
    let lines: String = names().into_iter().map(line).collect();
    format!("# Ringmail's users, one for each process. Nobody logs in as one of them.\n{lines}")
}

/// Who is who on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// The supervisor, once it has given root up.
    pub supervisor: Ids,
    /// Who starts the roles.
    pub launch: Ids,
    /// The roles.
    pub roles: BTreeMap<Role, Ids>,
}

/// Why the users cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// These are not there.
    Missing(Vec<String>),
    /// This one is root, or the same as another.
    Shared(String),
    /// The list of users cannot be read.
    Unreadable(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Missing(names) => write!(
                f,
                "started as root, and these users are missing: {}; `ringmail setup users` makes them",
                names.join(", ")
            ),
            Unusable::Shared(name) => write!(
                f,
                "user {name} has the uid or the group of root or of another user of ours: each needs its own"
            ),
            Unusable::Unreadable(cause) => write!(f, "/etc/passwd: {cause}"),
        }
    }
}

impl From<Unusable> for io::Error {
    fn from(why: Unusable) -> Self {
        io::Error::other(why.to_string())
    }
}

impl Users {
    /// As `/etc/passwd` has them. Other sources of users are not asked: those of a service are local.
    pub fn find() -> Result<Self, Unusable> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open("/etc/passwd")
            .and_then(|file| file.take(PASSWD_OCTETS).read_to_string(&mut text))
            .map_err(|error| Unusable::Unreadable(error.to_string()))?;
        Self::of(&text)
    }

    fn of(passwd: &str) -> Result<Self, Unusable> {
        let known: BTreeMap<&str, Ids> = passwd.lines().filter_map(line).collect();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in names() {
            match known.get(&*name) {
                Some(ids) => found.push((name, *ids)),
                None => missing.push(name),
            }
        }
        if !missing.is_empty() {
            return Err(Unusable::Missing(missing));
        }
        for (at, (name, ids)) in found.iter().enumerate() {
            let same = |(_, other): &(String, Ids)| other.uid == ids.uid || other.gid == ids.gid;
            if ids.uid == 0 || ids.gid == 0 || found[..at].iter().any(same) {
                return Err(Unusable::Shared(name.clone()));
            }
        }
        let mut ids = found.into_iter().map(|(_, ids)| ids);
        let mut next = || ids.next().expect("as many as names");
        Ok(Self {
            supervisor: next(),
            launch: next(),
            roles: Role::ALL.into_iter().map(|role| (role, next())).collect(),
        })
    }

    /// All of them.
    pub fn uids(&self) -> Vec<u32> {
        let roles = self.roles.values();
        let all = [&self.supervisor, &self.launch].into_iter().chain(roles);
        all.map(|ids| ids.uid).collect()
    }

    /// A role's.
    pub fn of_role(&self, role: Role) -> Ids {
        self.roles[&role]
    }
}

/// One user of passwd(5).
fn line(line: &str) -> Option<(&str, Ids)> {
    let mut fields = line.split(':');
    let (name, _password) = (fields.next()?, fields.next()?);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((name, Ids { uid, gid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwd(but: &str) -> String {
        let line = |(at, name): (usize, String)| {
            format!("{name}:x:{}:{}::/:/usr/sbin/nologin\n", 900 + at, 800 + at)
        };
        let names = names().into_iter().filter(|name| name != but);
        let ours: String = names.enumerate().map(line).collect();
        format!("root:x:0:0:root:/root:/bin/sh\n{ours}")
    }

    #[test]
    fn each_has_its_own() {
        let users = Users::of(&passwd("")).unwrap();
        assert_eq!(users.supervisor, Ids { uid: 900, gid: 800 });
        assert_eq!(users.of_role(Role::Smtpd), Ids { uid: 909, gid: 809 });
    }

    #[test]
    fn one_that_is_missing_or_shared_is_named() {
        let missing = Users::of(&passwd("ringmail-queue"));
        assert_eq!(
            missing,
            Err(Unusable::Missing(vec!["ringmail-queue".into()]))
        );
        let shared = passwd("").replace("ringmail-local:x:906", "ringmail-local:x:905");
        assert_eq!(
            Users::of(&shared),
            Err(Unusable::Shared("ringmail-local".into()))
        );
        let root = passwd("").replace("ringmail:x:900:800", "ringmail:x:900:0");
        assert_eq!(Users::of(&root), Err(Unusable::Shared("ringmail".into())));
    }
}
