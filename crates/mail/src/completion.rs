//! What a submission server mends in a message of one of its own users, RFC 6409 §8: the fields that every message has
//! (RFC 5322 §3.6) are put where they are missing, and Bcc, which is for the writer's program alone, goes, and so does
//! Return-Path, which is for the last server to write (RFC 5321 §4.4). All else passes as it came, and so does the whole
//! message where a signature stands in it.
//!
//! Of a header section that is not well-formed this is made. Where content does not begin with a field it has no header
//! section: the made fields and an empty line are put before it. A line further on that is no field ends the section,
//! for so it does with those who read the message behind us: where the empty line is missing there, it is put. Lines of
//! a mailbox file (`From ann Mon …`, `>From …`) before the first field go: they are the file's and not the message's
//! (RFC 4155), and left alone they would make text of the fields behind them. Before anything but a field they are text.

mod section;
#[cfg(test)]
mod tests;

use crate::trace::Harmless;
use crate::{Mailbox, QueueId, Time};
use section::{Search, Section};
use std::fmt::Write as _;

pub(crate) use section::{is_blank, is_named, is_of_mailbox_file, name};

/// Octets of content within which the header section must end, its empty line among them: so much is held back at most.
/// RFC 5322 sets no bound. The largest sections that mail comes with are some tens of KiB, of trace fields and signatures.
pub const SECTION_OCTETS: usize = 256 * 1024;
/// Octets that mending adds at most: three fields, each below a line's 998 octets (RFC 5322 §2.1.1), and an empty line.
pub const ADDED_OCTETS: usize = 3 * 1000;

/// Fields that no recipient may see, RFC 5322 §3.6.3 and §3.6.6, and one that is not the writer's.
///
//= https://www.rfc-editor.org/rfc/rfc5321#section-4.4
//# A message-originating SMTP system SHOULD NOT send a message that
//# already contains a Return-path header field.
const TAKEN_OUT: [&str; 3] = ["Bcc", "Resent-Bcc", "Return-Path"];
/// Fields that sign others: those that are there, and by some signers those that are not (RFC 6376 §3.5; RFC 8617 §4.1.3).
const SIGNATURES: [&str; 2] = ["DKIM-Signature", "ARC-Seal"];

/// What made fields are made of. Nothing of it is the client's word but what the login has proven.
#[derive(Clone, Debug)]
pub struct Completed {
    /// Who is logged in: for From.
    pub mailbox: Mailbox,
    /// The host name that we publish: what is right of the @ in Message-ID.
    pub hostname: Box<str>,
    /// What is left of it; to be used for one message only, for ever.
    pub message_id: QueueId,
    /// When the message came: for Date.
    pub arrival: Time,
}

/// Mends one message while its content goes by. It has no `Debug`, for it holds content.
pub struct Completion {
    completed: Completed,
    progress: Progress,
}

/// How far the content is.
enum Progress {
    /// In the header section: what came is held back.
    Holding(Vec<u8>, Search),
    /// Behind it.
    Passing,
    /// The section is too large: all passes as it came.
    TooLarge,
}

impl Completion {
    /// For content of which nothing came yet.
    pub fn new(completed: Completed) -> Self {
        Self {
            completed,
            progress: Progress::Holding(Vec::new(), Search::default()),
        }
    }

    /// Takes the next content out of `buffer`, and leaves in there what may be handed on: nothing, while the header
    /// section is not whole; then the mended section with all that came behind it; from then on what comes, untouched. What
    /// was left and not handed on may be in the buffer again, before what came since.
    ///
    /// Content is lines that end in CRLF; a CR or LF alone is an octet like any other.
    pub fn pass(&mut self, buffer: &mut Vec<u8>) {
        self.take(buffer, false);
    }

    /// The same with the last of the content, which may be nothing: all that was held back is in `buffer` then.
    pub fn end(&mut self, buffer: &mut Vec<u8>) {
        self.take(buffer, true);
    }

    /// Whether the header section did not end within [`SECTION_OCTETS`]: nothing was mended then, and a Bcc field would
    /// be seen by all. Known before any of the content is let go.
    pub fn was_too_large(&self) -> bool {
        matches!(self.progress, Progress::TooLarge)
    }

    fn take(&mut self, buffer: &mut Vec<u8>, ended: bool) {
        let Progress::Holding(held, search) = &mut self.progress else {
            return;
        };
        if held.is_empty() {
            std::mem::swap(held, buffer);
        } else {
            held.append(buffer);
        }
        // No further than the bound, however much came: where content is cut decides nothing.
        let reach = &held[..held.len().min(SECTION_OCTETS)];
        let is_full = reach.len() == SECTION_OCTETS;
        let progress = match search.go_on(reach, ended && !is_full) {
            Some(section) => {
                self.completed.mend(held, &section);
                Progress::Passing
            }
            None if is_full => Progress::TooLarge,
            None => return,
        };
        *buffer = std::mem::take(held);
        self.progress = progress;
    }
}

impl Completed {
    /// Puts a mended header section in the place of that at the front of `content`.
    fn mend(&self, content: &mut Vec<u8>, section: &Section) {
        let header = &content[section.start..section.end];
        if SIGNATURES.iter().any(|name| section::has(header, name)) {
            return;
        }
        let mut mended = self.missing(header).into_bytes();
        for field in section::fields(header) {
            if !TAKEN_OUT.iter().any(|name| section::is_named(field, name)) {
                mended.extend_from_slice(field);
            }
        }
        if section.runs_into_text {
            mended.extend_from_slice(b"\r\n");
        }
        content.splice(..section.end, mended);
    }

    /// The fields that a header section wants, each with its CRLF.
    fn missing(&self, header: &[u8]) -> String {
        let mut made = String::new();
        // Writing into a String does not fail.
        if !section::has(header, "Date") {
            let _ = write!(made, "Date: {}\r\n", self.arrival.date());
        }
        if !section::has(header, "From") {
            let _ = write!(made, "From: {}\r\n", self.mailbox);
        }
        if !section::has(header, "Message-ID") {
            let host = Harmless(&self.hostname);
            let _ = write!(made, "Message-ID: <{}@{host}>\r\n", self.message_id);
        }
        made
    }
}
