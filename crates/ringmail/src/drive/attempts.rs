//! A transport's side of the deliver arrow: each attempt is a task of its own; its outcomes go back when it
//! ends. Attempts end with their arrow: when queue is gone nobody would learn their outcomes, and what has not
//! been handed over in whole by then is not handed over, for it will be attempted again.

use super::arrow::{Heard, Receiver, Sender};
use super::client::{Source, SourceContent};
use crate::ipc::deliver::{Attempt, Ended};
use mail::{Ending, Host};
use std::cell::Cell;
use std::fs::File;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How long attempts that are under way may go on when the role is told to end.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Counts the attempts under way of all arrows.
#[derive(Default)]
pub struct UnderWay {
    count: Cell<usize>,
    stopping: Cell<bool>,
    ended: Notify,
}

/// One attempt that is under way.
struct Counted(Rc<UnderWay>);

impl UnderWay {
    /// Begins no more and waits for those that are under way, for a time: the end of one that is cut off is not
    /// known, and it is made again.
    pub async fn finish(&self) {
        self.stopping.set(true);
        let all_ended = async {
            while self.count.get() > 0 {
                self.ended.notified().await;
            }
        };
        let _ = tokio::time::timeout(STOP_WAIT, all_ended).await;
    }

    fn one(self: &Rc<Self>) -> Counted {
        self.count.set(self.count.get() + 1);
        Counted(Rc::clone(self))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.ended.notify_one();
    }
}

/// Takes attempts until the arrow ends. `attempt` makes one: where it ended, and outcomes by recipient number;
/// recipients that it does not name stay undecided.
pub async fn serve<F>(
    sender: Sender<Ended>,
    mut receiver: Receiver<Attempt>,
    under_way: Rc<UnderWay>,
    attempt: impl Fn(Attempt, Source) -> F,
) where
    F: Future<Output = (Host, Vec<(u32, Ending)>)> + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            heard = receiver.hear() => {
                let Some(heard) = heard else { return };
                if under_way.stopping.get() {
                    // Never begun: queue gives it to whoever comes next.
                    continue;
                }
                let (number, sender) = (heard.head.attempt, sender.clone());
                // A body that was announced and did not come, or is none: all undecided.
                let Some((asked, source)) = source_of(heard) else {
                    tell(&sender, number, Host::default(), Vec::new());
                    continue;
                };
                let attempt = attempt(asked, source);
                let counted = under_way.one();
                tasks.spawn_local(async move {
                    let _counted = counted;
                    let (host, outcomes) = attempt.await;
                    tell(&sender, number, host, outcomes);
                });
            }
            // Ended ones are forgotten as they end.
            Some(_) = tasks.join_next() => {}
        }
    }
}

fn source_of(heard: Heard<Attempt>) -> Option<(Attempt, Source)> {
    let content = match (heard.head.body_octets, heard.fd) {
        (Some(octets), Some(fd)) => {
            let file = File::from(fd);
            let length = sys::file::plain_file(&file, sys::file::For::Reading).ok()?;
            if length != octets {
                return None;
            }
            SourceContent::File(file, octets)
        }
        (None, _) => SourceContent::Memory(heard.tail),
        (Some(_), None) => return None,
    };
    let trace = heard.head.trace.clone();
    Some((heard.head, Source { trace, content }))
}

fn tell(sender: &Sender<Ended>, attempt: u64, host: Host, outcomes: Vec<(u32, Ending)>) {
    let ended = Ended {
        attempt,
        host,
        outcomes,
    };
    if sender.say(&ended, &[], None).is_err() {
        // Outcomes too large to say: queue takes those not named as undecided.
        let none = Ended {
            attempt,
            host: Host::default(),
            outcomes: Vec::new(),
        };
        let _ = sender.say(&none, &[], None);
    }
}
