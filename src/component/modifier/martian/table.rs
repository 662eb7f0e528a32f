//! Every modifier that KrakenD registers: its directions, its fields, and how it is made of them.

use super::body::base64;
use super::cookie::{Written, http_date, is_name};
use super::static_file::Files;
use super::{
    BodyOp, Condition, Cookie, Entry, Field, HeaderOp, Lookup, Modifier, Op, Parser, UrlMatch,
    UrlOp, regexp,
};
use crate::base::{Code, Dialect};
use crate::config::keys;
use crate::gateway::path::{self, push_escaped};
use crate::net::Authority;
use http::{HeaderName, HeaderValue};

/// One modifier of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Whether it can change requests.
    pub(super) request: bool,
    /// Whether it can change answers.
    pub(super) response: bool,
    /// Its fields beside `scope`.
    pub(super) keys: &'static [&'static str],
    pub(super) build: fn(&mut Parser<'_>, &Entry<'_>) -> Option<Op>,
}

type Build = fn(&mut Parser<'_>, &Entry<'_>) -> Option<Op>;

const fn both(name: &'static str, keys: &'static [&'static str], build: Build) -> Row {
    Row {
        name,
        request: true,
        response: true,
        keys,
        build,
    }
}

const fn request(name: &'static str, keys: &'static [&'static str], build: Build) -> Row {
    Row {
        response: false,
        ..both(name, keys, build)
    }
}

const fn response(name: &'static str, keys: &'static [&'static str], build: Build) -> Row {
    Row {
        request: false,
        ..both(name, keys, build)
    }
}

static TABLE: &[Row] = &[
    both("fifo.Group", &["modifiers", "aggregateErrors"], fifo),
    both("priority.Group", &["modifiers"], priority),
    both("header.Modifier", &["name", "value"], header_set),
    both("header.Append", &["name", "value"], header_add),
    both("header.Blacklist", &["names"], header_remove),
    both("header.Copy", &["from", "to"], header_copy),
    request("header.Id", &["header"], header_id),
    both(
        "header.Filter",
        &["name", "value", "modifier", "else"],
        header_filter,
    ),
    both(
        "header.RegexFilter",
        &["header", "regex", "modifier"],
        header_regex,
    ),
    both("header.Verifier", &["name", "value"], nothing),
    both("body.Modifier", &["contentType", "body"], body),
    both(
        "cookie.Modifier",
        &[
            "name", "value", "path", "domain", "expires", "secure", "httpOnly", "maxAge",
        ],
        cookie,
    ),
    both(
        "cookie.Filter",
        &["name", "value", "modifier", "else"],
        cookie_filter,
    ),
    request("url.Modifier", &["scheme", "host", "path", "query"], url),
    both(
        "url.Filter",
        &["scheme", "host", "path", "query", "modifier", "else"],
        url_filter,
    ),
    both("url.RegexFilter", &["regex", "modifier", "else"], url_regex),
    request(
        "url.Verifier",
        &["scheme", "host", "path", "query"],
        nothing,
    ),
    request(
        "port.Modifier",
        &["port", "defaultForScheme", "remove"],
        port,
    ),
    both("port.Filter", &["port", "modifier"], port_filter),
    request("querystring.Modifier", &["name", "value"], query),
    both(
        "querystring.Filter",
        &["name", "value", "modifier", "else"],
        query_filter,
    ),
    request("querystring.Verifier", &["name", "value"], nothing),
    both("stash.Modifier", &["headerName"], stash),
    response("status.Modifier", &["statusCode"], status),
    response("status.Verifier", &["statusCode"], verified_status),
    both(
        "static.Modifier",
        &["rootPath", "explicitPaths"],
        static_files,
    ),
];

/// Modifiers of martian that KrakenD leaves out.
const LEFT_OUT: &[&str] = &[
    "log.Logger",
    "method.Verifier",
    "skip.RoundTrip",
    "failure.Verifier",
    "pingback.Verifier",
    "header.Via",
    "header.Forwarded",
    "header.FramingModifier",
    "header.HopByHop",
    "ip.AuthFilter",
    "cors.Modifier",
    "marbl.Modifier",
    "har.Modifier",
];

/// A modifier by its name, which is written exactly so.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// What to write instead of a name that nothing has.
pub(super) fn advice(name: &str) -> String {
    if LEFT_OUT.contains(&name) {
        return "martian has it and KrakenD leaves it out; remove it".to_owned();
    }
    let names: Vec<String> = TABLE.iter().map(|row| row.name.to_lowercase()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let near = keys::nearest(name, &names);
    let written = |near: &str| TABLE.iter().find(|row| row.name.eq_ignore_ascii_case(near));
    if let Some(row) = near.and_then(written) {
        return format!("did you mean \"{}\"?", row.name);
    }
    let family = name.split('.').next().unwrap_or_default();
    let of_family = |row: &&Row| row.name.split('.').next() == Some(family);
    let mut candidates: Vec<&str> = TABLE.iter().filter(of_family).map(|row| row.name).collect();
    if candidates.is_empty() {
        candidates = TABLE.iter().map(|row| row.name).collect();
    }
    format!("write one of {}", candidates.join(", "))
}

fn nothing(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    for key in ["name", "value", "scheme", "host", "path", "query"] {
        p.text(e, key)?;
    }
    Some(Op::Nothing)
}

fn verified_status(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    p.int(e, "statusCode")?;
    Some(Op::Nothing)
}

fn fifo(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let aggregate = p.bool(e, "aggregateErrors");
    let listed = p.list(e, "modifiers")?;
    // Each is read, so that every problem is told.
    let children: Vec<Option<Modifier>> = listed
        .iter()
        .map(|(pointer, value)| p.modifier(value, pointer))
        .collect();
    Some(Op::Group {
        children: children.into_iter().collect::<Option<_>>()?,
        aggregate: aggregate?,
    })
}

fn priority(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let listed = p.list(e, "modifiers")?;
    let read = |p: &mut Parser<'_>, (pointer, value): &(String, &serde_json::Value)| {
        let entry = p.entry(value, pointer)?;
        let priority = p.int(&entry, "priority");
        let modifier = needed(p, &entry);
        Some((priority?, modifier?))
    };
    let children: Vec<Option<(i64, Modifier)>> = listed.iter().map(|one| read(p, one)).collect();
    let mut children: Vec<(i64, Modifier)> = children.into_iter().collect::<Option<_>>()?;
    // The highest first; of equals the one that was declared last.
    children.reverse();
    children.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    Some(Op::Group {
        children: children.into_iter().map(|(_, modifier)| modifier).collect(),
        aggregate: false,
    })
}

/// `modifier`, without which there is no filter.
fn needed(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Modifier> {
    match p.child(e, "modifier")? {
        Some(modifier) => Some(modifier),
        None => p.fail(
            Code::BadValue,
            &e.pointer,
            "\"modifier\" is missing",
            "add \"modifier\"",
        ),
    }
}

fn filter(p: &mut Parser<'_>, e: &Entry<'_>, condition: Option<Condition>) -> Option<Op> {
    let then = needed(p, e);
    let otherwise = p.child(e, "else");
    Some(Op::Filter {
        condition: condition?,
        then: Box::new(then?),
        otherwise: otherwise?.map(Box::new),
    })
}

/// Filters that know no `else`.
fn plain_filter(p: &mut Parser<'_>, e: &Entry<'_>, condition: Option<Condition>) -> Option<Op> {
    let then = needed(p, e);
    Some(Op::Filter {
        condition: condition?,
        then: Box::new(then?),
        otherwise: None,
    })
}

/// A field's name under a key.
fn field(p: &mut Parser<'_>, e: &Entry<'_>, key: &str) -> Option<Lookup> {
    let name = p.text(e, key)?;
    p.field(&name, &e.at(key))
}

/// Name and value, or what Go fails with on each request.
fn pair(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Result<(Field, HeaderValue), String>> {
    let (name, value) = (p.text(e, "name"), p.text(e, "value"));
    let (name, value) = (name?, value?);
    let field = match p.field(&name, &e.at("name"))? {
        Lookup::Field(field) => field,
        Lookup::Bad(text) => return Some(Err(text)),
    };
    let number = field != Field::Length || value.parse::<i64>().is_ok();
    if !number && p.dialect == Dialect::Native {
        let message = "Content-Length is a number";
        return p.fail(Code::BadValue, &e.at("value"), message, "write digits");
    }
    Some(
        p.value(&value, &name, &e.at("value"))?
            .map(|value| (field, value)),
    )
}

fn header_set(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    Some(match pair(p, e)? {
        Ok((field, value)) => Op::Header(HeaderOp::Set(field, value)),
        Err(text) => Op::Broken(text),
    })
}

fn header_add(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    Some(match pair(p, e)? {
        Ok((field, value)) => Op::Header(HeaderOp::Add(field, value)),
        Err(text) => Op::Broken(text),
    })
}

fn header_remove(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let mut fields = Vec::new();
    let mut good = true;
    for (pointer, name) in p.texts(e, "names")? {
        match p.field(&name, &pointer) {
            Some(Lookup::Field(field)) => fields.push(field),
            // There is no such field to take away.
            Some(Lookup::Bad(_)) => {}
            None => good = false,
        }
    }
    good.then_some(Op::Header(HeaderOp::Remove(fields)))
}

fn header_copy(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (from, to) = (field(p, e, "from"), field(p, e, "to"));
    Some(match (from?, to?) {
        (Lookup::Field(from), Lookup::Field(to)) => Op::Header(HeaderOp::Copy { from, to }),
        (_, Lookup::Bad(text)) => Op::Broken(text),
        (Lookup::Bad(_), Lookup::Field(to)) => {
            Op::Header(HeaderOp::Set(to, HeaderValue::from_static("")))
        }
    })
}

/// A name that stands for a plain field whatever it is: some modifiers look at fields alone.
fn plain(lookup: Lookup) -> Result<HeaderName, String> {
    match lookup {
        Lookup::Field(Field::Host) => Ok(http::header::HOST),
        Lookup::Field(Field::Length) => Ok(http::header::CONTENT_LENGTH),
        Lookup::Field(Field::Transfer) => Ok(http::header::TRANSFER_ENCODING),
        Lookup::Field(Field::Named(name)) => Ok(name),
        Lookup::Bad(text) => Err(text),
    }
}

/// A plain field that a modifier writes: the message's own parts are refused in native, where Go would
/// write a field that is never sent.
fn written(
    p: &mut Parser<'_>,
    e: &Entry<'_>,
    key: &str,
    default: &str,
) -> Option<Result<HeaderName, String>> {
    let text = p.text(e, key)?;
    let text = if text.is_empty() { default } else { &text };
    let lookup = p.field(text, &e.at(key))?;
    match lookup {
        Lookup::Field(Field::Named(name)) => Some(Ok(name)),
        Lookup::Bad(text) => Some(Err(text)),
        Lookup::Field(_) => p.fail(
            Code::BadValue,
            &e.at(key),
            format!("{text} cannot be written by this modifier"),
            "choose another field",
        ),
    }
}

fn header_id(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    Some(match written(p, e, "header", "X-Krakend-Id")? {
        Ok(name) => Op::Id(name),
        Err(text) => Op::Broken(text),
    })
}

fn stash(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    Some(match written(p, e, "headerName", "")? {
        Ok(name) => Op::Stash(name),
        Err(text) => Op::Broken(text),
    })
}

fn header_filter(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (field, value) = (field(p, e, "name"), p.text(e, "value"));
    let condition = field.zip(value).map(|(field, value)| {
        match (field, HeaderValue::from_bytes(value.as_bytes())) {
            (Lookup::Field(field), Ok(value)) => Condition::Header(field, value),
            _ => Condition::Never,
        }
    });
    filter(p, e, condition)
}

fn regex(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<regex::bytes::Regex> {
    let text = p.text(e, "regex")?;
    match regexp::compile(&text) {
        Ok(regex) => Some(regex),
        Err(error) => p.fail(
            Code::BadValue,
            &e.at("regex"),
            format!("the expression cannot be used: {error}"),
            "write it in the syntax of RE2 (https://github.com/google/re2/wiki/Syntax)",
        ),
    }
}

fn header_regex(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (field, regex) = (field(p, e, "header"), regex(p, e));
    let condition = field.zip(regex).map(|(field, regex)| match plain(field) {
        Ok(name) => Condition::HeaderRegex(name, regex),
        Err(_) => Condition::Never,
    });
    plain_filter(p, e, condition)
}

fn body(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (content_type, text) = (p.text(e, "contentType"), p.text(e, "body"));
    let (content_type, text) = (content_type?, text?);
    let content_type = p.value(&content_type, "Content-Type", &e.at("contentType"))?;
    let Some(body) = base64(&text) else {
        return p.fail(
            Code::BadValue,
            &e.at("body"),
            "\"body\" is not in base64",
            "encode it, for example with `base64 -w0`",
        );
    };
    Some(match content_type {
        Ok(content_type) => Op::Body(BodyOp::new(content_type, body)),
        Err(text) => Op::Broken(text),
    })
}

fn cookie(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let cookie = Written {
        name: p.text(e, "name")?,
        value: p.text(e, "value")?,
        path: p.text(e, "path")?,
        domain: p.text(e, "domain")?,
        expires: expires(p, e)?,
        secure: p.bool(e, "secure")?,
        http_only: p.bool(e, "httpOnly")?,
        max_age: p.int(e, "maxAge")?,
    };
    if !is_name(&cookie.name) && p.dialect == Dialect::Native {
        let message = "a cookie cannot have this name";
        let hint = "write letters, digits, - and _";
        return p.fail(Code::BadValue, &e.at("name"), message, hint);
    }
    Some(Op::Cookie(Cookie::new(&cookie)))
}

#[expect(clippy::option_option, reason = "absent and wrong are different")]
fn expires(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Option<String>> {
    if e.value("expires").is_none() {
        return Some(None);
    }
    let text = p.text(e, "expires")?;
    match http_date(&text) {
        Some(date) => Some(date),
        None => p.fail(
            Code::BadValue,
            &e.at("expires"),
            "\"expires\" is no time of RFC 3339",
            "write one such as \"2030-01-02T15:04:05Z\"",
        ),
    }
}

fn cookie_filter(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (name, value) = (p.text(e, "name"), p.text(e, "value"));
    let condition = name.zip(value).map(|(name, value)| Condition::Cookie {
        name: name.into_bytes(),
        value: value.into_bytes(),
    });
    filter(p, e, condition)
}

fn query(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (name, value) = (p.text(e, "name"), p.text(e, "value"));
    Some(Op::Url(UrlOp::Query {
        name: name?.into_bytes(),
        value: value?.into_bytes(),
    }))
}

fn query_filter(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (name, value) = (p.text(e, "name"), p.text(e, "value"));
    let condition = name.zip(value).map(|(name, value)| Condition::Query {
        name: name.into_bytes(),
        value: value.into_bytes(),
    });
    filter(p, e, condition)
}

fn url(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let scheme = p.text(e, "scheme")?;
    let host = p.text(e, "host")?;
    let path = p.text(e, "path")?;
    let query = p.text(e, "query")?;
    if !matches!(scheme.as_str(), "" | "http" | "https") && p.dialect == Dialect::Native {
        let message = "no backend can be called with this scheme";
        let hint = "write \"http\" or \"https\"";
        return p.fail(Code::BadValue, &e.at("scheme"), message, hint);
    }
    let origin = Authority::parse(&format!("http://{host}"));
    let whole = origin.is_ok_and(|origin| origin.base_path.is_empty());
    if !host.is_empty() && !whole && p.dialect == Dialect::Native {
        let message = "no backend can be called with this host";
        let hint = "write a host and perhaps a port, such as \"example.com:8080\"";
        return p.fail(Code::BadHost, &e.at("host"), message, hint);
    }
    Some(Op::Url(UrlOp::Parts {
        scheme,
        host,
        encoded: path::encode(path.as_bytes()),
        path,
        query: legal_query(&query),
    }))
}

/// A query as written, but for bytes that would break the request line or begin a fragment.
fn legal_query(query: &str) -> String {
    let mut legal = String::with_capacity(query.len());
    for byte in query.bytes() {
        if byte.is_ascii_graphic() && byte != b'#' {
            legal.push(char::from(byte));
        } else {
            push_escaped(&mut legal, byte);
        }
    }
    legal
}

fn url_filter(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let mut text = |key: &str| p.text(e, key);
    let (scheme, host) = (text("scheme"), text("host"));
    let (path, query) = (text("path"), text("query"));
    let condition =
        (scheme.zip(host).zip(path).zip(query)).map(|(((scheme, host), path), query)| {
            Condition::Url(UrlMatch {
                scheme,
                host,
                path,
                query,
            })
        });
    filter(p, e, condition)
}

fn url_regex(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let condition = regex(p, e).map(Condition::UrlRegex);
    filter(p, e, condition)
}

fn port(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (port, default) = (p.int(e, "port"), p.bool(e, "defaultForScheme"));
    let remove = p.bool(e, "remove");
    let op = match (port?, default?, remove?) {
        (port, false, false) if (1..=65_535).contains(&port) => UrlOp::Port(port),
        (port, false, false) if port != 0 => {
            let message = "this is no port";
            return p.fail(Code::OutOfRange, &e.at("port"), message, "write 1 to 65535");
        }
        (0, true, false) => UrlOp::DefaultPort,
        (0, false, true) => UrlOp::NoPort,
        _ => {
            let message = "port.Modifier takes exactly one of port, defaultForScheme and remove";
            return p.fail(Code::BadValue, &e.pointer, message, "leave one of them");
        }
    };
    Some(Op::Url(op))
}

fn port_filter(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let condition = p.int(e, "port").map(Condition::Port);
    plain_filter(p, e, condition)
}

fn status(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let code = p.int(e, "statusCode")?;
    match u16::try_from(code) {
        // What is below is no final answer.
        Ok(code @ 200..=999) => Some(Op::Status(code)),
        _ => p.fail(
            Code::OutOfRange,
            &e.at("statusCode"),
            format!("an answer cannot have the status {code}"),
            "write 200 to 599",
        ),
    }
}

fn static_files(p: &mut Parser<'_>, e: &Entry<'_>) -> Option<Op> {
    let (root, explicit) = (p.text(e, "rootPath"), p.pairs(e, "explicitPaths"));
    let (root, explicit) = (root?, explicit?);
    if root.is_empty() && p.dialect == Dialect::Native {
        let message = "\"rootPath\" is missing: the working directory would be served";
        return p.fail(Code::BadValue, &e.pointer, message, "add \"rootPath\"");
    }
    let files = Files::new(&root, explicit, p.dialect);
    Some(Op::Static(p.serve(files)))
}
