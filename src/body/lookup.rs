//! temporary
use super::Data;
/// x
pub fn slot_text(_: &Data, _: &str) -> Option<String> {
    None
}
