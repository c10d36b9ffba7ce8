//! Each role in turn is killed, then the whole tree, while mail comes in: everything that had its 250 is
//! delivered, and nothing twice under one name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tests::{Client, Program, find_files, free_port, wait_until};

const SESSIONS: usize = 20;
/// Messages that are acknowledged before it ends, and times that each role and the tree are killed.
const ENOUGH: (usize, usize) = (20_000, 2);
/// A machine on which it takes longer is too slow to say anything.
const LONGEST: Duration = Duration::from_mins(5);
/// Who is killed, in turn.
const VICTIMS: [&str; 7] = ["queue", "local", "smtpd", "policy", "relay", "admin", "all"];

/// What each client was answered 250 to.
type Acknowledged = Arc<Mutex<Vec<String>>>;

fn send_until(stop: &AtomicBool, port: u16, session: usize, acknowledged: &Acknowledged) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut client) = Client::connect(port) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let name = format!("{session}-{number}");
            let content = format!("Subject: {name}\r\n\r\nhello\r\n");
            match client.send("x@y.test", &["ann@a.test".into()], content.as_bytes()) {
                Ok(answer) if answer.starts_with("250") => acknowledged.lock().unwrap().push(name),
                Ok(answer) if answer.starts_with('4') => {}
                Ok(answer) => panic!("{answer}"),
                Err(_) => break,
            }
        }
    }
}

#[test]
fn no_acknowledged_message_is_lost_while_roles_are_killed() {
    let port = free_port();
    let mut program = Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Acknowledged = Arc::default();
    let senders: Vec<_> = (0..SESSIONS)
        .map(|session| {
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            std::thread::spawn(move || send_until(&stop, port, session, &acknowledged))
        })
        .collect();
    let (began, mut killed) = (Instant::now(), 0);
    let enough = |turn: usize| {
        turn >= VICTIMS.len() * ENOUGH.1 && acknowledged.lock().unwrap().len() >= ENOUGH.0
    };
    for (turn, victim) in VICTIMS.iter().cycle().enumerate() {
        std::thread::sleep(Duration::from_secs(1));
        if enough(turn) {
            break;
        }
        assert!(began.elapsed() < LONGEST, "too slow");
        if *victim == "all" {
            program.kill();
            program.run();
            killed += 1;
        }
        for (_, pid) in program.roles().iter().filter(|(role, _)| role == victim) {
            killed += 1;
            let status = std::process::Command::new("kill")
                .arg("-KILL")
                .arg(pid.to_string())
                .status();
            assert!(status.unwrap().success());
        }
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }
    wait_until("nothing is queued", Duration::from_mins(1), || {
        program.queued() == Some(0)
    });
    let mut arrived: BTreeMap<String, u32> = BTreeMap::new();
    for file in find_files(&program.folder().join("mail/ann/new")) {
        let text = std::fs::read_to_string(file).unwrap();
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("Subject: "))
            .unwrap_or_default();
        *arrived.entry(name.to_owned()).or_default() += 1;
    }
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|name| !arrived.contains_key(*name))
        .collect();
    let twice: u32 = arrived.values().map(|count| count - 1).sum();
    println!(
        "{} acknowledged, {killed} kills, {} lost, {twice} delivered twice",
        acknowledged.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "lost: {lost:?}");
    // Each name was sent once, and a second delivery of the same message falls onto the first file.
    assert_eq!(twice, 0, "a message was delivered twice");
}
