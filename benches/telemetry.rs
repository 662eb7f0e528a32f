//! What a request tells at its end: the access line, its way into the log, the metrics.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::{Bencher, Criterion};
use hanzo_gateway::telemetry::access::Access;
use hanzo_gateway::telemetry::metrics::{Lane, Metrics};
use hanzo_gateway::telemetry::sink::Sink;

fn access() -> Access<'static> {
    Access {
        method: "GET",
        route: "/api/v1/items/{id}",
        path: b"/api/v1/items/4711",
        status: 200,
        duration: Duration::from_micros(1_234),
        bytes_out: 1_024,
        bytes_in: 0,
        request_id: "req_0123456789abcdef0123456789abcdef",
        backend: "items.internal:8080",
        client: IpAddr::from([192, 0, 2, 17]),
        reason: "",
        error: "",
    }
}

/// Measures while another thread does its work all the time.
fn beside(work: impl Fn() + Sync, measure: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                work();
            }
        });
        measure();
        stop.store(true, Ordering::Relaxed);
    });
}

/// Calls `push`, and writes what waits, to nowhere, once in a thousand times.
fn written_at_times(bencher: &mut Bencher<'_>, sink: &Sink, push: impl Fn()) {
    let mut count = 0_u32;
    bencher.iter(|| {
        count = count.wrapping_add(1);
        if count.is_multiple_of(1024) {
            sink.flush_to(&mut std::io::sink());
        }
        push();
    });
}

fn lines(criterion: &mut Criterion) {
    let access = access();
    let now = Duration::from_millis(1_763_784_000_123);
    let mut line = String::new();
    criterion.bench_function("telemetry/access line", |bencher| {
        bencher.iter(|| {
            line.clear();
            black_box(&access).json(&mut line, black_box(now));
            black_box(line.len())
        });
    });
    let sink = Sink::new();
    let text = [b'x'; 320];
    criterion.bench_function("telemetry/sink line", |bencher| {
        written_at_times(bencher, &sink, || sink.push(black_box(&text)));
    });
    // The neighbour logs too, and writes for both.
    criterion.bench_function("telemetry/sink line beside a neighbour", |bencher| {
        let other = || {
            for _ in 0..64 {
                sink.push(black_box(&text));
            }
            sink.flush_to(&mut std::io::sink());
        };
        beside(other, || bencher.iter(|| sink.push(black_box(&text))));
    });
    criterion.bench_function("telemetry/access line to sink", |bencher| {
        written_at_times(bencher, &sink, || black_box(&access).write_json_to(&sink));
    });
}

fn meters(criterion: &mut Criterion) {
    let metrics = Metrics::new().unwrap();
    let endpoint = metrics.endpoint("GET", "/api/v1/items/{id}");
    criterion.bench_function("telemetry/finished", |bencher| {
        bencher.iter(|| endpoint.finished(black_box(200), black_box(0.001_234)));
    });
    criterion.bench_function("telemetry/finished beside a neighbour", |bencher| {
        beside(
            || endpoint.finished(black_box(200), black_box(0.002)),
            || bencher.iter(|| endpoint.finished(black_box(200), black_box(0.001_234))),
        );
    });
    criterion.bench_function("telemetry/lane", |bencher| {
        bencher.iter(|| metrics.lane(black_box(Lane::Fast)));
    });
    for path in 0..200 {
        metrics
            .endpoint("GET", &path.to_string())
            .finished(200, 0.001);
    }
    criterion.bench_function("telemetry/scrape of 200 endpoints", |bencher| {
        bencher.iter(|| metrics.render());
    });
}

pub(crate) fn all(criterion: &mut Criterion) {
    lines(criterion);
    meters(criterion);
}
