//! The engine on the target `path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::path::run(data));
