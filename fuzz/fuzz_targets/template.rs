//! Any template with any settings: it is rendered, or what is wrong is told with its place.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hanzo_gateway_fuzz::template::check(input));
