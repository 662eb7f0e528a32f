//! All tests that need the whole gateway; they come with the gateway.
fn main() {}
