//! sprig's lists. A list never changes; each function gives a new one.

use super::{Entry, Failure, Given, Host, any, int};
use crate::config::template::value::{Elem, Value};

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "list",
        params: "A*",
        call: |_, a| Ok(Value::list(a.to_vec())),
    },
    Entry {
        name: "tuple",
        params: "A*",
        call: |_, a| Ok(Value::list(a.to_vec())),
    },
    Entry {
        name: "append",
        params: "AA",
        call: push,
    },
    Entry {
        name: "mustAppend",
        params: "AA",
        call: push,
    },
    Entry {
        name: "push",
        params: "AA",
        call: push,
    },
    Entry {
        name: "mustPush",
        params: "AA",
        call: push,
    },
    Entry {
        name: "prepend",
        params: "AA",
        call: prepend,
    },
    Entry {
        name: "mustPrepend",
        params: "AA",
        call: prepend,
    },
    Entry {
        name: "first",
        params: "A",
        call: first,
    },
    Entry {
        name: "mustFirst",
        params: "A",
        call: first,
    },
    Entry {
        name: "last",
        params: "A",
        call: last,
    },
    Entry {
        name: "mustLast",
        params: "A",
        call: last,
    },
    Entry {
        name: "rest",
        params: "A",
        call: rest,
    },
    Entry {
        name: "mustRest",
        params: "A",
        call: rest,
    },
    Entry {
        name: "initial",
        params: "A",
        call: initial,
    },
    Entry {
        name: "mustInitial",
        params: "A",
        call: initial,
    },
    Entry {
        name: "reverse",
        params: "A",
        call: reverse,
    },
    Entry {
        name: "mustReverse",
        params: "A",
        call: reverse,
    },
    Entry {
        name: "uniq",
        params: "A",
        call: uniq,
    },
    Entry {
        name: "mustUniq",
        params: "A",
        call: uniq,
    },
    Entry {
        name: "without",
        params: "AA*",
        call: without,
    },
    Entry {
        name: "mustWithout",
        params: "AA*",
        call: without,
    },
    Entry {
        name: "has",
        params: "AA",
        call: has,
    },
    Entry {
        name: "mustHas",
        params: "AA",
        call: has,
    },
    Entry {
        name: "slice",
        params: "AA*",
        call: slice,
    },
    Entry {
        name: "mustSlice",
        params: "AA*",
        call: slice,
    },
    Entry {
        name: "concat",
        params: "A*",
        call: concat,
    },
    Entry {
        name: "chunk",
        params: "IA",
        call: chunk,
    },
    Entry {
        name: "mustChunk",
        params: "IA",
        call: chunk,
    },
    Entry {
        name: "compact",
        params: "A",
        call: compact,
    },
    Entry {
        name: "mustCompact",
        params: "A",
        call: compact,
    },
];

/// The elements of a list; `what` names the function's deed in sprig's words.
fn items<'v>(value: &'v Value, what: &str) -> Result<&'v [Value], Failure> {
    match value {
        Value::List(items, _) => Ok(items.as_slice()),
        Value::Missing | Value::Nil => {
            let failure = Failure::from(format!("{what} nil"));
            Err(failure.hint("the list is not set; write (default (list) .x)"))
        }
        other => Err(format!("{what} {}", other.kind_name()).into()),
    }
}

fn push(_: &mut Host<'_>, args: &[Value]) -> Given {
    let mut all = items(any(args, 0), "Cannot push on type")?.to_vec();
    all.push(any(args, 1).clone());
    Ok(Value::list(all))
}

fn prepend(_: &mut Host<'_>, args: &[Value]) -> Given {
    let mut all = vec![any(args, 1).clone()];
    all.extend_from_slice(items(any(args, 0), "Cannot prepend on type")?);
    Ok(Value::list(all))
}

fn first(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot find first on type")?;
    Ok(all.first().cloned().unwrap_or(Value::Nil))
}

fn last(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot find last on type")?;
    Ok(all.last().cloned().unwrap_or(Value::Nil))
}

fn rest(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot find rest on type")?;
    Ok(Value::list(all.get(1..).unwrap_or_default().to_vec()))
}

fn initial(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot find initial on type")?;
    Ok(Value::list(
        all.split_last()
            .map(|(_, before)| before.to_vec())
            .unwrap_or_default(),
    ))
}

fn reverse(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot find reverse on type")?;
    Ok(Value::list(all.iter().rev().cloned().collect()))
}

fn holds(all: &[Value], wanted: &Value) -> Result<bool, Failure> {
    for item in all {
        if item.deep_equal(wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(host: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot find uniq on type")?;
    let mut kept: Vec<Value> = Vec::new();
    for item in all {
        host.charge(kept.len() as u64 * 16)?;
        if !holds(&kept, item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn without(host: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot find without on type")?;
    let unwanted = args.get(1..).unwrap_or_default();
    host.charge((all.len() as u64).saturating_mul(unwanted.len() as u64) * 16)?;
    let mut kept = Vec::new();
    for item in all {
        if !holds(unwanted, item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn has(_: &mut Host<'_>, args: &[Value]) -> Given {
    let haystack = any(args, 1);
    if haystack.is_nil() {
        return Ok(Value::Bool(false));
    }
    let all = items(haystack, "Cannot find has on type")?;
    Ok(Value::Bool(holds(all, any(args, 0))?))
}

fn slice(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = match any(args, 0) {
        Value::List(items, _) => items.as_slice(),
        other => {
            let message = format!(
                "list should be type of slice or array but {}",
                other.kind_name()
            );
            return Err(Failure::from(message).hint("to cut a string write (substr from to .x)"));
        }
    };
    if all.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |index: usize, or: usize| match args.get(index) {
        Some(value) => usize::try_from(super::maths::whole(value)).unwrap_or(usize::MAX),
        None => or,
    };
    let (from, to) = (bound(1, 0), bound(2, all.len()));
    match all.get(from..to) {
        Some(part) => Ok(Value::list(part.to_vec())),
        None => Err(format!("slice bounds out of range with length {}", all.len()).into()),
    }
}

fn concat(_: &mut Host<'_>, args: &[Value]) -> Given {
    let mut all = Vec::new();
    for list in args {
        all.extend_from_slice(items(list, "Cannot concat type")?);
    }
    Ok(Value::list(all))
}

fn chunk(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 1), "Cannot chunk type")?;
    let size = match usize::try_from(int(args, 0)) {
        Ok(size) if size > 0 => size,
        _ => return Err("the size of chunks is not above 0".into()),
    };
    let chunks = all.chunks(size).map(|chunk| Value::list(chunk.to_vec()));
    Ok(Value::typed(chunks.collect(), Elem::Any))
}

fn compact(_: &mut Host<'_>, args: &[Value]) -> Given {
    let all = items(any(args, 0), "Cannot compact on type")?;
    Ok(Value::list(
        all.iter().filter(|item| item.truth()).cloned().collect(),
    ))
}
