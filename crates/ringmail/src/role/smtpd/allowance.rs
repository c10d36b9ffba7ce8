//! What one session may of what its client may: it asks the rates before something is done, counts what was done, and says
//! in the log when a client is put off.
//!
//! Not counted are those whom the administrator lists in `relay.from` and those who are logged in: he answers for them, and
//! their programs do not come again as a mail server does. Who is put off is told so with a reply that says nothing of the
//! recipient, and is asked to come later, never refused for good.

use super::Shared;
use super::rates::{Bound, Taken};
use crate::config::ClientLimits;
use crate::event::{self, Event};
use mail::{QueueId, Reply, Time};
use smtp::server::replies;
use std::net::IpAddr;

/// One session's.
pub(super) struct Allowance {
    /// Who it is counted for.
    client: IpAddr,
    peer: IpAddr,
    listener: &'static str,
    session: u64,
    limits: ClientLimits,
    is_exempt: bool,
    /// Its connection was counted.
    has_come: bool,
    /// It has brought a message, or logged in: its connection is not counted any more.
    has_brought: bool,
    /// Recipients that were put off.
    put_off: usize,
    /// The bound that it met last.
    met: Option<Taken>,
}

impl Allowance {
    /// That of a session of this number, which counts for this client.
    pub(super) fn new(
        (client, peer): (IpAddr, IpAddr),
        listener: &'static str,
        session: u64,
        limits: ClientLimits,
        is_exempt: bool,
    ) -> Self {
        Self {
            client,
            peer,
            listener,
            session,
            limits,
            is_exempt,
            has_come: false,
            has_brought: false,
            put_off: 0,
            met: None,
        }
    }

    /// The bound that it met last, as the log names it; empty where it met none.
    pub(super) fn rule(&self) -> &'static str {
        self.met.map_or("", Taken::rule)
    }

    /// May it talk to us? Asked twice where TLS is spoken at once, and counted once.
    pub(super) fn connection(&mut self, shared: &Shared) -> Result<(), Reply> {
        if self.is_exempt || std::mem::replace(&mut self.has_come, true) {
            return Ok(());
        }
        if !self.has(shared, Taken::Errors) {
            return Err(self.put_off(shared, Taken::Errors, replies::ERRORS_LATER));
        }
        self.take(shared, Taken::Connections, replies::CONNECTIONS_LATER)
    }

    /// May it begin a transaction? Then it has.
    pub(super) fn message(&mut self, shared: &Shared) -> Result<(), Reply> {
        self.take(shared, Taken::Messages, replies::MESSAGES_LATER)
    }

    /// May it name one more recipient? Asked before anybody looks whether there is such a one. Who names more than a transaction
    /// may have, and is put off for each, has to connect again.
    pub(super) fn recipient(
        &mut self,
        shared: &Shared,
        recipients_max: usize,
    ) -> Result<(), Reply> {
        let (taken, reply) = if !self.has(shared, Taken::Refused) {
            (Taken::Refused, replies::REFUSED_LATER)
        } else if !self.has(shared, Taken::Recipients) {
            (Taken::Recipients, replies::RECIPIENTS_LATER)
        } else {
            return Ok(());
        };
        self.put_off += 1;
        let reply = self.put_off(shared, taken, reply);
        Err(if self.put_off > recipients_max {
            replies::RECIPIENTS_END
        } else {
            reply
        })
    }

    /// This was done.
    pub(super) fn count(&mut self, shared: &Shared, taken: Taken) {
        if !self.is_exempt {
            let (bound, now) = (self.bound(taken), now(shared));
            let mut rates = shared.rates.borrow_mut();
            rates.count(self.client, bound, now);
        }
    }

    /// A message was taken: who brings mail may come as often as he likes.
    pub(super) fn brought(&mut self, shared: &Shared) {
        if self.has_come && !std::mem::replace(&mut self.has_brought, true) {
            let (bound, now) = (self.bound(Taken::Connections), now(shared));
            let mut rates = shared.rates.borrow_mut();
            rates.give_back(self.client, bound, now);
        }
    }

    /// It is logged in: from now on it is one of ours.
    pub(super) fn logged_in(&mut self, shared: &Shared) {
        self.brought(shared);
        self.is_exempt = true;
    }

    fn bound(&self, taken: Taken) -> Bound {
        let limits = &self.limits;
        let a_minute = match taken {
            Taken::Connections => limits.connections,
            Taken::Messages => limits.messages,
            Taken::Recipients => limits.recipients,
            Taken::Refused => limits.refused,
            Taken::Errors => limits.errors,
        };
        Bound { taken, a_minute }
    }

    fn has(&self, shared: &Shared, taken: Taken) -> bool {
        let rates = shared.rates.borrow();
        self.is_exempt || rates.has(self.client, self.bound(taken), now(shared))
    }

    fn take(&mut self, shared: &Shared, taken: Taken, reply: Reply) -> Result<(), Reply> {
        let (bound, now) = (self.bound(taken), now(shared));
        if self.is_exempt || shared.rates.borrow_mut().take(self.client, bound, now) {
            return Ok(());
        }
        Err(self.put_off(shared, taken, reply))
    }

    /// Says in the log that the client is put off, once a minute; the reply that it gets.
    fn put_off(&mut self, shared: &Shared, taken: Taken, reply: Reply) -> Reply {
        self.met = Some(taken);
        let now = now(shared);
        let mut rates = shared.rates.borrow_mut();
        // A line that is not made now, for many are, is due with the next time.
        if let Some(count) = rates.put_off(self.client, now)
            && shared.put_off.take().is_some()
        {
            rates.said(self.client, now);
            event::say(&Event::ClientLimited {
                session: QueueId::from_u64(self.session),
                peer_ip: self.peer.to_string(),
                listener: self.listener,
                rule: taken.rule(),
                count,
            });
        }
        reply
    }
}

fn now(shared: &Shared) -> Time {
    Time::from_micros(shared.clock.now_micros())
}
