//! `docs/holes.md` names each test here and no other, and each test says which holes it stands for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A test: its family and name, and what is said of it.
struct Test {
    name: String,
    said: String,
}

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests lie in the repository")
        .to_path_buf()
}

/// All tests of this binary but those of this file.
fn tests() -> Vec<Test> {
    let folder = root().join("tests/tests/cve");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        let family = path
            .file_stem()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        if family == "table" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable file");
        let lines: Vec<&str> = text.lines().collect();
        for (place, _) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| **line == "#[test]")
        {
            let name = lines[place + 1]
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            let above = lines[..place].iter().rev();
            let mut said: Vec<&str> = above.map_while(|line| line.strip_prefix("/// ")).collect();
            said.reverse();
            found.push(Test {
                name: format!("{family}::{}", name.expect("a function")),
                said: said.join(" "),
            });
        }
    }
    found
}

/// Cells of all rows of the table.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/holes.md")).expect("a page");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| hole |"));
    let cells = rows.map(|row| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    });
    cells.collect()
}

/// What stands between backticks.
fn marked(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_of_holes_names_tests_that_are() {
    let (tests, rows) = (tests(), rows());
    assert!(
        tests.len() >= 15 && rows.len() >= 60,
        "{} tests, {} rows",
        tests.len(),
        rows.len()
    );
    let (mut named, mut wrong) = (BTreeSet::new(), Vec::new());
    for row in &rows {
        let [holes, what, asked] = &row[..] else {
            wrong.push(format!("no three cells: {row:?}"));
            continue;
        };
        if what.is_empty() || asked.is_empty() {
            wrong.push(format!("{holes}: nothing is said"));
        }
        for mark in marked(asked) {
            match tests.iter().find(|test| test.name == mark) {
                Some(test) => {
                    named.insert(mark);
                    let is_said = |hole: &str| test.said.contains(hole);
                    let unsaid = holes.split(", ").filter(|hole| !is_said(hole));
                    wrong.extend(unsaid.map(|hole| format!("{mark} does not say {hole}")));
                }
                None if mark.contains('/') && root().join(mark).exists() => {}
                None => wrong.push(format!("{holes}: there is no {mark}")),
            }
        }
    }
    let unnamed = tests.iter().filter(|test| !named.contains(&*test.name));
    wrong.extend(unnamed.map(|test| format!("{} stands in no row", test.name)));
    assert!(wrong.is_empty(), "docs/holes.md:\n{}", wrong.join("\n"));
}
