//! How much and where to: rate limits, breakers, retries, overload. Machinery without settings: components read
//! the file and build their stages of what stands here.

pub mod breaker;
pub mod limit;
pub mod overload;
pub mod pressure;
pub mod regions;

#[cfg(test)]
mod breaker_tests;
