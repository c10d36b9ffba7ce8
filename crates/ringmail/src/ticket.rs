//! The ticket of a login: auth's word to policy, carried by submission, which cannot write it.
//!
//! submission talks to whoever connects. Were it taken over, it could say that anybody is logged in; so policy lets nobody
//! send who has no ticket: one session, one client, one login. The key is made by the supervisor, given to auth and policy
//! and to nobody else, and made anew whenever one of the two is started: then who was logged in logs in again.
//!
//! A ticket is good as long as its key. It does not end with its session: only submission knows when that is, and what a
//! taken-over submission has heard are the passwords themselves.

use crate::seal::{self, CODE_OCTETS, Key};
use aws_lc_rs::{constant_time, hmac};
use mail::Mailbox;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What is signed begins with this, so that the key can never vouch for anything else.
const PURPOSE: &[u8] = b"ringmail login 1\0";

/// auth's word for one login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket([u8; CODE_OCTETS]);

/// What a ticket vouches for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LoggedIn<'a> {
    /// The session's name.
    pub session: u64,
    /// The client's address as submission told it.
    pub peer: IpAddr,
    /// Who it is.
    pub login: &'a Mailbox,
}

/// The side of auth, and that of policy.
pub struct Tickets(hmac::Key);

impl Tickets {
    /// By this key.
    pub fn new(key: &Key) -> Self {
        Self(key.hmac())
    }

    /// Vouches for a login.
    pub fn issue(&self, logged_in: &LoggedIn<'_>) -> Ticket {
        let mut code = [0; CODE_OCTETS];
        code.copy_from_slice(seal::code(&self.0, PURPOSE, logged_in).as_ref());
        Ticket(code)
    }

    /// Whether this login was vouched for by who has the same key.
    pub fn knows(&self, ticket: &Ticket, logged_in: &LoggedIn<'_>) -> bool {
        let right = seal::code(&self.0, PURPOSE, logged_in);
        constant_time::verify_slices_are_equal(right.as_ref(), &ticket.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::KEY_OCTETS;

    #[test]
    fn a_ticket_is_good_for_one_login_in_one_session_of_one_client() {
        let key = Key::new([1; KEY_OCTETS]);
        let (auth, policy) = (Tickets::new(&key), Tickets::new(&key));
        let mailbox = |name| Mailbox::parse(name).unwrap();
        let (ann, eve) = (mailbox("ann@a.test"), mailbox("eve@a.test"));
        let right = LoggedIn {
            session: 7,
            peer: [192, 0, 2, 7].into(),
            login: &ann,
        };
        let ticket = auth.issue(&right);
        assert!(policy.knows(&ticket, &right));
        let peer = [192, 0, 2, 8].into();
        for other in [
            LoggedIn {
                session: 8,
                ..right
            },
            LoggedIn { peer, ..right },
            LoggedIn {
                login: &eve,
                ..right
            },
        ] {
            assert!(!policy.knows(&ticket, &other), "{other:?}");
        }
        for at in 0..CODE_OCTETS {
            let mut wrong = ticket;
            wrong.0[at] ^= 1;
            assert!(!policy.knows(&wrong, &right));
        }
        let other = Tickets::new(&Key::new([2; KEY_OCTETS]));
        assert!(!policy.knows(&other.issue(&right), &right));
    }
}
