//! From inside: each role is started as it is, closed by its walls, and then does what it must not. Which layer refuses
//! what by itself stands in a file a role beside this one; it is made anew and compared (`UPDATE=1` writes it, for the
//! difference to be read). With all layers everything is refused but what is the role's duty, and with each layer that
//! refuses an act taken away the others that refuse it still do.
//!
//! A test that starts itself as a role cannot run under the usual harness: this file is a program of its own, which
//! lists and runs its tests as that harness does.

mod outcome;
mod role;
mod stand_ins;

use outcome::Outcome;
use ringmail::confine::Layer;
use ringmail::ipc::spawn::Role;
use role::{Place, Run, people};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use sys::acts;

/// The test of the process that starts roles as other users.
const LAUNCH: &str = "launch_becomes_others_and_never_root";

/// What is a role's duty, and therefore done with all layers around it; or does no harm, and why.
const DUTIES: &[(Role, &str)] = &[
    (Role::Queue, "open the spool"),
    (Role::Queue, "write to the spool"),
    (Role::Queue, "very many descriptors"),
    (Role::Smtpd, "very many descriptors"),
    (Role::Submission, "very many descriptors"),
    (Role::Local, "open a mailbox"),
    (Role::Local, "write to a mailbox"),
    (Role::Relay, "socket tcp"),
    (Role::Relay, "socket tcp6"),
    (Role::Relay, "socket udp"),
    (Role::Relay, "send a datagram to anybody"),
    // It has no namespace that would refuse it. Nobody who is not root can have put a device there.
    (Role::Admin, "open a device of its folder"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "launch") {
        return ringmail::role::launch::main();
    }
    if arguments.get(1).is_some_and(|word| word == "role") {
        return role::be(&arguments[2..]);
    }
    let name = |role: Role| format!("{role}_does_nothing_but_its_duty");
    if arguments.iter().any(|word| word == "--list") {
        if !arguments.iter().any(|word| word == "--ignored") {
            for role in Role::ALL {
                println!("{}: test", name(role));
            }
            println!("{LAUNCH}: test");
            for (name, _) in stand_ins::TESTS {
                println!("{name}: test");
            }
        }
        return ExitCode::SUCCESS;
    }
    if sys::sandbox::logs_to_a_file() {
        eprintln!(
            "the output is a plain file, and file sizes are not bounded then: let it go through a pipe"
        );
        return ExitCode::FAILURE;
    }
    let wanted: Vec<&String> = arguments[1..]
        .iter()
        .filter(|w| !w.starts_with("--"))
        .collect();
    let mut failed = false;
    for role in Role::ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| name(role).contains(*wanted)) {
            let wrong = look(role);
            println!(
                "test {} ... {}",
                name(role),
                if wrong.is_empty() { "ok" } else { "FAILED" }
            );
            for line in &wrong {
                eprintln!("{line}");
            }
            failed |= !wrong.is_empty();
        }
    }
    let others = [(LAUNCH, role::look_at_launch as stand_ins::Look)];
    for (name, look) in others.into_iter().chain(stand_ins::TESTS) {
        if wanted.is_empty() || wanted.iter().any(|wanted| name.contains(*wanted)) {
            let wrong = look();
            println!(
                "test {name} ... {}",
                if wrong.is_empty() { "ok" } else { "FAILED" }
            );
            for line in &wrong {
                eprintln!("{line}");
            }
            failed |= !wrong.is_empty();
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// All that is wrong with a role.
fn look(role: Role) -> Vec<String> {
    let mut place = Place::new();
    place.populate();
    let mut wrong = Vec::new();
    // Memory that is locked refuses nothing.
    let layers: Vec<Layer> = Layer::ALL
        .into_iter()
        .filter(|layer| layer.is_of(role) && *layer != Layer::Memory)
        .collect();
    let mut rows = Vec::new();
    let acts = acts::names(&people().collect::<Vec<_>>());
    for act in &acts {
        let with = |layers: &[Layer]| place.run(&Run { role, act, layers });
        let bare = with(&[]);
        let alone: Vec<(Layer, Outcome)> = layers
            .iter()
            .map(|layer| (*layer, with(&with_its_ground(*layer, &layers))))
            .collect();
        let whole = with(&layers);
        let duty = DUTIES.contains(&(role, &**act));
        if duty != whole.is_done() {
            wrong.push(format!("{role}: {act}: with all layers it is {whole}"));
        }
        // What refuses it beyond who the role is.
        let refusers: Vec<Layer> = alone
            .iter()
            .filter(|(layer, outcome)| {
                let ground = alone.iter().find(|(other, _)| {
                    *layer == Layer::Capabilities && *other == Layer::Namespaces
                });
                !outcome.is_done() && outcome != ground.map_or(&bare, |(_, outcome)| outcome)
            })
            .map(|(layer, _)| *layer)
            .collect();
        for without in &refusers {
            let rest: Vec<Layer> = layers
                .iter()
                .copied()
                .filter(|one| one != without)
                .collect();
            let outcome = with(&rest);
            let others = refusers.len() > 1 || !bare.is_done();
            if others && outcome.is_done() {
                wrong.push(format!(
                    "{role}: {act}: without {without} it is done, and others should refuse it"
                ));
            }
        }
        rows.push((&**act, bare, alone, whole));
    }
    if place.has_users() {
        wrong.extend(compare(role, &layers, &rows));
    }
    wrong
}

/// The layer alone; capabilities with the namespaces that give them to a process in the first place.
fn with_its_ground(layer: Layer, layers: &[Layer]) -> Vec<Layer> {
    let ground = [Layer::Namespaces, Layer::Capabilities];
    if layer == Layer::Capabilities && layers.contains(&Layer::Namespaces) {
        ground.to_vec()
    } else {
        vec![layer]
    }
}

/// Where the column of the bare user begins.
const USER_AT: usize = 34;
/// Where the columns of the layers begin.
const LAYERS_AT: usize = USER_AT + 17;

type Row<'a> = (&'a str, Outcome, Vec<(Layer, Outcome)>, Outcome);

/// Compares the table with the one that was read and found right.
fn compare(role: Role, layers: &[Layer], rows: &[Row<'_>]) -> Vec<String> {
    let mut text = format!(
        "What {role} does when it has been taken over, and which layer refuses it by itself: the system's error, or TRAP\n\
         where the filter ends the process. \"user\" is what its user may not do without any layer; a layer shows what it\n\
         refuses beyond that; capabilities are shown within the namespaces, which give them to a process in the first\n\
         place. \"all\" is how it is.\n\n{:<34}{:<17}",
        "act", "user"
    );
    // Writing into a String does not fail.
    for layer in layers {
        let _ = write!(text, "{:<14}", layer.name());
    }
    text += "all\n";
    for (act, bare, alone, whole) in rows {
        let _ = write!(text, "{act:<34}{:<17}", bare.to_string());
        for (_, outcome) in alone {
            let shown = if outcome == bare {
                String::new()
            } else {
                outcome.to_string()
            };
            let _ = write!(text, "{shown:<14}");
        }
        let _ = writeln!(text, "{whole}");
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/from_inside/{role}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("writable");
    }
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    // What a user may do without us differs from kernel to kernel, and is not ours to compare; nor is whether a layer
    // has nothing to refuse.
    let by_act = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().skip_while(|line| !line.starts_with("act "));
        let lines = lines.filter(|line| line.len() > LAYERS_AT);
        let row = |line: &str| {
            let layers = line[LAYERS_AT..].replace("done", "    ");
            (line[..USER_AT].to_owned(), layers.trim_end().to_owned())
        };
        lines.map(row).collect()
    };
    let (before, now) = (by_act(&old), by_act(&text));
    let mut wrong = Vec::new();
    for (act, row) in &now {
        if before.get(act) != Some(row) {
            let was = before.get(act).map_or("nothing", String::as_str);
            wrong.push(format!("{role}: {act}\n  is  {row}\n  was {was}"));
        }
    }
    for act in before.keys().filter(|act| !now.contains_key(*act)) {
        wrong.push(format!("{role}: {act}: no such act any more"));
    }
    wrong
}
