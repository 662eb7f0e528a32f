//! Modifiers in both directions.
