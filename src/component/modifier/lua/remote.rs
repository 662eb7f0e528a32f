//! `http_response`: requests that a script makes by itself. They go through the gateway's own client and end
//! with the request that the script serves.
//!
//! Differs from KrakenD: the body of an answer is bounded.

use super::fields;
use super::state::{Arg, Fail, Out, Outcome, State, call, mismatch, need_arguments, text, word};
use super::tables::constructor;
use crate::base::{Dialect, version};
use crate::body::gzip;
use crate::gateway::headers::Fields;
use crate::gateway::snapshot::Gateway;
use crate::net::{Deadline, Incoming, NetError, OutBody, Outgoing, Target};
use crate::pipe::redirect;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use mlua::{Lua, MultiValue, UserData, UserDataMethods, Value};
use tokio::sync::oneshot;

/// Largest body of an answer, unless the script's memory is less.
const MAX_BODY: usize = 16 << 20;

/// Answers that one run may keep.
const MAX_FETCHED: usize = 100;

/// A request of a script.
#[derive(Debug)]
pub(super) struct Fetch {
    method: Method,
    url: String,
    fields: Fields,
    body: Option<Bytes>,
    limit: usize,
    reply: oneshot::Sender<Result<Fetched, String>>,
}

/// Its answer.
#[derive(Debug)]
pub(super) struct Fetched {
    status: u16,
    headers: HeaderMap,
    /// Gone once it was read.
    body: Bytes,
}

/// An answer, as the script holds it.
pub(super) struct FetchedRef(pub(super) usize);

/// Puts `http_response` into the globals.
pub(super) fn register(lua: &Lua) -> mlua::Result<()> {
    constructor(lua, "http_response", new)
}

fn new(state: &mut State, args: &[Arg]) -> Outcome {
    let (method, body, fields) = match args.len() {
        0 | 2 => return Err(need_arguments()),
        1 => (Method::GET, None, Fields::new()),
        _ => {
            let method = super::ctx::parse_method(&text(args, 2)?)?;
            let body = Some(Bytes::from(text(args, 3)?)).filter(|body| !body.is_empty());
            (method, body, sent(args.get(3))?)
        }
    };
    if state.fetched.len() >= MAX_FETCHED {
        return Err("too many requests of one script".to_owned());
    }
    let url = word(args, 1)?;
    let limit = state.arena.limit().min(MAX_BODY);
    let fetched = state.link.fetch(|reply| Fetch {
        method,
        url,
        fields,
        body,
        limit,
        reply,
    })?;
    state.fetched.push(fetched);
    Ok(Out::Fetched(state.fetched.len() - 1))
}

/// The fields of the fourth argument: texts, or tables of texts.
fn sent(arg: Option<&Arg>) -> Result<Fields, Fail> {
    let table = match arg {
        None | Some(Arg::Nil) => return Ok(Fields::new()),
        Some(Arg::Lua(table)) => table,
        other => return Err(mismatch(4, "table", other)),
    };
    let mut fields = Fields::new();
    for pair in table.pairs::<mlua::LuaString, Value>() {
        let (name, value) = pair.map_err(|_| "header name is no text".to_owned())?;
        let name = fields::name(&[Arg::Text(name.as_bytes().to_vec())], 1)?;
        let values: Vec<Value> = match value {
            Value::Table(list) => list.sequence_values().flatten().collect(),
            value => vec![value],
        };
        for value in values {
            let value = text(&[Arg::of(&value)], 1)?;
            fields.push((name.clone(), fields::value(&value)?));
        }
    }
    Ok(fields)
}

type OnAnswer = fn(&mut State, usize, &[Arg]) -> Outcome;

impl UserData for FetchedRef {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        let all: [(&str, OnAnswer); 5] = [
            ("statusCode", status_code),
            ("headers", headers),
            ("headerList", header_list),
            ("body", body),
            ("close", close),
        ];
        for (name, method) in all {
            methods.add_method(name, move |lua, this, args: MultiValue| {
                let at = this.0;
                call(lua, &args, |state, args| method(state, at, args))
            });
        }
    }
}

fn answer(state: &mut State, at: usize) -> Result<&mut Fetched, Fail> {
    let found = state.fetched.get_mut(at);
    found.ok_or_else(|| "no such response".to_owned())
}

fn status_code(state: &mut State, at: usize, _: &[Arg]) -> Outcome {
    Ok(Out::Number(f64::from(answer(state, at)?.status)))
}

fn headers(state: &mut State, at: usize, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    let name = fields::name(args, 1)?;
    let value = answer(state, at)?.headers.get(name);
    Ok(Out::Text(
        value
            .map(|value| value.as_bytes().to_vec())
            .unwrap_or_default(),
    ))
}

fn header_list(state: &mut State, at: usize, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    let name = fields::name(args, 1)?;
    let values = answer(state, at)?.headers.get_all(name).into_iter();
    let values: Vec<Vec<u8>> = values.map(|value| value.as_bytes().to_vec()).collect();
    Ok(Out::List(state.arena.list_of(values.into_iter())?))
}

fn body(state: &mut State, at: usize, _: &[Arg]) -> Outcome {
    let body = std::mem::take(&mut answer(state, at)?.body);
    Ok(Out::Text(body.to_vec()))
}

fn close(state: &mut State, at: usize, _: &[Arg]) -> Outcome {
    answer(state, at)?.body = Bytes::new();
    Ok(Out::Nothing)
}

/// Makes a request and hands its answer to the script.
pub(super) async fn fetch(gateway: &Gateway, request: Fetch, end: tokio::time::Instant) {
    let Fetch {
        method,
        url,
        mut fields,
        body,
        limit,
        reply,
    } = request;
    prepare(gateway, &mut fields);
    let deadline = Deadline::at(end);
    let exchange = exchange(gateway, &method, &url, fields, body, limit, deadline);
    let answer = exchange.await.map_err(|error| error.wrap(&method, &url));
    // Nobody waits any more when the script was ended meanwhile.
    let _ = reply.send(answer.map_err(|error| error.text.into_owned()));
}

/// Adds the fields that Go's client and KrakenD add.
fn prepare(gateway: &Gateway, fields: &mut Fields) {
    let agent = match gateway.dialect {
        Dialect::Native => version::USER_AGENT,
        Dialect::Krakend => version::KRAKEND_USER_AGENT,
    };
    let has = |fields: &Fields, name: &HeaderName| fields.iter().any(|(own, _)| own == name);
    if !has(fields, &header::USER_AGENT) {
        fields.push((header::USER_AGENT, HeaderValue::from_static(agent)));
    }
    if !has(fields, &header::ACCEPT_ENCODING) && !has(fields, &header::RANGE) {
        fields.push((header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")));
    }
}

async fn exchange(
    gateway: &Gateway,
    method: &Method,
    url: &str,
    mut fields: Fields,
    body: Option<Bytes>,
    limit: usize,
    deadline: Deadline,
) -> Result<Fetched, NetError> {
    let (mut target, mut path) = aim(gateway, url)?;
    let (mut method, mut body) = (method.clone(), body);
    for _ in 0..=redirect::MAX {
        let outgoing = Outgoing {
            method: &method,
            path_and_query: &path,
            host: None,
            fields: &fields,
            body: match &body {
                Some(bytes) => OutBody::Full {
                    bytes: bytes.clone(),
                    chunked: false,
                },
                None => OutBody::None,
            },
            patience: None,
            interims: None,
        };
        let answer = gateway.client.send(&target, outgoing, deadline).await?;
        let from = target.authority();
        let status = answer.status.as_u16();
        let hop = redirect::follow(status, &answer.headers, &method, from, &path, true);
        let Some(hop) = hop else {
            return received(answer, limit).await;
        };
        let next = gateway.target(&hop.origin).map_err(NetError::invalid)?;
        redirect::prepare(&mut fields, &hop, &from.host, &next.authority().host);
        (target, path, method) = (next, hop.target, hop.method);
        body = body.filter(|_| hop.keep_body);
    }
    Err(NetError::invalid("stopped after 10 redirects"))
}

/// Where a URL leads, and the path and query there.
fn aim(gateway: &Gateway, url: &str) -> Result<(Target, String), NetError> {
    let url = url.split('#').next().unwrap_or_default();
    let after = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(after..).unwrap_or_default();
    let at = after + rest.find(['/', '?']).unwrap_or(rest.len());
    let (origin, path) = url.split_at(at);
    if path.bytes().any(|b| b <= b' ' || b >= 0x7f) {
        return Err(NetError::invalid("url not valid"));
    }
    let target = gateway.target(origin).map_err(NetError::invalid)?;
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    Ok((target, path))
}

async fn received(answer: Incoming, limit: usize) -> Result<Fetched, NetError> {
    let status = answer.status.as_u16();
    let mut headers = answer.headers.clone();
    let packed = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| value == "gzip");
    let mut body = answer.collect(limit).await?;
    if packed && !body.is_empty() {
        let whole = gzip::inflate(&body, limit).map_err(|e| NetError::invalid(e.to_string()))?;
        body = whole.into();
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Fetched {
        status,
        headers,
        body,
    })
}
