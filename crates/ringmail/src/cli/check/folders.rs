//! Folders: they are there or can be made, and this user may write to them.

use super::Finding;
use crate::config::Config;
use crate::confine::accounts;
use crate::confine::reach::fixed;
use crate::drive::holder;
use mail::{Destination, Domain, LocalPart, Mailbox, Route};
use policy::{Deliver, Policy, Users};
use rustix::fs::{Access, AtFlags, CWD};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The file systems that are gone after a power cut: tmpfs and ramfs, as statfs(2) names them.
const FORGETFUL: [u64; 2] = [0x0102_1994, 0x8584_58F6];

/// Free space is little below so many times what is needed at least.
const SCARCE: u64 = 2;
/// 2 to this is a MiB.
const MIB_BITS: u32 = 20;

pub(super) fn check(config: &Config, findings: &mut Vec<Finding>) {
    let ours = [
        ("spool", &config.spool),
        ("runtime", &config.runtime),
        ("log.folder", &config.log.folder),
    ];
    for (key, folder) in ours {
        if let Err((why, label)) = can_be_made(folder) {
            findings.push(Finding::error(
                key,
                format!("{key} {}: {why}", folder.display()),
                label,
            ));
        }
    }
    if is_forgetful(&config.spool) {
        let title = format!("spool {} lies in memory", config.spool.display());
        findings.push(Finding::warning(
            "spool",
            title,
            "queued mail would be lost in a power cut",
        ));
    }
    in_use(config, findings);
    room(config, findings);
    maildirs(config, findings);
}

/// Another supervisor than the one that this file started has the spool.
fn in_use(config: &Config, findings: &mut Vec<Finding>) {
    let Some(pid) = holder::holder(&config.spool) else {
        return;
    };
    if pid.is_none() || pid != super::ports::daemon(config) {
        let title = holder::in_use(&config.spool, pid);
        let (title, label) = title.split_once(": ").unwrap_or((&title, "stop it"));
        findings.push(Finding::error("spool", title.into(), label));
    }
}

/// The spool's file system has, or soon may have, less free space than new mail needs.
fn room(config: &Config, findings: &mut Vec<Finding>) {
    let nearest = config.spool.ancestors().find(|path| path.exists());
    let Some(free) = nearest
        .and_then(|path| fs::File::open(path).ok())
        .and_then(|folder| sys::file::free_octets(&folder).ok())
    else {
        return;
    };
    let floor = queue::spool::Options::default().floor_octets;
    if let Some((title, label)) = scarce(free, floor) {
        let title = format!("spool {} {title}", config.spool.display());
        findings.push(Finding::warning("spool", title, label));
    }
}

/// What is said of so much free space where mail is refused at `floor`.
fn scarce(free: u64, floor: u64) -> Option<(String, &'static str)> {
    let (free_mib, floor_mib) = (free >> MIB_BITS, floor >> MIB_BITS);
    let figures = format!("{free_mib} MiB free; new mail is refused at {floor_mib} MiB");
    if free <= floor {
        let label = "make room, or no mail will be taken";
        Some((format!("has no room: {figures}"), label))
    } else if free <= floor.saturating_mul(SCARCE) {
        Some((format!("has little room: {figures}"), "make room"))
    } else {
        None
    }
}

/// The folder is there and may be written to, or may be made.
fn can_be_made(folder: &Path) -> Result<(), (String, &'static str)> {
    // The root is there in any case.
    let nearest = folder
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok());
    let nearest = nearest.unwrap_or(Path::new("/"));
    if nearest == folder {
        return writable(folder);
    }
    writable(nearest).map_err(|(why, _)| {
        let title = format!("cannot be made: {} {why}", nearest.display());
        (
            title,
            "make it, or run this as the user that the service runs as",
        )
    })
}

/// The folder may be written to by this user.
fn writable(folder: &Path) -> Result<(), (String, &'static str)> {
    let meta = fs::metadata(folder).map_err(|error| (error.to_string(), "it must be reachable"))?;
    if !meta.is_dir() {
        return Err(("is not a folder".into(), "move it away, or name another"));
    }
    // As the kernel would judge this process, not the user who started it.
    let access = rustix::fs::accessat(
        CWD,
        folder,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    );
    access.map_err(|error| match error {
        rustix::io::Errno::ROFS => (
            "is on a file system that is read-only".into(),
            "mount it writable",
        ),
        _ => (
            "may not be written to by this user".into(),
            "chown or chmod it",
        ),
    })
}

fn is_forgetful(folder: &Path) -> bool {
    let nearest = folder.ancestors().find(|path| path.exists());
    let stat = nearest.and_then(|path| rustix::fs::statfs(path).ok());
    stat.is_some_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| FORGETFUL.contains(&kind)))
}

/// The fixed part of each Maildir template is there; each Maildir that is there may be written to.
fn maildirs(config: &Config, findings: &mut Vec<Finding>) {
    if let Some(template) = &config.policy.any_domain {
        if let Err((why, label)) = can_be_made(&fixed(template)) {
            let title = format!("mailboxes {}: {why}", fixed(template).display());
            findings.push(Finding::error("try.deliver", title, label));
        }
        return;
    }
    let policy = Policy::new(config.policy.clone());
    let mut told = BTreeSet::new();
    for (domain, rule) in &config.policy.domains {
        let template = match (&rule.deliver, &rule.users) {
            (Deliver::Maildir(template), _) => template,
            (Deliver::Home(_), Users::Listed(users)) => {
                homes(domain, users, findings);
                continue;
            }
            _ => continue,
        };
        let (root, key) = (fixed(template), format!("domain.\"{domain}\".deliver"));
        if told.insert(root.clone()) {
            let wrong = if root.exists() {
                writable(&root).err()
            } else {
                let label = "make it; it may be a file system that is not mounted";
                Some(("is missing".into(), label))
            };
            if let Some((why, label)) = wrong {
                findings.push(Finding::error(
                    &key,
                    format!("mailboxes {}: {why}", root.display()),
                    label,
                ));
                continue;
            }
        }
        let Users::Listed(users) = &rule.users else {
            continue;
        };
        for user in users {
            let Ok(local_part) = LocalPart::from_meant(user) else {
                continue;
            };
            let mailbox = Mailbox {
                local_part,
                domain: domain.clone(),
            };
            let Route::To(Destination::Maildir(folder)) = policy.route(&mailbox) else {
                continue;
            };
            let folder = Path::new(&*folder);
            if folder.symlink_metadata().is_err() || !told.insert(folder.into()) {
                continue;
            }
            if let Err((why, label)) = writable(folder) {
                let title = format!("mailbox {}: {why}", folder.display());
                findings.push(Finding::error(&key, title, label));
            }
        }
    }
}

/// Users who get mail in their homes are people of this machine.
fn homes(domain: &Domain, users: &BTreeSet<Box<str>>, findings: &mut Vec<Finding>) {
    let ours = crate::confine::users::Users::find().map(|users| users.uids());
    let ours = ours.unwrap_or_default();
    for user in users {
        if let Err(why) = accounts::find(user, ours.iter().copied()) {
            let key = format!("domain.\"{domain}\".users");
            let title = format!("{user}@{domain} can have no mail as a user of this machine");
            findings.push(Finding::error(&key, title, why.words()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::scarce;

    #[test]
    fn free_space_at_the_floor_is_none_and_below_its_double_is_little() {
        const MIB: u64 = 1024 * 1024;
        let said = |free| scarce(free * MIB, 128 * MIB).map(|(title, _)| title);
        let none = "has no room: 128 MiB free; new mail is refused at 128 MiB";
        assert_eq!(said(128).as_deref(), Some(none));
        let little = "has little room: 129 MiB free; new mail is refused at 128 MiB";
        assert_eq!(said(129).as_deref(), Some(little));
        assert!(said(256).is_some());
        assert_eq!(said(257), None);
    }
}
