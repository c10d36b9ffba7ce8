//! `ringmail user`: the file of password hashes is made, changed and listed; a password comes from the terminal without echo
//! or from standard input, and is seen nowhere.

use ringmail::passwords::{Checked, Memory, Passwords};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tests::{Unprivileged, binary, left_out, wait_until};

const DONE: i32 = 0;
const NO: i32 = 1;
const USAGE: i32 = 2;
const CONFIGURATION: i32 = 3;
const NOT_PERMITTED: i32 = 5;

const SOON: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct hörse";

/// A folder with a file of password hashes, which need not be there.
struct Users {
    folder: tempfile::TempDir,
}

impl Users {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a scratch folder"),
        }
    }

    fn with(text: &str) -> Self {
        let users = Self::new();
        fs::write(users.file(), text).expect("writable");
        users.mode(0o600);
        users
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("passwords")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("it is there")
    }

    fn mode(&self, mode: u32) {
        fs::set_permissions(self.file(), fs::Permissions::from_mode(mode)).expect("ours");
    }

    /// Runs the command with this on standard input.
    fn run(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(binary());
        command.arg("user").args(words);
        command.arg("--file").arg(self.file());
        run(command, input)
    }

    /// The same; what it ends with, and what it says.
    fn ends(&self, words: &[&str], input: &str) -> (i32, String) {
        said(&self.run(words, input.as_bytes()))
    }

    /// Who has logged in, or why nobody has.
    fn check(&self, user: &str, password: &str) -> Result<String, Checked> {
        let passwords = Passwords::parse(self.text().as_bytes()).expect("no mistakes");
        let mut memory = Memory::new(&passwords);
        match passwords.check(user, password.as_bytes(), &mut memory) {
            Checked::Right(name) => Ok(name.to_string()),
            other => Err(other),
        }
    }

    /// No file is left beside it.
    fn is_alone(&self) -> bool {
        let files = fs::read_dir(self.folder.path()).expect("ours");
        files.count() == 1
    }
}

fn run(mut command: Command, input: &[u8]) -> Output {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program runs");
    // It may have ended without reading.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    let code = output.status.code().expect("no signal ended it");
    (code, String::from_utf8(text).expect("text"))
}

#[test]
fn who_is_added_logs_in_and_who_is_removed_does_not() {
    let users = Users::new();
    let (code, text) = users.ends(&["add", "ann@Example.org"], &format!("{PASSWORD}\nmore\n"));
    assert_eq!(code, DONE, "{text}");
    assert!(
        text.contains("ringmail reload") && text.lines().count() == 1,
        "{text}"
    );
    assert!(!text.contains(PASSWORD));
    assert_eq!(
        fs::metadata(users.file()).expect("made").mode() & 0o7777,
        0o600
    );
    assert!(users.is_alone());
    assert_eq!(
        users.check("ann@example.org", PASSWORD),
        Ok("ann@example.org".to_owned())
    );
    assert_eq!(users.check("ann@example.org", "more"), Err(Checked::Wrong));

    let (code, text) = users.ends(&["add", "Ann@example.org"], "another one\n");
    assert_eq!(code, NO);
    assert!(
        text.contains("ringmail user passwd ann@example.org"),
        "{text}"
    );

    // A line end of another system is none of the password's.
    let (code, text) = users.ends(&["passwd", "ann@example.org"], "another one\r\n");
    assert_eq!((code, text.contains("changed")), (DONE, true), "{text}");
    assert_eq!(
        users.check("ann@example.org", "another one"),
        Ok("ann@example.org".to_owned())
    );
    assert_eq!(
        users.check("ann@example.org", PASSWORD),
        Err(Checked::Wrong)
    );

    let (code, _) = users.ends(&["remove", "ann@example.org"], "");
    assert_eq!(code, DONE);
    assert_eq!(
        users.check("ann@example.org", "another one"),
        Err(Checked::Unknown)
    );
    for words in [["remove", "ann@example.org"], ["passwd", "ann@example.org"]] {
        let (code, text) = users.ends(&words, "another one\n");
        assert_eq!((code, text.contains("is not in")), (NO, true), "{text}");
    }
    assert_eq!(users.text(), "");
}

#[test]
fn a_password_that_is_none_changes_nothing() {
    let users = Users::with("# nobody\n");
    let long = "x".repeat(1025);
    let endless = "x".repeat(1024 * 1024);
    for (input, why) in [
        ("", "there is no password"),
        ("\n", "there is no password"),
        ("1234567\n", "fewer than 8 octets"),
        (&*long, "more than 1024 octets"),
        (&*endless, "more than 1024 octets"),
        ("12345678\t\n", "control characters"),
    ] {
        let (code, text) = users.ends(&["add", "ann@example.org"], input);
        assert_eq!(code, NO, "{text}");
        assert!(
            text.contains(why) && text.contains("nothing was changed"),
            "{text}"
        );
    }
    let output = users.run(&["add", "ann@example.org"], b"1234567\xFF\n");
    assert_eq!(said(&output).0, NO);
    assert_eq!(users.text(), "# nobody\n");
}

#[test]
fn other_lines_and_what_the_file_is_are_kept() {
    let text = "# hand-written\n\njoe@b.test:!\nann@b.test:*\n  # end";
    let users = Users::with(text);
    users.mode(0o640);
    let root = fs::metadata(users.file()).expect("made").uid() == 0;
    if root {
        std::os::unix::fs::chown(users.file(), Some(61_021), Some(61_022)).expect("root may");
    }
    let before = fs::metadata(users.file()).expect("made");
    let (code, said) = users.ends(&["passwd", "ann@b.test"], PASSWORD);
    assert_eq!(code, DONE, "{said}");
    assert!(said.contains("ann@b.test was disabled"), "{said}");
    let inode = fs::metadata(users.file()).expect("made").ino();
    assert_ne!(inode, before.ino(), "it was written anew");
    let lines: Vec<String> = users.text().lines().map(str::to_owned).collect();
    assert_eq!(lines[..3], ["# hand-written", "", "joe@b.test:!"]);
    assert!(
        lines[3].starts_with("ann@b.test:$argon2id$v=19$m=19456,t=2,p=1$"),
        "{lines:?}"
    );
    assert_eq!(lines[4..], ["  # end"]);
    let (code, _) = users.ends(&["add", "eve@b.test"], PASSWORD);
    assert_eq!(code, DONE);
    let after = fs::metadata(users.file()).expect("made");
    let what = |data: &fs::Metadata| (data.mode(), data.uid(), data.gid());
    assert_eq!(what(&after), what(&before));
    let last = users.text().lines().last().map(str::to_owned);
    assert!(last.is_some_and(|line| line.starts_with("eve@b.test:$argon2id$")));
}

#[test]
fn a_mistake_on_another_line_is_told_and_is_in_nobodys_way() {
    let users = Users::with("joe@b.test:{PLAIN}hunter42\n");
    let (code, text) = users.ends(&["add", "ann@b.test"], PASSWORD);
    assert_eq!(code, DONE, "{text}");
    assert!(
        text.contains("line 1: hashes of this kind are not read"),
        "{text}"
    );
    let (code, text) = users.ends(&["list"], "");
    assert_eq!(code, NO);
    assert!(
        text.contains("ann@b.test  argon2id\n") && text.contains("line 1: "),
        "{text}"
    );
    assert!(!text.contains("hunter42"), "{text}");
    // Another password for who has the mistake is the way out.
    let (code, text) = users.ends(&["passwd", "joe@b.test"], PASSWORD);
    assert_eq!((code, text.contains("line 1")), (DONE, false), "{text}");
    assert_eq!(
        users.check("joe@b.test", PASSWORD),
        Ok("joe@b.test".to_owned())
    );
}

#[test]
fn a_list_says_who_and_how_and_no_hash() {
    let users = Users::with(
        "# two\nann@b.test:{CRYPT}$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/\njoe@b.test:!\n",
    );
    let (code, text) = users.ends(&["list"], "");
    let expected = "ann@b.test  sha256-crypt\njoe@b.test  no hash  disabled\n";
    assert_eq!((code, &*text), (DONE, expected));
    let (code, text) = users.ends(&["list", "--json"], "");
    assert_eq!(code, DONE);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<serde_json::Value> = lines.collect();
    let expected = [
        serde_json::json!({ "user": "ann@b.test", "hash": "sha256-crypt", "scram": false, "disabled": false, "line": 2 }),
        serde_json::json!({ "user": "joe@b.test", "hash": null, "scram": false, "disabled": true, "line": 3 }),
    ];
    assert_eq!(lines, expected);
    let (code, text) = users.ends(&["add", "eve@b.test", "--json"], PASSWORD);
    let done: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (code, &done["did"], &done["user"]),
        (DONE, &"added".into(), &"eve@b.test".into())
    );
    let (code, text) = Users::with("# none\n").ends(&["list"], "");
    assert_eq!((code, &*text), (DONE, "nobody may log in\n"));
    let (code, text) = Users::new().ends(&["list"], "");
    assert_eq!((code, text.contains("is not there")), (NO, true), "{text}");
}

#[test]
fn a_secret_of_scram_is_made_where_it_is_asked_for_and_leaves_with_the_next_password() {
    const ASCII: &str = "correct horse";
    let users = Users::new();
    let (code, text) = users.ends(&["add", "joe@b.test"], ASCII);
    assert_eq!(
        (code, users.text().contains("SCRAM")),
        (DONE, false),
        "{text}"
    );
    let (code, text) = users.ends(&["add", "ann@b.test", "--scram"], ASCII);
    assert_eq!(code, DONE, "{text}");
    let text = users.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].starts_with("*:{SCRAM-SALT}"), "{text}");
    assert!(lines[2].starts_with("ann@b.test:$argon2id$"), "{text}");
    assert!(lines[2].contains(":{SCRAM-SHA-256}60000,"), "{text}");
    let salt = lines[2].split(',').nth_back(2).map(str::to_owned);
    // The hash is the password's too.
    assert_eq!(
        users.check("ann@b.test", ASCII),
        Ok("ann@b.test".to_owned())
    );
    let (code, listed) = users.ends(&["list"], "");
    let expected = "joe@b.test  argon2id\nann@b.test  argon2id  scram\n";
    assert_eq!((code, &*listed), (DONE, expected));

    // One key of salts for all, and one salt of a name for good.
    let (code, _) = users.ends(&["passwd", "ann@b.test", "--scram"], "another one");
    assert_eq!(code, DONE);
    assert_eq!(users.text().matches("SCRAM-SALT").count(), 1);
    let again = users.text();
    let again = again.lines().find(|line| line.starts_with("ann@"));
    assert_eq!(
        again.and_then(|line| line.split(',').nth_back(2)),
        salt.as_deref()
    );
    assert!(!text.contains(again.expect("a line")));

    // Of what clients would not all prove alike none is made, and nothing is changed.
    let before = users.text();
    let (code, told) = users.ends(&["passwd", "ann@b.test", "--scram"], PASSWORD);
    assert_eq!(
        (code, told.contains("printable ASCII")),
        (NO, true),
        "{told}"
    );
    assert_eq!(users.text(), before);

    let (code, told) = users.ends(&["passwd", "ann@b.test"], PASSWORD);
    assert_eq!(
        (code, told.contains("by SCRAM no more")),
        (DONE, true),
        "{told}"
    );
    assert!(!users.text().contains("SCRAM-SHA-256"));
    assert_eq!(
        users.check("ann@b.test", PASSWORD),
        Ok("ann@b.test".to_owned())
    );
}

#[test]
fn a_file_that_others_are_let_at_is_refused_by_its_name() {
    let users = Users::with("ann@b.test:!\n");
    for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false)] {
        users.mode(mode);
        for words in [
            &["list"][..],
            &["remove", "joe@b.test"],
            &["add", "joe@b.test"],
        ] {
            let (code, text) = users.ends(words, "");
            let told =
                text.contains(&*users.file().display().to_string()) && text.contains("chmod");
            let refused = code == NOT_PERMITTED && told;
            assert_eq!(refused, !good, "{mode:o} {words:?}: {code} {text}");
        }
    }
    assert_eq!(users.text(), "ann@b.test:!\n");
}

#[test]
fn a_symbolic_link_is_followed_and_stays_one() {
    let there = Users::with("joe@b.test:!\n");
    let users = Users::new();
    symlink(there.file(), users.file()).expect("a link");
    let (code, text) = users.ends(&["add", "ann@b.test"], PASSWORD);
    assert_eq!(code, DONE, "{text}");
    assert!(users.file().is_symlink() && !there.file().is_symlink());
    assert_eq!(
        there.check("ann@b.test", PASSWORD),
        Ok("ann@b.test".to_owned())
    );
    assert!(users.is_alone() && there.is_alone());
    fs::remove_file(there.file()).expect("ours");
    let (code, text) = users.ends(&["add", "ann@b.test"], PASSWORD);
    assert_eq!(
        (code, text.contains("a symbolic link to nothing")),
        (NO, true),
        "{text}"
    );
    assert!(!there.file().exists());
}

#[test]
fn two_at_once_both_come_in() {
    let users = Users::with("");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let name = format!("u{number}@b.test");
            let users = &users;
            scope.spawn(move || {
                let (code, text) = users.ends(&["add", &name], PASSWORD);
                assert_eq!(code, DONE, "{text}");
            });
        }
    });
    let passwords = Passwords::parse(users.text().as_bytes()).expect("no mistakes");
    assert_eq!(format!("{passwords:?}"), "Passwords(6 logins)");
    assert!(users.is_alone());
}

#[test]
fn names_are_whole_mailboxes_and_the_configuration_says_where_the_file_is() {
    let users = Users::with("");
    for words in [
        &["add", "ann"][..],
        &["add", "@b.test"],
        &["add"],
        &["passwd", "a b@c"],
        &[],
    ] {
        assert_eq!(users.ends(words, PASSWORD).0, USAGE, "{words:?}");
    }
    let mut command = Command::new(binary());
    let config = users.folder.path().join("absent.toml");
    command.arg("--config").arg(config).args(["user", "list"]);
    assert_eq!(said(&run(command, b"")).0, CONFIGURATION);
    let (code, text) = {
        let mut command = Command::new(binary());
        let file = users.folder.path().join("no/passwords");
        command
            .args(["user", "add", "ann@b.test", "--file"])
            .arg(file);
        said(&run(command, PASSWORD.as_bytes()))
    };
    assert_eq!((code, text.contains("/no: ")), (NO, true), "{text}");
}

#[test]
fn who_may_not_at_the_file_is_told_5() {
    let users = Users::with("ann@b.test:!\n");
    let name = "who_may_not_at_the_file_is_told_5";
    let program = match Unprivileged::new(users.folder.path()) {
        Ok(program) => program,
        Err(why) => return left_out(name, &why),
    };
    if fs::metadata(users.file()).expect("made").uid() != 0 {
        users.mode(0);
    }
    for words in [
        &["list"][..],
        &["add", "joe@b.test"],
        &["remove", "ann@b.test"],
    ] {
        let mut command = program.command();
        command
            .arg("user")
            .args(words)
            .arg("--file")
            .arg(users.file());
        let (code, text) = said(&run(command, PASSWORD.as_bytes()));
        assert_eq!(code, NOT_PERMITTED, "{words:?}: {text}");
    }
}

/// A terminal of its own, by script(1), with a shell in it that runs these commands.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// None where this machine has no script(1).
    fn new(file: &Path, command: &str) -> Option<Self> {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", command, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("RINGMAIL", binary())
            .env("PASSWORDS", file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let keys = child.stdin.take().expect("piped");
        let mut out = child.stdout.take().expect("piped");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut octets = [0; 1024];
            while let Ok(read @ 1..) = out.read(&mut octets) {
                shown.lock().expect("no panic").extend(&octets[..read]);
            }
        });
        Some(Self {
            child,
            keys,
            screen,
        })
    }

    fn screen(&self) -> String {
        let screen = self.screen.lock().expect("no panic");
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Waits until this is shown.
    fn shows(&self, text: &str) {
        wait_until(text, SOON, || self.screen().contains(text));
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the terminal:\n{}", self.screen());
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds ann; then says with which code it ended, and whether the terminal shows what is typed.
const ADD_AND_LOOK: &str = "trap : INT; \
    sh -c 'echo pid $$.; exec \"$RINGMAIL\" user add ann@b.test --file \"$PASSWORDS\"'; \
    echo code $?.; stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e -echo; echo end.";

#[test]
fn at_a_terminal_a_password_is_asked_for_twice_and_not_shown() {
    let users = Users::with("");
    let Some(mut terminal) = Terminal::new(&users.file(), ADD_AND_LOOK) else {
        return left_out(
            "at_a_terminal_a_password_is_asked_for_twice_and_not_shown",
            "script(1) is not here",
        );
    };
    terminal.shows("Password for ann@b.test: ");
    terminal.types(&format!("{PASSWORD}\r"));
    terminal.shows("The same again: ");
    terminal.types(&format!("{PASSWORD}\r"));
    terminal.shows("end.");
    let screen = terminal.screen();
    assert!(
        screen.contains("code 0.") && screen.contains("\necho\r"),
        "{screen}"
    );
    assert!(!screen.contains("orse"), "{screen}");
    assert_eq!(
        users.check("ann@b.test", PASSWORD),
        Ok("ann@b.test".to_owned())
    );
}

#[test]
fn what_is_typed_otherwise_the_second_time_is_no_password() {
    let users = Users::with("");
    let Some(mut terminal) = Terminal::new(&users.file(), ADD_AND_LOOK) else {
        return left_out(
            "what_is_typed_otherwise_the_second_time_is_no_password",
            "script(1) is not here",
        );
    };
    terminal.shows("Password for ann@b.test: ");
    terminal.types("correct horse\r");
    terminal.shows("The same again: ");
    terminal.types("correct house\r");
    terminal.shows("end.");
    let screen = terminal.screen();
    assert!(screen.contains("the passwords differ"), "{screen}");
    assert!(
        screen.contains("code 1.") && screen.contains("\necho\r"),
        "{screen}"
    );
    assert_eq!(users.text(), "");
}

#[test]
fn a_signal_ends_the_asking_and_the_terminal_shows_again_what_is_typed() {
    for (by_key, code) in [(true, "code 130."), (false, "code 143.")] {
        let users = Users::with("");
        let Some(mut terminal) = Terminal::new(&users.file(), ADD_AND_LOOK) else {
            return left_out(
                "a_signal_ends_the_asking_and_the_terminal_shows_again_what_is_typed",
                "script(1) is not here",
            );
        };
        terminal.shows("Password for ann@b.test: ");
        // A half of it, and a key that would stop another program.
        terminal.types("correct\x1a");
        if by_key {
            terminal.types("\x03");
        } else {
            let screen = terminal.screen();
            let pid = screen
                .split("pid ")
                .nth(1)
                .and_then(|rest| rest.split('.').next());
            let pid = pid.expect("the shell says it");
            let told = Command::new("kill").args(["-TERM", pid]).status();
            assert!(told.is_ok_and(|status| status.success()));
        }
        terminal.shows("end.");
        let screen = terminal.screen();
        assert!(
            screen.contains(code) && screen.contains("\necho\r"),
            "{screen}"
        );
        assert!(!screen.contains("correct"), "{screen}");
        assert_eq!(users.text(), "");
    }
}
