//! (room pipe)
