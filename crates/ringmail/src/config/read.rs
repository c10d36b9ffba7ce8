//! Values as they are written, each with its place: strings, lists, tables, times, sizes, hosts.

use super::mistakes::Errors;
use super::nearest;
use super::options::{DURATION_UNITS, Kind, OptionRow, SIZE_UNITS, shown_size};
use mail::Domain;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A value with its place in the file.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// A string with its place.
#[derive(Clone, Debug)]
pub struct Text {
    pub text: String,
    pub span: Range<usize>,
}

/// The keys of a table as they stand in the file; the table itself is sorted by name.
pub fn in_order<'v, 't>(table: &'v DeTable<'t>) -> Vec<(&'v Spanned<DeString<'t>>, &'v Value<'t>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// What a value is, in words.
pub fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time of day",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Says that the value of `key` is of the wrong kind.
fn wrong(key: &str, kind: Kind, value: &Value<'_>, errors: &mut Errors) {
    let title = format!("`{key}` must be {}", kind.words());
    let written = value.get_ref();
    let label = match (kind, written) {
        (Kind::Duration { .. }, DeValue::Integer(number)) => {
            format!("add a unit: \"{number}s\", \"{number}m\", \"{number}h\" or \"{number}d\"")
        }
        (Kind::Size { .. }, DeValue::Integer(number)) => {
            let octets = number.as_str().replace('_', "").parse::<u64>().ok();
            match octets.filter(|octets| *octets > 0 && octets % SIZE_UNITS[0].1 == 0) {
                Some(octets) => format!("write \"{}\"", shown_size(octets)),
                None => "add a unit, as in \"50 MiB\"".into(),
            }
        }
        (Kind::Text, DeValue::Array(array)) if !array.is_empty() => {
            "this is a list: write one string".into()
        }
        (Kind::Count { .. }, DeValue::String(text)) if text.parse::<u64>().is_ok() => {
            "leave out the quotes".into()
        }
        _ => format!("this is {}", kind_of(written)),
    };
    errors.add(value.span(), title, label);
}

/// A string.
pub fn text(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Option<Text> {
    text_of(row.key, row.kind, value, errors)
}

fn text_of(key: &str, kind: Kind, value: &Value<'_>, errors: &mut Errors) -> Option<Text> {
    let Some(text) = value.get_ref().as_str() else {
        wrong(key, kind, value, errors);
        return None;
    };
    Some(Text {
        text: text.to_owned(),
        span: value.span(),
    })
}

/// One of the row's words.
pub fn word(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Option<&'static str> {
    let Kind::OneOf(words) = row.kind else {
        return None;
    };
    let Text { text, span } = text_of(row.key, row.kind, value, errors)?;
    let known = words.iter().find(|word| **word == text);
    if known.is_none() {
        let title = format!("`{}` must be {}", row.key, row.kind.words());
        let label = match nearest(&text, words.iter().copied()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => "no such word".into(),
        };
        errors.add(span, title, label);
    }
    known.copied()
}

/// A string or a list of strings.
pub fn list(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Vec<Text> {
    list_of(row.key, value, errors)
}

/// The same, of a key that the administrator chose.
pub fn list_of(key: &str, value: &Value<'_>, errors: &mut Errors) -> Vec<Text> {
    let Some(array) = value.get_ref().as_array() else {
        return text_of(key, Kind::List, value, errors)
            .into_iter()
            .collect();
    };
    array
        .iter()
        .filter_map(|item| text_of(key, Kind::List, item, errors))
        .collect()
}

/// A table.
pub fn table<'v, 't>(
    row: &OptionRow,
    value: &'v Value<'t>,
    errors: &mut Errors,
) -> Option<&'v DeTable<'t>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        wrong(row.key, row.kind, value, errors);
    }
    table
}

/// A whole number in the row's range.
pub fn count(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Option<u64> {
    let Kind::Count { min, max } = row.kind else {
        return None;
    };
    let Some(written) = value.get_ref().as_integer() else {
        wrong(row.key, row.kind, value, errors);
        return None;
    };
    let digits = written.as_str().replace('_', "");
    let number = match u64::from_str_radix(&digits, written.radix()) {
        Ok(number) => number,
        // Below every range, 0 where that is its end.
        Err(_) if digits.starts_with('-') => {
            return outside(row, value.span(), "too small", errors);
        }
        Err(_) => u64::MAX,
    };
    within(row, number, min..=max, value.span(), errors)
}

/// A time in the row's range, in seconds.
pub fn duration(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Option<u64> {
    let Kind::Duration { min_secs, max_secs } = row.kind else {
        return None;
    };
    let written = with_unit(row, value, &DURATION_UNITS, errors)?;
    within(row, written, min_secs..=max_secs, value.span(), errors)
}

/// A size in the row's range, in octets.
pub fn size(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Option<u64> {
    let Kind::Size {
        min_octets,
        max_octets,
    } = row.kind
    else {
        return None;
    };
    let written = with_unit(row, value, &SIZE_UNITS, errors)?;
    within(row, written, min_octets..=max_octets, value.span(), errors)
}

fn within(
    row: &OptionRow,
    number: u64,
    range: RangeInclusive<u64>,
    span: Range<usize>,
    errors: &mut Errors,
) -> Option<u64> {
    if range.contains(&number) {
        return Some(number);
    }
    let label = if number < *range.start() {
        "too small"
    } else {
        "too large"
    };
    outside(row, span, label, errors)
}

/// Says that a number lies outside the row's range.
fn outside(
    row: &OptionRow,
    span: Range<usize>,
    label: &'static str,
    errors: &mut Errors,
) -> Option<u64> {
    let title = format!("`{}` must be {}", row.key, row.kind.words());
    errors.add(span, title, label);
    None
}

/// Digits, perhaps a blank, and one of the units.
fn with_unit(
    row: &OptionRow,
    value: &Value<'_>,
    units: &[(&str, u64)],
    errors: &mut Errors,
) -> Option<u64> {
    let Text { text, span } = text(row, value, errors)?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits);
    let factor = units
        .iter()
        .find(|(name, _)| *name == unit.trim_start_matches(' '));
    let (Some((_, factor)), false) = (factor, digits.is_empty()) else {
        let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        let title = format!("`{}` must be {}", row.key, row.kind.words());
        errors.add(
            span,
            title,
            format!("write a whole number and one of {}", known.join(", ")),
        );
        return None;
    };
    // What does not fit is too large for every range.
    let number = digits.parse::<u64>().ok();
    Some(
        number
            .and_then(|number| number.checked_mul(*factor))
            .unwrap_or(u64::MAX),
    )
}

/// `host`, `host:port`, an address, or `[address]:port`; the host without brackets.
pub fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then(|| (address.ip().to_string(), Some(address.port())));
    }
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = inner.unwrap_or(text).parse::<IpAddr>() {
        return Some((address.to_string(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
        None => (text, None),
    };
    let host = Domain::parse_name(host).ok()?;
    Some((host.name()?.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_a_port() {
        let read = |text| host_and_port(text).map(|(host, port)| (host, port.unwrap_or(0)));
        for (text, host, port) in [
            ("mail.example.net", "mail.example.net", 0),
            ("Mail.example.net:587", "mail.example.net", 587),
            ("192.0.2.1", "192.0.2.1", 0),
            ("192.0.2.1:26", "192.0.2.1", 26),
            ("[2001:db8::1]:26", "2001:db8::1", 26),
            ("[2001:db8::1]", "2001:db8::1", 0),
            ("2001:db8::1", "2001:db8::1", 0),
        ] {
            assert_eq!(read(text), Some((host.into(), port)), "{text}");
        }
        for bad in [
            "",
            ":25",
            "a b",
            "host:",
            "host:0",
            "host:65536",
            "[::1",
            "a@b",
            "host:25:25",
            "192.0.2.1:0",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
