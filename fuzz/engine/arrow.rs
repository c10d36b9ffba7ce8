//! The engine on the target `arrow`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::arrow::run(data));
