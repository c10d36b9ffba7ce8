//! One role, closed and then told to do an act: how it is started, and what it is when it runs.

use super::outcome::{DONE, NOTHING, Outcome};
use super::stand_ins::{launch, supervisor, watched};
use ringmail::config::Config;
use ringmail::confine::{Layer, Layers};
use ringmail::drive::birth::Birth;
use ringmail::ipc::spawn::{FromRole, Role, Situation, ToRole};
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use sys::acts::{self, Person, Target};
use sys::identity::Ids;
use sys::socket::Kind;

/// The first of the roles' ids, where the test is root; no system gives ids there out.
pub const FIRST_ID: u32 = 61_100;
/// launch's.
pub const LAUNCH_ID: u32 = FIRST_ID + 20;
/// The supervisor's.
pub const SUPERVISOR_ID: u32 = FIRST_ID + 21;
/// Somebody else's.
pub const VICTIM_ID: u32 = 61_150;

/// All users of the service, by whose they are.
pub fn people() -> impl Iterator<Item = &'static str> {
    [SUPERVISOR, "launch"]
        .into_iter()
        .chain(Role::ALL.iter().map(|role| role.name()))
}

/// The user of one of them.
fn id_of(person: &str) -> u32 {
    let place = Role::ALL.iter().position(|role| role.name() == person);
    match place {
        Some(at) => FIRST_ID + u32::try_from(at).expect("few roles"),
        None if person == SUPERVISOR => SUPERVISOR_ID,
        None => LAUNCH_ID,
    }
}

/// The names of files that acts make.
const MADE: [&str; 6] = ["x", "link", "null", "fifo", "image", "device"];

/// In the place of layers: the role as it is.
const SEALED: &str = "sealed";

/// In the place of a role: the supervisor.
pub const SUPERVISOR: &str = "supervisor";

/// In the place of layers: launch as it is.
const ITSELF: &str = "itself";

/// What is done, and by whom.
pub struct Run<'a> {
    /// By which role.
    pub role: Role,
    /// The act's name.
    pub act: &'a str,
    /// With which layers around it.
    pub layers: &'a [Layer],
}

/// Where roles find what they must not touch.
pub struct Place {
    folder: tempfile::TempDir,
    victim: Child,
    people: Vec<(&'static str, Child)>,
    listener: TcpListener,
    root: bool,
}

impl Place {
    /// Folders that everybody may write to, so that no layer hides behind an owner; another process; a port.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        for sub in [
            "",
            "spool",
            "spool/segment",
            "mail",
            "mail/ann",
            "events",
            "elsewhere",
        ] {
            let path = folder.path().join(sub);
            fs::create_dir_all(&path).expect("writable");
            fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("our own");
        }
        let root = sys::identity::is_root();
        sys::process::raise_file_limit(100_000);
        Self {
            folder,
            victim: sleeper(root.then_some(VICTIM_ID)),
            people: Vec::new(),
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
            root,
        }
    }

    /// Adds a process of each user of the service.
    pub fn populate(&mut self) {
        let root = self.root;
        let people = people().map(|name| (name, sleeper(root.then(|| id_of(name)))));
        self.people.extend(people);
    }

    /// The process of somebody else.
    pub fn victim(&self) -> u32 {
        self.victim.id()
    }

    /// In the words of an argument.
    fn people(&self) -> String {
        let one = |(name, child): &(&str, Child)| format!("{name}:{}:{}", child.id(), id_of(name));
        let all: Vec<String> = self.people.iter().map(one).collect();
        all.join(",")
    }

    /// Whether each role is another user here.
    pub fn has_users(&self) -> bool {
        self.root
    }

    fn configuration(&self) -> String {
        let dir = self.folder.path().display();
        format!(
            "hostname = \"mx.a.test\"\nspool = \"{dir}/spool\"\nruntime = \"{dir}/run\"\n\
             [listen]\nmx = \"127.0.0.1:2525\"\n[log]\nfolder = \"{dir}/events\"\n[dns]\nservers = [\"127.0.0.1:5353\"]\n\
             [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
             deliver = \"maildir:{dir}/mail/{{user}}\"\n"
        )
    }

    /// The folder of all of it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Files and folders that are nobody's business but are there, beside the spool and the mailboxes.
    pub fn files_outside(&self) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![
            self.folder().join("elsewhere"),
            self.folder().join("events"),
        ];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        found
    }

    /// All that lies here but in this folder: each path, and for files their octets.
    pub fn all_but(&self, but: &str) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
        let mut found = std::collections::BTreeMap::new();
        let mut folders = vec![self.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
                let octets = plain.then(|| fs::read(&path).unwrap_or_default());
                if path.is_dir() && path != self.folder().join(but) {
                    folders.push(path.clone());
                }
                found.insert(path, octets.unwrap_or_default());
            }
        }
        found
    }

    /// A role's first orders.
    pub fn orders(&self) -> ToRole {
        self.orders_by(&self.configuration())
    }

    /// A role's first orders by a configuration in which `{dir}` is this folder.
    pub fn orders_by(&self, configuration: &str) -> ToRole {
        let dir = self.folder.path().display().to_string();
        ToRole::Orders {
            configuration: configuration.replace("{dir}", &dir),
            path: "ringmail.toml".into(),
            situation: Situation::Run,
            walls: Vec::new(),
        }
    }

    fn ids(&self, role: Role) -> Option<Ids> {
        let id = id_of(role.name());
        self.root.then_some(Ids { uid: id, gid: id })
    }

    /// Starts the role as it is, with all layers; gives the supervisor's end of its birth.
    pub fn start_sealed(&self, role: Role) -> std::io::Result<(Child, OwnedFd)> {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
        let arguments = ["role", role.name(), SEALED];
        let child = sys::process::start_role(&arguments, theirs.as_fd(), self.ids(role))?;
        Ok((child, ours))
    }

    /// Starts the role, lets it do the act, and waits.
    pub fn run(&self, run: &Run<'_>) -> Outcome {
        // What an act before made would be in the way.
        for folder in ["elsewhere", "spool", "mail", "events"] {
            let folder = self.folder.path().join(folder);
            for made in MADE {
                let _ = fs::remove_file(folder.join(made));
            }
            if self.root {
                put_device(&folder.join("device"));
            }
        }
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket).expect("sockets");
        let names: Vec<&str> = run.layers.iter().map(|layer| layer.name()).collect();
        let (pid, port) = (
            self.victim.id(),
            self.listener.local_addr().expect("bound").port(),
        );
        let arguments = [
            "role",
            run.role.name(),
            &names.join(","),
            run.act,
            &pid.to_string(),
            &port.to_string(),
            &self.people(),
        ];
        let child = sys::process::start_role(&arguments, theirs.as_fd(), self.ids(run.role));
        drop(theirs);
        let octets = postcard::to_stdvec(&self.orders()).expect("encodes");
        let mut child = child.expect("it starts");
        sys::socket::send(&ours, &octets, &[]).expect("it hears");
        let status = child.wait().expect("ours");
        let (mut octets, mut fds) = (vec![0; 64 * 1024], Vec::new());
        while let Ok(count) = sys::socket::receive(&ours, &mut octets, &mut fds)
            && count > 0
        {
            if let Ok(FromRole::Confined { missing, .. }) = postcard::from_bytes(&octets[..count])
                && let Some(missing) = missing.first()
            {
                return Outcome::Odd(format!("goes without {}: {}", missing.layer, missing.cause));
            }
        }
        Outcome::of(status)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let people = self.people.iter_mut().map(|(_, child)| child);
        for child in people.chain([&mut self.victim]) {
            sys::process::kill(child);
            let _ = child.wait();
        }
    }
}

/// A process that does nothing, of this user.
fn sleeper(user: Option<u32>) -> Child {
    let mut command = Command::new("sleep");
    command.arg("600");
    if let Some(id) = user {
        command.uid(id).gid(id);
    }
    command.spawn().expect("sleep runs")
}

/// Puts a device there that everybody may write to, whatever the umask: `/dev/null`. Where root may not, as in some
/// containers, there is none.
fn put_device(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let mode = Mode::from_raw_mode(0o666);
    if mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(1, 3)).is_ok() {
        fs::set_permissions(path, Permissions::from_mode(0o666)).expect("our own");
    }
}

/// What launch may do and what not, with the rights that it keeps: nothing is looked at where the test is not root.
pub fn look_at_launch() -> Vec<String> {
    if !sys::identity::is_root() {
        println!("left out: it takes root");
        return Vec::new();
    }
    let mut expected = vec![
        ("setresuid another".to_owned(), Outcome::Done),
        ("setuid 0".to_owned(), Outcome::Refused(1)),
        ("setreuid 0".to_owned(), Outcome::Refused(1)),
        ("setresuid 0".to_owned(), Outcome::Refused(1)),
        ("setgid 0".to_owned(), Outcome::Refused(1)),
        ("setfsuid 0".to_owned(), Outcome::Refused(1)),
        ("setregid 0".to_owned(), Outcome::Refused(1)),
        ("setresgid 0".to_owned(), Outcome::Refused(1)),
        ("setfsgid 0".to_owned(), Outcome::Refused(1)),
        ("setgroups".to_owned(), Outcome::Refused(1)),
        ("mount".to_owned(), Outcome::Refused(1)),
        ("chroot".to_owned(), Outcome::Refused(1)),
        ("kill another".to_owned(), Outcome::Refused(1)),
        ("ptrace another".to_owned(), Outcome::Refused(1)),
        ("unshare mounts".to_owned(), Outcome::Refused(1)),
    ];
    for person in people() {
        // That is what it is for.
        expected.push((format!("setresuid {person}"), Outcome::Done));
        // Its own user's alone.
        let kills = if person == "launch" {
            Outcome::Done
        } else {
            Outcome::Refused(1)
        };
        expected.push((format!("kill {person}"), kills));
    }
    let mut place = Place::new();
    place.populate();
    let mut wrong = Vec::new();
    for (act, expected) in expected {
        let (_ours, theirs) = sys::socket::pair(Kind::SeqPacket).expect("sockets");
        let pid = place.victim.id().to_string();
        let arguments = ["role", "launch", "", &act, &pid, "0", &place.people()];
        let child = sys::process::start_role(&arguments, theirs.as_fd(), None);
        let status = child.expect("it starts").wait().expect("ours");
        let outcome = Outcome::of(status);
        if outcome != expected {
            wrong.push(format!(
                "launch: {act}: {outcome}, and it should be {expected}"
            ));
        }
    }
    wrong
}

/// Is that role: its name, its layers, its act, another's pid, a port.
pub fn be(arguments: &[String]) -> ExitCode {
    match arguments {
        [name] if name == SUPERVISOR => return supervisor::be_supervisor(),
        [name] if name == watched::WATCHED => return watched::be(),
        // Of a supervisor or of a launch, which name a role and no more.
        [name] => {
            return Role::from_name(name).map_or(ExitCode::from(NOTHING), be_one_of_a_service);
        }
        [name, itself] if name == "launch" && itself == ITSELF => {
            return ringmail::role::launch::main();
        }
        _ => {}
    }
    if arguments.first().is_some_and(|name| name == "launch") {
        let ids = Ids {
            uid: LAUNCH_ID,
            gid: LAUNCH_ID,
        };
        if sys::identity::become_launcher(ids).is_err() {
            return ExitCode::from(NOTHING);
        }
        let nowhere = Path::new("/nowhere");
        return act(arguments, nowhere);
    }
    let (Some(role), Some(names)) = (
        arguments.first().and_then(|name| Role::from_name(name)),
        arguments.get(1),
    ) else {
        return ExitCode::from(NOTHING);
    };
    if names == SEALED {
        return ringmail::role::main(role, Layers::ALL, None);
    }
    let layers = Layer::ALL
        .into_iter()
        .filter(|layer| names.split(',').any(|name| name == layer.name()));
    let layers: Vec<Layer> = layers.collect();
    ringmail::role::main(role, Layers::only(&layers), Some(inside))
}

/// Is a role that a real supervisor or a real launch started.
fn be_one_of_a_service(role: Role) -> ExitCode {
    if !Path::new(launch::IDLE).exists() {
        return supervisor::be_role(role);
    }
    // Until the other end of its birth is closed.
    let Ok(Some(birth)) = sys::process::take_birth_socket() else {
        return ExitCode::from(NOTHING);
    };
    let mut octets = vec![0; ringmail::drive::birth::RECORD_OCTETS];
    loop {
        let mut watched = [PollFd::new(&birth, PollFlags::IN)];
        if poll(&mut watched, None).is_err() {
            return ExitCode::FAILURE;
        }
        match sys::socket::receive(&birth, &mut octets, &mut Vec::new()) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return ExitCode::SUCCESS,
        }
    }
}

fn inside(_: Role, _: &Birth, config: &Config) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    act(&arguments, &config.spool)
}

fn act(arguments: &[String], spool: &Path) -> ExitCode {
    let (Some(act), Some(target)) = (arguments.get(2), target(arguments, spool)) else {
        return ExitCode::from(NOTHING);
    };
    match acts::act(act, &target) {
        Some(Ok(())) => ExitCode::from(DONE),
        Some(Err(number)) => ExitCode::from(u8::try_from(number).unwrap_or(NOTHING)),
        None => ExitCode::from(NOTHING),
    }
}

fn target(arguments: &[String], spool: &Path) -> Option<Target> {
    let text = |path: &Path| CString::new(path.to_str()?).ok();
    let dir = spool.parent()?;
    let own = match arguments.first().and_then(|name| Role::from_name(name)) {
        Some(Role::Local) => "mail",
        Some(Role::Admin) => "events",
        _ => "spool",
    };
    let person = |text: &str| {
        let mut words = text.split(':');
        Some(Person {
            name: words.next()?.to_owned(),
            pid: words.next()?.parse().ok()?,
            uid: words.next()?.parse().ok()?,
        })
    };
    let people = arguments.get(5)?.split(',').filter_map(person);
    Some(Target {
        spool: text(spool)?,
        mail: text(&dir.join("mail"))?,
        elsewhere: text(&dir.join("elsewhere"))?,
        own: text(&dir.join(own))?,
        pid: arguments.get(3)?.parse().ok()?,
        uid: VICTIM_ID,
        port: arguments.get(4)?.parse().ok()?,
        people: people.collect(),
    })
}
