//! The two readings of a claim that are the same for everybody who looks at one: times, and numbers as text.

use super::malformed::Malformed;
use crate::body::{Object, Value};

/// A time of the claims (`exp`, `nbf`, `iat`; RFC 7519 section 2): whole seconds since 1970, what is behind the
/// point is cut off, as in KrakenD. `None` when there is no such claim or it is null.
///
/// # Errors
/// [`Malformed::Claims`] when it is no number, or none that can be held.
pub fn numeric_date(claims: &Object, name: &str) -> Result<Option<i64>, Malformed> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(digits)) => match digits.parse::<f64>() {
            // Beyond what an integer holds it stays at the end of its range.
            Ok(seconds) if seconds.is_finite() => Ok(Some(seconds as i64)),
            _ => Err(Malformed::Claims),
        },
        Some(_) => Err(Malformed::Claims),
    }
}

#[cfg(test)]
mod tests {
    use super::super::strict;
    use super::*;

    fn date(value: &str) -> Result<Option<i64>, Malformed> {
        let claims = format!(r#"{{"exp":{value}}}"#);
        numeric_date(&strict::object(claims.as_bytes()).unwrap(), "exp")
    }

    #[test]
    fn times_are_whole_seconds() {
        for (written, seconds) in [
            ("1700000000", 1_700_000_000),
            ("1700000000.999", 1_700_000_000),
            ("1.7e9", 1_700_000_000),
            ("-1.5", -1),
            ("0", 0),
            ("1e300", i64::MAX),
            ("-1e300", i64::MIN),
        ] {
            assert_eq!(date(written), Ok(Some(seconds)), "{written}");
        }
    }

    #[test]
    fn a_missing_time_is_none_and_an_odd_one_refused() {
        assert_eq!(date("null"), Ok(None));
        assert_eq!(numeric_date(&Object::new(), "exp"), Ok(None));
        for odd in [r#""1700000000""#, "true", "[1]", "{}", "1e999"] {
            assert_eq!(date(odd), Err(Malformed::Claims), "{odd}");
        }
    }
}
