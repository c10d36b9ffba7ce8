//! `[try]`: what `ringmail try` writes into its own file.

use super::domain;
use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use policy::Deliver;

pub(super) const SECTION: Section = Section {
    name: "try",
    shape: Shape::Plain,
    doc: "Written by `ringmail try` into its own file; refused elsewhere.",
    rows: &[OptionRow {
        key: "deliver",
        kind: Kind::Text,
        default: "",
        doc: "the Maildirs of every domain",
        more: "",
        example: "\"maildir:/home/ann/ringmail-try/mail/{domain}/{user}\"",
        state: State::TryOnly("only `ringmail try` takes mail for any domain"),
    }],
};

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    let written = read::text(row, value, &mut reader.errors);
    if let Some(written) = written
        && let Some(Deliver::Maildir(template)) = domain::deliver(&written, &mut reader.errors)
    {
        reader.policy.any_domain = Some(template);
    }
}
