//! The engine on the target `completion`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::completion::run(data));
