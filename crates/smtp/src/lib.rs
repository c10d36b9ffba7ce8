//! What to say in an SMTP session. Octets and answers come in, octets and questions go out; whoever
//! drives this brain owns the socket, the clock and the disk.

pub mod client;
pub mod command;
pub mod content;
pub mod extension;
pub mod scram;
pub mod server;
#[cfg(test)]
mod table;

pub use command::{Command, CommandError};
pub use content::{Content, Progress};
