//! One requirement: a row of `docs/rfc/NUMBER.tsv`.

use super::place::Sources;

/// The first line of every table.
pub const HEAD: &str = "section\tlevel\tbinds\trequirement\tmet\ttested\texception";
/// Whom a requirement can bind.
const BINDS: [&str; 5] = ["server", "client", "both", "message", "others"];
/// A quotation is there to be recognised, not to be read.
const QUOTATION_CHARS: usize = 330;
/// A reason has more than a word.
const REASON_CHARS: usize = 12;

/// How strongly something is asked for (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Must,
    MustNot,
    Should,
    ShouldNot,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "MUST" => Level::Must,
            "MUST NOT" => Level::MustNot,
            "SHOULD" => Level::Should,
            "SHOULD NOT" => Level::ShouldNot,
            _ => return None,
        })
    }

    /// Whether a sentence asks for anything.
    pub fn stands_in(sentence: &str) -> bool {
        let all = [Level::Must, Level::Should];
        all.iter().any(|level| level.is_said_by(sentence))
    }

    pub fn is_must(self) -> bool {
        matches!(self, Level::Must | Level::MustNot)
    }

    /// Whether a sentence asks so strongly: by the words of RFC 2119, which older RFCs write small.
    fn is_said_by(self, sentence: &str) -> bool {
        let words: &[&str] = match self {
            Level::Must => &["must", "shall", "required"],
            Level::MustNot => &["must not", "shall not"],
            Level::Should => &["should", "recommended"],
            Level::ShouldNot => &["should not", "not recommended"],
        };
        let sentence = sentence.to_ascii_lowercase();
        words.iter().any(|word| sentence.contains(word))
    }
}

/// Why a requirement has no place and test here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It binds somebody else: whoever sets the service up, programs of users, authors of extensions.
    Elsewhere,
    /// It is about something that we do not offer.
    Unspoken,
    /// It asks for nothing that a program could do or leave.
    Nothing,
    /// We do otherwise, on purpose.
    Otherwise,
    /// It is not met yet.
    Missing,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "elsewhere" => Kind::Elsewhere,
            "unspoken" => Kind::Unspoken,
            "nothing to do" => Kind::Nothing,
            "otherwise" => Kind::Otherwise,
            "not met" => Kind::Missing,
            _ => return None,
        })
    }
}

/// How we stand to a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has places and tests.
    Met,
    /// It has a reason instead.
    Excepted(Kind, String),
    /// It has less.
    Lacking,
}

#[derive(Clone, Debug)]
pub struct Row {
    section: String,
    pub level: Level,
    requirement: String,
    met: Vec<String>,
    tested: Vec<String>,
    pub standing: Standing,
}

/// Reads a table; what is no row is said.
pub fn read(rfc: u16, text: &str, mistakes: &mut Vec<String>) -> Vec<Row> {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        mistakes.push(format!("RFC {rfc}: the table does not begin with {HEAD:?}"));
    }
    let mut rows: Vec<Row> = Vec::new();
    for (number, line) in (2..).zip(lines) {
        match Row::parse(line) {
            Ok(row)
                if rows
                    .iter()
                    .any(|r| r.section == row.section && r.requirement == row.requirement) =>
            {
                mistakes.push(format!(
                    "RFC {rfc}, line {number}: the requirement stands there twice"
                ));
            }
            Ok(row) => rows.push(row),
            Err(why) => mistakes.push(format!("RFC {rfc}, line {number}: {why}")),
        }
    }
    rows
}

impl Row {
    fn parse(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[section, level, binds, requirement, met, tested, exception] = fields.as_slice()
        else {
            return Err(format!("{} fields and not 7", fields.len()));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
        if section.is_empty() || !section.chars().all(plain) {
            return Err(format!("{section:?} is no section"));
        }
        let known = Level::parse(level).ok_or_else(|| format!("{level:?} is no level"))?;
        if !BINDS.contains(&binds) {
            return Err(format!("{binds:?} is nobody whom it can bind"));
        }
        if !known.is_said_by(requirement) {
            return Err(format!("{requirement:?} says no {level}"));
        }
        if requirement.chars().count() > QUOTATION_CHARS {
            return Err(format!(
                "the quotation has more than {QUOTATION_CHARS} characters"
            ));
        }
        let places = |field: &str| {
            field
                .split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        let (met, tested) = (places(met), places(tested));
        let standing = match exception {
            "" if met.is_empty() || tested.is_empty() => Standing::Lacking,
            "" => Standing::Met,
            reason => excepted(reason)?,
        };
        Ok(Self {
            section: section.into(),
            level: known,
            requirement: requirement.into(),
            met,
            tested,
            standing,
        })
    }

    /// Which one it is, for a person.
    pub fn about(&self, rfc: u16) -> String {
        format!("RFC {rfc} §{}: {:?}", self.section, self.requirement)
    }

    /// What is wrong with it.
    pub fn faults(&self, sources: &Sources) -> impl Iterator<Item = String> {
        let lacks = self.standing == Standing::Lacking && self.level.is_must();
        let lacks = lacks.then(|| "it has neither place and test nor an exception".into());
        let met = self.met.iter().filter_map(|place| sources.no_item(place));
        let tested = self
            .tested
            .iter()
            .filter_map(|place| sources.no_test(place));
        let reason = match &self.standing {
            Standing::Excepted(_, reason) => sources.no_decision(reason),
            _ => None,
        };
        lacks.into_iter().chain(met).chain(tested).chain(reason)
    }

    /// Whether a quotation in a source has it, or is a part of it.
    pub fn is_quoted_by(&self, section: &str, quoted: &str) -> bool {
        let ours = squeezed(&self.requirement);
        let theirs = squeezed(quoted);
        self.section == section && (theirs.contains(&ours) || ours.contains(&theirs))
    }

    /// Whether a place or a test is in this file; one that is excepted names none.
    pub fn names(&self, path: &str) -> bool {
        let mut places = self.met.iter().chain(&self.tested);
        matches!(self.standing, Standing::Excepted(..))
            || places.any(|place| place.split('#').next() == Some(path))
    }
}

fn excepted(reason: &str) -> Result<Standing, String> {
    let (kind, why) = reason.split_once(": ").unwrap_or_default();
    let kind =
        Kind::parse(kind).ok_or_else(|| format!("{reason:?} begins with no kind of exception"))?;
    if why.chars().count() < REASON_CHARS {
        return Err(format!("{reason:?} has no reason"));
    }
    Ok(Standing::Excepted(kind, why.into()))
}

/// Without blanks and what only sets a text: where lines were broken is no matter.
fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && *c != ';')
        .collect()
}
