//! A message lies in its Maildir once, however often it is delivered, and wherever a mail reader put it meanwhile.

use super::*;
use crate::drive::client::{Source, SourceContent};
use std::sync::Arc;

const NAME: &str = "0ABCDEFGHJKMN.R0.mx";

struct Mailbox {
    _folder: tempfile::TempDir,
    path: PathBuf,
    maildirs: Maildirs<RealFiles>,
}

impl Mailbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail/ann");
        Self {
            _folder: folder,
            path,
            maildirs: Maildirs::new(RealFiles),
        }
    }

    fn deliver(&self, again: bool) -> io::Result<PathBuf> {
        let source = Source {
            trace: "Received: x\r\n".into(),
            content: SourceContent::Memory(b"Subject: x\r\n\r\n.\r\na\r\n".to_vec()),
        };
        let delivery = Delivery {
            maildir: self.path.clone(),
            name: NAME.into(),
            reverse_path: "x@y.test".into(),
            forward_path: "ann@a.test".into(),
            source: Arc::new(source),
            again,
        };
        self.maildirs.deliver(&[delivery]).remove(0)
    }

    /// Files of the Maildir, by their path in it.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for sub in ["cur", "new", "tmp"] {
            for name in RealFiles.list(&self.path.join(sub)).unwrap() {
                files.push(format!("{sub}/{name}"));
            }
        }
        files
    }
}

#[test]
fn a_message_that_is_new_is_not_written_twice() {
    let ann = Mailbox::new();
    let path = ann.deliver(false).unwrap();
    fs::write(&path, "as it was").unwrap();
    for again in [false, true] {
        assert_eq!(ann.deliver(again).unwrap(), path);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "as it was");
    assert_eq!(ann.files(), [format!("new/{NAME}")]);
}

#[test]
fn a_message_that_was_read_is_not_delivered_again() {
    for read in [
        NAME.to_owned(),
        format!("{NAME}:2,"),
        format!("{NAME}:2,RS"),
    ] {
        let ann = Mailbox::new();
        let path = ann.deliver(false).unwrap();
        fs::rename(&path, ann.path.join("cur").join(&read)).unwrap();
        ann.deliver(true).unwrap();
        assert_eq!(ann.files(), [format!("cur/{read}")]);
    }
}

#[test]
fn another_message_that_was_read_changes_nothing() {
    let ann = Mailbox::new();
    let path = ann.deliver(false).unwrap();
    let other = ann.path.join("cur").join(format!("{NAME}x:2,S"));
    fs::rename(&path, other).unwrap();
    ann.deliver(true).unwrap();
    assert_eq!(
        ann.files(),
        [format!("cur/{NAME}x:2,S"), format!("new/{NAME}")]
    );
}

#[test]
fn what_an_attempt_left_half_written_is_replaced() {
    let ann = Mailbox::new();
    let path = ann.deliver(false).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(ann.path.join("tmp").join(NAME), "half").unwrap();
    ann.deliver(true).unwrap();
    assert_eq!(ann.files(), [format!("new/{NAME}")]);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "Return-Path: <x@y.test>\nDelivered-To: ann@a.test\nReceived: x\nSubject: x\n\n.\na\n"
    );
}
