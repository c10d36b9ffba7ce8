//! The whole run: rounds in which the servers take turns, so that a machine that is slower for a while is slower for
//! all of them; then one turn in which everything is counted.

use crate::arrivals::Arrivals;
use crate::cell::{self, Bench, Manner, Workload};
use crate::measure::Group;
use crate::raw;
use crate::report::{Cell, Named, Report};
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
    /// Seconds in which the messages of a measurement are begun
    #[arg(long, default_value_t = 2.0)]
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
    /// Put the tables into this file too, between its lines `<!-- tables -->` and `<!-- end of tables -->`
    #[arg(long)]
    into: Option<PathBuf>,
}

/// The run, and what it found so far.
struct Run<'a> {
    plan: &'a Plan,
    folder: PathBuf,
    sink: Sink,
    report: Report,
}

/// Runs it, prints the tables, and keeps them below `target/bench`; false when something failed.
pub fn run(plan: &Plan, manner: Manner) -> io::Result<bool> {
    let (rounds, seconds) = if plan.quick {
        (1, 1.0)
    } else {
        (plan.rounds, plan.seconds)
    };
    let time = Duration::from_secs_f64(seconds);
    let (servers, left_out) = servers(&plan.servers);
    let mut run = Run {
        plan,
        folder: folder()?,
        sink: Sink::start(0, Arrivals::of_all())?,
        report: empty_report(manner, &servers, left_out)?,
    };
    for round in 1..=rounds {
        let manner = &run.report.manner;
        let limits = raw::limits(&run.folder, &run.sink, manner, &plan.sessions, time / 4)?;
        run.report.limits.push(limits);
        for server in &servers {
            run.turn(&**server, &format!("round {round}"), |bench, cell| {
                let timed = bench.time(cell.workload, cell.sessions, time, round)?;
                cell.timed.push(timed);
                Ok(format!("{:.0} messages/s", timed.rate()))
            });
        }
    }
    for server in servers.iter().filter(|_| !plan.no_counts) {
        run.turn(&**server, "counts", |bench, cell| {
            let counted = bench.count(cell.workload, cell.sessions, time / 2)?;
            cell.counted = Some(counted);
            Ok(match counted.kernel {
                Some(kernel) => format!("{:.2} syncs a message", kernel.syncs),
                None => "syncs cannot be counted here".into(),
            })
        });
    }
    run.keep()
}

/// The servers that are meant and can be measured here; of the others, why not.
fn servers(meant: &[String]) -> (Vec<Box<dyn Server>>, Vec<String>) {
    let (mut servers, mut left_out) = (Vec::new(), Vec::new());
    for server in server::all() {
        let name = server.name().to_lowercase();
        if !meant.is_empty() && !meant.iter().any(|part| name.contains(&part.to_lowercase())) {
            continue;
        }
        if meant.is_empty() && server.only_when_named() {
            continue;
        }
        match server.prepare() {
            Ok(()) => servers.push(server),
            Err(why) => left_out.push(format!("{}: {why}", server.name())),
        }
    }
    (servers, left_out)
}

fn empty_report(
    manner: Manner,
    servers: &[Box<dyn Server>],
    left_out: Vec<String>,
) -> io::Result<Report> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let named = servers.iter().map(|server| Named {
        name: server.name(),
        durability: server.durability(),
    });
    Ok(Report {
        began: began.unwrap_or_default().as_secs(),
        cores: std::thread::available_parallelism()?.get(),
        kernel: kernel.trim().to_owned(),
        manner,
        servers: named.collect(),
        left_out,
        limits: Vec::new(),
        cells: Vec::new(),
        failures: Vec::new(),
    })
}

impl Run<'_> {
    /// One server's turn: started anew, measured in each cell, ended.
    fn turn(
        &mut self,
        server: &dyn Server,
        what: &str,
        mut measure: impl FnMut(&Bench<'_>, &mut Cell) -> io::Result<String>,
    ) {
        let name = server.name();
        let group = Arc::new(Group::new("server"));
        let address = self.sink.address();
        let started = fresh_folder(&self.folder, name).and_then(|home| {
            let started = group.birth(|| server.start(&home, address))??;
            Ok((home, started))
        });
        let (home, running) = match started {
            Ok(started) => started,
            Err(error) => {
                eprintln!("{what}, {name}: {error}");
                let failure = format!("{what}, {name}: {error}");
                return self.report.failures.push(failure);
            }
        };
        let manner = self.report.manner.clone();
        let bench = Bench {
            sink: &self.sink,
            server: &*running,
            group: &group,
            manner: &manner,
        };
        for workload in &self.plan.workloads {
            for sessions in &self.plan.sessions {
                let which = format!("{what}, {name}, {}, {sessions} sessions", workload.name());
                let cell = self.report.cell(name, *workload, *sessions);
                match measure(&bench, cell) {
                    Ok(said) => eprintln!("{which}: {said}"),
                    Err(error) => {
                        eprintln!("{which}: failed: {error}\n{}", running.last_words());
                        self.report.failures.push(format!("{which}: {error}"));
                    }
                }
            }
        }
        drop(running);
        // A folder that cannot be removed is in nobody's way: the next turn has another.
        let _ = fs::remove_dir_all(home);
        raw::settle();
    }

    /// Prints the tables and keeps them; whether all went well.
    fn keep(&self) -> io::Result<bool> {
        let report = &self.report;
        let markdown = report.markdown();
        println!("\n{markdown}");
        let json = serde_json::to_vec_pretty(report)?;
        for name in ["latest".to_owned(), report.began.to_string()] {
            fs::write(self.folder.join(format!("{name}.json")), &json)?;
            fs::write(self.folder.join(format!("{name}.md")), &markdown)?;
        }
        println!("kept in {}", self.folder.join("latest.{json,md}").display());
        if let Some(page) = &self.plan.into {
            let text = fs::read_to_string(page)?;
            let text = between_marks(&text, &markdown)
                .ok_or_else(|| io::Error::other(format!("{}: no marks", page.display())))?;
            fs::write(page, text)?;
        }
        // Where everything must be there, what is left out is a failure.
        let all_there = report.left_out.is_empty() || std::env::var("CI").as_deref() != Ok("true");
        Ok(all_there && report.failures.is_empty())
    }
}

/// The page with other tables between its marks.
fn between_marks(page: &str, tables: &str) -> Option<String> {
    let (before, rest) = page.split_once("<!-- tables -->\n")?;
    let (_, after) = rest.split_once("<!-- end of tables -->")?;
    Some(format!(
        "{before}<!-- tables -->\n{tables}<!-- end of tables -->{after}"
    ))
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

#[cfg(test)]
mod tests {
    use super::between_marks;

    #[test]
    fn tables_replace_what_stands_between_the_marks() {
        let page = "a\n<!-- tables -->\nold\n<!-- end of tables -->\nb\n";
        let new = between_marks(page, "new\n").unwrap();
        assert_eq!(new, page.replace("old", "new"));
        assert_eq!(between_marks("a\nb\n", "new\n"), None);
    }
}
