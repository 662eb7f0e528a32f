//! Any bytes as a body: both readers of chunks against plain decoders, however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hanzo_gateway_fuzz::framing::check(input));
