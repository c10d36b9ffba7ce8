//! The engine on a target with its planted mistake; which one, the environment says.
#![no_main]

use fuzz::{PLANTED_VARIABLE, Target, target};
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(PLANTED_VARIABLE).expect("the variable names a target");
    target(&name).expect("there is such a target")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.planted)(data));
