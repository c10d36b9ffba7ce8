//! What a role may say to the supervisor, and when. A role is honest until it has heard more than its first orders; what
//! counts for the whole service is believed only of those who could not be taken over yet, or not at all.

use super::Happened;
use crate::drive::birth::Birth;
use crate::event::{self, Event};
use crate::ipc::spawn::{FromRole, Role};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a role may take to end when it has closed its end of the birth, which is the last that it does in order.
const SILENT_WAIT: Duration = Duration::from_secs(5);

/// Hears a role as long as it says what it may say.
pub async fn hear(role: Role, pid: u32, birth: Rc<Birth>, happened: mpsc::Sender<Happened>) {
    let mut words = Words::of(role);
    let why = loop {
        match birth.report().await {
            Ok(Some(said)) if words.may(&said) => {
                if happened
                    .send(Happened::Said(role, pid, said))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Ok(Some(_)) => break Some("a word that it may not say".into()),
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let mut ends_by = Instant::now();
    match why {
        Some(why) => event::say(&Event::Trouble {
            place: "birth",
            cause: format!("{role}: {why}"),
        }),
        None => ends_by += SILENT_WAIT,
    }
    // A supervisor that hears no more ends all of them.
    let _ = happened.send(Happened::Silent(role, pid, ends_by)).await;
}

/// The words of one process.
struct Words {
    role: Role,
    confined: bool,
    served: bool,
    trapped: bool,
}

impl Words {
    /// Of a process that was just started.
    fn of(role: Role) -> Self {
        Self {
            role,
            confined: false,
            served: false,
            trapped: false,
        }
    }

    /// Whether it may say this now. One that says anything else is not the program that was started.
    fn may(&mut self, said: &FromRole) -> bool {
        match said {
            FromRole::Ready => {
                self.served = true;
                true
            }
            FromRole::Asks { .. } => self.role == Role::Admin,
            // The spool cannot be opened, or a file not be used. Who serves has done it.
            FromRole::Hopeless(_) => {
                (self.role == Role::Queue || Role::FILED.contains(&self.role)) && !self.served
            }
            // Before it hears anything else. What is missing ends a service that demands all of it, and folders that are
            // named are looked for.
            FromRole::Confined { .. } => !std::mem::replace(&mut self.confined, true),
            FromRole::Refuses(_) => Role::FILED.contains(&self.role) && self.served,
            FromRole::Awake => self.served,
            FromRole::Calls { .. } | FromRole::LetsGo { .. } => self.role == Role::Local,
            // The end follows.
            FromRole::Trapped(_) => !std::mem::replace(&mut self.trapped, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::supervise::Question;

    fn hopeless() -> FromRole {
        FromRole::Hopeless("why".into())
    }

    fn confined() -> FromRole {
        FromRole::Confined {
            stand: Vec::new(),
            missing: Vec::new(),
            absent: Vec::new(),
        }
    }

    #[test]
    fn queue_and_who_has_files_alone_end_the_service_and_not_once_they_serve() {
        for role in Role::ALL {
            let mut words = Words::of(role);
            let may = matches!(role, Role::Auth | Role::Keys | Role::Queue);
            assert_eq!(words.may(&hopeless()), may, "{role}");
            assert!(words.may(&FromRole::Ready));
            assert!(!words.may(&hopeless()), "{role}");
        }
    }

    #[test]
    fn walls_and_a_trap_are_told_of_once() {
        let mut words = Words::of(Role::Relay);
        assert!(words.may(&confined()) && !words.may(&confined()));
        let trapped = FromRole::Trapped([1, 0, 0, 0]);
        assert!(words.may(&trapped) && !words.may(&trapped));
        assert!(words.may(&FromRole::Ready) && words.may(&FromRole::Ready));
    }

    #[test]
    fn admin_alone_asks() {
        let asks = FromRole::Asks {
            token: 1,
            question: Question::Reload,
        };
        for role in Role::ALL {
            assert_eq!(Words::of(role).may(&asks), role == Role::Admin, "{role}");
        }
    }

    #[test]
    fn local_alone_calls_for_couriers() {
        let calls = FromRole::Calls {
            token: 1,
            user: "ann".into(),
        };
        let lets_go = FromRole::LetsGo { token: 1 };
        for role in Role::ALL {
            for word in [&calls, &lets_go] {
                assert_eq!(Words::of(role).may(word), role == Role::Local, "{role}");
            }
        }
    }
}
