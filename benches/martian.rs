//! Martian's modifiers on a request as it leaves: one field, and a group of five.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::component::modifier::martian::Martian;
use hanzo_gateway::config::{Format, LoadOptions, Settings, parse};
use hanzo_gateway::gateway::ctx::Ctx;
use hanzo_gateway::gateway::message::Request;
use hanzo_gateway::gateway::stage::{Go, PipeStage, Step};
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, USER_AGENT};
use http::{HeaderValue, Method};
use serde_json::{Value, json};

fn ctx() -> Ctx {
    let text = r#"{"version":3,"endpoints":[{"endpoint":"/x","backend":[{"host":["http://h.test"],"url_pattern":"/"}]}]}"#;
    let mut report = Report::default();
    let options = LoadOptions::default();
    let document = parse("bench", text, Format::Json, &options, &mut report).unwrap();
    let shared = Shared::new(1).unwrap();
    let compiled = compile(&document, Dialect::Native, &shared, &mut report).unwrap();
    Ctx::new(Arc::new(compiled.gateway))
}

fn request() -> Request {
    let value = HeaderValue::from_static;
    Request {
        method: Method::GET,
        path: "/v1/items/7".to_owned(),
        url: "http://127.0.0.1:8080/v1/items/7?q=shoes".to_owned(),
        query: "q=shoes".to_owned(),
        params: vec![("Id".to_owned(), "7".to_owned())],
        headers: vec![
            (ACCEPT, value("application/json")),
            (AUTHORIZATION, value("Bearer abc")),
            (COOKIE, value("session=1; theme=dark")),
            (USER_AGENT, value("hanzo-gateway/1.0")),
        ],
        body: None,
    }
}

fn five() -> Value {
    let scope = json!(["request"]);
    json!({"fifo.Group": {"scope": scope, "aggregateErrors": true, "modifiers": [
        {"header.Modifier": {"scope": scope, "name": "X-A", "value": "1"}},
        {"header.Append": {"scope": scope, "name": "X-A", "value": "2"}},
        {"header.Blacklist": {"scope": scope, "names": ["Authorization", "Cookie"]}},
        {"header.RegexFilter": {"scope": scope, "header": "Accept", "regex": "json$",
            "modifier": {"header.Copy": {"scope": scope, "from": "Accept", "to": "X-Accept"}}}},
        {"querystring.Modifier": {"scope": scope, "name": "amount", "value": "75"}},
    ]}})
}

pub(crate) fn all(criterion: &mut Criterion) {
    let ctx = ctx();
    let header = json!({"header.Modifier": {"scope": ["request"], "name": "X-A", "value": "1"}});
    for (name, value) in [("header modifier", header), ("group of five", five())] {
        let mut report = Report::default();
        let mut settings = Settings::new(&value, "", &mut report);
        let martian = Martian::compile(&mut settings, Dialect::Native).unwrap();
        criterion.bench_function(&format!("martian/{name}"), |bencher| {
            bencher.iter_batched_ref(
                request,
                |request| {
                    let step = martian.before(black_box(request), &ctx);
                    assert!(matches!(step, Step::Now(Ok(Go::Next))));
                },
                BatchSize::SmallInput,
            );
        });
    }
}
