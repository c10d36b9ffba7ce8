//! The event loop's side of things: gives brains their input and does what they put out.

pub mod arrow;
pub mod attempts;
pub mod birth;
pub mod certificate;
pub mod client;
pub mod clock;
pub mod committer;
pub mod connection;
pub mod disk;
pub mod dns;
pub mod edge;
pub mod folders;
pub mod gateway;
pub mod holder;
pub mod login;
pub mod maildir;
pub mod password;
pub mod place;
pub mod thread;
pub mod tls;
pub mod under_way;
pub mod ungreeted;
