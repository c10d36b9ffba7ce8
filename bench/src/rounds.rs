//! The whole run: rounds in which the servers take turns, so that a machine that is slower for a while is slower for
//! all of them; then one turn in which everything is counted.

use crate::arrivals::Arrivals;
use crate::cell::{self, Bench, Manner, Workload};
use crate::measure::Group;
use crate::raw;
use crate::report::{Named, Report};
use crate::server::{self, Server};
use crate::sink::Sink;
use clap::Args;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is measured.
#[derive(Args)]
pub struct Plan {
    /// A short run that says whether all works: one round, one second each
    #[arg(long)]
    quick: bool,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that a measurement takes, about
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Sessions at once
    #[arg(long, value_delimiter = ',', default_value = "1,20,100")]
    sessions: Vec<usize>,
    /// Where the mail goes
    #[arg(long, value_delimiter = ',', default_value = "maildir,relay")]
    workloads: Vec<Workload>,
    /// Only servers whose name has this in it, whatever the case
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// Leave the counts out
    #[arg(long)]
    no_counts: bool,
}

/// Runs it, prints the tables, and keeps them below `target/bench`; false when a cell failed.
pub fn run(plan: &Plan, manner: Manner) -> io::Result<bool> {
    let (rounds, seconds) = if plan.quick {
        (1, 1.0)
    } else {
        (plan.rounds, plan.seconds)
    };
    let time = Duration::from_secs_f64(seconds);
    let folder = folder()?;
    let sink = Sink::start(0, Arrivals::new(cell::new_tag()))?;
    let meant = |server: &Box<dyn Server>| {
        let name = server.name().to_lowercase();
        plan.servers.is_empty()
            || plan
                .servers
                .iter()
                .any(|s| name.contains(&s.to_lowercase()))
    };
    let mut left_out = Vec::new();
    let prepared = |server: &Box<dyn Server>| {
        let ready = server.prepare();
        if let Err(why) = &ready {
            left_out.push(format!("{}: {why}", server.name()));
        }
        ready.is_ok()
    };
    let servers: Vec<Box<dyn Server>> = server::all()
        .into_iter()
        .filter(meant)
        .filter(prepared)
        .collect();
    let mut report = Report {
        began: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs(),
        cores: std::thread::available_parallelism()?.get(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
            .trim()
            .to_owned(),
        manner,
        servers: servers
            .iter()
            .map(|server| Named {
                name: server.name(),
                durability: server.durability(),
            })
            .collect(),
        left_out,
        limits: Vec::new(),
        cells: Vec::new(),
        failures: Vec::new(),
    };
    for round in 1..=rounds {
        let limits = raw::limits(&folder, &sink, &report.manner, &plan.sessions, time / 4)?;
        report.limits.push(limits);
        for server in &servers {
            turn(
                &folder,
                &**server,
                &sink,
                &mut report,
                plan,
                &format!("round {round}"),
                |bench, workload, sessions, cell| {
                    let timed = bench.time(workload, sessions, time, round)?;
                    cell.timed.push(timed);
                    Ok(format!("{:.0} messages/s", timed.rate()))
                },
            );
        }
    }
    if !plan.no_counts {
        for server in &servers {
            turn(
                &folder,
                &**server,
                &sink,
                &mut report,
                plan,
                "counts",
                |bench, workload, sessions, cell| {
                    let counted = bench.count(workload, sessions, time / 2)?;
                    cell.counted = Some(counted);
                    let syncs = counted
                        .kernel
                        .map(|k| format!("{:.2} syncs a message", k.syncs));
                    Ok(syncs.unwrap_or_else(|| "syncs cannot be counted here".into()))
                },
            );
        }
    }
    let markdown = report.markdown();
    println!("\n{markdown}");
    for name in ["latest".to_owned(), report.began.to_string()] {
        fs::write(
            folder.join(format!("{name}.json")),
            serde_json::to_vec_pretty(&report)?,
        )?;
        fs::write(folder.join(format!("{name}.md")), &markdown)?;
    }
    println!("kept in {}", folder.join("latest.{json,md}").display());
    // Where everything must be there, what is left out is a failure.
    let all_there = report.left_out.is_empty() || std::env::var("CI").as_deref() != Ok("true");
    Ok(all_there && report.failures.is_empty())
}

/// One server's turn: started anew, measured in each cell, ended.
fn turn(
    folder: &Path,
    server: &dyn Server,
    sink: &Sink,
    report: &mut Report,
    plan: &Plan,
    what: &str,
    mut measure: impl FnMut(&Bench<'_>, Workload, usize, &mut crate::report::Cell) -> io::Result<String>,
) {
    let manner = report.manner.clone();
    let name = server.name();
    let kinds = plan
        .workloads
        .iter()
        .flat_map(|w| plan.sessions.iter().map(move |s| (*w, *s)));
    let group = Arc::new(Group::new("server"));
    let started = fresh_folder(folder, name).and_then(|home| {
        let started = group.birth(|| server.start(&home, sink.address()))??;
        Ok((home, started))
    });
    let (home, running) = match started {
        Ok(started) => started,
        Err(error) => {
            eprintln!("{what}, {name}: {error}");
            report.failures.push(format!("{what}, {name}: {error}"));
            return;
        }
    };
    let bench = Bench {
        sink,
        server: &*running,
        group: &group,
        manner: &manner,
    };
    for (workload, sessions) in kinds {
        let cell = report.cell(name, workload, sessions);
        let said = measure(&bench, workload, sessions, cell).unwrap_or_else(|error| {
            let which = format!("{name}, {}, {sessions} sessions", workload.name());
            report.failures.push(format!("{what}, {which}: {error}"));
            format!("failed: {error}\n{}", running.last_words())
        });
        eprintln!(
            "{what}, {name}, {}, {sessions} sessions: {said}",
            workload.name()
        );
    }
    drop(running);
    // A folder that cannot be removed is in nobody's way: the next turn has another.
    let _ = fs::remove_dir_all(home);
}

/// `target/bench`, beside the folder of this program.
fn folder() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).unwrap_or(Path::new("."));
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn fresh_folder(folder: &Path, server: &str) -> io::Result<PathBuf> {
    let name: String = server.chars().filter(char::is_ascii_alphanumeric).collect();
    let home = folder.join(format!("{name}-{}", cell::new_tag()));
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok(home)
}
