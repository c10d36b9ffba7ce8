//! What no peer is told: what the program is called and which version it is, what the machine is called, users, paths and
//! addresses. Whatever the clients of these tests are told, and whatever next hops are told before content, is searched for it.

use std::env::consts::OS;
use std::sync::LazyLock;

/// Words that tell what we are made of.
const PRODUCTS: [&str; 4] = ["ringmail", "rustls", "tokio", OS];
/// Words before a user's number, and before a process's.
const NUMBERS: [&str; 3] = ["uid", "gid", "pid"];
/// Folders that paths begin with.
const FOLDERS: [&str; 12] = [
    "/bin", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/srv", "/sys", "/tmp", "/usr",
    "/var",
];

/// What this machine is called.
static MACHINE: LazyLock<String> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_ascii_lowercase()
});

/// Panics where a peer is told what nobody has to know.
pub fn look(said: &str) {
    if let Some(leak) = leak(said, &MACHINE, env!("CARGO_PKG_VERSION")) {
        panic!("a peer is told {leak:?}: {said:?}");
    }
}

/// The first of it.
fn leak<'a>(said: &'a str, machine: &str, version: &str) -> Option<&'a str> {
    let texts = said.lines().map(|line| match line.as_bytes() {
        // Behind the code of a reply that goes on there is no blank.
        [a, b, c, b'-', ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => &line[4..],
        _ => line,
    });
    let mut words = texts
        .flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || "._-:/".contains(c))));
    let tells = |word: &str| {
        let lower = word.trim_end_matches('.').to_ascii_lowercase();
        // What a folder begins with is a path: `4.4.1/x` is none, and no reply says so.
        let is_path = FOLDERS.iter().any(|folder| lower.starts_with(folder));
        let is_product = PRODUCTS.iter().any(|product| lower.contains(product));
        let is_number = NUMBERS.iter().any(|number| {
            let rest = lower.strip_prefix(number);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '-']))
        });
        is_path
            || is_product
            || is_number
            || is_address(&lower)
            || lower == version
            || lower == machine
    };
    words.find(|word| !word.is_empty() && tells(word))
}

/// Four numbers, or colons as no word has them.
fn is_address(word: &str) -> bool {
    let is_number = |part: &str| part.parse::<u8>().is_ok();
    let parts: Vec<&str> = word.split('.').collect();
    (parts.len() == 4 && parts.iter().all(|part| is_number(part)))
        || word.parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::leak;

    #[test]
    fn each_planted_leak_is_found_and_what_we_say_is_none() {
        for (said, found) in [
            ("220 mx.a.test ESMTP Ringmail", "Ringmail"),
            ("220 mx.a.test ESMTP 0.1.0", "0.1.0"),
            ("250-engine-room.lan", "engine-room.lan"),
            ("451 4.3.0 no room at /var/spool/x", "/var/spool/x"),
            ("451 4.3.0 uid 1000 may not", "uid"),
            ("550 5.7.1 [10.1.2.3] may not", "10.1.2.3"),
            ("550 5.7.1 fd00::1 may not", "fd00::1"),
            ("421 4.3.0 pid:77", "pid:77"),
            ("250-mx.a.test Hello client.test [127.0.0.1].", "127.0.0.1"),
        ] {
            assert_eq!(
                leak(said, "engine-room.lan", "0.1.0"),
                Some(found),
                "{said}"
            );
        }
        for said in [
            "220 mx.a.test ESMTP",
            "250-ENHANCEDSTATUSCODES",
            "250 2.0.0 000K1B8RKW4R6 accepted",
            "250 SIZE 52428800",
            "535 5.7.8 rapid.uidaho.test",
        ] {
            assert_eq!(leak(said, "engine-room.lan", "0.1.0"), None, "{said}");
        }
    }
}
