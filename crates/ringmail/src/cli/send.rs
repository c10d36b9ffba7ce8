//! `ringmail send`: a test message over SMTP to our own listener, and what was answered.

use super::{DONE, NO, NO_DAEMON, TEMPORARY, USAGE};
use crate::config::Config;
use crate::drive::clock::Clock;
use clap::Args;
use mail::{Ending, Mailbox, Outcome, ReversePath, Time};
use serde_json::json;
use smtp::client::{Dialect, Message, Output, Parameters, Security, Session};
use smtp::content::Stuffing;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long the listener may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(70);

/// What is sent.
#[derive(Args)]
pub struct Send {
    /// To whom.
    #[arg(long)]
    to: Vec<String>,
    /// From whom; the null reverse-path where it is not given, or is <>.
    #[arg(long)]
    from: Option<String>,
}

/// Sends it.
pub fn send(config: &Config, what: &Send, json: bool) -> u8 {
    let forward_paths: Result<Vec<Mailbox>, _> =
        what.to.iter().map(|to| Mailbox::parse(to)).collect();
    // As in SMTP, <> is the null reverse-path.
    let from = match what.from.as_deref() {
        None | Some("<>") => "",
        Some(from) => from,
    };
    let reverse_path = ReversePath::parse(from);
    let (Ok(forward_paths), Ok(reverse_path)) = (forward_paths, reverse_path) else {
        eprintln!("ringmail send: an address is malformed");
        return USAGE;
    };
    if forward_paths.is_empty() {
        eprintln!("ringmail send: to whom? --to ADDRESS");
        return USAGE;
    }
    let Some(address) = config.listen.mx.first().map(|a| reachable(*a)) else {
        eprintln!("ringmail send: nothing listens for mail: [listen] mx is not set");
        return NO_DAEMON;
    };
    match talk(config, address, &forward_paths, reverse_path, json) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ringmail send: {address}: {error}");
            NO_DAEMON
        }
    }
}

/// A listener on all addresses is reached on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn talk(
    config: &Config,
    address: SocketAddr,
    forward_paths: &[Mailbox],
    reverse_path: ReversePath,
    json: bool,
) -> std::io::Result<u8> {
    let clock = Clock::start();
    let now = || Time::from_micros(clock.now_micros());
    let from = if reverse_path.is_null() {
        format!("postmaster@{}", config.hostname)
    } else {
        reverse_path.to_string()
    };
    let to = forward_paths
        .iter()
        .map(Mailbox::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let content = format!(
        "From: <{from}>\r\nTo: {to}\r\nSubject: test message\r\nDate: {}\r\nMessage-ID: <{}.{}@{}>\r\n\r\nThis is a test.\r\n",
        now().date(),
        clock.now_micros(),
        std::process::id(),
        config.hostname
    );
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let parameters = Parameters {
        hostname: (*config.hostname).into(),
        dialect: Dialect::Smtp,
        security: Security::AsItIs,
        login: false,
    };
    let mut session = Session::new(parameters, now());
    let mut message = Some(Message {
        reverse_path,
        forward_paths: forward_paths.to_vec(),
        octets: content.len() as u64,
        eight_bit: !content.is_ascii(),
        smtputf8: false,
        dsn: None,
    });
    let (mut input, mut code) = (Vec::new(), TEMPORARY);
    loop {
        while let Some(output) = session.poll() {
            match output {
                // It is ASCII, or an address is not, and whoever takes that takes eight bits.
                Output::Content | Output::SevenBitContent => {
                    let mut stuffing = Stuffing::default();
                    stuffing.write(content.as_bytes(), session.wire());
                    stuffing.end(session.wire());
                    session.content_sent(now());
                }
                Output::EmptyContent => {
                    Stuffing::default().end(session.wire());
                    session.content_sent(now());
                }
                Output::Outcomes(outcomes) => code = tell(forward_paths, &outcomes, json),
                Output::Idle => match message.take() {
                    Some(message) => session.send(message, now()),
                    None => session.quit(now()),
                },
                // Not asked for: it goes to our own host.
                Output::StartTls | Output::Login(_) => session.lost(),
                Output::Unusable(cause) => eprintln!("ringmail send: refused: {}", cause.status()),
                Output::Close => return Ok(code),
            }
        }
        stream.write_all(&std::mem::take(session.wire()))?;
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => session.lost(),
            count => input.extend_from_slice(&piece[..count]),
        }
        let used = session.receive(&input, now());
        input.drain(..used);
    }
}

fn tell(forward_paths: &[Mailbox], outcomes: &[Ending], json: bool) -> u8 {
    let mut code = DONE;
    for (forward_path, outcome) in forward_paths.iter().zip(outcomes) {
        let (word, cause, its_code) = match &outcome.outcome {
            Outcome::Delivered => ("accepted", None, DONE),
            Outcome::Deferred(cause) => ("not now", Some(cause), TEMPORARY),
            Outcome::Failed(cause) => ("refused", Some(cause), NO),
        };
        let status = cause.map(|cause| cause.status().to_string());
        if json {
            println!(
                "{}",
                json!({ "forward_path": forward_path.to_string(), "outcome": word, "status": status })
            );
        } else {
            let status = status.map(|status| format!(" ({status})"));
            println!("{forward_path}: {word}{}", status.unwrap_or_default());
        }
        code = code.max(its_code);
    }
    code
}
