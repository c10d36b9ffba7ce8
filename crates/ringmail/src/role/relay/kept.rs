//! Connections that are kept a while for the next message to the same destination.

use crate::drive::client::Connection;
use mail::Destination;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a connection is kept for the next message to the same destination.
const KEEP: Duration = Duration::from_secs(5);
/// Connections kept for one destination.
const EACH_MAX: usize = 20;

/// All that are kept, each since when.
#[derive(Default)]
pub struct Kept {
    connections: RefCell<BTreeMap<Destination, Vec<(Instant, Connection)>>>,
    /// One was added.
    added: Notify,
}

impl Kept {
    /// Keeps one that is good for another message, or ends it where enough are kept.
    pub fn keep(&self, destination: &Destination, connection: Connection) {
        let mut connections = self.connections.borrow_mut();
        let kept = connections.entry(destination.clone()).or_default();
        if kept.len() < EACH_MAX {
            kept.push((Instant::now(), connection));
            self.added.notify_one();
        } else {
            tokio::task::spawn_local(connection.quit());
        }
    }

    /// The one that was used last.
    pub fn take(&self, destination: &Destination) -> Option<Connection> {
        let mut connections = self.connections.borrow_mut();
        let kept = connections.get_mut(destination)?;
        let taken = kept.pop().filter(|(since, _)| since.elapsed() < KEEP);
        if kept.is_empty() {
            connections.remove(destination);
        }
        taken.map(|(_, connection)| connection)
    }

    /// Says QUIT on all.
    pub fn end_all(&self) {
        for (_, connection) in self.connections.take().into_values().flatten() {
            tokio::task::spawn_local(connection.quit());
        }
    }

    /// Says QUIT on those that nobody needed for a while, for ever. Sleeps while there are none.
    pub async fn end_old(&self) {
        loop {
            let oldest = {
                let connections = self.connections.borrow();
                connections
                    .values()
                    .flatten()
                    .map(|(since, _)| *since)
                    .min()
            };
            let Some(oldest) = oldest else {
                self.added.notified().await;
                continue;
            };
            tokio::time::sleep_until(oldest + KEEP).await;
            for connection in self.take_old() {
                tokio::task::spawn_local(connection.quit());
            }
        }
    }

    fn take_old(&self) -> Vec<Connection> {
        let mut connections = self.connections.borrow_mut();
        let mut old = Vec::new();
        for kept in connections.values_mut() {
            let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(kept)
                .into_iter()
                .partition(|(since, _)| since.elapsed() >= KEEP);
            *kept = stay;
            old.extend(gone.into_iter().map(|(_, connection)| connection));
        }
        connections.retain(|_, kept| !kept.is_empty());
        old
    }
}
