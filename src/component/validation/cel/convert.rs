//! Conversions between types, with Go's spelling of what they read and write.

use super::fault::{Budget, Fault};
use super::time;
use super::value::Val;

/// 2⁶³ and 2⁶⁴, the first doubles beyond `int` and `uint`.
const BEYOND_INT: f64 = 9_223_372_036_854_775_808.0;
const BEYOND_UINT: f64 = 18_446_744_073_709_551_616.0;

/// `bool(x)`.
pub(super) fn to_bool<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Bool(boolean) => Ok(Val::Bool(*boolean)),
        Val::String(text) => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Val::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Val::Bool(false)),
            _ => Err(Fault::CONVERSION),
        },
        _ => Err(Fault::NO_OVERLOAD),
    }
}

/// `int(x)`: doubles lose what stands behind the point, durations are nanoseconds, moments seconds.
pub(super) fn to_int<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    Ok(Val::Int(match value {
        Val::Int(int) => *int,
        Val::Uint(uint) => i64::try_from(*uint).map_err(|_| Fault::OVERFLOW)?,
        Val::Double(double) if *double > -BEYOND_INT && *double < BEYOND_INT => {
            #[expect(clippy::cast_possible_truncation, reason = "inside the range")]
            let int = *double as i64;
            int
        }
        Val::Double(_) => return Err(Fault::OVERFLOW),
        Val::String(text) => text.parse().map_err(|_| Fault::CONVERSION)?,
        Val::Time(time) => time.timestamp(),
        Val::Span(nanos) => *nanos,
        _ => return Err(Fault::NO_OVERLOAD),
    }))
}

/// `uint(x)`.
pub(super) fn to_uint<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    Ok(Val::Uint(match value {
        Val::Uint(uint) => *uint,
        Val::Int(int) => u64::try_from(*int).map_err(|_| Fault::OVERFLOW)?,
        Val::Double(double) if *double >= 0.0 && *double < BEYOND_UINT => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "inside the range"
            )]
            let uint = *double as u64;
            uint
        }
        Val::Double(_) => return Err(Fault::OVERFLOW),
        // Go reads no sign here.
        Val::String(text) if text.starts_with('+') => return Err(Fault::CONVERSION),
        Val::String(text) => text.parse().map_err(|_| Fault::CONVERSION)?,
        _ => return Err(Fault::NO_OVERLOAD),
    }))
}

/// `double(x)`.
pub(super) fn to_double<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    #[expect(clippy::cast_precision_loss, reason = "what the conversion is about")]
    Ok(Val::Double(match value {
        Val::Double(double) => *double,
        Val::Int(int) => *int as f64,
        Val::Uint(uint) => *uint as f64,
        Val::String(text) => {
            let double: f64 = text.parse().map_err(|_| Fault::CONVERSION)?;
            // Go tells a number that is too large from the word for infinity.
            if double.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
                return Err(Fault::OVERFLOW);
            }
            double
        }
        _ => return Err(Fault::NO_OVERLOAD),
    }))
}

/// `string(x)`.
pub(super) fn to_string<'a>(value: &Val<'a>, budget: &Budget) -> Result<Val<'a>, Fault> {
    Ok(Val::shared(match value {
        Val::String(_) => return Ok(value.clone()),
        Val::Bool(boolean) => boolean.to_string(),
        Val::Int(int) => int.to_string(),
        Val::Uint(uint) => uint.to_string(),
        Val::Double(double) => go_double(*double),
        Val::Bytes(bytes) => {
            budget.charge(bytes.len() / 4)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| Fault::CONVERSION)?
        }
        Val::Time(time) => time::text(time),
        Val::Span(nanos) => time::span_text(*nanos),
        _ => return Err(Fault::NO_OVERLOAD),
    }))
}

/// `bytes(x)`.
pub(super) fn to_bytes<'a>(value: &Val<'a>, budget: &Budget) -> Result<Val<'a>, Fault> {
    match value {
        Val::Bytes(_) => Ok(value.clone()),
        Val::String(text) => {
            budget.charge(text.len() / 4)?;
            Ok(Val::Bytes(text.as_bytes().into()))
        }
        _ => Err(Fault::NO_OVERLOAD),
    }
}

/// Go's shortest `%g`: an exponent below -4 and from 6 on is written, with two digits at least.
fn go_double(double: f64) -> String {
    if double.is_nan() {
        return "NaN".to_owned();
    }
    if double.is_infinite() {
        return if double > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{double:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&power) {
        return format!("{double}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}
