//! Arithmetic: within one type, with an error instead of a wrap.

use super::fault::{Budget, Fault};
use super::program::Operator;
use super::time;
use super::value::Val;

/// `-x`.
pub(super) fn negate<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match value {
        Val::Int(int) => int.checked_neg().map(Val::Int).ok_or(Fault::OVERFLOW),
        Val::Double(double) => Ok(Val::Double(-double)),
        Val::Span(nanos) => nanos.checked_neg().map(Val::Span).ok_or(Fault::OVERFLOW),
        _ => Err(Fault::NO_OVERLOAD),
    }
}

/// `+ - * / %`.
pub(super) fn arithmetic<'a>(
    operator: Operator,
    left: &Val<'a>,
    right: &Val<'a>,
    budget: &Budget,
) -> Result<Val<'a>, Fault> {
    match (left, right) {
        (Val::Int(a), Val::Int(b)) => ints(operator, *a, *b).map(Val::Int),
        (Val::Uint(a), Val::Uint(b)) => uints(operator, *a, *b).map(Val::Uint),
        (Val::Double(a), Val::Double(b)) => doubles(operator, *a, *b).map(Val::Double),
        _ => match operator {
            Operator::Add => add(left, right, budget),
            Operator::Subtract => subtract(left, right),
            _ => Err(Fault::NO_OVERLOAD),
        },
    }
}

fn ints(operator: Operator, a: i64, b: i64) -> Result<i64, Fault> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide if b == 0 => return Err(Fault::ZERO),
        Operator::Divide => a.checked_div(b),
        Operator::Modulo if b == 0 => return Err(Fault::ZERO),
        Operator::Modulo => a.checked_rem(b),
        _ => return Err(Fault::NO_OVERLOAD),
    };
    result.ok_or(Fault::OVERFLOW)
}

fn uints(operator: Operator, a: u64, b: u64) -> Result<u64, Fault> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide | Operator::Modulo if b == 0 => return Err(Fault::ZERO),
        Operator::Divide => a.checked_div(b),
        Operator::Modulo => a.checked_rem(b),
        _ => return Err(Fault::NO_OVERLOAD),
    };
    result.ok_or(Fault::OVERFLOW)
}

fn doubles(operator: Operator, a: f64, b: f64) -> Result<f64, Fault> {
    Ok(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        _ => return Err(Fault::NO_OVERLOAD),
    })
}

fn add<'a>(left: &Val<'a>, right: &Val<'a>, budget: &Budget) -> Result<Val<'a>, Fault> {
    Ok(match (left, right) {
        (Val::String(a), Val::String(b)) => {
            budget.charge((a.len() + b.len()) / 4)?;
            Val::shared([&**a, &**b].concat())
        }
        (Val::Bytes(a), Val::Bytes(b)) => {
            budget.charge((a.len() + b.len()) / 4)?;
            Val::Bytes([&**a, &**b].concat().into())
        }
        (Val::Time(time), Val::Span(nanos)) | (Val::Span(nanos), Val::Time(time)) => {
            Val::Time(time::shifted(time, *nanos)?)
        }
        (Val::Span(a), Val::Span(b)) => Val::Span(a.checked_add(*b).ok_or(Fault::OVERFLOW)?),
        (a, b) if a.is_list() && b.is_list() => {
            let (first, second) = (a.len().unwrap_or(0), b.len().unwrap_or(0));
            budget.charge(first + second)?;
            let items = (0..first).map_while(|at| a.item(at));
            Val::List(
                items
                    .chain((0..second).map_while(|at| b.item(at)))
                    .collect(),
            )
        }
        _ => return Err(Fault::NO_OVERLOAD),
    })
}

fn subtract<'a>(left: &Val<'a>, right: &Val<'a>) -> Result<Val<'a>, Fault> {
    Ok(match (left, right) {
        (Val::Time(a), Val::Time(b)) => Val::Span(time::between(a, b)?),
        (Val::Time(time), Val::Span(nanos)) => {
            let back = nanos.checked_neg().ok_or(Fault::OVERFLOW)?;
            Val::Time(time::shifted(time, back)?)
        }
        (Val::Span(a), Val::Span(b)) => Val::Span(a.checked_sub(*b).ok_or(Fault::OVERFLOW)?),
        _ => return Err(Fault::NO_OVERLOAD),
    })
}
