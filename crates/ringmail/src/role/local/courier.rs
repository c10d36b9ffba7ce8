//! courier: local, as a user of the machine. It puts mail into the Maildirs of that user's home that the configuration names,
//! and ends when local lets go of it.
//!
//! Trusts local for which messages it is handed. May touch those Maildirs, as their owner. If it is taken over, they are.

use super::{Shared, into_maildir};
use crate::drive::birth::Birth;
use crate::drive::clock::Clock;
use crate::drive::edge::Mailboxes;
use crate::drive::under_way::UnderWay;
use crate::drive::{arrow, attempts};
use crate::ipc::deliver::Attempt;
use crate::ipc::spawn::{Arrow, ToRole};
use mail::{Destination, Ending, Host};
use policy::Deliver;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::drive::client::Source;

/// Its story: orders, one arrow, attempts until that ends.
pub async fn run(
    birth: Birth,
    clock: Clock,
    mailboxes: Rc<dyn Mailboxes>,
    home: PathBuf,
) -> io::Result<()> {
    let (mut shared, under_way) = (None, Rc::new(UnderWay::default()));
    let home: Rc<Path> = home.into();
    while let Some((order, fd)) = birth.orders().await? {
        match (order, fd, &shared) {
            (
                ToRole::Orders {
                    configuration,
                    path,
                    situation,
                    ..
                },
                None,
                None,
            ) => {
                shared = Some(Rc::new(Shared {
                    config: crate::config::of_role(&configuration, &path, situation)?,
                    clock,
                    mailboxes: Rc::clone(&mailboxes),
                    say_where: false,
                }));
            }
            (ToRole::Arrow(Arrow::DeliverLocal), Some(fd), Some(shared)) => {
                let (sender, receiver) = arrow::open(fd)?;
                let (shared, home) = (Rc::clone(shared), Rc::clone(&home));
                let under_way = Rc::clone(&under_way);
                let make =
                    move |what, source| attempt(Rc::clone(&shared), Rc::clone(&home), what, source);
                attempts::serve(sender, receiver, under_way, make).await;
                // What was under way has ended with the arrow, or is made again.
                break;
            }
            _ => return Err(io::Error::other("an order that a courier cannot have")),
        }
    }
    Ok(())
}

async fn attempt(
    shared: Rc<Shared>,
    home: Rc<Path>,
    attempt: Attempt,
    source: Source,
) -> (Host, Vec<(u32, Ending)>) {
    let Destination::Home { folder, .. } = &attempt.destination else {
        return (Host::default(), Vec::new());
    };
    let named = |deliver: &Deliver| matches!(deliver, Deliver::Home(named) if named == folder);
    let mut rules = shared.config.policy.domains.values();
    if !rules.any(|rule| named(&rule.deliver)) {
        return (Host::default(), Vec::new());
    }
    let path = home.join(&**folder);
    let path = path.to_string_lossy();
    let outcomes = into_maildir(&shared, attempt, &path, Arc::new(source)).await;
    (Host::default(), outcomes)
}
