//! Rate limits: what a bucket is, and the state of many callers. Pure decisions about moments that are handed in;
//! components read the file and build stages of them.

pub mod bucket;
pub mod callers;
pub mod day;
pub mod fields;
pub mod gate;
pub mod hits;
pub mod krakend;
#[cfg(test)]
mod model_tests;
pub mod plan;
pub mod rate;
pub mod shared;
pub mod shown;
pub mod table;
pub mod tally;
