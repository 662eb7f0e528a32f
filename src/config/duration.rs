//! Durations in Go's grammar (`1h30m`, `1.5s`, `-2s`, `0`), as KrakenD reads and prints them.

use std::fmt;
use thiserror::Error;

/// One millisecond in nanoseconds.
pub const MILLISECOND: i64 = 1_000_000;
/// One second in nanoseconds.
pub const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Why a text is no duration; the words are Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Nothing, no digits, or more than fits.
    #[error("time: invalid duration")]
    Invalid,
    /// A number without unit.
    #[error("time: missing unit in duration")]
    MissingUnit,
    /// A unit that is none.
    #[error("time: unknown unit")]
    UnknownUnit,
}

impl DurationError {
    /// What to write instead.
    pub fn hint(self) -> &'static str {
        match self {
            Self::MissingUnit => "add a unit: \"500ms\", \"3s\", \"2m\", \"1h\"",
            Self::UnknownUnit => "the units are ns, us, ms, s, m and h; a day is \"24h\"",
            Self::Invalid => "write a number and a unit, for example \"500ms\" or \"1m30s\"",
        }
    }
}

/// Nanoseconds of a duration in Go's grammar: an optional sign, then groups of decimal number and
/// unit (`ns us µs ms s m h`); `0` may stand alone.
///
/// # Errors
/// When the text is no duration or does not fit into 64 bits.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Invalid);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, behind) = group(rest)?;
        total = total
            .checked_add(nanos)
            .filter(|&t| t <= 1 << 63)
            .ok_or(DurationError::Invalid)?;
        rest = behind;
    }
    match (negative, i64::try_from(total)) {
        (true, Ok(nanos)) => Ok(-nanos),
        (false, Ok(nanos)) => Ok(nanos),
        // Only 2^63 itself: it fits with a minus sign.
        (true, Err(_)) => Ok(i64::MIN),
        (false, Err(_)) => Err(DurationError::Invalid),
    }
}

/// One number with its unit, and what stands behind it.
fn group(text: &str) -> Result<(u64, &str), DurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(behind) => digits(behind),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Invalid);
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit = match unit {
        "" => return Err(DurationError::MissingUnit),
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return Err(DurationError::UnknownUnit),
    };
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().map_err(|_| DurationError::Invalid)?
    };
    let nanos = whole
        .checked_mul(unit.unsigned_abs())
        .ok_or(DurationError::Invalid)?;
    let nanos = nanos
        .checked_add(part(fraction, unit))
        .filter(|&n| n <= 1 << 63);
    Ok((nanos.ok_or(DurationError::Invalid)?, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// Nanoseconds of the digits behind the point; what is finer than a nanosecond is cut off.
fn part(fraction: &str, unit: i64) -> u64 {
    // 18 digits are finer than a nanosecond of an hour, and the product fits into 128 bits.
    let (mut value, mut scale) = (0_u128, 1_u128);
    for byte in fraction.bytes().take(18) {
        value = value * 10 + u128::from(byte.wrapping_sub(b'0'));
        scale *= 10;
    }
    u64::try_from(value * u128::from(unit.unsigned_abs()) / scale).unwrap_or_default()
}

/// The text Go prints: `1m0s`, `2.5s`, `100ms`, `0s`.
pub fn format(nanos: i64) -> String {
    Go(nanos).to_string()
}

struct Go(i64);

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let (second, minute) = (SECOND.unsigned_abs(), MINUTE.unsigned_abs());
        match all {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{all}ns"),
            1_000..1_000_000 => write!(f, "{}µs", Decimal(all, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", Decimal(all, 1_000_000)),
            _ => {
                let (hours, minutes) = (all / (60 * minute), all / minute % 60);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if all >= minute {
                    write!(f, "{minutes}m")?;
                }
                write!(f, "{}s", Decimal(all % minute, second))
            }
        }
    }
}

/// A quotient without trailing zeros.
struct Decimal(u64, u64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / self.1)?;
        let (mut rest, mut unit) = (self.0 % self.1, self.1 / 10);
        if rest > 0 {
            f.write_str(".")?;
        }
        while rest > 0 && unit > 0 {
            write!(f, "{}", rest / unit)?;
            rest %= unit;
            unit /= 10;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_grammar_of_go() {
        for (text, nanos) in [
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5 * SECOND),
            ("1h30m", 90 * MINUTE),
            ("1.5s", 1_500 * MILLISECOND),
            ("-2s", -2 * SECOND),
            (".5s", 500 * MILLISECOND),
            ("1.s", SECOND),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("7ns", 7),
            ("1m1m", 2 * MINUTE),
            ("0.1234567891s", 123_456_789),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("0.3333333333333333333h", 20 * MINUTE - 1),
        ] {
            assert_eq!(parse(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn refuses_with_the_words_of_go() {
        for (text, error) in [
            ("", DurationError::Invalid),
            ("-", DurationError::Invalid),
            ("soon", DurationError::Invalid),
            (".s", DurationError::Invalid),
            ("3000", DurationError::MissingUnit),
            ("1s5", DurationError::MissingUnit),
            ("1d", DurationError::UnknownUnit),
            ("1 s", DurationError::UnknownUnit),
            ("1S", DurationError::UnknownUnit),
            ("9223372036854775808ns", DurationError::Invalid),
            ("99999999999999999999s", DurationError::Invalid),
            ("9223372036854775807s", DurationError::Invalid),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(DurationError::UnknownUnit.to_string(), "time: unknown unit");
    }

    #[test]
    fn prints_as_go_does() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (100 * MILLISECOND, "100ms"),
            (2_500 * MILLISECOND, "2.5s"),
            (MINUTE, "1m0s"),
            (HOUR, "1h0m0s"),
            (90 * MINUTE + SECOND / 4, "1h30m0.25s"),
            (-2 * SECOND, "-2s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(format(nanos), text);
        }
    }
}
