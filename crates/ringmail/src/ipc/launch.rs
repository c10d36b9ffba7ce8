//! supervisor ─launch─▶ launch: start this role, or a courier for this user, with this descriptor; end it; launch says what
//! became of it. Records of one size that hold numbers, or a name, decoded by hand: who reads them may become other users.

use crate::confine::accounts::Unfit;
use crate::confine::users::{Ids, Users};
use crate::ipc::spawn::Role;
use policy::USER_OCTETS;
use std::fmt;

/// Octets of a record of the supervisor: a kind, a role or a courier's place, and the ids of all users, or a name.
pub const RECORD_OCTETS: usize = 2 + 8 * USERS;
/// The supervisor, launch and the roles.
const USERS: usize = 2 + Role::ALL.len();
/// Octets of a record of launch: a kind, a role, a pid, a status.
pub const TOLD_OCTETS: usize = 10;

/// Couriers at the same time: their places are below this.
pub const COURIERS_MAX: u8 = 32;

/// The name of a user of the machine, as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; USER_OCTETS]);

impl Name {
    /// Of a name that can be one.
    pub fn new(name: &str) -> Option<Self> {
        let mut octets = [0; USER_OCTETS];
        octets
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        policy::can_be_a_user(name).then_some(Self(octets))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|octet| *octet == 0);
        str::from_utf8(&self.0[..end.unwrap_or(USER_OCTETS)]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A process that launch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// A role.
    Role(Role),
    /// A courier, by its place.
    Courier(u8),
}

/// What the supervisor asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Who everybody is: the first record, and the only one that is heard as root.
    Users(Users),
    /// Start this role; its socket of birth comes with it.
    Start(Role),
    /// Start a courier of this place for this user; its socket of birth comes with it.
    Deliver(u8, Name),
    /// End this process at once.
    Kill(Whom),
    /// Say that you are awake.
    Watch,
}

/// What launch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has given root up and waits.
    Stands,
    /// It runs, as this process.
    Started(Whom, u32),
    /// The role could not be started: the system's number of the error.
    Failed(Role, i32),
    /// Nobody delivers as this user.
    Unfit(u8, Unfit),
    /// The process has ended, with this status as the kernel tells it.
    Ended(Whom, u32, i32),
    /// It is awake.
    Awake,
}

fn place(role: Role) -> u8 {
    let at = Role::ALL.iter().position(|one| *one == role);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn role(place: u8) -> Option<Role> {
    Role::ALL.get(usize::from(place)).copied()
}

/// Places of couriers come behind those of the roles.
fn place_of(whom: Whom) -> u8 {
    match whom {
        Whom::Role(role) => place(role),
        Whom::Courier(number) => COURIERS_FROM.saturating_add(number),
    }
}

/// The first courier's place: far behind those of all roles that there may ever be.
const COURIERS_FROM: u8 = 128;

fn whom(place: u8) -> Option<Whom> {
    match place.checked_sub(COURIERS_FROM) {
        Some(number) => (number < COURIERS_MAX).then_some(Whom::Courier(number)),
        None => role(place).map(Whom::Role),
    }
}

impl Ask {
    /// As octets.
    pub fn encode(&self) -> [u8; RECORD_OCTETS] {
        let mut octets = [0; RECORD_OCTETS];
        match self {
            Ask::Users(users) => {
                octets[0] = 0;
                let roles = Role::ALL.iter().map(|role| users.of_role(*role));
                let all = [users.supervisor, users.launch].into_iter().chain(roles);
                for (place, ids) in octets[2..].chunks_exact_mut(8).zip(all) {
                    place[..4].copy_from_slice(&ids.uid.to_le_bytes());
                    place[4..].copy_from_slice(&ids.gid.to_le_bytes());
                }
            }
            Ask::Start(role) => octets[..2].copy_from_slice(&[1, place(*role)]),
            Ask::Kill(whom) => octets[..2].copy_from_slice(&[2, place_of(*whom)]),
            Ask::Deliver(number, name) => {
                octets[..2].copy_from_slice(&[3, place_of(Whom::Courier(*number))]);
                octets[2..2 + USER_OCTETS].copy_from_slice(&name.0);
            }
            Ask::Watch => octets[0] = 4,
        }
        octets
    }

    /// From octets; nothing where they are no record.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; RECORD_OCTETS] = octets.try_into().ok()?;
        match octets[0] {
            0 => {
                let number = |octets: &[u8]| Some(u32::from_le_bytes(octets.try_into().ok()?));
                let ids = octets[2..].chunks_exact(8).map(|ids| {
                    Some(Ids {
                        uid: number(&ids[..4])?,
                        gid: number(&ids[4..])?,
                    })
                });
                let ids: Vec<Ids> = ids.collect::<Option<_>>()?;
                let roles = Role::ALL.into_iter().zip(ids.get(2..)?.iter().copied());
                Some(Ask::Users(Users {
                    supervisor: *ids.first()?,
                    launch: *ids.get(1)?,
                    roles: roles.collect(),
                }))
            }
            1 => role(octets[1]).map(Ask::Start),
            2 => whom(octets[1]).map(Ask::Kill),
            3 => {
                let Some(Whom::Courier(number)) = whom(octets[1]) else {
                    return None;
                };
                let name = octets.get(2..2 + USER_OCTETS)?;
                let end = name.iter().position(|octet| *octet == 0);
                let name = &name[..end.unwrap_or(USER_OCTETS)];
                let name = Name::new(str::from_utf8(name).ok()?)?;
                Some(Ask::Deliver(number, name))
            }
            4 => Some(Ask::Watch),
            _ => None,
        }
    }
}

impl Told {
    /// As octets.
    pub fn encode(self) -> [u8; TOLD_OCTETS] {
        let (kind, place, pid, status) = match self {
            Told::Stands => (0, 0, 0, 0),
            Told::Started(whom, pid) => (1, place_of(whom), pid, 0),
            Told::Failed(role, number) => (2, place(role), 0, number),
            Told::Ended(whom, pid, status) => (3, place_of(whom), pid, status),
            Told::Unfit(number, why) => {
                let at = Unfit::ALL.iter().position(|one| *one == why);
                let at = at.and_then(|at| i32::try_from(at).ok()).unwrap_or(-1);
                (4, place_of(Whom::Courier(number)), 0, at)
            }
            Told::Awake => (5, 0, 0, 0),
        };
        let mut octets = [0; TOLD_OCTETS];
        octets[..2].copy_from_slice(&[kind, place]);
        octets[2..6].copy_from_slice(&pid.to_le_bytes());
        octets[6..].copy_from_slice(&status.to_le_bytes());
        octets
    }

    /// From octets; nothing where they are no record.
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; TOLD_OCTETS] = octets.try_into().ok()?;
        let pid = u32::from_le_bytes(octets[2..6].try_into().ok()?);
        let status = i32::from_le_bytes(octets[6..].try_into().ok()?);
        match octets[0] {
            0 => Some(Told::Stands),
            1 => Some(Told::Started(whom(octets[1])?, pid)),
            2 => Some(Told::Failed(role(octets[1])?, status)),
            3 => Some(Told::Ended(whom(octets[1])?, pid, status)),
            4 => match whom(octets[1])? {
                Whom::Courier(number) => {
                    let why = Unfit::ALL.get(usize::try_from(status).ok()?)?;
                    Some(Told::Unfit(number, *why))
                }
                Whom::Role(_) => None,
            },
            5 => Some(Told::Awake),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let ids = |uid| Ids {
            uid,
            gid: uid + 100,
        };
        let roles = Role::ALL.into_iter().zip((3..).map(ids)).collect();
        let users = Users {
            supervisor: ids(1),
            launch: ids(2),
            roles,
        };
        for ask in [
            Ask::Users(users),
            Ask::Start(Role::Relay),
            Ask::Kill(Whom::Role(Role::Queue)),
            Ask::Kill(Whom::Courier(31)),
            Ask::Deliver(0, Name::new("ann").unwrap()),
            Ask::Deliver(31, Name::new(&"a".repeat(USER_OCTETS)).unwrap()),
            Ask::Watch,
        ] {
            assert_eq!(Ask::decode(&ask.encode()), Some(ask));
        }
        let role = Role::Admin;
        for told in [
            Told::Stands,
            Told::Started(Whom::Role(role), 77),
            Told::Started(Whom::Courier(3), 77),
            Told::Failed(role, -1),
            Told::Unfit(31, Unfit::NotOurs),
            Told::Ended(Whom::Role(role), 77, 9),
            Told::Ended(Whom::Courier(0), 77, 9),
            Told::Awake,
        ] {
            assert_eq!(Told::decode(&told.encode()), Some(told));
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        let mut octets = Ask::Start(Role::Relay).encode();
        assert_eq!(Ask::decode(&octets[1..]), None);
        octets[1] = u8::try_from(Role::ALL.len()).unwrap();
        assert_eq!(Ask::decode(&octets), None);
        octets[0] = 5;
        assert_eq!(Ask::decode(&octets), None);
        let mut octets = Ask::Deliver(31, Name::new("ann").unwrap()).encode();
        octets[2] = b'/';
        assert_eq!(Ask::decode(&octets), None, "a name that can be none");
        (octets[1], octets[2]) = (octets[1] + 1, b'a');
        assert_eq!(Ask::decode(&octets), None, "a place that can be none");
        assert_eq!(Told::decode(&[9; TOLD_OCTETS]), None);
    }
}
