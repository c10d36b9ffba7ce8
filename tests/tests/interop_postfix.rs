//! Postfix and we hand each other two hundred varied messages, and what is changed on the way is named here.

use tests::interop::beyond_ascii::{Takes, addresses_beyond_ascii_are_handed_on};
use tests::interop::differences::empty_line_before_body;
use tests::interop::reports::{ALL, reports_are_asked_for};
use tests::interop::{BOTH_WAYS, Difference, Manners, Way, they_send, we_send};
use tests::peer::postfix;

const MANNERS: &Manners = &Manners {
    differences: &[
        Difference {
            ways: &[Way::Here],
            what: "a mailbox's From line at the very start becomes a field, X-Mailbox-Line: no field would follow it else",
            change: |content| match content.strip_prefix(b"From ") {
                Some(rest) => [b"X-Mailbox-Line: From ", rest].concat(),
                None => content.to_vec(),
            },
        },
        Difference {
            ways: BOTH_WAYS,
            what: "the header section ends before the first line that is no field",
            change: empty_line_before_body,
        },
    ],
    ..Manners::NONE
};

#[test]
fn postfix_sends_two_hundred_messages_to_us() {
    they_send("postfix_sends_two_hundred_messages_to_us", postfix, MANNERS);
}

#[test]
fn we_send_two_hundred_messages_to_postfix() {
    we_send("we_send_two_hundred_messages_to_postfix", postfix, MANNERS);
}

#[test]
fn postfix_and_we_hand_on_what_is_asked_of_reports() {
    reports_are_asked_for(
        "postfix_and_we_hand_on_what_is_asked_of_reports",
        postfix,
        ALL,
    );
}

#[test]
fn postfix_and_we_hand_on_addresses_beyond_ascii() {
    addresses_beyond_ascii_are_handed_on(
        "postfix_and_we_hand_on_addresses_beyond_ascii",
        postfix,
        Takes::BeyondAscii,
    );
}
