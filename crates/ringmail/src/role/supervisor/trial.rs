//! Files with secrets are tried before a reload changes anything: keys and auth take them, or say why not and go on with
//! those that they had. Their files are never read here, so that nobody else can say whether they are of use; and the
//! descriptors that we keep for the next keys or auth are always those of files that one has taken.

use super::Supervisor;
use super::reload::{Asker, New};
use crate::ipc::spawn::{Arrow, Role, ToRole};
use crate::ipc::supervise::{Reload, TEXT_OCTETS, cut};
use std::time::Duration;
use tokio::time::Instant;

/// How long they may take to read them.
const TRIAL_WAIT: Duration = Duration::from_secs(10);

/// A reload that waits for the word of those who have files.
pub struct Trial {
    asker: Asker,
    new: New,
    /// Those who were asked, and their pids.
    whom: Vec<(Role, u32)>,
    /// Whether there was one who could not be asked: the next is started with the files.
    is_untried: bool,
    /// Who does not take them, and why.
    refused: Option<(Role, String)>,
    /// When it is late.
    pub deadline: Instant,
}

impl Supervisor {
    /// Asks those who have files to take those of a reload.
    pub(super) fn try_files(&mut self, asker: Asker, new: New) -> Result<(), Reload> {
        let has = |role: &Role| new.secrets.iter().any(|file| file.what.role() == *role);
        let filed: Vec<Role> = Role::FILED.into_iter().filter(has).collect();
        let pid = |role: &Role| Some((*role, self.pid_of(*role)?));
        let whom: Vec<(Role, u32)> = filed.iter().filter_map(pid).collect();
        let is_untried = whom.len() < filed.len();
        if whom.is_empty() {
            return self.go_over_to_files(asker, new, is_untried);
        }
        for (role, _) in &whom {
            let process = self.processes.get(role);
            if process.is_some_and(|process| process.begun > 0) {
                // Its next word would be one on what it was told before.
                let why = format!("{role} has not taken yet what it was told before: try again");
                return Err(Reload::Surroundings(why));
            }
        }
        for (role, _) in &whom {
            if let Some(process) = self.processes.get_mut(role) {
                process.begun += 1;
            }
            let orders = self.orders_by(new.configuration.clone(), Vec::new());
            self.tell(*role, &orders, None);
            self.give_files(*role, &new.secrets);
            self.tell(*role, &ToRole::Begin, None);
        }
        self.trial = Some(Trial {
            asker,
            new,
            whom,
            is_untried,
            refused: None,
            deadline: Instant::now() + TRIAL_WAIT,
        });
        Ok(())
    }

    /// Takes note that one does not take the files.
    pub(super) fn refused(&mut self, role: Role, why: String) {
        if let Some(trial) = &mut self.trial {
            trial.refused = Some((role, cut(why, TEXT_OCTETS)));
        }
    }

    /// Goes on with the reload when all have spoken; when one has ended, or is late, nothing is changed.
    pub(super) fn go_on_trying(&mut self) {
        if self.rejoin && self.serves(Role::Keys) {
            // Who was joined with keys between may have been shown what did not stay.
            self.rejoin = false;
            for arrow in Arrow::SIGN {
                self.join_anew(arrow);
            }
        }
        let Some(trial) = self.trial.take() else {
            return;
        };
        let has_ended = |(role, pid): &&(Role, u32)| self.pid_of(*role) != Some(*pid);
        if let Some((role, why)) = trial.refused {
            // It goes on with what it had; others may have taken theirs.
            let others = trial.whom.iter().map(|(role, _)| *role);
            self.take_back(others.filter(|other| *other != role).collect());
            return self.refuse(&trial.asker, Reload::Surroundings(why));
        }
        if let Some((role, _)) = trial.whom.iter().find(has_ended) {
            let why = format!("{role} ended while it read its files");
            self.take_back(trial.whom.iter().map(|(role, _)| *role).collect());
            return self.refuse(&trial.asker, Reload::Surroundings(why));
        }
        let late = trial.whom.iter().find(|(role, _)| !self.serves(*role));
        let Some((late, _)) = late else {
            let roles = trial.whom.iter().map(|(role, _)| *role).collect();
            let asker = trial.asker.clone();
            if let Err(refused) = self.go_over_to_files(trial.asker, trial.new, trial.is_untried) {
                self.take_back(roles);
                self.refuse(&asker, refused);
            }
            return;
        };
        if Instant::now() >= trial.deadline {
            let why = format!("{late} did not say in time whether it takes its files");
            // It may take them yet, and then these again.
            self.take_back(trial.whom.iter().map(|(role, _)| *role).collect());
            return self.refuse(&trial.asker, Reload::Surroundings(why));
        }
        self.trial = Some(trial);
    }

    /// Goes over to the new configuration and its files, with those of before at hand for who could not be asked.
    fn go_over_to_files(&mut self, asker: Asker, new: New, is_untried: bool) -> Result<(), Reload> {
        let before = std::mem::take(&mut self.secrets);
        let gone = self.go_over(asker, new);
        match gone {
            // Of several in a row the first are those that somebody has taken.
            Ok(()) if is_untried => _ = self.before.get_or_insert(before),
            Ok(()) => {}
            Err(_) => self.secrets = before,
        }
        gone
    }

    /// Whether a role lives and has taken all that it was told.
    fn serves(&self, role: Role) -> bool {
        let process = self.processes.get(&role);
        process.is_some_and(|process| process.child.is_some() && process.serves())
    }

    /// Takes note that one who has files serves: where all do, those of before are not needed any more.
    pub(super) fn files_are_taken(&mut self) {
        if Role::FILED.iter().all(|role| self.serves(*role)) {
            self.before = None;
        }
    }

    /// A new one cannot use the files that it was started with: the next has those that one used before, if there are such.
    pub(super) fn fall_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.secrets = before;
        }
    }

    /// Has these go back to what they had.
    fn take_back(&mut self, roles: Vec<Role>) {
        for role in roles {
            self.give_new_orders(role);
            self.rejoin |= role == Role::Keys;
        }
    }
}
