//! Checks of requests and answers: compiled expressions and schemas on data of real sizes.

use std::hint::black_box;

use bytes::Bytes;
use criterion::Criterion;
use hanzo_gateway::body::json::decode;
use hanzo_gateway::component::validation::cel::{Program, Scope};
use hanzo_gateway::component::validation::json_schema::Schema;
use hanzo_gateway::gateway::message::{Answer, Request};
use http::{HeaderName, HeaderValue, Method};
use serde_json::json;

fn request() -> Request {
    let field = |name: &'static str, value: &'static str| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    Request {
        method: Method::POST,
        path: "/orders/4711".to_owned(),
        url: String::new(),
        query: "page=2&sort=price".to_owned(),
        params: vec![("Id".to_owned(), "4711".to_owned())],
        headers: vec![
            field("x-tenant", "acme"),
            field("accept", "application/json"),
        ],
        body: Some(Bytes::new()),
    }
}

fn orders(count: usize) -> String {
    let order =
        r#"{"id":4711,"name":"Ada","price":12.50,"tags":["new","paid"],"to":{"city":"Turin"}}"#;
    format!(r#"{{"orders":[{}]}}"#, vec![order; count].join(","))
}

fn expressions(c: &mut Criterion) {
    let request = request();
    let answer = Answer {
        data: decode(orders(1000).as_bytes()).unwrap().into_object(),
        complete: true,
        ..Answer::default()
    };
    let mut group = c.benchmark_group("cel");
    for (name, source) in [
        ("method", "req_method == 'POST'"),
        ("param", "int(req_params.Id) % 2 == 1"),
        ("header", "'acme' in req_headers['X-Tenant']"),
        ("pattern", "req_path.matches('^/orders/[0-9]+$')"),
        ("clock", "timestamp(now).getFullYear() > 2000"),
        (
            "all-of-1000",
            "resp_data.orders.all(o, double(o.price) > 1.0)",
        ),
    ] {
        let program = Program::compile(source).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let scope = Scope::after(Some(black_box(&request)), &answer);
                assert_eq!(program.holds(&scope), Ok(true));
            });
        });
    }
    group.finish();
}

fn schemas(c: &mut Criterion) {
    let order = json!({
        "type": "object", "required": ["id", "name"],
        "properties": {
            "id": {"type": "integer", "minimum": 1}, "name": {"type": "string", "minLength": 2},
            "price": {"type": "number", "multipleOf": 0.01},
            "tags": {"type": "array", "items": {"enum": ["new", "paid"]}, "uniqueItems": true},
            "to": {"type": "object", "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}}},
        },
    });
    let schema = Schema::compile(&json!({"properties": {"orders": {"items": order}}})).unwrap();
    let mut group = c.benchmark_group("json-schema");
    for count in [1, 1000] {
        let body = orders(count);
        group.bench_function(format!("orders-{count}"), |bencher| {
            bencher.iter(|| schema.check(black_box(body.as_bytes())).unwrap());
        });
    }
    group.finish();
}

/// All benchmarks of this subject.
pub(super) fn all(c: &mut Criterion) {
    expressions(c);
    schemas(c);
}
