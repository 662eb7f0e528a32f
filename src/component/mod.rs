//! (room component)
