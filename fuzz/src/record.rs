//! The spool on a disk that is hurt: a short program of commits, power cuts, failing calls, rotten bits, blocks
//! put elsewhere, foreign files, and records made up behind right checksums. Whatever lies there, opening it
//! does not panic and gives no message that was not written; while only the power was cut, what was
//! acknowledged is there and what was ended stays away; what one rotten bit took is said.
//!
//! The octets are the program: [`Octets`] says what each step does.

mod forge;
mod world;

use crate::octets::Octets;
use queue::spool::Faults;
use world::World;

/// Steps of one program.
const STEPS_MAX: usize = 60;

/// Any octets as a program.
pub fn run(data: &[u8]) {
    check(data, Faults::default());
}

/// A batch whose sync failed is not voided.
pub fn planted(data: &[u8]) {
    check(
        data,
        Faults {
            no_void: true,
            ..Faults::default()
        },
    );
}

fn check(data: &[u8], faults: Faults) {
    let mut octets = Octets(data);
    let mut world = World::new(u64::from(octets.octet()), faults);
    for _ in 0..STEPS_MAX {
        if octets.is_empty() {
            break;
        }
        world.step(&mut octets);
    }
    world.power_cut(u64::from(octets.octet()));
}
