//! Who has taken the supervisor over says to launch what he likes: numbers of any kind, users a second time, users who are
//! root, roles that run, descriptors too few and too many. What comes of it is a role as that role's user, or the end of
//! launch.

use super::random::Random;
use super::supervisor::{arguments, children_of};
use super::words;
use crate::role::{FIRST_ID, LAUNCH_ID, Place, SUPERVISOR_ID};
use ringmail::confine::users::{Ids, Users};
use ringmail::ipc::launch::{Ask, COURIERS_MAX, Name, RECORD_OCTETS, TOLD_OCTETS, Told, Whom};
use ringmail::ipc::spawn::Role;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};
use sys::socket::Kind;

/// Lives of launch: a record that it cannot have ends it.
const LIVES: u64 = 60;
/// Records of one life, at most.
const RECORDS: u64 = 25;
/// How long launch may take.
const SOON: Duration = Duration::from_secs(10);
/// Its own user; the roles' are [`FIRST_ID`] and those behind it.
const OWN_ID: u32 = LAUNCH_ID;

pub fn look() -> Vec<String> {
    if !sys::identity::is_root() {
        println!("left out: it takes root");
        return Vec::new();
    }
    let place = Place::new();
    // Roles of this test do nothing but live.
    let idle = fs::write(place.folder().join(IDLE), b"");
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let there = std::env::set_current_dir(place.folder());
    let went = idle.and(there).map_err(words).and_then(|()| siege());
    let back = std::env::set_current_dir(here).map_err(words);
    went.and(back).err().into_iter().collect()
}

/// Is in the folder where roles are to do nothing.
pub const IDLE: &str = "idle";

fn siege() -> Result<(), String> {
    for (first, stands) in first_records() {
        let mut launch = Launched::start()?;
        launch.put(&first, &[])?;
        if launch.stands()? != stands {
            return Err(format!("launch stands: {}, after {first:?}", !stands));
        }
        if stands {
            launch.start_all_but_root()?;
        }
    }
    let (mut random, mut started) = (Random::new(0x1a0c4), 0);
    for _ in 0..LIVES {
        let mut launch = Launched::standing()?;
        for _ in 0..random.below(RECORDS) {
            if !launch.attack(&mut random)? {
                break;
            }
            started += launch.look()?;
        }
        launch.look()?;
    }
    if started < 50 {
        return Err(format!("{started} roles were seen: the attack is none"));
    }
    Ok(())
}

fn id_of(role: Role) -> u32 {
    let at = Role::ALL.iter().position(|one| *one == role).unwrap_or(0);
    FIRST_ID + u32::try_from(at).unwrap_or(0)
}

pub fn users(change: impl FnOnce(&mut Users)) -> Users {
    let same = |id| Ids { uid: id, gid: id };
    let mut users = Users {
        supervisor: same(SUPERVISOR_ID),
        launch: same(OWN_ID),
        roles: Role::ALL.map(|role| (role, same(id_of(role)))).into(),
    };
    change(&mut users);
    users
}

/// First records, and whether launch stands after each. Where a role's user is root, all but that role can be started.
fn first_records() -> Vec<(Vec<u8>, bool)> {
    let root = Ids { uid: 0, gid: 0 };
    let by = |change: &dyn Fn(&mut Users)| Ask::Users(users(change)).encode().to_vec();
    let role = |ids| {
        move |users: &mut Users| {
            users.roles.insert(Role::Queue, ids);
        }
    };
    vec![
        (by(&|users| users.launch = root), false),
        (by(&|users| users.launch.gid = 0), false),
        (by(&|users| users.launch.uid = u32::MAX), false),
        (by(&role(root)), true),
        (
            by(&role(Ids {
                uid: 0,
                gid: 61_100,
            })),
            true,
        ),
        (
            by(&role(Ids {
                uid: 61_100,
                gid: 0,
            })),
            true,
        ),
        (
            by(&role(Ids {
                uid: u32::MAX,
                gid: 1,
            })),
            true,
        ),
        (Ask::Start(Role::Queue).encode().to_vec(), false),
        (vec![0; RECORD_OCTETS - 1], false),
        (vec![0; RECORD_OCTETS], false),
        // As long as it should be and longer: nothing of it is heard.
        ([&by(&|_| ())[..], &[0]].concat(), false),
        (vec![9; RECORD_OCTETS], false),
    ]
}

/// launch as it is, and the supervisor's end of it.
pub struct Launched {
    child: Child,
    socket: OwnedFd,
    /// Ends of the roles' births, so that they live.
    births: Vec<OwnedFd>,
}

impl Launched {
    fn start() -> Result<Self, String> {
        let (socket, theirs) = sys::socket::pair(Kind::SeqPacket).map_err(words)?;
        let arguments = ["role", "launch", "itself"];
        let child = sys::process::start_role(&arguments, theirs.as_fd(), None);
        let births = Vec::new();
        Ok(Self {
            child: child.map_err(words)?,
            socket,
            births,
        })
    }

    /// One that was told who everybody is, and has given root up.
    pub fn standing() -> Result<Self, String> {
        let launch = Self::start()?;
        launch.put(&Ask::Users(users(|_| ())).encode(), &[])?;
        if launch.stands()? {
            Ok(launch)
        } else {
            Err("launch does not stand".into())
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says something. launch may have ended.
    fn put(&self, octets: &[u8], fds: &[BorrowedFd<'_>]) -> Result<bool, String> {
        match sys::socket::send(&self.socket, octets, fds) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What launch says next; nothing when it has ended.
    fn hear(&self) -> Result<Option<Told>, String> {
        let began = Instant::now();
        let mut octets = [0; TOLD_OCTETS];
        while began.elapsed() < SOON {
            match sys::socket::receive(&self.socket, &mut octets, &mut Vec::new()) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    let told = Told::decode(&octets[..count]);
                    return told.map(Some).ok_or("launch said nothing sensible".into());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(_) => return Ok(None),
            }
        }
        Err("launch says nothing".into())
    }

    fn stands(&self) -> Result<bool, String> {
        match self.hear()? {
            None => Ok(false),
            Some(Told::Stands) => Ok(true),
            Some(other) => Err(format!("launch said {other:?}")),
        }
    }

    /// Every role but queue, whose user is none, can be started.
    fn start_all_but_root(&mut self) -> Result<(), String> {
        for role in Role::ALL {
            let told = self.ask_start(role)?;
            let right = match told {
                Some(Told::Started(started, _)) => {
                    started == Whom::Role(role) && role != Role::Queue
                }
                Some(Told::Failed(failed, _)) => failed == role && role == Role::Queue,
                _ => false,
            };
            if !right {
                return Err(format!("{role} was asked for: {told:?}"));
            }
        }
        self.look().map(drop)
    }

    fn ask_start(&mut self, role: Role) -> Result<Option<Told>, String> {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket).map_err(words)?;
        self.put(&Ask::Start(role).encode(), &[theirs.as_fd()])?;
        self.births.push(ours);
        loop {
            match self.hear()? {
                // One that was ended before is told of between.
                Some(Told::Ended(..)) => {}
                told => return Ok(told),
            }
        }
    }

    /// One record of any kind. Whether launch may go on after it.
    fn attack(&mut self, random: &mut Random) -> Result<bool, String> {
        let role = *random.of(&Role::ALL);
        let null = File::open("/dev/null").map_err(words)?;
        let fds = [null.as_fd(); 3];
        let start = Ask::Start(role).encode();
        let kill = Ask::Kill(Whom::Role(role)).encode();
        match random.below(28) {
            // Right ones: some run already, some do not.
            0..=11 => match self.ask_start(role)? {
                Some(Told::Started(Whom::Role(one), _) | Told::Failed(one, _)) if one == role => {
                    Ok(true)
                }
                other => Err(format!("{role} was asked for: {other:?}")),
            },
            12..=15 => self.put(&kill, &[]),
            24..=26 => self.ask_for_a_courier(random),
            27 => self.ask_whether_it_is_awake(),
            16 => self.ended_by(&start, &[]),
            17 => self.ended_by(&start, &fds[..2]),
            18 => self.ended_by(&kill, &fds[..1]),
            19 => self.ended_by(&Ask::Users(users(|_| ())).encode(), &[]),
            20 => {
                let root = |users: &mut Users| {
                    users.roles.insert(role, Ids { uid: 0, gid: 0 });
                };
                self.ended_by(&Ask::Users(users(root)).encode(), &fds[..1])
            }
            21 => {
                let short = usize::try_from(random.below(RECORD_OCTETS as u64)).unwrap_or(0);
                self.ended_by(&start[..short.max(1)], &fds[..1])
            }
            22 => self.ended_by(&[&start[..], &[0]].concat(), &fds[..1]),
            _ => {
                let mut octets = start;
                for octet in &mut octets {
                    *octet = random.next().to_le_bytes()[5];
                }
                octets[0] |= 4;
                self.ended_by(&octets, &fds[..1])
            }
        }
    }

    /// Nobody who is root, or the system's, or not there, has a courier.
    fn ask_for_a_courier(&mut self, random: &mut Random) -> Result<bool, String> {
        let name = *random.of(&["root", "daemon", "bin", "mail", "nobody", "no-such-user"]);
        let place = u8::try_from(random.below(COURIERS_MAX.into())).unwrap_or(0);
        let name = Name::new(name).ok_or("no name")?;
        let (_, theirs) = sys::socket::pair(Kind::SeqPacket).map_err(words)?;
        self.put(&Ask::Deliver(place, name).encode(), &[theirs.as_fd()])?;
        loop {
            match self.hear()? {
                Some(Told::Ended(..)) => {}
                Some(Told::Unfit(one, _)) if one == place => return Ok(true),
                told => return Err(format!("a courier for {name:?}: {told:?}")),
            }
        }
    }

    fn ask_whether_it_is_awake(&self) -> Result<bool, String> {
        self.put(&Ask::Watch.encode(), &[])?;
        loop {
            match self.hear()? {
                Some(Told::Ended(..)) => {}
                Some(Told::Awake) => return Ok(true),
                told => return Err(format!("whether it is awake: {told:?}")),
            }
        }
    }

    /// Says what launch cannot have, and waits until it has ended.
    fn ended_by(&mut self, octets: &[u8], fds: &[BorrowedFd<'_>]) -> Result<bool, String> {
        self.put(octets, fds)?;
        let began = Instant::now();
        while began.elapsed() < SOON {
            match self.hear()? {
                None => return Ok(false),
                Some(Told::Started(..)) if octets.len() != RECORD_OCTETS => {
                    return Err(format!("launch took {octets:?}"));
                }
                Some(_) => {}
            }
        }
        Err(format!("launch goes on after {octets:?}"))
    }

    /// What launch has started: roles by their arguments, each once, each as its own user and nobody as root. How many.
    fn look(&self) -> Result<u64, String> {
        let mut found = BTreeMap::new();
        for pid in children_of(self.child.id()) {
            let Some(words) = arguments(pid) else {
                continue;
            };
            let role = match &words[..] {
                [program, word, name] if program == "ringmail" && word == "role" => {
                    Role::from_name(name)
                }
                // Forked to start or to end a role, and still as launch is: without root since it stands.
                [_, word, name, _] if word == "role" && name == "launch" => None,
                _ => return Err(format!("launch started {words:?}")),
            };
            let mut ids = ids_of(pid);
            let began = Instant::now();
            // One that was just executed is launch still, and becomes who it is before anything else: its groups first, so
            // that it is seen half way, too.
            let becomes = |ids: &[u32]| {
                let may_be =
                    |id: &u32| *id == LAUNCH_ID || role.is_some_and(|role| *id == id_of(role));
                ids.contains(&LAUNCH_ID) && ids.iter().all(may_be)
            };
            while role.is_some() && becomes(&ids) && began.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(1));
                ids = ids_of(pid);
            }
            let Some(role) = role else {
                let known = |id: &u32| (FIRST_ID..FIRST_ID + 30).contains(id);
                if ids.iter().all(known) {
                    continue;
                }
                return Err(format!("a child of launch has the ids {ids:?}"));
            };
            if ids.iter().any(|id| *id != id_of(role)) {
                return Err(format!("{role} has the ids {ids:?}"));
            }
            if found.insert(role, pid).is_some() {
                return Err(format!("{role} runs twice"));
            }
        }
        Ok(found.len() as u64)
    }
}

/// The users and groups of a process: real, effective, saved and of files. Nothing where it is gone.
fn ids_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    let ours = lines.filter(|(name, _)| ["Uid", "Gid", "Groups"].contains(name));
    ours.flat_map(|(_, ids)| ids.split_whitespace())
        .filter_map(|id| id.parse().ok())
        .collect()
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.births.clear();
        sys::process::kill(&mut self.child);
        let _ = self.child.wait();
    }
}
