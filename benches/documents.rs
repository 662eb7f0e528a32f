//! From the text of a configuration to a gateway, which is what a start and a reload cost.

use std::hint::black_box;

use criterion::Criterion;
use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::config::{Format, LoadOptions, load};
use serde_json::json;

/// A document with this many endpoints, every third one composed of two backends.
fn document(endpoints: usize) -> String {
    let endpoint = |index: usize| {
        let backend = |name: &str| {
            json!({
                "url_pattern": format!("/{name}/{{id}}"),
                "host": [format!("http://{name}-{}.test:8080", index % 50)],
                "allow": ["id", "name", "stock.online"],
                "group": name,
            })
        };
        let backends = if index.is_multiple_of(3) {
            json!([backend("items"), backend("stock")])
        } else {
            json!([backend("items")])
        };
        json!({
            "endpoint": format!("/api/service-{index}/items/{{id}}"),
            "input_headers": ["Authorization", "Accept"],
            "input_query_strings": ["lang"],
            "timeout": "800ms",
            "backend": backends,
        })
    };
    let endpoints: Vec<_> = (0..endpoints).map(endpoint).collect();
    json!({ "version": 3, "timeout": "3s", "endpoints": endpoints }).to_string()
}

pub(crate) fn all(criterion: &mut Criterion) {
    let text = document(1_000);
    let shared = Shared::new(2).unwrap();
    let options = LoadOptions::default();
    let parse = |report: &mut Report| {
        load::parse("bench", black_box(&text), Format::Json, &options, report).unwrap()
    };
    let mut group = criterion.benchmark_group("documents");
    group.sample_size(20);
    group.bench_function("parse 1,000 endpoints", |bencher| {
        bencher.iter(|| parse(&mut Report::default()));
    });
    group.bench_function("parse and compile 1,000 endpoints", |bencher| {
        bencher.iter(|| {
            let mut report = Report::default();
            let document = parse(&mut report);
            compile(&document, Dialect::Native, &shared, &mut report).unwrap()
        });
    });
    group.finish();
}
