//! What sessions ask over an arrow, and who waits for which answer.

use crate::drive::arrow::Sender;
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// The saying side of an arrow, and those who wait. When the arrow ends, or a new one comes, they hear that
/// there is no answer.
pub(super) struct Asking<Says, Answer> {
    sender: RefCell<Option<Sender<Says>>>,
    /// How many arrows there were.
    arrows: Cell<u64>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<Answer>>>,
}

/// An answer that is waited for; it ends without one when there is none to come.
pub(super) type Awaited<Answer> = oneshot::Receiver<Answer>;

impl<Says: Serialize, Answer> Asking<Says, Answer> {
    pub(super) fn new() -> Self {
        Self {
            sender: RefCell::new(None),
            arrows: Cell::new(0),
            waiting: RefCell::default(),
        }
    }

    /// Over this arrow from now on; nothing asked so far will be answered. Gives the arrow's number.
    pub(super) fn begin(&self, sender: Sender<Says>) -> u64 {
        self.waiting.borrow_mut().clear();
        self.sender.replace(Some(sender));
        self.arrows.set(self.arrows.get() + 1);
        self.arrows.get()
    }

    /// The arrow of this number has ended: where there is no newer one, nothing is answered until there is.
    pub(super) fn end(&self, arrow: u64) {
        if arrow == self.arrows.get() {
            self.sender.replace(None);
            self.waiting.borrow_mut().clear();
        }
    }

    /// Asks; the answer comes by the question's token.
    pub(super) fn ask(&self, token: u64, question: &Says, tail: &[u8]) -> Option<Awaited<Answer>> {
        let sender = self.sender.borrow();
        // Fails only for a record that is too large.
        sender.as_ref()?.say(question, tail, None).ok()?;
        let (answer, awaited) = oneshot::channel();
        self.waiting.borrow_mut().insert(token, answer);
        Some(awaited)
    }

    /// Says what needs no answer.
    pub(super) fn tell(&self, record: &Says) {
        if let Some(sender) = &*self.sender.borrow() {
            let _ = sender.say(record, &[], None);
        }
    }

    /// Hands an answer to who waits for it; gives it back where nobody does.
    pub(super) fn answer(&self, token: u64, answer: Answer) -> Result<(), Answer> {
        let waiting = self.waiting.borrow_mut().remove(&token);
        match waiting {
            Some(waiting) => waiting.send(answer),
            None => Err(answer),
        }
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&self, token: u64) {
        self.waiting.borrow_mut().remove(&token);
    }
}
