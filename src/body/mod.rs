//! (room body)
