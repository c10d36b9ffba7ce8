//! The engine on the target `seven_bit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::seven_bit::run(data));
