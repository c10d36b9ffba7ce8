//! The body: the roles as processes, the arrows between them, configuration and commands.

pub mod cli;
pub mod config;
pub mod confine;
pub mod drive;
pub mod event;
pub mod ipc;
pub mod passwords;
pub mod role;
pub mod seal;
pub mod ticket;
