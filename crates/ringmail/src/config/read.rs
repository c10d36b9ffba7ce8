//! Values as they are written, each with its place: strings, lists, times, sizes, addresses.

use super::mistakes::Errors;
use super::options::OptionRow;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A value with its place in the file.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// A string with its place.
#[derive(Clone, Debug)]
pub struct Text {
    pub text: String,
    pub span: Range<usize>,
}

/// Says that a value is of the wrong kind.
fn wrong(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) {
    let title = format!("`{}` must be {}", row.key, row.kind.words());
    errors.add(
        value.span(),
        title,
        format!("this is a {}", value.get_ref().type_str()),
    );
}

/// A string.
pub fn text(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Option<Text> {
    let Some(text) = value.get_ref().as_str() else {
        wrong(row, value, errors);
        return None;
    };
    Some(Text {
        text: text.to_owned(),
        span: value.span(),
    })
}

/// A string or a list of strings.
pub fn list(row: &OptionRow, value: &Value<'_>, errors: &mut Errors) -> Vec<Text> {
    let Some(array) = value.get_ref().as_array() else {
        return text(row, value, errors).into_iter().collect();
    };
    array
        .iter()
        .filter_map(|item| text(row, item, errors))
        .collect()
}

/// A whole number within bounds.
pub fn count(
    row: &OptionRow,
    value: &Value<'_>,
    range: Range<u64>,
    errors: &mut Errors,
) -> Option<u64> {
    let number = value
        .get_ref()
        .as_integer()
        .map(|n| u64::from_str_radix(&n.as_str().replace('_', ""), n.radix()));
    match number {
        Some(Ok(number)) if range.contains(&number) => Some(number),
        Some(_) => {
            let title = format!(
                "`{}` must lie between {} and {}",
                row.key,
                range.start,
                range.end - 1
            );
            errors.add(value.span(), title, "out of range");
            None
        }
        None => {
            wrong(row, value, errors);
            None
        }
    }
}

/// A time with its unit, within bounds.
pub fn duration(
    row: &OptionRow,
    value: &Value<'_>,
    range: Range<Duration>,
    errors: &mut Errors,
) -> Option<Duration> {
    let written = text(row, value, errors)?;
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let Some(secs) = with_unit(&written.text, &units) else {
        errors.add(
            written.span,
            format!("`{}` must be {}", row.key, row.kind.words()),
            "not a time",
        );
        return None;
    };
    let duration = Duration::from_secs(secs);
    if !range.contains(&duration) {
        let title = format!(
            "`{}` must lie between {} and {} seconds",
            row.key,
            range.start.as_secs(),
            range.end.as_secs()
        );
        errors.add(written.span, title, "out of range");
        return None;
    }
    Some(duration)
}

/// A size with its unit, within bounds.
pub fn size(
    row: &OptionRow,
    value: &Value<'_>,
    range: Range<u64>,
    errors: &mut Errors,
) -> Option<u64> {
    let written = text(row, value, errors)?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    match with_unit(&written.text, &units) {
        Some(octets) if range.contains(&octets) => Some(octets),
        Some(_) => {
            let title = format!(
                "`{}` must lie between {} and {} octets",
                row.key, range.start, range.end
            );
            errors.add(written.span, title, "out of range");
            None
        }
        None => {
            errors.add(
                written.span,
                format!("`{}` must be {}", row.key, row.kind.words()),
                "not a size",
            );
            None
        }
    }
}

/// Digits, perhaps a blank, and one of the units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (unit, factor) = units.iter().find(|(unit, _)| text.ends_with(unit))?;
    let digits = text.strip_suffix(unit)?.trim_end_matches(' ');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}
