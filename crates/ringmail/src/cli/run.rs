//! `ringmail run`, and reading a spool that nobody uses.

use super::{DONE, Loaded, NO, read, refuse};
use crate::config::Config;
use crate::drive::disk::RealDisk;
use crate::drive::gateway;
use crate::role::supervisor::{self, Start};
use std::io;
use std::path::Path;

/// Descriptors that a busy service may need.
const FILES_MAX: u64 = 65_536;

/// Runs the supervisor until it is told to stop.
pub fn run(path: &Path) -> u8 {
    match read(path) {
        Ok(loaded) => {
            if let Some(hidden) = gateway::open_relay(&loaded.config.policy) {
                eprintln!("ringmail: {hidden}\n  = {}", hidden.advice());
                return NO;
            }
            match start(loaded, path, "ready".into()) {
                Ok(()) => DONE,
                Err(error) => {
                    eprintln!("ringmail: {error}");
                    NO
                }
            }
        }
        Err(errors) => refuse(&errors),
    }
}

/// Opens the listeners, then supervises until it is told to end.
pub fn start(loaded: Loaded, path: &Path, ready: String) -> io::Result<()> {
    crate::event::speak_as("supervisor");
    sys::process::raise_file_limit(FILES_MAX);
    crate::role::in_event_loop(async move {
        let listeners = supervisor::listeners(&loaded.config)?;
        supervisor::run(
            Start {
                config: loaded.config,
                configuration: loaded.text,
                path: path.display().to_string(),
                situation: loaded.situation,
                ready,
            },
            listeners,
        )
        .await
    })
}

/// Looks at the spool as a start without a checkpoint would find it, compares the checkpoint with it, reads every
/// message and says what it found. Changes nothing.
pub fn verify(config: &Config) -> u8 {
    let disk = match RealDisk::open_existing(&config.spool) {
        Ok(Some(disk)) => disk,
        Ok(None) => {
            eprintln!("ringmail: the spool is in use; stop the daemon first");
            return NO;
        }
        Err(error) => {
            eprintln!("ringmail: spool {}: {error}", config.spool.display());
            return NO;
        }
    };
    match ::queue::spool::Spool::look(disk, ::queue::spool::Options::default()) {
        Ok((spool, recovered)) => {
            for finding in &recovered.findings {
                println!("{finding}");
            }
            let mut bad = 0;
            for message in &recovered.messages {
                if let Err(error) = spool.read(message.queue_id) {
                    println!("{}: {error}", message.queue_id);
                    bad += 1;
                }
            }
            println!(
                "{} messages, {bad} of them cannot be read",
                recovered.messages.len()
            );
            if bad == 0 && recovered.findings.is_empty() {
                DONE
            } else {
                NO
            }
        }
        Err(error) => {
            eprintln!("ringmail: the spool cannot be opened: {error}");
            NO
        }
    }
}
