//! Those who have taken the roles over say lines to admin: in others' names, of many kinds of quotes, too long, cut, and
//! more than anybody can write down. What stands in the event store was said by whom it names, it stays within its
//! bounds, and who is honest is heard meanwhile.

use super::admin::{Control, control_socket};
use super::random::Random;
use super::{Besieged, SOON, run, words};
use crate::role::Place;
use mail::Time;
use ringmail::event::keep::LINE_OCTETS;
use ringmail::event::read::{self, Record};
use ringmail::event::store;
use ringmail::ipc::control::{Answer, Counts, Request};
use ringmail::ipc::spawn::{Arrow, Listener, Role, Source, ToRole};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use sys::socket::{Kind, pair};

/// Words of the attackers.
const WORDS: u64 = 1500;
/// The least size that the configuration takes.
const STORE_OCTETS: u64 = 8 << 20;
/// Octets of a flood: more than the store may have.
const FLOOD_OCTETS: u64 = STORE_OCTETS + STORE_OCTETS / 2;
/// A time that is one.
const AT: &str = "2026-11-24T12:00:00.000001Z";

const CONFIGURATION: &str = "hostname = \"mx.a.test\"\nspool = \"{dir}/spool\"\nruntime = \"{dir}/run\"\n\
    [listen]\nmx = \"127.0.0.1:2525\"\n[log]\nfolder = \"{dir}/events\"\nsize = \"8 MiB\"\n\
    [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = { postmaster = \"ann\" }\n\
    deliver = \"maildir:{dir}/mail/{user}\"\n";

/// Those who were taken over: all but admin itself.
const TAKEN: [Role; 5] = [
    Role::Queue,
    Role::Policy,
    Role::Local,
    Role::Relay,
    Role::Smtpd,
];

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let orders = place.orders_by(CONFIGURATION);
        let mut admin = Besieged::start_by(place, Role::Admin, &orders).map_err(words)?;
        let (path, socket) = control_socket(place)?;
        let order = ToRole::Listener(Listener::Control);
        admin.birth.order(&order, Some(&socket)).map_err(words)?;
        let queue = admin.arrow(Arrow::Control);
        answer_counts(queue)?;
        admin.serves().await?;
        let honest = end(&admin, Source::Supervisor).await?;
        let folder = place.folder().join("events");
        let before = place.all_but("events");
        let mut said = 0;
        forge(&admin, &honest, &mut said).await?;
        said += 1;
        say_honest(&honest, said)?;
        wait_for(&folder, said).await?;
        owners(&folder, said)?;
        endless(&admin).await?;
        flood(&admin, &honest, &path, said + 1).await?;
        wait_for(&folder, said + 1).await?;
        let octets = size(&folder);
        if octets > STORE_OCTETS {
            return Err(format!("the event store has {octets} octets"));
        }
        if place.all_but("events") != before {
            return Err("files outside the event store are others".into());
        }
        if admin.lives() {
            Ok(())
        } else {
            Err("admin has ended".into())
        }
    })
}

/// A source's end of its way.
async fn end(admin: &Besieged, source: Source) -> Result<OwnedFd, String> {
    let (ours, theirs) = pair(Kind::Stream).map_err(words)?;
    // admin reads its orders beside all else.
    for _ in 0..1000 {
        match admin.birth.order(&ToRole::Log(source), Some(&theirs)) {
            Ok(()) => return Ok(ours),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    Err("admin does not hear its orders".into())
}

/// The honest line of a number.
fn say_honest(honest: &OwnedFd, number: u64) -> Result<(), String> {
    let line = format!(
        "at={AT} event=role.started level=info role=supervisor process=honest pid={number}\n"
    );
    match sys::socket::send(honest, line.as_bytes(), &[]) {
        Ok(taken) if taken == line.len() => Ok(()),
        other => Err(format!("the honest line was not taken: {other:?}")),
    }
}

/// Lines of those who were taken over, and between them one that is honest now and then.
async fn forge(admin: &Besieged, honest: &OwnedFd, said: &mut u64) -> Result<(), String> {
    let mut random = Random::new(0x106);
    let mut ends = Vec::new();
    for role in TAKEN {
        ends.push((role, end(admin, Source::Role(role)).await?));
    }
    for word in 0..WORDS {
        let at = usize::try_from(random.below(ends.len() as u64)).unwrap_or(0);
        let (role, socket) = &mut ends[at];
        // A way that misbehaved is closed; the attacker is given another as often as he likes.
        let alive = sys::socket::send(&*socket, &line(&mut random, *role), &[]).is_ok();
        if !alive || random.below(3) == 0 {
            *socket = end(admin, Source::Role(*role)).await?;
        }
        if word % 50 == 0 {
            *said += 1;
            say_honest(honest, *said)?;
            // And one that is right comes alone, for it would share the end of others.
            let own = end(admin, Source::Role(*role)).await?;
            let right = right_line(*role, "alone");
            sys::socket::send(&own, right.as_bytes(), &[]).map_err(words)?;
            *socket = end(admin, Source::Role(*role)).await?;
            // More ends on their way than it may have descriptors would be the test's fault: a supervisor gives one a birth.
            admin.hears().await?;
        }
    }
    Ok(())
}

/// What the attackers put into each of their lines.
fn mark(role: Role) -> String {
    format!("taken-{role}")
}

/// A line that a role may say.
fn right_line(role: Role, place: &str) -> String {
    let cause = mark(role);
    format!("at={AT} event=trouble.met level=error role={role} place={place} cause={cause}\n")
}

fn line(random: &mut Random, role: Role) -> Vec<u8> {
    let other = *random.of(&[
        "queue",
        "supervisor",
        "admin",
        "policy",
        "smtpd",
        "smtpd2",
        "",
    ]);
    let (own, mark) = (role.name(), mark(role));
    let front = format!("at={AT} event=message.accepted level=info role={own}");
    let text = match random.below(17) {
        0 => format!("{front} cause=\"{mark}\"\n"),
        1 => format!("at={AT} event=message.accepted level=info role={other} cause={mark}\n"),
        // Values that span the front, so that another comes behind it.
        2 => format!(
            "at={AT} event=message.accepted level=\"info role={own} \" role={other} cause={mark}\n"
        ),
        3 => format!("at={AT} event=\"x level=info role={own} \" role={other} cause={mark}\n"),
        4 => format!(
            "at=\"{AT} event=x level=info role={own} \" event=y level=info role={other} cause={mark}\n"
        ),
        5 => format!(
            "at={AT} event=message.accepted level=\" role={own} \"role={other} cause={mark}\n"
        ),
        // Fields of the front that come once more.
        6 => format!("{front} cause={mark} role={other}\n"),
        7 => format!("{front} cause=\"{mark}\" event=role.ended level=error role={other}\n"),
        8 => format!("{front} cause=\"{mark}\\u{{\"}} \" role={other}\n"),
        9 => format!("{front} cause=\"{mark}\\\\\" role={other} x=\"\n"),
        10 => format!("{front} cause=\"{mark}\"role={other}\n"),
        11 => format!("{front} cause={mark}\"x role={other} y=\"\n"),
        // A line's end within a value, or a line of another behind one's own.
        12 => format!(
            "{front} cause=\"{mark}\nat={AT} event=message.accepted level=info role={other} cause=\"{mark}\"\n"
        ),
        13 => format!("{front} cause=\"{mark}\u{1b}[2J\u{e9}\0\"\n"),
        // Without an end, to be the front of what is said next.
        14 => format!("{front} cause=\"{mark}"),
        15 => format!("{front} cause={mark} x={}\n", "b".repeat(LINE_OCTETS)),
        _ => return random.octets(300),
    };
    text.into_bytes()
}

/// Every line of the store, as it stands there.
fn lines(folder: &Path) -> Vec<String> {
    let files = store::files(folder).unwrap_or_default();
    let text = |(_, path): &(Time, std::path::PathBuf)| {
        let octets = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    };
    let texts: Vec<String> = files.iter().map(text).collect();
    texts.concat().lines().map(String::from).collect()
}

fn size(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}

/// Waits until the honest line of a number is in the store.
async fn wait_for(folder: &Path, number: u64) -> Result<(), String> {
    let wanted = format!("role=supervisor process=honest pid={number}");
    let until = tokio::time::Instant::now() + SOON;
    while tokio::time::Instant::now() < until {
        if lines(folder).iter().any(|line| line.ends_with(&wanted)) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("the honest line {number} is not in the store"))
}

/// Whether each line was said by whom it names, however it is read, and no honest one is missing.
fn owners(folder: &Path, said: u64) -> Result<(), String> {
    let (mut honest, mut taken) = (0, 0);
    for line in lines(folder) {
        let marked = TAKEN.into_iter().find(|role| line.contains(&mark(*role)));
        let owner = match marked {
            Some(role) => role.name(),
            None if line.contains("process=honest") => "supervisor",
            None => "admin",
        };
        honest += u64::from(owner == "supervisor");
        taken += u64::from(marked.is_some());
        if line.len() > LINE_OCTETS || !line.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(format!("no line of the log: {line:.300}"));
        }
        // What cannot be read is nobody's word.
        let Some(record) = Record::parse(&line) else {
            continue;
        };
        let json = record.json();
        let names = [record.field("role"), json["role"].as_str()];
        let events = [Some(&*record.name), json["event"].as_str()];
        if names != [Some(owner); 2] || events[0] != events[1] || record.name.contains(' ') {
            return Err(format!("said by {owner}: {line:.300}"));
        }
    }
    let mut read = 0;
    let counted = read::each(folder, Time::default(), |record| {
        read += u64::from(record.field("process") == Some("honest"));
        true
    });
    counted.map_err(words)?;
    if honest != said || read != said || taken < 20 {
        return Err(format!(
            "of {said} honest lines {honest} are there, {read} can be read; {taken} of the others"
        ));
    }
    Ok(())
}

/// A line that never ends is not kept for its end.
async fn endless(admin: &Besieged) -> Result<(), String> {
    let socket = end(admin, Source::Role(Role::Relay)).await?;
    let began = tokio::time::Instant::now();
    let (piece, mut taken) = (vec![b'x'; 32 * 1024], 0);
    while taken < 4 << 20 && began.elapsed() < SOON {
        match sys::socket::send(&socket, &piece, &[]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(_) => return Ok(()),
        }
    }
    Err(format!("admin took {taken} octets of one line"))
}

/// One role says right lines of its own as fast as it can; meanwhile another is heard and a command is answered.
async fn flood(admin: &Besieged, honest: &OwnedFd, path: &Path, number: u64) -> Result<(), String> {
    let socket = end(admin, Source::Role(Role::Smtpd)).await?;
    let (stop, taken) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let flooder = {
        let (stop, taken) = (Arc::clone(&stop), Arc::clone(&taken));
        std::thread::spawn(move || pour(&socket, &stop, &taken))
    };
    let story = async {
        while taken.load(Ordering::Relaxed) < FLOOD_OCTETS {
            if flooder.is_finished() {
                return Err("a flood of right lines was ended".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        say_honest(honest, number)?;
        let mut command = Control::connect(path)?;
        match command.ask(&Request::Count).await? {
            Answer::Counts(_) => Ok(()),
            other => Err(format!("no counts: {other:?}")),
        }
    };
    let went = tokio::time::timeout(SOON, story).await;
    stop.store(true, Ordering::Relaxed);
    let _ = flooder.join();
    went.map_err(|_| "nobody is answered during a flood".to_owned())?
}

fn pour(socket: &OwnedFd, stop: &AtomicBool, taken: &AtomicU64) {
    let lines = right_line(Role::Smtpd, "flood").repeat(500);
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        match sys::socket::send(socket, &lines.as_bytes()[at..], &[]) {
            Ok(count) => {
                at = (at + count) % lines.len();
                taken.fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            Err(_) => return,
        }
    }
}

/// An honest queue, which is asked how much it has.
fn answer_counts(queue: OwnedFd) -> Result<(), String> {
    let (sender, mut receiver) =
        ringmail::drive::arrow::open::<(u64, Answer), (u64, Request)>(queue).map_err(words)?;
    tokio::task::spawn_local(async move {
        while let Some(heard) = receiver.hear().await {
            let answer = (heard.head.0, Answer::Counts(Counts::default()));
            let _ = sender.say(&answer, &[], None);
        }
    });
    Ok(())
}
