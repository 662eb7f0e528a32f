//! Composed answers: every backend of an endpoint is called at the same time under one deadline, what
//! comes back is decoded, shaped and merged in the order of arrival (reference/krakend-core 6 to 9).

pub mod call;
pub mod compose;
pub mod exchange;
pub mod redirect;
pub mod sequential;
pub mod shadow;
pub mod staged;
pub mod wire;

pub use call::{Inbound, Request, wire_target};
pub use compose::{Composed, compose};
