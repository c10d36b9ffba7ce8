//! Says which lines of a room were run: `coverage NAME LEAST COUNTERS PROGRAM TOP FILE-OR-FOLDER…`. COUNTERS
//! is what PROGRAM, compiled with `-Cinstrument-coverage`, left; TOP is the repository. A line that code
//! begins on counts as run when any of that code was; a line in the middle of code counts as the innermost
//! code around it. Ends with 1 when less than LEAST percent was run.

use llvm_profparser::{CoverageMapping, CoverageResult, SourceLocation};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, least, counters, program, top, rooms @ ..] = &arguments[..] else {
        eprintln!("coverage NAME LEAST COUNTERS PROGRAM TOP FILE-OR-FOLDER…");
        return ExitCode::from(2);
    };
    match least.parse::<f64>() {
        Ok(least) => match say(name, least, counters, program, Path::new(top), rooms) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => {
                eprintln!("coverage: {why}");
                ExitCode::from(2)
            }
        },
        Err(why) => {
            eprintln!("coverage: {least}: {why}");
            ExitCode::from(2)
        }
    }
}

/// Lines of one file.
#[derive(Default)]
struct Lines {
    run: Vec<usize>,
    missed: Vec<usize>,
}

impl Lines {
    fn count(&self) -> usize {
        self.run.len() + self.missed.len()
    }
}

fn say(
    name: &str,
    least: f64,
    counters: &str,
    program: &str,
    top: &Path,
    rooms: &[String],
) -> Result<bool, String> {
    let profile = llvm_profparser::merge_profiles(&[counters]).map_err(|e| e.to_string())?;
    let programs = [PathBuf::from(program)];
    let mapping =
        CoverageMapping::new(&programs, &profile, false).map_err(|e| format!("{e:#}"))?;
    let report = mapping.generate_report().map_err(|e| format!("{e:#}"))?;
    let (mut run, mut all) = (0, 0);
    let mut shown = Vec::new();
    for (path, result) in &report.files {
        let path = top.join(path);
        let Ok(path) = path.strip_prefix(top) else {
            continue;
        };
        if rooms.is_empty() || !rooms.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        let lines = lines(result);
        run += lines.run.len();
        all += lines.count();
        shown.push((path.display().to_string(), lines));
    }
    if all == 0 {
        return Err(format!("{name}: no line of {} is known", rooms.join(" ")));
    }
    println!("  {name:14} {:5.1} %  {run} of {all} lines", percent(run, all));
    for (path, lines) in shown {
        println!(
            "    {:5.1} %  {path}  {}",
            percent(lines.run.len(), lines.count()),
            ranges(&lines.missed)
        );
    }
    Ok(percent(run, all) >= least)
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// Each line that has code: run, or missed.
fn lines(result: &CoverageResult) -> Lines {
    let last = result.hits.keys().map(|place| place.line_end).max();
    let mut lines = Lines::default();
    for line in 1..=last.unwrap_or(0) {
        let here = result.hits.iter().filter(|(place, _)| holds(place, line));
        let begins = here.clone().filter(|(place, _)| place.line_start == line);
        let hits = match begins.map(|(_, hits)| *hits).max() {
            Some(hits) => hits,
            // The innermost is the one that begins last.
            None => match here.max_by_key(|(place, _)| (place.line_start, place.column_start)) {
                Some((_, hits)) => *hits,
                None => continue,
            },
        };
        if hits > 0 {
            lines.run.push(line);
        } else {
            lines.missed.push(line);
        }
    }
    lines
}

fn holds(place: &SourceLocation, line: usize) -> bool {
    (place.line_start..=place.line_end).contains(&line)
}

/// `3, 7-9`
fn ranges(lines: &[usize]) -> String {
    let mut shown: Vec<String> = Vec::new();
    for group in lines.chunk_by(|a, b| a + 1 == *b) {
        shown.push(match group {
            [one] => one.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => continue,
        });
    }
    shown.join(", ")
}
