//! A transport's side of the deliver arrow: each attempt is a task of its own; its outcomes go back when it
//! ends. Attempts end with their arrow: when queue is gone nobody would learn their outcomes, and what has not
//! been handed over in whole by then is not handed over, for it will be attempted again.

use super::arrow::{Heard, Receiver, Sender};
use super::client::{Source, SourceContent};
use super::under_way::UnderWay;
use crate::ipc::deliver::{Attempt, Ended};
use mail::{Ending, Host};
use std::fs::File;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long attempts that are under way may go on when the role is told to end: the end of one that is cut off is not
/// known, and it is made again.
pub const STOP_WAIT: Duration = Duration::from_secs(5);

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
        let next = async {
            sender.room().await;
            receiver.hear().await
        };
        tokio::select! {
            biased;
            heard = next => {
                let Some(heard) = heard else { return };
                if under_way.is_ending() {
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
