//! What is true of the two that are no roles: the supervisor, and launch where root started the service. The tables here
//! are all there is to it: who changes what one of them is changes its line.

use super::process::{environment, is_hidden, limit, line, namespace};
use tests::rooted::id_of;
use tests::{Program, SERVICE_ID};

/// No capability at all.
const NONE: &str = "0000000000000000";
/// SETGID, SETUID and SETPCAP.
const LAUNCHING: &str = "00000000000001c0";
/// As whoever started the service has it: nothing is done about it.
const AS_STARTED: &str = "as started";

/// What, and how it is where root starts the service: with the supervisor, with launch.
const BY_ROOT: &[(&str, &str, &str)] = &[
    ("groups", "", ""),
    ("CapInh", NONE, NONE),
    ("CapPrm", NONE, LAUNCHING),
    ("CapEff", NONE, LAUNCHING),
    ("CapBnd", NONE, LAUNCHING),
    ("CapAmb", NONE, NONE),
    ("NoNewPrivs", "1", "1"),
    ("Seccomp", "2", "2"),
    ("Seccomp_filters", "2", "1"),
    ("Threads", "1", "1"),
    ("Umask", "0077", "0077"),
    ("hidden", "true", "true"),
    ("environment", AS_STARTED, "empty"),
    ("namespaces", "", ""),
    ("Max core file size", "0", "0"),
    ("Max open files", AS_STARTED, AS_STARTED),
    ("Max data size", "268435456", AS_STARTED),
    ("Max file size", AS_STARTED, AS_STARTED),
    ("Max processes", "0", AS_STARTED),
    ("Max locked memory", "0", AS_STARTED),
    ("Max msgqueue size", "0", AS_STARTED),
    ("Max pending signals", AS_STARTED, AS_STARTED),
];

/// Where a plain user starts it the supervisor differs by this, and there is no launch. Without the right to empty the
/// bounding set it stays, and lets nothing through that is not there.
///
/// It starts the roles itself, who would inherit filters and bounds.
const BY_A_USER: &[(&str, &str)] = &[
    ("CapBnd", AS_STARTED),
    ("Seccomp", "0"),
    ("Seccomp_filters", "0"),
    ("Max data size", AS_STARTED),
    ("Max processes", AS_STARTED),
    ("Max locked memory", AS_STARTED),
    ("Max msgqueue size", AS_STARTED),
];

/// All that is not as the tables say.
pub fn look(program: &Program, by_root: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let roles = program.roles();
    let launch = roles.iter().find(|(name, _)| name == "launch");
    if launch.is_some() != by_root {
        wrong.push(format!("launch is there: {}", !by_root));
    }
    let own = |name: &str| if by_root { id_of(name) } else { SERVICE_ID };
    let supervisor = ("supervisor", program.pid());
    let launch = launch.map(|(_, pid)| ("launch", *pid));
    for (name, pid) in [supervisor].into_iter().chain(launch) {
        let id = own(name);
        for ids in ["Uid", "Gid"] {
            let is = line(pid, "status", ids);
            if is != format!("{id} {id} {id} {id}") {
                wrong.push(format!(
                    "{name} {ids}: {is:?}, and it should be four of {id}"
                ));
            }
        }
        for (what, of_supervisor, of_launch) in BY_ROOT {
            let other = BY_A_USER.iter().find(|(one, _)| one == what && !by_root);
            let should = match (name, other) {
                ("launch", _) => of_launch,
                (_, Some((_, should))) => should,
                _ => of_supervisor,
            };
            let is = is(program, pid, what);
            let before = is_as_started(what);
            let right = if *should == AS_STARTED {
                before.is_none_or(|before| before == is)
            } else {
                is == *should
            };
            if !right {
                wrong.push(format!(
                    "{name} {what}: {is:?}, and it should be {should:?}"
                ));
            }
        }
    }
    wrong
}

fn is(program: &Program, pid: u32, what: &str) -> String {
    match what {
        "groups" => line(pid, "status", "Groups"),
        "hidden" => is_hidden(pid).to_string(),
        "environment" => match environment(pid) {
            Some(0) => "empty".into(),
            other => format!("{other:?}"),
        },
        // Those that are not the supervisor's: nobody but a role makes any.
        "namespaces" => {
            let kinds = ["user", "mnt", "ipc", "uts", "net", "pid", "cgroup"];
            let others = kinds
                .into_iter()
                .filter(|kind| namespace(pid, kind) != namespace(program.pid(), kind));
            others.collect::<Vec<_>>().join(" ")
        }
        // The hard one is what cannot be taken back.
        _ if what.starts_with("Max ") => limit(pid, what).1,
        _ => line(pid, "status", what),
    }
}

/// As this test has it, who starts the service; nothing where the service is given one of its own.
fn is_as_started(what: &str) -> Option<String> {
    let own = std::process::id();
    match what {
        "environment" => None,
        _ if what.starts_with("Max ") => Some(limit(own, what).1),
        _ => Some(line(own, "status", what)),
    }
}
