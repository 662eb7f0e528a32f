//! HTTP/1.1 towards backends, without any I/O: writing a request head, reading an answer's head, and
//! telling where a body ends. Composed answers and the streaming lane use the same three parts.
//!
//! Stricter than KrakenD: where two readers could disagree on the end of an answer, it is refused.

pub mod chunked;
pub mod framing;
pub mod head;
#[cfg(test)]
mod split_tests;
pub mod writer;

pub use chunked::Chunked;
pub use framing::{Framing, Piece};
pub use head::{AnswerHead, HeadParser};
pub use writer::{Sending, request_head};
