//! Words that every room uses: what a request can die of, what is wrong with a file, an answer, time.

pub mod clock;
pub mod error;
pub mod field;
pub mod future;
pub mod fx;
pub mod json;
pub mod problem;
pub mod reply;
pub mod secret;
pub mod version;

pub use error::{Error, Reason};
pub use problem::{Code, Problem, Report, Severity};
pub use reply::{Dialect, ErrorShape, Reply};
