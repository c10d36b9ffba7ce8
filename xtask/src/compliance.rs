//! The requirements of the RFCs that we speak: `docs/rfc/` has a table for each, a row a requirement, with where it is met
//! and where tested, or why not. This looks whether the tables are well-formed and name what is there; whether a row is
//! true its reader sees. A MUST with neither place and test nor an exception fails.

mod citation;
mod list;
mod place;
mod row;

use citation::Citation;
use list::{Listed, State};
use place::Sources;
use row::{Kind, Level, Row, Standing};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// What `cargo xtask help` says of it.
pub const USAGE: &str = "cargo xtask compliance                    what the RFCs ask for: how much of it is met and tested, and what is not";

/// Where the tables are.
const TABLES: &str = "docs/rfc";
/// The list of all RFCs of the field.
const LIST: &str = "docs/rfc.tsv";
/// Where quotations in sources are looked for.
const ROOMS: [&str; 6] = [
    "bench/src",
    "crates",
    "fuzz/src",
    "fuzz/tests",
    "tests",
    "xtask/src",
];

/// Prints the table, the holes and what is wrong.
pub fn main() -> ExitCode {
    if check() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The same; whether nothing is wrong.
pub fn check() -> bool {
    let found = match read(crate::tools::root()) {
        Ok(tables) => tables,
        Err(why) => {
            eprintln!("cargo xtask compliance: {why}");
            return false;
        }
    };
    let report = found.report();
    print!("{}", report.text);
    for mistake in &report.mistakes {
        eprintln!("cargo xtask compliance: {mistake}");
    }
    report.mistakes.is_empty()
}

/// All that is looked at.
struct Found {
    /// By number of the RFC: the table as text.
    tables: BTreeMap<u16, String>,
    list: String,
    sources: Sources,
}

/// What is to be said of it.
struct Report {
    text: String,
    mistakes: Vec<String>,
}

fn read(root: &Path) -> Result<Found, String> {
    let text_of = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut tables = BTreeMap::new();
    let folder = root.join(TABLES);
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        match number {
            Some(number) if path.extension().is_some_and(|e| e == "tsv") => {
                tables.insert(number, text_of(&path)?);
            }
            _ if path.ends_with("README.md") => {}
            _ => return Err(format!("{}: no table of an RFC", path.display())),
        }
    }
    Ok(Found {
        tables,
        list: text_of(&root.join(LIST))?,
        sources: Sources::below(root, &ROOMS)?,
    })
}

impl Found {
    fn report(&self) -> Report {
        let mut mistakes = Vec::new();
        let mut rows = BTreeMap::new();
        for (number, text) in &self.tables {
            rows.insert(*number, row::read(*number, text, &mut mistakes));
        }
        for (number, row) in each(&rows) {
            let about = row.about(number);
            mistakes.extend(
                row.faults(&self.sources)
                    .map(|why| format!("{about}: {why}")),
            );
        }
        self.citations(&rows, &mut mistakes);
        let listed = list::read(&self.list, &mut mistakes);
        agree(&listed, &rows, &mut mistakes);
        let mut text = table(&rows);
        // Writing into a String does not fail, here and below.
        for (number, row) in each(&rows) {
            match &row.standing {
                Standing::Excepted(Kind::Missing, why) => {
                    let _ = writeln!(text, "not met: {}: {why}", row.about(number));
                }
                Standing::Lacking if !row.level.is_must() => {
                    let _ = writeln!(text, "without a place or a test: {}", row.about(number));
                }
                _ => {}
            }
        }
        Report { text, mistakes }
    }

    /// What sources quote is a row that names them.
    fn citations(&self, rows: &BTreeMap<u16, Vec<Row>>, mistakes: &mut Vec<String>) {
        for (path, text) in self.sources.all() {
            for Citation {
                rfc,
                section,
                quoted,
                line,
            } in citation::read(text)
            {
                let Some(rows) = rows.get(&rfc) else { continue };
                if !Level::stands_in(&quoted) {
                    // It tells, and asks for nothing.
                    continue;
                }
                let mut same = rows
                    .iter()
                    .filter(|row| row.is_quoted_by(&section, &quoted))
                    .peekable();
                let about = format!("{path}:{line}: the quotation of RFC {rfc} §{section}");
                if same.peek().is_none() {
                    mistakes.push(format!("{about} has no row in {TABLES}/{rfc}.tsv"));
                } else if !same.any(|row| row.names(path)) {
                    mistakes.push(format!("{about} is a row that does not name this file"));
                }
            }
        }
    }
}

fn each(rows: &BTreeMap<u16, Vec<Row>>) -> impl Iterator<Item = (u16, &Row)> {
    rows.iter()
        .flat_map(|(number, rows)| rows.iter().map(|row| (*number, row)))
}

/// An RFC that has a table is in the list, and none with a hole among its MUSTs is said to be met whole.
fn agree(
    listed: &BTreeMap<u16, Listed>,
    rows: &BTreeMap<u16, Vec<Row>>,
    mistakes: &mut Vec<String>,
) {
    for (number, rows) in rows {
        let has_hole = rows.iter().any(|row| {
            row.level.is_must() && matches!(row.standing, Standing::Excepted(Kind::Missing, _))
        });
        match listed.get(number) {
            None => mistakes.push(format!(
                "{LIST} has no RFC {number}, of which there is a table"
            )),
            Some(listed) if listed.state == State::No => {
                mistakes.push(format!(
                    "{LIST}: RFC {number} has a table and is said not to be spoken"
                ));
            }
            Some(listed) if has_hole && listed.state == State::Yes => {
                mistakes.push(format!(
                    "{LIST}: RFC {number} is said to be met, and a MUST is not"
                ));
            }
            Some(_) => {}
        }
    }
}

/// How much there is of what, an RFC a line, and in all.
fn table(rows: &BTreeMap<u16, Vec<Row>>) -> String {
    let mut text = line("RFC", &HEADS.map(String::from));
    let mut sums = [0; HEADS.len()];
    for (number, rows) in rows {
        let counts = counts(rows);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        text += &line(&number.to_string(), &counts.map(|count| count.to_string()));
    }
    text += &line("all", &sums.map(|count| count.to_string()));
    text
}

/// What is counted: first the requirements, then how they stand.
const HEADS: [&str; 9] = [
    "MUST",
    "SHOULD",
    "met+tested",
    "elsewhere",
    "unspoken",
    "nothing-to-do",
    "otherwise",
    "not-met",
    "lacking",
];

fn counts(rows: &[Row]) -> [usize; HEADS.len()] {
    let of = |which: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| which(row)).count();
    let excepted =
        |kind: Kind| of(&|row| matches!(&row.standing, Standing::Excepted(k, _) if *k == kind));
    [
        of(&|row| row.level.is_must()),
        of(&|row| !row.level.is_must()),
        of(&|row| matches!(row.standing, Standing::Met)),
        excepted(Kind::Elsewhere),
        excepted(Kind::Unspoken),
        excepted(Kind::Nothing),
        excepted(Kind::Otherwise),
        excepted(Kind::Missing),
        of(&|row| matches!(row.standing, Standing::Lacking)),
    ]
}

fn line(name: &str, cells: &[String; HEADS.len()]) -> String {
    let mut text = format!("{name:<5}");
    for (cell, head) in cells.iter().zip(HEADS) {
        let _ = write!(text, "  {cell:>width$}", width = head.len());
    }
    text + "\n"
}

#[cfg(test)]
mod tests;
