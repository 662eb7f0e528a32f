//! Header fields, queries and parameters as the three objects `ctx`, `request` and `response` show them.
//! Names are written and found in Go's canonical spelling, whatever case they have on the wire.

use super::data::Item;
use super::state::{Arg, Fail, Out, Outcome, State, mismatch, need_arguments, text, word};
use crate::base::field::canonical;
use crate::gateway::headers::Fields;
use crate::gateway::query;
use http::{HeaderName, HeaderValue};
use std::borrow::Cow;

/// Fields that an answer or request of a script may have; far above what any server takes.
const MAX_FIELDS: usize = 1000;

/// Parameters by name.
pub(super) type Params = Vec<(String, String)>;

/// A field's name.
pub(super) fn name(args: &[Arg], at: usize) -> Result<HeaderName, Fail> {
    let text = text(args, at)?;
    HeaderName::from_bytes(&text).map_err(|_| {
        let text = String::from_utf8_lossy(&text);
        format!("header name \"{text}\" not valid")
    })
}

/// A field's value.
pub(super) fn value(text: &[u8]) -> Result<HeaderValue, Fail> {
    HeaderValue::from_bytes(text).map_err(|_| "header value not valid".to_owned())
}

/// `headers([k[, v]])` on a list of fields.
pub(super) fn headers(
    state: &mut State,
    args: &[Arg],
    fields: fn(&mut State) -> Result<&mut Fields, Fail>,
) -> Outcome {
    match args {
        [] => {
            let all = fields(state)?.clone();
            let names = all.iter().map(|(name, _)| name.as_str());
            let values = |name: &str| {
                let own = all.iter().filter(|(own, _)| own.as_str() == name);
                own.map(|(_, value)| value.as_bytes().to_vec()).collect()
            };
            table_of(state, names, values)
        }
        [_] => {
            // What is no name cannot be there.
            let Ok(name) = name(args, 1) else {
                return Ok(Out::Text(Vec::new()));
            };
            let found = fields(state)?.iter().find(|(own, _)| *own == name);
            let value = found.map(|(_, value)| value.as_bytes().to_vec());
            Ok(Out::Text(value.unwrap_or_default()))
        }
        [_, Arg::Nil, ..] => {
            if let Ok(name) = name(args, 1) {
                fields(state)?.retain(|(own, _)| *own != name);
            }
            Ok(Out::Nothing)
        }
        _ => {
            let name = name(args, 1)?;
            let value = value(&text(args, 2)?)?;
            replace(fields(state)?, &name, vec![value])?;
            Ok(Out::Nothing)
        }
    }
}

/// `headerList(k[, list])` on a list of fields.
pub(super) fn header_list(
    state: &mut State,
    args: &[Arg],
    fields: fn(&mut State) -> Result<&mut Fields, Fail>,
) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    if args.len() == 1 {
        let found: Vec<Vec<u8>> = match name(args, 1) {
            Ok(name) => fields(state)?
                .iter()
                .filter(|(own, _)| *own == name)
                .map(|(_, value)| value.as_bytes().to_vec())
                .collect(),
            Err(_) => Vec::new(),
        };
        return Ok(Out::List(state.arena.list_of(found.into_iter())?));
    }
    let name = name(args, 1)?;
    let values = listed(state, args)?;
    replace(fields(state)?, &name, values)?;
    Ok(Out::Nothing)
}

/// The values of a list that is the second argument.
pub(super) fn listed(state: &State, args: &[Arg]) -> Result<Vec<HeaderValue>, Fail> {
    let Some(Arg::List(list)) = args.get(1) else {
        return Err(mismatch(2, "luaList", args.get(1)));
    };
    let texts = state.arena.texts(*list);
    texts.iter().map(|text| value(text)).collect()
}

fn replace(fields: &mut Fields, name: &HeaderName, values: Vec<HeaderValue>) -> Result<(), Fail> {
    fields.retain(|(own, _)| own != name);
    if fields.len() + values.len() > MAX_FIELDS {
        return Err("too many header fields".to_owned());
    }
    fields.extend(values.into_iter().map(|value| (name.clone(), value)));
    Ok(())
}

/// A `luaTable` of `luaLists`: every name with its values.
pub(super) fn table_of<'n>(
    state: &mut State,
    names: impl Iterator<Item = &'n str>,
    values: impl Fn(&str) -> Vec<Vec<u8>>,
) -> Outcome {
    let table = state.arena.new_table()?;
    for name in names {
        let key = canonical(name);
        if !state.arena.has(table, &key) {
            let list = state.arena.list_of(values(name).into_iter())?;
            state.arena.set(table, &key, Item::Node(list))?;
        }
    }
    Ok(Out::Table(table))
}

/// `params([k[, v]])` on a list of parameters.
pub(super) fn params(
    state: &mut State,
    args: &[Arg],
    params: fn(&mut State) -> Result<&mut Params, Fail>,
) -> Outcome {
    match args {
        [] => {
            let all = params(state)?.clone();
            let table = state.arena.new_table()?;
            for (name, value) in all {
                let value = crate::body::Value::string(&value);
                state.arena.set(table, &name, Item::Plain(value))?;
            }
            Ok(Out::Table(table))
        }
        [_] => {
            let key = word(args, 1)?;
            let found = params(state)?.iter().find(|(own, _)| *own == key);
            let value = found.map(|(_, value)| value.clone().into_bytes());
            Ok(Out::Text(value.unwrap_or_default()))
        }
        _ => {
            let (key, value) = (word(args, 1)?, word(args, 2)?);
            state.arena.charge(key.len() + value.len())?;
            let params = params(state)?;
            let full = params.len() >= MAX_FIELDS;
            match params.iter_mut().find(|(own, _)| *own == key) {
                Some((_, old)) => *old = value,
                None if full => return Err("too many parameters".to_owned()),
                None => params.push((key, value)),
            }
            Ok(Out::Nothing)
        }
    }
}

/// The first value of a query parameter; empty when it is missing.
pub(super) fn query_value(raw: &[u8], key: &[u8]) -> Vec<u8> {
    query::pairs(raw)
        .find(|(name, _)| **name == *key)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The query with every value of a parameter replaced by one; encoded anew, sorted by name.
pub(super) fn with_query_value(raw: &[u8], key: &[u8], value: &[u8]) -> String {
    let mut pairs: Vec<_> = query::pairs(raw)
        .filter(|(name, _)| **name != *key)
        .collect();
    pairs.push((Cow::Borrowed(key), Cow::Borrowed(value)));
    query::encode(&mut pairs)
}

/// A query as Go reads and writes it again.
pub(super) fn normal_query(raw: &[u8]) -> String {
    let mut pairs: Vec<_> = query::pairs(raw).collect();
    query::encode(&mut pairs)
}
