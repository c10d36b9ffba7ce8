//! The engine on the target `command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::command::run(data));
