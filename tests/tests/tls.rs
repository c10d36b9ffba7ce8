//! TLS, with the program started for real: who speaks it is answered by a process that has no key.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::{Authority, Client, Program, find_files, free_port, left_out, rooted, wait_until};

const SOON: Duration = Duration::from_secs(20);
const NAME: &str = "mx.a.test";

fn configuration(mx: u16, certs: &str) -> String {
    format!(
        "hostname = \"{NAME}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\ncert = {certs}\n\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    )
}

/// One that has a certificate of our name.
fn started(port: u16, by: &Authority) -> Program {
    Program::start_with(&configuration(port, "\"{dir}/tls\""), |folder| {
        by.certify(&[NAME], &folder.join("tls"));
    })
}

fn send(client: &mut Client) {
    let to = ["ann@a.test".to_owned()];
    let answer = client.send("joe@b.test", &to, b"Subject: x\r\n\r\nx\r\n");
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("250 2.0.0"), "{answer}");
}

fn arrived(program: &Program) -> Vec<String> {
    let files = find_files(&program.folder().join("mail/ann/new"));
    let texts = files.iter().map(fs::read_to_string);
    texts.collect::<Result<_, _>>().expect("readable")
}

#[test]
fn mail_comes_under_tls_and_says_so() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let (mut client, _) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    send(&mut client);
    client.say("QUIT").expect("an answer");
    wait_until("it is delivered", SOON, || arrived(&program).len() == 1);
    let text = arrived(&program).pop().expect("one");
    assert!(text.contains("by mx.a.test with ESMTPS id "), "{text}");
    wait_until("the session is logged", SOON, || {
        program.log().contains("event=session.closed")
    });
    let log = program.log();
    let agreed = "tls=TLSv1_3:TLS13_AES_256_GCM_SHA384:X25519MLKEM768 helo=client.test";
    assert!(log.contains(agreed), "{log}");
    assert!(log.contains("event=certificate.loaded"), "{log}");
    // In clear it goes on as before.
    send(&mut Client::connect(port).expect("it listens"));
    wait_until("the session is logged", SOON, || {
        program.log().contains("tls=none helo=client.test")
    });
    // Another name, and an authority that did not make it, are seen by who looks.
    for (name, by) in [("mx.b.test", &authority), (NAME, &Authority::new())] {
        let failed = Client::connect_tls(port, name, by)
            .err()
            .expect("it is refused");
        assert!(failed.to_string().contains("certificate"), "{failed}");
    }
}

/// RFC 3207 §6, and who shakes hands with something else.
#[test]
fn what_was_said_before_the_handshake_is_not_taken_for_what_is_said_after_it() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let said = |octets: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time");
        stream.write_all(octets).expect("written");
        let mut said = Vec::new();
        // Where it ends with octets of ours unread the kernel says so, behind what was said.
        let _ = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    };
    let injected = said(b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<joe@b.test>\r\n");
    assert!(injected.contains("554 5.5.1 "), "{injected}");
    assert!(
        !injected.contains("220 2.0.0") && !injected.contains("sender ok"),
        "{injected}"
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a time");
    stream
        .write_all(b"EHLO x\r\nSTARTTLS\r\n")
        .expect("written");
    let (mut octets, mut room) = (Vec::new(), [0; 512]);
    while !String::from_utf8_lossy(&octets).contains("220 2.0.0") {
        let count = stream.read(&mut room).expect("an answer");
        assert!(count > 0, "the end");
        octets.extend_from_slice(&room[..count]);
    }
    stream
        .write_all(b"MAIL FROM:<joe@b.test>\r\n")
        .expect("written");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"2"), "it went on in clear");
    wait_until("it is logged", SOON, || {
        program.log().contains("event=handshake.failed")
    });
    let (mut client, _) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    send(&mut client);
}

#[test]
fn a_renewed_certificate_is_taken_by_a_reload_and_sessions_go_on() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let (mut before, old) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    let folder = program.folder().join("tls");
    authority.certify(&[NAME, "mail.a.test"], &folder);
    // The reader is the service's user.
    let owner = fs::metadata(program.folder()).expect("it is there");
    give(&folder, std::os::unix::fs::MetadataExt::uid(&owner));
    let (_, same) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    assert_eq!(same, old, "nothing is taken before it is told");
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    let (mut after, new) = Client::connect_tls(port, "mail.a.test", &authority).expect("TLS");
    assert_ne!(new, old);
    send(&mut before);
    send(&mut after);
    // Files of no use change nothing. What renews them puts others in their place.
    fs::write(folder.join("new"), "nothing").expect("our own folder");
    fs::rename(folder.join("new"), folder.join("fullchain.pem")).expect("our own folder");
    give(&folder, std::os::unix::fs::MetadataExt::uid(&owner));
    let said = refused_reload(&program);
    assert!(said.contains("nothing changed: cert = "), "{said}");
    // Nobody looks at them before a signal.
    kill("-HUP", program.pid());
    wait_until("it is said", SOON, || {
        let log = program.log();
        log.contains("event=certificate.refused") && log.contains("event=configuration.refused")
    });
    let (mut still, shown) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    assert_eq!(shown, new);
    send(&mut still);
    // Nor do they when another keys comes.
    let keys = keys_of(&program).expect("it runs");
    kill("-KILL", keys);
    wait_until("TLS is there again", SOON, || {
        let shown = Client::connect_tls(port, NAME, &authority);
        shown.is_ok_and(|(_, shown)| shown == new)
    });
    assert_ne!(keys_of(&program), Some(keys));
}

#[test]
fn a_reload_that_keys_does_not_answer_changes_nothing() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let (_, old) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    renew(&program, &authority);
    let keys = keys_of(&program).expect("it runs");
    kill("-STOP", keys);
    let said = refused_reload(&program);
    assert!(said.contains("keys did not say in time"), "{said}");
    let reload = program.command(&["reload"]);
    let said = String::from_utf8_lossy(&reload.stderr);
    assert!(said.contains("has not taken yet"), "{said}");
    kill("-CONT", keys);
    // It takes what it was told, one after the other, and has in the end what it had.
    wait_until("it is as before", SOON, || {
        program.log().matches("event=certificate.loaded").count() == 3
    });
    wait_until("TLS is there", SOON, || {
        let shown = Client::connect_tls(port, NAME, &authority);
        shown.is_ok_and(|(_, shown)| shown == old)
    });
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    let (_, new) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    assert_ne!(new, old);
}

#[test]
fn where_a_listener_cannot_be_had_keys_goes_back_to_what_it_had() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let (_, old) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    renew(&program, &authority);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let more = taken.local_addr().expect("a port").port();
    let text = fs::read_to_string(program.config()).expect("its file");
    let listen = format!("mx = \"127.0.0.1:{port}\"");
    let with = format!("mx = [\"127.0.0.1:{port}\", \"127.0.0.1:{more}\"]");
    fs::write(program.config(), text.replace(&listen, &with)).expect("its file");
    let said = refused_reload(&program);
    assert!(said.contains(&more.to_string()), "{said}");
    // keys had taken the new ones when that was found.
    wait_until("keys has them back", SOON, || {
        program.log().matches("event=certificate.loaded").count() == 3
    });
    let (mut client, shown) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    assert_eq!(shown, old);
    send(&mut client);
    drop(taken);
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    for port in [port, more] {
        let (_, new) = Client::connect_tls(port, NAME, &authority).expect("TLS");
        assert_ne!(new, old);
    }
}

#[test]
fn a_keys_that_ends_while_it_tries_certificates_has_not_taken_them() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let (_, old) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    renew(&program, &authority);
    let keys = keys_of(&program).expect("it runs");
    kill("-STOP", keys);
    let said = std::thread::scope(|scope| {
        let reload = scope.spawn(|| refused_reload(&program));
        // It is asked within some ten milliseconds, and would be late after ten seconds. One that was not asked yet when
        // it ended has taken nothing either.
        std::thread::sleep(Duration::from_secs(2));
        kill("-KILL", keys);
        reload.join().expect("it ends")
    });
    assert!(said.contains("keys ended while it read"), "{said}");
    wait_until("TLS is there again", SOON, || {
        let shown = Client::connect_tls(port, NAME, &authority);
        shown.is_ok_and(|(_, shown)| shown == old)
    });
}

/// Why a reload changes nothing.
fn refused_reload(program: &Program) -> String {
    let reload = program.command(&["reload"]);
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    String::from_utf8_lossy(&reload.stderr).into_owned()
}

/// Another certificate in the place of the one that is used.
fn renew(program: &Program, authority: &Authority) {
    let folder = program.folder().join("tls");
    authority.certify(&[NAME], &folder);
    let owner = fs::metadata(program.folder()).expect("it is there");
    give(&folder, std::os::unix::fs::MetadataExt::uid(&owner));
}

#[test]
fn a_handshake_that_stalls_does_not_hold_a_stop_up() {
    let (port, authority) = (free_port(), Authority::new());
    let mut program = started(port, &authority);
    let mut client = Client::connect(port).expect("it listens");
    let said = client.say("STARTTLS").expect("an answer");
    assert!(said.starts_with("220"), "{said}");
    let began = std::time::Instant::now();
    assert!(program.stop());
    // It was no matter of minutes, which a client has for a handshake otherwise.
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn a_certificate_that_came_while_there_was_no_keys_is_tried_all_the_same() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let (_, old) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    let folder = program.folder().join("tls");
    let owner = fs::metadata(program.folder()).expect("it is there");
    fs::write(folder.join("new"), "nothing").expect("our own folder");
    fs::rename(folder.join("new"), folder.join("fullchain.pem")).expect("our own folder");
    give(&folder, std::os::unix::fs::MetadataExt::uid(&owner));
    // Each death makes the pause before the next longer.
    for deaths in 1..=5 {
        wait_until("there is one", SOON, || keys_of(&program).is_some());
        kill("-KILL", keys_of(&program).expect("it runs"));
        wait_until("there is none, and it is known", SOON, || {
            program.log().matches("event=role.ended").count() == deaths
        });
    }
    kill("-HUP", program.pid());
    wait_until("the next refuses it", SOON, || {
        program.log().contains("event=certificate.refused")
    });
    wait_until("TLS is there again", SOON, || {
        let shown = Client::connect_tls(port, NAME, &authority);
        shown.is_ok_and(|(_, shown)| shown == old)
    });
}

fn keys_of(program: &Program) -> Option<u32> {
    let found = program.roles().into_iter().find(|(name, _)| name == "keys");
    found.map(|(_, pid)| pid)
}

fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(status.is_ok_and(|status| status.success()));
}

fn give(folder: &Path, user: u32) {
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        // Nobody may, and nobody must, where the tests run as that user.
        let _ = std::os::unix::fs::chown(entry.path(), Some(user), Some(user));
    }
}

#[test]
fn when_keys_dies_tls_is_there_again() {
    let (port, authority) = (free_port(), Authority::new());
    let program = started(port, &authority);
    let old = keys_of(&program).expect("it runs");
    kill("-KILL", old);
    // Meanwhile mail comes in clear, and who wants TLS is told to come later, or fails.
    send(&mut Client::connect(port).expect("it listens"));
    wait_until("TLS is there again", SOON, || {
        Client::connect_tls(port, NAME, &authority).is_ok()
    });
    assert!(keys_of(&program).is_some_and(|new| new != old));
}

#[test]
fn a_key_that_cannot_be_used_stops_the_start_and_is_named() {
    let (port, authority) = (free_port(), Authority::new());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let dir = folder.path().display().to_string();
    let file = folder.path().join("ringmail.toml");
    fs::write(
        &file,
        configuration(port, "\"{dir}/tls\"").replace("{dir}", &dir),
    )
    .expect("writable");
    let said = |command: &str| {
        let mut program = tests::service(&[folder.path()]);
        let output = program.arg("--config").arg(&file).arg(command).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for command in ["run", "check"] {
        let missing = said(command);
        assert!(missing.contains("/tls"), "{missing}");
        authority.certify(&[NAME], &folder.path().join("tls"));
        let key = folder.path().join("tls/privkey.pem");
        let open: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(&key, open).expect("our own file");
        let wide = said(command);
        assert!(wide.contains("privkey.pem: mode 0644"), "{wide}");
        authority.certify(&[NAME], &folder.path().join("other"));
        fs::rename(folder.path().join("other/privkey.pem"), &key).expect("our own file");
        let other = said(command);
        assert!(
            other.contains("the key is not that of the certificate"),
            "{other}"
        );
        fs::remove_dir_all(folder.path().join("tls")).expect("our own folder");
    }
}

/// As systemd makes them of a folder, and of a file.
#[test]
fn what_the_service_manager_hands_over_is_found() {
    let (port, authority) = (free_port(), Authority::new());
    let folder = tempfile::tempdir().expect("a scratch folder");
    let dir = folder.path().display().to_string();
    let path = |name: &str| folder.path().join(name);
    let config = configuration(port, "[\"credential:folder\", \"credential:file\"]");
    fs::write(path("ringmail.toml"), config.replace("{dir}", &dir)).expect("writable");
    fs::create_dir(path("mail")).expect("writable");
    authority.certify(&[NAME], &path("folder"));
    for name in ["fullchain.pem", "privkey.pem"] {
        let flat = path(&format!("folder_{name}"));
        fs::rename(path("folder").join(name), flat).expect("our own file");
    }
    authority.certify(&["b.test"], &path("other"));
    let read = |name: &str| fs::read_to_string(path("other").join(name)).expect("our own file");
    fs::write(path("file"), read("privkey.pem") + &read("fullchain.pem")).expect("writable");
    let private: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(path("file"), private).expect("our own file");
    let check = |credentials: Option<&Path>| {
        let mut program = tests::service(&[folder.path()]);
        program
            .arg("--config")
            .arg(path("ringmail.toml"))
            .arg("check");
        program.envs(credentials.map(|folder| ("CREDENTIALS_DIRECTORY", folder)));
        let output = program.output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = check(Some(folder.path()));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("no certificate is for"), "{said}");
    let (code, said) = check(None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("$CREDENTIALS_DIRECTORY is not set"), "{said}");
}

/// The private number, as it is written and as it may stand in memory.
fn is_in(memory: &[u8], scalar: &[u8]) -> bool {
    let reversed: Vec<u8> = scalar.iter().rev().copied().collect();
    let has = |wanted: &[u8]| memory.windows(wanted.len()).any(|octets| octets == wanted);
    has(scalar) || has(&reversed)
}

/// Who has a private key, by what is in memory: keys and nobody else, idle and after a handshake.
#[test]
fn a_private_key_is_in_keys_and_nowhere_else() {
    let name = "a_private_key_is_in_keys_and_nowhere_else";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let (port, authority) = (free_port(), Authority::new());
    let mut scalar = Vec::new();
    let program = Program::start_by_root_with(&configuration(port, "\"{dir}/tls\""), |folder| {
        scalar = authority.certify(&[NAME], &folder.join("tls"));
    });
    for _ in 0..3 {
        let (mut client, _) = Client::connect_tls(port, NAME, &authority).expect("TLS");
        send(&mut client);
    }
    let mut roles = program.roles();
    roles.push(("supervisor".into(), program.pid()));
    for (role, pid) in roles {
        assert_eq!(
            is_in(&tests::memory_of(pid), &scalar),
            role == "keys",
            "{role}"
        );
        let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("root may look");
        let targets = open
            .flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok());
        let is_key = |path: &std::path::PathBuf| path.ends_with("privkey.pem");
        // The supervisor keeps it open, for the next keys, and cannot have read it: what it was read to would show.
        assert_eq!(
            targets.filter(is_key).count(),
            usize::from(role == "supervisor"),
            "{role}"
        );
    }
}

/// A key that is root's, and a renewed one, which root's reload brings.
#[test]
fn root_brings_a_renewed_key_that_only_root_may_read() {
    let name = "root_brings_a_renewed_key_that_only_root_may_read";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let (port, authority) = (free_port(), Authority::new());
    let program = Program::start_by_root_with(&configuration(port, "\"{dir}/tls\""), |folder| {
        authority.certify(&[NAME], &folder.join("tls"));
    });
    let (_, old) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    authority.certify(&[NAME], &program.folder().join("tls"));
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    let (mut client, new) = Client::connect_tls(port, NAME, &authority).expect("TLS");
    assert_ne!(new, old);
    send(&mut client);
}
