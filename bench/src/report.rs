//! What a run found, as a table to read and as JSON to keep.

use crate::cell::{Counted, Manner, Timed, Workload};
use crate::raw::Limit;
use serde::Serialize;
use std::fmt::Write as _;

/// The server that ratios are of.
const OURS: &str = "Ringmail";

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// Cores of the machine.
    pub cores: usize,
    /// The kernel and its release.
    pub kernel: String,
    /// How messages were sent.
    pub manner: Manner,
    /// The servers, in the order they took turns.
    pub servers: Vec<Named>,
    /// Servers that could not be measured here, and why.
    pub left_out: Vec<String>,
    /// The machine's limits, each round's.
    pub limits: Vec<Vec<Limit>>,
    /// The cells.
    pub cells: Vec<Cell>,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// A server and what its 250 is worth.
#[derive(Debug, Serialize)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// What its 250 is worth.
    pub durability: &'static str,
}

/// What was found of one server under one workload.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// Which.
    pub server: &'static str,
    /// Which.
    pub workload: Workload,
    /// Sessions at once.
    pub sessions: usize,
    /// Each round's.
    pub timed: Vec<Timed>,
    /// Where it was counted.
    pub counted: Option<Counted>,
}

/// The middle one of several figures, and the lowest and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half are below.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

/// `None` for no figures.
pub fn spread(figures: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    let (low, high) = (*figures.first()?, *figures.last()?);
    let middle = figures.len() / 2;
    let median = if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        f64::midpoint(figures[middle - 1], figures[middle])
    };
    Some(Spread { median, low, high })
}

impl Report {
    /// The cell of this name, made when it is not there yet.
    pub fn cell(&mut self, server: &'static str, workload: Workload, sessions: usize) -> &mut Cell {
        let is_it =
            |c: &Cell| c.server == server && c.workload == workload && c.sessions == sessions;
        let place = self.cells.iter().position(is_it).unwrap_or_else(|| {
            self.cells.push(Cell {
                server,
                workload,
                sessions,
                timed: Vec::new(),
                counted: None,
            });
            self.cells.len() - 1
        });
        &mut self.cells[place]
    }

    /// The tables, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = writeln!(
            text,
            "{} octets of content, {} messages a connection, {}; {} cores, {}; {} rounds, the servers in turn; \
             load average before each measurement {}.\n",
            self.manner.octets,
            self.manner.per_connection,
            if self.manner.pipelining {
                "PIPELINING where it is offered"
            } else {
                "no PIPELINING"
            },
            self.cores,
            self.kernel,
            self.limits.len(),
            self.load_average(),
        );
        for server in &self.servers {
            let _ = writeln!(text, "- {}: 250 is {}.", server.name, server.durability);
        }
        for why in &self.left_out {
            let _ = writeln!(text, "- Left out: {why}.");
        }
        text.push_str("\nMessages per second end to end: median (lowest to highest), and Ringmail's ratio to the \
             fastest other, round by round.\n\n");
        text.push_str(&table(&self.rates()));
        text.push_str("\nThe machine's limits in the same rounds, messages per second.\n\n");
        text.push_str(&table(&self.limit_rows()));
        text.push_str(
            "\nWhat it costs: CPU seconds (timed runs, median) and syncs per 1,000 messages, system calls and context \
             switches a message, highest sum of PSS; from the end of content to its 250, median and 99th of 100.\n\n",
        );
        text.push_str(&table(&self.costs()));
        for failure in &self.failures {
            let _ = writeln!(text, "\nFailed: {failure}");
        }
        text
    }

    fn load_average(&self) -> String {
        let all = self.cells.iter().flat_map(|cell| &cell.timed);
        spread(all.map(|timed| timed.load_average)).map_or_else(
            || "unknown".into(),
            |s| format!("{:.1} to {:.1}", s.low, s.high),
        )
    }

    /// Workloads and sessions in the order they were measured.
    fn kinds(&self) -> Vec<(Workload, usize)> {
        let mut kinds: Vec<_> = self
            .cells
            .iter()
            .map(|c| (c.workload, c.sessions))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn find(&self, server: &str, kind: (Workload, usize)) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|c| c.server == server && (c.workload, c.sessions) == kind)
    }

    fn rates(&self) -> Vec<Vec<String>> {
        let mut head = vec!["4 KiB".to_owned(), "sessions".into()];
        head[0] = size(self.manner.octets);
        head.extend(self.servers.iter().map(|s| s.name.to_owned()));
        head.push("ratio".into());
        let mut rows = vec![head];
        for kind in self.kinds() {
            let rate = |server: &Named| {
                let timed = &self.find(server.name, kind)?.timed;
                spread(timed.iter().map(Timed::rate))
            };
            let mut row = vec![kind.0.name().to_owned(), kind.1.to_string()];
            let rates: Vec<Option<Spread>> = self.servers.iter().map(rate).collect();
            row.extend(rates.iter().map(|rate| match rate {
                Some(s) => format!("{:.0} ({:.0} to {:.0})", s.median, s.low, s.high),
                None => "-".into(),
            }));
            row.push(self.ratio(kind).map_or("-".into(), |s| {
                format!("{:.2} ({:.2} to {:.2})", s.median, s.low, s.high)
            }));
            rows.push(row);
        }
        rows
    }

    /// The ratio to the fastest other, round by round.
    fn ratio(&self, kind: (Workload, usize)) -> Option<Spread> {
        let ours = &self.find(OURS, kind)?.timed;
        let others = self
            .cells
            .iter()
            .filter(|cell| cell.server != OURS && (cell.workload, cell.sessions) == kind);
        let others: Vec<&Timed> = others.flat_map(|cell| &cell.timed).collect();
        spread(ours.iter().filter_map(|ours| {
            let same_round = others.iter().filter(|other| other.round == ours.round);
            let best = same_round.map(|other| other.rate()).reduce(f64::max)?;
            Some(ours.rate() / best)
        }))
    }

    fn limit_rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![vec![
            "limit".to_owned(),
            "median (lowest to highest)".into(),
        ]];
        let names = self.limits.first().into_iter().flatten().map(|l| &l.name);
        for name in names {
            let all = self.limits.iter().flatten().filter(|l| l.name == *name);
            if let Some(s) = spread(all.map(|l| l.per_second)) {
                let figures = format!("{:.0} ({:.0} to {:.0})", s.median, s.low, s.high);
                rows.push(vec![name.clone(), figures]);
            }
        }
        rows
    }

    fn costs(&self) -> Vec<Vec<String>> {
        let head = [
            "workload", "sessions", "server", "CPU s", "syncs", "calls", "switches", "PSS MiB",
            "p50 ms", "p99 ms",
        ];
        let mut rows = vec![head.map(String::from).to_vec()];
        for kind in self.kinds() {
            for server in &self.servers {
                let Some(cell) = self.find(server.name, kind) else {
                    continue;
                };
                let timed = |of: fn(&Timed) -> f64, digits: usize| {
                    spread(cell.timed.iter().map(of))
                        .map_or("-".into(), |s| format!("{:.digits$}", s.median))
                };
                let kernel = cell.counted.and_then(|c| c.kernel);
                let count = |of: fn(&crate::cell::Kernel) -> f64, digits: usize| {
                    kernel.map_or("-".into(), |k| format!("{:.digits$}", of(&k)))
                };
                rows.push(vec![
                    kind.0.name().into(),
                    kind.1.to_string(),
                    server.name.into(),
                    timed(Timed::cpu_per_thousand, 2),
                    count(|k| k.syncs * 1000.0, 0),
                    count(|k| k.system_calls, 0),
                    count(|k| k.switches, 1),
                    cell.counted
                        .map_or("-".into(), |c| mebibytes(c.memory_octets)),
                    timed(|t| t.answer_p50_ms, 1),
                    timed(|t| t.answer_p99_ms, 1),
                ]);
            }
        }
        rows
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "memory is far below 2^52 octets"
)]
fn mebibytes(octets: u64) -> String {
    format!("{:.1}", octets as f64 / f64::from(1 << 20))
}

fn size(octets: usize) -> String {
    match octets {
        octets if octets % (1 << 20) == 0 => format!("{} MiB", octets >> 20),
        octets if octets % 1024 == 0 => format!("{} KiB", octets >> 10),
        octets => format!("{octets} octets"),
    }
}

/// A Markdown table whose columns line up; the first row is its head.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_lowest_and_highest() {
        let of = |figures: &[f64]| spread(figures.iter().copied());
        assert_eq!(of(&[]), None);
        let odd = Spread {
            median: 2.0,
            low: 1.0,
            high: 9.0,
        };
        assert_eq!(of(&[9.0, 1.0, 2.0]), Some(odd));
        assert!(of(&[4.0, 1.0, 2.0, 3.0]).is_some_and(|s| (s.median - 2.5).abs() < 1e-9));
    }
}
