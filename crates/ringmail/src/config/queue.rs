//! `[queue]`: when to try again, and when to give up.

use super::options::{Kind, OptionRow, Section, Shape, State};
use super::read::{self, Value};
use super::reader::Reader;
use std::time::Duration;

/// No pause and no life of a message is longer.
const TIME: Kind = Kind::Duration {
    min_secs: 1,
    max_secs: 366 * 86_400,
};

pub(super) const SECTION: Section = Section {
    name: "queue",
    shape: Shape::Plain,
    doc: "When a message that could not be handed on is tried again, and when it is given up.",
    rows: &[
        OptionRow {
            key: "retry_delay_min",
            kind: TIME,
            default: "5m",
            doc: "the pause before the second attempt; doubled each time",
            more: "Most that can be cured by waiting, greylisting above all, is cured in minutes.",
            example: "\"10m\"",
            state: State::Built,
        },
        OptionRow {
            key: "retry_delay_max",
            kind: TIME,
            default: "4h",
            doc: "the longest pause",
            more: "",
            example: "\"2h\"",
            state: State::Built,
        },
        OptionRow {
            key: "expiry",
            kind: TIME,
            default: "5d",
            doc: "how long a message is tried before its sender is told that it failed",
            more: "RFC 5321 §4.5.4.1 asks for four to five days at least.",
            example: "\"4d\"",
            state: State::Built,
        },
        OptionRow {
            key: "delay_notice",
            kind: TIME,
            default: "",
            doc: "when a sender is told, once, that his message waits still; without it he is not",
            more: "Off by default: what is only late needs nobody's help, and each notice is one more message that may \
                   go astray. RFC 3464's `delayed`, with the time until which it is tried.",
            example: "\"4h\"",
            state: State::Built,
        },
    ],
};

pub(super) fn take(reader: &mut Reader, row: &'static OptionRow, value: &Value<'_>) {
    let Some(secs) = read::duration(row, value, &mut reader.errors) else {
        return;
    };
    let time = Duration::from_secs(secs);
    reader.queue_places.insert(row.key, value.span());
    match row.key {
        "retry_delay_min" => reader.queue.retry_delay_min = time,
        "retry_delay_max" => reader.queue.retry_delay_max = time,
        "delay_notice" => reader.queue.delay_notice = Some(time),
        _ => reader.queue.expiry = time,
    }
}
