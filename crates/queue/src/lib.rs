//! What to keep and when to send: the spool and the schedule. Decides everything, touches the disk only through `spool::Disk`.

mod entry;
pub mod queue;
pub mod schedule;
pub mod spool;

pub use entry::{Accepted, BODY_OCTETS, Body, Content, Entry, Standing, State, Stored};
pub use queue::{Event, Input, NewMessage, Output, Parameters, Queue, Router};
pub use schedule::{Filter, View};
