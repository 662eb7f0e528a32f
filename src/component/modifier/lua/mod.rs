//! Lua for the three components of `modifier/lua-*`: settings, sources, the interpreter and the objects that
//! scripts see. What a script may cost is bounded: its time, its memory, and how many run at once.
//!
//! Differs from KrakenD: sources are compiled once and what does not compile refuses the file; `timeout` and
//! `max_memory` are settings of ours. The rest is the table of its documentation.

#[cfg(test)]
mod bounds_tests;
mod ctx;
mod data;
mod fault;
mod fields;
mod md5;
mod number;
mod pattern;
mod remote;
mod request;
mod response;
mod run;
mod script;
mod source;
mod state;
mod tables;
#[cfg(test)]
mod tests;
mod vm;

pub use script::{HeadScript, PipeScript};
