//! Scripts around a request as the components run them: a fresh interpreter each time, the hop to its
//! thread and back, the objects.
//!
//! `nothing` is the least that any script costs; `the hop alone` is the part of it that is no Lua.

use std::sync::Arc;

use criterion::Criterion;
use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::body::json;
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::component::{EndpointDraft, find};
use hanzo_gateway::config::settings::Settings;
use hanzo_gateway::config::{Format, LoadOptions, load};
use hanzo_gateway::gateway::ctx::Ctx;
use hanzo_gateway::gateway::message::{Answer, Request};
use hanzo_gateway::gateway::stage::PipeStage;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

fn ctx() -> Ctx {
    let mut report = Report::default();
    let text = r#"{"version":3,"endpoints":[]}"#;
    let options = LoadOptions::default();
    let document = load::parse("bench", text, Format::Json, &options, &mut report).unwrap();
    let shared = Shared::new(2).unwrap();
    let compiled = compile(&document, Dialect::Native, &shared, &mut report).unwrap();
    Ctx::new(Arc::new(compiled.gateway))
}

fn stage(settings: &Value) -> Box<dyn PipeStage> {
    let mut report = Report::default();
    let mut draft = EndpointDraft::default();
    let mut settings = Settings::new(settings, "", &mut report);
    let build = find("modifier/lua-proxy").unwrap().endpoint.unwrap();
    build(&mut settings, &mut draft, Dialect::Native).unwrap();
    draft.pipe.pop().unwrap()
}

fn request() -> Request {
    let fields = (0..8).map(|at| {
        let name = HeaderName::try_from(format!("x-field-{at}")).unwrap();
        (name, HeaderValue::from_static("value"))
    });
    Request {
        method: Method::GET,
        path: "/users/7".to_owned(),
        url: String::new(),
        query: "a=b".to_owned(),
        params: vec![("Id".to_owned(), "7".to_owned())],
        headers: fields.collect(),
        body: None,
    }
}

fn answer() -> Answer {
    let items: Vec<Value> = (0..100)
        .map(|n| json!({"id": n, "name": format!("item {n}"), "price": 12.5, "tags": ["a", "b"]}))
        .collect();
    let text = json!({"collection": items, "total": 100, "secret": "s"}).to_string();
    Answer {
        data: json::decode(text.as_bytes()).unwrap().into_object(),
        complete: true,
        ..Answer::default()
    }
}

const HEADERS: &str = "local r = request.load()
    if r:headers('X-Field-3') == 'value' then r:headers('X-Lua', r:method() .. r:params('Id')) end
    r:headers('X-Field-4', nil)";

const REWRITE: &str = "local d = response.load():data()
    local items, names = d:get('collection'), luaList.new()
    for i = 0, items:len() - 1 do names:set(i, items:get(i):get('name')) end
    d:set('names', names) d:set('total', items:len()) d:del('collection') d:del('secret')";

const LOOP: &str = "local n = 0 for i = 1, 100000 do n = n + i % 7 end";

pub(crate) fn all(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ctx = ctx();
    let mut group = criterion.benchmark_group("lua");
    group.sample_size(30);
    for (name, settings) in [
        ("nothing", json!({"pre": "local x = 1"})),
        (
            "nothing, open libraries",
            json!({"pre": "local x = 1", "allow_open_libs": true}),
        ),
        ("headers", json!({"pre": HEADERS})),
        ("100,000 turns of a loop", json!({"pre": LOOP})),
    ] {
        let stage = stage(&settings);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut request = request();
                runtime
                    .block_on(stage.before(&mut request, &ctx).outcome())
                    .unwrap();
                request
            });
        });
    }
    let stage = stage(&json!({"post": REWRITE}));
    let request = request();
    group.bench_function("rewrite of 100 objects", |bencher| {
        bencher.iter_batched(
            answer,
            |mut answer| {
                let after = stage.after(&request, &mut answer, &ctx);
                runtime.block_on(after.outcome()).unwrap();
                answer
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.bench_function("the hop alone", |bencher| {
        bencher
            .iter(|| runtime.block_on(async { tokio::task::spawn_blocking(|| 1).await.unwrap() }));
    });
    group.finish();
}
