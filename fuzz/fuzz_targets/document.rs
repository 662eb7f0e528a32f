//! Any file: it is read and compiled, or every problem is told with its place.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hanzo_gateway_fuzz::document::check(input));
