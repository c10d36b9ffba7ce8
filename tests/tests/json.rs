//! docs/json.md is what commands print with `--json`: no field that it does not name, and none that it names in vain.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::{Client, Program, binary, free_port, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// Fields that only a damaged spool has: nothing here makes one.
const OF_DAMAGE: [&str; 3] = ["findings[]", "unreadable[].queue_id", "unreadable[].cause"];
/// Fields of what does not happen here: no layer is missing, no role is late or absent.
const OF_TROUBLE: [&str; 4] = [
    "roles[].missing[].layer",
    "roles[].missing[].cause",
    "absent[]",
    "late[]",
];

/// Fields by command, as the page has them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let page = fs::read_to_string(page).expect("the page");
    let (mut commands, mut command) = (BTreeMap::new(), String::new());
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            name.clone_into(&mut command);
        } else if let Some(field) = line.strip_prefix("| `") {
            let field = field.split('`').next().unwrap_or_default();
            let fields: &mut BTreeSet<String> = commands.entry(command.clone()).or_default();
            assert!(fields.insert(field.into()), "{command}: {field} twice");
        }
    }
    commands
}

/// The names of all that is in a value.
fn fields(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if name.is_empty() { "" } else { "." };
                fields(value, &format!("{name}{dot}{key}"), found);
            }
        }
        Value::Array(array) => {
            for value in array {
                fields(value, &format!("{name}[]"), found);
            }
        }
        _ => drop(found.insert(name.to_owned())),
    }
}

/// What was printed, by command.
#[derive(Default)]
struct Printed(BTreeMap<String, BTreeSet<String>>);

impl Printed {
    fn run(&mut self, config: &Path, command: &str, arguments: &str) {
        let mut started = Command::new(binary());
        started.arg("--json").arg("--config").arg(config);
        let words = command.split(' ').chain(arguments.split(' '));
        let output = started.args(words.filter(|word| !word.is_empty())).output();
        let output = output.expect("the program runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(!said.is_empty(), "{command} {arguments} prints nothing");
        for line in said.lines() {
            let value: Value =
                serde_json::from_str(line).unwrap_or_else(|why| panic!("{command}: {why}: {line}"));
            let mut found = BTreeSet::new();
            fields(&value, "", &mut found);
            self.0.entry(command.into()).or_default().extend(found);
        }
    }
}

fn configuration(port: u16, nobody: u16, users: &str) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"a.test\"]\nusers = [{users}]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n\
         [relay]\nto = \"smtp://127.0.0.1:{nobody}\"\nfrom = \"127.0.0.1\"\n"
    )
}

#[test]
fn every_field_that_is_printed_is_documented_and_the_other_way_round() {
    let (port, nobody) = (free_port(), free_port());
    let mut program = Program::start(&configuration(port, nobody, "\"ann\""));
    let config = program.config();
    let mut printed = Printed::default();
    let mut client = Client::connect(port).expect("it listens");
    for n in 0..3 {
        let to = [format!("u{n}@b.test")];
        let sent = client.send("ann@a.test", &to, b"Subject: x\r\n\r\n");
        assert!(sent.expect("an answer").starts_with("250"));
    }
    let listed = || {
        let output = program.command(&["queue", "list", "--json"]);
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        let messages = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        messages.collect::<Vec<Value>>()
    };
    wait_until("all were tried", SOON, || {
        listed()
            .iter()
            .all(|message| message["attempts"] == 1 && message["state"] == "waiting")
    });
    // The reason is data.
    for message in listed() {
        assert_eq!(message["status"], "4.4.1", "{message}");
        assert_eq!(
            message["cause"], "no next hop could be reached",
            "{message}"
        );
        assert!(message["next_attempt"].is_u64(), "{message}");
    }
    printed.run(&config, "queue list", "");
    printed.run(&config, "queue hold", "--to u0@b.test");
    printed.run(&config, "health", "");
    let users = configuration(port, nobody, "\"ann\", \"bob\"");
    let users = users.replace("{dir}", &program.folder().display().to_string());
    fs::write(&config, users).expect("writable");
    printed.run(&config, "reload", "");
    printed.run(&config, "status", "");
    printed.run(&config, "send", "--to ann@a.test --from <>");
    printed.run(&config, "send", "--to nobody@a.test");
    printed.run(&config, "explain rcpt", "ann@a.test");
    printed.run(&config, "explain rcpt", "nobody@a.test --ip 192.0.2.1");
    printed.run(&config, "explain route", "far@b.test");
    printed.run(&config, "explain route", "nobody@a.test");
    let passwords = program.folder().join("passwords");
    fs::write(&passwords, "ann@a.test:!\n").expect("writable");
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).expect("ours");
    let file = format!("--file {}", passwords.display());
    printed.run(&config, "user list", &file);
    printed.run(&config, "user remove", &format!("ann@a.test {file}"));
    printed.run(&config, "version", "");
    printed.run(&config, "check", "");
    let bad = program.folder().join("bad.toml");
    fs::write(&bad, "nonsense = 1\n").expect("writable");
    printed.run(&bad, "check", "");
    printed.run(&config, "spool verify", "");
    assert!(program.stop());
    printed.run(&config, "spool verify", "");

    let documented = documented();
    let names = |of: &BTreeMap<String, BTreeSet<String>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&documented), names(&printed.0));
    for (command, fields) in &documented {
        let printed = &printed.0[command];
        let new: Vec<_> = printed.difference(fields).collect();
        // An empty list has no name of its own here.
        let vain = fields.difference(printed).filter(|field| {
            !OF_DAMAGE.contains(&field.as_str()) && !OF_TROUBLE.contains(&field.as_str())
        });
        let vain: Vec<_> = vain.collect();
        assert!(
            new.is_empty(),
            "{command} prints {new:?}, and docs/json.md has them not"
        );
        assert!(
            vain.is_empty(),
            "docs/json.md has {vain:?}, and {command} never prints them"
        );
    }
}

#[test]
fn what_is_done_to_many_is_counted_first_and_told_as_it_was() {
    let (port, nobody) = (free_port(), free_port());
    let program = Program::start(&configuration(port, nobody, "\"ann\""));
    let mut client = Client::connect(port).expect("it listens");
    for to in ["u@b.test", "v@b.test", "w@sub.b.test", "x@c.test"] {
        let sent = client.send("ann@a.test", &[to.into()], b"Subject: x\r\n\r\n");
        assert!(sent.expect("an answer").starts_with("250"));
    }
    let said = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = program.command(&words);
        assert_eq!(output.status.code(), Some(0), "{line}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    wait_until("all were tried", SOON, || {
        let all = said("queue list --json");
        all.lines().count() == 4 && all.matches("\"state\":\"waiting\"").count() == 4
    });
    // A domain is that domain, and not what is below it; an address has none of its kind.
    assert_eq!(
        said("queue hold --domain b.test"),
        "2 messages meant\n2 messages held\n"
    );
    assert_eq!(
        said("queue hold --domain d.test"),
        "0 messages meant\n0 messages held\n"
    );
    assert_eq!(
        said("queue run"),
        "4 messages meant\n2 messages attempted now\n2 messages held and stay so: `queue release` frees them\n"
    );
    assert_eq!(
        said("queue retry --to u@b.test"),
        "1 message meant\n0 messages attempted now\n1 message held and stay so: `queue release` frees them\n"
    );
    assert_eq!(
        said("queue drop --domain c.test --yes"),
        "1 message meant\n1 message dropped\n"
    );
    assert_eq!(program.queued(), Some(3));
}

#[test]
fn at_a_terminal_many_are_asked_for() {
    let (port, nobody) = (free_port(), free_port());
    let program = Program::start(&configuration(port, nobody, "\"ann\""));
    let mut client = Client::connect(port).expect("it listens");
    let sent = client.send("ann@a.test", &["u@b.test".into()], b"Subject: x\r\n\r\n");
    assert!(sent.expect("an answer").starts_with("250"));
    // script(1) is a terminal.
    let drop = |answer: &str, more: &str| {
        let (program, config) = (
            binary().display().to_string(),
            program.config().display().to_string(),
        );
        let line = format!("'{program}' --config '{config}' queue drop --domain b.test{more}");
        let shell = format!("(sleep 1; echo {answer}) | script -qec \"{line}\" /dev/null");
        Command::new("sh")
            .args(["-c", &shell])
            .output()
            .expect("sh(1)")
    };
    if Command::new("script").arg("--version").output().is_err() {
        return tests::left_out("at_a_terminal_many_are_asked_for", "no script(1)");
    }
    let output = drop("n", "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("1 message meant") && said.contains("drop them? [y/N]"),
        "{said}"
    );
    assert!(said.contains("nothing was done"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(program.queued(), Some(1));
    let output = drop("y", "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("1 message dropped"), "{said}");
    assert_eq!(program.queued(), Some(0));
    let output = drop("n", " --yes");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("[y/N]"), "{said}");
}
