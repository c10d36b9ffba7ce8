//! supervisor ─spawn─▶ each role, over the one descriptor that a role is born with: its orders first, then
//! the ends of its arrows, each time a peer was started anew. What was not handed over does not exist.

use super::supervise::{Answered, Question};
use crate::confine::{Layer, Missing};
use crate::seal::Key;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The processes of a running Ringmail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Answers the administrator on the control socket.
    Admin,
    /// Says whether a password is right.
    Auth,
    /// Has the private keys, and signs.
    Keys,
    /// Puts mail into mailboxes and hands it over by LMTP.
    Local,
    /// Says whether a transaction may be, and seals it.
    Policy,
    /// Keeps the spool and decides when to send.
    Queue,
    /// Talks to next hops.
    Relay,
    /// Talks to other hosts, as an SMTP server.
    Smtpd,
    /// Talks to our users' programs, as an SMTP server: the program is smtpd's.
    Submission,
}

impl Role {
    /// Those that a supervisor starts, in this order.
    pub const ALL: [Role; 9] = [
        Role::Queue,
        Role::Policy,
        Role::Keys,
        Role::Auth,
        Role::Local,
        Role::Relay,
        Role::Admin,
        Role::Smtpd,
        Role::Submission,
    ];
    /// Those that are handed files with secrets.
    pub const FILED: [Role; 2] = [Role::Keys, Role::Auth];
    /// Those that talk to SMTP clients.
    pub const SERVERS: [Role; 2] = [Role::Smtpd, Role::Submission];

    /// Its name in the log, in `ps` and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Auth => "auth",
            Role::Keys => "keys",
            Role::Local => "local",
            Role::Policy => "policy",
            Role::Queue => "queue",
            Role::Relay => "relay",
            Role::Smtpd => "smtpd",
            Role::Submission => "submission",
        }
    }

    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The arrows between roles: who asks, who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Arrow {
    /// smtpd asks queue.
    Accept,
    /// admin asks queue.
    Control,
    /// queue asks local.
    DeliverLocal,
    /// queue asks relay.
    DeliverRelay,
    /// smtpd asks policy.
    Judge,
    /// smtpd asks keys.
    Sign,
    /// relay asks keys.
    Login,
    /// submission asks auth.
    Check,
    /// submission asks queue, as smtpd does.
    AcceptSubmitted,
    /// submission asks policy, as smtpd does.
    JudgeSubmitted,
    /// submission asks keys, as smtpd does.
    SignSubmission,
}

impl Arrow {
    /// All of them: with the ends below, the access matrix.
    pub const ALL: [Arrow; 11] = [
        Arrow::Accept,
        Arrow::Control,
        Arrow::DeliverLocal,
        Arrow::DeliverRelay,
        Arrow::Judge,
        Arrow::Sign,
        Arrow::Login,
        Arrow::Check,
        Arrow::AcceptSubmitted,
        Arrow::JudgeSubmitted,
        Arrow::SignSubmission,
    ];
    /// Those over which keys says which certificates there are.
    pub const SIGN: [Arrow; 2] = [Arrow::Sign, Arrow::SignSubmission];

    /// Who asks and who answers.
    pub const fn ends(self) -> (Role, Role) {
        match self {
            Arrow::Accept => (Role::Smtpd, Role::Queue),
            Arrow::Control => (Role::Admin, Role::Queue),
            Arrow::DeliverLocal => (Role::Queue, Role::Local),
            Arrow::DeliverRelay => (Role::Queue, Role::Relay),
            Arrow::Judge => (Role::Smtpd, Role::Policy),
            Arrow::Sign => (Role::Smtpd, Role::Keys),
            Arrow::Login => (Role::Relay, Role::Keys),
            Arrow::Check => (Role::Submission, Role::Auth),
            Arrow::AcceptSubmitted => (Role::Submission, Role::Queue),
            Arrow::JudgeSubmitted => (Role::Submission, Role::Policy),
            Arrow::SignSubmission => (Role::Submission, Role::Keys),
        }
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listener {
    /// The control socket, for admin.
    Control,
    /// Mail from other hosts.
    Mx,
    /// Mail from our own users, who say STARTTLS.
    Submission,
    /// Mail from our own users, under TLS at once (RFC 8314 §3.3).
    Submissions,
}

impl Listener {
    /// Who accepts on it.
    pub const fn role(self) -> Role {
        match self {
            Listener::Control => Role::Admin,
            Listener::Mx => Role::Smtpd,
            Listener::Submission | Listener::Submissions => Role::Submission,
        }
    }
}

/// Which two share a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    /// policy, which seals transactions by it, and queue.
    Transactions,
    /// auth, which signs tickets by it, and policy.
    Tickets,
}

impl Share {
    /// All of them.
    pub const ALL: [Share; 2] = [Share::Transactions, Share::Tickets];

    /// The two.
    pub const fn ends(self) -> [Role; 2] {
        match self {
            Share::Transactions => [Role::Policy, Role::Queue],
            Share::Tickets => [Role::Auth, Role::Policy],
        }
    }
}

/// Which situation the configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Situation {
    /// `ringmail run`.
    Run,
    /// `ringmail try`: loopback only, every domain is ours, nothing leaves.
    Try,
}

/// Who speaks in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// The process that starts all others.
    Supervisor,
    /// One of these.
    Role(Role),
}

impl Source {
    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Supervisor => "supervisor",
            Source::Role(role) => role.name(),
        }
    }
}

/// Which of a certificate's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// Itself and those above it.
    Chain,
    /// Its private key.
    Key,
}

/// What a file with a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SecretFile {
    /// A part of this certificate, by its place in the configuration.
    Certificate(u16, Part),
    /// The password at the smart host.
    RelayPassword,
    /// The hashes of our users' passwords.
    Passwords,
}

impl SecretFile {
    /// Who is given it.
    pub const fn role(self) -> Role {
        match self {
            SecretFile::Certificate(..) | SecretFile::RelayPassword => Role::Keys,
            SecretFile::Passwords => Role::Auth,
        }
    }
}

/// What the supervisor tells a role. Descriptors come with the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToRole {
    /// The first record: the configuration as it was written and checked. It comes again when the configuration
    /// was read anew: listeners of before are void then, those that stay come once more, and [`ToRole::Begin`]
    /// ends it; what is under way goes on as it began.
    Orders {
        /// What the file said.
        configuration: String,
        /// Where it was, for messages of the log.
        path: String,
        /// What for.
        situation: Situation,
        /// Layers that stood around this role before: where one of them cannot be had now, it ends instead of going on
        /// with less.
        walls: Vec<Layer>,
    },
    /// What the one vouches by and the other believes by, from now on; nobody else is told.
    Key(Share, Key),
    /// One end of an arrow comes with this; an older end of the same arrow is void.
    Arrow(Arrow),
    /// A listening socket comes with this.
    Listener(Listener),
    /// To keys and auth: a file comes with this, open for reading. Those that came before the last orders are void.
    File(SecretFile),
    /// One end of the log comes with this: to admin the one that this source's lines come out of, to every other
    /// role the one that its own go into. An older end is void.
    Log(Source),
    /// To queue: a transport, local or relay, has ended; by a fault of its own, or not.
    Ended {
        /// Whether it is local.
        local: bool,
        /// Whether it was its own fault: it panicked, or made a call that it may not make.
        fault: bool,
    },
    /// The answer to a question of admin.
    Answer {
        /// Of the question.
        token: u64,
        /// What it is.
        answer: Answered,
    },
    /// To local: the answer to [`FromRole::Calls`]. One end of an arrow to a process that delivers as that user comes with
    /// it, or it says why there is none.
    Courier {
        /// Of the call.
        token: u64,
        /// Why not.
        refused: Option<String>,
    },
    /// All that this role needs was given.
    Begin,
    /// Say that you are awake.
    Watch,
    /// End in order.
    Stop,
}

/// What a role tells the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromRole {
    /// It serves.
    Ready,
    /// A question; only admin's are answered.
    Asks {
        /// Comes back with the answer.
        token: u64,
        /// Which.
        question: Question,
    },
    /// It cannot go on, and starting it again would not help: the service ends. queue's word, before it serves, and that of
    /// keys and auth when the service starts; nobody else's.
    Hopeless(String),
    /// Its walls are closed, before it hears anything but its first orders.
    Confined {
        /// The layers that stand.
        stand: Vec<Layer>,
        /// Those that do not, or not whole.
        missing: Vec<Missing>,
        /// Folders that it should see and that are not there: it has to be started anew when they are.
        absent: Vec<PathBuf>,
    },
    /// It made a system call of this number that it may not make, and ends; said by the handler of a signal, so that
    /// its form is fixed: the octet [`FromRole::TRAPPED`] and the number's octets, the lowest first. It is a hint
    /// for the log: whoever has taken a role over can say it too.
    Trapped([u8; 4]),
    /// keys, auth: the files that came are of no use, for this reason; it goes on with those that it had.
    Refuses(String),
    /// The answer to [`ToRole::Watch`].
    Awake,
    /// local: a process is needed that delivers as this user of the machine. Who that is, and whether he may have mail,
    /// is looked up by who starts it.
    Calls {
        /// Comes back with the answer.
        token: u64,
        /// His name.
        user: String,
    },
    /// local: the process that came of this call is not needed any more. It ends by itself, or is ended.
    LetsGo {
        /// Of the call.
        token: u64,
    },
}

impl FromRole {
    /// How [`FromRole::Trapped`] begins on the wire.
    pub const TRAPPED: u8 = 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handlers_word_decodes() {
        let octets = [FromRole::TRAPPED, 59, 1, 0, 0];
        let said: FromRole = postcard::from_bytes(&octets).unwrap();
        assert!(matches!(said, FromRole::Trapped(number) if u32::from_le_bytes(number) == 315));
    }
}
