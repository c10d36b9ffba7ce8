//! The supervisor is real, as a plain user, and so are the roles but one, in whose place somebody is who says to the
//! supervisor what he likes: rubbish, words of others, lies about walls, the same word very often, or nothing at all. Nothing is started but
//! the roles, each once; the others go on; the service does not end by it, and serves when the role is itself again.
//!
//! All of it are processes of this program, which find what they are to be in a file of the folder that they run in.

use super::admin::Control;
use super::random::Random;
use super::words;
use crate::role::{FIRST_ID, Place, SUPERVISOR};
use ringmail::config::Config;
use ringmail::confine::{Layer, Layers, Missing};
use ringmail::ipc::control::{Answer, Request};
use ringmail::ipc::spawn::{FromRole, Role, Situation, ToRole};
use ringmail::ipc::supervise::Question;
use ringmail::role::supervisor::{self, Start, root};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

/// Lives of the one who has taken a role over; then the role is itself again.
const LIVES: u64 = 4;
/// Words of one kind in a life.
const WORDS: u64 = 300;
/// How long all of it may take.
const LONGEST: Duration = Duration::from_mins(1);
/// How long the supervisor may take to end when it is told to.
const STOP: Duration = Duration::from_secs(8);
/// How often the supervisor asks roles whether they are awake. Honest ones have two rounds, whatever the machine does.
const WATCH_ROUND: Duration = Duration::from_secs(3);
/// Names the role that is taken over.
const TAKEN: &str = "taken";
/// Has a line for each life of it.
const LIVED: &str = "lived";

pub fn look() -> Vec<String> {
    // Each waits most of the time, for a role that died is not started again at once.
    std::thread::scope(|scope| {
        let sieges = Role::ALL.map(|role| (role, scope.spawn(move || siege(role))));
        let wrong = sieges.map(|(role, siege)| match siege.join() {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(format!("{role}: {why}")),
            Err(_) => Some(format!("{role}: the test panicked")),
        });
        wrong.into_iter().flatten().collect()
    })
}

/// One role is taken over.
fn siege(role: Role) -> Result<(), String> {
    let place = Place::new();
    let folder = place.folder();
    fs::write(folder.join(TAKEN), role.name()).map_err(words)?;
    let mut service = Service::prepared(&place)?;
    let went = service.watch(role);
    let said = fs::read_to_string(folder.join("said")).unwrap_or_default();
    let went = went.and_then(|()| service.ends());
    if said.contains("panicked") {
        return Err(format!("somebody panicked: {said:.3000}"));
    }
    went.map_err(|why| {
        let from = said.len().saturating_sub(3000);
        format!("{why}\n{}", said.get(from..).unwrap_or(&said))
    })
}

/// Writes the configuration that it runs by.
fn configure(place: &Place) -> Result<(), String> {
    let folder = place.folder();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let port = port.map_err(words)?.port();
    let dir = folder.display();
    let configuration = format!(
        "hostname = \"mx.a.test\"\nspool = \"{dir}/spool\"\nruntime = \"{dir}/run\"\nsandbox = \"required\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n[log]\nfolder = \"{dir}/events\"\n[dns]\nservers = [\"127.0.0.1:5353\"]\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{dir}/mail/{{user}}\"\n"
    );
    fs::write(folder.join("ringmail.toml"), configuration).map_err(words)
}

/// The supervisor's process, and its folder.
pub struct Service<'a> {
    child: Child,
    place: &'a Place,
}

impl<'a> Service<'a> {
    /// With a configuration.
    pub fn prepared(place: &'a Place) -> Result<Self, String> {
        configure(place)?;
        Self::start(place)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until all of it serves.
    pub fn begins(&mut self) -> Result<(), String> {
        self.serves(Instant::now())
    }

    fn start(place: &'a Place) -> Result<Self, String> {
        let said = File::create(place.folder().join("said")).map_err(words)?;
        // By this: the user who it will be may not be able to reach where this program lies.
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["role", SUPERVISOR])
            .current_dir(place.folder())
            .stdout(said.try_clone().map_err(words)?)
            .stderr(said);
        if place.has_users() {
            command.uid(FIRST_ID).gid(FIRST_ID);
        }
        let child = command.spawn().map_err(words)?;
        Ok(Self { child, place })
    }

    /// Looks at what runs until the role is itself again and all serve.
    fn watch(&mut self, taken: Role) -> Result<(), String> {
        let began = Instant::now();
        let mut others = BTreeMap::new();
        while began.elapsed() < LONGEST {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the service has ended: {status}"));
            }
            let roles = self.roles()?;
            // Who is honest is never started anew.
            for (role, pid) in roles.iter().filter(|(role, _)| **role != taken) {
                let first = *others.entry(*role).or_insert(*pid);
                if first != *pid {
                    return Err(format!("{role} was started anew"));
                }
            }
            let lived = fs::read_to_string(self.place.folder().join(LIVED)).unwrap_or_default();
            if lived.lines().count() as u64 > LIVES && roles.len() == Role::ALL.len() {
                return self.serves(began);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("the role is not itself again".into())
    }

    /// Waits until the service says of itself that all of it serves: admin, queue and the supervisor have their say.
    fn serves(&self, began: Instant) -> Result<(), String> {
        let path = self.place.folder().join("run/control");
        let mut last = String::new();
        while began.elapsed() < LONGEST {
            let asked = ringmail::role::in_event_loop(async {
                let mut command = Control::connect(&path).map_err(io::Error::other)?;
                let answer = command.ask(&Request::Health).await;
                answer.map_err(io::Error::other)
            });
            match asked {
                Ok(Answer::Healthy { absent, .. }) if absent.is_empty() => return Ok(()),
                other => last = format!("{other:?}"),
            }
            self.roles()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("it does not serve: {last}"))
    }

    /// The supervisor's children: each is a role by its arguments, and none is there twice.
    fn roles(&self) -> Result<BTreeMap<Role, u32>, String> {
        let mut roles = BTreeMap::new();
        for pid in children_of(self.child.id()) {
            let Some(words) = arguments(pid) else {
                continue;
            };
            let role = match &words[..] {
                [program, word, name] if program == "ringmail" && word == "role" => {
                    Role::from_name(name)
                }
                // Forked, and not executed yet.
                [_, word, name] if word == "role" && name == SUPERVISOR => continue,
                _ => None,
            };
            let role = role.ok_or_else(|| format!("the supervisor started {words:?}"))?;
            if roles.insert(role, pid).is_some() {
                return Err(format!("{role} runs twice"));
            }
        }
        Ok(roles)
    }

    /// Told to end it does so in order, and leaves nobody.
    fn ends(&mut self) -> Result<(), String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(words)?;
        let began = Instant::now();
        while began.elapsed() < STOP {
            if let Ok(Some(status)) = self.child.try_wait() {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("it ended with {status}"))
                };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("it does not end when it is told to".into())
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // Its children go with it.
        sys::process::kill(&mut self.child);
        let _ = self.child.wait();
    }
}

/// What a process was started with; nothing where it is gone or was not executed at all.
pub fn arguments(pid: u32) -> Option<Vec<String>> {
    let octets = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = octets.split(|octet| *octet == 0);
    let words: Vec<String> = words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let (last, front) = words.split_last()?;
    (last.is_empty() && !front.is_empty()).then(|| front.to_vec())
}

/// Processes whose parent is this one, and that have not ended.
pub fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut behind = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, of) = (behind.next(), behind.next());
        state != Some("Z") && of == Some(&*parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// Is the supervisor, in the folder that it runs in.
pub fn be_supervisor() -> ExitCode {
    let went = supervise();
    if let Err(error) = &went {
        eprintln!("the supervisor: {error}");
    }
    match went {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn supervise() -> io::Result<()> {
    ringmail::event::speak_as("supervisor");
    let path = std::env::current_dir()?.join("ringmail.toml");
    let configuration = fs::read_to_string(&path)?;
    serve(
        &path.display().to_string(),
        configuration,
        WATCH_ROUND,
        root::get_ready,
    )
}

/// Serves by this configuration, with what `get_ready` gets.
pub fn serve(
    path: &str,
    configuration: String,
    watch_round: Duration,
    get_ready: impl FnOnce(&Config) -> io::Result<root::Ready>,
) -> io::Result<()> {
    let situation = Situation::Run;
    let config = Config::parse(&configuration, path, situation)
        .map_err(|errors| io::Error::other(errors.to_string()))?;
    let ready = get_ready(&config)?;
    let start = Start {
        config,
        configuration,
        path: path.into(),
        situation,
        ready: "ready".into(),
        watch_round,
    };
    ringmail::role::in_event_loop(supervisor::run(start, ready))
}

/// Is a role that a real supervisor started: itself, or taken over.
pub fn be_role(role: Role) -> ExitCode {
    let taken = fs::read_to_string(TAKEN).unwrap_or_default();
    if taken != role.name() {
        return ringmail::role::main(role, Layers::ALL, None);
    }
    let life = fs::read_to_string(LIVED)
        .unwrap_or_default()
        .lines()
        .count() as u64;
    let lived = File::options().append(true).create(true).open(LIVED);
    if lived.and_then(|mut file| writeln!(file, "life")).is_err() {
        return ExitCode::FAILURE;
    }
    if life >= LIVES {
        return ringmail::role::main(role, Layers::ALL, None);
    }
    match be_taken(role, life) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}, taken over: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The supervisor's other end, in the hands of somebody who has no walls either.
struct Taken {
    birth: OwnedFd,
    random: Random,
    role: Role,
}

fn be_taken(role: Role, life: u64) -> io::Result<()> {
    let birth = sys::process::take_birth_socket()?.ok_or(io::ErrorKind::NotFound)?;
    let mut it = Taken {
        birth,
        random: Random::new(0xbad + life),
        role,
    };
    // Honest until it serves: before that it has heard nothing from anybody who could take it over.
    while !matches!(it.hear()?, Some(ToRole::Orders { .. })) {}
    let stand = Layer::ALL.into_iter().filter(|layer| layer.is_of(role));
    it.say(&FromRole::Confined {
        stand: stand.collect(),
        missing: Vec::new(),
        absent: Vec::new(),
    })?;
    while !matches!(it.hear()?, Some(ToRole::Begin)) {}
    // queue alone may take as long as it likes to begin.
    if life == LIVES - 1 && role != Role::Queue {
        loop {
            std::thread::sleep(LONGEST);
        }
    }
    it.say(&FromRole::Ready)?;
    for _ in 0..WORDS {
        if it.role == Role::Admin {
            let question = *it.random.of(&[Question::Status, Question::Reload]);
            let token = it.random.next();
            it.say(&FromRole::Asks { token, question })?;
        }
        if it.role == Role::Local {
            let names = [
                "root",
                "nobody",
                "no-such-user",
                "../x",
                "",
                "ringmail-queue",
            ];
            let user = (*it.random.of(&names)).to_owned();
            let token = it.random.next();
            it.say(&FromRole::Calls { token, user })?;
            let token = it.random.below(1000);
            it.say(&FromRole::LetsGo { token })?;
        }
        it.say(&FromRole::Ready)?;
    }
    it.last_words(life)?;
    // Nobody ends itself who has taken something over. The supervisor must.
    loop {
        std::thread::sleep(Duration::from_millis(5));
        drop(it.hear());
    }
}

impl Taken {
    /// What no role may say once it serves: that the service cannot go on, and by turns other things.
    fn last_words(&mut self, life: u64) -> io::Result<()> {
        if life == 0 {
            return self.say(&FromRole::Hopeless("nobody can serve any more".into()));
        }
        let place = Role::ALL.iter().position(|one| *one == self.role);
        match (place.unwrap_or(0) as u64 + life) % 6 {
            0 => {
                // It closes its end and lives, so that nobody can tell it anything.
                let (other, _) = sys::socket::pair(sys::socket::Kind::SeqPacket)?;
                self.birth = other;
                loop {
                    std::thread::sleep(LONGEST);
                }
            }
            1 => {
                let missing = Missing {
                    layer: Layer::Seccomp,
                    cause: "x".repeat(100_000),
                };
                self.say(&FromRole::Confined {
                    stand: Vec::new(),
                    missing: vec![missing],
                    absent: ["/", "/etc", "/tmp"].map(Into::into).to_vec(),
                })
            }
            // It never says a word again.
            4 => loop {
                std::thread::sleep(LONGEST);
            },
            2 => {
                for number in 0..2 {
                    self.say(&FromRole::Trapped([number, 0, 0, 0]))?;
                }
                Ok(())
            }
            3 if self.role != Role::Admin => {
                let question = Question::Reload;
                self.say(&FromRole::Asks { token: 1, question })
            }
            _ => {
                let null = File::open("/dev/null")?;
                let octets = [vec![0xFF], self.random.octets(100_000)].concat();
                let fds = [null.as_fd(), null.as_fd()];
                let count = usize::try_from(self.random.below(3)).unwrap_or(0);
                self.put(&octets, &fds[..count])
            }
        }
    }

    fn say(&self, record: &FromRole) -> io::Result<()> {
        let octets = postcard::to_stdvec(record).map_err(io::Error::other)?;
        self.put(&octets, &[])
    }

    /// Puts a record, as soon as there is room.
    fn put(&self, octets: &[u8], fds: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            match sys::socket::send(&self.birth, octets, fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                sent => return sent.map(drop),
            }
        }
    }

    /// What the supervisor says; nothing where it says nothing now.
    fn hear(&self) -> io::Result<Option<ToRole>> {
        let mut octets = vec![0; ringmail::drive::birth::RECORD_OCTETS];
        match sys::socket::receive(&self.birth, &mut octets, &mut Vec::new()) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(postcard::from_bytes(&octets[..count]).ok()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
