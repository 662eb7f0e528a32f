//! (room compile)
