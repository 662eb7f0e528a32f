//! Any bytes as a head on the fast lane: to its backend and back to the client as plain readers would.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hanzo_gateway_fuzz::plan::check(input));
