//! Mail for users of the machine is put into their homes by processes that are they: couriers. local has no way to become
//! anybody; it calls for a courier by the user's name, hands it attempts, and lets go of it when there was nothing to do for
//! a while, or when it has done enough.

use super::deferred;
use crate::drive::arrow::{self, Sender};
use crate::drive::birth::Birth;
use crate::drive::client::{Source, SourceContent};
use crate::ipc::deliver::{Attempt, Ended};
use crate::ipc::spawn::FromRole;
use mail::{Class, Ending, Status};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Couriers at work at the same time; further attempts wait.
const AT_WORK_MAX: usize = 24;
/// Attempts that one courier makes; the next has a new one.
const ATTEMPTS_MAX: u32 = 100;
/// How long a courier is handed attempts; the supervisor ends those that live much longer.
const LIFE: Duration = Duration::from_mins(5);
/// How long an attempt may take. A courier is its user's, who may stop it: that is his own mail's matter, and no others wait.
const ATTEMPT_WAIT: Duration = Duration::from_mins(2);
/// How long a courier with nothing to do is kept.
const IDLE: Duration = Duration::from_secs(5);
/// Couriers that an attempt is handed to, one after the other.
const TRIES: usize = 2;
/// How long one may take to come: a user is looked up, a process starts.
const CALL_WAIT: Duration = Duration::from_secs(30);

/// The answer to a call: an end of an arrow, or why there is none.
type Called = Result<OwnedFd, String>;
/// How an attempt ended, by recipient.
type Outcomes = Vec<(u32, Ending)>;

/// The courier of one user, if there is one; locked while one is called for.
type Slot = Rc<Mutex<Option<Rc<Courier>>>>;

/// All that are at work.
pub(super) struct Couriers {
    birth: Birth,
    calls: RefCell<HashMap<u64, oneshot::Sender<Called>>>,
    last: Cell<u64>,
    /// By user; whoever is called for is waited for by all who need him.
    users: RefCell<BTreeMap<Box<str>, Slot>>,
    places: Arc<Semaphore>,
}

/// One of them, from here.
struct Courier {
    sender: Sender<Attempt>,
    waiting: Rc<RefCell<HashMap<u64, oneshot::Sender<Outcomes>>>>,
    /// Its arrow is heard by this.
    hearing: AbortHandle,
    gone: Rc<Cell<bool>>,
    taken: Cell<u32>,
    began: Instant,
    /// Of the call that it came of.
    token: u64,
    birth: Birth,
    _place: OwnedSemaphorePermit,
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.hearing.abort();
        let token = self.token;
        self.birth.tell(&FromRole::LetsGo { token });
    }
}

impl Couriers {
    pub(super) fn new(birth: Birth) -> Self {
        Self {
            birth,
            calls: RefCell::default(),
            last: Cell::new(0),
            users: RefCell::default(),
            places: Arc::new(Semaphore::new(AT_WORK_MAX)),
        }
    }

    /// Takes the answer to a call.
    pub(super) fn answered(&self, token: u64, refused: Option<String>, end: Option<OwnedFd>) {
        let called = match (refused, end) {
            (None, Some(end)) => Ok(end),
            (Some(why), _) => Err(why),
            (None, None) => Err("nobody came".into()),
        };
        let waiting = self.calls.borrow_mut().remove(&token);
        let unheard = match waiting {
            Some(waiting) => waiting.send(called).err(),
            None => Some(called),
        };
        // Who called waits no longer.
        if let Some(Ok(_)) = unheard {
            self.birth.tell(&FromRole::LetsGo { token });
        }
    }

    /// Has a courier make the attempt, and another where that one ended in the middle of it.
    pub(super) async fn deliver(
        self: &Rc<Self>,
        user: &str,
        mut attempt: Attempt,
        source: Source,
    ) -> Outcomes {
        let mut why = String::new();
        for _ in 0..TRIES {
            let tried = match self.courier_of(user).await {
                Ok(courier) => courier.make(&attempt, &source).await,
                Err(error) => {
                    why = error;
                    break;
                }
            };
            match tried {
                Ok(outcomes) => return outcomes,
                Err(error) => why = error.to_string(),
            }
            // It may have delivered before it ended.
            attempt.again = true;
        }
        let status = Status::new(Class::Transient, 3, 0);
        let text = "the mailbox cannot be written now";
        let ending = deferred(status, text, &format!("~{user}: {why}"));
        let recipients = attempt.recipients.into_iter();
        recipients
            .map(|(number, _)| (number, ending.clone()))
            .collect()
    }

    /// The courier of a user: the one at work, or another.
    async fn courier_of(self: &Rc<Self>, user: &str) -> Result<Rc<Courier>, String> {
        let slot = Rc::clone(self.users.borrow_mut().entry(user.into()).or_default());
        let mut at_work = slot.lock().await;
        let usable = at_work.as_ref().filter(|courier| courier.takes_more());
        if let Some(courier) = usable {
            return Ok(Rc::clone(courier));
        }
        let courier = Rc::new(self.call(user).await?);
        *at_work = Some(Rc::clone(&courier));
        drop(at_work);
        let couriers = Rc::clone(self);
        let user: Box<str> = user.into();
        let weak = Rc::downgrade(&courier);
        tokio::task::spawn_local(async move {
            // Looked at once in a while: who is idle at two looks in a row is let go.
            let mut before = u32::MAX;
            while let Some(courier) = weak.upgrade() {
                let idle = courier.waiting.borrow().is_empty() && courier.taken.get() == before;
                if idle || courier.gone.get() {
                    couriers.let_go(&user, &courier).await;
                    return;
                }
                before = courier.taken.get();
                drop(courier);
                tokio::time::sleep(IDLE).await;
            }
        });
        Ok(courier)
    }

    async fn let_go(&self, user: &str, courier: &Rc<Courier>) {
        let slot = self.users.borrow().get(user).map(Rc::clone);
        let Some(slot) = slot else { return };
        let mut at_work = slot.lock().await;
        if at_work.as_ref().is_some_and(|one| Rc::ptr_eq(one, courier)) {
            *at_work = None;
        }
        drop(at_work);
        // Nobody else waits for him: this, and the map, have the slot.
        if Rc::strong_count(&slot) == 2 && slot.try_lock().is_ok_and(|slot| slot.is_none()) {
            self.users.borrow_mut().remove(user);
        }
    }

    /// Calls for a courier and waits until he is there.
    async fn call(&self, user: &str) -> Result<Courier, String> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|error| error.to_string())?;
        self.last.set(self.last.get() + 1);
        let token = self.last.get();
        let (answer, awaited) = oneshot::channel();
        self.calls.borrow_mut().insert(token, answer);
        self.birth.tell(&FromRole::Calls {
            token,
            user: user.into(),
        });
        let answer = tokio::time::timeout(CALL_WAIT, awaited).await;
        self.calls.borrow_mut().remove(&token);
        let end = match answer {
            Ok(Ok(called)) => called?,
            _ => return Err("nobody came in time".into()),
        };
        let birth = self.birth.clone();
        Courier::join(end, (token, birth), place).map_err(|error| error.to_string())
    }
}

impl Courier {
    fn join(
        end: OwnedFd,
        (token, birth): (u64, Birth),
        place: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let (sender, mut receiver) = arrow::open::<Attempt, Ended>(end)?;
        let waiting: Rc<RefCell<HashMap<u64, oneshot::Sender<Outcomes>>>> = Rc::default();
        let gone = Rc::new(Cell::new(false));
        let (answers, ends) = (Rc::clone(&waiting), Rc::clone(&gone));
        let hearing = tokio::task::spawn_local(async move {
            while let Some(heard) = receiver.hear().await {
                let Ended {
                    attempt, outcomes, ..
                } = heard.head;
                let Some(asked) = answers.borrow_mut().remove(&attempt) else {
                    // An answer that nobody waits for: what more it says is not worth the time.
                    break;
                };
                let _ = asked.send(outcomes);
            }
            // What he was at is undecided.
            ends.set(true);
            answers.borrow_mut().clear();
        });
        Ok(Self {
            sender,
            waiting,
            hearing: hearing.abort_handle(),
            gone,
            taken: Cell::new(0),
            began: Instant::now(),
            token,
            birth,
            _place: place,
        })
    }

    fn takes_more(&self) -> bool {
        !self.gone.get() && self.taken.get() < ATTEMPTS_MAX && self.began.elapsed() < LIFE
    }

    /// Hands an attempt over and waits for its end.
    async fn make(&self, attempt: &Attempt, source: &Source) -> io::Result<Outcomes> {
        let ended = || io::Error::other("the process that delivers ended in the middle of it");
        if self.gone.get() {
            return Err(ended());
        }
        self.taken.set(self.taken.get() + 1);
        let (asked, awaited) = oneshot::channel();
        self.waiting.borrow_mut().insert(attempt.attempt, asked);
        let said = match &source.content {
            SourceContent::Memory(octets) => self.sender.say(attempt, octets, None),
            SourceContent::File(file, _) => {
                let file = file.try_clone()?;
                self.sender.say(attempt, &[], Some(file.into()))
            }
        };
        said.map_err(io::Error::other)?;
        if let Ok(answer) = tokio::time::timeout(ATTEMPT_WAIT, awaited).await {
            return answer.map_err(|_| ended());
        }
        self.waiting.borrow_mut().remove(&attempt.attempt);
        self.gone.set(true);
        let why = "the process that delivers does not answer";
        Err(io::Error::other(why))
    }
}
