//! temporary
use super::Data;
/// x
#[derive(Debug)]
pub struct Flatmap;
impl Flatmap {
    /// x
    pub fn compile(_: &serde_json::Value) -> (Option<Self>, Vec<String>) {
        (None, vec![])
    }
    /// x
    pub fn apply(&self, data: Data) -> Data {
        data
    }
}
