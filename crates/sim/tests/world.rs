//! The whole, in one process, from seeds: what was acknowledged is delivered, reported or still queued; nothing
//! arrives that was refused; no bound is exceeded. And each planted fault is caught.

use sim::world::{Count, Plant, run};

/// Seeds of the fast tests; other ranges with `SIM_FIRST` and `SIM_SEEDS`.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, or: u64| {
        let said = std::env::var(name).ok();
        said.and_then(|n| n.parse().ok()).unwrap_or(or)
    };
    let first = number("SIM_FIRST", 0);
    first..first + number("SIM_SEEDS", 1000)
}

#[test]
fn every_acknowledged_message_is_accounted_for_in_every_world() {
    let (mut all, mut wrongs) = (Count::default(), Vec::new());
    for seed in seeds() {
        match run(seed, None) {
            Ok(count) => {
                all.acknowledged += count.acknowledged;
                all.copies += count.copies;
                all.duplicates += count.duplicates;
                all.reports += count.reports;
                all.delays += count.delays;
                all.kills += count.kills;
            }
            Err(wrong) => wrongs.push(wrong),
        }
        if wrongs.len() >= 10 {
            break;
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    println!("{all:?}");
    assert!(all.acknowledged > 0 && all.reports > 0 && all.delays > 0 && all.kills > 0);
}

#[test]
fn each_planted_fault_is_caught() {
    let mut missed = Vec::new();
    for plant in Plant::ALL {
        let caught = (0..400).find(|seed| run(*seed, Some(plant)).is_err());
        println!("{plant:?}: caught by seed {caught:?}");
        if caught.is_none() {
            missed.push(plant);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
