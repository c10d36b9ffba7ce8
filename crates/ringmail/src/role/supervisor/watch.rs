//! Whether the roles are awake: each that serves is asked once in a while, and one that does not say so, or does not begin
//! to serve, is ended, and started anew. It is counted in rounds, not in time, so that a machine that slept ends nobody.
//! launch is asked too; without it the service ends, for nobody could start what dies.

use super::Supervisor;
use crate::event::{self, Event};
use crate::ipc::spawn::{Role, ToRole};
use std::time::Duration;
use tokio::time::Instant;

/// Between two rounds. No role is busy for so long without looking at its orders.
pub const WATCH_ROUND: Duration = Duration::from_secs(30);
/// Rounds that a role may leave unanswered.
const UNANSWERED_MAX: u8 = 2;

/// When the next round is.
pub struct Rounds {
    next: Instant,
    pause: Duration,
}

impl Rounds {
    /// The first is a pause from now.
    pub fn begin(pause: Duration) -> Self {
        Self {
            next: Instant::now() + pause,
            pause,
        }
    }

    /// When to look again.
    pub fn next(&self) -> Instant {
        self.next
    }
}

impl Supervisor {
    /// Asks all that serve whether they are awake, when it is time.
    pub(super) fn watch(&mut self) {
        let pause = self.rounds.pause;
        if Instant::now() < self.rounds.next {
            return;
        }
        self.rounds = Rounds::begin(pause);
        self.nursery.watch();
        for role in Role::ALL {
            let Some(process) = self.processes.get_mut(&role) else {
                continue;
            };
            // A long queue takes its time before it serves. Nobody else does, and who has not begun is asked nothing.
            let counts = process.served || role != Role::Queue;
            let Some((child, _)) = process.child.as_mut().filter(|_| counts) else {
                continue;
            };
            if process.unanswered >= UNANSWERED_MAX {
                event::say(&Event::RoleStuck {
                    process: role.name(),
                    pid: child.id(),
                    silent_s: u64::from(process.unanswered) * pause.as_secs(),
                });
                self.nursery.kill(child);
                continue;
            }
            process.unanswered += 1;
            if process.served {
                self.tell(role, &ToRole::Watch, None);
            }
        }
    }
}
