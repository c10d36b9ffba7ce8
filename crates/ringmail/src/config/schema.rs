//! The table of options as a JSON schema (draft 2020-12), for editors.

use super::options::{
    DURATION_UNITS, Kind, OptionRow, SECTIONS, SIZE_UNITS, Section, Shape, State,
};
use serde_json::{Map, Value, json};

/// The schema of a file for `ringmail run`.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for section in SECTIONS {
        match section.shape {
            Shape::Top => properties.extend(rows(section)),
            Shape::Free => {
                let described = described(names(), section.doc);
                properties.insert(section.name.into(), described);
            }
            Shape::Plain | Shape::Named => {
                let rows = rows(section);
                if rows.is_empty() {
                    continue;
                }
                let table =
                    json!({ "type": "object", "properties": rows, "additionalProperties": false });
                let table = if section.shape == Shape::Named {
                    json!({ "type": "object", "additionalProperties": table })
                } else {
                    table
                };
                properties.insert(section.name.into(), described(table, section.doc));
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ringmail.toml",
        "type": "object",
        "properties": properties,
        "required": ["hostname"],
        "additionalProperties": false,
    })
}

/// The rows that work, by key.
fn rows(section: &Section) -> Map<String, Value> {
    let built = section.rows.iter().filter(|row| row.state == State::Built);
    built
        .map(|row| (row.key.to_owned(), property(row)))
        .collect()
}

fn property(row: &OptionRow) -> Value {
    let mut property = match row.kind {
        Kind::Aliases => names(),
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration { .. } => with_unit(&DURATION_UNITS),
        Kind::List => list(),
        Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
        Kind::Size { .. } => with_unit(&SIZE_UNITS),
        Kind::Text => json!({ "type": "string" }),
    };
    if !row.default.is_empty() {
        let number = row
            .default
            .parse::<u64>()
            .ok()
            .filter(|_| !row.kind.is_quoted());
        property["default"] = number.map_or_else(|| row.default.into(), Value::from);
    }
    let doc = format!("{}. {}", row.doc, row.more);
    described(property, doc.trim_end())
}

fn described(mut property: Value, doc: &str) -> Value {
    property["description"] = doc.into();
    property
}

/// A string, or a list of them.
fn list() -> Value {
    json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}

/// Free names with one or more addresses each.
fn names() -> Value {
    json!({ "type": "object", "additionalProperties": list() })
}

fn with_unit(units: &[(&str, u64)]) -> Value {
    let units: Vec<&str> = units.iter().map(|(unit, _)| *unit).collect();
    json!({ "type": "string", "pattern": format!("^[0-9]+ *({})$", units.join("|")) })
}
