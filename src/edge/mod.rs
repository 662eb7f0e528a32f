//! (room edge)
