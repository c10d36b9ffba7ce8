//! OpenSMTPD and we hand each other two hundred varied messages, and what is changed or refused on the way is named
//! here.

use tests::interop::beyond_ascii::{Takes, addresses_beyond_ascii_are_handed_on};
use tests::interop::differences::{date_and_message_id, has_line_without_colon, names_qualified};
use tests::interop::reports::reports_are_asked_for;
use tests::interop::{BOTH_WAYS, Difference, Manners, Refusal, they_send, we_send};
use tests::peer::opensmtpd;

const MANNERS: &Manners = &Manners {
    differences: &[
        Difference {
            ways: BOTH_WAYS,
            what: "a name without a domain gets its own",
            change: |content| names_qualified(content, HOST),
        },
        Difference {
            ways: BOTH_WAYS,
            what: "what comes to a loopback address is taken for a submission: Date and Message-ID are added",
            change: |content| date_and_message_id(content, HOST),
        },
    ],
    left_aside: &[],
    refusals: &[
        Refusal {
            ways: BOTH_WAYS,
            what: "a reverse-path with a quoted local-part",
            reply: "553 5.1.0",
            words: "Sender address syntax error",
            refuses: |message| message.reverse_path.starts_with('"'),
        },
        Refusal {
            ways: BOTH_WAYS,
            what: "a header section with a line that can be no field, for it has no colon",
            reply: "550 5.7.1",
            words: "not RFC 2822 compliant",
            refuses: |message| has_line_without_colon(&message.content),
        },
    ],
    sent_in_chunks: None,
    cannot_send: None,
};

const HOST: &str = "opensmtpd.test";

#[test]
fn opensmtpd_sends_two_hundred_messages_to_us() {
    they_send(
        "opensmtpd_sends_two_hundred_messages_to_us",
        opensmtpd,
        MANNERS,
    );
}

#[test]
fn we_send_two_hundred_messages_to_opensmtpd() {
    we_send(
        "we_send_two_hundred_messages_to_opensmtpd",
        opensmtpd,
        MANNERS,
    );
}

#[test]
fn opensmtpd_and_we_hand_on_what_is_asked_of_reports() {
    reports_are_asked_for(
        "opensmtpd_and_we_hand_on_what_is_asked_of_reports",
        opensmtpd, // The sender's own names are not in it.
        &[
            "Final-Recipient:rfc822;someone@theirs.test",
            "Action:delivered",
        ],
    );
}

#[test]
fn opensmtpd_and_we_hand_on_addresses_beyond_ascii() {
    addresses_beyond_ascii_are_handed_on(
        "opensmtpd_and_we_hand_on_addresses_beyond_ascii",
        opensmtpd,
        Takes::Ascii,
    );
}
