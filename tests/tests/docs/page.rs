//! The manual page ringmail.toml(5).

use super::options::{built, example, later, sections, values};
use clap_mangen::roff::{Inline, Roff, bold, italic, line_break, roman};
use ringmail::config::EXAMPLES;
use ringmail::config::options::SECTIONS_LATER;
use std::fmt::Write as _;

/// A page in ASCII: every other character by its number, which each roff sets as it can.
pub fn in_ascii(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for character in page.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            // Writing into a String does not fail.
            let _ = write!(out, "\\[u{:04X}]", u32::from(character));
        }
    }
    out
}

/// A text as roff has it.
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-")
}

/// The head of a page: no date, for the same source gives the same page.
pub fn title(page: &mut Roff, name: &str, section: &str) {
    let source = concat!("ringmail ", env!("CARGO_PKG_VERSION"));
    page.control("TH", [name, section, "", source, "System Administration"]);
}

/// All of it.
pub fn ringmail_toml() -> String {
    let mut page = Roff::new();
    title(&mut page, "ringmail.toml", "5");
    page.control("SH", ["NAME"]);
    page.text([roman(
        "ringmail.toml - configuration of the mail transfer agent ringmail",
    )]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([italic("/etc/ringmail/ringmail.toml")]);
    description(&mut page);
    for section in sections() {
        let head = section.head();
        let head = if head.is_empty() {
            "THE TOP OF THE FILE".into()
        } else {
            head
        };
        page.control("SH", [head.as_str()]);
        page.text([roman(section.doc)]);
        for row in built(section) {
            page.control("TP", []);
            page.text([bold(row.key)]);
            let more = if row.more.is_empty() {
                String::new()
            } else {
                format!(" {}", row.more)
            };
            page.text([roman(format!("{}.{more} {}", row.doc, values(row)))]);
            page.control("IP", []);
            page.text([roman(example(section, row))]);
        }
    }
    not_yet(&mut page);
    page.control("SH", ["EXAMPLES"]);
    page.text([
        bold("ringmail config example"),
        roman(" "),
        italic("NAME"),
        roman(" prints a whole file:"),
    ]);
    for example in EXAMPLES {
        page.control("TP", []);
        page.text([bold(example.name)]);
        page.text([roman(example.doc())]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("ringmail"), roman("(8)")]);
    in_ascii(&page.render())
}

fn description(page: &mut Roff) {
    page.control("SH", ["DESCRIPTION"]);
    let paragraphs: [Vec<Inline>; 3] = [
        vec![roman(
            "One TOML file. Nothing listens unless [listen] names it, and no key and no combination of keys can make an open \
             relay. A key that is not in this page does not exist: it is an error, as every other mistake is, and all of \
             them are said at once, each with its line and a way out.",
        )],
        vec![
            bold("ringmail check"),
            roman(" says what is wrong with the file and with what it needs around it. "),
            bold("ringmail config show --effective --origin"),
            roman(" prints every value in force and where it comes from. "),
            bold("ringmail explain rcpt"),
            roman(" says what would happen to a recipient, and by which line."),
        ],
        vec![roman(
            "Times are a whole number and s, m, h or d; sizes a whole number and KiB, MiB or GiB. Names of users and aliases \
             are the same in any case.",
        )],
    ];
    for (place, paragraph) in paragraphs.into_iter().enumerate() {
        if place > 0 {
            page.control("PP", []);
        }
        page.text(paragraph);
    }
}

fn not_yet(page: &mut Roff) {
    page.control("SH", ["NOT SUPPORTED YET"]);
    page.text([roman("These are known, and refused with a clear word.")]);
    let sections = SECTIONS_LATER
        .iter()
        .map(|(name, doc)| (format!("[{name}]"), *doc));
    for (name, doc) in later().chain(sections) {
        page.control("TP", []);
        page.text([bold(name)]);
        page.text([roman(doc), line_break()]);
    }
}
