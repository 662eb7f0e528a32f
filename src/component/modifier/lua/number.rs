//! How numbers of a script look outside of it: as text where KrakenD's interpreter makes one, and as JSON
//! where a script puts one into the data.

/// A number in JSON as Go writes a float64: plain digits within 1e-6 … 1e21, else an exponent with its
/// sign. `None` for what JSON cannot say.
pub(super) fn json(x: f64) -> Option<String> {
    if !x.is_finite() {
        return None;
    }
    let size = x.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{x:e}");
        return Some(match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        });
    }
    Some(format!("{x}"))
}

/// A number as text: whole ones without point or exponent, others as Go's `%v`.
pub(super) fn text(x: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "compared with what it was"
    )]
    let whole = (x as i64) as f64 == x && x.abs() < 9.2e18;
    if whole {
        #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
        return (x as i64).to_string();
    }
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{x:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&power) {
        return format!("{x}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_data_are_written_as_go_writes_floats() {
        for (x, text) in [
            (1.0, Some("1")),
            (-0.5, Some("-0.5")),
            (1e20, Some("100000000000000000000")),
            (1e21, Some("1e+21")),
            (1e-7, Some("1e-7")),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(json(x).as_deref(), text, "{x}");
        }
    }

    #[test]
    fn whole_numbers_have_no_point_and_others_look_as_in_go() {
        for (x, expected) in [
            (1.0, "1"),
            (-3.0, "-3"),
            (1e15, "1000000000000000"),
            (123_456_789_012_345_680.0, "123456789012345680"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.00001, "1e-05"),
            (1_234_567.5, "1.2345675e+06"),
            (0.5, "0.5"),
            (1e300, "1e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(x), expected);
        }
    }
}
