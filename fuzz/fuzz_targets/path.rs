//! Any request: the way to its endpoint and the head that a backend gets.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hanzo_gateway_fuzz::path::check(input));
