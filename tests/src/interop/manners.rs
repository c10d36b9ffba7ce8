//! What a server does to some contents, or refuses: each thing with its name, expected exactly, and met by at least
//! one message, or the table is wrong.

use super::Message;

/// Which way messages go: each way gets another half of the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From them to us.
    Here,
    /// From us to them.
    There,
}

/// From them to us, and from us to them.
pub const BOTH_WAYS: &[Way] = &[Way::Here, Way::There];

/// Stands in an expected content for a part of a line that nobody can foresee, such as the time. No content that
/// is sent has it.
pub const ANYTHING: u8 = 0;

/// A server's table.
#[derive(Debug)]
pub struct Manners {
    /// What it changes, one upon the other.
    pub differences: &'static [Difference],
    /// What cannot be foreseen octet for octet.
    pub left_aside: &'static [Aside],
    /// What it does not take.
    pub refusals: &'static [Refusal],
    /// How its log says of a message that it went out in chunks, where it sends them so to whom offers it (RFC 3030).
    pub sent_in_chunks: Option<fn(&str) -> bool>,
    /// What it does not send as it should, by a fault of its own: it is not asked to.
    pub cannot_send: Option<fn(&Message) -> bool>,
}

/// Something that a server does to contents, and why it may.
#[derive(Debug)]
pub struct Difference {
    /// Which way the messages go when it does this.
    pub ways: &'static [Way],
    /// What it does, and why.
    pub what: &'static str,
    /// Does the same to a content.
    pub change: fn(&[u8]) -> Vec<u8>,
}

/// A part of a content that a server writes anew in a way that nobody can foresee.
#[derive(Debug)]
pub struct Aside {
    /// Which way the messages go when it does this.
    pub ways: &'static [Way],
    /// Which, and why.
    pub what: &'static str,
    /// Which messages have it.
    pub of: fn(&Message) -> bool,
    /// Takes it out; done to both contents before they are compared.
    pub take_out: fn(&[u8]) -> Vec<u8>,
}

/// Messages that a server does not take from anybody.
#[derive(Debug)]
pub struct Refusal {
    /// Which way the messages go when it does this.
    pub ways: &'static [Way],
    /// Which, and why.
    pub what: &'static str,
    /// How its reply begins: code and enhanced status code.
    pub reply: &'static str,
    /// A word of its reply, for whom sends; a report of ours has none of them.
    pub words: &'static str,
    /// Whether it is one of them.
    pub refuses: fn(&Message) -> bool,
}

impl Manners {
    /// Changes nothing and takes everything.
    pub const NONE: Manners = Manners {
        differences: &[],
        left_aside: &[],
        refusals: &[],
        sent_in_chunks: None,
        cannot_send: None,
    };

    /// What it does to messages that go this way.
    pub fn differences(&self, way: Way) -> Vec<&Difference> {
        let all = self.differences.iter();
        all.filter(|difference| difference.ways.contains(&way))
            .collect()
    }

    /// Takes out of a content that goes this way what is left aside.
    pub fn without_asides(&self, message: &Message, way: Way, content: &[u8]) -> Vec<u8> {
        let asides = self.left_aside.iter();
        let asides = asides.filter(|aside| aside.ways.contains(&way) && (aside.of)(message));
        asides.fold(content.to_vec(), |content, aside| {
            (aside.take_out)(&content)
        })
    }

    /// Why it does not take a message that goes this way, if so.
    pub fn refusal(&self, message: &Message, way: Way) -> Option<&Refusal> {
        let mut all = self.refusals.iter();
        all.find(|refusal| refusal.ways.contains(&way) && (refusal.refuses)(message))
    }
}
