//! The administrator's surface, with the program started for real: the configuration read anew while sessions go on,
//! what stands, waiting for health, and what was kept of events.

use std::fs;
use std::time::Duration;
use tests::{Client, Program, binary, find_files, free_port, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn configuration(mx: u16, users: &str, more: &str) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [domain.\"a.test\"]\nusers = [{users}]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n{more}"
    )
}

/// Writes another configuration for a program that runs.
fn write(program: &Program, text: &str) {
    let text = text.replace("{dir}", &program.folder().display().to_string());
    fs::write(program.config(), text).unwrap();
}

/// Runs a command; its exit code, and what it said on standard output and on standard error.
fn run(program: &Program, arguments: &[&str]) -> (i32, String, String) {
    let output = program.command(arguments);
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What `status --json` says.
fn status(program: &Program) -> serde_json::Value {
    let (code, out, err) = run(program, &["status", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

fn kill(pid: u64, signal: &str) {
    let status = std::process::Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn new_sessions_go_by_the_new_configuration_and_old_ones_go_on() {
    let (port, other) = (free_port(), free_port());
    let program = Program::start(&configuration(port, "\"ann\"", ""));
    let mut old = Client::connect(port).unwrap();
    let before = program.roles();
    old.say("MAIL FROM:<x@y.test>").unwrap();
    assert!(old.say("RCPT TO:<bob@a.test>").unwrap().starts_with("550"));

    write(
        &program,
        &configuration(other, "\"ann\", \"bob\"", "[limits]\nerrors = 7\n"),
    );
    let (code, out, err) = run(&program, &["reload"]);
    assert_eq!((code, &*err), (0, ""), "{out}");
    assert!(out.contains("limits.errors: (default) -> 7\n"), "{out}");
    assert!(out.contains("listen.mx: "), "{out}");
    assert!(out.contains("a.test"), "{out}");

    // The session in progress goes on as it began, on a listener that is closed now.
    assert!(old.say("RCPT TO:<bob@a.test>").unwrap().starts_with("550"));
    assert!(old.say("RCPT TO:<ann@a.test>").unwrap().starts_with("250"));
    assert!(Client::connect(port).is_err(), "the old listener is closed");
    let mut new = Client::connect(other).unwrap();
    let answer = new.send("x@y.test", &["bob@a.test".into()], b"Subject: hi\r\n\r\n");
    assert!(answer.unwrap().starts_with("250 2.0.0"));
    wait_until("bob has it", SOON, || {
        find_files(&program.folder().join("mail/bob/new")).len() == 1
    });
    assert!(old.say("DATA").unwrap().starts_with("354"));
    assert!(old.say(".").unwrap().starts_with("250 2.0.0"));
    assert_eq!(program.roles(), before, "no role was started again for it");
    let stands = status(&program);
    assert!(
        stands["last_reload"]["what"]
            .as_str()
            .unwrap()
            .ends_with("changes"),
        "{stands}"
    );
    let told = "no key changed; the files that it names were read anew\n";
    assert_eq!(run(&program, &["reload"]).1, told);
}

#[test]
fn a_role_that_is_born_after_a_reload_has_the_new_configuration() {
    let port = free_port();
    let program = Program::start(&configuration(port, "\"ann\"", ""));
    write(&program, &configuration(port, "\"ann\", \"bob\"", ""));
    assert_eq!(run(&program, &["reload"]).0, 0);
    let smtpd = program
        .roles()
        .into_iter()
        .find(|(role, _)| role == "smtpd");
    kill(smtpd.unwrap().1.into(), "-KILL");
    wait_until("smtpd serves again", SOON, || {
        Client::connect(port).is_ok_and(|mut client| {
            client.say("MAIL FROM:<x@y.test>").is_ok()
                && client
                    .say("RCPT TO:<bob@a.test>")
                    .is_ok_and(|answer| answer.starts_with("250"))
        })
    });
    let stands = status(&program);
    let smtpd = stands["roles"].as_array().unwrap().iter();
    let smtpd = smtpd.clone().find(|role| role["role"] == "smtpd").unwrap();
    assert_eq!(smtpd["restarts"], 1);
    assert_eq!(smtpd["last_end"], "signal: 9 (SIGKILL)");
}

#[test]
fn what_is_wrong_is_refused_and_nothing_changes() {
    let port = free_port();
    let good = configuration(port, "\"ann\"", "");
    let program = Program::start(&good);
    let serves = || {
        let mut client = Client::connect(port).unwrap();
        client.say("MAIL FROM:<x@y.test>").unwrap();
        assert!(
            client
                .say("RCPT TO:<ann@a.test>")
                .unwrap()
                .starts_with("250")
        );
    };
    // A mistake: the same words as `check`, and its code.
    write(
        &program,
        &configuration(port, "\"bob\"", "[relay]\nfrom = [\"::/0\"]\n"),
    );
    let (code, _, said) = run(&program, &["reload"]);
    assert_eq!(code, 3);
    assert!(
        said.contains("this would be an open relay; refused"),
        "{said}"
    );
    assert_eq!(said, run(&program, &["check"]).2);
    serves();
    // Keys that need a restart say so.
    let moved = good
        .replace("mx.a.test", "other.a.test")
        .replace("{dir}/spool", "{dir}/spool2");
    write(&program, &moved);
    let (code, _, said) = run(&program, &["reload"]);
    assert_eq!(code, 1);
    assert_eq!(
        said,
        "ringmail reload: nothing changed: `hostname`, `spool` needs a restart\n"
    );
    serves();
    // A listener that cannot be opened.
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = held.local_addr().unwrap();
    let wanted = good.replace(
        &format!("mx = \"127.0.0.1:{port}\""),
        &format!("mx = [\"127.0.0.1:{port}\", \"{taken}\"]"),
    );
    write(&program, &wanted);
    let (code, _, said) = run(&program, &["reload"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("listen.mx = \"{taken}\": ")),
        "{said}"
    );
    drop(held);
    serves();
    // The signal does the same, and the log says what came of it.
    write(&program, "hostnme = 1\n");
    kill(program.pid().into(), "-HUP");
    wait_until("the log says so", SOON, || {
        program.log().contains("event=configuration.refused")
    });
    serves();
    write(&program, &configuration(port, "\"ann\", \"bob\"", ""));
    kill(program.pid().into(), "-HUP");
    wait_until("bob is known", SOON, || {
        let mut client = Client::connect(port).unwrap();
        client.say("MAIL FROM:<x@y.test>").unwrap();
        client
            .say("RCPT TO:<bob@a.test>")
            .unwrap()
            .starts_with("250")
    });
}

#[test]
fn status_and_health_say_what_stands() {
    let (port, nobody) = (free_port(), free_port());
    let relay = format!("[relay]\nto = \"smtp://127.0.0.1:{nobody}\"\nfrom = \"127.0.0.1\"\n");
    let mut program = Program::start(&configuration(port, "\"ann\"", &relay));
    let mut client = Client::connect(port).unwrap();
    for n in 0..3 {
        let to = [format!("u{n}@b.test")];
        client
            .send("ann@a.test", &to, b"Subject: x\r\n\r\n")
            .unwrap();
    }
    assert_eq!(run(&program, &["queue", "hold", "--to", "u0@b.test"]).0, 0);
    wait_until("all were tried", SOON, || {
        let queue = &status(&program)["queue"];
        queue["held"] == 1 && queue["waiting"] == 2
    });
    let stands = status(&program);
    let roles: Vec<&str> = stands["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| {
            assert_eq!(role["ready"], true, "{role}");
            assert_eq!(role["missing"], serde_json::json!([]), "{role}");
            let stand = role["sandbox"].as_array().unwrap();
            let namespaces = usize::from(role["role"] != "admin");
            let memory = usize::from(role["role"] == "keys");
            assert_eq!(stand.len(), 5 + namespaces + memory, "{role}");
            role["role"].as_str().unwrap()
        })
        .collect();
    assert_eq!(
        roles,
        [
            "queue",
            "policy",
            "keys",
            "auth",
            "local",
            "relay",
            "admin",
            "smtpd",
            "submission",
        ]
    );
    assert_eq!(stands["queue"]["messages"], 3);
    assert!(stands["queue"]["oldest_secs"].is_u64());
    assert_eq!(
        stands["listeners"][0]["address"],
        format!("127.0.0.1:{port}")
    );
    let (code, text, _) = run(&program, &["status"]);
    assert_eq!(code, 0);
    assert!(
        text.contains("  all") && !text.contains("not all") && text.contains("3 messages"),
        "{text}"
    );
    let (code, text, _) = run(&program, &["health"]);
    assert_eq!(
        (code, &*text),
        (0, "3 messages queued; new mail is taken\n")
    );
    // Nothing of this is a session, or a line of the log.
    assert!(!program.log().contains("session.opened") && !program.log().contains("health"));

    program.kill();
    // The roles end a moment after their supervisor; who asks in that moment is told to come again.
    wait_until("nobody is there any more", SOON, || {
        run(&program, &["health"]).0 == 4
    });
    assert_eq!(run(&program, &["status"]).0, 4);
    assert_eq!(run(&program, &["reload"]).0, 4);
    // Who waits is told as soon as all serve.
    let waiting = std::thread::scope(|scope| {
        let mut command = std::process::Command::new(binary());
        command.arg("--config").arg(program.config());
        let waiting = scope.spawn(move || command.args(["health", "--wait"]).output().unwrap());
        std::thread::sleep(Duration::from_millis(300));
        program.run();
        waiting.join().unwrap()
    });
    assert_eq!(waiting.status.code(), Some(0));
}

#[test]
fn events_are_kept_found_and_told_as_a_story() {
    let (port, nobody) = (free_port(), free_port());
    let relay = format!("[relay]\nto = \"smtp://127.0.0.1:{nobody}\"\nfrom = \"127.0.0.1\"\n");
    let mut program = Program::start(&configuration(port, "\"ann\"", &relay));
    let mut client = Client::connect(port).unwrap();
    let content = b"Subject: x\r\n\r\n";
    let answer = client
        .send("joe@b.test", &["ann@a.test".into()], content)
        .unwrap();
    let token = answer.rsplit(['[', ']']).nth(1).unwrap().to_owned();
    let waits = client
        .send("joe@b.test", &["far@c.test".into()], content)
        .unwrap();
    let waits = waits.rsplit(['[', ']']).nth(1).unwrap().to_owned();
    client.say("MAIL FROM:<eve@b.test>").unwrap();
    let refused = client.say("RCPT TO:<nobody@a.test>").unwrap();
    let session = refused.rsplit(['[', ']']).nth(1).unwrap().to_owned();
    client.say("QUIT").unwrap();

    let find = |arguments: &[&str]| {
        let (code, out, _) = run(&program, &[&["log", "find", "--json"], arguments].concat());
        let events: Vec<serde_json::Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (code, events)
    };
    let names = |events: &[serde_json::Value]| -> Vec<String> {
        let name = |event: &serde_json::Value| event["event"].as_str().unwrap().to_owned();
        events.iter().map(name).collect()
    };
    wait_until("ann's message is done with", SOON, || {
        names(&find(&["--to", "ann@a.test"]).1).contains(&"message.ended".into())
    });
    let (code, events) = find(&["--to", "ann@a.test", "--from", "b.test", "--since", "1h"]);
    assert_eq!(code, 0);
    assert_eq!(
        names(&events),
        ["message.accepted", "recipient.delivered", "message.ended"]
    );
    assert_eq!(events[0]["queue_id"], *token);
    assert_eq!(events[0]["size_bytes"], 14);
    assert_eq!(find(&["--to", "ann@a.test", "--from", "<>"]).0, 1);
    assert_eq!(
        find(&["--from", "eve@b.test"]).1[0]["event"],
        "recipient.refused"
    );
    assert_eq!(run(&program, &["log", "find", "--to", "a b"]).0, 2);

    // The story of a message that is done with, of one that waits, and of a refusal.
    let (code, out, _) = run(&program, &["explain", "message", &token]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with(&format!("{token} is not here any more\n")),
        "{out}"
    );
    assert!(out.contains(" recipient.delivered "), "{out}");
    wait_until("the other was tried", SOON, || {
        run(&program, &["explain", "message", &waits])
            .1
            .contains(" attempt.deferred ")
    });
    let (_, out, _) = run(&program, &["explain", "message", &waits]);
    assert!(
        out.contains("4.4.1 no next hop could be reached; attempts 1"),
        "{out}"
    );
    wait_until("the session is over", SOON, || {
        run(&program, &["explain", "reply", &session])
            .1
            .contains(" session.closed ")
    });
    let (_, out, _) = run(&program, &["explain", "reply", &session]);
    assert!(
        out.contains(" recipient.refused ") && out.contains("nobody@a.test"),
        "{out}"
    );
    assert_eq!(run(&program, &["explain", "message", "0000000000001"]).0, 1);
    assert_eq!(run(&program, &["explain", "message", "what"]).0, 2);

    // Without a daemon it is all still there, its end included.
    assert!(program.stop());
    assert_eq!(run(&program, &["explain", "message", &token]).0, 0);
    let (code, out, _) = run(&program, &["log"]);
    assert_eq!(code, 0);
    assert!(out.contains(" service.stopped "), "{out}");
    // Only its owner may read it.
    let files = find_files(&program.folder().join("events"));
    assert_eq!(files.len(), 1);
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode(&files[0]), 0o600);
    assert_eq!(mode(&program.folder().join("events")), 0o700);
}

#[test]
fn events_outlive_the_process_that_keeps_them() {
    let port = free_port();
    let program = Program::start(&configuration(port, "\"ann\"", ""));
    let mut client = Client::connect(port).unwrap();
    let mut tokens = Vec::new();
    for n in 0..60 {
        if n % 20 == 10 {
            let roles = program.roles();
            let (_, admin) = roles.iter().find(|(role, _)| role == "admin").unwrap();
            kill((*admin).into(), "-KILL");
            // What a role says to an admin that is dying may be lost; what it says to none is not.
            wait_until("admin is gone", SOON, || {
                !program.roles().iter().any(|(_, pid)| pid == admin)
            });
        }
        let content = b"Subject: x\r\n\r\n";
        let answer = client
            .send("joe@b.test", &["ann@a.test".into()], content)
            .unwrap();
        tokens.push(answer.rsplit(['[', ']']).nth(1).unwrap().to_owned());
        // Each admin is to have taken what was sent while it lived.
        if n % 20 == 9 {
            wait_until("they are kept", SOON, || {
                run(&program, &["log", "find", "--to", "ann@a.test"])
                    .1
                    .contains(&tokens[n])
            });
        }
        if n % 20 == 19 {
            wait_until("admin is back", SOON, || run(&program, &["health"]).0 == 0);
        }
    }
    wait_until("every message is known", SOON, || {
        let (_, out, _) = run(&program, &["log", "find", "--to", "ann@a.test"]);
        tokens.iter().all(|token| out.contains(token.as_str()))
    });
}

#[test]
fn mail_flows_when_events_cannot_be_kept() {
    let port = free_port();
    let more = "[log]\nfolder = \"{dir}/ringmail.toml/events\"\n";
    let program = Program::start(&configuration(port, "\"ann\"", more));
    let mut client = Client::connect(port).unwrap();
    let answer = client.send("joe@b.test", &["ann@a.test".into()], b"Subject: x\r\n\r\n");
    assert!(answer.unwrap().starts_with("250 2.0.0"));
    wait_until("the log says that they are not kept", SOON, || {
        program.log().contains("event=events.lost")
    });
    assert_eq!(run(&program, &["health"]).0, 0);
    assert_eq!(run(&program, &["log"]).0, 1);
    // The folder may be moved while all goes on.
    write(&program, &configuration(port, "\"ann\"", ""));
    assert_eq!(run(&program, &["reload"]).0, 0);
    client
        .send("joe@b.test", &["ann@a.test".into()], b"Subject: y\r\n\r\n")
        .unwrap();
    wait_until("they are kept", SOON, || {
        run(&program, &["log", "find", "--to", "ann@a.test"]).0 == 0
    });
}

#[test]
fn a_role_that_does_not_end_when_it_must_be_another_is_ended() {
    let port = free_port();
    let text = configuration(port, "\"ann\"", "");
    let program = Program::start(&text);
    let local = || {
        let roles = program.roles().into_iter();
        let mut pids = roles
            .filter(|(role, _)| role == "local")
            .map(|(_, pid)| pid);
        pids.next()
    };
    let stuck = local().unwrap();
    kill(stuck.into(), "-STOP");
    write(&program, &text.replace("/mail/{user}", "/other/{user}"));
    let (code, out, err) = run(&program, &["reload"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("local has not taken it yet"), "{out}");
    wait_until("another local is there", SOON, || {
        local().is_some_and(|pid| pid != stuck)
    });
    let mut client = Client::connect(port).unwrap();
    let answer = client.send("joe@b.test", &["ann@a.test".into()], b"Subject: x\r\n\r\n");
    assert!(answer.unwrap().starts_with("250 2.0.0"));
    wait_until("it is delivered", SOON, || {
        find_files(&program.folder().join("other/ann/new")).len() == 1
    });
}

#[test]
fn no_session_notices_that_the_configuration_is_read_anew_under_load() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    let port = free_port();
    let one = configuration(port, "\"ann\"", "");
    let two = configuration(port, "\"ann\", \"bob\"", "[limits]\nerrors = 9\n");
    let program = Program::start(&one);
    let smtpd = |program: &Program| {
        let roles = program.roles();
        roles
            .into_iter()
            .find(|(role, _)| role == "smtpd")
            .unwrap()
            .1
    };
    let descriptors = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let (pid, before) = (smtpd(&program), descriptors(smtpd(&program)));
    let (stop, sent) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = Client::connect(port).unwrap();
                    let to = ["ann@a.test".to_owned()];
                    let answer = client.send("x@y.test", &to, b"Subject: x\r\n\r\n").unwrap();
                    assert!(answer.starts_with("250 2.0.0"), "{answer}");
                    client.say("QUIT").unwrap();
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 0..20 {
            write(&program, if n % 2 == 0 { &two } else { &one });
            let (code, out, err) = run(&program, &["reload"]);
            assert_eq!(code, 0, "{out}{err}");
            assert!(out.contains("limits.errors"), "{out}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(sent.load(Ordering::Relaxed) > 20, "{sent:?}");
    assert_eq!(smtpd(&program), pid);
    wait_until("no descriptor is left over", SOON, || {
        descriptors(pid) <= before
    });
}
