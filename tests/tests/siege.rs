//! Thousands of clients that only cost, and a few that bring mail: all of their mail is taken, once, and memory stays bounded.
//! How long it takes is printed, and compared by whoever reads it: machines differ.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tests::{Client, Program, free_port, left_out, maildir, wait_until};

const SOON: Duration = Duration::from_mins(1);
const IDLE: usize = 10_000;
const SLOW: usize = 2_000;
const GARBAGE: usize = 1_000;
const ADDRESSES: usize = 200;
/// How long mail is sent, without a siege and under one.
const CALM: Duration = Duration::from_secs(4);
const SIEGE: Duration = Duration::from_secs(20);
/// Senders at once; each pauses between two messages.
const SENDERS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// A sender that is told to come later does so after this.
const AGAIN: Duration = Duration::from_millis(500);
/// What smtpd may have in memory: a thousand sessions, each with its buffer, and the program.
const SMTPD_KIB_MAX: u64 = 160 * 1024;

/// One message, however often its sender has to come again; how often it had to.
fn bring(port: u16, subject: &str) -> u32 {
    let to = ["ann@a.test".to_owned()];
    let content = format!("Subject: {subject}\r\n\r\nx\r\n");
    for tries in 0.. {
        let sent = Client::connect(port)
            .and_then(|mut client| client.send("joe@b.test", &to, content.as_bytes()));
        match sent {
            Ok(answer) if answer.starts_with("250 2.0.0") => return tries,
            // Told to come later, in any way.
            _ => thread::sleep(AGAIN),
        }
    }
    unreachable!("there is no last number")
}

/// What senders saw.
#[derive(Default)]
struct Seen {
    subjects: Vec<String>,
    took: Vec<Duration>,
    tries: u32,
}

fn senders(port: u16, what: &str, how_long: Duration) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let until = Instant::now() + how_long;
    let all: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (seen, what) = (Arc::clone(&seen), what.to_owned());
            thread::spawn(move || {
                for number in 0.. {
                    if Instant::now() > until {
                        return;
                    }
                    let subject = format!("{what}-{sender}-{number}");
                    let began = Instant::now();
                    let tries = bring(port, &subject);
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.took.push(began.elapsed());
                    seen.subjects.push(subject);
                    seen.tries += tries;
                    drop(seen);
                    thread::sleep(PAUSE);
                }
            })
        })
        .collect();
    for sender in all {
        sender.join().expect("it sends");
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *seen)
}

fn median(took: &[Duration]) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

fn besiege(port: u16) -> Option<(Child, Arc<Mutex<String>>)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/data/siege.py");
    let numbers = [usize::from(port), IDLE, SLOW, GARBAGE, ADDRESSES];
    let mut child = Command::new("python3")
        .arg(script)
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let figures = Arc::new(Mutex::new(String::new()));
    let (last, output) = (Arc::clone(&figures), child.stdout.take()?);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    });
    Some((child, figures))
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

#[test]
fn mail_comes_through_a_siege() {
    let port = free_port();
    let program = Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    ));
    let smtpd = program
        .roles()
        .into_iter()
        .find(|(name, _)| name == "smtpd");
    let (_, smtpd) = smtpd.expect("it runs");
    let calm = senders(port, "calm", CALM);
    let Some((mut siege, figures)) = besiege(port) else {
        return left_out("mail_comes_through_a_siege", "python3 is missing");
    };
    thread::sleep(Duration::from_secs(3));
    let besieged = senders(port, "siege", SIEGE);
    let figures = figures
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    // Its standard input ends, and so does it.
    drop(siege.stdin.take());
    let _ = siege.wait();
    println!(
        "calm: {} messages, median {:?}; besieged by {}: {} messages, median {:?}, longest {:?}, told to come later {} times; \
         open, greeted, refused, cut: {figures}; smtpd {} KiB at most",
        calm.took.len(),
        median(&calm.took),
        IDLE + SLOW + GARBAGE,
        besieged.took.len(),
        median(&besieged.took),
        besieged.took.iter().max().expect("some were sent"),
        besieged.tries,
        resident_kib(smtpd),
    );
    let sent = calm.subjects.len() + besieged.subjects.len();
    let mailboxes = || maildir::contents(&program.folder().join("mail"));
    wait_until("all is delivered", SOON, || {
        mailboxes().get("ann").is_some_and(|all| all.len() >= sent)
    });
    let all = mailboxes().remove("ann").unwrap_or_default();
    for subject in calm.subjects.iter().chain(&besieged.subjects) {
        let line = format!("Subject: {subject}\r\n");
        let copies = all
            .iter()
            .filter(|content| String::from_utf8_lossy(content).contains(&line));
        assert_eq!(copies.count(), 1, "{subject}");
    }
    let roles = program.roles();
    assert!(
        roles.contains(&("smtpd".to_owned(), smtpd)),
        "smtpd has ended: {roles:?}"
    );
    let kib = resident_kib(smtpd);
    assert!((1..SMTPD_KIB_MAX).contains(&kib), "{kib} KiB");
    let log = program.log();
    let limited: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("event=client.limited"))
        .collect();
    println!(
        "{} lines of refused sessions, {} of sessions that were cut, {} of clients that were put off",
        log.matches("event=session.refused").count(),
        log.matches("event=session.cut").count(),
        limited.len(),
    );
    // Those that besiege us are, and nobody who brings mail. A minute may begin while they do.
    assert!((1..=2 * ADDRESSES).contains(&limited.len()), "{limited:?}");
    assert!(
        limited
            .iter()
            .all(|line| line.contains(" peer_ip=127.1.0.")),
        "{limited:?}"
    );
}
