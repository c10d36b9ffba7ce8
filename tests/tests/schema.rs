//! `ringmail config schema`: a JSON schema that takes every good file of the corpus and refuses what no reader could
//! mean. The validator here knows the words that the schema may use, and no others.

use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::binary;

/// The words of draft 2020-12 that the schema uses, beside those that only describe.
const WORDS: [&str; 10] = [
    "type",
    "enum",
    "properties",
    "additionalProperties",
    "required",
    "items",
    "oneOf",
    "minimum",
    "maximum",
    "pattern",
];
const DESCRIBE: [&str; 4] = ["$schema", "title", "description", "default"];

fn schema() -> Value {
    let output = Command::new(binary())
        .args(["config", "schema"])
        .output()
        .expect("the program runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

/// A file of the corpus as JSON; nothing where it is not TOML.
fn file(path: &Path) -> Option<Value> {
    let text = String::from_utf8(fs::read(path).expect("readable")).ok()?;
    // The mark of octet order at the front is no part of the text.
    let table: toml::Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    Some(serde_json::to_value(table).expect("TOML is JSON but for dates"))
}

/// Whether the value is as the schema says; else where it is not.
fn validate(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{place}: {why}"));
    let schema = schema.as_object().expect("a schema is an object");
    if let Some(kind) = schema.get("type") {
        let is = match kind.as_str().expect("one type") {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("a type that is not known here: {other}"),
        };
        if !is {
            return wrong("another type");
        }
    }
    if let Some(words) = schema.get("enum") {
        let words = words.as_array().expect("a list of words");
        if !words.contains(value) {
            return wrong("none of the words");
        }
    }
    if let Some(ways) = schema.get("oneOf") {
        let ways = ways.as_array().expect("a list of schemas").iter();
        if ways
            .filter(|way| validate(way, value, place).is_ok())
            .count()
            != 1
        {
            return wrong("not one of the ways");
        }
    }
    if let Some(object) = value.as_object() {
        members(schema, object, place)?;
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter()
            .try_for_each(|item| validate(items, item, place))?;
    }
    if let Some(number) = value.as_i64() {
        let bound = |word: &str| {
            schema
                .get(word)
                .map(|bound| bound.as_i64().expect("a number"))
        };
        if bound("minimum").is_some_and(|min| number < min)
            || bound("maximum").is_some_and(|max| number > max)
        {
            return wrong("out of range");
        }
    }
    if let (Some(pattern), Some(text)) = (schema.get("pattern"), value.as_str())
        && !matches(pattern.as_str().expect("a pattern"), text)
    {
        return wrong("another pattern");
    }
    Ok(())
}

fn members(
    schema: &Map<String, Value>,
    object: &Map<String, Value>,
    place: &str,
) -> Result<(), String> {
    let none = Map::new();
    let properties = schema
        .get("properties")
        .map_or(&none, |p| p.as_object().expect("by name"));
    for (name, value) in object {
        let place = format!("{place}.{name}");
        match (properties.get(name), schema.get("additionalProperties")) {
            (Some(property), _) => validate(property, value, &place)?,
            (None, Some(Value::Bool(false))) => return Err(format!("{place}: unknown")),
            (None, Some(other)) => validate(other, value, &place)?,
            (None, None) => {}
        }
    }
    let required = schema
        .get("required")
        .map(|names| names.as_array().expect("names"));
    for name in required.into_iter().flatten() {
        if !object.contains_key(name.as_str().expect("a name")) {
            return Err(format!("{place}: {name} is missing"));
        }
    }
    Ok(())
}

/// The one pattern there is: a whole number, perhaps blanks, and one of these units.
fn matches(pattern: &str, text: &str) -> bool {
    let units = pattern
        .strip_prefix("^[0-9]+ *(")
        .and_then(|rest| rest.strip_suffix(")$"));
    let units = units.expect("a pattern that is known here");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0
        && units
            .split('|')
            .any(|unit| unit == text[digits..].trim_start_matches(' '))
}

/// Every schema within a schema.
fn all<'a>(schema: &'a Value, found: &mut Vec<&'a Map<String, Value>>) {
    let object = schema.as_object().expect("a schema is an object");
    found.push(object);
    let below = |word: &str| object.get(word).into_iter();
    for schema in
        below("items").chain(below("additionalProperties").filter(|schema| !schema.is_boolean()))
    {
        all(schema, found);
    }
    let ways = below("oneOf").filter_map(Value::as_array).flatten();
    let properties = below("properties").filter_map(Value::as_object);
    for schema in ways.chain(properties.flat_map(Map::values)) {
        all(schema, found);
    }
}

#[test]
fn the_schema_uses_words_that_are_known_and_says_what_each_is_for() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let mut found = Vec::new();
    all(&schema, &mut found);
    assert!(found.len() > 30, "only {} schemas", found.len());
    for object in found {
        for word in object.keys() {
            assert!(
                WORDS.contains(&word.as_str()) || DESCRIBE.contains(&word.as_str()),
                "{word}"
            );
        }
        if let Some(default) = object.get("default") {
            validate(&Value::Object(object.clone()), default, "default")
                .expect("a default is as its schema says");
        }
    }
}

#[test]
fn every_good_file_is_as_the_schema_says() {
    let schema = schema();
    let mut files = 0;
    for entry in fs::read_dir(corpus("good")).expect("a corpus").flatten() {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let value = file(&path).expect("TOML");
            validate(&schema, &value, "").unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            files += 1;
        }
    }
    assert!(files >= 10, "only {files} files");
}

#[test]
fn what_has_an_unknown_key_or_a_wrong_kind_is_not() {
    let schema = schema();
    for name in [
        "aliases-are-a-list",
        "domain-is-a-value",
        "hostname-missing",
        "key-in-the-wrong-section",
        "key-misspelt",
        "key-misspelt-in-a-domain",
        "later-at-the-top",
        "later-in-a-domain",
        "later-sections",
        "list-has-a-number",
        "list-is-a-number",
        "number-is-a-fraction",
        "number-is-in-quotes",
        "number-too-large",
        "number-too-small",
        "section-is-a-list",
        "section-misspelt",
        "section-that-only-try-has",
        "size-with-wrong-unit",
        "size-without-unit",
        "text-is-a-number",
        "text-is-a-table",
        "time-of-two-units",
        "time-without-unit",
    ] {
        let value = file(&corpus("bad").join(format!("{name}.toml"))).expect("TOML");
        assert!(
            validate(&schema, &value, "").is_err(),
            "{name} is as the schema says"
        );
    }
}
