//! Mail for users of the machine: it lies in their homes, put there by processes that are they, and nobody who is no person
//! has any.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::rooted::{self, PEOPLE};
use tests::{Client, Program, children_of, find_files, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// Ids that no system gives out.
const ANN: u32 = 60_500;
const BOB: u32 = 60_501;
/// Nobody else in any other test.
const EVE: u32 = 60_510;
const FAY: u32 = 60_511;

fn configuration(mx: u16, users: &[&str]) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\nsandbox = \"required\"\n\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [domain.\"a.test\"]\nusers = {users:?}\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:~/mail/in\"\n"
    )
}

/// A home, and its owner's line in the list of users.
fn person(folder: &Path, name: &str, id: u32, password: &str, home: &str) -> String {
    let path = folder.join("home").join(home);
    if !path.exists() {
        fs::create_dir_all(&path).expect("our own folder");
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&path, mode).expect("our own folder");
        chown(&path, Some(id), Some(id)).expect("root may");
    }
    format!("{name}:{password}:{id}:{id}::{}:/bin/sh\n", path.display())
}

fn send(port: u16, to: &str) {
    let mut client = Client::connect(port).expect("it listens");
    let to = [format!("{to}@a.test")];
    let answer = client.send("joe@b.test", &to, b"Subject: x\r\n\r\nx\r\n");
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("250 2.0.0"), "{answer}");
}

/// A line of `/proc/PID/status`.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    let mut values = lines.filter(|(key, _)| *key == name);
    values.next().map_or_else(String::new, |(_, value)| {
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

/// The couriers, by who they are.
fn couriers(program: &Program) -> Vec<(u32, u32)> {
    let launch = program
        .roles()
        .into_iter()
        .find(|(name, _)| name == "launch");
    let children = children_of(launch.expect("root started it").1);
    let uid = |pid| status(pid, "Uid").split(' ').next()?.parse::<u32>().ok();
    let all = children
        .into_iter()
        .filter_map(|(_, pid)| Some((uid(pid)?, pid)));
    all.filter(|(uid, _)| [ANN, BOB].contains(uid)).collect()
}

fn kill(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.is_ok_and(|status| status.success()));
}

#[test]
fn mail_for_users_of_the_machine_is_put_into_their_homes_by_themselves() {
    let name = "mail_for_users_of_the_machine_is_put_into_their_homes_by_themselves";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let mut program =
        Program::start_by_root_with(&configuration(port, &["ann", "bob"]), |folder| {
            let people =
                person(folder, "ann", ANN, "x", "ann") + &person(folder, "bob", BOB, "x", "bob");
            fs::write(folder.join(PEOPLE), people).expect("our own folder");
        });
    let home = program.folder().join("home");
    for (name, id) in [("ann", ANN), ("bob", BOB)] {
        send(port, name);
        let new = home.join(name).join("mail/in/new");
        wait_until("it is delivered", SOON, || find_files(&new).len() == 1);
        let file = fs::metadata(&find_files(&new)[0]).expect("it is there");
        assert_eq!(
            (file.uid(), file.gid(), file.mode() & 0o7777),
            (id, id, 0o600)
        );
        let folder = fs::metadata(home.join(name).join("mail")).expect("it is there");
        assert_eq!((folder.uid(), folder.mode() & 0o7777), (id, 0o700));
        // One process is he, and nobody else.
        let all = couriers(&program);
        let (_, pid) = *all.iter().find(|(uid, _)| *uid == id).expect("a courier");
        let four = format!("{id} {id} {id} {id}");
        for line in ["Uid", "Gid"] {
            assert_eq!(status(pid, line), four, "{line}");
        }
        assert_eq!(status(pid, "Groups"), "");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status(pid, set), "0".repeat(16), "{set}");
        }
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        assert_eq!(status(pid, "Seccomp_filters"), "2");
        assert_eq!(status(pid, "Umask"), "0077");
        assert_eq!(
            fs::read(format!("/proc/{pid}/environ")).expect("root may"),
            b""
        );
        // It sees his Maildir and nothing else.
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("root may");
        let mut seen: Vec<&str> = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .collect();
        seen.sort_unstable();
        let his = home.join(name).join("mail/in");
        assert_eq!(seen, ["/", his.to_str().expect("UTF-8")]);
    }
    // Large content comes as a file.
    let mut client = Client::connect(port).expect("it listens");
    let large = [
        &b"Subject: large\r\n\r\n"[..],
        &b"a line of it\r\n".repeat(20_000),
    ]
    .concat();
    let answer = client.send("joe@b.test", &["ann@a.test".into()], &large);
    assert!(answer.is_ok_and(|answer| answer.starts_with("250 2.0.0")));
    let new = home.join("ann/mail/in/new");
    wait_until("it is delivered", SOON, || find_files(&new).len() == 2);
    let is_large = |file: &std::path::PathBuf| {
        fs::read(file).is_ok_and(|octets| octets.ends_with(&b"a line of it\n".repeat(20_000)))
    };
    assert_eq!(
        find_files(&new)
            .iter()
            .filter(|file| is_large(file))
            .count(),
        1
    );
    // They stay for a while, and then nobody is anybody.
    send(port, "ann");
    wait_until("it is delivered", SOON, || find_files(&new).len() == 3);
    assert_eq!(couriers(&program).len(), 2);
    wait_until("they are gone", SOON, || couriers(&program).is_empty());
    send(port, "ann");
    wait_until("it is delivered", SOON, || find_files(&new).len() == 4);
    assert!(program.stop());
    let log = program.log();
    assert!(!log.contains("level=error"), "{log}");
}

#[test]
fn who_is_no_person_has_no_mail_as_himself() {
    let name = "who_is_no_person_has_no_mail_as_himself";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let cases = [
        ("root", "its uid is below 1000"),
        ("system", "its uid is below 1000"),
        ("ringmail-queue", "it is one of Ringmail's own users"),
        ("locked", "the user is locked"),
        ("thief", "its home is not there, is not its own"),
        ("missing", "there is no such user on this machine"),
    ];
    let port = free_port();
    let mut users = vec!["ann"];
    users.extend(cases.iter().map(|(name, _)| *name));
    let program = Program::start_by_root_with(&configuration(port, &users), |folder| {
        let people = [
            person(folder, "ann", ANN, "x", "ann"),
            person(folder, "system", 999, "x", "system"),
            person(folder, "locked", 60_502, "!x", "locked"),
            person(folder, "thief", 60_503, "x", "ann"),
        ];
        fs::write(folder.join(PEOPLE), people.concat()).expect("our own folder");
    });
    let check = program.command(&["check"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    let check = String::from_utf8_lossy(&check.stderr).into_owned();
    for (count, (name, why)) in cases.into_iter().enumerate() {
        assert!(
            check.contains(&format!("{name}@a.test can have no mail")),
            "{check}"
        );
        send(port, name);
        wait_until("it is said", SOON, || {
            let log = program.log();
            let mut lines = log.lines();
            lines.any(|line| line.contains(&format!("~{name}: ")) && line.contains(why))
        });
        // It is kept: whoever administers this may mend it.
        assert_eq!(program.queued(), Some(count + 1));
    }
    assert!(!program.log().contains("event=courier.started"));
    assert!(find_files(&program.folder().join("home")).is_empty());
    // Others are not held up.
    send(port, "ann");
    let new = program.folder().join("home/ann/mail/in/new");
    wait_until("it is delivered", SOON, || find_files(&new).len() == 1);
}

#[test]
fn what_a_courier_was_at_when_it_was_killed_is_delivered_once() {
    let name = "what_a_courier_was_at_when_it_was_killed_is_delivered_once";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let program = Program::start_by_root_with(&configuration(port, &["ann"]), |folder| {
        let people = person(folder, "ann", ANN, "x", "ann");
        fs::write(folder.join(PEOPLE), people).expect("our own folder");
    });
    let new = program.folder().join("home/ann/mail/in/new");
    send(port, "ann");
    wait_until("it is delivered", SOON, || find_files(&new).len() == 1);
    let (_, courier) = couriers(&program)[0];
    kill("-STOP", courier);
    for _ in 0..5 {
        send(port, "ann");
    }
    kill("-KILL", courier);
    wait_until("all are delivered", SOON, || find_files(&new).len() == 6);
    wait_until("the queue knows", SOON, || program.queued() == Some(0));
    assert_eq!(find_files(&new).len(), 6);
    assert!(couriers(&program).iter().all(|(_, pid)| *pid != courier));
}

/// Somebody who stops whatever is his as soon as it is.
struct Stopper(std::process::Child);

impl Stopper {
    fn of(user: u32) -> Self {
        let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
        // All that this user may signal but the shell itself, which is the first to do it again and again.
        let stops = "while :; do kill -STOP -1; done 2>/dev/null";
        let mut command = Command::new("setpriv");
        let command = command.args([&*uid, &*gid, "--clear-groups", "sh", "-c", stops]);
        Self(command.spawn().expect("setpriv is there"))
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_stops_his_couriers_stops_nobody_else() {
    let name = "who_stops_his_couriers_stops_nobody_else";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let users = ["ann", "eve", "fay"];
    let program = Program::start_by_root_with(&configuration(port, &users), |folder| {
        let people = [
            person(folder, "ann", ANN, "x", "ann"),
            person(folder, "eve", EVE, "x", "eve"),
            person(folder, "fay", FAY, "x", "fay"),
        ];
        fs::write(folder.join(PEOPLE), people.concat()).expect("our own folder");
    });
    let launch = program
        .roles()
        .into_iter()
        .find(|(name, _)| name == "launch");
    let launch = launch.expect("root started it").1;
    let stopper = Stopper::of(EVE);
    let new = program.folder().join("home/fay/mail/in/new");
    for count in 1..=10 {
        for _ in 0..3 {
            send(port, "eve");
        }
        send(port, "fay");
        wait_until("fay's is delivered", SOON, || {
            find_files(&new).len() == count
        });
        // No child of launch is somebody else and still launch's own program, for launch would wait for it.
        let is_launch = |pid: u32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words == b"ringmail\0launch\0"
        };
        let children = children_of(launch).into_iter();
        for (_, pid) in children.filter(|(_, pid)| is_launch(*pid)) {
            assert_ne!(
                status(pid, "State").chars().next(),
                Some('T'),
                "{pid} is stopped"
            );
        }
    }
    assert!(!program.log().contains("role.stuck"), "{}", program.log());
    // What she stopped is ended when local has no use for it any more.
    drop(stopper);
}

#[test]
fn a_mailbox_that_leads_into_another_s_home_gets_nothing() {
    let name = "a_mailbox_that_leads_into_another_s_home_gets_nothing";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let program = Program::start_by_root_with(&configuration(port, &["ann", "bob"]), |folder| {
        let people =
            person(folder, "ann", ANN, "x", "ann") + &person(folder, "bob", BOB, "x", "bob");
        fs::write(folder.join(PEOPLE), people).expect("our own folder");
        // A link into the home of somebody else, which she cannot look into.
        let mail = folder.join("home/ann/mail");
        fs::create_dir(&mail).expect("root may");
        std::os::unix::fs::symlink(folder.join("home/bob"), mail.join("in")).expect("root may");
        chown(&mail, Some(ANN), Some(ANN)).expect("root may");
    });
    send(port, "ann");
    wait_until("it is deferred", SOON, || {
        program.log().contains("event=attempt.deferred")
    });
    assert!(find_files(&program.folder().join("home")).is_empty());
    assert_eq!(program.queued(), Some(1));
}
