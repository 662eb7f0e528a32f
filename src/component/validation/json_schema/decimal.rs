//! Numbers compared exactly, whatever their size: a body's number is its text, and so is a schema's
//! limit. Nothing is expanded, so `1e999999999` costs no more than its eleven characters.

use std::cmp::Ordering;

/// A decimal number: `0.d₁d₂d₃… × 10^exponent`, without zeros at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Digits as ASCII; empty for zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads the text of a JSON number.
    pub(super) fn parse(text: &str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = match text.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, saturating(power)),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Self {
                negative: false,
                digits,
                exponent: 0,
            };
        }
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        let leading = i64::try_from(leading).unwrap_or(i64::MAX);
        Self {
            negative,
            digits,
            exponent: point.saturating_sub(leading).saturating_add(power),
        }
    }

    /// Whether there is nothing behind the decimal point.
    pub(super) fn is_integer(&self) -> bool {
        self.digits.is_empty() || self.trailing() >= 0
    }

    /// Power of ten of the last digit.
    fn trailing(&self) -> i64 {
        let count = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        self.exponent.saturating_sub(count)
    }

    /// The number, where it is whole and fits.
    pub(super) fn to_i128(&self) -> Option<i128> {
        if !self.is_integer() || self.exponent > 38 {
            return None;
        }
        let mut value: i128 = 0;
        for digit in &self.digits {
            value = value
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        for _ in 0..self.trailing().max(0) {
            value = value.checked_mul(10)?;
        }
        Some(if self.negative { -value } else { value })
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }

    /// Whether this is a whole multiple of another number; of zero only zero is.
    pub(super) fn is_multiple_of(&self, step: &Self) -> bool {
        if self.digits.is_empty() || step.digits.is_empty() {
            return self.digits.is_empty();
        }
        // self = D × 10^a and step = S × 10^b with D and S not divisible by ten: S has to divide
        // D × 10^(a-b), which it cannot for a < b.
        let Ok(power) = u64::try_from(self.trailing().saturating_sub(step.trailing())) else {
            return false;
        };
        let Some(divisor) = step.small() else {
            // A step of more than 19 digits comes from no configuration: those are doubles.
            return self.digits == step.digits && power == 0;
        };
        let modulus = u128::from(divisor);
        let rest = self.digits.iter().fold(0, |rest, digit| {
            (rest * 10 + u128::from(digit - b'0')) % modulus
        });
        (rest * power_of_ten(power, modulus)).is_multiple_of(modulus)
    }

    fn small(&self) -> Option<u64> {
        std::str::from_utf8(&self.digits).ok()?.parse().ok()
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// The exponent of a number; far beyond any computation for more digits than fit.
fn saturating(power: &str) -> i64 {
    const FAR: i64 = i64::MAX / 4;
    let digits = power.trim_start_matches(['+', '-']);
    let value = digits.parse::<i64>().map_or(FAR, |value| value.min(FAR));
    if power.starts_with('-') {
        -value
    } else {
        value
    }
}

/// 10^power modulo `modulus`, by squaring; `modulus` fits 64 bits, so nothing overflows.
fn power_of_ten(mut power: u64, modulus: u128) -> u128 {
    let (mut result, mut base) = (1 % modulus, 10 % modulus);
    while power > 0 {
        if power & 1 == 1 {
            result = result * base % modulus;
        }
        base = base * base % modulus;
        power >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text)
    }

    #[test]
    fn spelling_does_not_matter() {
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.001", "1E-3"),
            ("-0", "0"),
            ("0e5", "0.000"),
            ("12.5e1", "125"),
            ("1e400", "10e399"),
        ] {
            assert_eq!(of(a), of(b), "{a} {b}");
        }
    }

    #[test]
    fn order_is_exact_beyond_doubles() {
        let ascending = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-0.1",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000001",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551616.5",
            "1e400",
            "1e99999999999999999999",
        ];
        for pair in ascending.windows(2) {
            assert!(of(pair[0]) < of(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn multiples_are_exact() {
        for (value, step, yes) in [
            ("0.3", "0.1", true),
            ("1070468.14", "0.01", true),
            ("19.99", "0.01", true),
            ("19.995", "0.01", false),
            ("9007199254740993", "2", false),
            ("1e400", "7", false),
            ("1e400", "8", true),
            ("0", "3", true),
            ("3", "0.5", true),
            ("5", "10", false),
            ("1e-400", "1", false),
        ] {
            assert_eq!(of(value).is_multiple_of(&of(step)), yes, "{value} {step}");
        }
    }

    #[test]
    fn whole_numbers_are_recognized() {
        for (text, yes) in [
            ("1.0", true),
            ("1e2", true),
            ("1.5e1", true),
            ("1.5", false),
            ("1e-1", false),
            ("0.0", true),
        ] {
            assert_eq!(of(text).is_integer(), yes, "{text}");
        }
        assert_eq!(of("-12e1").to_i128(), Some(-120));
        assert_eq!(of("1e39").to_i128(), None);
    }
}
