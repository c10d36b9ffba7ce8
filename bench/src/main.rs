//! The bench: Ringmail beside other mail servers, in one run, under the same load. `cargo xtask bench` builds and
//! starts it; `docs/performance.md` says what its tables mean.

mod arrivals;
mod cell;
mod load;
mod maildir;
mod measure;
mod message;
mod raw;
mod report;
mod rounds;
mod server;
mod sink;

use clap::{Args, Parser, Subcommand};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Ringmail beside other mail servers, in one run.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    tool: Option<Tool>,
    #[command(flatten)]
    plan: rounds::Plan,
    #[command(flatten)]
    manner: MannerArguments,
}

/// How messages are sent.
#[derive(Args)]
struct MannerArguments {
    /// Octets of each content
    #[arg(long, default_value_t = 4096, global = true)]
    octets: usize,
    /// Messages on one connection
    #[arg(long, default_value_t = 10, global = true)]
    per_connection: usize,
    /// Wait for the reply to each command even where PIPELINING is offered
    #[arg(long, global = true)]
    no_pipelining: bool,
}

#[derive(Subcommand)]
enum Tool {
    /// Only the load tool, into any server on loopback
    Load {
        /// The server
        to: SocketAddr,
        /// The recipients' domain
        #[arg(long, default_value = "relay.test")]
        domain: String,
        /// Sessions at once
        #[arg(long, default_value_t = 20)]
        sessions: usize,
        /// Seconds
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
    /// Only the sink
    Sink {
        /// Its port
        port: u16,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let manner = cell::Manner {
        octets: arguments.manner.octets,
        per_connection: arguments.manner.per_connection.max(1),
        pipelining: !arguments.manner.no_pipelining,
    };
    let done = match arguments.tool {
        None => rounds::run(&arguments.plan, manner),
        Some(Tool::Load {
            to,
            domain,
            sessions,
            seconds,
        }) => only_load(to, domain, sessions, seconds, &manner),
        Some(Tool::Sink { port }) => only_sink(port),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn only_load(
    to: SocketAddr,
    domain: String,
    sessions: usize,
    seconds: f64,
    manner: &cell::Manner,
) -> io::Result<bool> {
    if !to.ip().is_loopback() {
        return Err(io::Error::other("load is for servers on loopback only"));
    }
    let plan = load::Plan {
        to,
        domain,
        sessions,
        messages: usize::MAX,
        time: Some(Duration::from_secs_f64(seconds)),
        per_connection: manner.per_connection,
        pipelining: manner.pipelining,
    };
    let sent = load::run(
        &plan,
        &mut message::Template::new(cell::new_tag(), manner.octets),
    )?;
    println!("{} messages in {:.2?}", sent.accepted, sent.began.elapsed());
    Ok(true)
}

fn only_sink(port: u16) -> io::Result<bool> {
    let arrivals = arrivals::Arrivals::of_all();
    let sink = sink::Sink::start(port, arrivals.clone())?;
    println!("the sink listens on {}", sink.address());
    let mut known = 0;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let came = arrivals.came();
        if came != known {
            println!("{} messages", came - known);
            known = came;
        }
    }
}
