//! A service that root starts: root is given up, each process is its own user, what dies is sealed the same, and root's
//! reload brings what the service cannot have by itself.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::rooted::{self, USERS, id_of};
use tests::{
    Client, Program, Trial, binary, children_of, find_files, free_port, left_out, wait_until,
};

const SOON: Duration = Duration::from_secs(20);

fn configuration(mx: u16, more: &str) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\nsandbox = \"required\"\n\
         [listen]\nmx = [\"127.0.0.1:{mx}\"]\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n{more}"
    )
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

/// Whether nobody of its user looks into it, whose files in `/proc` are root's then (proc(5)); and its umask.
fn hides(pid: u32) -> (bool, String) {
    let environ = fs::metadata(format!("/proc/{pid}/environ"));
    let hidden = environ.is_ok_and(|found| found.uid() == 0);
    (hidden, status(pid, "Umask"))
}

fn send(port: u16) {
    let mut client = Client::connect(port).expect("it listens");
    let to = ["ann@a.test".to_owned()];
    let answer = client.send("joe@b.test", &to, b"Subject: x\r\n\r\nx\r\n");
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("250 2.0.0"), "{answer}");
}

/// Messages that came to a mailbox.
fn arrived(program: &Program, mailbox: &str) -> usize {
    find_files(&program.folder().join(mailbox).join("new")).len()
}

#[test]
fn root_is_given_up_and_each_process_is_its_own_user() {
    let name = "root_is_given_up_and_each_process_is_its_own_user";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let program = Program::start_by_root(&configuration(port, ""));
    send(port);
    wait_until("it is delivered", SOON, || {
        arrived(&program, "mail/ann") == 1
    });
    let mut all = program.roles();
    assert_eq!(all.len(), USERS.len() - 1, "{all:?}");
    all.push(("supervisor".into(), program.pid()));
    for (role, pid) in &all {
        let id = id_of(role);
        let four = format!("{id} {id} {id} {id}");
        assert_eq!(status(*pid, "Uid"), four, "{role}");
        assert_eq!(status(*pid, "Gid"), four, "{role}");
        assert_eq!(status(*pid, "Groups"), "", "{role}");
        // Of all processes launch alone keeps a right: SETGID, SETUID, SETPCAP.
        let kept = if role == "launch" {
            1 << 6 | 1 << 7 | 1 << 8
        } else {
            0_u64
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            let inherited = ["CapInh", "CapAmb"].contains(&set);
            let expected = if inherited { 0 } else { kept };
            let is = u64::from_str_radix(&status(*pid, set), 16);
            assert_eq!(is, Ok(expected), "{role} {set}");
        }
        assert_eq!(status(*pid, "NoNewPrivs"), "1", "{role}");
    }
    let owner = |path: &str| {
        let found = fs::metadata(program.folder().join(path)).expect("it is there");
        (found.uid(), found.mode() & 0o777)
    };
    assert_eq!(owner("spool"), (id_of("queue"), 0o700));
    assert_eq!(owner("spool/segment"), (id_of("queue"), 0o700));
    assert_eq!(owner("spool/supervisor"), (id_of("queue"), 0o600));
    assert_eq!(owner("mail"), (id_of("local"), 0o700));
    assert_eq!(owner("events"), (id_of("admin"), 0o700));
    assert_eq!(owner("run/control"), (0, 0o600));
    assert_eq!(owner("run/reload"), (0, 0o600));
}

#[test]
fn what_dies_is_sealed_the_same_when_it_is_started_again() {
    let name = "what_dies_is_sealed_the_same_when_it_is_started_again";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let program = Program::start_by_root(&configuration(port, ""));
    let walls = |pid: u32| {
        let lines = [
            "Uid",
            "Gid",
            "Groups",
            "CapPrm",
            "CapBnd",
            "NoNewPrivs",
            "Seccomp",
            "Seccomp_filters",
        ];
        lines.map(|line| status(pid, line))
    };
    let serving = |role: &str| {
        let found = program.roles().into_iter().find(|(name, _)| name == role);
        // The filter comes last.
        found
            .map(|(_, pid)| pid)
            .filter(|pid| status(*pid, "Seccomp_filters") == "2")
    };
    for (count, role) in [
        "smtpd",
        "submission",
        "auth",
        "policy",
        "keys",
        "queue",
        "local",
        "relay",
        "admin",
    ]
    .iter()
    .enumerate()
    {
        wait_until("it serves", SOON, || serving(role).is_some());
        let old = serving(role).expect("it serves");
        let before = walls(old);
        let killed = Command::new("kill")
            .args(["-KILL", &old.to_string()])
            .status();
        assert!(killed.is_ok_and(|status| status.success()));
        wait_until("it is started again", SOON, || {
            serving(role).is_some_and(|new| new != old)
        });
        assert_eq!(walls(serving(role).expect("it serves")), before, "{role}");
        wait_until("mail is taken", SOON, || {
            let to = ["ann@a.test".to_owned()];
            let sent = Client::connect(port)
                .and_then(|mut client| client.send("joe@b.test", &to, b"Subject: x\r\n\r\n"));
            sent.is_ok_and(|answer| answer.starts_with("250 2.0.0"))
        });
        wait_until("mail is delivered", SOON, || {
            arrived(&program, "mail/ann") > count
        });
    }
}

#[test]
fn without_launch_nothing_goes_on_and_nobody_stays() {
    let name = "without_launch_nothing_goes_on_and_nobody_stays";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    for whom in ["launch", "supervisor"] {
        let program = Program::start_by_root(&configuration(free_port(), ""));
        let roles = program.roles();
        let launch = roles.iter().find(|(name, _)| name == "launch");
        let pid = match whom {
            "launch" => launch.expect("root started it").1,
            _ => program.pid(),
        };
        // One that does not hear of it is ended all the same.
        let stuck = roles
            .iter()
            .find(|(name, _)| name == "relay")
            .expect("a role")
            .1;
        let signal = |signal: &str, pid: u32| {
            let sent = Command::new("kill")
                .args([signal, &pid.to_string()])
                .status();
            assert!(sent.is_ok_and(|status| status.success()));
        };
        if whom == "supervisor" {
            signal("-STOP", stuck);
        }
        signal("-KILL", pid);
        let living = || {
            let states = roles.iter().map(|(role, pid)| {
                let (state, uid) = (status(*pid, "State"), status(*pid, "Uid"));
                (format!("{role} {pid}: {state}, {uid}"), state)
            });
            let living =
                |(_, state): &(String, String)| !state.is_empty() && !state.starts_with('Z');
            states.filter(living).collect::<Vec<_>>()
        };
        let began = Instant::now();
        while !living().is_empty() {
            assert!(began.elapsed() < SOON, "after {whom}: {:?}", living());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn root_brings_by_reload_what_the_service_cannot_have_by_itself() {
    let name = "root_brings_by_reload_what_the_service_cannot_have_by_itself";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let port = free_port();
    let mut program = Program::start_by_root(&configuration(port, ""));
    // A port that only root may open, a file that only root may read, a folder that is not there.
    let low = (600..1023)
        .rev()
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port below 1024");
    let more = "[domain.\"b.test\"]\nusers = [\"bob\"]\naliases = { postmaster = \"bob\" }\n\
                deliver = \"maildir:{dir}/shared/{domain}/{user}\"\n";
    // Root's, as /var/mail is: the domain's own folder is made in it.
    fs::create_dir(program.folder().join("shared")).expect("writable");
    let text = configuration(port, more)
        .replace(
            &format!("mx = [\"127.0.0.1:{port}\"]"),
            &format!("mx = [\"127.0.0.1:{port}\", \"127.0.0.1:{low}\"]"),
        )
        .replace("{dir}", &program.folder().display().to_string());
    fs::write(program.config(), text).expect("our own file");
    let permit = |octal| {
        let permissions = fs::Permissions::from_mode(octal);
        fs::set_permissions(program.config(), permissions).expect("our own file");
    };
    permit(0o600);
    let before = program.roles();
    let reload = program.command(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    // Nothing was wrong, and nothing is said to be.
    assert!(
        !program.log().contains(" level=error "),
        "{}",
        program.log()
    );
    // local sees another folder, so it is another process; nobody else is.
    let after = program.roles();
    let pid = |roles: &[(String, u32)], role: &str| {
        roles
            .iter()
            .find(|(name, _)| name == role)
            .map(|(_, pid)| *pid)
    };
    for role in [
        "launch",
        "smtpd",
        "submission",
        "auth",
        "policy",
        "queue",
        "relay",
        "admin",
    ] {
        assert_eq!(pid(&before, role), pid(&after, role), "{role}");
    }
    assert_ne!(pid(&before, "local"), pid(&after, "local"));
    let mut client = Client::connect(low).expect("the low port listens");
    let to = ["bob@b.test".to_owned()];
    let answer = client.send("joe@c.test", &to, b"Subject: x\r\n\r\n");
    assert!(answer.expect("an answer").starts_with("250 2.0.0"));
    wait_until("it is delivered", SOON, || {
        arrived(&program, "shared/b.test/bob") == 1
    });
    // By itself it cannot even read its file, and says so; nothing changes.
    let status = Command::new("kill")
        .args(["-HUP", &program.pid().to_string()])
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    wait_until("it says so", SOON, || {
        program.log().contains("event=configuration.refused")
    });
    permit(0o644);
    assert!(program.stop());
}

/// One that does not outlive its test.
struct Service(std::process::Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As the systemd unit starts it: a user with the rights to become others, folders that are there, a socket that listens.
#[test]
fn a_user_with_three_rights_starts_it_and_nobody_has_them_but_launch() {
    let name = "a_user_with_three_rights_starts_it_and_nobody_has_them_but_launch";
    let python = std::path::Path::new("/usr/bin/python3");
    let lacks = rooted::lacks().or((!python.exists()).then_some("it takes /usr/bin/python3"));
    if let Some(why) = lacks {
        return left_out(name, why);
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = |sub: &str| folder.path().join(sub);
    let dir = folder.path().display().to_string();
    let port = free_port();
    fs::write(
        path("ringmail.toml"),
        configuration(port, "").replace("{dir}", &dir),
    )
    .expect("writable");
    for (sub, user) in [
        ("spool", "queue"),
        ("mail", "local"),
        ("events", "admin"),
        ("run", ""),
    ] {
        fs::create_dir(path(sub)).expect("writable");
        let id = Some(id_of(user));
        std::os::unix::fs::chown(path(sub), id, id).expect("root may");
    }
    let rights = "+setuid,+setgid,+setpcap";
    // What the service manager does.
    let open_and_execute = format!(
        "import os,socket,sys\n\
         s=socket.create_server(('127.0.0.1',{port}))\n\
         if s.fileno()!=3: os.dup2(s.fileno(),3)\n\
         os.set_inheritable(3,True)\n\
         os.environ.update(LISTEN_PID=str(os.getpid()),LISTEN_FDS='1')\n\
         os.execvp(sys.argv[1],sys.argv[1:])\n"
    );
    let mut command = rooted::command_of(
        folder.path(),
        &[
            "setpriv",
            "--reuid",
            "61000",
            "--regid",
            "61000",
            "--clear-groups",
        ],
        &[
            "--inh-caps",
            rights,
            "--ambient-caps",
            rights,
            "/usr/bin/python3",
            "-c",
            &open_and_execute,
        ],
    );
    let log = fs::File::create(path("log")).expect("writable");
    let command = command
        .arg("--config")
        .arg(path("ringmail.toml"))
        .arg("run");
    let started = command.stdout(Stdio::null()).stderr(log).spawn();
    let mut service = Service(started.expect("it starts"));
    let child = &mut service.0;
    let said = || fs::read_to_string(path("log")).unwrap_or_default();
    let sent = || {
        let to = ["ann@a.test".to_owned()];
        let sent = Client::connect(port)
            .and_then(|mut client| client.send("joe@b.test", &to, b"Subject: x\r\n\r\n"));
        sent.is_ok_and(|answer| answer.starts_with("250 2.0.0"))
    };
    let began = Instant::now();
    while !sent() {
        assert!(began.elapsed() < SOON, "{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let all = children_of(child.id());
    let (_, launch) = all.first().expect("launch");
    assert_eq!(status(child.id(), "Uid"), "61000 61000 61000 61000");
    assert_eq!(status(child.id(), "CapPrm"), "0".repeat(16), "{}", said());
    assert_eq!(status(child.id(), "CapBnd"), "0".repeat(16));
    assert_eq!(hides(child.id()), (true, "0077".into()));
    assert_eq!(
        u64::from_str_radix(&status(*launch, "CapEff"), 16),
        Ok(0x1C0)
    );
    let roles = children_of(*launch);
    assert_eq!(roles.len(), USERS.len() - 2, "{roles:?}");
    for (role, pid) in roles {
        let id = id_of(&role);
        assert_eq!(status(pid, "Uid"), format!("{id} {id} {id} {id}"), "{role}");
        for set in ["CapPrm", "CapAmb", "CapBnd"] {
            assert_eq!(status(pid, set), "0".repeat(16), "{role} {set}");
        }
    }
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.is_ok_and(|status| status.success()));
    assert!(
        child.wait().is_ok_and(|status| status.success()),
        "{}",
        said()
    );
}

#[test]
fn without_users_root_is_told_what_is_missing() {
    let name = "without_users_root_is_told_what_is_missing";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let config = folder.path().join("ringmail.toml");
    let dir = folder.path().display().to_string();
    let text = configuration(free_port(), "").replace("{dir}", &dir);
    fs::write(&config, text).expect("writable");
    fs::create_dir(folder.path().join("mail")).expect("writable");
    let run = |word: &str| {
        let mut command = Command::new(binary());
        let output = command.arg("--config").arg(&config).arg(word).output();
        let output = output.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let all = USERS.join(", ");
    let missing = &*format!("these users are missing: {all}; `ringmail setup users` makes them");
    let (code, said) = run("run");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(missing), "{said}");
    assert!(!folder.path().join("spool").exists());
    let (code, said) = run("check");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(missing), "{said}");
}

#[test]
fn root_that_could_not_be_given_up_is_refused() {
    let name = "root_that_could_not_be_given_up_is_refused";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let config = folder.path().join("ringmail.toml");
    let dir = folder.path().display().to_string();
    fs::write(
        &config,
        configuration(free_port(), "").replace("{dir}", &dir),
    )
    .expect("writable");
    let without = [
        "setpriv",
        "--bounding-set",
        "-setuid,-setgid,-setpcap",
        "--",
    ];
    let mut command = rooted::command_of(folder.path(), &without, &[]);
    let output = command.arg("--config").arg(&config).arg("run").output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("root could not be given up: start it as a plain user"),
        "{said}"
    );
    assert!(!folder.path().join("spool").exists());
}

#[test]
fn a_trial_by_root_runs_as_nobody_and_takes_no_folder_of_others() {
    let name = "a_trial_by_root_runs_as_nobody_and_takes_no_folder_of_others";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let closed = scratch.path().join("closed");
    let full = scratch.path().join("full");
    fs::create_dir(&full).expect("writable");
    fs::write(full.join("mine"), "").expect("writable");
    let tried = |folder: &std::path::Path| {
        let output = Command::new(binary()).arg("try").arg(folder).output();
        let output = output.expect("it runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    // Nobody cannot pass what is above it.
    let shut = fs::Permissions::from_mode(0o700);
    fs::set_permissions(scratch.path(), shut).expect("our own");
    let (code, said) = tried(&closed);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("runs as nobody") && said.contains("name one below /tmp"),
        "{said}"
    );
    let (code, said) = tried(&full);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("name one that is not there yet"), "{said}");
    assert_eq!(fs::metadata(&full).expect("it is there").uid(), 0);
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(scratch.path(), open).expect("our own");
    let folder = scratch.path().join("new");
    let trial = Trial::start(&folder);
    for (role, pid) in children_of(trial.pid()) {
        assert_eq!(status(pid, "Uid"), "65534 65534 65534 65534", "{role}");
    }
    assert_eq!(fs::metadata(&folder).expect("it is there").uid(), 65_534);
    assert_eq!(status(trial.pid(), "CapBnd"), "0".repeat(16));
    let (ended, _) = trial.ctrl_c();
    assert!(ended.success());
}

#[test]
fn setup_makes_the_users_by_the_tools_that_there_are() {
    let name = "setup_makes_the_users_by_the_tools_that_there_are";
    if let Some(why) = rooted::lacks() {
        return left_out(name, why);
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let tools = folder.path().join("tools");
    fs::create_dir(&tools).expect("writable");
    for tool in ["groupadd", "useradd"] {
        let from = std::path::Path::new("/usr/sbin").join(tool);
        std::os::unix::fs::symlink(from, tools.join(tool)).expect("writable");
    }
    let everything = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    // With all tools, and with those only that are older than systemd.
    for (at, path) in [everything, tools.display().to_string()].iter().enumerate() {
        let script = "set -e\n\
            cp -a /etc \"$1/etc\" && mount --bind \"$1/etc\" /etc\n\
            PATH=\"$2\" \"$0\" setup users; PATH=\"$2\" \"$0\" setup users\n\
            grep ^ringmail /etc/passwd; grep ^ringmail /etc/group";
        let place = folder.path().join(at.to_string());
        fs::create_dir(&place).expect("writable");
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(binary())
            .arg(&place)
            .arg(path)
            .output()
            .expect("unshare runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{errors}");
        assert!(
            said.contains("made ringmail, ringmail-launch"),
            "{said}{errors}"
        );
        let all = format!("all {} users are there", USERS.len());
        assert!(said.contains(&all), "{said}{errors}");
        assert_eq!(said.matches("nologin").count(), USERS.len(), "{said}");
    }
}

#[test]
fn what_is_shipped_names_the_users_of_the_program() {
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shipped = fs::read_to_string(top.join("dist/sysusers.d/ringmail.conf"));
    assert_eq!(
        shipped.expect("it is shipped"),
        ringmail::confine::users::sysusers()
    );
    assert_eq!(ringmail::confine::users::names(), rooted::USERS);
}
