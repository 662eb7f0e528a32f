//! The functions of text/template itself, and KrakenD's `include` and `marshal`. (`slice` is sprig's.)

use super::{Entry, Failure, Given, Host, any, give, text};
use crate::config::template::print;
use crate::config::template::value::{Origin, Value, Width};
use std::cmp::Ordering;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "include",
        params: "S",
        call: include,
    },
    Entry {
        name: "marshal",
        params: "A",
        call: super::json::to_json,
    },
    Entry {
        name: "not",
        params: "A",
        call: |_, args| Ok(Value::Bool(!any(args, 0).truth())),
    },
    Entry {
        name: "len",
        params: "A",
        call: len,
    },
    Entry {
        name: "index",
        params: "AA*",
        call: index,
    },
    Entry {
        name: "print",
        params: "A*",
        call: |_, args| give(print::sprint(args)),
    },
    Entry {
        name: "println",
        params: "A*",
        call: println,
    },
    Entry {
        name: "printf",
        params: "SA*",
        call: |_, args| {
            give(print::sprintf(
                text(args, 0),
                args.get(1..).unwrap_or_default(),
            ))
        },
    },
    Entry {
        name: "html",
        params: "A*",
        call: |_, args| give(gotmpl::html_escape(&escaped(args))),
    },
    Entry {
        name: "js",
        params: "A*",
        call: |_, args| give(gotmpl::js_escape(&escaped(args))),
    },
    Entry {
        name: "urlquery",
        params: "A*",
        call: |_, args| give(gotmpl::url_encode(&escaped(args))),
    },
    Entry {
        name: "call",
        params: "AA*",
        call,
    },
    Entry {
        name: "eq",
        params: "AA*",
        call: eq,
    },
    Entry {
        name: "ne",
        params: "AA",
        call: |_, args| Ok(Value::Bool(!equal(any(args, 0), any(args, 1))?)),
    },
    Entry {
        name: "lt",
        params: "AA",
        call: |_, args| compare(args, |o| o == Ordering::Less),
    },
    Entry {
        name: "le",
        params: "AA",
        call: |_, args| compare(args, |o| o != Ordering::Greater),
    },
    Entry {
        name: "gt",
        params: "AA",
        call: |_, args| compare(args, |o| o == Ordering::Greater),
    },
    Entry {
        name: "ge",
        params: "AA",
        call: |_, args| compare(args, |o| o != Ordering::Less),
    },
];

fn include(host: &mut Host<'_>, args: &[Value]) -> Given {
    Ok(match host.partial(text(args, 0)) {
        Some((file, text)) => Value::Text(text, Some(Origin(file))),
        None => Value::text(""),
    })
}

fn println(_: &mut Host<'_>, args: &[Value]) -> Given {
    let parts: Vec<String> = args.iter().map(print::show).collect();
    give(parts.join(" ") + "\n")
}

fn escaped(args: &[Value]) -> String {
    match args {
        [Value::Text(text, _)] => text.to_string(),
        [one] => print::action(one),
        // Go replaces each nil before it prints.
        many => {
            let many: Vec<Value> = many
                .iter()
                .map(|value| {
                    if value.is_nil() {
                        Value::text("<no value>")
                    } else {
                        value.clone()
                    }
                })
                .collect();
            print::sprint(&many)
        }
    }
}

fn call(_: &mut Host<'_>, args: &[Value]) -> Given {
    let first = any(args, 0);
    if first.is_nil() {
        return Err("call of nil".into());
    }
    Err(format!("non-function of type {}", first.type_name()).into())
}

fn len(_: &mut Host<'_>, args: &[Value]) -> Given {
    let length = match any(args, 0) {
        Value::Text(text, _) => text.len(),
        Value::List(items, _) => items.len(),
        Value::Map(members, _) => members.borrow().len(),
        Value::Missing | Value::Nil => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.type_name()).into()),
    };
    Ok(Value::int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(_: &mut Host<'_>, args: &[Value]) -> Given {
    let mut value = any(args, 0).clone();
    if value.is_nil() {
        return Err("index of untyped nil".into());
    }
    for key in args.iter().skip(1) {
        value = match &value {
            Value::List(items, _) => items
                .get(position(key, items.len())?)
                .cloned()
                .unwrap_or(Value::Nil),
            Value::Text(text, _) => {
                let byte = text.as_bytes().get(position(key, text.len())?).copied();
                Value::Int(i64::from(byte.unwrap_or_default()), Width::Uint8)
            }
            Value::Map(members, _) => match key {
                Value::Text(name, _) => members
                    .borrow()
                    .get(name)
                    .cloned()
                    .unwrap_or(Value::Missing),
                Value::Missing | Value::Nil => {
                    return Err("value is nil; should be of type string".into());
                }
                other => {
                    let message = format!("value has type {}; should be string", other.type_name());
                    return Err(message.into());
                }
            },
            Value::Missing | Value::Nil => return Err("index of nil pointer".into()),
            other => {
                let message = format!("can't index item of type {}", other.type_name());
                return Err(message.into());
            }
        };
    }
    Ok(value)
}

fn position(key: &Value, length: usize) -> Result<usize, Failure> {
    match key {
        Value::Int(number, _) => match usize::try_from(*number) {
            Ok(index) if index < length => Ok(index),
            _ => Err(format!("index out of range: {number}").into()),
        },
        Value::Missing | Value::Nil => Err("cannot index slice/array with nil".into()),
        other => {
            let message = format!("cannot index slice/array with type {}", other.type_name());
            Err(Failure::from(message).hint("numbers of settings are floats; write (int …)"))
        }
    }
}

fn eq(_: &mut Host<'_>, args: &[Value]) -> Given {
    let Some((first, others)) = args.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".into());
    };
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(a: &Value, b: &Value) -> Result<bool, Failure> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a, _), Value::Int(b, _)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a, _), Value::Text(b, _)) => Ok(a == b),
        (Value::Time(..), Value::Time(..)) | (Value::Object(_), Value::Object(_)) => {
            a.deep_equal(b).map_err(Failure::from)
        }
        (Value::Missing | Value::Nil, _) | (_, Value::Missing | Value::Nil) => {
            Ok(a.is_nil() && b.is_nil())
        }
        (Value::List(..), Value::List(..)) | (Value::Map(..), Value::Map(..)) => {
            Err(format!("non-comparable type {}: {}", print::show(a), a.type_name()).into())
        }
        _ => Err(incompatible(a, b)),
    }
}

fn incompatible(a: &Value, b: &Value) -> Failure {
    let failure = Failure::from("incompatible types for comparison");
    let (a, b) = (a.type_name(), b.type_name());
    if a == "float64" || b == "float64" {
        return failure.hint(format!(
            "{a} and {b} do not compare: numbers of settings are floats; write 8080.0, or convert with (int …)"
        ));
    }
    failure.hint(format!("{a} and {b} do not compare"))
}

fn compare(args: &[Value], holds: fn(Ordering) -> bool) -> Given {
    let (a, b) = (any(args, 0), any(args, 1));
    let order = match (a, b) {
        (Value::Int(a, _), Value::Int(b, _)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => match a.partial_cmp(b) {
            Some(order) => order,
            None => return Ok(Value::Bool(false)),
        },
        (Value::Text(a, _), Value::Text(b, _)) => a.cmp(b),
        (
            Value::Int(..) | Value::Float(_) | Value::Text(..),
            Value::Int(..) | Value::Float(_) | Value::Text(..) | Value::Bool(_),
        ) => {
            return Err(incompatible(a, b));
        }
        _ => return Err("invalid type for comparison".into()),
    };
    Ok(Value::Bool(holds(order)))
}
