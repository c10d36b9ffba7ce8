//! supervisor ─launch─▶ launch: start this role with this descriptor, end it; launch says what became of it. Records of
//! one size that hold numbers, decoded by hand: who reads them may become other users.

use crate::confine::users::{Ids, Users};
use crate::ipc::spawn::Role;

/// Octets of a record of the supervisor: a kind, a role, and the ids of all users.
pub const RECORD_OCTETS: usize = 2 + 8 * USERS;
/// The supervisor, launch and the roles.
const USERS: usize = 2 + Role::ALL.len();
/// Octets of a record of launch: a kind, a role, a pid, a status.
pub const TOLD_OCTETS: usize = 10;

/// What the supervisor asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Who everybody is: the first record, and the only one that is heard as root.
    Users(Users),
    /// Start this role; its socket of birth comes with it.
    Start(Role),
    /// End this role at once.
    Kill(Role),
}

/// What launch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has given root up and waits.
    Stands,
    /// The role runs, as this process.
    Started(Role, u32),
    /// The role could not be started: the system's number of the error.
    Failed(Role, i32),
    /// The process of this role has ended, with this status as the kernel tells it.
    Ended(Role, u32, i32),
}

fn place(role: Role) -> u8 {
    let at = Role::ALL.iter().position(|one| *one == role);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn role(place: u8) -> Option<Role> {
    Role::ALL.get(usize::from(place)).copied()
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
            Ask::Kill(role) => octets[..2].copy_from_slice(&[2, place(*role)]),
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
            2 => role(octets[1]).map(Ask::Kill),
            _ => None,
        }
    }
}

impl Told {
    /// As octets.
    pub fn encode(self) -> [u8; TOLD_OCTETS] {
        let (kind, place, pid, status) = match self {
            Told::Stands => (0, 0, 0, 0),
            Told::Started(role, pid) => (1, place(role), pid, 0),
            Told::Failed(role, number) => (2, place(role), 0, number),
            Told::Ended(role, pid, status) => (3, place(role), pid, status),
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
            1 => Some(Told::Started(role(octets[1])?, pid)),
            2 => Some(Told::Failed(role(octets[1])?, status)),
            3 => Some(Told::Ended(role(octets[1])?, pid, status)),
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
            Ask::Kill(Role::Queue),
        ] {
            assert_eq!(Ask::decode(&ask.encode()), Some(ask));
        }
        let role = Role::Admin;
        for told in [
            Told::Stands,
            Told::Started(role, 77),
            Told::Failed(role, -1),
            Told::Ended(role, 77, 9),
        ] {
            assert_eq!(Told::decode(&told.encode()), Some(told));
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        let mut octets = Ask::Start(Role::Relay).encode();
        assert_eq!(Ask::decode(&octets[1..]), None);
        octets[1] = 7;
        assert_eq!(Ask::decode(&octets), None);
        octets[0] = 3;
        assert_eq!(Ask::decode(&octets), None);
        assert_eq!(Told::decode(&[9; TOLD_OCTETS]), None);
    }
}
