//! Paths, RFC 5321 §4.1.2: what parses prints, and what is printed parses back to itself, stands between
//! angle brackets as one path, and travels in a record.

use mail::path::split_brackets;
use mail::{Domain, ForwardPath, LocalPart, Mailbox, OriginalRecipient, ReversePath, limits};
use std::fmt::{Debug, Display};

/// Writes a path as it would be sent.
type Print = fn(&dyn Display) -> String;

/// Any octets as a path.
pub fn run(data: &[u8]) {
    check(data, |path| path.to_string());
}

/// Written with one of two backslashes.
pub fn planted(data: &[u8]) {
    check(data, |path| path.to_string().replacen("\\\\", "\\", 1));
}

fn check(data: &[u8], print: Print) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    brackets(text);
    original(text);
    if let Ok(local_part) = LocalPart::from_meant(text) {
        assert_eq!(local_part.as_str(), text);
        let folded = local_part.folded();
        assert_eq!(mail::folded(&folded), folded, "folded once more");
        let domain = Domain::Name("example.org".into());
        let mailbox = Mailbox { local_part, domain };
        holds(&mailbox, Mailbox::parse, print);
    }
    if let Ok(name) = Domain::parse_name(text) {
        assert!(name.name().is_some(), "a name that is no name");
        assert!(name.to_string().is_ascii(), "a name that DNS does not have");
        holds(&name, Domain::parse_name, print);
    }
    if let Ok(domain) = Domain::parse(text) {
        holds(&domain, Domain::parse, print);
    }
    if let Ok(mailbox) = Mailbox::parse(text) {
        holds(&mailbox, Mailbox::parse, print);
        in_bounds(&mailbox);
        folds(&mailbox);
    }
    match ReversePath::parse(text) {
        Ok(path) => {
            assert_eq!(path.is_null(), text.is_empty());
            assert!(path.is_ascii() || !path.is_null());
            holds(&path, ReversePath::parse, print);
        }
        Err(why) => assert!(!why.to_string().is_empty()),
    }
    if let Ok(path) = ForwardPath::parse(text) {
        if let ForwardPath::Mailbox(mailbox) = &path {
            assert_eq!(
                mailbox.local_part.is_postmaster(),
                mailbox
                    .local_part
                    .as_str()
                    .eq_ignore_ascii_case("postmaster")
            );
        }
        holds(&path, ForwardPath::parse, print);
    }
}

/// What is written reads back, alone, in brackets and from a record.
fn holds<T, E>(path: &T, parse: fn(&str) -> Result<T, E>, print: Print)
where
    T: Display + Debug + PartialEq + serde::Serialize + serde::de::DeserializeOwned,
    E: Debug,
{
    let written = print(path);
    assert!(!written.chars().any(char::is_control), "{written:?}");
    assert_eq!(parse(&written).as_ref().ok(), Some(path), "{written:?}");
    let argument = format!("<{written}> SIZE=1");
    assert_eq!(
        split_brackets(&argument),
        Ok((&*written, " SIZE=1")),
        "{argument:?}"
    );
    let record = postcard::to_stdvec(path).expect("a path is a text");
    let read: T = postcard::from_bytes(&record).expect("a record of ours");
    assert_eq!(&read, path);
}

/// What a sender may call his recipient is kept, and told, in ASCII.
fn original(text: &str) {
    if let Some(original) = OriginalRecipient::parse(text) {
        let (kind, address) = original.decoded();
        let plain = |text: &str| text.bytes().all(|b| (b' '..=b'~').contains(&b));
        assert!(plain(original.as_str()) && plain(kind) && plain(&address));
        assert_eq!(
            OriginalRecipient::parse(original.as_str()).as_ref(),
            Some(&original)
        );
    }
}

/// What is compared is a mailbox too, and the same however often it is folded.
fn folds(mailbox: &Mailbox) {
    let folded = mailbox.folded();
    in_bounds(&folded);
    assert_eq!(folded.folded(), folded);
    assert_eq!(mailbox.is_ascii(), mailbox.to_string().is_ascii());
    let path = ReversePath::Mailbox(mailbox.clone());
    assert_eq!(path.is_ascii(), mailbox.is_ascii());
}

fn in_bounds(mailbox: &Mailbox) {
    assert!((1..=limits::LOCAL_PART_OCTETS).contains(&mailbox.local_part.as_str().len()));
    if let Some(name) = mailbox.domain.name() {
        assert!((1..=limits::DOMAIN_OCTETS).contains(&name.len()));
        assert!(
            name.split('.')
                .all(|label| (1..=limits::LABEL_OCTETS).contains(&label.len()))
        );
        assert_eq!(name, name.to_ascii_lowercase());
    }
}

/// Cutting at the brackets loses nothing and goes no further than the path.
fn brackets(text: &str) {
    if let Ok((inner, rest)) = split_brackets(text) {
        let bare = !text.starts_with('<');
        let whole = if bare {
            format!("{inner}{rest}")
        } else {
            format!("<{inner}>{rest}")
        };
        assert_eq!(whole, text);
        assert!(
            !bare || !inner.is_empty(),
            "the null path needs its brackets"
        );
        if let Ok(ReversePath::Mailbox(mailbox)) = ReversePath::parse(inner) {
            in_bounds(&mailbox);
        }
    }
}
