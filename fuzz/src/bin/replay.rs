//! Runs files, or all files of folders, through a target without the engine: `replay TARGET FILE…`. Says
//! which file it is at, so that one that does not hold is known. `replay --room TARGET` names the files that
//! the target is to run through.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let mut name = arguments.next().unwrap_or_default();
    let room = name == "--room";
    if room {
        name = arguments.next().unwrap_or_default();
    }
    let Some(target) = name.to_str().and_then(fuzz::target) else {
        let names: Vec<&str> = fuzz::TARGETS.iter().map(|target| target.name).collect();
        eprintln!(
            "replay [--room] TARGET FILE…; targets are {}",
            names.join(" ")
        );
        return ExitCode::from(2);
    };
    if room {
        println!("{}", target.room.join("\n"));
    }
    for argument in arguments {
        for file in files(Path::new(&argument)) {
            match std::fs::read(&file) {
                Ok(octets) => {
                    println!("{} {}", target.name, file.display());
                    (target.run)(&octets);
                }
                Err(error) => {
                    eprintln!("{}: {error}", file.display());
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

/// The file itself, or all files in the folder.
fn files(path: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![path.to_owned()],
    }
}
