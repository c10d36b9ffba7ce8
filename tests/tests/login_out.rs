//! The login at a smart host: said under TLS, to the host itself, once a session, and to nobody else.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::{
    Account, Authority, Came, Client, Hop, Manner, Program, free_port, left_out, memory_of, rooted,
    wait_until,
};

const SOON: Duration = Duration::from_mins(1);
/// A name that DNS is not asked for.
const HERE: &str = "127.0.0.1";
/// No other octets of a test are like these.
const PASSWORD: &str = "zw\u{f6}lf Boxk\u{e4}mpfer 4711";
const USER: &str = "web1@relay.test";

fn account(mechanisms: &'static str) -> Account {
    Account {
        mechanisms,
        user: USER,
        password: PASSWORD,
    }
}

fn write_password(folder: &Path, password: &str) {
    let file = folder.join("password");
    fs::write(&file, format!("{password}\n")).expect("our own folder");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("our own file");
}

fn configuration(to: &str, mx: u16) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:{mx}\"\n\
         [aliases]\npostmaster = \"root@b.test\"\n\
         [relay]\nto = \"{to}\"\nuser = \"{USER}\"\npassword = \"file:{{dir}}/password\"\nfrom = \"127.0.0.1\"\n\
         [tls]\nroots = \"{{dir}}/roots.pem\"\n\
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"1s\"\n"
    )
}

/// One that sends everything to this smart host, with this password, and believes this authority.
fn started(to: &str, by: &Authority, password: &str) -> (Program, u16) {
    let mx = free_port();
    let program = Program::start_with(&configuration(to, mx), |folder| {
        fs::write(folder.join("roots.pem"), by.pem()).expect("our own folder");
        write_password(folder, password);
    });
    (program, mx)
}

fn send(port: u16) {
    let to = ["ann@b.test".to_owned()];
    let mut client = Client::connect(port).expect("it listens");
    let answer = client.send("joe@a.test", &to, b"Subject: x\r\n\r\nx\r\n");
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("250 2.0.0"), "{answer}");
}

fn attempts(program: &Program) -> usize {
    program.log().matches("event=attempt.deferred").count()
}

/// Nothing of the password, as it is or as it goes on the wire, is where administrators look.
fn says_no_password(program: &Program) {
    let base64 = data_encoding::BASE64.encode(PASSWORD.as_bytes());
    let log = program.log();
    let status = program.command(&["status"]);
    let shown = program.command(&["config", "show"]);
    let told = [
        log,
        String::from_utf8_lossy(&status.stdout).into_owned(),
        String::from_utf8_lossy(&shown.stdout).into_owned(),
    ]
    .concat();
    for secret in ["Boxk", "4711", &base64[4..16]] {
        assert!(!told.contains(secret), "{secret} is told: {told}");
    }
}

#[test]
fn mail_goes_with_the_login_by_whatever_way_the_host_has() {
    let by = Authority::new();
    for (scheme, manner, mechanisms) in [
        ("smtps", Manner::AtOnce, "LOGIN PLAIN"),
        ("starttls", Manner::StartTls, "CRAM-MD5 plain"),
        ("starttls", Manner::StartTls, "LOGIN"),
    ] {
        let hop = Hop::for_account(manner, &by, &[HERE], account(mechanisms)).expect("a hop");
        let to = format!("{scheme}://{HERE}:{}", hop.port());
        let (program, port) = started(&to, &by, PASSWORD);
        send(port);
        wait_until("it is taken", SOON, || hop.taken().len() == 1);
        assert_eq!(hop.taken()[0].came, Came::Tls(None));
        send(port);
        wait_until("the next is taken", SOON, || hop.taken().len() == 2);
        assert_eq!(hop.logins(), [true], "once for both, in one session");
        assert_eq!(attempts(&program), 0, "{}", program.log());
        says_no_password(&program);
    }
}

#[test]
fn a_login_that_is_refused_holds_mail_and_is_not_tried_again_at_once() {
    let by = Authority::new();
    let hop =
        Hop::for_account(Manner::AtOnce, &by, &[HERE], account("PLAIN LOGIN")).expect("a hop");
    let to = format!("smtps://{HERE}:{}", hop.port());
    let (program, port) = started(&to, &by, "of yesterday");
    send(port);
    wait_until("it is tried a few times", SOON, || attempts(&program) >= 4);
    assert_eq!(hop.logins(), [false], "hosts lock out who guesses");
    assert!(hop.taken().is_empty());
    let log = program.log();
    assert!(log.contains("535 5.7.8 who are you"), "{log}");
    assert!(
        log.contains("the login at the next hop was refused"),
        "{log}"
    );
    assert_eq!(program.queued(), Some(1), "it waits");
    // The right one, and it goes.
    write_password(program.folder(), PASSWORD);
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    wait_until("it is taken", SOON, || hop.taken().len() == 1);
    assert_eq!(hop.logins(), [false, true]);
    // What is no password changes nothing.
    fs::write(program.folder().join("password"), "two\nlines\n").expect("our own file");
    let reload = program.command(&["reload"]);
    let said = String::from_utf8_lossy(&reload.stderr);
    assert!(!reload.status.success());
    assert!(said.contains("more than one line"), "{said}");
    send(port);
    wait_until("the old one goes on", SOON, || hop.taken().len() == 2);
    says_no_password(&program);
}

#[test]
fn nobody_but_the_host_itself_hears_the_password() {
    let by = Authority::new();
    let known = account("PLAIN LOGIN");
    let cases = [
        (Manner::AtOnce, "smtps", Authority::new(), "is not its own"),
        (
            Manner::StartTls,
            "starttls",
            Authority::new(),
            "is not its own",
        ),
        (
            Manner::Clear,
            "starttls",
            Authority::new(),
            "does not offer TLS",
        ),
        (Manner::NotNow, "starttls", Authority::new(), "454 not now"),
        (
            Manner::Injects,
            "starttls",
            Authority::new(),
            "did not speak SMTP",
        ),
    ];
    for (manner, scheme, authority, why) in cases {
        let hop = Hop::for_account(manner, &authority, &[HERE], known).expect("a hop");
        let (program, port) = started(&format!("{scheme}://{HERE}:{}", hop.port()), &by, PASSWORD);
        send(port);
        wait_until(why, SOON, || program.log().contains(why));
        wait_until("it waits", SOON, || attempts(&program) > 0);
        assert_eq!(hop.logins(), [] as [bool; 0], "{manner:?}");
        assert!(hop.taken().is_empty());
    }
}

#[test]
fn where_no_way_is_ours_mail_waits() {
    let by = Authority::new();
    let hop = Hop::for_account(Manner::AtOnce, &by, &[HERE], account("GSSAPI")).expect("a hop");
    let (program, port) = started(&format!("smtps://{HERE}:{}", hop.port()), &by, PASSWORD);
    send(port);
    wait_until("it is said", SOON, || {
        program.log().contains("offers no login that we have")
    });
    assert!(hop.taken().is_empty());
    assert_eq!(program.queued(), Some(1), "it waits");
}

#[test]
fn when_keys_dies_the_login_is_there_again() {
    let by = Authority::new();
    let hop = Hop::for_account(Manner::AtOnce, &by, &[HERE], account("PLAIN")).expect("a hop");
    let (program, port) = started(&format!("smtps://{HERE}:{}", hop.port()), &by, PASSWORD);
    let keys = |program: &Program| {
        let roles = program.roles();
        roles
            .into_iter()
            .find(|(name, _)| name == "keys")
            .map(|(_, pid)| pid)
    };
    let before = keys(&program).expect("keys runs");
    let status = Command::new("kill")
        .args(["-KILL", &before.to_string()])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "it is ended");
    wait_until("another runs", SOON, || {
        keys(&program).is_some_and(|pid| pid != before)
    });
    send(port);
    wait_until("it is taken", SOON, || hop.taken().len() == 1);
    assert!(hop.logins().contains(&true));
}

#[test]
fn a_password_that_others_may_read_is_refused_by_name() {
    let by = Authority::new();
    let hop = Hop::for_account(Manner::AtOnce, &by, &[HERE], account("PLAIN")).expect("a hop");
    let (program, _) = started(&format!("smtps://{HERE}:{}", hop.port()), &by, PASSWORD);
    let file = program.folder().join("password");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("our own file");
    for command in ["check", "reload"] {
        let said = program.command(&[command]);
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(!said.status.success(), "{command}: {text}");
        assert!(text.contains("mode 0644 lets others"), "{command}: {text}");
        assert!(text.contains("relay.password"), "{command}: {text}");
    }
}

/// Who knows the password, by what is in memory: keys, and nobody else before it is asked for.
#[test]
fn the_password_is_in_keys_and_nowhere_else_before_a_host_asks_for_it() {
    let name = "the_password_is_in_keys_and_nowhere_else_before_a_host_asks_for_it";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let (mx, by) = (free_port(), Authority::new());
    let hop = Hop::for_account(Manner::AtOnce, &by, &[HERE], account("PLAIN")).expect("a hop");
    let to = format!("smtps://{HERE}:{}", hop.port());
    let program = Program::start_by_root_with(&configuration(&to, mx), |folder| {
        fs::write(folder.join("roots.pem"), by.pem()).expect("our own folder");
        write_password(folder, PASSWORD);
    });
    let knows = |pid| {
        let memory = memory_of(pid);
        let mut all = memory.windows(PASSWORD.len());
        all.any(|octets| octets == PASSWORD.as_bytes())
    };
    let mut roles = program.roles();
    roles.push(("supervisor".into(), program.pid()));
    for (role, pid) in &roles {
        assert_eq!(knows(*pid), role == "keys", "{role}");
    }
    send(mx);
    wait_until("it is taken", SOON, || hop.taken().len() == 1);
    for (role, pid) in roles.iter().filter(|(role, _)| role != "relay") {
        assert_eq!(knows(*pid), role == "keys", "{role}");
    }
}
