//! How long a role takes to raise its walls: each is started with all layers and with none in turn, and the time from its
//! orders to its word that it is closed is compared. As a plain user: `cargo run --release -p ringmail --example sealing`.

use ringmail::confine::{Layer, Layers};
use ringmail::drive::birth::Birth;
use ringmail::ipc::spawn::{FromRole, Role, Situation, ToRole};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use sys::socket::{Kind, pair};

/// Starts of each role with and without walls.
const ROUNDS: usize = 51;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, name, layers] = &arguments[..]
        && word == "role"
        && let Some(role) = Role::from_name(name)
    {
        let layers = if layers == "all" {
            Layers::ALL
        } else {
            Layers::only(&[])
        };
        return ringmail::role::main(role, layers, None);
    }
    let folder = std::env::temp_dir().join(format!("ringmail-sealing-{}", std::process::id()));
    let measured = ringmail::role::in_event_loop(measure(&folder));
    let _ = std::fs::remove_dir_all(&folder);
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealing: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder.join("mail"))?;
    println!("medians of {ROUNDS}, in ms, from orders to closed");
    println!("{:<8} {:>8} {:>8} {:>8}", "role", "sealed", "bare", "walls");
    for role in Role::ALL {
        let (mut sealed, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            sealed.push(start(folder, role, "all").await?);
            bare.push(start(folder, role, "none").await?);
        }
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1000.0
        };
        let (sealed, bare) = (median(&mut sealed), median(&mut bare));
        println!(
            "{:<8} {sealed:>8.2} {bare:>8.2} {:>8.2}",
            role.name(),
            sealed - bare
        );
    }
    Ok(())
}

/// Starts a role; how long it took.
async fn start(folder: &Path, role: Role, layers: &str) -> io::Result<Duration> {
    let (ours, theirs) = pair(Kind::SeqPacket)?;
    let arguments = ["role", role.name(), layers];
    let mut child = sys::process::start_role(&arguments, theirs.as_fd(), None)?;
    drop(theirs);
    let birth = Birth::new(ours)?;
    // It has been executed, and waits.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let folder = folder.display();
    let began = Instant::now();
    let orders = ToRole::Orders {
        configuration: format!(
            "hostname = \"mx.a.test\"\nspool = \"{folder}/spool\"\nruntime = \"{folder}/run\"\n\
             [log]\nfolder = \"{folder}/events\"\n[dns]\nservers = [\"127.0.0.1\"]\n\
             [domain.\"a.test\"]\nusers = [\"postmaster\"]\ndeliver = \"maildir:{folder}/mail/{{user}}\"\n"
        ),
        path: "ringmail.toml".into(),
        situation: Situation::Run,
        walls: Vec::new(),
    };
    birth.order(&orders, None)?;
    let took = loop {
        match birth.report().await? {
            Some(FromRole::Confined { stand, missing, .. }) => {
                let whole = Layer::ALL.into_iter().filter(|layer| layer.is_of(role));
                if layers == "all" && (stand.len() != whole.count() || !missing.is_empty()) {
                    return Err(io::Error::other(format!(
                        "{role} goes without: {missing:?}"
                    )));
                }
                break began.elapsed();
            }
            Some(_) => {}
            None => return Err(io::Error::other(format!("{role} ended"))),
        }
    };
    sys::process::kill(&mut child);
    child.wait()?;
    Ok(took)
}
