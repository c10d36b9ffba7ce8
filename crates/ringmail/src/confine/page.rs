//! `docs/confinement.md`, made from the tables of this room: a test compares it, `cargo xtask docs` writes it.

use super::{Layer, calls, limits, users};
use crate::ipc::spawn::{Arrow, Role};
use std::fmt::Write as _;
use sys::sandbox::Limited;

const HEAD: &str = "\
# What each process may do

<!-- Made from the tables in crates/ringmail/src/confine; a test compares. cargo xtask docs writes it -->

Each role is a process of its own. It hears its first orders from the supervisor, computes from the configuration what it
may reach, raises its walls, starts the threads that it needs, closes the last wall, and only then hears anything else.
Every start is the same, also after a death. What is not on this page is refused: by which layer, and what happens then,
is in `crates/ringmail/tests/from_inside/`, a file a role, made by trying it from inside; `docs/threat-model.md` says what is
left to somebody who has taken a role over all the same.

`ringmail status` shows which layers stand. One that cannot be had is named there and in the log (`role.unconfined`) with the
reason, and the others stand all the same; with `sandbox = \"required\"` the service does not start then.

";

const LAYERS: &str = "\
## Layers

| layer | what it takes away | what it needs | without it |
|---|---|---|---|
| memory | memory that is written to a disk when it is scarce: keys alone has it, for secrets that outlive a session | some MiB of locked memory (`ulimit -l`, LimitMEMLOCK=) | swap that is encrypted, or none |
| no_new_privs | programs that gain rights by their file; looks from outside by the same user; cores | Linux 3.5 | – |
| namespaces | this machine's files but the named folders, its network where none is needed, its IPC, its name | user namespaces for plain users; admin has none, for it asks the kernel who is at its socket | Landlock refuses the files, seccomp the sockets |
| capabilities | every capability, and the way to any | – | – |
| limits | descriptors, memory, file sizes, threads and processes beyond a bound | file sizes are not bounded where standard output or error is a plain file, for the log would be | – |
| landlock | files but in the named folders, TCP ports but the named ones, signals to others, abstract sockets | Linux 6.12 for all of it | the root of the namespace, seccomp |
| seccomp | every system call that is not below | Linux 4.14 | – |

| Linux | Landlock | what it lacks | what stands instead |
|---|---|---|---|
| before 5.13 | none | all of it | the namespace's root; seccomp |
| 5.13, 5.19, 6.2 | 1 to 3 | truncating and renaming between folders are not told apart; TCP ports; devices; signals and abstract sockets | connections: seccomp says who may make any, not where to; signals: seccomp refuses them |
| 6.7, 6.10 | 4, 5 | signals and abstract sockets | seccomp refuses signals; abstract sockets are those of the namespace |
| 6.12 and later | 6 and more | UDP ports, in all versions up to 9 | relay alone may use UDP |

The supervisor is no role: what it does follows from files and from the roles' fixed words. Where launch starts the roles it is
a user without a capability, bounded in memory, and a filter refuses it programs, processes, namespaces, mounts, other
processes' memory and the kernel's rarer subsystems; where it starts them itself, as a plain user, it has no filter, for roles
would inherit it. launch keeps the right to become others, and a filter refuses it root.

Mail for users of the machine is delivered by couriers, which are no roles either: one for each user who gets mail, started by
launch as that user, sealed as local is with his Maildirs that the configuration names in its root, and gone when there was
nothing to do for some seconds (`docs/adr/0028-couriers.md`).

A container engine whose own filter refuses `unshare` takes the namespaces away; all other layers stand.

";

/// The page.
pub fn markdown() -> String {
    let mut text = String::from(HEAD)
        + LAYERS
        + "## Roles\n\n| role | user, where the service is started with the right to become others | reaches | asks | is asked by | descriptors | memory | largest file |\n|---|---|---|---|---|---|---|---|\n";
    for role in Role::ALL {
        let peers = |asks: bool| {
            let arrows = Arrow::ALL.into_iter().map(Arrow::ends);
            let mut peers: Vec<&str> = arrows
                .filter_map(|(from, to)| match (asks, from == role, to == role) {
                    (true, true, _) => Some(to.name()),
                    (false, _, true) => Some(from.name()),
                    _ => None,
                })
                .collect();
            peers.sort_unstable();
            peers.join(", ")
        };
        let limit = |of: Limited| {
            let all = limits::of(role);
            all.iter()
                .find(|(limited, _)| *limited == of)
                .map_or(0, |(_, most)| *most)
        };
        // Writing into a String does not fail.
        let _ = writeln!(
            text,
            "| {role} | {} | {} | {} | {} | {} | {} MiB | {} MiB |",
            users::name(role),
            reach(role),
            peers(true),
            peers(false),
            limit(Limited::Nofile),
            limit(Limited::Data) >> MIB_BITS,
            limit(Limited::Fsize) >> MIB_BITS,
        );
    }
    text += "\nNobody starts a thread or a process once it is closed. All may say lines of the log, to standard error and to admin.\n\
             The supervisor runs as `ringmail` without a capability. launch, `ringmail-launch`, keeps CAP_SETUID, CAP_SETGID and\n\
             CAP_SETPCAP; a filter refuses root's ids and foreign groups to it and to all that it starts. Where the service is\n\
             started as a plain user there is no launch, and all processes are that user.\n\n";
    let without: Vec<String> = Role::ALL
        .into_iter()
        .flat_map(|role| {
            let missing = Layer::ALL
                .into_iter()
                .filter(move |layer| !layer.is_of(role) && *layer != Layer::Memory);
            missing.map(move |layer| format!("{role} has no {layer}"))
        })
        .collect();
    let _ = writeln!(
        text,
        "All roles have all layers but `memory`, which keys alone has; and {}.\n",
        without.join("; ")
    );
    text += "## System calls\n\nOne that is not here, or whose arguments are others, ends the process with 159, and the log says which it was\n(`role.trapped`).\n\n| call | only | who | what for |\n|---|---|---|---|\n";
    for row in calls::TABLE {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.call.name(),
            row.only,
            row.who.words(),
            row.why
        );
    }
    text
}

/// 2 to this is a MiB.
const MIB_BITS: u32 = 20;

/// What a role reaches beyond its arrows, in words.
const fn reach(role: Role) -> &'static str {
    match role {
        Role::Admin => "the folder of kept events; the control socket, which it is handed",
        Role::Auth => "the file of passwords' hashes that it is handed",
        Role::Keys => "the files of certificates and keys that it is handed",
        Role::Local => {
            "the folders that Maildirs lie in, a domain's own where the template names it; the folders of LMTP sockets, to connect; the ports of LMTP servers"
        }
        Role::Policy => "nothing",
        Role::Queue => "the spool",
        Role::Relay => "TCP port 25 and that of the smart host, anywhere; name servers",
        Role::Smtpd | Role::Submission => "the listeners that it is handed, and what they accept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_use_stands_twice_and_every_use_has_a_reason() {
        let mut seen = std::collections::BTreeSet::new();
        for row in calls::TABLE {
            assert!(!row.why.is_empty() && row.call.name() != "?", "{row:?}");
            assert_eq!(
                row.only.is_empty(),
                row.call.arguments.is_empty(),
                "{row:?}"
            );
            let use_of = (
                row.call.number,
                format!("{:?} {:?}", row.call.arguments, row.who),
            );
            assert!(seen.insert(use_of), "{row:?}");
        }
    }
}
