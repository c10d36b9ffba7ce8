//! `ringmail try`: the whole program on loopback, for any domain, with nothing leaving the machine.

use super::{CONFIGURATION, NO, run};
use crate::ipc::spawn::Situation;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// The first line of a file that `try` wrote: other commands read it as `try` does.
const MARK: &str =
    "# Written by `ringmail try`: any domain's mail lands in Maildirs beside this file.";
/// Where SMTP and submission listen, or the next free ports.
const PORTS: [u16; 2] = [2525, 2587];
/// Ports that are tried, from each of these on.
const PORTS_TRIED: u16 = 50;

/// Whether `try` wrote this configuration.
pub fn wrote(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}

/// Writes the configuration and runs.
pub fn run(dir: &Path) -> u8 {
    let (path, ports) = match prepare(dir) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("ringmail try {}: {error}", dir.display());
            return NO;
        }
    };
    match super::load(&path, Situation::Try) {
        Ok(config) => run::start(config, &path, Situation::Try, greeting(&path, ports)),
        Err(errors) => {
            eprint!("{errors}");
            CONFIGURATION
        }
    }
}

fn prepare(dir: &Path) -> std::io::Result<(PathBuf, [u16; 2])> {
    fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let mut ports = [0; 2];
    for (port, wanted) in ports.iter_mut().zip(PORTS) {
        *port = free_port(wanted)?;
        if *port != wanted {
            println!("port {wanted} is taken: listening on {port} instead");
        }
    }
    let shown = dir.display();
    let path = dir.join("ringmail.toml");
    let text = format!(
        "{MARK}\nhostname = \"try.localhost\"\nspool    = \"{shown}/spool\"\nruntime  = \"{shown}/run\"\n\n\
         [listen]\nmx         = \"127.0.0.1:{}\"\nsubmission = \"127.0.0.1:{}\"\n\n\
         [try]\ndeliver = \"maildir:{shown}/mail/{{domain}}/{{user}}\"\n",
        ports[0], ports[1]
    );
    fs::write(&path, text)?;
    Ok((path, ports))
}

/// The first free port from `wanted` on.
fn free_port(wanted: u16) -> std::io::Result<u16> {
    let mut last = None;
    for port in wanted..wanted + PORTS_TRIED {
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

/// What is printed when all is ready: where it listens, and four lines to paste.
fn greeting(path: &Path, [mx, submission]: [u16; 2]) -> String {
    let config = path.display();
    let mail = path.with_file_name("mail");
    let program =
        std::env::current_exe().map_or_else(|_| "ringmail".into(), |p| p.display().to_string());
    format!(
        "SMTP on 127.0.0.1:{mx}, submission on 127.0.0.1:{submission}; nothing leaves this machine.\n\
         Paste into another terminal:\n\
         \x20 printf 'Subject: hello\\n\\nIt works.\\n' | curl -sS smtp://127.0.0.1:{mx} --mail-from me@example.org --mail-rcpt you@example.net -T -\n\
         \x20 {program} --config {config} send --to you@example.net\n\
         \x20 {program} --config {config} queue list\n\
         \x20 ls {}/example.net/you/new\n\
         Ctrl-C ends it; what is queued stays.",
        mail.display()
    )
}

/// Says that a message lies in this file: From, Subject, path.
pub fn say_arrival(file: &Path) {
    let (mut from, mut subject) = (String::new(), String::new());
    if let Ok(open) = fs::File::open(file) {
        for line in BufReader::new(open).lines().map_while(Result::ok).take(200) {
            if line.is_empty() {
                break;
            }
            let value = |name: &str| {
                let (start, rest) = line.split_at_checked(name.len())?;
                start
                    .eq_ignore_ascii_case(name)
                    .then(|| rest.trim().to_owned())
            };
            from = value("From:").unwrap_or(from);
            subject = value("Subject:").unwrap_or(subject);
        }
    }
    // A terminal must not obey what a stranger wrote.
    println!(
        "{} | {} | {}",
        from.escape_debug(),
        subject.escape_debug(),
        file.display()
    );
    let _ = std::io::stdout().flush();
}
