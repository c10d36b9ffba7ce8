//! What must hold whatever comes in: eight functions that take any octets and panic when something does not.
//!
//! `cargo xtask fuzz` lets an engine look for such octets; the tests run what it kept in `corpus/`. Each
//! target exists a second time with a mistake planted between it and what it watches, to prove that it
//! would see one. `docs/adr/0010-fuzzing-on-stable.md` says how it is built.

pub mod arrow;
pub mod command;
pub mod completion;
pub mod configuration;
mod octets;
pub mod path;
pub mod record;
pub mod reply;
pub mod seven_bit;

/// Names the target to the program that holds the planted mistakes.
pub const PLANTED_VARIABLE: &str = "RINGMAIL_FUZZ_PLANTED";

/// One fuzz target.
#[derive(Debug)]
pub struct Target {
    /// Its name: of its corpus and of its program too.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
    /// The same with a planted mistake.
    pub planted: fn(&[u8]),
    /// The mistake that is planted, in words.
    pub mistake: &'static str,
    /// The files that it is to run through, from the top of the repository; a folder means all below it.
    pub room: &'static [&'static str],
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    Target {
        name: "arrow",
        run: arrow::run,
        planted: arrow::planted,
        mistake: "a record may leave octets over",
        room: &["crates/ringmail/src/ipc.rs", "crates/ringmail/src/ipc"],
    },
    Target {
        name: "command",
        run: command::run,
        planted: command::planted,
        mistake: "content also ends at LF.CRLF",
        room: &[
            "crates/smtp/src/command.rs",
            "crates/smtp/src/content.rs",
            "crates/smtp/src/server.rs",
            "crates/smtp/src/server",
        ],
    },
    Target {
        name: "completion",
        run: completion::run,
        planted: completion::planted,
        mistake: "nobody says that content has ended",
        room: &[
            "crates/mail/src/completion.rs",
            "crates/mail/src/completion",
        ],
    },
    Target {
        name: "configuration",
        run: configuration::run,
        planted: configuration::planted,
        mistake: "a network of eight bits is as good as none",
        room: &[
            "crates/ringmail/src/config.rs",
            "crates/ringmail/src/config",
        ],
    },
    Target {
        name: "path",
        run: path::run,
        planted: path::planted,
        mistake: "a backslash in a quoted local-part is written without its own",
        room: &[
            "crates/mail/src/path.rs",
            "crates/mail/src/path",
            "crates/mail/src/utf8_address.rs",
        ],
    },
    Target {
        name: "record",
        run: record::run,
        planted: record::planted,
        mistake: "a batch that was refused is not voided",
        room: &["crates/queue/src/spool"],
    },
    Target {
        name: "reply",
        run: reply::run,
        planted: reply::planted,
        mistake: "450 to the end of content delivers",
        room: &["crates/smtp/src/client.rs", "crates/smtp/src/client"],
    },
    Target {
        name: "seven_bit",
        run: seven_bit::run,
        planted: seven_bit::planted,
        mistake: "a blank at the end of a line stays a blank",
        room: &["crates/mail/src/seven_bit.rs", "crates/mail/src/seven_bit"],
    },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
