//! When to send: sites and their windows, pauses and retries, and which messages an administrator means.

mod filter;
mod retry;
mod site;

pub use filter::{Filter, View};
pub use retry::Retry;
pub use site::{Group, Sites, WINDOW_MAX, WINDOW_START};
