//! What to allow, whom it is for, where it goes: decided from what the configuration says, without I/O.
//!
//! [`Policy::recipient`] is asked at each RCPT, [`Policy::explain_recipient`] runs the same code and keeps
//! its steps, [`Policy::route`] says where an accepted mailbox is taken. Relaying is refused to strangers
//! by construction: only [`accept`] makes a recipient outside our domains, and only for a client that
//! `relay.from` lists, for who is logged in and sends under an address of his own ([`sender`]), or from an alias that
//! the administrator wrote.

pub mod accept;
pub mod address;
pub mod network;
pub mod parameters;
pub mod route;
pub mod sender;
pub mod transaction;

pub use accept::{Client, Decision, Explanation, Listener, Refusal, Rule, Step, Verdict};
pub use network::Network;
pub use parameters::{
    Alias, Deliver, DomainRule, Origin, Parameters, RelayFrom, SmartHost, Target, Users,
};
pub use route::{MxOrder, Onward, Ourselves, Tls, USER_OCTETS, can_be_a_user, mx_order};
pub use sender::{Grant, Grants, Senders};
pub use transaction::EXPANDED_MAX;

use mail::{ForwardPath, Mailbox};
use std::net::IpAddr;
use std::sync::Arc;

/// The parameters, shared: cheap to clone, never changed. A reload makes another.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Parameters>);

impl Policy {
    /// Takes what the configuration said.
    pub fn new(parameters: Parameters) -> Self {
        Self(Arc::new(parameters))
    }

    /// Whether a client is listed as one that may send to anybody.
    pub fn relays_for(&self, client: IpAddr) -> bool {
        self.0.listed(client).is_some()
    }

    /// The mailbox that a forward-path means: what recipients are known by that come of it ([`mail::Recipient::known`]).
    pub fn meant(&self, forward_path: &ForwardPath) -> Mailbox {
        self.0.given(forward_path)
    }

    /// What it decides from.
    pub fn parameters(&self) -> &Parameters {
        &self.0
    }
}
