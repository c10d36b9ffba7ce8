//! What a sender asked of reports, as it bears on each recipient: RFC 3461 §5.2. He asked for addresses that he wrote; where
//! several recipients come of one of these it is an alias of several, and is reported once, as expanded (§5.2.7.3 (c)).

use crate::{Manner, Standing, State};
use mail::dsn::{Action, Reported};
use mail::{Destination, DsnRequest, Envelope, Mailbox, RecipientRequest};

/// Whether a failure is to be reported.
pub(super) fn wants_failure(envelope: &Envelope, known: &Mailbox) -> bool {
    let notify = envelope.asked(known).and_then(|asked| asked.notify);
    notify.is_none_or(|notify| notify.failure)
}

/// Whether a delay may be reported.
pub(super) fn wants_delay(envelope: &Envelope, known: &Mailbox) -> bool {
    let notify = envelope.asked(known).and_then(|asked| asked.notify);
    notify.is_none_or(|notify| notify.delay)
}

fn wants_success(envelope: &Envelope, known: &Mailbox) -> bool {
    let notify = envelope.asked(known).and_then(|asked| asked.notify);
    notify.is_some_and(|notify| notify.success)
}

/// Of a recipient that was delivered: how, where that is to be reported by us. `handed_on`: the next hop reports it, for it
/// took the sender's request.
pub(super) fn owed(
    envelope: &Envelope,
    state: &State,
    number: u32,
    destination: Option<&Destination>,
    handed_on: bool,
) -> Option<Manner> {
    if envelope.dsn.is_none() || envelope.reverse_path.is_null() {
        return None;
    }
    let known = envelope.recipients[number as usize].known();
    let mut wanted = known.iter();
    if !wanted.any(|known| is_to_be_told(envelope, state, number, known)) {
        return None;
    }
    if handed_on && known.len() == 1 && !is_expanded(envelope, &known[0]) {
        return None;
    }
    let relayed = destination.is_some_and(|destination| !destination.is_local());
    Some(if relayed {
        Manner::Relayed
    } else {
        Manner::Delivered
    })
}

/// What is to be reported of the deliveries whose report is owed.
pub(super) fn successes(envelope: &Envelope, state: &State) -> Vec<Reported> {
    let mut reported = Vec::new();
    for (number, standing) in (0u32..).zip(&state.recipients) {
        let Standing::Owed(manner) = standing else {
            continue;
        };
        for known in envelope.recipients[number as usize].known() {
            if !is_to_be_told(envelope, state, number, known)
                || !is_first(envelope, state, number, known)
            {
                continue;
            }
            let action = match manner {
                _ if is_expanded(envelope, known) => Action::Expanded,
                Manner::Delivered => Action::Delivered,
                Manner::Relayed => Action::Relayed,
            };
            reported.push(Reported {
                mailbox: known.clone(),
                original: envelope
                    .asked(known)
                    .and_then(|asked| asked.original.clone()),
                action,
            });
        }
    }
    reported
}

/// Whether a success of this address is wanted, and none of its other recipients was reported as one.
fn is_to_be_told(envelope: &Envelope, state: &State, number: u32, known: &Mailbox) -> bool {
    let is_told = |other| state.recipients[other as usize] == Standing::Delivered;
    wants_success(envelope, known) && !others(envelope, number, known).any(is_told)
}

/// Whether this recipient is the first of the address whose report is owed.
fn is_first(envelope: &Envelope, state: &State, number: u32, known: &Mailbox) -> bool {
    let mut before = others(envelope, number, known).take_while(|other| *other < number);
    !before.any(|other| matches!(state.recipients[other as usize], Standing::Owed(_)))
}

/// Recipients beside this one that come of the same address.
fn others<'a>(
    envelope: &'a Envelope,
    number: u32,
    known: &'a Mailbox,
) -> impl Iterator<Item = u32> + 'a {
    (0u32..)
        .zip(&envelope.recipients)
        .filter(move |(other, recipient)| *other != number && recipient.known().contains(known))
        .map(|(other, _)| other)
}

fn is_expanded(envelope: &Envelope, known: &Mailbox) -> bool {
    let of_it = envelope.recipients.iter();
    of_it.filter(|r| r.known().contains(known)).nth(1).is_some()
}

/// What the next hop is asked, where it takes such requests: for each recipient by the mailbox that it is given.
pub(super) fn onward(envelope: &Envelope, numbers: &[u32]) -> Option<Box<DsnRequest>> {
    let dsn = envelope.dsn.as_ref()?;
    let of_recipients = numbers.iter().filter_map(|number| {
        let recipient = &envelope.recipients[*number as usize];
        let request = of_recipient(envelope, recipient.known());
        (!request.is_empty()).then(|| (recipient.mailbox.clone(), request))
    });
    let onward = DsnRequest {
        ret: dsn.ret,
        envid: dsn.envid.clone(),
        recipients: of_recipients.collect(),
    };
    (!onward.is_empty()).then(|| Box::new(onward))
}

fn of_recipient(envelope: &Envelope, known: &[Mailbox]) -> RecipientRequest {
    let asked = |known: &Mailbox| {
        let mut request = envelope.asked(known).cloned().unwrap_or_default();
        if is_expanded(envelope, known) {
            request.notify = request.notify.map(mail::Notify::without_success);
        }
        request
    };
    if let [known] = known {
        return asked(known);
    }
    // Several addresses became one recipient. It has one wish and no original address: failures come back where any wants
    // them, and we report success.
    let wishes = known.iter().map(|known| asked(known).notify);
    let all = wishes.reduce(|one, other| Some(one?.or(other?))).flatten();
    RecipientRequest {
        notify: all.map(mail::Notify::without_success),
        original: None,
    }
}
