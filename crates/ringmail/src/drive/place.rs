//! One session's place among those that are open: since when it has brought nothing, and whether it must make room.

use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// So many octets of a client are something that it brought: with the times of `role/smtpd/crowd.rs` it is the slowest that
/// content may come when there is no room for others, some 400 to 1,400 octets a second.
const BROUGHT_OCTETS: usize = 4096;

/// The place of one session.
pub struct Place {
    since: Cell<Instant>,
    octets: Cell<usize>,
    told: Cell<bool>,
    tell: Notify,
    /// How many were told and have not gone.
    going: Rc<Cell<usize>>,
}

impl Place {
    /// A place of one who has just come; those that are told to go are counted there.
    pub fn new(going: &Rc<Cell<usize>>) -> Self {
        Self {
            since: Cell::new(Instant::now()),
            octets: Cell::new(0),
            told: Cell::new(false),
            tell: Notify::new(),
            going: Rc::clone(going),
        }
    }

    /// Since when the session has brought nothing.
    pub fn since(&self) -> Instant {
        self.since.get()
    }

    /// So many octets came.
    pub fn came(&self, octets: usize) {
        let all = self.octets.get() + octets;
        if all < BROUGHT_OCTETS {
            self.octets.set(all);
        } else {
            self.brought();
        }
    }

    /// A message was taken, or something else that makes the session worth its place: it stays, though it was told.
    pub fn brought(&self) {
        self.left_now();
        self.octets.set(0);
        self.since.set(Instant::now());
    }

    /// Whether it was told to make room.
    pub fn is_told(&self) -> bool {
        self.told.get()
    }

    /// Tells the session to make room for others.
    pub fn tell(&self) {
        if !self.told.replace(true) {
            self.going.set(self.going.get() + 1);
        }
        self.tell.notify_one();
    }

    /// It is not about to go any more: it has gone, or stays.
    pub fn left_now(&self) {
        if self.told.replace(false) {
            self.going.set(self.going.get() - 1);
        }
    }

    /// Waits until the session must make room.
    pub async fn left(&self) {
        while !self.told.get() {
            self.tell.notified().await;
        }
    }
}

impl Default for Place {
    /// One that is alone.
    fn default() -> Self {
        Self::new(&Rc::default())
    }
}
