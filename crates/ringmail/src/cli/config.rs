//! `ringmail config …`: what is in force and where it comes from, what differs from the defaults, whole files to
//! begin with, and the schema.

use super::{DONE, USAGE, load, refuse};
use crate::config::{Config, Difference, EXAMPLES, Entry, Source, schema, show};
use crate::ipc::spawn::Situation;
use clap::Subcommand;
use serde_json::json;
use std::path::Path;

/// What is asked of the configuration.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Every option that is written, with its value. What is printed is a file that means the same.
    Show {
        /// Defaults too.
        #[arg(long)]
        effective: bool,
        /// Where each value comes from.
        #[arg(long)]
        origin: bool,
    },
    /// What is written and differs from the defaults.
    Diff,
    /// A whole file to begin with, for the situation NAME; the names, without one.
    Example {
        /// send-only, smarthost, domain, mx or submission.
        name: Option<String>,
    },
    /// The options there are, as a JSON schema for editors.
    Schema,
}

/// Answers it.
pub fn obey(path: &Path, command: &ConfigCommand, json: bool) -> u8 {
    match command {
        ConfigCommand::Show { effective, origin } => with(path, |config| {
            let entries = config.entries(*effective);
            if json {
                for entry in &entries {
                    println!("{}", as_json(entry));
                }
            } else {
                print!("{}", show(&entries, *origin));
            }
        }),
        ConfigCommand::Diff => with(path, |config| {
            for difference in config.differences() {
                say(&difference, json);
            }
        }),
        ConfigCommand::Example { name: None } => {
            for example in &EXAMPLES {
                println!("{:<12}{}", example.name, example.doc());
            }
            DONE
        }
        ConfigCommand::Example { name: Some(name) } => example(name),
        ConfigCommand::Schema => {
            println!("{:#}", schema());
            DONE
        }
    }
}

fn with(path: &Path, work: impl FnOnce(&Config)) -> u8 {
    match load(path) {
        Ok(config) => {
            work(&config);
            DONE
        }
        Err(errors) => refuse(&errors),
    }
}

fn as_json(entry: &Entry) -> serde_json::Value {
    let line = match entry.source {
        Source::Line(line) => Some(line),
        Source::Default => None,
    };
    json!({ "key": entry.key, "value": entry.value, "line": line })
}

/// The default with a minus, what is in force with a plus.
fn say(difference: &Difference, json: bool) {
    let Difference { entry, default } = difference;
    if json {
        let mut shown = as_json(entry);
        shown["default"] = json!(default);
        println!("{shown}");
        return;
    }
    if let Some(default) = default {
        println!("- {} = {default}", entry.key);
    }
    println!("+ {} = {}", entry.key, entry.value);
}

fn example(name: &str) -> u8 {
    let Some(example) = EXAMPLES.iter().find(|example| example.name == name) else {
        let names: Vec<&str> = EXAMPLES.iter().map(|example| example.name).collect();
        eprintln!("ringmail config example: there are {}", names.join(", "));
        return USAGE;
    };
    print!("{}", example.text);
    if Config::parse(example.text, name, Situation::Run).is_err() {
        eprintln!("note: this version does not support all of it yet; `ringmail check` says what");
    }
    DONE
}
