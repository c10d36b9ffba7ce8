//! Builds the engine's programs with the toolchain that there is, runs them, and reads what they say.

use super::{corpus, root};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

pub const HOST: &str = "x86_64-unknown-linux-gnu";
/// What makes the compiler count where a run came: passes of LLVM itself, asked for by stable flags.
const COUNTING: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Names the target to the program that holds the planted mistakes; as in the crate `fuzz`.
const PLANTED_VARIABLE: &str = "RINGMAIL_FUZZ_PLANTED";
/// A run that takes longer is a finding, in seconds.
const TIMEOUT: u32 = 20;
/// A run that needs more memory is a finding, in MiB.
const MEMORY: u32 = 1024;
/// Lines of the engine's words that are shown of a finding.
const STORY_LINES: usize = 40;

/// The engine's programs, built.
pub struct Engine {
    programs: PathBuf,
}

/// How long the engine looks.
#[derive(Clone, Copy)]
pub enum Until {
    /// For so long, with chances of its own each time, from all that was learnt here.
    Seconds(u32),
    /// For the target's number of executions, with one seed, from the kept corpus. Where a target has hash tables, or files of the
    /// corpus are listed in another order, it still differs a little from run to run.
    Runs,
}

/// What came of running a target.
#[derive(Default)]
pub struct Run {
    pub executions: u64,
    pub corpus: u64,
    /// Octets that the target does not hold against.
    pub finding: Option<PathBuf>,
    log: String,
}

impl Engine {
    /// Builds; the error says what is missing.
    pub fn build() -> Result<Self, String> {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let asked = Command::new(&compiler).arg("--version").output();
        if !asked.is_ok_and(|output| output.status.success()) {
            return Err(format!(
                "the engine wants a C++ compiler, and {compiler} does not answer"
            ));
        }
        let folder = root().join("target/fuzz");
        let mut build = Command::new("cargo");
        build
            .current_dir(root())
            .env("RUSTFLAGS", COUNTING)
            .args(["build", "--quiet", "--locked", "--package", "fuzz"])
            .args(["--features", "engine", "--profile", "fuzz"])
            .args(["--target", HOST, "--target-dir"])
            .arg(&folder);
        for name in super::targets()?
            .iter()
            .map(String::as_str)
            .chain(["planted"])
        {
            build.arg("--bin").arg(format!("fuzz-{name}"));
        }
        if !crate::run(&mut build) {
            return Err("the engine was not built".into());
        }
        let programs = folder.join(HOST).join("fuzz");
        Ok(Self { programs })
    }

    /// Looks; what is learnt goes below `target/`.
    pub fn look(&self, target: &str, until: Until) -> Result<Run, String> {
        let mut command = self.command(&format!("fuzz-{target}"), target)?;
        match until {
            Until::Seconds(seconds) => command
                .arg(format!("-max_total_time={seconds}"))
                .arg(learnt(target)?),
            Until::Runs => command
                .args([format!("-runs={}", runs(target)), "-seed=1".into()])
                .arg(emptied(&format!("{target}.runs"))?),
        };
        run(command.arg(corpus().join(target)), target)
    }

    /// Looks for the planted mistake: with the same chances each time, so that it is found or not for good.
    pub fn planted(&self, target: &str, runs: u32) -> Result<Run, String> {
        let mut command = self.command("fuzz-planted", target)?;
        command
            .env(PLANTED_VARIABLE, target)
            .arg(format!("-runs={runs}"))
            .arg("-seed=1")
            .arg(emptied(&format!("{target}.planted"))?)
            .arg(corpus().join(target));
        run(&mut command, &format!("planted-{target}"))
    }

    /// The file does not trouble the target without its mistake.
    pub fn holds(&self, target: &str, file: &Path) -> Result<(), String> {
        let mut command = self.command(&format!("fuzz-{target}"), target)?;
        let run = run(command.arg(file), &format!("holds-{target}"))?;
        match run.finding {
            None => Ok(()),
            Some(_) => Err(run.story()),
        }
    }

    /// Replaces the kept corpus by the smallest that reaches what it and all that was learnt reach.
    pub fn keep(&self, target: &str) -> Result<(), String> {
        let (kept, new) = (corpus().join(target), emptied(&format!("{target}.keep"))?);
        let said = |error: io::Error| format!("{}: {error}", new.display());
        let mut command = self.command(&format!("fuzz-{target}"), target)?;
        command
            // What counts is where a run came, not how often: the engine finds the rest again by itself.
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .arg(&new)
            .arg(&kept)
            .arg(learnt(target)?);
        let run = run(&mut command, &format!("keep-{target}"))?;
        if run.finding.is_some() {
            return Err(run.story());
        }
        for entry in fs::read_dir(&kept).map_err(said)?.flatten() {
            fs::remove_file(entry.path()).map_err(said)?;
        }
        let (mut files, mut octets) = (0, 0);
        for entry in fs::read_dir(&new).map_err(said)?.flatten() {
            octets += fs::copy(entry.path(), kept.join(entry.file_name())).map_err(said)?;
            files += 1;
        }
        println!("  {target:14} {files} files, {} KiB", octets / 1024);
        Ok(())
    }

    fn command(&self, program: &str, target: &str) -> Result<Command, String> {
        let findings = folder("target/fuzz/findings", target)?;
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir(root())
            .args(["-print_final_stats=1", "-verbosity=1"])
            .arg(format!("-max_len={}", longest(target)))
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-artifact_prefix={}/", findings.display()));
        let words = root().join("fuzz/dictionary").join(target);
        if words.is_file() {
            command.arg(format!("-dict={}", words.display()));
        }
        Ok(command)
    }
}

/// Longest input: what a longer one could say a shorter one says too.
fn longest(target: &str) -> u32 {
    match target {
        "arrow" => 600,
        "record" => 300,
        "command" => 8192,
        _ => 4096,
    }
}

/// Executions of a minute at most.
fn runs(target: &str) -> u32 {
    match target {
        "arrow" | "path" => 4_000_000,
        "completion" | "reply" => 300_000,
        "command" | "seven_bit" => 25_000,
        "record" => 7_000,
        // Each parses and prints two configurations whole.
        _ => 3_000,
    }
}

/// The same, with nothing in it.
fn emptied(name: &str) -> Result<PathBuf, String> {
    let folder = learnt(name)?;
    fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    learnt(name)
}

/// Where what is learnt goes.
fn learnt(target: &str) -> Result<PathBuf, String> {
    folder("target/fuzz/corpus", target)
}

fn folder(parent: &str, name: &str) -> Result<PathBuf, String> {
    let folder = root().join(parent).join(name);
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

/// Runs the engine to its end, its words in a file.
fn run(command: &mut Command, name: &str) -> Result<Run, String> {
    let log = root().join("target/fuzz").join(format!("{name}.log"));
    let said = |error: io::Error| format!("{}: {error}", log.display());
    let file = fs::File::create(&log).map_err(said)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(said)?)
        .stderr(file)
        .status()
        .map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let octets = fs::read(&log).map_err(said)?;
    let mut run = Run {
        log: String::from_utf8_lossy(&octets).into_owned(),
        ..Run::default()
    };
    run.read_log();
    if status.success() == run.finding.is_some() {
        return Err(format!("{name}: ended with {status}\n{}", run.story()));
    }
    Ok(run)
}

impl Run {
    fn read_log(&mut self) {
        for line in self.log.lines() {
            if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
                self.executions = number.trim().parse().unwrap_or(0);
            }
            if let Some((_, behind)) = line.split_once(" corp: ") {
                let digits = behind.split(|c: char| !c.is_ascii_digit()).next();
                self.corpus = digits.and_then(|d| d.parse().ok()).unwrap_or(0);
            }
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                self.finding = Some(path.into());
            }
        }
    }

    /// One line for a target that was looked at.
    pub fn summary(&self, target: &str) -> String {
        let (executions, corpus) = (self.executions, self.corpus);
        let end = match &self.finding {
            None => "no finding".into(),
            Some(path) => format!("FINDING {}", path.display()),
        };
        format!("{target:14} {executions:>10} executions, {corpus:>5} in corpus, {end}")
    }

    /// The end of what the engine said, from the panic on.
    pub fn story(&self) -> String {
        let lines: Vec<&str> = self.log.lines().collect();
        let start = lines.iter().position(|line| line.contains("panicked at"));
        let start = start.unwrap_or(lines.len().saturating_sub(STORY_LINES));
        let mut story: Vec<&str> = lines[start..].iter().take(STORY_LINES).copied().collect();
        // The octets themselves, for a machine that is gone tomorrow.
        story.extend(lines.iter().filter(|line| line.starts_with("Base64: ")));
        story.join("\n")
    }
}
