//! `ctx`: the client's request at the head of an endpoint or of the whole service, with every field that the
//! client sent. What a script changes here, header and query selection still filter.
//!
//! Differs from KrakenD: a URL, method or field that cannot be is an error at the line that sets it, where
//! KrakenD panics later.

use super::fields;
use super::state::{
    Arg, Fail, HeadSubject, Out, Outcome, State, Subject, add, need_arguments, text,
};
use crate::gateway::headers::Fields;
use crate::gateway::message::BodyRead;
use crate::gateway::path;
use http::Method;
use mlua::{UserData, UserDataMethods};

/// The object that `ctx.load()` gives.
pub(super) struct CtxObject;

impl UserData for CtxObject {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        add(methods, "method", method);
        add(methods, "url", url);
        add(methods, "host", host);
        add(methods, "query", query);
        add(methods, "params", params);
        add(methods, "headers", headers);
        add(methods, "headerList", header_list);
        add(methods, "body", body);
    }
}

fn head(state: &mut State) -> Result<&mut HeadSubject, Fail> {
    match &mut state.subject {
        Subject::Head(head) => Ok(head),
        _ => Err("no request here".to_owned()),
    }
}

fn method(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        let method = head(state)?.own.method.as_str();
        return Ok(Out::Text(method.as_bytes().to_vec()));
    }
    head(state)?.own.method = parse_method(&text(args, 1)?)?;
    Ok(Out::Nothing)
}

/// A method of a script.
pub(super) fn parse_method(text: &[u8]) -> Result<Method, Fail> {
    Method::from_bytes(text).map_err(|_| {
        let text = String::from_utf8_lossy(text);
        format!("method \"{text}\" not valid")
    })
}

fn url(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        let own = &head(state)?.own;
        let mut url = own.path.clone();
        if let Some(query) = &own.query {
            url.push(b'?');
            url.extend_from_slice(query);
        }
        return Ok(Out::Text(url));
    }
    let (path, query) = parse_url(&text(args, 1)?)?;
    let own = &mut head(state)?.own;
    (own.path, own.query) = (path, query);
    Ok(Out::Nothing)
}

/// Path and query of a URL; scheme, host and fragment are passed over.
fn parse_url(text: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), Fail> {
    let fail = || {
        let text = String::from_utf8_lossy(text);
        format!("url \"{text}\" not valid")
    };
    if text.iter().any(|b| *b < b' ' || *b == 0x7f) {
        return Err(fail());
    }
    let whole = text.split(|b| *b == b'#').next().unwrap_or_default();
    let (before, query) = match whole.iter().position(|b| *b == b'?') {
        Some(at) => (
            whole.get(..at).unwrap_or_default(),
            whole.get(at + 1..).map(<[u8]>::to_vec),
        ),
        None => (whole, None),
    };
    let after_scheme = before.windows(3).position(|w| w == b"://");
    let path = match after_scheme.and_then(|at| before.get(at + 3..)) {
        None => before,
        Some(rest) => {
            let at = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
            rest.get(at..).unwrap_or_default()
        }
    };
    let path = path::go_escape_path(path).map_err(|_| fail())?;
    let path = if path.is_empty() { "/" } else { &*path };
    // A blank has no place on the request line; everything else stays as the script wrote it.
    let query = query.map(|query| match query.contains(&b' ') {
        true => query
            .split(|b| *b == b' ')
            .collect::<Vec<_>>()
            .join(&b"%20"[..]),
        false => query,
    });
    Ok((path.as_bytes().to_vec(), query))
}

fn host(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Ok(Out::Text(head(state)?.own.host.clone()));
    }
    let host = text(args, 1)?;
    if host.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return Err("host not valid".to_owned());
    }
    head(state)?.own.host = host;
    Ok(Out::Nothing)
}

fn query(state: &mut State, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    let key = text(args, 1)?;
    let raw = head(state)?.own.query.clone().unwrap_or_default();
    if args.len() == 1 {
        return Ok(Out::Text(fields::query_value(&raw, &key)));
    }
    let value = text(args, 2)?;
    state.arena.charge(key.len() + value.len())?;
    let query = fields::with_query_value(&raw, &key, &value);
    head(state)?.own.query = Some(query.into_bytes());
    Ok(Out::Nothing)
}

fn params(state: &mut State, args: &[Arg]) -> Outcome {
    if args.len() > 1 {
        head(state)?.params_changed = true;
    }
    fields::params(state, args, |state| Ok(&mut head(state)?.params))
}

fn own_fields(state: &mut State) -> Result<&mut Fields, Fail> {
    Ok(&mut head(state)?.own.fields)
}

fn headers(state: &mut State, args: &[Arg]) -> Outcome {
    fields::headers(state, args, own_fields)
}

fn header_list(state: &mut State, args: &[Arg]) -> Outcome {
    fields::header_list(state, args, own_fields)
}

fn body(state: &mut State, args: &[Arg]) -> Outcome {
    if !args.is_empty() {
        let body = text(args, 1)?;
        head(state)?.own.body = BodyRead::Whole(Some(body.into()));
        return Ok(Out::Nothing);
    }
    match &head(state)?.own.body {
        BodyRead::Whole(body) => Ok(Out::Text(
            body.as_ref().map(|body| body.to_vec()).unwrap_or_default(),
        )),
        BodyRead::Not(crate::gateway::head::BodySize::None) => Ok(Out::Text(Vec::new())),
        BodyRead::Not(_) => Err("the body is not read for this script".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_as_go_does() {
        for (url, path, query) in [
            ("/a/b?x=1#f", "/a/b", Some("x=1")),
            ("http://h:1/a?", "/a", Some("")),
            ("http://h", "/", None),
            ("/a b", "/a%20b", None),
            ("/a%2fb?x= y", "/a%2fb", Some("x=%20y")),
            ("", "/", None),
        ] {
            let parsed = parse_url(url.as_bytes()).unwrap();
            let query = query.map(|query| query.as_bytes().to_vec());
            assert_eq!(parsed, (path.as_bytes().to_vec(), query), "{url}");
        }
        for bad in ["/a\nb", "/%zz", "/\u{7f}"] {
            assert!(parse_url(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
