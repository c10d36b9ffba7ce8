//! `ringmail check`: first the file, then what is around it: folders, sockets, ports, name servers. Everything that is
//! found is said at once. A wrong file is 3, wrong surroundings are 1; a warning changes nothing.

pub(super) mod certificates;
mod folders;
mod logins;
mod ports;
mod servers;

use super::{DONE, NO, load, mistaken};
use crate::config::Config;
use crate::confine::users::{self, Users};
use crate::drive::gateway::{self, Hidden};
use crate::ipc::spawn::Role;
use crate::role::supervisor::root;
use policy::Deliver;
use serde_json::json;
use std::path::Path;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    /// The service would not start, or would not do what the file says.
    Error,
    /// Somebody should look.
    Warning,
}

/// One thing that is wrong around the file.
struct Finding {
    severity: Severity,
    /// The key that it is about, and its line where it is written.
    key: Option<String>,
    /// What is wrong.
    title: String,
    /// What to do about it.
    label: String,
}

impl Finding {
    fn error(key: &str, title: String, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            key: Some(key.into()),
            title,
            label: label.into(),
        }
    }

    fn warning(key: &str, title: String, label: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(key, title, label)
        }
    }
}

/// Checks it.
pub fn check(path: &Path, json: bool, quiet: bool) -> u8 {
    let config = match load(path) {
        Ok(config) => config,
        Err(errors) => return mistaken(&errors, json),
    };
    let mut findings = Vec::new();
    file(path, &mut findings);
    users(&config, &mut findings);
    folders::check(&config, &mut findings);
    certificates::check(&config, &mut findings);
    certificates::roots(&config, &mut findings);
    certificates::password(&config, &mut findings);
    logins::passwords(&config, &mut findings);
    servers::lmtp(&config, &mut findings);
    ports::check(&config, &mut findings);
    strangers(&config, &mut findings);
    own_name(&config, &mut findings);
    servers::names(&config, &mut findings);
    findings.sort_by_key(|finding| finding.severity);
    for finding in &findings {
        say(&config, path, finding, json);
    }
    if findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        return NO;
    }
    if json && findings.is_empty() {
        println!("{}", json!({ "severity": "none", "title": "no mistakes" }));
    }
    if !json && !quiet {
        let warnings = match findings.len() {
            0 => String::new(),
            1 => ", 1 warning".into(),
            many => format!(", {many} warnings"),
        };
        println!("{}: no mistakes{warnings}", path.display());
    }
    DONE
}

fn say(config: &Config, path: &Path, finding: &Finding, json: bool) {
    let line = finding.key.as_deref().and_then(|key| config.line_of(key));
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let Finding {
        key, title, label, ..
    } = finding;
    if json {
        println!(
            "{}",
            json!({ "severity": severity, "key": key, "line": line, "title": title, "label": label })
        );
        return;
    }
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    let key = key
        .as_deref()
        .map(|key| format!(" {key}"))
        .unwrap_or_default();
    eprintln!(
        "{severity}: {title}\n --> {}{line}{key}\n  = {label}",
        path.display()
    );
}

/// A file that anybody may change is anybody's configuration.
fn file(path: &Path, findings: &mut Vec<Finding>) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map(|meta| meta.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o002 != 0) {
        findings.push(Finding {
            severity: Severity::Warning,
            key: None,
            title: "anybody may change this file".into(),
            label: "chmod o-w".into(),
        });
    }
}

/// What root needs to start the service: users, and folders that are theirs.
fn users(config: &Config, findings: &mut Vec<Finding>) {
    if !sys::identity::is_root() {
        return;
    }
    let users = match Users::find() {
        Ok(users) => users,
        Err(why) => {
            return findings.push(Finding {
                severity: Severity::Warning,
                key: None,
                title: why.to_string(),
                label: "root cannot start the service like this; a plain user can".into(),
            });
        }
    };
    for (role, folder, why) in root::foreign(config, &users) {
        let (key, severity) = match role {
            Role::Queue => ("spool", Severity::Error),
            Role::Admin => ("log.folder", Severity::Warning),
            _ => ("deliver", Severity::Warning),
        };
        findings.push(Finding {
            severity,
            key: Some(key.into()),
            title: format!("{}: {why}", folder.display()),
            label: format!("{} keeps its files there", users::name(role)),
        });
    }
}

/// A domain of our own name whose mail goes to its MX: DNS will name us, and the mail comes back.
fn own_name(config: &Config, findings: &mut Vec<Finding>) {
    let hostname = &config.policy.hostname;
    let rule = config.policy.domains.get(hostname);
    if rule.is_some_and(|rule| rule.deliver == Deliver::Mx) {
        findings.push(Finding::warning(
            &format!("domain.\"{hostname}\".deliver"),
            format!("mail for {hostname} goes to its MX, and {hostname} is this host"),
            "unless DNS names another host it would come back: deliver to a Maildir or by LMTP",
        ));
    }
}

/// Addresses behind which strangers may hide.
fn strangers(config: &Config, findings: &mut Vec<Finding>) {
    for hidden in gateway::hidden(&config.policy) {
        let finding = match &hidden {
            Hidden::BehindContainerGateway { .. } => {
                Finding::error("relay.from", hidden.to_string(), hidden.advice())
            }
            Hidden::BehindRouter { .. }
            | Hidden::BehindLoopback { .. }
            | Hidden::BehindBridge { .. } => {
                Finding::warning("relay.from", hidden.to_string(), hidden.advice())
            }
        };
        findings.push(finding);
    }
}
