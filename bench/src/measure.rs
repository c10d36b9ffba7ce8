//! What a server costs: CPU time, memory, and what it asks of the kernel. Its processes live in a control group of
//! their own, where the kernel adds up for us, also for those that came and went; where no control group can be made,
//! CPU time and memory are added up over the descendants of this process, and counts are left out.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often memory is looked at: each look walks the page tables of all processes.
const MEMORY_LOOK: Duration = Duration::from_millis(200);
/// CPU time within one look that an idle server may use.
const IDLE_CPU: Duration = Duration::from_millis(4);
/// One look at whether it is idle.
const IDLE_LOOK: Duration = Duration::from_millis(100);
/// No server is waited for longer.
const IDLE_WAIT: Duration = Duration::from_secs(10);

/// The processes of one server.
pub enum Group {
    /// A control group, version 2: its folder and its name.
    Control(PathBuf, String),
    /// All descendants of this process.
    Descendants,
}

impl Group {
    /// A new group, empty.
    pub fn new(name: &str) -> Self {
        let name = format!("ringmail-bench-{}-{name}", std::process::id());
        match mount_of_control_groups() {
            Some(mount) if fs::create_dir(mount.join(&name)).is_ok() => {
                Self::Control(mount.join(&name), name)
            }
            _ => Self::Descendants,
        }
    }

    /// Runs `start`, whose child processes are born into the group.
    pub fn birth<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        let Self::Control(folder, _) = self else {
            return Ok(start());
        };
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let mount = folder.parent().unwrap_or(Path::new("/"));
        let own = mount.join(own.unwrap_or_default());
        let me = std::process::id().to_string();
        fs::write(folder.join("cgroup.procs"), &me)?;
        let started = start();
        fs::write(own.join("cgroup.procs"), &me)?;
        Ok(started)
    }

    /// CPU time so far, user and system, of all that live and lived.
    pub fn cpu(&self) -> Duration {
        match self {
            Self::Control(folder, _) => {
                let stat = fs::read_to_string(folder.join("cpu.stat")).unwrap_or_default();
                let micros = stat.lines().find_map(|l| l.strip_prefix("usage_usec "));
                Duration::from_micros(micros.and_then(|m| m.parse().ok()).unwrap_or_default())
            }
            Self::Descendants => {
                let ticks: u64 = descendants().iter().map(|(_, ticks)| ticks).sum();
                Duration::from_secs(ticks) / u32::try_from(ticks_per_second()).unwrap_or(100)
            }
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Control(folder, _) => {
                let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                pids.lines().filter_map(|pid| pid.parse().ok()).collect()
            }
            Self::Descendants => descendants().into_iter().map(|(pid, _)| pid).collect(),
        }
    }

    /// Memory now, in octets: the sum of PSS, in which a page shared by several counts once in all.
    pub fn memory(&self) -> u64 {
        let of = |pid: u32| {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            pss.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        self.pids().into_iter().filter_map(of).sum::<u64>() * 1024
    }

    /// Waits until it does next to nothing, so that what it does after the last arrival is counted too.
    pub fn wait_idle(&self) {
        let began = Instant::now();
        while began.elapsed() < IDLE_WAIT {
            let before = self.cpu();
            std::thread::sleep(IDLE_LOOK);
            if self.cpu().saturating_sub(before) < IDLE_CPU {
                return;
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Self::Control(folder, _) = self {
            // What a server left behind ends with its group.
            let _ = fs::write(folder.join("cgroup.kill"), "1");
            let until = Instant::now() + Duration::from_secs(5);
            while fs::remove_dir(&folder).is_err() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn mount_of_control_groups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let folder = words.next()?;
        (words.next()? == "cgroup2").then_some(folder)
    });
    mount.map(PathBuf::from)
}

/// Pid and clock ticks, those of its buried children included, of all below this process.
fn descendants() -> Vec<(u32, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, which may hold anything: state, parent, ... utime, stime, cutime, cstime.
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let number = |place: usize| fields.get(place).and_then(|f| f.parse::<u64>().ok());
        if let Some(parent) = number(1) {
            let ticks = (11..15).filter_map(number).sum();
            all.push((pid, parent, ticks));
        }
    }
    let mut below = vec![u64::from(std::process::id())];
    let mut found = Vec::new();
    while let Some(parent) = below.pop() {
        for (pid, _, ticks) in all.iter().filter(|(_, p, _)| *p == parent) {
            below.push(u64::from(*pid));
            found.push((*pid, *ticks));
        }
    }
    found
}

fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// What a server asked of the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// fsync, fdatasync, `sync_file_range`, syncfs, msync and sync.
    pub syncs: u64,
    /// All system calls.
    pub system_calls: u64,
    /// Context switches, voluntary and not.
    pub switches: u64,
}

const SYNCS: [&str; 6] = [
    "fsync",
    "fdatasync",
    "sync_file_range",
    "syncfs",
    "msync",
    "sync",
];

/// A count that runs, by `perf stat` on the group's processes.
pub struct Counter {
    perf: Child,
    file: tempfile::NamedTempFile,
}

impl Counter {
    /// Begins to count. An error says why it cannot be done here.
    pub fn start(group: &Group) -> io::Result<Self> {
        let Group::Control(_, name) = group else {
            return Err(io::Error::other("no control group can be made here"));
        };
        let mut events: Vec<String> = SYNCS
            .iter()
            .map(|call| format!("syscalls:sys_enter_{call}"))
            .collect();
        events.push("raw_syscalls:sys_enter".into());
        events.push("context-switches".into());
        let groups = vec![name.as_str(); events.len()].join(",");
        let file = tempfile::NamedTempFile::new()?;
        // It counts as long as its child runs, which is as long as we hold its input.
        let mut perf = Command::new("perf")
            .args([
                "stat",
                "-x",
                ",",
                "-a",
                "-e",
                &events.join(","),
                "-G",
                &groups,
                "-o",
            ])
            .arg(file.path())
            .args(["--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(input), Some(output)) = (&mut perf.stdin, &mut perf.stdout) else {
            return Err(io::Error::other("perf has no pipes"));
        };
        let mut echo = [0];
        if input.write_all(b"x").is_err() || output.read_exact(&mut echo).is_err() {
            let _ = perf.wait();
            return Err(io::Error::other("perf cannot count here"));
        }
        Ok(Self { perf, file })
    }

    /// Ends the count.
    pub fn stop(mut self) -> io::Result<Counts> {
        drop(self.perf.stdin.take());
        self.perf.wait()?;
        let mut counts = Counts::default();
        for line in fs::read_to_string(self.file.path())?.lines() {
            let fields: Vec<&str> = line.split(',').collect();
            let [count, _, event, ..] = fields[..] else {
                continue;
            };
            // "<not counted>": the group did not run at all.
            let count = count.parse().unwrap_or(0);
            match event {
                "raw_syscalls:sys_enter" => counts.system_calls += count,
                "context-switches" => counts.switches += count,
                _ => counts.syncs += count,
            }
        }
        Ok(counts)
    }
}

/// Looks at a group's memory until it is asked for the peak.
pub struct Memory {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Memory {
    /// Begins to look.
    pub fn start(group: &Arc<Group>) -> io::Result<Self> {
        let (peak, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (group, told, stopped) = (Arc::clone(group), Arc::clone(&peak), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("memory".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    told.fetch_max(group.memory(), Ordering::Relaxed);
                    std::thread::sleep(MEMORY_LOOK);
                }
            })?;
        Ok(Self { peak, stop, thread })
    }

    /// The highest that was seen, in octets.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        // It does nothing that could panic.
        let _ = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}

/// Processes that run or want to, averaged over the last minute: others' load on the machine shows here.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_works_and_one_that_is_gone_are_charged_to_the_group() {
        let group = Group::new("test");
        let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; sleep 100";
        let child = group.birth(|| Command::new("sh").args(["-c", script]).spawn());
        let mut child = child.unwrap().unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        while group.cpu() < Duration::from_millis(30) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(group.cpu() >= Duration::from_millis(30));
        assert!(group.memory() > 64 * 1024, "a shell has some memory");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn syncs_are_counted() {
        let group = Group::new("syncs");
        let folder = tempfile::tempdir().unwrap();
        let counter = match Counter::start(&group) {
            Ok(counter) => counter,
            Err(why) => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "counts are left out: {why}"
                );
                return;
            }
        };
        let script =
            "for i in 1 2 3; do dd if=/dev/zero of=x bs=1k count=1 conv=fsync 2>/dev/null; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(folder.path());
        group.birth(|| command.status()).unwrap().unwrap();
        let counts = counter.stop().unwrap();
        assert_eq!(counts.syncs, 3);
        assert!(counts.system_calls > 30 && counts.switches > 0);
    }
}
