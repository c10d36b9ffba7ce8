//! What is other in one configuration than in another, as it was written.

use super::Config;
use std::collections::BTreeSet;

/// A key whose value is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key with its section.
    pub key: String,
    /// As it was written; nothing where it was not.
    pub before: Option<String>,
    /// As it is written; nothing where it is not.
    pub after: Option<String>,
}

/// Every key that is other, in the order of their names.
pub fn changes(before: &Config, after: &Config) -> Vec<Changed> {
    let keys: BTreeSet<&String> = before.written.keys().chain(after.written.keys()).collect();
    let value = |config: &Config, key: &String| {
        let written = config.written.get(key);
        written.map(|written| written.value.clone())
    };
    keys.into_iter()
        .map(|key| Changed {
            key: key.clone(),
            before: value(before, key),
            after: value(after, key),
        })
        .filter(|changed| changed.before != changed.after)
        .collect()
}
