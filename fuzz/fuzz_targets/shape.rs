//! Any answer of a backend: decoded, shaped, merged and written in every form.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| hanzo_gateway_fuzz::shape::check(input));
