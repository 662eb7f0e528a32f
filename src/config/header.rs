//! Header names in Go's canonical spelling, in which KrakenD compares and sends them.

pub use crate::base::field::{canonical, is_token};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_as_go_does() {
        for (name, spelled) in [
            ("x-y-z", "X-Y-Z"),
            ("CONTENT-TYPE", "Content-Type"),
            ("x_request_id", "X_request_id"),
            ("*", "*"),
            ("a b-c", "a b-c"),
            ("ä-b", "ä-b"),
            ("", ""),
            ("-a--b", "-A--B"),
        ] {
            assert_eq!(canonical(name), spelled);
        }
    }
}
