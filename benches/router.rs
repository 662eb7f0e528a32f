//! Looking up a path among few and many routes: the cost must not grow with their number.
//!
//! `same` asks for one path of a kind again and again; `rotating` asks for another route of the
//! table each time, 8,192 different paths in random order, so that memory counts.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use hanzo_gateway::base::Dialect;
use hanzo_gateway::gateway::params::Params;
use hanzo_gateway::gateway::router::{Found, Route, Router, RouterOptions};
use http::Method;

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// A service has a fixed path, two with parameters, one with text behind it and a wildcard.
const KINDS: [(&str, &str, &str); 5] = [
    ("static", "/list/all", "/list/all"),
    ("param", "/items/{id}", "/items/4711"),
    (
        "two params",
        "/items/{id}/parts/{part}",
        "/items/4711/parts/12",
    ),
    ("text behind", "/users/{id}/profile", "/users/4711/profile"),
    ("wildcard", "/files/*", "/files/img/logo.png"),
];

fn service(index: usize) -> String {
    format!("/api/service-{:04}", index / KINDS.len())
}

fn build(size: usize) -> Router {
    let routes = (0..size).map(|index| Route {
        method: if index % 7 == 6 {
            Method::POST
        } else {
            Method::GET
        },
        pattern: format!("{}{}", service(index), KINDS[index % KINDS.len()].1),
        endpoint: u32::try_from(index).unwrap(),
    });
    Router::build(routes.collect(), RouterOptions::new(Dialect::Native)).unwrap()
}

/// The method and a path of each route.
fn paths(size: usize) -> Vec<(Method, Vec<u8>)> {
    let path = |index: usize| format!("{}{}", service(index), KINDS[index % KINDS.len()].2);
    (0..size)
        .map(|i| {
            (
                if i % 7 == 6 {
                    Method::POST
                } else {
                    Method::GET
                },
                path(i).into_bytes(),
            )
        })
        .collect()
}

fn find(router: &Router, method: &Method, path: &[u8], params: &mut Params) {
    let found = router.find(black_box(method), black_box(path), params);
    assert!(matches!(found, Found::Endpoint { .. }));
    black_box(&params);
}

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    for size in SIZES {
        let router = build(size);
        let paths = paths(size);
        let mut params = Params::default();
        for (kind, (name, ..)) in KINDS.iter().enumerate() {
            // The last of its kind but one, so that it is neither first nor last in the table.
            let (method, path) = &paths[size - KINDS.len() + kind];
            group.bench_function(BenchmarkId::new(*name, size), |bencher| {
                bencher.iter(|| find(&router, method, path, &mut params));
            });
        }
        let mut random = fastrand::Rng::with_seed(1);
        let order: Vec<_> = (0..8192)
            .map(|_| paths[random.usize(..size)].clone())
            .collect();
        let mut next = order.iter().cycle();
        group.bench_function(BenchmarkId::new("rotating", size), |bencher| {
            bencher.iter(|| {
                let (method, path) = next.next().unwrap();
                find(&router, method, path, &mut params);
            });
        });
    }
    group.finish();
}
