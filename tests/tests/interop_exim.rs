//! Exim and we hand each other two hundred varied messages, and what is changed on the way is named here.

use tests::interop::differences::{empty_line_after_header, empty_line_before_body};
use tests::interop::{BOTH_WAYS, Difference, Manners, they_send, we_send};
use tests::peer::exim;

const MANNERS: &Manners = &Manners {
    differences: &[
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
    ],
    ..Manners::NONE
};

#[test]
fn exim_sends_two_hundred_messages_to_us() {
    they_send("exim_sends_two_hundred_messages_to_us", exim, MANNERS);
}

#[test]
fn we_send_two_hundred_messages_to_exim() {
    we_send("we_send_two_hundred_messages_to_exim", exim, MANNERS);
}
