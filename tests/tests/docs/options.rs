//! The table of options, as the pages go through it.

use ringmail::config::options::{OptionRow, SECTIONS, Section, Shape, State};

/// Sections that an administrator writes.
pub fn sections() -> impl Iterator<Item = &'static Section> {
    SECTIONS.into_iter().filter(|section| section.name != "try")
}

/// Every option that works, with its section.
pub fn all() -> impl Iterator<Item = (&'static Section, &'static OptionRow)> {
    sections().flat_map(|section| built(section).map(move |row| (section, row)))
}

/// The options of a section that work.
pub fn built(section: &'static Section) -> impl Iterator<Item = &'static OptionRow> {
    section.rows.iter().filter(|row| row.state == State::Built)
}

/// Those that do not, and what they will be for.
pub fn later() -> impl Iterator<Item = (String, &'static str)> {
    sections().flat_map(|section| {
        let rows = section.rows.iter().filter(|row| row.state != State::Built);
        rows.map(move |row| (name(section, row), row.doc))
    })
}

/// How an option is called: with its section in front.
pub fn name(section: &Section, row: &OptionRow) -> String {
    match section.shape {
        Shape::Top => row.key.into(),
        Shape::Free => format!("[{}] NAME", section.name),
        Shape::Plain | Shape::Named => format!("{} {}", section.head(), row.key),
    }
}

/// What may stand there, and what does where nothing is written.
pub fn values(row: &OptionRow) -> String {
    let default = row.written_default();
    let default = default.map_or(String::new(), |default| format!(" Default: {default}."));
    format!("Value: {}.{default}", row.kind.words())
}

/// A line of a file with the option in it.
pub fn example(section: &Section, row: &OptionRow) -> String {
    let key = if section.shape == Shape::Free {
        "info"
    } else {
        row.key
    };
    format!("{key} = {}", row.example)
}
