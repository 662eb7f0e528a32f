//! Modifiers in both directions, as rows: what is configured, what comes in, what goes out.
//!
//! A request is written `URL ~ name: value ~ name: value | body`, an answer `status ~ name: value | body`.

use super::*;
use crate::base::{Code, Report};
use crate::gateway::message::AnswerBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

const NATIVE: Dialect = Dialect::Native;
const KRAKEND: Dialect = Dialect::Krakend;

fn read(value: &Value, dialect: Dialect) -> (Option<Martian>, Report) {
    let mut report = Report::default();
    let martian = Martian::compile(&mut Settings::new(value, "/m", &mut report), dialect);
    (martian, report)
}

fn martian(value: &Value, dialect: Dialect) -> Martian {
    let (martian, report) = read(value, dialect);
    martian.unwrap_or_else(|| panic!("{value} gives {:?}", report.problems))
}

fn parts(text: &str) -> (&str, Vec<(HeaderName, HeaderValue)>, Option<Bytes>) {
    let (head, body) = match text.split_once(" | ") {
        Some((head, body)) => (head, Some(Bytes::copy_from_slice(body.as_bytes()))),
        None => (text, None),
    };
    let mut words = head.split(" ~ ");
    let first = words.next().unwrap();
    let field = |word: &str| {
        let (name, value) = word.split_once(':').unwrap();
        (
            name.parse().unwrap(),
            HeaderValue::from_str(value.trim()).unwrap(),
        )
    };
    (first, words.map(field).collect(), body)
}

fn request(text: &str) -> Request {
    let (url, headers, body) = parts(text);
    Request {
        method: Method::GET,
        path: String::new(),
        url: url.to_owned(),
        query: String::new(),
        params: Vec::new(),
        headers,
        body,
    }
}

fn answer(text: &str) -> Answer {
    let (status, fields, body) = parts(text);
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    Answer {
        status: status.parse().unwrap(),
        headers,
        body: body.map_or(AnswerBody::Empty, AnswerBody::Full),
        ..Answer::default()
    }
}

fn shown<'f>(
    first: &str,
    fields: impl Iterator<Item = (&'f HeaderName, &'f HeaderValue)>,
    body: &[u8],
) -> String {
    let mut text = first.to_owned();
    for (name, value) in fields {
        let value = String::from_utf8_lossy(value.as_bytes());
        text.push_str(&format!(" ~ {name}: {value}"));
    }
    if !body.is_empty() {
        text.push_str(&format!(" | {}", String::from_utf8_lossy(body)));
    }
    text
}

/// What leaves for a request, or the error.
fn sent(value: &Value, given: &str, dialect: Dialect) -> String {
    let mut request = request(given);
    match martian(value, dialect).root.before(&mut request, dialect) {
        Err(error) => format!("error {}", error.text),
        Ok(Go::Answer(answer)) => format!("answered {} {}", answer.status, request.url),
        Ok(Go::Next) => shown(
            &request.url,
            request.headers.iter().map(|(n, v)| (n, v)),
            request.body.as_deref().unwrap_or_default(),
        ),
    }
}

/// What is left of an answer to a request.
fn answered(value: &Value, asked: &str, given: &str, dialect: Dialect) -> String {
    let (request, mut answer) = (request(asked), answer(given));
    let martian = martian(value, dialect);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let served = runtime.block_on(async {
        let mut served = Vec::new();
        for files in &martian.files {
            served.push(files.serve(&request).await);
        }
        served
    });
    if let Err(error) = martian.answer(&request, &mut answer, served) {
        return format!("error {}", error.text);
    }
    let AnswerBody::Full(body) = &answer.body else {
        return shown(&answer.status.to_string(), answer.headers.iter(), b"");
    };
    shown(&answer.status.to_string(), answer.headers.iter(), body)
}

fn one(name: &str, fields: Value) -> Value {
    json!({ name: fields })
}

/// `header.Modifier` for both directions: the mark that filters leave.
fn mark(value: &str) -> Value {
    json!({"header.Modifier": {"name": "M", "value": value}})
}

fn mark_request(value: &str) -> Value {
    json!({"header.Modifier": {"scope": ["request"], "name": "M", "value": value}})
}

#[test]
fn requests_are_changed() {
    let body = "bmV3"; // "new"
    for (name, fields, given, wanted) in [
        // Fields.
        (
            "header.Modifier",
            json!({"name": "x-a", "value": "1"}),
            "http://u/",
            "http://u/ ~ x-a: 1",
        ),
        (
            "header.Modifier",
            json!({"NAME": "X-A", "Value": "1"}),
            "http://u/",
            "http://u/ ~ x-a: 1",
        ),
        (
            "header.Modifier",
            json!({"name": "X-A", "value": "2"}),
            "http://u/ ~ x-a: 0 ~ b: c ~ x-a: 1",
            "http://u/ ~ b: c ~ x-a: 2",
        ),
        (
            "header.Modifier",
            json!({"name": "X-A"}),
            "http://u/ ~ x-a: 0",
            "http://u/ ~ x-a: ",
        ),
        (
            "header.Modifier",
            json!({"name": "X-A", "value": "1", "scope": []}),
            "http://u/",
            "http://u/",
        ),
        (
            "header.Modifier",
            json!({"name": "X-A", "value": "1", "scope": null}),
            "http://u/",
            "http://u/ ~ x-a: 1",
        ),
        (
            "header.Modifier",
            json!({"name": "X-A", "value": "1", "scope": ["response"]}),
            "http://u/",
            "http://u/",
        ),
        (
            "header.Modifier",
            json!({"name": "Host", "value": "v.example"}),
            "http://u/",
            "http://u/ ~ host: v.example",
        ),
        (
            "header.Modifier",
            json!({"name": "host", "value": ""}),
            "http://u/ ~ host: old",
            "http://u/",
        ),
        (
            "header.Modifier",
            json!({"name": "Content-Length", "value": "3"}),
            "http://u/ | abc",
            "http://u/ ~ content-length: 3 | abc",
        ),
        (
            "header.Modifier",
            json!({"name": "Content-Length", "value": "4"}),
            "http://u/ | abc",
            "error http: ContentLength=4 with Body length 3",
        ),
        (
            "header.Modifier",
            json!({"name": "Content-Length", "value": "-1"}),
            "http://u/ ~ content-length: 3 | abc",
            "http://u/ | abc",
        ),
        (
            "header.Modifier",
            json!({"name": "Transfer-Encoding", "value": "chunked"}),
            "http://u/ ~ content-length: 3 | abc",
            "http://u/ | abc",
        ),
        (
            "header.Modifier",
            json!({"name": "Transfer-Encoding", "value": "gzip"}),
            "http://u/ | abc",
            "http://u/ | abc",
        ),
        (
            "header.Append",
            json!({"name": "X-A", "value": "2"}),
            "http://u/ ~ x-a: 1",
            "http://u/ ~ x-a: 1 ~ x-a: 2",
        ),
        (
            "header.Append",
            json!({"name": "X-A", "value": "2"}),
            "http://u/",
            "http://u/ ~ x-a: 2",
        ),
        (
            "header.Append",
            json!({"name": "Host", "value": "v"}),
            "http://u/",
            "error proxyutil: illegal header multiple: Host",
        ),
        (
            "header.Append",
            json!({"name": "Content-Length", "value": "3"}),
            "http://u/ | abc",
            "error proxyutil: illegal header multiple: Content-Length",
        ),
        (
            "header.Append",
            json!({"name": "Transfer-Encoding", "value": "chunked"}),
            "http://u/ ~ content-length: 3 | abc",
            "http://u/ | abc",
        ),
        (
            "header.Blacklist",
            json!({"names": ["X-A", "x-b"]}),
            "http://u/ ~ x-a: 1 ~ c: d ~ x-b: 2 ~ x-a: 3",
            "http://u/ ~ c: d",
        ),
        (
            "header.Blacklist",
            json!({"names": ["Host"]}),
            "http://u/ ~ host: v",
            "http://u/",
        ),
        (
            "header.Blacklist",
            json!({"names": ["Content-Length"]}),
            "http://u/ ~ content-length: 3 | abc",
            "http://u/ | abc",
        ),
        (
            "header.Blacklist",
            json!({}),
            "http://u/ ~ a: b",
            "http://u/ ~ a: b",
        ),
        (
            "header.Copy",
            json!({"from": "A", "to": "B"}),
            "http://u/ ~ a: 1 ~ a: 2 ~ b: 3",
            "http://u/ ~ a: 1 ~ a: 2 ~ b: 1",
        ),
        (
            "header.Copy",
            json!({"from": "A", "to": "B"}),
            "http://u/ ~ b: 3",
            "http://u/ ~ b: ",
        ),
        (
            "header.Copy",
            json!({"from": "Host", "to": "X-H"}),
            "http://u:81/p",
            "http://u:81/p ~ x-h: u:81",
        ),
        (
            "header.Copy",
            json!({"from": "X-H", "to": "Host"}),
            "http://u/ ~ x-h: v",
            "http://u/ ~ x-h: v ~ host: v",
        ),
        (
            "header.Copy",
            json!({"from": "Content-Length", "to": "X-L"}),
            "http://u/ | abc",
            "http://u/ ~ x-l: 3 | abc",
        ),
        (
            "header.Copy",
            json!({"from": "X-L", "to": "Content-Length"}),
            "http://u/ ~ x-l: y",
            "error strconv.ParseInt: parsing \"y\": invalid syntax",
        ),
        (
            "header.Id",
            json!({}),
            "http://u/ ~ x-krakend-id: mine",
            "http://u/ ~ x-krakend-id: mine",
        ),
        (
            "header.Id",
            json!({"header": "X-Id"}),
            "http://u/ ~ x-id: mine",
            "http://u/ ~ x-id: mine",
        ),
        (
            "header.Verifier",
            json!({"name": "X-A", "value": "1"}),
            "http://u/",
            "http://u/",
        ),
        // Bodies and cookies.
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body}),
            "http://u/ ~ content-type: x ~ content-encoding: gzip ~ content-length: 9 | old",
            "http://u/ ~ content-type: t/p ~ content-length: 3 | new",
        ),
        (
            "body.Modifier",
            json!({"body": body}),
            "http://u/ ~ content-type: x",
            "http://u/ ~ content-length: 3 | new",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p"}),
            "http://u/ | old",
            "http://u/ ~ content-type: t/p",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body, "scope": ["response"]}),
            "http://u/ | old",
            "http://u/ | old",
        ),
        (
            "cookie.Modifier",
            json!({"name": "a", "value": "1"}),
            "http://u/",
            "http://u/ ~ cookie: a=1",
        ),
        (
            "cookie.Modifier",
            json!({"name": "a", "value": "1", "path": "/x", "maxAge": 3.0}),
            "http://u/ ~ cookie: b=2",
            "http://u/ ~ cookie: b=2; a=1",
        ),
        (
            "cookie.Modifier",
            json!({"name": "a", "value": "x y"}),
            "http://u/",
            "http://u/ ~ cookie: a=\"x y\"",
        ),
        // URLs.
        (
            "url.Modifier",
            json!({"path": "/new"}),
            "http://u/old?q=1",
            "http://u/new?q=1",
        ),
        (
            "url.Modifier",
            json!({"path": "/a b/ü"}),
            "http://u/old",
            "http://u/a%20b/%C3%BC",
        ),
        (
            "url.Modifier",
            json!({"path": "/a b"}),
            "http://u/a%20b",
            "http://u/a%20b",
        ),
        (
            "url.Modifier",
            json!({"path": "/a/b"}),
            "http://u/a%2Fb",
            "http://u/a%2Fb",
        ),
        (
            "url.Modifier",
            json!({"path": "new"}),
            "http://u/old",
            "http://u/new",
        ),
        (
            "url.Modifier",
            json!({"query": "z=1&a=2"}),
            "http://u/p?q=1",
            "http://u/p?z=1&a=2",
        ),
        (
            "url.Modifier",
            json!({"query": "a b#c"}),
            "http://u/p",
            "http://u/p?a%20b%23c",
        ),
        (
            "url.Modifier",
            json!({"host": "v:81"}),
            "http://u/p",
            "http://v:81/p ~ host: u",
        ),
        (
            "url.Modifier",
            json!({"host": "v"}),
            "http://u/p ~ host: w",
            "http://v/p ~ host: w",
        ),
        (
            "url.Modifier",
            json!({"host": "u"}),
            "http://u/p",
            "http://u/p",
        ),
        (
            "url.Modifier",
            json!({"scheme": "https"}),
            "http://u/p",
            "https://u/p",
        ),
        ("url.Modifier", json!({}), "http://u/p?", "http://u/p?"),
        (
            "port.Modifier",
            json!({"port": 8080}),
            "http://u:1/p",
            "http://u:8080/p ~ host: u:1",
        ),
        (
            "port.Modifier",
            json!({"port": 80}),
            "http://[::1]/p",
            "http://[::1]:80/p ~ host: [::1]",
        ),
        (
            "port.Modifier",
            json!({"remove": true}),
            "http://u:1/p",
            "http://u/p ~ host: u:1",
        ),
        (
            "port.Modifier",
            json!({"defaultForScheme": true}),
            "https://u:1/p",
            "https://u:443/p ~ host: u:1",
        ),
        (
            "port.Modifier",
            json!({"defaultForScheme": true}),
            "http://u/p",
            "http://u:80/p ~ host: u",
        ),
        (
            "querystring.Modifier",
            json!({"name": "amount", "value": "75"}),
            "http://u/p",
            "http://u/p?amount=75",
        ),
        (
            "querystring.Modifier",
            json!({"name": "b", "value": "x y"}),
            "http://u/p?c=3&b=1&a=%2f&b=2",
            "http://u/p?a=%2F&b=x+y&c=3",
        ),
        (
            "querystring.Modifier",
            json!({"name": "b"}),
            "http://u/p?x;y=1&%zz=2&z",
            "http://u/p?b=&z=",
        ),
        (
            "querystring.Verifier",
            json!({"name": "b"}),
            "http://u/p",
            "http://u/p",
        ),
        (
            "url.Verifier",
            json!({"host": "other"}),
            "http://u/p",
            "http://u/p",
        ),
        (
            "stash.Modifier",
            json!({"headerName": "X-Url"}),
            "http://u/p?q=1",
            "http://u/p?q=1 ~ x-url: http://u/p?q=1",
        ),
        (
            "static.Modifier",
            json!({"rootPath": "/nowhere"}),
            "https://u/p",
            "answered 200 http://u/p",
        ),
    ] {
        assert_eq!(
            sent(&one(name, fields.clone()), given, NATIVE),
            wanted,
            "{name} {fields}"
        );
    }
}

#[test]
fn answers_are_changed() {
    let body = "MDEyMzQ1Njc4OQ=="; // "0123456789"
    let ranged = |range: &str| format!("http://u/ ~ range: {range}");
    for (name, fields, asked, given, wanted) in [
        (
            "header.Modifier",
            json!({"name": "X-A", "value": "1"}),
            "http://u/",
            "200 ~ x-a: 0 | b",
            "200 ~ x-a: 1 | b",
        ),
        (
            "header.Modifier",
            json!({"name": "X-A", "value": "1", "scope": ["request"]}),
            "http://u/",
            "200",
            "200",
        ),
        (
            "header.Modifier",
            json!({"name": "Host", "value": "v"}),
            "http://u/",
            "200",
            "200",
        ),
        (
            "header.Modifier",
            json!({"name": "Content-Length", "value": "7"}),
            "http://u/",
            "200 ~ content-length: 3 | abc",
            "200 ~ content-length: 3 | abc",
        ),
        (
            "header.Append",
            json!({"name": "X-A", "value": "1"}),
            "http://u/",
            "200 ~ x-a: 0",
            "200 ~ x-a: 0 ~ x-a: 1",
        ),
        (
            "header.Append",
            json!({"name": "Content-Length", "value": "7"}),
            "http://u/",
            "200 | abc",
            "error proxyutil: illegal header multiple: Content-Length",
        ),
        (
            "header.Append",
            json!({"name": "Host", "value": "v"}),
            "http://u/",
            "200",
            "200",
        ),
        (
            "header.Append",
            json!({"name": "Transfer-Encoding", "value": "x"}),
            "http://u/",
            "200",
            "200",
        ),
        (
            "header.Blacklist",
            json!({"names": ["X-A", "Content-Length", "Host"]}),
            "http://u/",
            "200 ~ x-a: 0 ~ x-a: 1 ~ b: c",
            "200 ~ b: c",
        ),
        (
            "header.Copy",
            json!({"from": "A", "to": "B"}),
            "http://u/ ~ a: request",
            "200 ~ a: 1 ~ a: 2",
            "200 ~ a: 1 ~ a: 2 ~ b: 1",
        ),
        (
            "header.Copy",
            json!({"from": "Content-Length", "to": "X-L"}),
            "http://u/",
            "200 | abc",
            "200 ~ x-l: 3 | abc",
        ),
        (
            "header.Copy",
            json!({"from": "Host", "to": "X-H"}),
            "http://u/",
            "200",
            "200 ~ x-h: ",
        ),
        ("header.Id", json!({}), "http://u/", "200", "200"),
        (
            "header.Verifier",
            json!({"name": "X-A"}),
            "http://u/",
            "200",
            "200",
        ),
        (
            "cookie.Modifier",
            json!({"name": "a", "value": "1", "path": "/", "domain": "e.com", "expires": "2026-11-22T10:20:32Z", "secure": true, "httpOnly": true, "maxAge": 60}),
            "http://u/",
            "200 ~ set-cookie: b=2",
            "200 ~ set-cookie: b=2 ~ set-cookie: a=1; Path=/; Domain=e.com; Expires=Sun, 22 Nov 2026 10:20:32 GMT; Max-Age=60; HttpOnly; Secure",
        ),
        (
            "url.Modifier",
            json!({"path": "/x"}),
            "http://u/",
            "200 | b",
            "200 | b",
        ),
        (
            "stash.Modifier",
            json!({"headerName": "X-Url"}),
            "http://u/ ~ x-url: http://old/",
            "200",
            "200 ~ x-url: http://old/",
        ),
        (
            "status.Modifier",
            json!({"statusCode": 201}),
            "http://u/",
            "404 | b",
            "201 | b",
        ),
        (
            "status.Verifier",
            json!({"statusCode": 201}),
            "http://u/",
            "404",
            "404",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body}),
            "http://u/",
            "200 ~ content-type: x ~ content-encoding: gzip ~ content-length: 3 | old",
            "200 ~ content-type: t/p ~ content-length: 10 | 0123456789",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body}),
            &ranged("bytes=2-4"),
            "200 | old",
            "206 ~ content-type: t/p ~ content-range: bytes 2-4/10 ~ content-length: 3 | 234",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body}),
            &ranged("bytes=8-"),
            "200 | old",
            "206 ~ content-type: t/p ~ content-range: bytes 8-9/10 ~ content-length: 2 | 89",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body}),
            &ranged("bytes=8-99"),
            "200 | old",
            "206 ~ content-type: t/p ~ content-range: bytes 8-9/10 ~ content-length: 2 | 89",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body}),
            &ranged("bytes=50-"),
            "200 | old",
            "416 ~ content-type: t/p ~ content-range: bytes */10 ~ content-length: 0",
        ),
        (
            "body.Modifier",
            json!({"contentType": "t/p", "body": body}),
            &ranged("nonsense"),
            "200 | old",
            "200 ~ content-type: t/p ~ content-length: 10 | 0123456789",
        ),
        (
            "static.Modifier",
            json!({"rootPath": "/nowhere", "scope": ["response"]}),
            "http://u/x",
            "200",
            "404",
        ),
        (
            "static.Modifier",
            json!({"rootPath": "/nowhere", "scope": ["request"]}),
            "http://u/x",
            "200",
            "200",
        ),
    ] {
        let got = answered(&one(name, fields.clone()), asked, given, NATIVE);
        assert_eq!(got, wanted, "{name} {fields}");
    }
}

#[test]
fn filters_choose_by_the_request() {
    for (name, mut fields, given, chosen) in [
        (
            "header.Filter",
            json!({"name": "X-A", "value": "1"}),
            "http://u/ ~ x-a: 0 ~ x-a: 1",
            "then",
        ),
        (
            "header.Filter",
            json!({"name": "X-A", "value": "1"}),
            "http://u/ ~ x-a: 11",
            "else",
        ),
        (
            "header.Filter",
            json!({"name": "X-A", "value": ""}),
            "http://u/ ~ x-a: 1",
            "else",
        ),
        (
            "header.Filter",
            json!({"name": "X-A", "value": ""}),
            "http://u/ ~ x-a:",
            "then",
        ),
        (
            "header.Filter",
            json!({"name": "Host", "value": "u:8"}),
            "http://u:8/",
            "then",
        ),
        (
            "header.Filter",
            json!({"name": "Content-Length", "value": "3"}),
            "http://u/ | abc",
            "then",
        ),
        (
            "header.Filter",
            json!({"name": "Content-Length", "value": "0"}),
            "http://u/",
            "else",
        ),
        (
            "header.RegexFilter",
            json!({"header": "X-A", "regex": "^n"}),
            "http://u/ ~ x-a: no",
            "then",
        ),
        (
            "header.RegexFilter",
            json!({"header": "X-A", "regex": "^n"}),
            "http://u/ ~ x-a: yes ~ x-a: no",
            "none",
        ),
        (
            "header.RegexFilter",
            json!({"header": "X-A", "regex": ".*"}),
            "http://u/",
            "none",
        ),
        (
            "header.RegexFilter",
            json!({"header": "X-A", "regex": ".*"}),
            "http://u/ ~ x-a:",
            "none",
        ),
        (
            "cookie.Filter",
            json!({"name": "a", "value": "1"}),
            "http://u/ ~ cookie: b=2; a=1",
            "then",
        ),
        (
            "cookie.Filter",
            json!({"name": "a", "value": "1"}),
            "http://u/ ~ cookie: a=2",
            "else",
        ),
        (
            "cookie.Filter",
            json!({"name": "a"}),
            "http://u/ ~ cookie: a=2",
            "then",
        ),
        ("cookie.Filter", json!({"name": "a"}), "http://u/", "else"),
        (
            "url.Filter",
            json!({"host": "*.example.com"}),
            "http://a.example.com/",
            "then",
        ),
        (
            "url.Filter",
            json!({"host": "*.example.com"}),
            "http://example.com/",
            "else",
        ),
        (
            "url.Filter",
            json!({"scheme": "http", "path": "/a b", "query": "x=1"}),
            "http://u/a%20b?x=1",
            "then",
        ),
        (
            "url.Filter",
            json!({"query": "x=1"}),
            "http://u/?x=1&y=2",
            "else",
        ),
        ("url.Filter", json!({"path": "/a"}), "http://u/a/", "else"),
        ("url.Filter", json!({}), "http://u/", "then"),
        (
            "url.RegexFilter",
            json!({"regex": "u/a\\d"}),
            "http://u/a1",
            "then",
        ),
        (
            "url.RegexFilter",
            json!({"regex": "^u"}),
            "http://u/a1",
            "else",
        ),
        ("port.Filter", json!({"port": 80}), "http://u/", "then"),
        ("port.Filter", json!({"port": 443}), "https://u/", "then"),
        (
            "port.Filter",
            json!({"port": 8080}),
            "http://u:8080/",
            "then",
        ),
        ("port.Filter", json!({"port": 80}), "http://u:8080/", "none"),
        (
            "querystring.Filter",
            json!({"name": "a", "value": "x y"}),
            "http://u/?a=1&a=x+y",
            "then",
        ),
        (
            "querystring.Filter",
            json!({"name": "a"}),
            "http://u/?a",
            "then",
        ),
        (
            "querystring.Filter",
            json!({"name": "a", "value": "1"}),
            "http://u/?b=1",
            "else",
        ),
    ] {
        let map = fields.as_object_mut().unwrap();
        map.insert("modifier".to_owned(), mark_request("then"));
        if chosen != "none" {
            map.insert("else".to_owned(), mark_request("else"));
        }
        let wanted = match (chosen, given.split_once(" | ")) {
            ("none", _) => given
                .replace(": ", ":")
                .replace(':', ": ")
                .replace(": //", "://"),
            (chosen, Some((head, body))) => format!("{head} ~ m: {chosen} | {body}"),
            (chosen, None) => format!("{given} ~ m: {chosen}"),
        };
        let got = sent(&one(name, fields.clone()), given, NATIVE);
        let squeeze = |text: &str| text.replace(' ', "");
        assert_eq!(squeeze(&got), squeeze(&wanted), "{name} {fields}");
    }
}

#[test]
fn filters_choose_by_the_answer_where_they_look_at_it() {
    for (name, mut fields, asked, given, chosen) in [
        (
            "header.Filter",
            json!({"name": "X-A", "value": "1"}),
            "http://u/",
            "200 ~ x-a: 1",
            Some("then"),
        ),
        (
            "header.Filter",
            json!({"name": "X-A", "value": "1"}),
            "http://u/ ~ x-a: 1",
            "200",
            Some("else"),
        ),
        (
            "header.Filter",
            json!({"name": "Host", "value": "u"}),
            "http://u/",
            "200",
            Some("else"),
        ),
        (
            "header.RegexFilter",
            json!({"header": "X-A", "regex": "1"}),
            "http://u/ ~ x-a: 1",
            "200",
            Some("then"),
        ),
        (
            "header.RegexFilter",
            json!({"header": "X-A", "regex": "1"}),
            "http://u/",
            "200 ~ x-a: 1",
            None,
        ),
        (
            "cookie.Filter",
            json!({"name": "a", "value": "1"}),
            "http://u/",
            "200 ~ set-cookie: a=1; Path=/",
            Some("then"),
        ),
        (
            "cookie.Filter",
            json!({"name": "a"}),
            "http://u/ ~ cookie: a=1",
            "200",
            Some("else"),
        ),
        (
            "url.Filter",
            json!({"path": "/p"}),
            "http://u/p",
            "200",
            Some("then"),
        ),
        (
            "url.RegexFilter",
            json!({"regex": "/q$"}),
            "http://u/p",
            "200",
            Some("else"),
        ),
        (
            "port.Filter",
            json!({"port": 80}),
            "http://u/",
            "200",
            Some("then"),
        ),
        ("port.Filter", json!({"port": 81}), "http://u/", "200", None),
        (
            "querystring.Filter",
            json!({"name": "a"}),
            "http://u/?a=1",
            "200",
            Some("then"),
        ),
    ] {
        let map = fields.as_object_mut().unwrap();
        map.insert("modifier".to_owned(), mark("then"));
        if !["header.RegexFilter", "port.Filter"].contains(&name) {
            map.insert("else".to_owned(), mark("else"));
        }
        let wanted = match chosen {
            Some(chosen) => format!("{given} ~ m: {chosen}"),
            None => given.to_owned(),
        };
        let got = answered(&one(name, fields.clone()), asked, given, NATIVE);
        assert_eq!(got, wanted, "{name} {fields}");
    }
}

#[test]
fn a_child_runs_only_where_its_own_scope_and_its_groups_allow_it() {
    let group = |outer: Value, inner: Value| {
        json!({"fifo.Group": {"scope": outer, "modifiers": [
            {"header.Modifier": {"scope": inner, "name": "M", "value": "1"}}]}})
    };
    let all = json!(["request", "response"]);
    for (outer, inner, request, response) in [
        (&all, &all, true, true),
        (&Value::Null, &Value::Null, true, true),
        (&json!(["request"]), &all, true, false),
        (&all, &json!(["response"]), false, true),
        (&json!(["request"]), &json!(["response"]), false, false),
        (&json!([]), &all, false, false),
    ] {
        let value = group(outer.clone(), inner.clone());
        let got = (
            sent(&value, "http://u/", NATIVE).contains("m: 1"),
            answered(&value, "http://u/", "200", NATIVE).contains("m: 1"),
        );
        assert_eq!(got, (request, response), "{outer} {inner}");
    }
}

#[test]
fn groups_run_in_order_and_stop_at_the_first_error() {
    let add = |value: &str| json!({"header.Append": {"name": "X", "value": value}});
    let fail = json!({"header.Append": {"name": "Host", "value": "v", "scope": ["request"]}});
    let fifo = |aggregate: bool| {
        json!({"fifo.Group": {"aggregateErrors": aggregate,
        "modifiers": [add("1"), fail, add("2"), fail]}})
    };
    let error = "proxyutil: illegal header multiple: Host";
    let first = format!("error {error}");
    assert_eq!(sent(&fifo(false), "http://u/", NATIVE), first);
    let both = format!("error {error}\n{error}");
    assert_eq!(sent(&fifo(true), "http://u/", NATIVE), both);
    let calm = answered(&fifo(true), "http://u/", "200", NATIVE);
    assert_eq!(calm, "200 ~ x: 1 ~ x: 2");
    let priority = json!({"priority.Group": {"modifiers": [
        {"priority": 1, "modifier": add("a")},
        {"priority": 5, "modifier": add("b")},
        {"priority": 1, "modifier": add("c")},
        {"modifier": add("d")},
        {"priority": 5.0, "modifier": add("e")},
    ]}});
    let order = "x: e ~ x: b ~ x: c ~ x: a ~ x: d";
    assert_eq!(
        sent(&priority, "http://u/", NATIVE),
        format!("http://u/ ~ {order}")
    );
    let got = answered(&priority, "http://u/", "200", NATIVE);
    assert_eq!(got, format!("200 ~ {order}"));
}

#[test]
fn identifiers_are_random_and_only_set_once() {
    let value = one("header.Id", json!({}));
    let ids: Vec<String> = (0..2).map(|_| sent(&value, "http://u/", NATIVE)).collect();
    assert!(ids[0].starts_with("http://u/ ~ x-krakend-id: "), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn the_krakend_dialect_names_itself_as_go_does() {
    let gone = one("header.Blacklist", json!({"names": ["User-Agent"]}));
    for (given, native, krakend) in [
        (
            "http://u/ ~ user-agent: k",
            "http://u/",
            "http://u/ ~ user-agent: Go-http-client/1.1",
        ),
        (
            "http://u/",
            "http://u/",
            "http://u/ ~ user-agent: Go-http-client/1.1",
        ),
    ] {
        assert_eq!(sent(&gone, given, NATIVE), native);
        assert_eq!(sent(&gone, given, KRAKEND), krakend);
    }
    let empty = one(
        "header.Modifier",
        json!({"name": "User-Agent", "value": ""}),
    );
    assert_eq!(sent(&empty, "http://u/", KRAKEND), "http://u/");
}

#[test]
fn where_martian_panics_the_krakend_dialect_fails_the_request() {
    let body = one(
        "body.Modifier",
        json!({"contentType": "t/p", "body": "MDEyMw=="}),
    );
    for (range, wanted) in [
        (
            "bytes=1-2",
            "206 ~ content-type: t/p ~ content-range: bytes 1-2/4 ~ content-length: 2 | 12",
        ),
        ("bytes=0-4", "error slice bounds out of range"),
        (
            "bytes=-2",
            "error strconv.Atoi: parsing \"\": invalid syntax",
        ),
        ("bytes=3-1", "416 ~ content-type: t/p ~ content-length: 0"),
    ] {
        let asked = format!("http://u/ ~ range: {range}");
        assert_eq!(answered(&body, &asked, "200", KRAKEND), wanted, "{range}");
    }
}

#[test]
fn fields_that_cannot_be_sent_fail_each_request_in_the_krakend_dialect() {
    for (fields, error) in [
        (
            json!({"name": "x a", "value": "1"}),
            "net/http: invalid header field name \"x a\"",
        ),
        (
            json!({"value": "1"}),
            "net/http: invalid header field name \"\"",
        ),
        (
            json!({"name": "x-a", "value": "1\n2"}),
            "net/http: invalid header field value for \"X-A\"",
        ),
    ] {
        let value = one("header.Modifier", fields);
        assert_eq!(sent(&value, "http://u/", KRAKEND), format!("error {error}"));
        assert_eq!(answered(&value, "http://u/", "200", KRAKEND), "200");
        let (none, report) = read(&value, NATIVE);
        assert!(none.is_none() && report.has_errors(), "{value}");
    }
}

#[test]
fn files_answer_in_place_of_the_backend() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(root.join("a.json"), "{\"a\":1}").unwrap();
    std::fs::write(root.join("sub/b.txt"), "0123456789").unwrap();
    std::fs::write(root.join("plain"), "x").unwrap();
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret"), root.join("link")).unwrap();
    std::os::unix::fs::symlink("a.json", root.join("inner.json")).unwrap();
    let value = one(
        "static.Modifier",
        json!({
            "rootPath": root.to_str().unwrap(),
            "explicitPaths": {"/mapped": "/sub/b.txt", "/out": "../secret", "/a.json/x": "a.json"},
        }),
    );
    let text = "content-type: text/plain; charset=utf-8";
    for (path, range, native, krakend) in [
        (
            "/a.json",
            "",
            "200 ~ content-type: application/json ~ content-length: 7 | {\"a\":1}".to_owned(),
            None,
        ),
        (
            "/inner.json",
            "",
            "200 ~ content-type: application/json ~ content-length: 7 | {\"a\":1}".to_owned(),
            None,
        ),
        (
            "/sub/../a%2Ejson?q=1",
            "",
            "200 ~ content-type: application/json ~ content-length: 7 | {\"a\":1}".to_owned(),
            None,
        ),
        (
            "/mapped",
            "",
            format!("200 ~ {text} ~ content-length: 10 | 0123456789"),
            None,
        ),
        (
            "/mapped",
            "bytes=1-4",
            format!("206 ~ {text} ~ content-range: bytes 1-4/10 ~ content-length: 4 | 1234"),
            None,
        ),
        (
            "/plain",
            "",
            "200 ~ content-length: 1 | x".to_owned(),
            Some("200 ~ content-type:  ~ content-length: 1 | x"),
        ),
        ("/out", "", "404".to_owned(), None),
        ("/link", "", "404".to_owned(), None),
        ("/../secret", "", "404".to_owned(), None),
        ("/%2e%2e/secret", "", "404".to_owned(), None),
        ("/none", "", "404".to_owned(), None),
        (
            "/sub",
            "",
            "404".to_owned(),
            Some("error static.Modifier: not a regular file"),
        ),
        (
            "/plain/x",
            "",
            "404".to_owned(),
            Some("error static.Modifier: not a regular file"),
        ),
        (
            "/a%00",
            "",
            "404".to_owned(),
            Some("error static.Modifier: not a regular file"),
        ),
    ] {
        let asked = match range {
            "" => format!("http://u{path}"),
            range => format!("http://u{path} ~ range: {range}"),
        };
        assert_eq!(answered(&value, &asked, "200", NATIVE), native, "{path}");
        let krakend = krakend.map_or(native, str::to_owned);
        assert_eq!(answered(&value, &asked, "200", KRAKEND), krakend, "{path}");
    }
    let several = answered(
        &value,
        "http://u/mapped ~ range: bytes=0-0,9-9",
        "200",
        NATIVE,
    );
    assert!(
        several.starts_with("206 ~ content-type: multipart/byteranges; boundary="),
        "{several}"
    );
    assert!(
        several.contains("\r\nContent-Range: bytes 9-9/10\r\n"),
        "{several}"
    );
}

/// The places of the errors and their hints.
fn errors(value: &Value, dialect: Dialect) -> Vec<(Code, String, String)> {
    let (_, report) = read(value, dialect);
    let errors = report.problems.into_iter();
    errors
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| {
            (
                problem.code,
                problem.pointer,
                problem.hint.unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let leaf = || json!({"header.Modifier": {"name": "A"}});
    for (value, code, place, hint) in [
        (json!({}), Code::BadValue, "/m", "fifo.Group"),
        (
            json!({"header.Modifier": {"name": "A"}, "header.Id": {}}),
            Code::BadValue,
            "/m",
            "fifo.Group",
        ),
        (
            json!({"header.Modifer": {}}),
            Code::BadValue,
            "/m/header.Modifer",
            "did you mean \"header.Modifier\"?",
        ),
        (
            json!({"header.modifier": {}}),
            Code::BadValue,
            "/m/header.modifier",
            "did you mean \"header.Modifier\"?",
        ),
        (
            json!({"log.Logger": {}}),
            Code::BadValue,
            "/m/log.Logger",
            "KrakenD leaves it out",
        ),
        (
            json!({"header.Zzzzzzzzz": {}}),
            Code::BadValue,
            "/m/header.Zzzzzzzzz",
            "header.Append",
        ),
        (
            json!({"header.Modifier": []}),
            Code::WrongType,
            "/m/header.Modifier",
            "{…}",
        ),
        (
            json!({"header.Modifier": {"name": 5}}),
            Code::WrongType,
            "/m/header.Modifier/name",
            "no types",
        ),
        (
            json!({"header.Modifier": {"name": "A", "Scope": "request"}}),
            Code::WrongType,
            "/m/header.Modifier/Scope",
            "[\"request\"]",
        ),
        (
            json!({"header.Modifier": {"name": "A", "scope": ["req"]}}),
            Code::BadValue,
            "/m/header.Modifier/scope/0",
            "[\"request\"]",
        ),
        (
            json!({"header.Id": {"scope": ["response"]}}),
            Code::BadValue,
            "/m/header.Id/scope/0",
            "write [\"request\"]",
        ),
        (
            json!({"url.Modifier": {"scope": ["request", "response"]}}),
            Code::BadValue,
            "/m/url.Modifier/scope/1",
            "[\"request\"]",
        ),
        (
            json!({"status.Modifier": {"statusCode": 200, "scope": ["request"]}}),
            Code::BadValue,
            "/m/status.Modifier/scope/0",
            "[\"response\"]",
        ),
        (
            json!({"status.Modifier": {"statusCode": 99}}),
            Code::OutOfRange,
            "/m/status.Modifier/statusCode",
            "200",
        ),
        (
            json!({"status.Modifier": {"statusCode": 200.5}}),
            Code::WrongType,
            "/m/status.Modifier/statusCode",
            "",
        ),
        (
            json!({"stash.Modifier": {"headerName": "A", "scope": ["response"]}}),
            Code::BadValue,
            "/m/stash.Modifier/scope",
            "\"request\", \"response\"",
        ),
        (
            json!({"port.Modifier": {}}),
            Code::BadValue,
            "/m/port.Modifier",
            "one of them",
        ),
        (
            json!({"port.Modifier": {"port": 1, "remove": true}}),
            Code::BadValue,
            "/m/port.Modifier",
            "one of them",
        ),
        (
            json!({"port.Modifier": {"port": 70000}}),
            Code::OutOfRange,
            "/m/port.Modifier/port",
            "65535",
        ),
        (
            json!({"body.Modifier": {"body": "*"}}),
            Code::BadValue,
            "/m/body.Modifier/body",
            "base64",
        ),
        (
            json!({"cookie.Modifier": {"name": "a", "expires": "soon"}}),
            Code::BadValue,
            "/m/cookie.Modifier/expires",
            "2030",
        ),
        (
            json!({"cookie.Modifier": {"name": "a b"}}),
            Code::BadValue,
            "/m/cookie.Modifier/name",
            "letters",
        ),
        (
            json!({"url.RegexFilter": {"regex": "(", "modifier": leaf()}}),
            Code::BadValue,
            "/m/url.RegexFilter/regex",
            "RE2",
        ),
        (
            json!({"header.RegexFilter": {"header": "A", "regex": "(?=a)", "modifier": leaf()}}),
            Code::BadValue,
            "/m/header.RegexFilter/regex",
            "RE2",
        ),
        (
            json!({"header.Filter": {"name": "A"}}),
            Code::BadValue,
            "/m/header.Filter",
            "add \"modifier\"",
        ),
        (
            json!({"header.Filter": {"name": "A", "modifier": leaf(), "else": null}}),
            Code::WrongType,
            "/m/header.Filter/else",
            "fifo.Group",
        ),
        (
            json!({"fifo.Group": {"modifiers": [leaf(), {"x.Y": {}}]}}),
            Code::BadValue,
            "/m/fifo.Group/modifiers/1/x.Y",
            "write one of",
        ),
        (
            json!({"priority.Group": {"modifiers": [{"priority": 1}]}}),
            Code::BadValue,
            "/m/priority.Group/modifiers/0",
            "modifier",
        ),
        (
            json!({"url.Modifier": {"scheme": "ftp"}}),
            Code::BadValue,
            "/m/url.Modifier/scheme",
            "https",
        ),
        (
            json!({"url.Modifier": {"host": "a b"}}),
            Code::BadHost,
            "/m/url.Modifier/host",
            "example.com",
        ),
        (
            json!({"static.Modifier": {}}),
            Code::BadValue,
            "/m/static.Modifier",
            "rootPath",
        ),
        (
            json!({"static.Modifier": {"rootPath": "/", "explicitPaths": {"/a": 1}}}),
            Code::WrongType,
            "/m/static.Modifier/explicitPaths",
            "",
        ),
        (
            json!({"header.Modifier": {"name": "Content-Length", "value": "x"}}),
            Code::BadValue,
            "/m/header.Modifier/value",
            "digits",
        ),
        (
            json!({"header.Blacklist": {"names": ["A", "b c"]}}),
            Code::BadValue,
            "/m/header.Blacklist/names/1",
            "X-Name",
        ),
    ] {
        let found = errors(&value, NATIVE);
        let [(found_code, found_place, found_hint)] = &found[..] else {
            panic!("{value} gives {found:?}");
        };
        assert_eq!(
            (*found_code, found_place.as_str()),
            (code, place),
            "{value}"
        );
        assert!(found_hint.contains(hint), "{value}: {found_hint}");
    }
}

#[test]
fn all_problems_of_a_group_are_told_at_once() {
    let value = json!({"fifo.Group": {"modifiers": [
        {"a.B": {}}, {"header.Modifier": {"name": "X"}}, {"url.RegexFilter": {"regex": "[", "modifier": {"c.D": {}}}},
    ]}});
    let places: Vec<String> = errors(&value, NATIVE)
        .into_iter()
        .map(|(_, place, _)| place)
        .collect();
    assert_eq!(
        places,
        [
            "/m/fifo.Group/modifiers/0/a.B",
            "/m/fifo.Group/modifiers/2/url.RegexFilter/regex",
            "/m/fifo.Group/modifiers/2/url.RegexFilter/modifier/c.D",
        ]
    );
}

#[test]
fn the_krakend_dialect_runs_without_what_it_cannot_read_and_says_so() {
    for value in [
        json!({"no.Such": {}}),
        json!({"header.Id": {}, "header.Modifier": {}}),
        json!({"@comment": "", "header.Modifier": {"name": "A"}}),
        json!({"url.RegexFilter": {"regex": "(", "modifier": mark("x")}}),
        json!({"url.Modifier": {"scope": ["response"]}}),
    ] {
        let (none, report) = read(&value, KRAKEND);
        assert!(none.is_none() && !report.has_errors(), "{value}");
        let said = &report.problems[0].message;
        assert!(
            said.ends_with("the backend runs without modifier/martian"),
            "{said}"
        );
    }
}

#[test]
fn comments_and_unknown_fields_do_not_stop_a_native_start() {
    let value =
        json!({"@why": "x", "header.Modifier": {"@c": 1, "name": "A", "value": "1", "vlaue": "2"}});
    let (martian, report) = read(&value, NATIVE);
    assert!(martian.is_some() && !report.has_errors());
    assert_eq!(report.problems[0].code, Code::UnknownKey);
    let (_, report) = read(&one("url.Verifier", json!({})), NATIVE);
    assert!(report.problems[0].message.contains("does nothing"));
}

#[test]
fn deep_nesting_is_refused_and_does_not_use_up_the_stack() {
    let mut value = mark("x");
    for _ in 0..200 {
        value = json!({"fifo.Group": {"modifiers": [value]}});
    }
    let (none, report) = read(&value, NATIVE);
    assert!(none.is_none());
    assert_eq!(report.problems[0].code, Code::TooDeep);
}
