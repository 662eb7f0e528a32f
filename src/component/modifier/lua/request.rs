//! `request`: the request around an endpoint's pipe or around one backend's call, with the fields that
//! passed the filters.

use super::ctx::parse_method;
use super::fields;
use super::state::{Arg, Fail, Out, Outcome, State, Subject, add, text, word};
use crate::gateway::headers::Fields;
use crate::gateway::message::Request;
use mlua::{UserData, UserDataMethods};

/// The object that `request.load()` gives.
pub(super) struct RequestObject;

impl UserData for RequestObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        add(methods, "method", method);
        add(methods, "path", path);
        add(methods, "query", query);
        add(methods, "url", url);
        add(methods, "params", params);
        add(methods, "headers", headers);
        add(methods, "headerList", header_list);
        add(methods, "body", body);
    }
}

fn request(state: &mut State) -> Result<&mut Request, Fail> {
    match &mut state.subject {
        Subject::Request(request) => Ok(request),
        _ => Err("no request here".to_owned()),
    }
}

fn method(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        let method = request(state)?.method.as_str();
        return Ok(Out::Text(method.as_bytes().to_vec()));
    }
    request(state)?.method = parse_method(&text(args, 1)?)?;
    Ok(Out::Nothing)
}

fn path(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Ok(Out::Text(request(state)?.path.clone().into_bytes()));
    }
    request(state)?.path = word(args, 1)?;
    Ok(Out::Nothing)
}

fn query(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Ok(Out::Text(request(state)?.query.clone().into_bytes()));
    }
    request(state)?.query = fields::normal_query(&text(args, 1)?);
    Ok(Out::Nothing)
}

fn url(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Ok(Out::Text(request(state)?.url.clone().into_bytes()));
    }
    let url = word(args, 1)?;
    if url.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err(format!("url {url:?} not valid"));
    }
    request(state)?.url = url;
    Ok(Out::Nothing)
}

fn params(state: &mut State, args: &[Arg]) -> Outcome {
    fields::params(state, args, |state| Ok(&mut request(state)?.params))
}

fn own_fields(state: &mut State) -> Result<&mut Fields, Fail> {
    Ok(&mut request(state)?.headers)
}

fn headers(state: &mut State, args: &[Arg]) -> Outcome {
    fields::headers(state, args, own_fields)
}

fn header_list(state: &mut State, args: &[Arg]) -> Outcome {
    fields::header_list(state, args, own_fields)
}

fn body(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        let body = request(state)?.body.as_ref();
        return Ok(Out::Text(
            body.map(|body| body.to_vec()).unwrap_or_default(),
        ));
    }
    request(state)?.body = Some(text(args, 1)?.into());
    Ok(Out::Nothing)
}
