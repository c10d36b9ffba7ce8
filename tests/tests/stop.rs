//! A stop is in order: nobody is cut off without a word, content that is on its way is taken and answered, and the log
//! tells of no trouble, also where every process of the service is told to end.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::{Client, Program, find_files, free_port, wait_until};

const SOON: Duration = Duration::from_secs(20);

fn start(mx: u16) -> Program {
    Program::start(&format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{domain}}/{{user}}\"\n"
    ))
}

fn assert_in_order(log: &str) {
    for wrong in [
        "role.ended",
        "trouble.met",
        "arrow.misbehaved",
        "level=error",
    ] {
        assert!(!log.contains(wrong), "{wrong}:\n{log}");
    }
    assert!(log.contains("event=service.stopped"), "{log}");
}

#[test]
fn idle_sessions_are_told_and_content_on_its_way_is_taken() {
    let port = free_port();
    let mut program = start(port);
    let mail = program.folder().join("mail/a.test/ann/new");
    let mut idle = Client::connect(port).unwrap();
    let mut open = Client::connect(port).unwrap();
    open.say("MAIL FROM:<x@y.test>").unwrap();
    let mut busy = Client::connect(port).unwrap();
    busy.say("MAIL FROM:<x@y.test>").unwrap();
    busy.say("RCPT TO:<ann@a.test>").unwrap();
    assert!(busy.say("DATA").unwrap().starts_with("354"));
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| program.stop());
        for told in [&mut idle, &mut open] {
            let said = told.answer().unwrap();
            assert!(said.starts_with("421 4.3.2"), "{said}");
            assert!(told.answer().is_err(), "the connection goes on");
        }
        let said = busy.say("Subject: late\r\n\r\nhello\r\n.").unwrap();
        assert!(said.starts_with("250 2.0.0"), "{said}");
        let said = busy.answer().unwrap();
        assert!(said.starts_with("421 4.3.2"), "{said}");
        assert!(stop.join().unwrap(), "it did not end well");
    });
    assert_in_order(&program.log());
    program.run();
    wait_until("the late message is delivered", SOON, || {
        find_files(&mail).len() == 1
    });
}

#[test]
fn a_client_that_stalls_in_content_does_not_hold_the_stop_up_for_ever() {
    let port = free_port();
    let mut program = start(port);
    let mut stalled = Client::connect(port).unwrap();
    stalled.say("MAIL FROM:<x@y.test>").unwrap();
    stalled.say("RCPT TO:<ann@a.test>").unwrap();
    assert!(stalled.say("DATA").unwrap().starts_with("354"));
    assert!(program.stop());
    let said = stalled.answer().unwrap();
    assert!(said.starts_with("421 4.3.2"), "{said}");
    assert!(stalled.answer().is_err());
    assert_in_order(&program.log());
}

/// Lines of content that come slowly, for longer than one that stalls is waited for.
fn drip(client: &mut Client, for_so_long: Duration) {
    let began = std::time::Instant::now();
    while began.elapsed() < for_so_long {
        client.put(b"one more line\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn content_that_comes_slowly_is_taken_though_the_service_stops() {
    let port = free_port();
    let mut program = start(port);
    let mail = program.folder().join("mail/a.test/ann/new");
    let mut slow = Client::connect(port).unwrap();
    slow.say("MAIL FROM:<x@y.test>").unwrap();
    slow.say("RCPT TO:<ann@a.test>").unwrap();
    assert!(slow.say("DATA").unwrap().starts_with("354"));
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| program.stop());
        drip(&mut slow, Duration::from_secs(8));
        let said = slow.say(".").unwrap();
        assert!(said.starts_with("250 2.0.0"), "{said}");
        assert!(slow.answer().unwrap().starts_with("421 4.3.2"));
        assert!(stop.join().unwrap(), "it did not end well");
    });
    assert_in_order(&program.log());
    program.run();
    wait_until("the late message is delivered", SOON, || {
        find_files(&mail).len() == 1
    });
}

#[test]
fn who_tells_it_to_stop_once_more_waits_for_no_content() {
    let port = free_port();
    let mut program = start(port);
    let pid = program.pid().to_string();
    let mut slow = Client::connect(port).unwrap();
    slow.say("MAIL FROM:<x@y.test>").unwrap();
    slow.say("RCPT TO:<ann@a.test>").unwrap();
    assert!(slow.say("DATA").unwrap().starts_with("354"));
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| program.stop());
        drip(&mut slow, Duration::from_secs(1));
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.unwrap().success());
        // What it had sent when it heard that is not answered.
        let said = slow.answer().unwrap();
        assert!(said.starts_with("421 4.3.2"), "{said}");
        assert!(stop.join().unwrap(), "it did not end well");
    });
    assert_in_order(&program.log());
}

#[test]
fn a_signal_to_every_process_of_the_service_is_a_stop_in_order() {
    let port = free_port();
    let mut program = start(port);
    let mut idle = Client::connect(port).unwrap();
    for (_, pid) in program.roles() {
        let told = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status();
        assert!(told.unwrap().success());
    }
    assert!(program.stop());
    let said = idle.answer().unwrap();
    assert!(said.starts_with("421 4.3.2"), "{said}");
    assert_in_order(&program.log());
}

#[test]
fn content_whose_queue_has_died_is_answered_at_once_though_the_service_stops() {
    let port = free_port();
    let mut program = start(port);
    let mut busy: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(port).unwrap();
            client.say("MAIL FROM:<x@y.test>").unwrap();
            client.say("RCPT TO:<ann@a.test>").unwrap();
            assert!(client.say("DATA").unwrap().starts_with("354"));
            client
        })
        .collect();
    let queue = program
        .roles()
        .into_iter()
        .find(|(name, _)| name == "queue");
    let stop = |signal: &str, pid: u32| {
        let told = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status();
        assert!(told.unwrap().success());
    };
    // None is started again.
    stop("-TERM", program.pid());
    stop("-KILL", queue.unwrap().1);
    for client in &mut busy {
        let said = client.say("Subject: late\r\n\r\nhello\r\n.").unwrap();
        assert!(said.starts_with("451 4.3.0"), "{said}");
        assert!(client.answer().unwrap().starts_with("421 4.3.2"));
    }
    let began = std::time::Instant::now();
    program.stop();
    // It was no matter of a minute, for which questions are waited for.
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn who_tells_it_to_stop_once_more_still_has_the_answer_to_what_was_handed_over() {
    let port = free_port();
    let mut program = start(port);
    let mail = program.folder().join("mail/a.test/ann/new");
    let mut client = Client::connect(port).unwrap();
    client.say("MAIL FROM:<x@y.test>").unwrap();
    client.say("RCPT TO:<ann@a.test>").unwrap();
    assert!(client.say("DATA").unwrap().starts_with("354"));
    let roles = program.roles();
    let queue = roles.iter().find(|(name, _)| name == "queue").unwrap().1;
    let tell = |signal: &str, pid: u32| {
        let told = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status();
        assert!(told.unwrap().success());
    };
    // As a disk that takes its time.
    tell("-STOP", queue);
    client.put(b"Subject: late\r\n\r\nhello\r\n.\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    tell("-TERM", program.pid());
    std::thread::sleep(Duration::from_millis(200));
    tell("-TERM", program.pid());
    std::thread::sleep(Duration::from_secs(3));
    tell("-CONT", queue);
    let said = client.answer().unwrap();
    assert!(said.starts_with("250 2.0.0"), "{said}");
    program.stop();
    program.run();
    wait_until("it is delivered", SOON, || find_files(&mail).len() == 1);
}

#[test]
fn a_signal_while_it_starts_is_a_stop_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display();
    let file = folder.path().join("ringmail.toml");
    let text = format!(
        "hostname = \"mx.a.test\"\nspool = \"{dir}/spool\"\nruntime = \"{dir}/run\"\n[listen]\nmx = \"127.0.0.1:{}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{dir}/mail/{{user}}\"\n",
        free_port()
    );
    std::fs::write(&file, text).unwrap();
    for wait in (0..20).map(|step| Duration::from_millis(step * 6)) {
        let mut program = tests::service(&[folder.path()]);
        program.arg("--config").arg(&file).arg("run");
        let full = std::fs::File::create("/dev/full").unwrap();
        let child = program.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(wait);
        let told = Command::new("kill").arg(child.id().to_string()).status();
        assert!(told.unwrap().success());
        let ended = child.wait_with_output();
        let ended = ended.unwrap();
        // Before it hears signals they end it as they end any program.
        let in_order = ended.status.success() || ended.status.signal() == Some(15);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(in_order, "{wait:?}: {}: {said}", ended.status);
        assert!(!said.contains("panicked"), "{said}");
    }
}
