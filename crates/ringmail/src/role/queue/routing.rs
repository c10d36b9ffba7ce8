//! Routing and aliases as the configuration says them, for the brain.

use ::queue::Router;
use mail::{ForwardPath, Mailbox, Recipient, ReversePath, Route};
use policy::{Client, Decision, Listener, Policy, Refusal};
use std::net::Ipv4Addr;

/// Routing as the configuration says it.
pub(super) struct Routing(pub(super) Policy);

impl Router for Routing {
    fn route(&self, mailbox: &Mailbox) -> Route {
        self.0.route(mailbox)
    }

    fn recipients(&self, mailbox: &Mailbox) -> Vec<Recipient> {
        // We are a client of ourselves here, one that may send to anybody.
        let forward_path = ForwardPath::Mailbox(mailbox.clone());
        let client = Client {
            ip: Ipv4Addr::LOCALHOST.into(),
            listener: Listener::Mx,
        };
        match self
            .0
            .recipient(client, &ReversePath::Null, &forward_path)
            .decision
        {
            Decision::Accept(recipients) => recipients,
            Decision::Refuse(Refusal::RelayingDenied) => {
                vec![Recipient {
                    mailbox: mailbox.clone(),
                    originals: Vec::new(),
                }]
            }
            Decision::Refuse(
                Refusal::UnknownUser
                | Refusal::BadAlias
                | Refusal::LoginNeeded
                | Refusal::NotYourSender
                | Refusal::NotQualified,
            ) => Vec::new(),
        }
    }
}
