//! sprig's dictionaries, and its choices between values.
//!
//! `set`, `unset`, `merge` and `mergeOverwrite` change the dictionary itself, as there. `keys` and `values`
//! come sorted by name, where Go's order is chance.

use super::{Entry, Failure, Given, Host, any, strval, text};
use crate::config::template::value::{Dict, Elem, Value, merge};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "dict",
        params: "A*",
        call: dict,
    },
    Entry {
        name: "get",
        params: "MS",
        call: get,
    },
    Entry {
        name: "set",
        params: "MSA",
        call: set,
    },
    Entry {
        name: "unset",
        params: "MS",
        call: unset,
    },
    Entry {
        name: "hasKey",
        params: "MS",
        call: |_, a| Ok(Value::Bool(of(any(a, 0)).borrow().contains_key(text(a, 1)))),
    },
    Entry {
        name: "pluck",
        params: "SM*",
        call: pluck,
    },
    Entry {
        name: "keys",
        params: "M*",
        call: keys,
    },
    Entry {
        name: "values",
        params: "M",
        call: |_, a| {
            Ok(Value::list(
                of(any(a, 0)).borrow().values().cloned().collect(),
            ))
        },
    },
    Entry {
        name: "pick",
        params: "MS*",
        call: |_, a| Ok(filtered(a, true)),
    },
    Entry {
        name: "omit",
        params: "MS*",
        call: |_, a| Ok(filtered(a, false)),
    },
    Entry {
        name: "merge",
        params: "MM*",
        call: |host, a| merged(host, a, false),
    },
    Entry {
        name: "mustMerge",
        params: "MM*",
        call: |host, a| merged(host, a, false),
    },
    Entry {
        name: "mergeOverwrite",
        params: "MM*",
        call: |host, a| merged(host, a, true),
    },
    Entry {
        name: "mustMergeOverwrite",
        params: "MM*",
        call: |host, a| merged(host, a, true),
    },
    Entry {
        name: "dig",
        params: "A*",
        call: dig,
    },
    Entry {
        name: "default",
        params: "AA*",
        call: default,
    },
    Entry {
        name: "empty",
        params: "A",
        call: |_, a| Ok(Value::Bool(!any(a, 0).truth())),
    },
    Entry {
        name: "coalesce",
        params: "A*",
        call: |_, a| Ok(a.iter().find(|v| v.truth()).cloned().unwrap_or(Value::Nil)),
    },
    Entry {
        name: "all",
        params: "A*",
        call: |_, a| Ok(Value::Bool(a.iter().all(Value::truth))),
    },
    Entry {
        name: "any",
        params: "A*",
        call: |_, a| Ok(Value::Bool(a.iter().any(Value::truth))),
    },
    Entry {
        name: "ternary",
        params: "AAB",
        call: ternary,
    },
    Entry {
        name: "deepCopy",
        params: "A",
        call: deep_copy,
    },
    Entry {
        name: "mustDeepCopy",
        params: "A",
        call: deep_copy,
    },
];

/// The dictionary of an argument that was fitted to `M`.
fn of(value: &Value) -> Dict {
    match value {
        Value::Map(members, _) => Rc::clone(members),
        _ => Dict::default(),
    }
}

fn dict(_: &mut Host<'_>, args: &[Value]) -> Given {
    let mut members = BTreeMap::new();
    for pair in args.chunks(2) {
        let name = pair.first().map(strval).unwrap_or_default();
        let value = pair.get(1).cloned().unwrap_or_else(|| Value::text(""));
        members.insert(Arc::from(name), value);
    }
    Ok(Value::map(members))
}

fn get(_: &mut Host<'_>, args: &[Value]) -> Given {
    let found = of(any(args, 0)).borrow().get(text(args, 1)).cloned();
    Ok(found.unwrap_or_else(|| Value::text("")))
}

/// A dictionary that is not there cannot be changed.
fn there(args: &[Value]) -> Result<(), Failure> {
    if any(args, 0).is_nil() {
        return Err(Failure::from("assignment to entry in nil map")
            .hint("the dictionary is not set; write (default (dict) .x)"));
    }
    Ok(())
}

fn set(host: &mut Host<'_>, args: &[Value]) -> Given {
    there(args)?;
    let dict = of(any(args, 0));
    dict.borrow_mut()
        .insert(Arc::from(text(args, 1)), any(args, 2).clone());
    host.tie(&dict);
    Ok(any(args, 0).clone())
}

fn unset(_: &mut Host<'_>, args: &[Value]) -> Given {
    of(any(args, 0)).borrow_mut().remove(text(args, 1));
    Ok(any(args, 0).clone())
}

fn pluck(_: &mut Host<'_>, args: &[Value]) -> Given {
    let name = text(args, 0);
    let found = args
        .iter()
        .skip(1)
        .filter_map(|dict| of(dict).borrow().get(name).cloned());
    Ok(Value::list(found.collect()))
}

fn keys(_: &mut Host<'_>, args: &[Value]) -> Given {
    let mut names: Vec<Arc<str>> = Vec::new();
    for dict in args {
        names.extend(of(dict).borrow().keys().cloned());
    }
    Ok(Value::texts(names))
}

fn filtered(args: &[Value], keep: bool) -> Value {
    let named = |name: &Arc<str>| {
        let mut names = args.iter().skip(1);
        names.any(|value| matches!(value, Value::Text(text, _) if text == name))
    };
    let dict = of(any(args, 0));
    let members = dict.borrow();
    let members = members.iter().filter(|(name, _)| named(name) == keep);
    Value::map(
        members
            .map(|(name, value)| (Arc::clone(name), value.clone()))
            .collect(),
    )
}

fn merged(host: &mut Host<'_>, args: &[Value], overwrite: bool) -> Given {
    there(args)?;
    let into = of(any(args, 0));
    for from in args.iter().skip(1) {
        merge(&into, &of(from), overwrite)?;
    }
    host.tie(&into);
    Ok(any(args, 0).clone())
}

fn dig(_: &mut Host<'_>, args: &[Value]) -> Given {
    let [names @ .., default, dict] = args else {
        return Err("dig needs at least three arguments".into());
    };
    if names.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut value = dict.clone();
    for name in names {
        let Value::Text(name, _) = name else {
            return Err(format!("dig: a key is {}, not string", name.type_name()).into());
        };
        let Value::Map(members, Elem::Any) = &value else {
            let message = format!(
                "dig: {} is not map[string]interface {{}}",
                value.type_name()
            );
            return Err(
                Failure::from(message).hint(format!("what should hold {name} is no dictionary"))
            );
        };
        let found = members.borrow().get(name).cloned();
        match found {
            Some(found) => value = found,
            None => return Ok(default.clone()),
        }
    }
    Ok(value)
}

fn default(_: &mut Host<'_>, args: &[Value]) -> Given {
    let given = args.get(1).filter(|value| value.truth());
    Ok(given.unwrap_or_else(|| any(args, 0)).clone())
}

fn ternary(_: &mut Host<'_>, args: &[Value]) -> Given {
    let first = matches!(any(args, 2), Value::Bool(true));
    Ok(any(args, usize::from(!first)).clone())
}

fn deep_copy(_: &mut Host<'_>, args: &[Value]) -> Given {
    if any(args, 0).is_nil() {
        return Err("deepCopy of nil".into());
    }
    Ok(any(args, 0).deep_copy()?)
}
