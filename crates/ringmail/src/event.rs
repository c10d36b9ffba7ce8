//! Everything that the program says of itself: each line of the log is a variant here, and nothing else
//! is logged. Names are *noun.past*. Text that a stranger chose stands in quotes, escaped, so that no line
//! can be forged. Content, passwords and keys have no field.

pub mod document;
pub mod keep;
pub mod paced;
pub mod read;
pub mod store;

pub use keep::through as keep_through;

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::OnceLock;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Info,
    /// Somebody should look some day.
    Warn,
    /// Somebody should look now.
    Error,
}

impl Level {
    /// As it stands in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Number,
    /// Text; quoted and escaped where it is no plain word.
    Text,
    /// `true` or `false`.
    Truth,
}

impl Kind {
    /// By the type that the program keeps it in.
    const fn of(typ: &str) -> Kind {
        match typ.as_bytes() {
            b"u32" | b"u64" | b"usize" => Kind::Number,
            b"bool" => Kind::Truth,
            _ => Kind::Text,
        }
    }
}

/// One event as the table has it.
#[derive(Debug)]
pub struct Row {
    /// Its name: *noun.past*.
    pub name: &'static str,
    /// How much it matters.
    pub level: Level,
    /// Its fields, in the order of the line.
    pub fields: &'static [(&'static str, Kind)],
    /// What it means.
    pub doc: &'static str,
}

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $level:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        /// What happened.
        #[derive(Debug)]
        #[allow(missing_docs, reason = "each field's name is the log's; docs/log.md says what they mean")]
        pub enum Event<'a> {
            $($(#[doc = $doc])+ $variant { $($field: $type),* },)*
            /// Keeps the lifetime in use where no variant of a build has a text.
            #[doc(hidden)]
            Never(std::convert::Infallible, std::marker::PhantomData<&'a ()>),
        }

        impl Event<'_> {
            /// Its name in the log.
            pub fn name(&self) -> &'static str {
                match self { $(Event::$variant { .. } => $name,)* Event::Never(never, _) => match *never {} }
            }

            /// How much it matters.
            pub fn level(&self) -> Level {
                match self { $(Event::$variant { .. } => Level::$level,)* Event::Never(never, _) => match *never {} }
            }

            /// Puts its fields behind `line`, in the order written here.
            fn fields(&self, line: &mut String) {
                match self {
                    $(Event::$variant { $($field),* } => { $(field(line, stringify!($field), $field);)* })*
                    Event::Never(never, _) => match *never {},
                }
            }
        }

        /// Every event there is: what docs/log.md and the JSON of `log find` are made from.
        pub const TABLE: &[Row] = &[$(Row {
            name: $name,
            level: Level::$level,
            fields: &[$((stringify!($field), Kind::of(stringify!($type)))),*],
            doc: concat!($($doc, "\n"),+),
        },)*];
    };
}

events! {
    /// An arrow was ended because the other end broke its rules.
    ArrowMisbehaved "arrow.misbehaved" Error { cause: &'static str }
    /// An attempt for this recipient did not work and will be made again. `host` is the last that was tried.
    AttemptDeferred "attempt.deferred" Info { queue_id: mail::QueueId, peer_ip: String, attempt: u32, status: String, next_hop: String, host: String, cause: String, forward_path: String }
    /// A certificate and its key are in use, for these names.
    CertificateLoaded "certificate.loaded" Info { cert: String, until: String, names: String }
    /// Files of a certificate are of no use: those that were in use before stay.
    CertificateRefused "certificate.refused" Error { cause: String }
    /// A client has met a bound of what it may take in a minute (docs/adr/0040) and is put off: `count` times since the line before
    /// of this client, of which there is one a minute at most. Of many clients in a second a few are said, the others later. The session is the one that met it now; `session.closed` names the bound in the line of each.
    ClientLimited "client.limited" Warn { session: mail::QueueId, peer_ip: String, listener: &'a str, rule: &'static str, count: u64 }
    /// The configuration was read anew and is in force; these keys changed.
    ConfigurationReloaded "configuration.reloaded" Info { changes: usize, keys: String }
    /// The configuration was to be read anew and stayed as it was.
    ConfigurationRefused "configuration.refused" Error { cause: String }
    /// A process that delivers as a user of the machine was started.
    CourierStarted "courier.started" Info { pid: u32 }
    /// Content with octets above 127 was written in seven bits for a host that did not offer 8BITMIME (docs/adr/0037): so many
    /// parts of it, or header fields alone. `signed` says that a signature stands in it that does not hold there any more.
    ContentConverted "content.converted" Info { queue_id: mail::QueueId, peer_ip: String, parts: u32, signed: bool, host: String }
    /// A report was put into the queue.
    DsnQueued "dsn.queued" Info { queue_id: mail::QueueId, about: mail::QueueId }
    /// Events were not kept for `log find` and `explain`: they came faster than they could be written, or the folder
    /// cannot be written to. The log itself has them.
    EventsLost "events.lost" Warn { events: u64, cause: String }
    /// A folder that a role should see is not there. The role is started anew when it is.
    FolderAbsent "folder.absent" Warn { folder: String, cause: String }
    /// A client wanted TLS, and no handshake came to be.
    HandshakeFailed "handshake.failed" Info { session: mail::QueueId, peer_ip: String, listener: &'a str, cause: String }
    /// A host was tried for a message and is of no use now: another is tried, or the attempt ends.
    HostFailed "host.failed" Info { queue_id: mail::QueueId, peer_ip: String, next_hop: String, host: String, cause: String }
    /// A client gave this name and its password, and is logged in.
    LoginAccepted "login.accepted" Info { session: mail::QueueId, peer_ip: String, login: String }
    /// A client gave this name, and is not logged in. Of many in a second a few are said, and how many others there were.
    LoginRefused "login.refused" Info { session: mail::QueueId, peer_ip: String, unsaid: u64, cause: &'static str, user: String }
    /// A listening socket is closed: the configuration does not name it any more.
    ListenerClosed "listener.closed" Info { listener: &'a str, address: String }
    /// A listening socket is open.
    ListenerOpened "listener.opened" Info { listener: &'a str, address: String }
    /// A message is on stable storage: it is ours. `login` is empty where nobody was logged in.
    MessageAccepted "message.accepted" Info { queue_id: mail::QueueId, peer_ip: String, recipients: usize, size_bytes: u64, login: String, reverse_path: String }
    /// A message is kept although nobody wants it: not even postmaster could be told.
    MessageDead "message.dead" Error { queue_id: mail::QueueId }
    /// A message is done with for all its recipients.
    MessageEnded "message.ended" Info { queue_id: mail::QueueId }
    /// A message was taken out of the queue by the administrator.
    MessageDropped "message.dropped" Warn { queue_id: mail::QueueId }
    /// A message was in hand twice when the process that delivers it ended by a fault: it is held, so that it does not end
    /// it again. `queue release` tries it once more.
    MessageHeld "message.held" Error { queue_id: mail::QueueId }
    /// The file of a password, or that of the hashes, is of no use: what was in use before stays.
    PasswordRefused "password.refused" Error { cause: String }
    /// A recipient has it: `reply` is what the host said as it took it, or the file that it lies in.
    RecipientDelivered "recipient.delivered" Info { queue_id: mail::QueueId, peer_ip: String, attempt: u32, tls: String, next_hop: String, host: String, reply: String, forward_path: String }
    /// A recipient will never have it.
    RecipientFailed "recipient.failed" Warn { queue_id: mail::QueueId, peer_ip: String, attempt: u32, status: String, next_hop: String, host: String, cause: String, forward_path: String }
    /// A recipient was refused in a session.
    RecipientRefused "recipient.refused" Info { session: mail::QueueId, peer_ip: String, rule: &'static str, reverse_path: String, forward_path: String }
    /// A role could not be started; it is tried again after a pause.
    RoleDelayed "role.delayed" Error { process: &'a str, pause_ms: u64, cause: String }
    /// A role ended; it will be started again after a pause.
    RoleEnded "role.ended" Error { process: &'a str, pid: u32, pause_ms: u64, cause: String }
    /// A role was started anew because what it may reach is another now.
    RoleRenewed "role.renewed" Info { process: &'a str, pid: u32, cause: &'static str }
    /// A role was started.
    RoleStarted "role.started" Info { process: &'a str, pid: u32 }
    /// A role did not say that it is awake for so long, and was ended.
    RoleStuck "role.stuck" Error { process: &'a str, pid: u32, silent_s: u64 }
    /// A role made a system call that it may not make, by its own word, and was ended: a fault of the program, or
    /// somebody has taken that role over.
    RoleTrapped "role.trapped" Error { process: &'a str, pid: u32, syscall: u32, name: &'static str }
    /// A layer of confinement does not stand around a role, or not whole.
    RoleUnconfined "role.unconfined" Warn { process: &'a str, pid: u32, layer: &'static str, cause: String }
    /// The service stops in order.
    ServiceStopped "service.stopped" Info {}
    /// A message was refused because its transaction bears no seal that can be taken: smtpd misbehaves, or policy or
    /// queue was just started anew.
    SealRefused "seal.refused" Error { peer_ip: String, cause: String, reverse_path: String }
    /// A session ended. One line a session, whatever the peer did. `tls` is what was agreed on, or `none`; `login` is empty
    /// where nobody was logged in, `rule` where the client met no bound of what it may take in a minute.
    SessionClosed "session.closed" Info { session: mail::QueueId, peer_ip: String, listener: &'a str, accepted: u32, rule: &'static str, login: String, tls: String, helo: String }
    /// Signatures were asked for that are none of a handshake, or more of them than there can be handshakes: smtpd
    /// misbehaves. So many since it was last said; the cause is that of the last.
    SignatureRefused "signature.refused" Error { count: u64, cause: &'static str }
    /// A session that had brought nothing for a while was ended, for there was no room for others.
    SessionCut "session.cut" Info { session: mail::QueueId, peer_ip: String, listener: &'a str, rule: &'static str }
    /// A session was refused at its start: too many are open, or too many of this client. Of a flood a few are said each second;
    /// `unsaid` were refused since the one before and not said.
    SessionRefused "session.refused" Warn { peer_ip: String, listener: &'a str, rule: &'static str, unsaid: u64 }
    /// New mail is refused for lack of room on the spool's file system, or taken again.
    RoomChanged "room.changed" Warn { room: bool, free_bytes: u64, wanted_bytes: u64 }
    /// The spool is in use by another process, as a queue that is about to end, and is waited for.
    SpoolAwaited "spool.awaited" Warn { spool: String }
    /// The spool found something at its start: what was cut, set aside or removed.
    SpoolFound "spool.found" Warn { finding: String }
    /// The spool could not make a batch durable, and nothing of it was acknowledged; or not read a message, or not write a checkpoint.
    SpoolFailed "spool.failed" Error { cause: String }
    /// The spool is open.
    SpoolOpened "spool.opened" Info { messages: usize }
    /// policy refused a transaction that smtpd had taken: the configuration changed meanwhile, or smtpd misbehaves.
    TransactionRefused "transaction.refused" Warn { peer_ip: String, rule: &'static str, reverse_path: String, forward_path: String }
    /// Something that should not happen did; the program went on.
    Trouble "trouble.met" Error { place: &'static str, cause: String }
}

/// The role that speaks, set once.
static ROLE: OnceLock<&'static str> = OnceLock::new();

/// Says which role this process is.
pub fn speak_as(role: &'static str) {
    // A second call would be a bug of no weight: the first name stays.
    let _ = ROLE.set(role);
}

fn role() -> &'static str {
    ROLE.get().copied().unwrap_or("ringmail")
}

/// Who hears the events of a thread, where it is not the log.
pub type Ear = Box<dyn FnMut(&Event<'_>)>;

thread_local! {
    static EAR: RefCell<Option<Ear>> = const { RefCell::new(None) };
}

/// Lets somebody else hear what this thread says, instead of the log: for those who run roles within a
/// process of their own.
pub fn hear(ear: Option<Ear>) {
    EAR.set(ear);
}

/// Writes the event's line to standard error. A log that cannot be written stops nothing.
pub fn say(event: &Event<'_>) {
    let heard = EAR.with_borrow_mut(|ear| ear.as_mut().map(|ear| ear(event)).is_some());
    if heard {
        return;
    }
    let mut line = line(event);
    line.push('\n');
    keep::keep(&line);
    let waits = TURN.with_borrow_mut(|turn| {
        let turn = turn.as_mut()?;
        turn.push_str(&line);
        Some(turn.len() < TURN_OCTETS)
    });
    match waits {
        Some(true) => {}
        Some(false) => turn_ended(),
        None => {
            write_out(&line);
            keep::send();
        }
    }
}

/// Octets of lines that wait for the end of a turn.
const TURN_OCTETS: usize = 16 * 1024;

thread_local! {
    /// What this thread said in this turn of its event loop. `None`: it has none, and what it says goes out at once.
    static TURN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// As long as it lives, what this thread says goes out in one write at the end of each turn of its event loop.
#[must_use]
pub struct Turns(());

impl Turns {
    /// Begins the first turn.
    pub fn begin() -> Self {
        TURN.set(Some(String::new()));
        Self(())
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        turn_ended();
        TURN.set(None);
    }
}

/// The event loop is about to wait: what was said goes out.
pub fn turn_ended() {
    TURN.with_borrow_mut(|turn| {
        if let Some(lines) = turn.as_mut().filter(|lines| !lines.is_empty()) {
            write_out(lines);
            lines.clear();
            keep::send();
        }
    });
}

fn write_out(lines: &str) {
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

/// The event as one line, logfmt, without its line end.
pub fn line(event: &Event<'_>) -> String {
    let role = role();
    let mut line = format!(
        "event={} level={} role={role}",
        event.name(),
        event.level().name()
    );
    event.fields(&mut line);
    line
}

/// ` name=value`, quoted unless the value is a plain word.
fn field(line: &mut String, name: &str, value: &dyn fmt::Display) {
    let text = value.to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@/+[]".contains(&b);
    // Writing into a String does not fail.
    let _ = if !text.is_empty() && text.bytes().all(plain) {
        write!(line, " {name}={text}")
    } else {
        write!(line, " {name}=\"{}\"", escaped(&text))
    };
}

/// Everything but printable ASCII, the quote and the backslash escaped; an apostrophe ends nothing here.
fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\'' => shown.push(c),
            c => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// Fields with text that a client or another server chose, or may have: they stand last in their line.
#[cfg(test)]
const OF_STRANGERS: [&str; 8] = [
    "cause",
    "forward_path",
    "helo",
    "host",
    "next_hop",
    "reply",
    "reverse_path",
    "user",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_can_be_forged() {
        let shown = line(&Event::Trouble {
            place: "test",
            cause: "x\" event=message.accepted\nevent=role.ended".into(),
        });
        assert_eq!(
            shown,
            "event=trouble.met level=error role=ringmail place=test cause=\"x\\\" event=message.accepted\\nevent=role.ended\""
        );
    }

    #[test]
    fn what_a_stranger_chose_stands_last_in_its_line() {
        let mut lines = 0;
        for row in TABLE {
            let names = row.fields.iter().map(|(name, _)| name);
            let strange: Vec<bool> = names.map(|name| OF_STRANGERS.contains(name)).collect();
            assert!(strange.is_sorted(), "{}: {:?}", row.name, row.fields);
            lines += usize::from(strange.contains(&true));
        }
        assert!(lines > 5, "only {lines}");
    }

    #[test]
    fn an_apostrophe_is_plain_and_a_quote_is_not() {
        let shown = line(&Event::Trouble {
            place: "test",
            cause: "the domain's \"mx\"\\ \u{e9}".into(),
        });
        assert!(
            shown.ends_with("cause=\"the domain's \\\"mx\\\"\\\\ \\u{e9}\""),
            "{shown}"
        );
    }

    #[test]
    fn what_is_said_in_a_turn_waits_for_its_end_and_no_longer() {
        let waiting = || TURN.with_borrow(|turn| turn.as_ref().map(|lines| lines.lines().count()));
        let turns = Turns::begin();
        say(&Event::ServiceStopped {});
        say(&Event::ServiceStopped {});
        assert_eq!(waiting(), Some(2));
        turn_ended();
        assert_eq!(waiting(), Some(0));
        for _ in 0..TURN_OCTETS {
            say(&Event::ServiceStopped {});
        }
        assert!(
            TURN.with_borrow(|turn| turn.as_ref().is_some_and(|lines| lines.len() < TURN_OCTETS))
        );
        drop(turns);
        assert_eq!(waiting(), None);
    }
}
