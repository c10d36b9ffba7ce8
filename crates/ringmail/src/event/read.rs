//! Reads the event store: lines back into names and values, file by file, and what is still being written.

use super::keep::LINE_OCTETS;
use super::store;
use super::{Kind, TABLE};
use mail::Time;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// One line of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was said.
    pub at: Time,
    /// The event's name.
    pub name: String,
    /// All fields behind `at` and `event`, in the line's order, unescaped.
    pub fields: Vec<(String, String)>,
}

impl Record {
    /// Reads a line; nothing where it is none of ours, or was cut before its name.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = Fields(line);
        let (at, stamp) = fields.next()?;
        let (event, name) = fields.next()?;
        if at != "at" || event != "event" || name.is_empty() {
            return None;
        }
        Some(Self {
            at: Time::parse_stamp(&stamp)?,
            name,
            fields: fields.collect(),
        })
    }

    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// As JSON: numbers and truths as such, where the table says so.
    pub fn json(&self) -> serde_json::Value {
        let row = TABLE.iter().find(|row| row.name == self.name);
        let mut json = serde_json::Map::new();
        json.insert("at".into(), self.at.stamp().to_string().into());
        json.insert("event".into(), self.name.clone().into());
        for (name, value) in &self.fields {
            let kind = row.and_then(|r| r.fields.iter().find(|(f, _)| f == name));
            let typed = match kind {
                Some((_, Kind::Number)) => value.parse::<u64>().ok().map(Into::into),
                Some((_, Kind::Truth)) => value.parse::<bool>().ok().map(Into::into),
                _ => None,
            };
            // As `field` has it: what stands first counts.
            json.entry(name.clone())
                .or_insert_with(|| typed.unwrap_or_else(|| value.clone().into()));
        }
        json.into()
    }

    /// As one line for people: time, event, then the fields as they are in the log.
    pub fn text(&self) -> String {
        let mut line = format!("{} {}", self.at.stamp(), self.name);
        for (name, value) in &self.fields {
            super::field(&mut line, name, value);
        }
        line
    }
}

/// What each line begins with, in this order: when, what, how much it matters, and who says it.
const FRONT: [&str; 4] = ["at", "event", "level", "role"];

/// Whether a line says in its front that this role says it, and says nothing else of that behind it. A value in quotes
/// could span what looks like the front, so that another comes behind it for who reads the line; no front has one.
pub fn is_said_by(line: &str, role: &str) -> bool {
    let mut rest = line;
    for wanted in FRONT {
        match split(rest) {
            Some((name, Value::Plain(value), behind)) if name == wanted => {
                if name == "role" && value != role {
                    return false;
                }
                rest = behind;
            }
            _ => return false,
        }
    }
    while let Some((name, value, behind)) = split(rest) {
        if FRONT.contains(&name) {
            return false;
        }
        rest = match value {
            Value::Plain(_) => behind,
            Value::Quoted(quoted) => unescape(quoted, |_| {}),
        };
    }
    true
}

/// A value as it stands in a line.
enum Value<'a> {
    /// A plain word.
    Plain(&'a str),
    /// All that stands behind its first quote.
    Quoted(&'a str),
}

/// The name and the value at the front of a line, and what stands behind a plain one.
fn split(line: &str) -> Option<(&str, Value<'_>, &str)> {
    let (name, rest) = line.trim_start_matches(' ').split_once('=')?;
    if name.is_empty() || name.contains([' ', '"']) {
        return None;
    }
    Some(match rest.strip_prefix('"') {
        None => {
            let (value, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            (name, Value::Plain(value), rest)
        }
        Some(quoted) => (name, Value::Quoted(quoted), ""),
    })
}

/// The fields of a line, one after another.
struct Fields<'a>(&'a str);

impl Iterator for Fields<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value, rest) = split(self.0)?;
        let mut text = String::new();
        self.0 = match value {
            Value::Plain(word) => {
                text.push_str(word);
                rest
            }
            Value::Quoted(quoted) => unescape(quoted, |next| text.push(next)),
        };
        Some((name.to_owned(), text))
    }
}

/// Takes what `str::escape_default` made, up to the closing quote; gives what follows it. A line that was cut ends
/// anywhere.
fn unescape(quoted: &str, mut take: impl FnMut(char)) -> &str {
    let mut rest = quoted.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' => break,
            '\\' => match rest.next() {
                Some('n') => take('\n'),
                Some('r') => take('\r'),
                Some('t') => take('\t'),
                Some('u') => {
                    let text = rest.as_str();
                    let digits = text.strip_prefix('{').and_then(|t| t.split_once('}'));
                    if let Some((digits, behind)) = digits {
                        let code = u32::from_str_radix(digits, 16).ok();
                        take(code.and_then(char::from_u32).unwrap_or('?'));
                        rest = behind.chars();
                    }
                }
                Some(other) => take(other),
                None => break,
            },
            other => take(other),
        }
    }
    rest.as_str()
}

/// Reads all that was kept since a time, in order; `take` says whether to go on.
pub fn each(folder: &Path, since: Time, mut take: impl FnMut(Record) -> bool) -> io::Result<()> {
    let files = store::files(folder)?;
    for (place, (_, path)) in files.iter().enumerate() {
        // All lines of a file are older than the first of the next.
        if files.get(place + 1).is_some_and(|(next, _)| *next <= since) {
            continue;
        }
        let Some(file) = open(path)? else { continue };
        let mut lines = Lines(BufReader::with_capacity(READ_OCTETS, file));
        while let Some(line) = lines.next_line()? {
            if let Some(record) = Record::parse(&line)
                && record.at >= since
                && !take(record)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Octets asked of a file at once.
const READ_OCTETS: usize = 64 * 1024;

/// The store's files; none where there is no folder yet.
fn files(folder: &Path) -> io::Result<Vec<(Time, PathBuf)>> {
    match store::files(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        files => files,
    }
}

/// A file that may have been removed since the folder was read: it was the oldest.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lines of bounded length; a file that has none is no reason to run out of memory.
struct Lines<R>(R);

impl<R: BufRead> Lines<R> {
    /// The next line that is whole: one that is still being written at the end of the file is none yet.
    fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            let mut line = Vec::new();
            let bound = LINE_OCTETS as u64 + 1;
            let read = (&mut self.0).take(bound).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            if line.pop() == Some(b'\n') {
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    }
}

/// Follows the store as it is written.
pub struct Follow {
    folder: PathBuf,
    /// The file that is read, and how far.
    file: Option<(Time, File)>,
    /// The front of a line that is not whole yet.
    rest: Vec<u8>,
}

impl Follow {
    /// Begins behind what there is, but for the last `lines` lines of the newest file, which are given.
    pub fn begin(folder: &Path, lines: usize) -> io::Result<(Self, Vec<Record>)> {
        let mut follow = Self {
            folder: folder.into(),
            file: None,
            rest: Vec::new(),
        };
        let mut last = std::collections::VecDeque::new();
        if let Some((began, path)) = files(folder)?.pop()
            && let Some(file) = open(&path)?
        {
            follow.file = Some((began, file));
            follow.read(|record| {
                last.push_back(record);
                if last.len() > lines {
                    last.pop_front();
                }
            })?;
        }
        Ok((follow, last.into()))
    }

    /// What came since the last time.
    pub fn more(&mut self, mut take: impl FnMut(Record)) -> io::Result<()> {
        loop {
            self.read(&mut take)?;
            let current = self.file.as_ref().map(|(began, _)| *began);
            let next = files(&self.folder)?
                .into_iter()
                .find(|(began, _)| current.is_none_or(|current| *began > current));
            let Some((began, path)) = next else {
                return Ok(());
            };
            let Some(file) = open(&path)? else {
                return Ok(());
            };
            self.rest.clear();
            self.file = Some((began, file));
        }
    }

    fn read(&mut self, mut take: impl FnMut(Record)) -> io::Result<()> {
        let Some((_, file)) = &mut self.file else {
            return Ok(());
        };
        let mut piece = vec![0; READ_OCTETS];
        loop {
            let count = file.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            self.rest.extend_from_slice(&piece[..count]);
            while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if let Some(record) = Record::parse(String::from_utf8_lossy(&line).trim_end()) {
                    take(record);
                }
            }
            if self.rest.len() > LINE_OCTETS {
                self.rest.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, line};

    #[test]
    fn a_line_is_read_back_as_it_was_said() {
        let cause = "a \"quoted\" \\ line\nwith = and \u{e9}\t\u{1b}";
        let said = line(&Event::Trouble {
            place: "test",
            cause: cause.into(),
        });
        let stamp = "2026-11-24T12:00:00.000001Z";
        let record = Record::parse(&format!("at={stamp} {said}")).unwrap();
        assert_eq!(record.name, "trouble.met");
        assert_eq!(record.at.stamp().to_string(), stamp);
        assert_eq!(record.field("cause"), Some(cause));
        assert_eq!(record.field("place"), Some("test"));
        assert!(
            record
                .text()
                .ends_with(&said[said.find(" level").unwrap()..])
        );
    }

    #[test]
    fn a_line_that_was_cut_is_read_as_far_as_it_goes() {
        let whole = "at=2026-11-24T12:00:00.000001Z event=trouble.met level=error cause=\"a\\u{e9}\\\"b\" x=1";
        for cut in 0..whole.len() {
            let record = Record::parse(&whole[..cut]);
            assert!(cut > 40 || record.is_none() || !record.unwrap().name.is_empty());
        }
        assert_eq!(Record::parse("nonsense"), None);
        assert_eq!(Record::parse("at=yesterday event=x"), None);
        assert_eq!(
            Record::parse("event=x at=2026-11-24T12:00:00.000001Z"),
            None
        );
    }

    #[test]
    fn a_line_is_said_by_whom_its_front_names_and_nobody_else() {
        let front = "at=2026-11-24T12:00:00.000001Z event=x level=info role=smtpd";
        assert!(is_said_by(front, "smtpd"));
        for right in [
            "place=a cause=\"b role=queue \\\" role=queue\\u{22} at=\"",
            "roles=queue x=role=queue",
            "cause=\"cut role=queue",
        ] {
            let line = format!("{front} {right}");
            assert!(is_said_by(&line, "smtpd"), "{line}");
            assert!(!is_said_by(&line, "queue"), "{line}");
            let record = Record::parse(&line).unwrap();
            assert_eq!(record.json()["role"], "smtpd");
        }
        for behind in [
            "role=queue",
            "event=y",
            "a=\"b\"role=queue",
            "a=b\"c role=queue d=\"",
            "a=\"\\\\\" role=queue b=\"",
            "a=\"\\u{\"} b\" role=queue",
            " at=1",
        ] {
            let line = format!("{front} {behind}");
            assert!(!is_said_by(&line, "smtpd"), "{line}");
            // Whoever reads it all the same believes the front.
            assert_eq!(Record::parse(&line).unwrap().json()["role"], "smtpd");
        }
        for spanning in [
            "at=1 event=x level=\"info role=smtpd \" role=queue",
            "at=1 event=\"x level=info role=smtpd \" role=queue",
            "at=\"1 event=x level=info role=smtpd \" event=y level=info role=queue",
        ] {
            assert!(!is_said_by(spanning, "smtpd"), "{spanning}");
        }
    }

    #[test]
    fn numbers_are_numbers_in_json() {
        let line = "at=2026-11-24T12:00:00.000001Z event=message.accepted level=info role=queue queue_id=0000000000007 size_bytes=12";
        let json = Record::parse(line).unwrap().json();
        assert_eq!(json["size_bytes"], 12);
        assert_eq!(json["queue_id"], "0000000000007");
    }

    #[test]
    fn what_is_written_later_is_followed_into_the_next_file() {
        use std::time::Duration;
        let folder = tempfile::tempdir().unwrap();
        let noon = Time::from_secs(1_795_521_600);
        let keep = Duration::from_hours(24);
        let mut store = store::Store::open(folder.path(), keep, 64 * 200, noon).unwrap();
        let line = |n: u32| {
            let at = (noon + Duration::from_secs(n.into())).stamp();
            format!("at={at} event=role.started level=info role=supervisor process=queue pid={n}\n")
        };
        for n in 0..3 {
            let now = noon + Duration::from_secs(n.into());
            store.append(line(n).as_bytes(), now).unwrap();
        }
        let (mut follow, last) = Follow::begin(folder.path(), 1).unwrap();
        assert_eq!(last.last().unwrap().field("pid"), Some("2"));
        let mut seen = Vec::new();
        let mut look = |follow: &mut Follow| {
            let mut pids = Vec::new();
            follow
                .more(|record| pids.extend(record.field("pid").map(String::from)))
                .unwrap();
            seen.extend(pids);
            seen.len()
        };
        for n in 3..20 {
            store
                .append(line(n).as_bytes(), noon + Duration::from_secs(n.into()))
                .unwrap();
            look(&mut follow);
        }
        assert!(store::files(folder.path()).unwrap().len() > 5);
        // A line that is not whole yet is not seen.
        let (now, half) = (noon + Duration::from_secs(20), line(20));
        store.append(&half.as_bytes()[..40], now).unwrap();
        assert_eq!(look(&mut follow), 17);
        assert_eq!(
            seen,
            (3..20).map(|n: u32| n.to_string()).collect::<Vec<_>>()
        );
        let mut all = 0;
        each(folder.path(), noon + Duration::from_secs(1), |_| {
            all += 1;
            true
        })
        .unwrap();
        assert_eq!(all, 19);
    }
}
