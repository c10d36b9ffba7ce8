//! What the kernel says of the processes that run, compared with the table of what each may do: idle, and in the middle of
//! traffic; as a plain user starts the service, and as root does. And what happens where a layer cannot be had.

mod process;
mod starters;

use process::{environment, is_hidden, limit, line, mounts, namespace};
use ringmail::config::Config;
use ringmail::confine::limits::{self, Limited};
use ringmail::confine::{Layer, Reach};
use ringmail::ipc::spawn::{Role, Situation};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::rooted::{self, id_of};
use tests::{Client, Program, SERVICE_ID, binary, find_files, free_port, left_out, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// Looks at every process while mail flows.
const LOOKS: usize = 10;

fn configuration(mx: u16, more: &str) -> String {
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n{more}\
         [listen]\nmx = [\"127.0.0.1:{mx}\"]\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\naliases = {{ postmaster = \"ann\" }}\n\
         deliver = \"maildir:{{dir}}/mail/{{user}}\"\n"
    )
}

/// What the kernel calls a limit.
fn name_of(limited: Limited) -> &'static str {
    match limited {
        Limited::Nofile => "Max open files",
        Limited::Nproc => "Max processes",
        Limited::Data => "Max data size",
        Limited::Memlock => "Max locked memory",
        Limited::Fsize => "Max file size",
        Limited::Msgqueue => "Max msgqueue size",
        Limited::Sigpending => "Max pending signals",
        Limited::Core => "Max core file size",
        other => panic!("{other:?} is in the table, and has no name here"),
    }
}

/// What is to be mounted in a role's root: itself, the folders that it keeps files in, those of sockets. Nothing in any of
/// them is a program, a device or gives rights, and of the root and the sockets' folders nothing can be written to.
fn mounts_of(reach: &Reach) -> BTreeMap<String, String> {
    let mount = |path: &Path, first: &str| {
        (
            path.display().to_string(),
            format!("{first},nosuid,nodev,noexec"),
        )
    };
    let kept = reach.folders.iter().map(|path| mount(path, "rw"));
    let passed = reach.sockets.iter().map(|path| mount(path, "ro"));
    let root = [mount(Path::new("/"), "ro")];
    root.into_iter().chain(passed).chain(kept).collect()
}

/// All that is not as it should be with a process of a role.
fn look(program: &Program, config: &Config, role: Role, pid: u32, by_root: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!(
                "{role} {what}: {is:?}, and it should be {should:?}"
            ));
        }
    };
    let id = if by_root {
        id_of(role.name())
    } else {
        SERVICE_ID
    };
    for name in ["Uid", "Gid"] {
        let four = format!("{id} {id} {id} {id}");
        expect(name, line(pid, "status", name), four);
    }
    expect("Groups", line(pid, "status", "Groups"), String::new());
    let nothing = "0".repeat(16);
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"] {
        // Who never had the right to empty the bounding set has it still, and nothing that it would let through.
        if set != "CapBnd" || by_root || Layer::Namespaces.is_of(role) {
            expect(set, line(pid, "status", set), nothing.clone());
        }
    }
    expect("NoNewPrivs", line(pid, "status", "NoNewPrivs"), "1".into());
    expect("Seccomp", line(pid, "status", "Seccomp"), "2".into());
    // launch's filter, which refuses root, is the other one.
    let filters = if by_root { "2" } else { "1" };
    expect(
        "Seccomp_filters",
        line(pid, "status", "Seccomp_filters"),
        filters.into(),
    );
    let threads = match role {
        Role::Local => "5",
        Role::Queue => "2",
        Role::Auth => "3",
        _ => "1",
    };
    expect("Threads", line(pid, "status", "Threads"), threads.into());
    expect("Umask", line(pid, "status", "Umask"), "0077".into());
    expect("hidden", is_hidden(pid).to_string(), "true".into());
    expect(
        "environment",
        format!("{:?}", environment(pid)),
        "Some(0)".into(),
    );
    for (of, most) in limits::of(role).into_iter().chain([(Limited::Core, 0)]) {
        // The log would be bounded.
        if of == Limited::Fsize && !by_root {
            continue;
        }
        let name = name_of(of);
        let (soft, hard) = limit(pid, name);
        // What whoever starts the service has less of stays less.
        let before: u64 = limit(std::process::id(), name)
            .1
            .parse()
            .unwrap_or(u64::MAX);
        expect(name, hard, before.min(most).to_string());
        let within = soft.parse::<u64>().is_ok_and(|soft| soft <= most);
        expect(name, within.to_string(), "true".into());
    }
    if role == Role::Keys {
        expect("memory", unlocked(pid), "[]".into());
    }
    let reach = Reach::of(role, config);
    let own = Layer::Namespaces.is_of(role);
    for kind in ["user", "mnt", "ipc", "uts", "net"] {
        let other = namespace(pid, kind) != namespace(program.pid(), kind);
        let should = own && (kind != "net" || !reach.has_network());
        expect(kind, other.to_string(), should.to_string());
    }
    if own {
        let tops = reach
            .folders
            .iter()
            .chain(&reach.sockets)
            .filter_map(|path| {
                let first = path.components().nth(1)?;
                Some(first.as_os_str().to_string_lossy().into_owned())
            });
        let should: BTreeSet<String> = tops.collect();
        let found = fs::read_dir(format!("/proc/{pid}/root"))
            .into_iter()
            .flatten()
            .flatten();
        let is: BTreeSet<String> = found
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        expect("root", format!("{is:?}"), format!("{should:?}"));
        let (is, should) = (mounts(pid), mounts_of(&reach));
        expect("mounts", format!("{is:?}"), format!("{should:?}"));
    }
    let files = descriptors(pid);
    let odd = files
        .iter()
        .filter(|file| !may_have(program.folder(), role, file));
    let odd: Vec<_> = odd.collect();
    expect("descriptors", format!("{odd:?}"), "[]".into());
    wrong
}

/// Private memory of a process that it can write to and that may go to a disk.
fn unlocked(pid: u32) -> String {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let (mut unlocked, mut range, mut ranges) = (Vec::new(), "", 0);
    for line in smaps.lines() {
        match line.split_once(' ') {
            Some(("VmFlags:", flags)) if !range.is_empty() => {
                ranges += 1;
                if !flags.split(' ').any(|flag| flag == "lo") {
                    unlocked.push(range);
                }
            }
            // A line of proc_pid_maps(5) begins a mapping.
            Some((place, rest)) if place.contains('-') && !place.ends_with(':') => {
                range = if rest.starts_with("rw-p") { line } else { "" };
            }
            _ => {}
        }
    }
    assert!(ranges > 3, "{smaps}");
    format!("{unlocked:?}")
}

/// What a process has open, without what it inherited from whoever started the service.
fn descriptors(pid: u32) -> Vec<String> {
    let found = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let inherited = |name: &str| ["0", "1", "2"].contains(&name);
    let files = found.filter(|entry| !inherited(&entry.file_name().to_string_lossy()));
    let targets = files.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

fn may_have(folder: &Path, role: Role, file: &str) -> bool {
    let below = |sub: &str| file.starts_with(&*folder.join(sub).to_string_lossy());
    file.starts_with("socket:[")
        || file.starts_with("anon_inode:[event")
        || match role {
            Role::Queue => below("spool"),
            // A body, handed over.
            Role::Smtpd | Role::Submission | Role::Relay => below("spool/body"),
            Role::Local => below("spool/body") || below("mail"),
            Role::Admin => below("events"),
            // Files of keys and hashes are closed when they were read.
            Role::Auth | Role::Keys | Role::Policy => false,
        }
}

fn send(port: u16, to: &str, octets: usize) -> bool {
    let content = format!("Subject: x\r\n\r\n{}\r\n", "x\r\n".repeat(octets / 3));
    let sent = Client::connect(port)
        .and_then(|mut client| client.send("joe@b.test", &[to.to_owned()], content.as_bytes()));
    sent.is_ok_and(|answer| answer.starts_with("250 2.0.0"))
}

/// Threads that look at it end, whatever is found.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn every_process_is_as_the_table_says(by_root: bool) {
    let port = free_port();
    // local sees a folder of sockets too.
    let text = configuration(port, "sandbox = \"required\"\n")
        + "[domain.\"b.test\"]\nusers = [\"bob\"]\naliases = { postmaster = \"bob\" }\n\
           deliver = \"lmtp:{dir}/sockets/lmtp\"\n";
    let prepare = |folder: &Path| {
        fs::create_dir(folder.join("sockets")).expect("writable");
    };
    let program = if by_root {
        Program::start_by_root_into_a_pipe(&text, prepare)
    } else {
        Program::start_with(&text, prepare)
    };
    let config = Config::load(&program.config(), Situation::Run).expect("it is right");
    let look_at_all = || {
        let roles = program.roles();
        let mut wrong = starters::look(&program, by_root);
        for role in Role::ALL {
            match roles.iter().find(|(name, _)| name == role.name()) {
                Some((_, pid)) => wrong.extend(look(&program, &config, role, *pid, by_root)),
                None => wrong.push(format!("{role} is not there")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    };
    look_at_all();
    let (stop, sent) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for octets in [10, 100_000, 900_000] {
            let (stop, sent) = (&stop, &sent);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    sent.fetch_or(send(port, "ann@a.test", octets), Ordering::Relaxed);
                }
            });
        }
        let _stop = Stop(&stop);
        for _ in 0..LOOKS {
            look_at_all();
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(sent.load(Ordering::Relaxed), "no mail flowed");
}

#[test]
fn every_process_of_a_service_that_root_starts_is_as_the_table_says() {
    let name = "every_process_of_a_service_that_root_starts_is_as_the_table_says";
    match rooted::lacks() {
        Some(why) => left_out(name, why),
        None => every_process_is_as_the_table_says(true),
    }
}

#[test]
fn every_process_of_a_service_that_a_user_starts_is_as_the_table_says() {
    let name = "every_process_of_a_service_that_a_user_starts_is_as_the_table_says";
    match rooted::lacks() {
        // Nobody else may look at processes that hide.
        Some(why) => left_out(name, why),
        None => every_process_is_as_the_table_says(false),
    }
}

/// A shell in a user namespace where no other can be made, which runs the program.
fn without_namespaces() -> Command {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    command.arg(binary());
    command
}

#[test]
fn a_layer_that_cannot_be_had_is_said_and_where_it_is_demanded_stops_the_start() {
    let name = "a_layer_that_cannot_be_had_is_said_and_where_it_is_demanded_stops_the_start";
    let tried = without_namespaces()
        .arg("version")
        .stdout(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        return left_out(name, "it takes user namespaces");
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let dir = folder.path().display().to_string();
    let config = folder.path().join("ringmail.toml");
    let port = free_port();
    fs::write(&config, configuration(port, "").replace("{dir}", &dir)).expect("writable");
    let log = folder.path().join("log");
    let mut child = without_namespaces()
        .arg("--config")
        .arg(&config)
        .arg("run")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).expect("writable"))
        .spawn()
        .expect("unshare runs");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("it goes without", SOON, || {
        said().contains("event=role.unconfined level=warn role=supervisor process=smtpd")
    });
    wait_until("mail is taken", SOON, || send(port, "ann@a.test", 10));
    let status = Command::new(binary())
        .arg("--config")
        .arg(&config)
        .arg("status")
        .output();
    let text = String::from_utf8_lossy(&status.expect("it runs").stdout).into_owned();
    assert!(text.contains("not all"), "{text}");
    assert!(
        text.contains("smtpd        goes without namespaces: unshare: "),
        "{text}"
    );
    // What is demanded from now on is not there: nothing changes.
    let demanded = configuration(port, "sandbox = \"required\"\n").replace("{dir}", &dir);
    fs::write(&config, &demanded).expect("writable");
    let reload = Command::new(binary())
        .arg("--config")
        .arg(&config)
        .arg("reload")
        .output();
    let reload = reload.expect("it runs");
    let text = String::from_utf8_lossy(&reload.stderr).into_owned();
    assert_eq!(reload.status.code(), Some(1), "{text}");
    assert!(text.contains("would go without namespaces"), "{text}");
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.is_ok_and(|status| status.success()));
    child.wait().expect("ours");
    // And a start does not come to be.
    let output = without_namespaces()
        .arg("--config")
        .arg(&config)
        .arg("run")
        .output();
    let output = output.expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("ringmail: sandbox = \"required\", and ")
            && text.contains(" would go without namespaces: "),
        "{text}"
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ready"));
    assert!(!find_files(&folder.path().join("mail")).is_empty());
}

/// Hears LMTP's beginning and then nothing more, so that an attempt stays under way.
fn stall(path: &Path) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a free path");
    // Whoever it is may connect.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(path, everybody).expect("our own");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().expect("a descriptor");
            let _ = out.write_all(b"220 x LMTP\r\n");
            let mut heard = String::new();
            let _ = BufReader::new(&stream).read_line(&mut heard);
            kept.push(stream);
        }
    });
}

#[test]
fn a_message_that_ends_its_transport_twice_by_a_fault_is_held() {
    let port = free_port();
    let more = "[domain.\"b.test\"]\nusers = [\"bob\"]\naliases = { postmaster = \"bob\" }\ndeliver = \"lmtp:{dir}/lmtp\"\n";
    let text = configuration(port, "") + more;
    let program = Program::start(&text);
    stall(&program.folder().join("lmtp"));
    assert!(send(port, "bob@b.test", 10));
    let state = || {
        let output = program.command(&["queue", "list", "--json"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = text
            .lines()
            .next()
            .and_then(|line| serde_json::from_str(line).ok());
        let first: serde_json::Value = first.unwrap_or_default();
        first["state"].as_str().unwrap_or_default().to_owned()
    };
    let mut last = 0;
    for signal in ["-KILL", "-KILL", "-KILL", "-SEGV", "-SEGV"] {
        wait_until("it is under way", SOON, || state() == "sending");
        let local = || {
            program
                .roles()
                .into_iter()
                .find(|(name, _)| name == "local")
        };
        wait_until("another local has it", SOON, || {
            local().is_some_and(|(_, pid)| pid != last && line(pid, "status", "Seccomp") == "2")
        });
        last = local().expect("it is there").1;
        let killed = Command::new("kill")
            .args([signal, &last.to_string()])
            .status();
        assert!(killed.is_ok_and(|status| status.success()));
        // It is not, until it is tried again.
        wait_until("the attempt is lost", SOON, || state() != "sending");
    }
    wait_until("it is held", SOON, || state() == "held");
    assert!(
        program
            .log()
            .contains("event=message.held level=error role=queue")
    );
    // Others go their way.
    assert!(send(port, "ann@a.test", 10));
    wait_until("another is delivered", SOON, || {
        find_files(&program.folder().join("mail/ann/new")).len() == 1
    });
}
