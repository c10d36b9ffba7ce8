//! What to keep and when to send: the spool and the schedule. Decides everything, touches the disk only through `spool::Disk`.

mod entry;

pub use entry::{Accepted, BODY_OCTETS, Body, Content, Entry, Standing, State, Stored};
