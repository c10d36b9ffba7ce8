//! ARCHITECTURE.md draws the roles and arrows that the program has, and no others.

use super::spawn::{Arrow, Role};
use std::collections::BTreeSet;
use std::path::Path;

/// The rows of the table with this first column's name: each a list of cells.
fn table(text: &str, first: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    text.lines()
        .skip_while(|line| !line.starts_with(&format!("| {first} |")))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect()
}

fn architecture() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_role_has_its_row_and_nobody_else() {
    let told: BTreeSet<String> = table(&architecture(), "role")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let roles = Role::ALL.iter().map(|role| role.name().to_owned());
    let roles: BTreeSet<String> = roles
        // Three that are no roles: who starts them, and who is started for a user of the machine.
        .chain(["supervisor", "launch", "courier"].map(str::to_owned))
        .collect();
    assert_eq!(told, roles);
}

#[test]
fn every_arrow_is_drawn_between_the_roles_it_joins() {
    let rows = table(&architecture(), "arrow");
    let mut drawn = BTreeSet::new();
    for row in &rows {
        for pair in row[1].split(", ") {
            let (asks, answers) = pair.split_once(" → ").unwrap();
            if let (Some(asks), Some(answers)) = (Role::from_name(asks), Role::from_name(answers)) {
                drawn.insert((asks, answers));
            }
        }
    }
    let arrows: BTreeSet<(Role, Role)> = Arrow::ALL.iter().map(|arrow| arrow.ends()).collect();
    assert_eq!(drawn, arrows);
}

#[test]
fn every_arrow_has_its_file_and_every_file_its_arrow() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ipc");
    let files = std::fs::read_dir(folder).unwrap().flatten();
    let files = files.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".rs").map(String::from)
    });
    // This file is a test; the log's lines have no records of their own.
    let files: BTreeSet<String> = files
        .filter(|name| name != "architecture")
        .chain(["log".to_owned()])
        .collect();
    let rows: BTreeSet<String> = table(&architecture(), "arrow")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(rows, files);
}
