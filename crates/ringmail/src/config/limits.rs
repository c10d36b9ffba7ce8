//! `[limits]`: bounds that an administrator may move.
//!
//! Why the defaults of `client_…` are what they are: `docs/adr/0040`.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;

pub(super) const SECTION: Section = Section {
    name: "limits",
    shape: Shape::Plain,
    doc: "Bounds of what one message, one session or one client may take.",
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
        OptionRow {
            key: "client_connections",
            kind: A_MINUTE,
            default: "300",
            doc: "connections of one client in a minute that bring no mail; more are told 421",
            more: "0 is without bound, here and in the four below. A connection that brings a message is not counted, nor is one \
                   that logs in. The bounds of a client hold for an address of IPv4, or a network of IPv6 of 64 bits, over all \
                   its sessions: a minute's worth may come at once and comes back evenly within a minute. They hold for nobody \
                   who is listed in relay.from, or is logged in. Who meets one is told to come later, never refused for good, and \
                   client.limited in the log names the client and the bound. Where all mail comes through a filter, a proxy or \
                   a gateway, that is one client: set them for all its mail, or to 0.",
            example: "60",
            state: State::Built,
        },
        OptionRow {
            key: "client_messages",
            kind: A_MINUTE,
            default: "10000",
            doc: "mail transactions of one client in a minute; MAIL beyond them is told 451",
            more: "A bound against one client that takes a whole machine, not against spam.",
            example: "600",
            state: State::Built,
        },
        OptionRow {
            key: "client_recipients",
            kind: A_MINUTE,
            default: "50000",
            doc: "accepted recipients of one client in a minute; RCPT beyond them is told 450",
            more: "Those of a message that were accepted before get it.",
            example: "2000",
            state: State::Built,
        },
        OptionRow {
            key: "client_refused",
            kind: A_MINUTE,
            default: "300",
            doc: "refused recipients of one client in a minute; each RCPT beyond them is told 450",
            more: "Recipients that are not there and those that would need relaying, in whatever sessions. Beyond the bound \
                   nobody looks whether there is a recipient, and all have the same answer: names cannot be tried out faster.",
            example: "60",
            state: State::Built,
        },
        OptionRow {
            key: "client_errors",
            kind: A_MINUTE,
            default: "300",
            doc: "failed commands of one client in a minute; connections beyond them are told 421",
            more: "Commands that are none, or malformed, or out of their order, in whatever sessions. Sessions that are open go \
                   on until `errors` ends them.",
            example: "60",
            state: State::Built,
        },
    ],
};

/// So many of one client in a minute: up to some 16,000 a second, more than one client can bring.
const A_MINUTE: Kind = Kind::Count {
    min: 0,
    max: 1_000_000,
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
        "errors" => limits.errors = to_u32(number),
        "client_sessions" => limits.client_sessions = to_usize(number),
        "client_connections" => limits.client.connections = to_u32(number),
        "client_messages" => limits.client.messages = to_u32(number),
        "client_recipients" => limits.client.recipients = to_u32(number),
        "client_refused" => limits.client.refused = to_u32(number),
        "client_errors" => limits.client.errors = to_u32(number),
        _ => limits.sessions = to_usize(number),
    }
}

/// Ranges end far below.
fn to_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Ranges end far below what a `usize` of 32 bits holds.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
