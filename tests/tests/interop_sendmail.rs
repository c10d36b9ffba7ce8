//! sendmail and we hand each other two hundred varied messages, and what is changed on the way is named here.

use tests::interop::beyond_ascii::{Takes, addresses_beyond_ascii_are_handed_on};
use tests::interop::differences::{
    empty_line_after_header, empty_line_before_body, names_qualified, without_addresses,
    without_blanks_in_addresses, without_field,
};
use tests::interop::reports::reports_are_asked_for;
use tests::interop::{Aside, BOTH_WAYS, Difference, Manners, Way, they_send, we_send};
use tests::peer::sendmail;

const MANNERS: &Manners = &Manners {
    differences: &[
        Difference {
            ways: &[Way::Here],
            what: "a mailbox's From line at the very start is dropped",
            change: |content| match content.strip_prefix(b"From ") {
                Some(_) => {
                    let mut lines = content.splitn(2, |octet| *octet == b'\n');
                    lines.nth(1).unwrap_or_default().to_vec()
                }
                None => content.to_vec(),
            },
        },
        Difference {
            ways: BOTH_WAYS,
            what: "the header section ends before the first line that is no field",
            change: empty_line_before_body,
        },
        Difference {
            ways: BOTH_WAYS,
            what: "an empty line ends the header section even where no body follows",
            change: empty_line_after_header,
        },
        Difference {
            ways: BOTH_WAYS,
            what: "a name without a domain gets its own",
            change: |content| names_qualified(content, "sendmail.test"),
        },
        Difference {
            ways: BOTH_WAYS,
            what: "Return-Path is for whom delivers: one that came with the message is dropped",
            change: |content| without_field(content, "return-path"),
        },
        Difference {
            ways: BOTH_WAYS,
            what: "Content-Length is for mailboxes: one that came with the message is dropped",
            change: |content| without_field(content, "content-length"),
        },
    ],
    left_aside: &[
        Aside {
            ways: BOTH_WAYS,
            what: "lists of addresses are taken apart and folded anew: blanks in them are not compared",
            of: |_| true,
            take_out: without_blanks_in_addresses,
        },
        Aside {
            ways: BOTH_WAYS,
            what: "addresses that break the grammar of RFC 5322 are quoted, completed or cut",
            of: |message| {
                BROKEN_ADDRESSES
                    .iter()
                    .any(|file| message.name.ends_with(file))
            },
            take_out: without_addresses,
        },
    ],
    ..Manners::NONE
};

/// Mails with addresses that only their authors understand.
const BROKEN_ADDRESSES: &[&str] = &[
    "malformed-multiple-address-header-values.raw",
    "mime-bad-8bit-filename.raw",
    "qp-utf8-header-recursed.raw",
];

#[test]
fn sendmail_sends_two_hundred_messages_to_us() {
    they_send(
        "sendmail_sends_two_hundred_messages_to_us",
        sendmail,
        MANNERS,
    );
}

#[test]
fn we_send_two_hundred_messages_to_sendmail() {
    we_send(
        "we_send_two_hundred_messages_to_sendmail",
        sendmail,
        MANNERS,
    );
}

#[test]
fn sendmail_and_we_hand_on_what_is_asked_of_reports() {
    reports_are_asked_for(
        "sendmail_and_we_hand_on_what_is_asked_of_reports",
        sendmail,
        &[
            "Original-Envelope-Id:QQ+314",
            "Original-Recipient:rfc822;Some+one@theirs.test",
            "Final-Recipient:rfc822;someone@theirs.test",
            // Its mailboxes are a sink behind SMTP.
            "Action:relayed (to non-DSN-aware mailer)",
        ],
    );
}

#[test]
fn sendmail_and_we_hand_on_addresses_beyond_ascii() {
    addresses_beyond_ascii_are_handed_on(
        "sendmail_and_we_hand_on_addresses_beyond_ascii",
        sendmail,
        Takes::Ascii,
    );
}
