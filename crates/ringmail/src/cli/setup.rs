//! `ringmail setup`: what is done once on a host. `users` makes a user for each process, by whichever tool this system
//! makes users with.

use super::{DONE, NO, NOT_PERMITTED};
use crate::confine::users::{self, Unusable, Users};
use clap::{Args, Subcommand};
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// What is set up.
#[derive(Subcommand)]
pub enum Setup {
    /// Makes the users that the processes run as when root starts the service, and their groups.
    Users(UsersOf),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// How users are made.
#[derive(Args)]
pub struct UsersOf {
    /// Make none: print what sysusers.d(5) makes them from.
    #[arg(long)]
    print: bool,
}

/// Does it.
pub fn obey(what: &Setup) -> u8 {
    match what {
        Setup::Users(UsersOf { print: true }) => {
            print!("{}", users::sysusers());
            DONE
        }
        Setup::Users(_) => make_users(),
        Setup::Other(words) => super::not_built(&format!(
            "setup {}",
            words.first().map_or("", String::as_str)
        )),
    }
}

fn make_users() -> u8 {
    let missing = match Users::find() {
        Ok(_) => {
            println!("all {} users are there", users::names().len());
            return DONE;
        }
        Err(Unusable::Missing(names)) => names,
        Err(other) => {
            eprintln!("ringmail: {other}");
            return NO;
        }
    };
    if !sys::identity::is_root() {
        eprintln!("ringmail: users are made by root");
        return NOT_PERMITTED;
    }
    if let Err(error) = make(&missing) {
        eprintln!("ringmail: {error}");
        return NO;
    }
    match Users::find() {
        Ok(_) => {
            println!("made {}", missing.join(", "));
            DONE
        }
        Err(still) => {
            eprintln!("ringmail: {still}");
            NO
        }
    }
}

/// By the first of the usual tools that is here.
fn make(names: &[String]) -> io::Result<()> {
    match by_sysusers() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let by_shadow = [
        &["groupadd", "--system"][..],
        &[
            "useradd",
            "--system",
            "--no-create-home",
            "--home-dir",
            "/",
            "--shell",
            "/usr/sbin/nologin",
            "--gid",
        ],
    ];
    let by_busybox = [
        &["addgroup", "-S"][..],
        &[
            "adduser",
            "-S",
            "-D",
            "-H",
            "-h",
            "/",
            "-s",
            "/sbin/nologin",
            "-G",
        ],
    ];
    for name in names {
        match by_two(by_shadow, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => by_two(by_busybox, name)?,
            result => result?,
        }
    }
    Ok(())
}

fn by_sysusers() -> io::Result<()> {
    let mut command = Command::new("systemd-sysusers");
    let mut child = command.arg("-").stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(users::sysusers().as_bytes())?;
    }
    succeed("systemd-sysusers", child.wait()?)
}

/// A tool for the group and one for the user, whose last option is the group.
fn by_two([group, user]: [&[&str]; 2], name: &str) -> io::Result<()> {
    let run = |words: &[&str], more: &[&str]| {
        let mut command = Command::new(words[0]);
        let status = command.args(&words[1..]).args(more).status()?;
        succeed(words[0], status)
    };
    run(group, &[name])?;
    run(user, &[name, name])
}

fn succeed(tool: &str, status: std::process::ExitStatus) -> io::Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{tool}: {status}")))
    }
}
