//! `response`: the answer of the pipe or of one backend, there for `post` only. Its data is opened when a
//! script asks for it.

use super::fields;
use super::state::{Arg, Fail, Out, Outcome, State, add, float, need_arguments, text, truth};
use crate::base::field::canonical;
use crate::gateway::message::{Answer, AnswerBody};
use http::HeaderName;
use mlua::{UserData, UserDataMethods};

/// The object that `response.load()` gives.
pub(super) struct ResponseObject;

impl UserData for ResponseObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        add(methods, "isComplete", is_complete);
        add(methods, "statusCode", status_code);
        add(methods, "data", data);
        add(methods, "headers", headers);
        add(methods, "headerList", header_list);
        add(methods, "body", body);
    }
}

fn answer(state: &mut State) -> Result<&mut Answer, Fail> {
    state
        .answer
        .as_deref_mut()
        .ok_or_else(|| "no response here".to_owned())
}

fn is_complete(state: &mut State, args: &[Arg]) -> Outcome {
    let answer = answer(state)?;
    if args.is_empty() {
        return Ok(Out::Bool(answer.complete));
    }
    answer.complete = truth(args, 1)?;
    Ok(Out::Nothing)
}

fn status_code(state: &mut State, args: &[Arg]) -> Outcome {
    let answer = answer(state)?;
    if args.is_empty() {
        return Ok(Out::Number(f64::from(answer.status)));
    }
    let status = float(args, 1)?;
    if !(200.0..1000.0).contains(&status) {
        return Err(format!("status {status} not valid"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range"
    )]
    let status = status as u16;
    answer.status = status;
    Ok(Out::Nothing)
}

fn data(state: &mut State, _: &[Arg]) -> Outcome {
    if let Some(root) = state.root {
        return Ok(Out::Table(root));
    }
    let object = answer(state)?.data.take().unwrap_or_default();
    let root = state.arena.open(object);
    state.root = Some(root);
    Ok(Out::Table(root))
}

/// KrakenD looks the name up as it is given, so only the canonical spelling finds anything.
fn spelled(args: &[Arg]) -> Result<Option<HeaderName>, Fail> {
    let name = text(args, 1)?;
    let found = std::str::from_utf8(&name)
        .ok()
        .filter(|name| canonical(name) == *name)
        .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    Ok(found)
}

fn headers(state: &mut State, args: &[Arg]) -> Outcome {
    match args {
        [] => {
            let headers = answer(state)?.headers.clone();
            let names = headers.keys().map(HeaderName::as_str);
            fields::table_of(state, names, |name| {
                let values = headers.get_all(name).into_iter();
                values.map(|value| value.as_bytes().to_vec()).collect()
            })
        }
        [_] => {
            let name = spelled(args)?;
            let headers = &answer(state)?.headers;
            let value = name.and_then(|name| headers.get(name));
            Ok(Out::Text(
                value
                    .map(|value| value.as_bytes().to_vec())
                    .unwrap_or_default(),
            ))
        }
        [_, Arg::Nil, ..] => {
            if let Ok(name) = fields::name(args, 1) {
                answer(state)?.headers.remove(name);
            }
            Ok(Out::Nothing)
        }
        _ => {
            let name = fields::name(args, 1)?;
            let value = fields::value(&text(args, 2)?)?;
            let set = answer(state)?.headers.try_insert(name, value);
            set.map(|_| Out::Nothing)
                .map_err(|_| "too many header fields".to_owned())
        }
    }
}

fn header_list(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    if args.len() == 1 {
        let name = spelled(args)?;
        let headers = &answer(state)?.headers;
        let values: Vec<Vec<u8>> = match name {
            Some(name) => headers
                .get_all(name)
                .into_iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
            None => Vec::new(),
        };
        return Ok(Out::List(state.arena.list_of(values.into_iter())?));
    }
    let name = fields::name(args, 1)?;
    let values = fields::listed(state, args)?;
    let headers = &mut answer(state)?.headers;
    headers.remove(&name);
    for value in values {
        headers
            .try_append(name.clone(), value)
            .map_err(|_| "too many header fields".to_owned())?;
    }
    Ok(Out::Nothing)
}

fn body(state: &mut State, args: &[Arg]) -> Outcome {
    let answer = answer(state)?;
    if !args.is_empty() {
        answer.body = AnswerBody::Full(text(args, 1)?.into());
        return Ok(Out::Nothing);
    }
    match &answer.body {
        AnswerBody::Empty => Ok(Out::Text(Vec::new())),
        AnswerBody::Full(bytes) => Ok(Out::Text(bytes.to_vec())),
        AnswerBody::Stream(_) => Err("the body is not read for this script".to_owned()),
    }
}
