//! `[aliases]`, and the aliases of a domain: names that lead to others.

use super::mistakes::Errors;
use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Text};
use super::reader::Reader;
use mail::{LocalPart, Mailbox, PathError};
use policy::parameters::Aliases;
use policy::{Alias, Origin, Target};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::DeTable;

pub(super) const SECTION: Section = Section {
    name: "aliases",
    shape: Shape::Free,
    doc: "Names at our hostname, and who stands for them. `postmaster`, else `root`, is also the postmaster of each \
          domain that has none of its own (RFC 5321 §4.5.1).",
    rows: &[OptionRow {
        key: "an alias",
        kind: Kind::List,
        default: "",
        doc: "the addresses that a name stands for",
        more: "A bare name on the right is another alias, else a name in the domain that our hostname lies in.",
        example: "[\"ann@example.org\", \"ops@example.net\"]",
        state: State::Built,
    }],
};

/// Where an alias's name stands, and each of its targets.
pub(super) type Places = BTreeMap<Box<str>, (Range<usize>, Vec<Range<usize>>)>;

/// Reads the aliases of `section`.
pub(super) fn take(
    reader: &mut Reader,
    section: &str,
    table: &DeTable<'_>,
    places: &mut Places,
) -> Aliases {
    let mut aliases = Aliases::new();
    for (name, value) in read::in_order(table) {
        let key = mail::folded(name.get_ref()).into_owned();
        let bad = format!("`{}` is not an alias's name", name.get_ref());
        if key.contains('@') || LocalPart::from_meant(&key).is_err() {
            reader.malformed.insert(format!("{section}:names"));
        }
        if key.contains('@') {
            reader
                .errors
                .add(name.span(), bad, "leave out @ and what follows");
            continue;
        }
        if LocalPart::from_meant(&key).is_err() {
            reader.errors.add(
                name.span(),
                bad,
                "1 to 255 octets of characters that can be shown",
            );
            continue;
        }
        let path = format!("{section}.{}", shown_key(&key));
        reader.note(path.clone(), value, &name.span());
        if let Some((first, _)) = places.get(key.as_str()) {
            let first = (first.clone(), "it stands here first".into());
            let title = format!("alias `{key}` stands here twice");
            let label = "names are the same in any case";
            reader.errors.add_beside(name.span(), title, label, first);
            continue;
        }
        let written = read::list_of(name.get_ref(), value, &mut reader.errors);
        if written.is_empty() && value.get_ref().is_array() {
            let title = format!("alias `{key}` leads to nobody");
            reader
                .errors
                .add(value.span(), title, "name at least one address");
        }
        let targets: Vec<(Target, Range<usize>)> = written
            .into_iter()
            .filter_map(|written| Some((target(&written, &mut reader.errors)?, written.span)))
            .collect();
        let (targets, spans) = targets.into_iter().unzip();
        let origin = Origin {
            key: path.into(),
            line: reader.errors.line(name.span().start),
        };
        places.insert(key.as_str().into(), (name.span(), spans));
        aliases.insert(key.as_str().into(), Alias { targets, origin });
    }
    aliases
}

/// A key as it would be written: in quotes unless it is a bare one.
pub(super) fn shown_key(key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        key.into()
    } else {
        toml::Value::String(key.into()).to_string()
    }
}

/// What stands on the right of an alias.
pub(super) fn target(written: &Text, errors: &mut Errors) -> Option<Target> {
    let Text { text, span } = written;
    if text.starts_with(['|', '/', ':']) {
        let title = "commands, files and includes are not supported yet";
        errors.add(span.clone(), title, "name an address");
        return None;
    }
    let parsed = if text.contains('@') {
        Mailbox::parse(text).map(Target::Mailbox)
    } else {
        LocalPart::from_meant(text).map(Target::Name)
    };
    let why = match parsed {
        Ok(target) => return Some(target),
        Err(PathError::LocalPart) => "what stands before the @ is malformed",
        Err(PathError::Domain) => "what stands behind the @ is no domain name",
        Err(PathError::Literal) => "malformed address literal",
        Err(PathError::TooLong) => "longer than an address may be",
        Err(_) => "write ann, or ann@example.org",
    };
    errors.add(span.clone(), format!("`{text}` is not an address"), why);
    None
}

/// Every target with its place.
pub(super) fn targets<'a>(
    aliases: &'a Aliases,
    places: &'a Places,
) -> impl Iterator<Item = (&'a Target, Range<usize>)> {
    aliases.iter().flat_map(|(name, alias)| {
        let spans = places.get(name).map_or(&[][..], |(_, spans)| spans);
        alias.targets.iter().zip(spans.iter().cloned())
    })
}
