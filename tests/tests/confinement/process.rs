//! What the kernel says of one process.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A line of a file of `/proc/PID`, its words behind the name.
pub fn line(pid: u32, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let words = lines.next().unwrap_or_default().trim_start_matches(':');
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The namespace of a kind, as the kernel names it.
pub fn namespace(pid: u32, kind: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()
}

/// The soft and the hard limit of that name, as the kernel writes them.
pub fn limit(pid: u32, name: &str) -> (String, String) {
    let line = line(pid, "limits", name);
    let mut words = line.split(' ').map(str::to_owned);
    let mut next = || words.next().unwrap_or_default();
    (next(), next())
}

/// Whether nobody of its user may look into it, by proc(5): its files are root's then. It is not root itself.
pub fn is_hidden(pid: u32) -> bool {
    let owner = fs::metadata(format!("/proc/{pid}/environ")).map(|found| found.uid());
    owner.is_ok_and(|owner| owner == 0) && !line(pid, "status", "Uid").starts_with("0 ")
}

/// How many octets of environment it was started with; nothing where it cannot be read.
pub fn environment(pid: u32) -> Option<usize> {
    let octets = fs::read(format!("/proc/{pid}/environ")).ok()?;
    Some(octets.len())
}

/// What is mounted in its root, and those options that take something away, by `proc_pid_mountinfo(5)`.
pub fn mounts(pid: u32) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let mount = |line: &str| {
        let mut words = line.split(' ').skip(4);
        let (at, options) = (words.next()?, words.next()?);
        let ours = ["ro", "rw", "nosuid", "nodev", "noexec"];
        let options = options.split(',').filter(|option| ours.contains(option));
        Some((at.to_owned(), options.collect::<Vec<_>>().join(",")))
    };
    text.lines().filter_map(mount).collect()
}
