//! Tables that are files under review: what a brain does in each state with each thing that may come. A test
//! makes the table anew and compares; `UPDATE=1 cargo nextest run transitions` writes it, for the diff to be read.

use std::fmt::Write as _;
use std::path::Path;

/// Columns that a list of inputs may take before it goes on in the next line.
const LIST_COLUMNS: usize = 60;

/// What happens in one state when one thing comes.
#[derive(Debug)]
pub struct Row {
    /// The state's name.
    pub state: String,
    /// What comes.
    pub input: String,
    /// What the brain puts out.
    pub output: String,
    /// The state's name then.
    pub then: String,
}

/// Compares rows, given state by state, with a file of this crate; with `UPDATE` set writes it instead.
#[expect(
    clippy::disallowed_methods,
    reason = "a test asks whoever runs it whether the file is to be written, and writes it"
)]
pub fn compare(file: &str, head: &str, rows: &[Row]) {
    let text = written(head, rows);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let update = std::env::var("UPDATE").is_ok();
    if update {
        std::fs::write(&path, text).expect("the table can be written");
        return;
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let (made, kept) = (text.lines(), before.lines().chain(std::iter::repeat("")));
    if let Some((made, kept)) = made.zip(kept).find(|(made, kept)| made != kept) {
        panic!("{file} is not what is true now (UPDATE=1 writes it):\n- {kept}\n+ {made}");
    }
    assert_eq!(text.lines().count(), before.lines().count(), "{file}");
}

/// One paragraph a state, one line an answer with all that leads to it.
fn written(head: &str, rows: &[Row]) -> String {
    let mut text = String::new();
    for line in head.lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    // Writing into a String does not fail.
    for state in rows.chunk_by(|a, b| a.state == b.state) {
        let _ = write!(text, "\n{}\n", state[0].state);
        let mut answers: Vec<(&Row, Vec<&str>)> = Vec::new();
        for row in state {
            let same = |a: &Row| a.output == row.output && a.then == row.then;
            match answers.iter_mut().find(|(answer, _)| same(answer)) {
                Some((_, inputs)) => inputs.push(&row.input),
                None => answers.push((row, vec![&row.input])),
            }
        }
        for (answer, inputs) in answers {
            let then = if answer.then == answer.state {
                String::new()
            } else {
                format!(" → {}", answer.then)
            };
            let list = wrapped(&inputs);
            let _ = writeln!(text, "    {}{then}\n{list}", answer.output);
        }
    }
    text
}

/// Names separated by bars, in lines.
fn wrapped(names: &[&str]) -> String {
    let mut lines = vec![String::new()];
    for name in names {
        let last = lines.last_mut().expect("there is one");
        if last.is_empty() {
            last.push_str(name);
        } else if last.len() + name.len() > LIST_COLUMNS {
            lines.push((*name).to_owned());
        } else {
            let _ = write!(last, " | {name}");
        }
    }
    format!("            {}", lines.join("\n            "))
}
