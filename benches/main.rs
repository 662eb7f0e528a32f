//! Micro benchmarks, in one binary: one module a subject, each on data that is built beforehand.
//!
//! `cargo bench --bench main -- router` runs one subject. What a request costs as a whole is
//! measured over loopback by `benches/load/run.py`.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up stops"
)]

mod backends;
mod bodies;
mod callers;
mod documents;
mod flatmap;
mod heads;
mod limits;
mod lua;
mod martian;
mod router;
mod telemetry;
mod tokens;
mod validation;
mod vouching;

use criterion::Criterion;

/// The allocator of the gateway itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    router::all(&mut criterion);
    heads::all(&mut criterion);
    limits::all(&mut criterion);
    martian::all(&mut criterion);
    backends::all(&mut criterion);
    bodies::all(&mut criterion);
    lua::all(&mut criterion);
    documents::all(&mut criterion);
    flatmap::all(&mut criterion);
    telemetry::all(&mut criterion);
    tokens::all(&mut criterion);
    callers::all(&mut criterion);
    validation::all(&mut criterion);
    vouching::all(&mut criterion);
    criterion.final_summary();
}
