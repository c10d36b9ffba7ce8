//! `cargo xtask fuzz`: lets the engine look for octets that a target does not hold against, keeps what it
//! learnt, shows that each target sees its planted mistake, and says how many lines of its room it reaches.

mod coverage;
mod engine;

use engine::{Engine, Run, Until};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

/// Seconds for each target when nothing else is said.
const SECONDS: u32 = 60;
/// Targets that run at the same time.
const STREAMS: usize = 2;
/// Executions within which a planted mistake must be found.
const PLANTED_RUNS: u32 = 400_000;

pub const USAGE: &str = "\
cargo xtask fuzz [TARGET…] [--seconds N]   look for octets that a target does not hold against
cargo xtask fuzz coverage [TARGET…]        lines of each target's room that its corpus reaches
cargo xtask fuzz keep [TARGET…]            the smallest corpus that reaches what was learnt, into fuzz/corpus
cargo xtask fuzz planted [TARGET…]         each target finds the mistake that is planted for it";

/// What is asked for.
struct Order {
    task: Task,
    targets: Vec<String>,
    seconds: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Coverage,
    Keep,
    Look,
    Planted,
}

/// The task of the command line.
pub fn main(arguments: &[String]) -> ExitCode {
    let done = order(arguments).and_then(|order| match order.task {
        Task::Coverage => coverage::all(&order.targets),
        task => {
            let engine = Engine::build()?;
            match task {
                Task::Keep => each(&order.targets, |target| engine.keep(target)),
                Task::Planted => planted(&engine, &order.targets),
                Task::Look | Task::Coverage => {
                    look(&engine, &order.targets, Until::Seconds(order.seconds))
                }
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cargo xtask fuzz: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What CI adds to the tests: every planted mistake is found, the kept corpus and a minute at most from it for each target, with
/// one seed (what a commit is should not hang on luck; luck is for `cargo xtask fuzz`), and how much of its
/// room the kept corpus reaches.
pub fn in_ci() -> Result<(), String> {
    let targets = targets()?;
    let engine = Engine::build()?;
    planted(&engine, &targets)?;
    look(&engine, &targets, Until::Runs)?;
    coverage::all(&targets)
}

fn order(arguments: &[String]) -> Result<Order, String> {
    let known = targets()?;
    let mut order = Order {
        task: Task::Look,
        targets: Vec::new(),
        seconds: SECONDS,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "coverage" => order.task = Task::Coverage,
            "keep" => order.task = Task::Keep,
            "planted" => order.task = Task::Planted,
            "--seconds" => {
                let number = arguments.next().and_then(|number| number.parse().ok());
                order.seconds = number.ok_or("--seconds wants a number")?;
            }
            name if known.iter().any(|known| known == name) => order.targets.push(name.into()),
            other => return Err(format!("no target named {other}\n{USAGE}")),
        }
    }
    if order.targets.is_empty() {
        order.targets = known;
    }
    Ok(order)
}

/// The targets are the folders of the corpus.
fn targets() -> Result<Vec<String>, String> {
    let folder = corpus();
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn corpus() -> PathBuf {
    root().join("fuzz/corpus")
}

fn root() -> &'static Path {
    crate::tools::root()
}

fn each(
    targets: &[String],
    mut task: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    targets.iter().try_for_each(|target| task(target))
}

/// Runs the targets, some at the same time; every one of them, whatever is found.
fn look(engine: &Engine, targets: &[String], until: Until) -> Result<(), String> {
    match until {
        Until::Seconds(seconds) => println!("fuzz: {seconds} s each, {STREAMS} at a time"),
        Until::Runs => println!("fuzz: a minute each at most, {STREAMS} at a time"),
    }
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let findings = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..STREAMS {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no stream panics").pop_front();
                    let Some(target) = next else { return };
                    let found = match engine.look(target, until) {
                        Ok(run) => {
                            println!("  {}", run.summary(target));
                            run.finding.is_some().then(|| run.story())
                        }
                        Err(why) => Some(why),
                    };
                    findings.lock().expect("no stream panics").extend(found);
                }
            });
        }
    });
    let findings = findings.into_inner().expect("no stream panics");
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings.join("\n"))
    }
}

/// Every planted mistake is found, and what finds it holds without the mistake.
fn planted(engine: &Engine, targets: &[String]) -> Result<(), String> {
    println!("fuzz: planted mistakes, found within {PLANTED_RUNS} executions");
    each(targets, |target| {
        let run: Run = engine.planted(target, PLANTED_RUNS)?;
        let Some(finding) = &run.finding else {
            return Err(format!("{target}: the planted mistake was not found"));
        };
        println!("  {target:14} found after {:>7}", run.executions);
        engine.holds(target, finding)
    })
}
