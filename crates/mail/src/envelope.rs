//! The envelope: what goes beside the content, RFC 5321 §2.3.1, and what we noted when it came.

use crate::{DsnRequest, Mailbox, RecipientRequest, ReversePath, Time};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Whom the mail goes to, and whom it was sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Where it goes, after aliases.
    pub mailbox: Mailbox,
    /// The forward-paths as the client gave them, where an alias led here; none when the client named the
    /// mailbox itself and nothing else that leads to it. Reports name these, so that nobody learns where an
    /// alias leads (RFC 3464 §2.3.2). At most one for each RCPT of the transaction.
    pub originals: Vec<Mailbox>,
}

impl Recipient {
    /// A mailbox that was named itself.
    pub fn direct(mailbox: Mailbox) -> Self {
        Self {
            mailbox,
            originals: Vec::new(),
        }
    }

    /// The mailboxes that the world knows: those the mail was sent to. Never none.
    pub fn known(&self) -> &[Mailbox] {
        if self.originals.is_empty() {
            std::slice::from_ref(&self.mailbox)
        } else {
            &self.originals
        }
    }

    /// Another forward-path led to the same mailbox: it gets one copy, and all who were named are known.
    pub fn join(&mut self, other: &Recipient) {
        let mut known = self.known().to_vec();
        for name in other.known() {
            if !known.contains(name) {
                known.push(name.clone());
            }
        }
        if known != self.known() {
            self.originals = known;
        }
    }
}

/// What goes beside the content. Bounded by [`crate::limits::RECIPIENTS`] times the expansion of aliases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Whom failures go to.
    pub reverse_path: ReversePath,
    /// Whom it goes to, each once.
    pub recipients: Vec<Recipient>,
    /// When it was accepted.
    pub arrival: Time,
    /// Whether content has octets above 127.
    pub eight_bit: bool,
    /// Whether its sender said that it has addresses or header fields beyond ASCII (`SMTPUTF8`, RFC 6531 §3.4).
    pub smtputf8: bool,
    /// What the sender asked of reports, by the addresses that he wrote ([`Recipient::known`]); mostly nothing.
    pub dsn: Option<Box<DsnRequest>>,
}

impl Envelope {
    /// What the sender asked of the reports on one of the addresses that he wrote.
    pub fn asked(&self, known: &Mailbox) -> Option<&RecipientRequest> {
        self.dsn.as_ref()?.of(known)
    }
}

/// A record ends with these marks. Once that octet was a truth, whether content has octets above 127, and nothing followed:
/// what was written then still reads, and where nothing is asked of reports it is written so still.
const EIGHT_BIT: u8 = 1;
const DSN_FOLLOWS: u8 = 2;
const SMTPUTF8: u8 = 4;
/// Fields of a record: the four that it always has, and what follows a mark.
const FIELDS: usize = 4;

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mark = |is: bool, mark: u8| if is { mark } else { 0 };
        let marks = mark(self.eight_bit, EIGHT_BIT)
            | mark(self.dsn.is_some(), DSN_FOLLOWS)
            | mark(self.smtputf8, SMTPUTF8);
        let fields = FIELDS + usize::from(self.dsn.is_some());
        let mut record = serializer.serialize_tuple(fields)?;
        record.serialize_element(&self.reverse_path)?;
        record.serialize_element(&self.recipients)?;
        record.serialize_element(&self.arrival)?;
        record.serialize_element(&marks)?;
        if let Some(dsn) = &self.dsn {
            record.serialize_element(dsn)?;
        }
        record.end()
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(FIELDS + 1, Reader)
    }
}

/// Reads an envelope from its record.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut record: A) -> Result<Envelope, A::Error> {
        fn field<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(
            record: &mut A,
        ) -> Result<T, A::Error> {
            let field = record.next_element()?;
            field.ok_or_else(|| A::Error::custom("an envelope that ends too early"))
        }
        let reverse_path = field(&mut record)?;
        let recipients = field(&mut record)?;
        let arrival = field(&mut record)?;
        let marks: u8 = field(&mut record)?;
        if marks & !(EIGHT_BIT | DSN_FOLLOWS | SMTPUTF8) != 0 {
            return Err(A::Error::custom("a mark of an envelope that is none"));
        }
        let dsn = if marks & DSN_FOLLOWS == 0 {
            None
        } else {
            Some(field(&mut record)?)
        };
        Ok(Envelope {
            reverse_path,
            recipients,
            arrival,
            eight_bit: marks & EIGHT_BIT != 0,
            smtputf8: marks & SMTPUTF8 != 0,
            dsn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_named_is_known_and_nobody_twice() {
        let mailbox = |text| Mailbox::parse(text).unwrap();
        let by_alias = Recipient {
            mailbox: mailbox("joe@far.test"),
            originals: vec![mailbox("info@home.test")],
        };
        let mut joe = Recipient::direct(mailbox("joe@far.test"));
        joe.join(&Recipient::direct(mailbox("joe@far.test")));
        assert_eq!(joe, Recipient::direct(mailbox("joe@far.test")));
        joe.join(&by_alias);
        joe.join(&by_alias);
        assert_eq!(
            joe.known(),
            [mailbox("joe@far.test"), mailbox("info@home.test")]
        );
        assert_eq!(by_alias.known(), [mailbox("info@home.test")]);
    }

    /// An envelope's record as it was before anything could be asked of reports.
    #[derive(Serialize)]
    struct Before {
        reverse_path: ReversePath,
        recipients: Vec<Recipient>,
        arrival: Time,
        eight_bit: bool,
    }

    #[test]
    fn an_envelope_for_which_nothing_is_asked_has_the_record_that_it_always_had() {
        for eight_bit in [false, true] {
            let before = Before {
                reverse_path: ReversePath::Null,
                recipients: vec![Recipient::direct(Mailbox::parse("a@b.c").unwrap())],
                arrival: Time::from_secs(7),
                eight_bit,
            };
            let octets = postcard::to_stdvec(&before).unwrap();
            let envelope: Envelope = postcard::from_bytes(&octets).unwrap();
            assert_eq!((envelope.eight_bit, &envelope.dsn), (eight_bit, &None));
            assert!(!envelope.smtputf8);
            assert_eq!(postcard::to_stdvec(&envelope).unwrap(), octets);
        }
    }

    #[test]
    fn what_is_asked_of_reports_is_kept_and_a_mark_that_is_none_is_no_record() {
        let asked = Mailbox::parse("a@b.c").unwrap();
        let request = RecipientRequest {
            notify: crate::Notify::parse("SUCCESS"),
            original: crate::OriginalRecipient::parse("rfc822;a@b.c"),
        };
        let dsn = DsnRequest {
            ret: Some(crate::Ret::Full),
            envid: crate::Envid::parse("x+20y"),
            recipients: vec![(asked.clone(), request.clone())],
        };
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec![Recipient::direct(asked.clone())],
            arrival: Time::from_secs(7),
            eight_bit: true,
            smtputf8: true,
            dsn: Some(Box::new(dsn)),
        };
        let octets = postcard::to_stdvec(&(&envelope, 9u8)).unwrap();
        let read: (Envelope, u8) = postcard::from_bytes(&octets).unwrap();
        assert_eq!(read, (envelope.clone(), 9));
        assert_eq!(read.0.asked(&asked), Some(&request));
        let nothing = Envelope {
            dsn: None,
            ..envelope
        };
        let mut octets = postcard::to_stdvec(&nothing).unwrap();
        *octets.last_mut().unwrap() = 8;
        assert!(postcard::from_bytes::<Envelope>(&octets).is_err());
    }
}
