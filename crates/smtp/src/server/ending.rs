//! How a session ends that the client did not end: because it waited too long, or because the service stops.

use super::{Output, Session, State, replies};
use mail::{Reply, Time, limits};
use std::time::Duration;

impl Session {
    /// Takes note that `wake_at` has come: the peer, or an answer, was too slow.
    pub fn wake(&mut self, now: Time) {
        if now < self.wake_at {
            return;
        }
        let open = matches!(
            self.state,
            State::Connecting
                | State::Opening(_)
                | State::Committing(_)
                | State::Securing
                | State::LoggingIn(_)
        );
        self.end(if open || self.asked > 0 {
            replies::NO_ANSWER
        } else if self.stopping {
            replies::SHUTTING_DOWN
        } else {
            replies::TIMED_OUT
        });
    }

    /// Ends the session as the service stops. Content that is on its way is still taken as long as it comes, and
    /// answered: who hears nothing of it sends it again.
    pub fn stop(&mut self, now: Time) {
        self.stopping = true;
        self.stop_if_told();
        if self.content_is_under_way() {
            self.wake_at = self.wake_at.min(now + self.patience());
        }
    }

    /// Ends the session as the service stops and waits no longer. An answer that is awaited is still given.
    pub fn cut(&mut self) {
        self.stopping = true;
        if self.content_is_under_way() {
            self.end(replies::SHUTTING_DOWN);
        }
        self.stop_if_told();
    }

    /// Ends the session to make room for others; whether it does. One that is being answered stays until it was.
    pub fn make_room(&mut self) -> bool {
        let is_answered = matches!(self.state, State::Committing(_)) || self.asked > 0;
        if !is_answered {
            self.end(replies::SHUTTING_DOWN);
        }
        !is_answered
    }

    /// How long the peer may say nothing.
    pub(super) fn patience(&self) -> Duration {
        if self.stopping {
            limits::SERVER_STOP_WAIT
        } else {
            limits::SERVER_COMMAND_WAIT
        }
    }

    /// Whether the client is within a content, or between two chunks of one.
    fn content_is_under_way(&self) -> bool {
        self.wants_content() || matches!(self.state, State::BetweenChunks(..))
    }

    pub(super) fn stop_if_told(&mut self) {
        let goes_on = self.content_is_under_way()
            || matches!(self.state, State::Committing(_) | State::Securing);
        if self.stopping && !goes_on {
            self.end(replies::SHUTTING_DOWN);
        }
    }

    pub(super) fn end(&mut self, reply: Reply) {
        if !self.is_closed() {
            self.say(reply);
            self.outputs.push_back(Output::Close);
            self.state = State::Closed;
            self.wake_at = Time::NEVER;
        }
    }
}
