//! TLS under a session: STARTTLS (RFC 3207), or from its first octet on (RFC 8314 §3.3).

use super::{Output, Parameters, Question, Session, Standing, State, replies};
use mail::Time;

impl Session {
    /// A session with a peer that shook hands before anything was said; asks [`Question::Connect`].
    pub fn under_tls(parameters: Parameters, now: Time) -> Self {
        Self {
            standing: Standing::UnderTls,
            ..Self::new(parameters, now)
        }
    }

    /// Whether what is said now is under TLS.
    pub fn is_secure(&self) -> bool {
        self.standing != Standing::InClear
    }

    /// Whether hands may be shaken: never where they were (RFC 3207 §4.2).
    pub(super) fn offers_tls(&self) -> bool {
        self.parameters.start_tls && !self.is_secure()
    }

    /// What stands behind it was not said under TLS, and would be
    /// taken as if it had been (RFC 3207 §6).
    pub(super) fn start_tls(&mut self, more: bool) {
        if self.is_secure() {
            return self.fault(replies::TLS_ALREADY);
        }
        if !self.parameters.start_tls {
            return self.fault(replies::NOT_IMPLEMENTED);
        }
        if self.hello.is_none() {
            return self.fault(replies::HELLO_FIRST);
        }
        if !matches!(self.state, State::Ready) {
            return self.fault(replies::NESTED_MAIL);
        }
        if more {
            return self.end(replies::NOT_THE_LAST);
        }
        self.state = State::Securing;
        self.outputs.push_back(Output::Ask(Question::StartTls));
    }

    /// Takes note that hands were shaken after [`Output::StartTls`]: all that the client said before is forgotten, for
    /// anybody may have said it (RFC 3207 §4.2).
    pub fn secured(&mut self, now: Time) {
        if matches!(self.state, State::Securing) {
            self.state = State::Ready;
            self.hello = None;
            self.standing = Standing::UnderTls;
            self.wake_at = now + self.patience();
            self.stop_if_told();
        }
    }
}
