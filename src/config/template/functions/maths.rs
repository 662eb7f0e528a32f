//! sprig's arithmetic: whole numbers are `int64` and wrap; `addf` and its like are exact decimals.

use super::{Entry, Given, Host, any, give, int};
use crate::config::template::print;
use crate::config::template::value::{Elem, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "int64",
        params: "A",
        call: |_, a| Ok(Value::int64(whole(any(a, 0)))),
    },
    Entry {
        name: "int",
        params: "A",
        call: |_, a| Ok(Value::int(whole(any(a, 0)))),
    },
    Entry {
        name: "float64",
        params: "A",
        call: |_, a| Ok(Value::Float(float(any(a, 0)))),
    },
    Entry {
        name: "atoi",
        params: "S",
        call: |_, a| Ok(Value::int(super::text(a, 0).parse().unwrap_or(0))),
    },
    Entry {
        name: "toDecimal",
        params: "A",
        call: |_, a| {
            Ok(Value::int64(
                i64::from_str_radix(&print::show(any(a, 0)), 8).unwrap_or(0),
            ))
        },
    },
    Entry {
        name: "add1",
        params: "A",
        call: |_, a| Ok(Value::int64(whole(any(a, 0)).wrapping_add(1))),
    },
    Entry {
        name: "add",
        params: "A*",
        call: |_, a| Ok(Value::int64(a.iter().map(whole).fold(0, i64::wrapping_add))),
    },
    Entry {
        name: "sub",
        params: "AA",
        call: |_, a| {
            Ok(Value::int64(
                whole(any(a, 0)).wrapping_sub(whole(any(a, 1))),
            ))
        },
    },
    Entry {
        name: "mul",
        params: "AA*",
        call: |_, a| Ok(Value::int64(a.iter().map(whole).fold(1, i64::wrapping_mul))),
    },
    Entry {
        name: "div",
        params: "AA",
        call: |_, a| divided(a, i64::wrapping_div),
    },
    Entry {
        name: "mod",
        params: "AA",
        call: |_, a| divided(a, i64::wrapping_rem),
    },
    Entry {
        name: "max",
        params: "AA*",
        call: |_, a| Ok(Value::int64(a.iter().map(whole).max().unwrap_or_default())),
    },
    Entry {
        name: "biggest",
        params: "AA*",
        call: |_, a| Ok(Value::int64(a.iter().map(whole).max().unwrap_or_default())),
    },
    Entry {
        name: "min",
        params: "AA*",
        call: |_, a| Ok(Value::int64(a.iter().map(whole).min().unwrap_or_default())),
    },
    Entry {
        name: "maxf",
        params: "AA*",
        call: |_, a| {
            Ok(Value::Float(
                a.iter().map(float).fold(f64::NEG_INFINITY, f64::max),
            ))
        },
    },
    Entry {
        name: "minf",
        params: "AA*",
        call: |_, a| {
            Ok(Value::Float(
                a.iter().map(float).fold(f64::INFINITY, f64::min),
            ))
        },
    },
    Entry {
        name: "ceil",
        params: "A",
        call: |_, a| Ok(Value::Float(float(any(a, 0)).ceil())),
    },
    Entry {
        name: "floor",
        params: "A",
        call: |_, a| Ok(Value::Float(float(any(a, 0)).floor())),
    },
    Entry {
        name: "round",
        params: "AIF*",
        call: round,
    },
    Entry {
        name: "addf",
        params: "A*",
        call: |_, a| folded(0.0, a, Operation::Plus),
    },
    Entry {
        name: "add1f",
        params: "A",
        call: |_, a| folded(float(any(a, 0)), &[Value::Float(1.0)], Operation::Plus),
    },
    Entry {
        name: "subf",
        params: "AA*",
        call: |_, a| behind_first(a, Operation::Minus),
    },
    Entry {
        name: "mulf",
        params: "AA*",
        call: |_, a| behind_first(a, Operation::Times),
    },
    Entry {
        name: "divf",
        params: "AA*",
        call: divf,
    },
    Entry {
        name: "randInt",
        params: "II",
        call: rand_int,
    },
    Entry {
        name: "until",
        params: "I",
        call: until,
    },
    Entry {
        name: "untilStep",
        params: "III",
        call: |host, a| steps(host, int(a, 0), int(a, 1), int(a, 2)).map(listed),
    },
    Entry {
        name: "seq",
        params: "I*",
        call: seq,
    },
];

/// cast.ToInt64: what cannot be converted is 0.
pub(super) fn whole(value: &Value) -> i64 {
    match value {
        Value::Int(number, _) => *number,
        Value::Float(number) => *number as i64,
        Value::Bool(flag) => i64::from(*flag),
        Value::Text(text, _) => parsed(text).unwrap_or(0),
        _ => 0,
    }
}

/// `strconv.ParseInt(…, 0, 0)`: prefixes and underscores; `.0` at the end is cut before.
fn parsed(text: &str) -> Option<i64> {
    let text = match text.split_once('.') {
        Some((before, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => before,
        _ => text,
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let digits = digits.replace('_', "");
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// cast.ToFloat64.
fn float(value: &Value) -> f64 {
    match value {
        Value::Int(number, _) => *number as f64,
        Value::Float(number) => *number,
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::Text(text, _) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

fn divided(args: &[Value], with: fn(i64, i64) -> i64) -> Given {
    let (a, b) = (whole(any(args, 0)), whole(any(args, 1)));
    if b == 0 {
        return Err("runtime error: integer divide by zero".into());
    }
    Ok(Value::int64(with(a, b)))
}

fn round(_: &mut Host<'_>, args: &[Value]) -> Given {
    let on = match args.get(2) {
        Some(Value::Float(on)) => *on,
        _ => 0.5,
    };
    let power = 10_f64.powf(int(args, 1) as f64);
    let digit = power * float(any(args, 0));
    let rounded = if digit.fract() >= on {
        digit.ceil()
    } else {
        digit.floor()
    };
    Ok(Value::Float(rounded / power))
}

fn rand_int(_: &mut Host<'_>, args: &[Value]) -> Given {
    let (min, max) = (int(args, 0), int(args, 1));
    if max <= min {
        return Err("invalid argument to Intn".into());
    }
    Ok(Value::int(fastrand::i64(min..max)))
}

fn steps(
    host: &mut Host<'_>,
    start: i64,
    stop: i64,
    step: i64,
) -> Result<Vec<i64>, super::Failure> {
    let count = match (stop < start, step) {
        (true, step) if step >= 0 => 0,
        (false, step) if step <= 0 => 0,
        (_, step) => start.abs_diff(stop).div_ceil(step.unsigned_abs()),
    };
    host.charge(count.saturating_mul(40))?;
    let mut all = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let mut at = start;
    for _ in 0..count {
        all.push(at);
        at = at.saturating_add(step);
    }
    Ok(all)
}

fn listed(numbers: Vec<i64>) -> Value {
    Value::typed(numbers.into_iter().map(Value::int).collect(), Elem::Int)
}

fn until(host: &mut Host<'_>, args: &[Value]) -> Given {
    let count = int(args, 0);
    steps(host, 0, count, if count < 0 { -1 } else { 1 }).map(listed)
}

fn seq(host: &mut Host<'_>, args: &[Value]) -> Given {
    let numbers = match args.len() {
        1 => {
            let end = int(args, 0);
            let step = if end < 1 { -1 } else { 1 };
            steps(host, 1, end.saturating_add(step), step)?
        }
        2 => {
            let (start, end) = (int(args, 0), int(args, 1));
            let step = if end < start { -1 } else { 1 };
            steps(host, start, end.saturating_add(step), step)?
        }
        3 => {
            let (start, step, end) = (int(args, 0), int(args, 1), int(args, 2));
            if end < start && step > 0 {
                return give("");
            }
            let beyond = if end < start { -1 } else { 1 };
            steps(host, start, end.saturating_add(beyond), step)?
        }
        _ => return give(""),
    };
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    give(texts.join(" "))
}

/// A decimal number: digits and how many of them stand behind the point.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    /// The shortest decimal that reads as this float.
    fn of(value: f64) -> Option<Self> {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let behind = mantissa.split_once('.').map_or(0, |(_, after)| after.len());
        let digits: i128 = mantissa.replace('.', "").parse().ok()?;
        let scale = i32::try_from(behind).ok()? - exponent.parse::<i32>().ok()?;
        match u32::try_from(scale) {
            Ok(scale) => Some(Self { digits, scale }),
            Err(_) => Some(Self {
                digits: digits.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?,
                scale: 0,
            }),
        }
    }

    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        let raise = |d: Self| d.digits.checked_mul(10_i128.checked_pow(scale - d.scale)?);
        Some((raise(self)?, raise(other)?, scale))
    }

    fn plus(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Self {
            digits: a.checked_add(b)?,
            scale,
        })
    }

    fn minus(self, other: Self) -> Option<Self> {
        let (a, b, scale) = self.aligned(other)?;
        Some(Self {
            digits: a.checked_sub(b)?,
            scale,
        })
    }

    fn times(self, other: Self) -> Option<Self> {
        Some(Self {
            digits: self.digits.checked_mul(other.digits)?,
            scale: self.scale.checked_add(other.scale)?,
        })
    }

    /// Sixteen digits behind the point, the last one rounded half away from zero.
    fn over(self, other: Self) -> Option<Self> {
        let (a, b, _) = self.aligned(other)?;
        let raised = a.checked_mul(10_i128.pow(16))?;
        let (quotient, rest) = (raised.checked_div(b)?, raised.checked_rem(b)?);
        let up = rest.unsigned_abs() * 2 >= b.unsigned_abs();
        let sign = if (a < 0) == (b < 0) { 1 } else { -1 };
        Some(Self {
            digits: quotient + if up { sign } else { 0 },
            scale: 16,
        })
    }

    fn float(self) -> f64 {
        format!("{}e-{}", self.digits, self.scale)
            .parse()
            .unwrap_or(0.0)
    }
}

/// The four operations on decimals.
#[derive(Clone, Copy)]
enum Operation {
    Plus,
    Minus,
    Times,
    Over,
}

impl Operation {
    fn exactly(self, a: f64, b: f64) -> Option<f64> {
        let (a, b) = (Decimal::of(a)?, Decimal::of(b)?);
        let done = match self {
            Self::Plus => a.plus(b),
            Self::Minus => a.minus(b),
            Self::Times => a.times(b),
            Self::Over => a.over(b),
        };
        done.map(Decimal::float)
    }

    fn roughly(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Plus => a + b,
            Self::Minus => a - b,
            Self::Times => a * b,
            Self::Over => a / b,
        }
    }
}

/// Folds exactly as long as the digits suffice, else with floats.
fn folded(first: f64, others: &[Value], operation: Operation) -> Given {
    let done = others.iter().map(float).fold(first, |a, b| {
        let exact = operation.exactly(a, b);
        exact.unwrap_or_else(|| operation.roughly(a, b))
    });
    Ok(Value::Float(done))
}

fn behind_first(args: &[Value], operation: Operation) -> Given {
    folded(
        float(any(args, 0)),
        args.get(1..).unwrap_or_default(),
        operation,
    )
}

fn divf(_: &mut Host<'_>, args: &[Value]) -> Given {
    let others = args.get(1..).unwrap_or_default();
    if others.iter().any(|value| float(value) == 0.0) {
        return Err("decimal division by 0".into());
    }
    behind_first(args, Operation::Over)
}
