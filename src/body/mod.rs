//! Bodies as data: what a backend answered is decoded into a [`Value`], shaped, merged with other
//! answers and rendered for the client. Pure functions: nothing here reads, writes or waits.
//!
//! KrakenD does this with Go maps, `interface{}` and reflection; here it is one enumeration that keeps
//! numbers as text, sorts members once when an object is closed, and never recurses over foreign data.

pub mod decode;
pub mod details;
pub mod flatmap;
pub mod gzip;
pub mod json;
pub mod lookup;
pub mod merge;
pub mod output;
pub mod shape;
pub mod text;
pub mod value;

mod build;
mod date;
mod digits;
mod feed;
mod feed_fields;
mod feed_tree;
mod flatmap_tree;
mod xml;
mod xml_output;
mod yaml;

#[cfg(test)]
mod hostile;

pub use decode::{DecodeError, Decoder};
pub use details::error_details;
pub use digits::Digits;
pub use flatmap::Flatmap;
pub use lookup::slot_text;
pub use merge::{Merge, Merged, Part, completed};
pub use output::{Output, Rendered, render};
pub use shape::Shape;
pub use text::go_text;
pub use value::{Array, Object, Record, Value};

/// The data of an answer: an object, or nothing at all (`null`, which is not the same as `{}`: it
/// makes a merged answer incomplete and prints as `null`).
pub type Data = Option<Object>;
