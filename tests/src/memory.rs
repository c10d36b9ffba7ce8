//! What a process has in its memory, for tests of who knows a secret.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};

/// All that a process can write to, and so all that it keeps. It takes root.
///
/// # Panics
/// Where there is no such process, or it may not be looked into.
pub fn memory_of(pid: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("root may look");
    let mut file = File::open(format!("/proc/{pid}/mem")).expect("root may look");
    let mut all = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').expect("a range");
        let (from, to) = range.split_once('-').expect("a range");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        if rest.starts_with("rw") {
            let length = address(to) - address(from);
            file.seek(SeekFrom::Start(address(from)))
                .expect("an address");
            let before = all.len();
            // What was never touched may be no memory yet.
            if (&mut file).take(length).read_to_end(&mut all).is_err() {
                all.truncate(before);
            }
        }
    }
    all
}
