//! Places that rows name: a file of the repository, and what is in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What may stand before `fn`.
const QUALIFIERS: [&str; 5] = ["async ", "const ", "unsafe ", "pub ", "extern \"C\" "];
/// What has a name of its own, besides functions.
const ITEMS: [&str; 7] = [
    "const ", "static ", "struct ", "enum ", "trait ", "type ", "mod ",
];
/// Where decisions are.
const DECISIONS: &str = "docs/adr/";

/// The sources, by their paths from the top folder.
#[derive(Default)]
pub struct Sources(BTreeMap<String, String>);

impl Sources {
    /// Reads all of these rooms, and the names of the decisions.
    pub fn below(root: &Path, rooms: &[&str]) -> Result<Self, String> {
        let mut sources = Self::default();
        for room in rooms {
            sources.add(root, Path::new(room), &["rs", "smtp"])?;
        }
        sources.add(root, Path::new(DECISIONS), &["md"])?;
        Ok(sources)
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(path, text)| ((*path).into(), (*text).into()));
        Self(owned.collect())
    }

    fn add(&mut self, root: &Path, folder: &Path, extensions: &[&str]) -> Result<(), String> {
        let whole = root.join(folder);
        let said = |error: std::io::Error| format!("{}: {error}", whole.display());
        for entry in fs::read_dir(&whole).map_err(said)? {
            let entry = entry.map_err(said)?;
            let path = folder.join(entry.file_name());
            if entry.file_type().map_err(said)?.is_dir() {
                if entry.file_name() != "target" {
                    self.add(root, &path, extensions)?;
                }
            } else if path
                .extension()
                .is_some_and(|e| extensions.iter().any(|known| e == *known))
            {
                let text = fs::read_to_string(root.join(&path)).map_err(said)?;
                self.0.insert(path.to_string_lossy().into_owned(), text);
            }
        }
        Ok(())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Why there is no such item, `FILE#NAME`.
    pub fn no_item(&self, place: &str) -> Option<String> {
        let (path, name) = place.split_once('#').unwrap_or((place, ""));
        match self.0.get(path) {
            None => Some(format!("there is no {path}")),
            Some(text) if text.lines().any(|line| is_item(line, name)) => None,
            Some(_) => Some(format!("{path} has no {name:?}")),
        }
    }

    /// Why there is no such test: a function that the runner runs, or a dialog.
    pub fn no_test(&self, place: &str) -> Option<String> {
        let (path, name) = place.split_once('#').unwrap_or((place, ""));
        let Some(text) = self.0.get(path) else {
            return Some(format!("there is no {path}"));
        };
        if name.is_empty() && Path::new(path).extension().is_some_and(|e| e == "smtp") {
            return None;
        }
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let at = lines.iter().position(|line| is_function(line, name));
        let Some(at) = at else {
            return Some(format!("{path} has no function {name:?}"));
        };
        let before = lines[..at].iter().rev();
        let attributes: Vec<&&str> = before
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
            .collect();
        let has = |what: &dyn Fn(&str) -> bool| attributes.iter().any(|line| what(line));
        if !has(&|line| line == "#[test]" || line.starts_with("#[tokio::test")) {
            Some(format!("{name} in {path} is no test"))
        } else if has(&|line| line.starts_with("#[ignore")) {
            Some(format!("{name} in {path} is not run"))
        } else {
            None
        }
    }

    /// Why a decision that a reason names is none.
    pub fn no_decision(&self, reason: &str) -> Option<String> {
        reason.split_whitespace().find_map(|word| {
            let number = word
                .trim_matches(|c: char| !c.is_ascii_alphanumeric())
                .strip_prefix(DECISIONS)?;
            let known = self.0.keys().any(|path| {
                path.strip_prefix(DECISIONS)
                    .is_some_and(|name| name.starts_with(number))
            });
            (!known).then(|| format!("there is no {DECISIONS}{number}"))
        })
    }
}

/// Whether a line begins what has this name: a function, another item, or a variant or field.
fn is_item(line: &str, name: &str) -> bool {
    let line = unqualified(line.trim());
    let begins = |rest: &str| {
        let after = rest.strip_prefix(name).and_then(|rest| rest.chars().next());
        !name.is_empty()
            && after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            && rest.starts_with(name)
    };
    let named = ITEMS
        .iter()
        .any(|word| line.strip_prefix(word).is_some_and(begins));
    let is_variant = begins(line) && line[name.len()..].starts_with([',', '(', '{', ' ', ':']);
    is_function(line, name) || named || is_variant
}

fn is_function(line: &str, name: &str) -> bool {
    let rest = unqualified(line)
        .strip_prefix("fn ")
        .and_then(|rest| rest.strip_prefix(name));
    !name.is_empty() && rest.is_some_and(|rest| rest.starts_with(['(', '<']))
}

/// Without what may stand before `fn` and the like.
fn unqualified(mut line: &str) -> &str {
    loop {
        let inner = line
            .strip_prefix("pub(")
            .and_then(|rest| rest.split_once(") "));
        let plain = QUALIFIERS.iter().find_map(|word| line.strip_prefix(word));
        match (inner, plain) {
            (Some((_, rest)), _) => line = rest,
            // A constant is an item and no qualifier.
            (None, Some(rest))
                if !line.starts_with("const ")
                    || rest.starts_with("fn ")
                    || rest.starts_with("unsafe ") =>
            {
                line = rest;
            }
            _ => return line,
        }
    }
}
