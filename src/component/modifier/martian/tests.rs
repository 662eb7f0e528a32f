//! Modifiers in both directions, as rows: what is configured, what comes in, what goes out.
//!
//! A request is written `URL ~ name: value ~ name: value | body`, an answer `status ~ name: value | body`.

mod rows;

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

/// `name {…}` as a row writes it.
fn written(modifier: &str) -> Value {
    let (name, fields) = modifier.split_once(' ').unwrap();
    one(name, serde_json::from_str(fields).unwrap())
}

/// The cells of each row.
fn rows<const CELLS: usize>(text: &str) -> impl Iterator<Item = [&str; CELLS]> {
    text.lines().filter(|line| !line.is_empty()).map(|line| {
        let cells: Vec<&str> = line.split(" => ").collect();
        cells.try_into().unwrap_or_else(|_| panic!("{line}"))
    })
}

fn mark(value: &str) -> Value {
    json!({"header.Modifier": {"name": "M", "value": value}})
}

/// A filter whose sides leave their mark in one direction.
fn filter(modifier: &str, scope: &str) -> Value {
    let mut value = written(modifier);
    let (name, fields) = value.as_object_mut().unwrap().iter_mut().next().unwrap();
    let mark =
        |value: &str| json!({"header.Modifier": {"scope": [scope], "name": "M", "value": value}});
    fields["modifier"] = mark("then");
    if !["header.RegexFilter", "port.Filter"].contains(&name.as_str()) {
        fields["else"] = mark("else");
    }
    value
}

#[test]
fn requests_are_changed() {
    for [modifier, given, wanted] in rows(rows::REQUESTS) {
        assert_eq!(
            sent(&written(modifier), given, NATIVE).trim_end(),
            wanted,
            "{modifier}"
        );
    }
}

#[test]
fn answers_are_changed() {
    for [modifier, asked, given, wanted] in rows(rows::ANSWERS) {
        let got = answered(&written(modifier), asked, given, NATIVE);
        assert_eq!(got.trim_end(), wanted, "{modifier}");
    }
}

#[test]
fn filters_choose_by_the_request() {
    for [modifier, given, chosen] in rows(rows::REQUEST_FILTERS) {
        let filter = filter(modifier, "request");
        let wanted = match (chosen, given.split_once(" | ")) {
            ("none", _) => given.to_owned(),
            (chosen, Some((head, body))) => format!("{head} ~ m: {chosen} | {body}"),
            (chosen, None) => format!("{given} ~ m: {chosen}"),
        };
        // An empty field is written with and without its blank.
        let squeeze = |text: &str| text.replace(' ', "");
        let got = sent(&filter, given, NATIVE);
        assert_eq!(squeeze(&got), squeeze(&wanted), "{modifier}");
    }
}

#[test]
fn filters_choose_by_the_answer_where_they_look_at_it() {
    for [modifier, asked, given, chosen] in rows(rows::ANSWER_FILTERS) {
        let filter = filter(modifier, "response");
        let wanted = match chosen {
            "none" => given.to_owned(),
            chosen => format!("{given} ~ m: {chosen}"),
        };
        assert_eq!(
            answered(&filter, asked, given, NATIVE),
            wanted,
            "{modifier}"
        );
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
    for [value, code, place, hint] in rows(rows::REFUSED) {
        let found = errors(&serde_json::from_str(value).unwrap(), NATIVE);
        let [(found_code, found_place, found_hint)] = &found[..] else {
            panic!("{value} gives {found:?}");
        };
        assert_eq!(
            (format!("{found_code:?}").as_str(), found_place.as_str()),
            (code, place),
            "{value}"
        );
        assert!(
            hint == "-" || found_hint.contains(hint),
            "{value}: {found_hint}"
        );
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
