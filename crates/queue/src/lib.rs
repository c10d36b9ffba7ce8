//! What to keep and when to send: the spool and the schedule. Decides everything, touches the disk only through `spool::Disk`.

mod entry;
pub mod queue;
pub mod schedule;
pub mod spool;
// The one reader and writer of tables under review, for the tests of all brains.
#[cfg(test)]
#[path = "../../smtp/src/table.rs"]
mod table;

pub use entry::{Accepted, BODY_OCTETS, Body, Content, Entry, Manner, Standing, State, Stored};
pub use queue::{Came, Event, Input, NewMessage, Output, Parameters, Queue, Router};
pub use schedule::{Filter, View};
