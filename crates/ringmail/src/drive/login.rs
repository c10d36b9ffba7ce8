//! What a login at the smart host needs said, asked of keys.

use super::arrow::{self, Receiver, Sender};
use crate::ipc::login::{ANSWER_OCTETS, FromKeys, ToKeys};
use smtp::client::Answer;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long an answer may take: it is a few octets out of keys' memory.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Those who wait, each by the token of his question. `None` is no answer.
type Waiting = RefCell<BTreeMap<u64, oneshot::Sender<Zeroizing<Vec<u8>>>>>;

/// This end of the arrow, the newest; none before one was handed over.
#[derive(Default)]
pub struct Logins {
    end: RefCell<Option<(Sender<ToKeys>, Rc<Waiting>)>>,
    token: Cell<u64>,
    /// When the login was refused last.
    refused: Cell<Option<Instant>>,
}

/// How long the login is not said again after it was refused: hosts lock out who says a wrong password again and again.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);

impl Logins {
    /// Takes a new end; an older one is void.
    pub fn open(&self, socket: OwnedFd) -> io::Result<()> {
        let (ask, receiver) = arrow::open(socket)?;
        let waiting = Rc::new(Waiting::default());
        let before = self.end.replace(Some((ask, Rc::clone(&waiting))));
        // Those who asked over the older one have no answer.
        before.inspect(|(_, waiting)| drop(waiting.take()));
        tokio::task::spawn_local(async move {
            hear(receiver, &waiting).await;
            // Nobody answers those who are left.
            waiting.take();
        });
        Ok(())
    }

    /// Takes note that the login was refused for good, or may be another now.
    pub fn set_refused(&self, refused: bool) {
        self.refused.set(refused.then(Instant::now));
    }

    /// Whether it was refused lately.
    pub fn is_refused(&self) -> bool {
        let refused = self.refused.get();
        refused.is_some_and(|refused| refused.elapsed() < REFUSED_PAUSE)
    }

    /// Asks; nothing where there is no answer, or where the login was refused meanwhile.
    pub async fn ask(&self, answer: Answer) -> Option<Zeroizing<Vec<u8>>> {
        if self.is_refused() {
            return None;
        }
        let token = self.token.get() + 1;
        self.token.set(token);
        let question = match answer {
            Answer::Plain => ToKeys::Plain { token },
            Answer::User => ToKeys::User { token },
            Answer::Password => ToKeys::Password { token },
        };
        let (tell, told) = oneshot::channel();
        let waiting = {
            let end = self.end.borrow();
            let (ask, waiting) = end.as_ref()?;
            ask.say(&question, &[], None).ok()?;
            waiting.borrow_mut().insert(token, tell);
            Rc::clone(waiting)
        };
        let answered = tokio::time::timeout(ANSWER_WAIT, told).await;
        waiting.borrow_mut().remove(&token);
        answered.ok()?.ok()
    }
}

/// Hands answers on until the arrow ends, or the other end does not keep its rules.
async fn hear(mut receiver: Receiver<FromKeys>, waiting: &Waiting) {
    while let Some(heard) = receiver.hear().await {
        let tail = Zeroizing::new(heard.tail);
        if heard.fd.is_some() || tail.len() > ANSWER_OCTETS {
            return;
        }
        match heard.head {
            FromKeys::Answer { token } => {
                // Who does not wait any more does not need it.
                if let Some(tell) = waiting.borrow_mut().remove(&token) {
                    let _ = tell.send(tail);
                }
            }
            FromKeys::Refused { token } => drop(waiting.borrow_mut().remove(&token)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::socket::{Kind, pair};

    async fn answered(
        say: impl AsyncFnOnce(Sender<FromKeys>, Receiver<ToKeys>),
    ) -> Option<Vec<u8>> {
        let local = tokio::task::LocalSet::new();
        let (ours, theirs) = pair(Kind::Stream).unwrap();
        local
            .run_until(async move {
                let logins = Logins::default();
                assert!(logins.ask(Answer::Plain).await.is_none(), "nobody is there");
                logins.open(ours).unwrap();
                let (sender, receiver) = arrow::open(theirs).unwrap();
                let (answer, ()) =
                    tokio::join!(logins.ask(Answer::Password), say(sender, receiver));
                answer.map(|answer| answer.to_vec())
            })
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_is_that_of_the_question_or_there_is_none() {
        let good = answered(async |sender, mut receiver| {
            let Some(ToKeys::Password { token }) = receiver.hear().await.map(|heard| heard.head)
            else {
                panic!("no question");
            };
            let late = FromKeys::Answer { token: token + 7 };
            sender.say(&late, b"of another", None).unwrap();
            sender
                .say(&FromKeys::Answer { token }, b"secret", None)
                .unwrap();
        });
        assert_eq!(good.await.as_deref(), Some(&b"secret"[..]));
        let refused = answered(async |sender, mut receiver| {
            let Some(ToKeys::Password { token }) = receiver.hear().await.map(|heard| heard.head)
            else {
                panic!("no question");
            };
            sender.say(&FromKeys::Refused { token }, &[], None).unwrap();
        });
        assert_eq!(refused.await, None);
        let silent = answered(async |_sender, _receiver| tokio::time::sleep(2 * ANSWER_WAIT).await);
        assert_eq!(silent.await, None);
        let gone = answered(async |_, _| {});
        assert_eq!(gone.await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_refused_is_not_said_for_a_while_or_until_it_may_be_another() {
        let local = tokio::task::LocalSet::new();
        let (ours, theirs) = pair(Kind::Stream).unwrap();
        let test = async move {
            let logins = Logins::default();
            logins.open(ours).unwrap();
            let (sender, mut receiver) = arrow::open::<FromKeys, ToKeys>(theirs).unwrap();
            tokio::task::spawn_local(async move {
                while let Some(heard) = receiver.hear().await {
                    let (ToKeys::Plain { token }
                    | ToKeys::User { token }
                    | ToKeys::Password { token }) = heard.head;
                    sender.say(&FromKeys::Answer { token }, b"x", None).unwrap();
                }
            });
            let is_said = async || logins.ask(Answer::Plain).await.is_some();
            assert!(is_said().await);
            logins.set_refused(true);
            assert!(!is_said().await);
            logins.set_refused(false);
            assert!(is_said().await);
            logins.set_refused(true);
            tokio::time::advance(REFUSED_PAUSE).await;
            assert!(is_said().await);
        };
        local.run_until(test).await;
    }
}
