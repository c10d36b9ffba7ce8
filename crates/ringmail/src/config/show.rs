//! The configuration as it is in force, and the options there are.

use super::Config;
use super::options::{OPTIONS, State};
use std::fmt::Write as _;

/// What was written, and with `effective` the defaults too.
pub fn show(config: &Config, effective: bool, origin: bool) -> String {
    let mut out = String::new();
    // Writing into a String does not fail.
    for (key, (value, line)) in &config.written {
        let from = if origin {
            format!("    # line {line}")
        } else {
            String::new()
        };
        let _ = writeln!(out, "{key} = {value}{from}");
    }
    if !effective {
        return out;
    }
    for row in OPTIONS
        .iter()
        .filter(|row| row.state == State::Built && !row.default.is_empty())
    {
        let key = if row.section.is_empty() {
            row.key.to_owned()
        } else {
            format!("{}.{}", row.section, row.key)
        };
        if !config.written.contains_key(&key) {
            let from = if origin { "    # default" } else { "" };
            let _ = writeln!(out, "{key} = {:?}{from}", row.default);
        }
    }
    out
}

/// All options as JSON.
pub fn schema() -> String {
    let rows = OPTIONS.iter().map(|row| {
        serde_json::json!({
            "section": row.section,
            "key": row.key,
            "kind": row.kind.words(),
            "default": row.default,
            "doc": row.doc,
            "state": match row.state {
                State::Built => "built",
                State::TryOnly(_) => "try",
                State::Later => "not supported yet",
            },
        })
    });
    serde_json::Value::Array(rows.collect()).to_string()
}
