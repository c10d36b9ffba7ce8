//! Certificates are tried before a reload changes anything: keys takes them, or says why not and goes on with those that it
//! had. Their files are never read here, so that nobody else can say whether they are of use; and the descriptors that we
//! keep for the next keys are always those of files that one has taken.

use super::Supervisor;
use super::reload::{Asker, New};
use crate::ipc::spawn::{Arrow, Role, ToRole};
use crate::ipc::supervise::{Reload, TEXT_OCTETS, cut};
use std::time::Duration;
use tokio::time::Instant;

/// How long keys may take to read them.
const TRIAL_WAIT: Duration = Duration::from_secs(10);

/// A reload that waits for the word of keys.
pub struct Trial {
    asker: Asker,
    new: New,
    /// The keys that was asked.
    pid: u32,
    /// Why it does not take them.
    refused: Option<String>,
    /// When it is late.
    pub deadline: Instant,
}

impl Supervisor {
    /// Asks keys to take the files of a reload. Where there is none now, the next one is started with them.
    pub(super) fn try_certificates(&mut self, asker: Asker, new: New) -> Result<(), Reload> {
        if new.secrets.is_empty() {
            return self.go_over(asker, new);
        }
        let Some(pid) = self.pid_of(Role::Keys) else {
            let before = std::mem::take(&mut self.secrets);
            let gone = self.go_over(asker, new);
            match gone {
                // Of several in a row the first are those that a keys has taken.
                Ok(()) => _ = self.before.get_or_insert(before),
                Err(_) => self.secrets = before,
            }
            return gone;
        };
        if let Some(keys) = self.processes.get_mut(&Role::Keys) {
            if keys.begun > 0 {
                // Its next word would be one on what it was told before.
                let why = "keys has not taken yet what it was told before: try again";
                return Err(Reload::Surroundings(why.into()));
            }
            keys.begun += 1;
        }
        let orders = self.orders_by(new.configuration.clone(), Vec::new());
        self.tell(Role::Keys, &orders, None);
        self.give_files(&new.secrets);
        self.tell(Role::Keys, &ToRole::Begin, None);
        self.trial = Some(Trial {
            asker,
            new,
            pid,
            refused: None,
            deadline: Instant::now() + TRIAL_WAIT,
        });
        Ok(())
    }

    /// Takes note that keys does not take the files.
    pub(super) fn refused(&mut self, why: String) {
        if let Some(trial) = &mut self.trial {
            trial.refused = Some(cut(why, TEXT_OCTETS));
        }
    }

    /// Goes on with the reload when keys has spoken; when it has ended, or is late, nothing is changed.
    pub(super) fn go_on_trying(&mut self) {
        let serves = |keys: &super::Process| keys.child.is_some() && keys.serves();
        let keys_serves = self.processes.get(&Role::Keys).is_some_and(serves);
        if self.rejoin && keys_serves {
            // Who was joined with keys between may have been shown what did not stay.
            self.rejoin = false;
            self.join_anew(Arrow::Sign);
        }
        let Some(trial) = self.trial.take() else {
            return;
        };
        let pid = self.pid_of(Role::Keys);
        let Trial { asker, new, .. } = match trial {
            Trial {
                asker,
                refused: Some(why),
                ..
            } => return self.refuse(&asker, Reload::Surroundings(why)),
            _ if pid != Some(trial.pid) => {
                let why = "keys ended while it read the certificates";
                return self.refuse(&trial.asker, Reload::Surroundings(why.into()));
            }
            _ if keys_serves => trial,
            _ if Instant::now() >= trial.deadline => {
                let why = "keys did not say in time whether it takes the certificates";
                // It may take them yet, and then these again.
                self.take_back();
                return self.refuse(&trial.asker, Reload::Surroundings(why.into()));
            }
            _ => {
                self.trial = Some(trial);
                return;
            }
        };
        if let Err(refused) = self.go_over(asker.clone(), new) {
            self.take_back();
            self.refuse(&asker, refused);
        }
    }

    /// A new keys cannot use the files that it was started with: the next has those that one used before, if there are such.
    pub(super) fn fall_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.secrets = before;
        }
    }

    /// Has keys go back to what it had.
    fn take_back(&mut self) {
        self.give_new_orders(Role::Keys);
        self.rejoin = true;
    }
}
