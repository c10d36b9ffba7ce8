//! `[limits]`: bounds that an administrator may move.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;

pub(super) const SECTION: Section = Section {
    name: "limits",
    shape: Shape::Plain,
    doc: "Bounds of what one message or one client may take.",
    rows: &[
        OptionRow {
            key: "message",
            kind: Kind::Size {
                // RFC 5321 §4.5.3.1.7: a server takes at least 64 KiB.
                min_octets: 64 << 10,
                max_octets: 100 << 30,
            },
            default: "50 MiB",
            doc: "largest message; larger ones are refused with 552",
            more: "Announced by SIZE (RFC 1870). Base64 makes an attachment a third larger.",
            example: "\"100 MiB\"",
            state: State::Built,
        },
        OptionRow {
            key: "recipients",
            kind: Kind::Count {
                // RFC 5321 §4.5.3.1.8: a server takes at least 100.
                min: 100,
                max: 100_000,
            },
            default: "1000",
            doc: "most recipients of one transaction",
            more: "RFC 5321 §4.5.3.1.8 asks for 100 at least. A client that has more sends the rest in another \
                   transaction: it is told 452.",
            example: "100",
            state: State::Built,
        },
        OptionRow {
            key: "errors",
            kind: Kind::Count {
                min: 1,
                max: 10_000,
            },
            default: "20",
            doc: "failed commands before a session is ended",
            more: "Counted without mail in between; recipients that are refused are among them.",
            example: "10",
            state: State::Built,
        },
        OptionRow {
            key: "sessions",
            kind: Kind::Count {
                min: 1,
                max: 100_000,
            },
            default: "1000",
            doc: "sessions at once; more are told 421, to come later",
            more: "Where there are as many, a client that has fewer than others takes one from whoever has the most: the one \
                   that has brought nothing for the longest, three seconds at least, or ten of a client with as many. Who is \
                   listed in relay.from keeps his.",
            example: "200",
            state: State::Built,
        },
        OptionRow {
            key: "client_sessions",
            kind: Kind::Count {
                min: 1,
                max: 100_000,
            },
            default: "50",
            doc: "sessions of one client at once; more are told 421",
            more: "A client is an address of IPv4, or a network of IPv6 of 64 bits. Who is listed in relay.from may have \
                   more.",
            example: "20",
            state: State::Built,
        },
    ],
};

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    let number = match row.kind {
        Kind::Size { .. } => read::size(row, value, &mut reader.errors),
        _ => read::count(row, value, &mut reader.errors),
    };
    let Some(number) = number else {
        return;
    };
    let limits = &mut reader.limits;
    match row.key {
        "message" => limits.message_octets = number,
        "recipients" => limits.recipients = to_usize(number),
        // Its range ends far below.
        "errors" => limits.errors = u32::try_from(number).unwrap_or(u32::MAX),
        "client_sessions" => limits.client_sessions = to_usize(number),
        _ => limits.sessions = to_usize(number),
    }
}

/// Ranges end far below what a `usize` of 32 bits holds.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
