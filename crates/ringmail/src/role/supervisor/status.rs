//! What stands, as `ringmail status` shows it.

use super::Supervisor;
use super::listeners;
use crate::ipc::spawn::Role;
use crate::ipc::supervise::{RoleStatus, Supervision};

impl Supervisor {
    /// All roles and listeners.
    pub(super) fn supervision(&self) -> Supervision {
        let roles = Role::ALL.into_iter().filter_map(|role| {
            let process = self.processes.get(&role)?;
            Some(RoleStatus {
                role,
                uid: self
                    .nursery
                    .uid_of(role)
                    .unwrap_or_else(|| rustix::process::geteuid().as_raw()),
                pid: process.child.as_ref().map(|(child, _)| child.id()),
                since: process.since,
                restarts: process.restarts,
                last_end: process.last_end.clone(),
                ready: process.child.is_some() && process.serves(),
                stand: process.stand.clone(),
                missing: process.missing.clone(),
            })
        });
        let listeners = self.listeners.iter();
        Supervision {
            began: self.began,
            path: self.start.path.clone(),
            uid: rustix::process::geteuid().as_raw(),
            roles: roles.collect(),
            listeners: listeners
                .map(|open| (listeners::name(open.listener).into(), open.shown.clone()))
                .collect(),
            last_reload: self.last_reload.clone(),
        }
    }
}
