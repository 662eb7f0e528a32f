//! Any connection through the fast lane and through the platform: backends and clients see no difference.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hanzo_gateway_fuzz::lanes::check(input));
