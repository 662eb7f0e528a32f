//! `audit`.
use crate::cli::args::Audit;
/// Runs `audit`.
pub fn audit(_: &Audit, _: bool) -> u8 {
    0
}
