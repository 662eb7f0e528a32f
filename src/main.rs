//! The door: arguments, exit code. All work is in the rooms.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Measured: halves the cost of 100 KiB answers against the system allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hanzo_gateway::cli::main(std::env::args_os())
}
