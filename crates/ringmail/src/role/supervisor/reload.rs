//! The configuration read anew: checked whole first, then taken by each role in turn while all serve.
//!
//! Who keeps and sends mail takes it first, smtpd last, so that nothing is accepted for a domain that the others do
//! not know yet. A role that dies meanwhile is started with the new orders. The answer waits for all of them, so that
//! who asked may rely on it.

use super::Supervisor;
use super::from_root::Brings;
use super::listeners::{self, Open};
use super::secrets::{self, Secret};
use crate::config::{self, Config};
use crate::confine::Reach;
use crate::drive::arrow::Sender;
use crate::drive::gateway;
use crate::event::{self, Event};
use crate::ipc::reload::Answer;
use crate::ipc::spawn::{Arrow, Listener, Role, ToRole};
use crate::ipc::supervise::{
    Answered, CHANGES_MAX, Change, Reload, TEXT_OCTETS, VALUE_OCTETS, cut,
};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How long roles may take to take new orders before the answer names them as late.
const TAKE_WAIT: Duration = Duration::from_secs(10);
/// Keys that change with a restart only: who has the spool, who the control socket, and what every message and
/// every name of a file has in it.
const RESTART_KEYS: [&str; 3] = ["hostname", "spool", "runtime"];

/// Why a role is started anew by a reload.
const ELSEWHERE: &str = "the configuration lets it reach other places";

/// Who wants a reload, and is to be answered.
#[derive(Clone)]
pub enum Asker {
    /// A signal: the log has the answer.
    Nobody,
    /// admin, by a question of this token.
    Admin(u64),
    /// Root.
    Root(Sender<Answer>),
}

/// A configuration that was read anew and checked, with what it needs.
pub struct New {
    /// As meant.
    pub config: Config,
    /// As written.
    pub configuration: String,
    /// Sockets that root opened.
    pub sockets: Vec<Open>,
    /// Files with secrets.
    pub secrets: Vec<Secret>,
}

/// A reload that roles are still taking.
pub struct Reloading {
    /// Who is to be answered.
    asker: Asker,
    changes: Vec<Change>,
    more: u64,
    waiting: BTreeSet<Role>,
    servers_told: bool,
    /// When it is answered in any case.
    pub deadline: Instant,
}

impl Supervisor {
    /// Reads the configuration anew, for admin's question or for a signal.
    pub(super) fn reload(&mut self, asker: &Asker) {
        let path = std::path::Path::new(&self.start.path);
        let text = config::load_text(path).map_err(|errors| wrong(errors.to_string()));
        self.reload_by(asker, text, Vec::new(), Vec::new());
    }

    /// Takes what root brought.
    pub(super) fn take(&mut self, brings: Brings) {
        let Brings {
            text,
            sockets,
            secrets,
            asker,
        } = brings;
        self.reload_by(&Asker::Root(asker), Ok(text), sockets, secrets);
    }

    fn reload_by(
        &mut self,
        asker: &Asker,
        text: Result<String, Reload>,
        sockets: Vec<Open>,
        secrets: Vec<Secret>,
    ) {
        let begun = if self.reloading.is_some() || self.trial.is_some() {
            Err(Reload::Busy)
        } else {
            let new = text.and_then(|text| self.check(text, sockets, secrets));
            new.and_then(|new| self.try_files(asker.clone(), new))
        };
        if let Err(refused) = begun {
            self.refuse(asker, refused);
        }
    }

    /// Says that nothing was changed, and why.
    pub(super) fn refuse(&mut self, asker: &Asker, refused: Reload) {
        let cause = match &refused {
            Reload::Mistakes(text) => {
                let first = text.lines().next().unwrap_or_default();
                format!("{} mistakes: {first}", text.matches("error: ").count())
            }
            Reload::Restart(keys) => format!("{} need a restart", keys.join(", ")),
            Reload::Surroundings(why) => why.clone(),
            Reload::Busy | Reload::Done { .. } => "another reload is under way".into(),
        };
        self.last_reload = Some((self.now(), format!("refused: {cause}")));
        event::say(&Event::ConfigurationRefused { cause });
        self.answer_reload(asker, refused);
    }

    /// Checks all that can be wrong before anything is changed, but what only those can say who have files.
    fn check(
        &self,
        configuration: String,
        sockets: Vec<Open>,
        secrets: Vec<Secret>,
    ) -> Result<New, Reload> {
        let new = Config::parse(&configuration, &self.start.path, self.start.situation)
            .map_err(|errors| wrong(errors.to_string()))?;
        let old = &self.start.config;
        let moved = [
            new.hostname != old.hostname,
            new.spool != old.spool,
            new.runtime != old.runtime,
        ];
        let keys = RESTART_KEYS.iter().zip(moved).filter(|(_, moved)| *moved);
        let keys: Vec<String> = keys.map(|(key, _)| (*key).to_owned()).collect();
        if !keys.is_empty() {
            return Err(Reload::Restart(keys));
        }
        if let Some(hidden) = gateway::open_relay(&new.policy) {
            return Err(Reload::Surroundings(cut(hidden.to_string(), TEXT_OCTETS)));
        }
        if let Some(unmet) = self.unmet(&new) {
            return Err(Reload::Surroundings(cut(unmet, TEXT_OCTETS)));
        }
        let surroundings =
            |error: io::Error| Reload::Surroundings(cut(error.to_string(), TEXT_OCTETS));
        let secrets = secrets::gather(&new, secrets).map_err(surroundings)?;
        Ok(New {
            config: new,
            configuration,
            sockets,
            secrets,
        })
    }

    /// Goes over to the new configuration: listeners first, and if those cannot be had nothing changes.
    pub(super) fn go_over(&mut self, asker: Asker, new: New) -> Result<(), Reload> {
        let all = config::changes(&self.start.config, &new.config);
        let changes: Vec<Change> = all.iter().take(CHANGES_MAX).map(shown).collect();
        let more = all.len().saturating_sub(changes.len()) as u64;
        self.take_listeners(&new.config, new.sockets)?;
        self.secrets = new.secrets;
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        event::say(&Event::ConfigurationReloaded {
            changes: all.len(),
            keys: keys.join(" "),
        });
        self.last_reload = Some((self.now(), format!("{} changes", all.len())));
        (self.start.config, self.start.configuration) = (new.config, new.configuration);
        self.reloading = Some(Reloading {
            asker,
            changes,
            more,
            waiting: BTreeSet::new(),
            servers_told: false,
            deadline: Instant::now() + TAKE_WAIT,
        });
        for role in Role::ALL {
            // Servers are told when the others know. The answer comes by admin: one that must be started anew is when
            // it has been given.
            let later = match role {
                Role::Smtpd | Role::Submission => true,
                // It has taken its own already.
                Role::Keys | Role::Auth => self.secrets.iter().any(|file| file.what.role() == role),
                Role::Admin => self.reaches_elsewhere(role),
                _ => false,
            };
            if !later {
                self.give_new_orders(role);
            }
        }
        self.go_on_reloading();
        Ok(())
    }

    /// Opens what is new first: if that is not possible nothing changes. What is not named any more is closed.
    fn take_listeners(&mut self, new: &Config, mut brought: Vec<Open>) -> Result<(), Reload> {
        let wanted = listeners::wanted(new);
        // One whose TLS begins in another way is the same socket, of the same role.
        let is_it = |open: &Open, (listener, address): &(Listener, SocketAddr)| {
            open.role == listener.role() && open.address == Some(*address)
        };
        let is_wanted =
            |open: &Open| open.address.is_none() || wanted.iter().any(|wanted| is_it(open, wanted));
        let is_open = |wanted: &(_, _)| self.listeners.iter().any(|open| is_it(open, wanted));
        let opened: Result<Vec<Open>, _> = wanted
            .iter()
            .filter(|wanted| !is_open(wanted))
            .map(
                |wanted| match brought.iter().position(|open| is_it(open, wanted)) {
                    Some(at) => Ok(brought.swap_remove(at)),
                    None => listeners::open_one(wanted.0, wanted.1),
                },
            )
            .collect();
        let opened =
            opened.map_err(|error| Reload::Surroundings(cut(error.to_string(), TEXT_OCTETS)))?;
        let (stay, gone) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(is_wanted);
        self.listeners = stay;
        for open in &mut self.listeners {
            let wanted = wanted.iter().find(|wanted| is_it(open, wanted));
            open.listener = wanted.map_or(open.listener, |wanted| wanted.0);
        }
        for open in gone {
            event::say(&Event::ListenerClosed {
                listener: listeners::name(open.listener),
                address: open.shown,
            });
        }
        opened.iter().for_each(listeners::say_opened);
        self.listeners.extend(opened);
        Ok(())
    }

    /// Whether a role may reach other places by the configuration than its walls let it.
    fn reaches_elsewhere(&self, role: Role) -> bool {
        let process = self.processes.get(&role);
        process.is_some_and(|process| process.reach != Reach::of(role, &self.start.config))
    }

    /// Gives a role that lives the new orders and its listeners. One that does not is started with them.
    pub(super) fn give_new_orders(&mut self, role: Role) {
        let Some(process) = self.processes.get(&role) else {
            return;
        };
        if process.child.is_none() {
            return;
        }
        if let Some(reloading) = &mut self.reloading {
            reloading.waiting.insert(role);
        }
        if self.reaches_elsewhere(role) {
            return self.renew(role, ELSEWHERE);
        }
        let Some(process) = self.processes.get_mut(&role) else {
            return;
        };
        process.begun += 1;
        self.tell(role, &self.orders(role), None);
        self.give_secrets(role);
        if let Some(arrow) = Arrow::SIGN.into_iter().find(|arrow| arrow.ends().0 == role) {
            // Over it come the certificates that keys has now; sessions go on with those that they began with.
            self.join_anew(arrow);
        }
        self.give_listeners(role);
        self.tell(role, &ToRole::Begin, None);
    }

    /// Gives both ends of an arrow; where that cannot be done they keep the older ones.
    pub(super) fn join_anew(&self, arrow: Arrow) {
        if let Err(error) = self.join(arrow) {
            event::say(&Event::Trouble {
                place: "reload",
                cause: error.to_string(),
            });
        }
    }

    /// Takes note of roles that have taken their orders, or have died; tells the servers when their time has come, and
    /// answers when all are done or it has taken too long.
    pub(super) fn go_on_reloading(&mut self) {
        let Some(mut reloading) = self.reloading.take() else {
            return;
        };
        let serves = |role: &Role| self.processes.get(role).is_none_or(super::Process::serves);
        reloading.waiting.retain(|role| !serves(role));
        let late = Instant::now() >= reloading.deadline;
        if (reloading.waiting.is_empty() || late) && !reloading.servers_told {
            reloading.servers_told = true;
            self.reloading = Some(reloading);
            for role in Role::SERVERS {
                self.give_new_orders(role);
            }
            return self.go_on_reloading();
        }
        if reloading.waiting.is_empty() || late {
            let done = Reload::Done {
                changes: reloading.changes,
                more: reloading.more,
                late: reloading.waiting.into_iter().collect(),
            };
            self.answer_reload(&reloading.asker, done);
            if self.reaches_elsewhere(Role::Admin) {
                self.renew(Role::Admin, ELSEWHERE);
            }
            return;
        }
        self.reloading = Some(reloading);
    }

    fn answer_reload(&self, asker: &Asker, reload: Reload) {
        match asker {
            Asker::Nobody => {}
            Asker::Admin(token) => {
                let (token, answer) = (*token, Answered::Reload(reload));
                self.tell(Role::Admin, &ToRole::Answer { token, answer }, None);
            }
            // Root may have gone; the log has the answer too.
            Asker::Root(sender) => drop(sender.say(&reload, &[], None)),
        }
    }
}

fn wrong(text: String) -> Reload {
    Reload::Mistakes(cut(text, TEXT_OCTETS))
}

fn shown(changed: &config::Changed) -> Change {
    let short = |value: &Option<String>| value.clone().map(|value| cut(value, VALUE_OCTETS));
    Change {
        key: cut(changed.key.clone(), VALUE_OCTETS),
        before: short(&changed.before),
        after: short(&changed.after),
    }
}
