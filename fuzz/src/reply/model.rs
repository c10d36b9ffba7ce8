//! A second reading of a session with a next hop, from its end: which reply answered which command, and what
//! that means for each recipient (RFC 5321 §4.2, RFC 2033 §4.2).

use super::{Choices, ITS_PLACE, MAILBOXES, Story, harmless};
use mail::{Cause, Outcome};
use smtp::client::{Dialect, Security};

/// A reply code; none where the server said nothing more.
type Code = Option<u16>;

/// What the server said to one message.
#[derive(Debug, Default)]
struct Said {
    mail: Code,
    recipients: Vec<Code>,
    data: Code,
    /// To the end of content: one for each recipient that has an answer of its own.
    ends: Vec<Code>,
}

/// How it must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Deferred,
    Delivered,
    Failed,
}

/// The outcomes are what the server's replies mean.
pub fn agree(story: &Story, server: &[u8], choices: Choices) {
    let mut replies = codes(&server[..story.used]).into_iter();
    let _greeting = replies.next();
    let mut messages = Vec::new();
    for command in &story.sent {
        let code = replies.next();
        if command.starts_with("MAIL") {
            messages.push(Said {
                mail: code,
                ..Said::default()
            });
        }
        let Some(said) = messages.last_mut() else {
            continue;
        };
        if command.starts_with("RCPT") {
            said.recipients.push(code);
        }
        if command.starts_with("DATA") {
            said.data = code;
            if code == Some(354) {
                // Of a message that was refused nobody is accepted, whatever RCPT was told.
                let accepted = said.recipients.iter().filter(|code| yes(**code)).count();
                let accepted = if yes(said.mail) { accepted } else { 0 };
                let ends = match choices.dialect {
                    Dialect::Lmtp => accepted.max(1),
                    Dialect::Smtp => 1,
                };
                said.ends = (0..ends).map(|_| replies.next()).collect();
            }
        }
    }
    in_order(&story.sent, choices.security);
    beyond_ascii(&story.sent, &server[..story.used]);
    let mut messages = messages.into_iter();
    for outcomes in &story.outcomes {
        assert_eq!(outcomes.len(), choices.recipients, "one each");
        for outcome in outcomes {
            match outcome {
                Outcome::Delivered => {}
                Outcome::Deferred(cause) | Outcome::Failed(cause) => harmless(cause),
            }
        }
        if too_large(outcomes) {
            assert!(announces_less(&server[..story.used], choices.octets));
            continue;
        }
        let said = messages.next().expect("the message was sent");
        let (unnamed, named): (Vec<_>, Vec<_>) = outcomes
            .iter()
            .enumerate()
            .partition(|(place, outcome)| cannot_be_named(*place, outcome, choices));
        let are_all = unnamed.is_empty() || unnamed.len() == named_beyond_ascii(choices);
        assert!(are_all, "one server, one rule");
        for ((_, outcome), expected) in named.iter().zip(expected(&said, named.len(), choices)) {
            let kind = kind(outcome);
            // A yes that came before all of the content was sent is none.
            let early = choices.early > 0 && expected == Kind::Delivered;
            let agrees = kind == expected || early && kind == Kind::Deferred;
            assert!(agrees, "{kind:?} is not {expected:?} of {said:?}");
        }
    }
    assert!(messages.next().is_none(), "a message without outcomes");
}

/// TLS is begun at most once, and not where it is not wanted; where it is demanded no message goes before, and behind it the
/// server is greeted anew.
fn in_order(sent: &[String], security: Security) {
    let at = sent.iter().position(|command| command == "STARTTLS");
    let count = sent.iter().filter(|command| *command == "STARTTLS").count();
    assert!(
        count <= usize::from(security != Security::AsItIs),
        "{sent:?}"
    );
    let mail = sent.iter().position(|command| command.starts_with("MAIL"));
    if let Some(mail) = mail {
        assert!(security != Security::Demanded || at.is_some(), "{sent:?}");
        let hello = |command: &String| ["EHLO", "LHLO"].contains(&&command[..4]);
        let anew = at.is_none_or(|at| sent.get(at + 1).is_some_and(hello));
        // One that was refused goes on in clear.
        assert!(
            anew || security == Security::Offered && at.is_some_and(|at| at < mail),
            "{sent:?}"
        );
    }
}

/// What is beyond ASCII is said to a server that offered to take it, in a transaction that says so.
fn beyond_ascii(sent: &[String], server: &[u8]) {
    let mut said = false;
    for command in sent {
        if command.starts_with("MAIL") {
            said = command.ends_with(" SMTPUTF8");
        }
        assert!(command.is_ascii() || said, "{sent:?}");
        if said {
            let offers = |word: &[u8]| {
                let mut words = server.windows(word.len());
                words.any(|there| there.eq_ignore_ascii_case(word))
            };
            assert!(offers(b"SMTPUTF8") && offers(b"8BITMIME"), "{sent:?}");
        }
    }
}

/// How many recipients are beyond ASCII.
fn named_beyond_ascii(choices: Choices) -> usize {
    let places = (0..choices.recipients).skip(ITS_PLACE);
    places.step_by(MAILBOXES.len()).count()
}

/// The session found that the server cannot be told of this recipient, and did not say it.
fn cannot_be_named(place: usize, outcome: &Outcome, choices: Choices) -> bool {
    let is_it = choices.beyond_ascii && place % MAILBOXES.len() == ITS_PLACE;
    let because =
        |cause: &Cause| matches!(cause, Cause::Ours(status, _) if status.to_string() == "5.6.7");
    is_it && matches!(outcome, Outcome::Failed(cause) if because(cause))
}

fn yes(code: Code) -> bool {
    code.is_some_and(|code| code / 100 == 2)
}

/// What a reply that is no yes means.
fn no(code: Code) -> Kind {
    match code {
        Some(500..600) => Kind::Failed,
        _ => Kind::Deferred,
    }
}

/// Of so many recipients that could be named.
fn expected(said: &Said, recipients: usize, choices: Choices) -> Vec<Kind> {
    let mut ends = said.ends.iter();
    (0..recipients)
        .map(|place| {
            if !yes(said.mail) {
                return no(said.mail);
            }
            match said.recipients.get(place).copied().flatten() {
                // The old way to say 452, RFC 5321 §4.5.3.1.10.
                Some(552) => Kind::Deferred,
                code if !yes(code) => no(code),
                _ if said.data != Some(354) => no(said.data),
                _ => {
                    let end = match choices.dialect {
                        Dialect::Lmtp => ends.next(),
                        Dialect::Smtp => said.ends.first(),
                    };
                    match end.copied().flatten() {
                        Some(200..300) => Kind::Delivered,
                        code => no(code),
                    }
                }
            }
        })
        .collect()
}

fn kind(outcome: &Outcome) -> Kind {
    match outcome {
        Outcome::Delivered => Kind::Delivered,
        Outcome::Deferred(_) => Kind::Deferred,
        Outcome::Failed(_) => Kind::Failed,
    }
}

/// The session found that the message is larger than the server takes, and did not try.
fn too_large(outcomes: &[Outcome]) -> bool {
    outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::Failed(Cause::Ours(..))))
}

/// Some line announces SIZE and a number below this.
fn announces_less(server: &[u8], octets: u64) -> bool {
    let text = String::from_utf8_lossy(server).to_ascii_uppercase();
    text.lines().any(|line| {
        let mut words = line.get(4..).unwrap_or("").split_ascii_whitespace();
        words.next() == Some("SIZE")
            && words
                .next()
                .and_then(|word| word.parse().ok())
                .is_some_and(|max: u64| 0 < max && max < octets)
    })
}

/// The codes of whole replies: what stands before the line that ends each.
fn codes(said: &[u8]) -> Vec<u16> {
    said.split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .filter(|line| line.get(3) != Some(&b'-'))
        .map(|line| {
            let digits = std::str::from_utf8(&line[..3]).expect("only replies are used");
            digits.parse().expect("only replies are used")
        })
        .collect()
}
