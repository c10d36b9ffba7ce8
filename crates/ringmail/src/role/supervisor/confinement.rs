//! How the roles are confined, by their own words, and their renewal: walls are never taken down, so that a role which may
//! reach other places than before is ended in order and started anew.

use super::{ABSENT_LOOK, ABSENT_MAX, STOP_WAIT, Supervisor};
use crate::config::Config;
use crate::confine::{Layer, Missing};
use crate::event::{self, Event};
use crate::ipc::spawn::{FromRole, Role, ToRole};
use std::path::PathBuf;
use tokio::time::Instant;

impl Supervisor {
    /// Tells a role to end, because what it may reach is another now, and to be started at once.
    pub(super) fn renew(&mut self, role: Role, cause: &'static str) {
        let Some(process) = self.processes.get_mut(&role) else {
            return;
        };
        let Some((child, _)) = &process.child else {
            return;
        };
        event::say(&Event::RoleRenewed {
            process: role.name(),
            pid: child.id(),
            cause,
        });
        process.renewed.get_or_insert(Instant::now() + STOP_WAIT);
        process.begun += 1;
        process.absent.clear();
        self.tell(role, &ToRole::Stop, None);
    }

    /// Ends roles that were told to end, or say no more, and do not end; gives when to look again.
    pub(super) fn end_late(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next = None;
        for process in self.processes.values_mut() {
            let deadline = process.renewed.into_iter().chain(process.ends_by).min();
            match (deadline, &mut process.child) {
                (Some(deadline), Some((child, _))) if deadline <= now => {
                    self.nursery.kill(child);
                    // Once, and again where it was in vain.
                    let again = now + STOP_WAIT;
                    process.renewed = process.renewed.map(|_| again);
                    process.ends_by = process.ends_by.map(|_| again);
                    next = next.into_iter().chain([again]).min();
                }
                (Some(deadline), Some(_)) => next = next.into_iter().chain([deadline]).min(),
                _ => {}
            }
        }
        next
    }

    /// Starts roles anew that lack a folder which is there now.
    pub(super) fn look_for_absent(&mut self) {
        let now = Instant::now();
        let mut found = Vec::new();
        for (role, process) in &mut self.processes {
            let is_due = process.absent_until <= now;
            if is_due && process.absent.iter().any(|folder| folder.is_dir()) {
                // What is there for us may still be out of its reach, for ever.
                process.absent_pause = (process.absent_pause * 2).min(ABSENT_MAX);
                process.absent_until = now + process.absent_pause;
                found.push(*role);
            }
        }
        for role in found {
            self.renew(role, "a folder that was absent is there");
        }
    }

    /// Takes note of how a role is confined. With `sandbox = "required"` nothing may be missing.
    pub(super) fn confined(
        &mut self,
        role: Role,
        said: (Vec<Layer>, Vec<Missing>, Vec<PathBuf>),
    ) -> Option<FromRole> {
        let process = self.processes.get_mut(&role)?;
        let pid = process.child.as_ref().map_or(0, |(child, _)| child.id());
        (process.stand, process.missing, process.absent) = said;
        if process.absent.is_empty() {
            process.absent_pause = ABSENT_LOOK;
        }
        for layer in &process.stand {
            if !process.stood.contains(layer) {
                process.stood.push(*layer);
            }
        }
        for missing in &process.missing {
            event::say(&Event::RoleUnconfined {
                process: role.name(),
                pid,
                layer: missing.layer.name(),
                cause: missing.cause.clone(),
            });
        }
        let unmet = self.unmet(&self.start.config)?;
        // Once all serve, one that cannot be sealed ends itself, and the others need not.
        (!self.announced).then_some(FromRole::Hopeless(unmet))
    }

    /// What a configuration demands of confinement and does not have here.
    pub(super) fn unmet(&self, config: &Config) -> Option<String> {
        let mut missing = self.processes.iter();
        let missing = missing.find_map(|(role, process)| Some((role, process.missing.first()?)));
        let (role, Missing { layer, cause }) = missing.filter(|_| config.sandbox_required)?;
        Some(format!(
            "sandbox = \"required\", and {role} would go without {layer}: {cause}"
        ))
    }
}
