//! The nouns of mail. Plain values with their grammar and their bounds; nothing here decides, waits,
//! or touches the world. Every other room speaks in these words.

pub mod completion;
pub mod destination;
pub mod dsn;
pub mod dsn_request;
pub mod envelope;
pub mod limits;
pub mod outcome;
pub mod path;
pub mod queue_id;
pub mod reply;
pub mod seven_bit;
pub mod status;
pub mod time;
pub mod trace;
mod utf8_address;

pub use completion::{Completed, Completion};
pub use destination::{Destination, LmtpSocket, Route, Scheme};
pub use dsn_request::{DsnRequest, Envid, Notify, OriginalRecipient, RecipientRequest, Ret};
pub use envelope::{Envelope, Recipient};
pub use outcome::{Cause, Detail, Ending, Host, Outcome, RemoteReply};
pub use path::{Domain, ForwardPath, LocalPart, Mailbox, PathError, ReversePath, folded};
pub use queue_id::QueueId;
pub use reply::{Public, Reply};
pub use status::{Class, Status};
pub use time::Time;
pub use trace::Received;
