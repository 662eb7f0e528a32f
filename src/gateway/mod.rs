//! The compiled house: what a request meets, made once from the document and never changed.

pub mod head;
