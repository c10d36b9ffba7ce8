//! `docs/rfc.tsv`: every RFC of the field, and how we stand to it.

use std::collections::BTreeMap;

/// Its first line.
const HEAD: &str = "rfc\ttitle\tstate\twhy";

/// How much of an RFC there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Yes,
    Partly,
    No,
}

/// One line.
#[derive(Debug)]
pub struct Listed {
    pub state: State,
}

/// Reads it; what is no line of it is said.
pub fn read(text: &str, mistakes: &mut Vec<String>) -> BTreeMap<u16, Listed> {
    let mut listed = BTreeMap::new();
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        mistakes.push(format!("{}: it does not begin with {HEAD:?}", super::LIST));
    }
    for line in lines {
        match parse(line) {
            Ok((number, one)) => {
                if listed.insert(number, one).is_some() {
                    mistakes.push(format!("{}: RFC {number} stands there twice", super::LIST));
                }
            }
            Err(why) => mistakes.push(format!("{}: {line:?}: {why}", super::LIST)),
        }
    }
    listed
}

fn parse(line: &str) -> Result<(u16, Listed), &'static str> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[number, title, state, why] = fields.as_slice() else {
        return Err("it has not 4 fields");
    };
    let number = number.parse().map_err(|_| "no number of an RFC")?;
    let state = match state {
        "yes" => State::Yes,
        "partly" => State::Partly,
        "no" => State::No,
        _ => return Err("the state is none of yes, partly and no"),
    };
    if title.is_empty() || (why.is_empty() && state != State::Yes) {
        return Err("a title, or why, is missing");
    }
    Ok((number, Listed { state }))
}
