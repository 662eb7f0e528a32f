//! What limits cost a request: all three levels with what clients are told, and their parts.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::config::{Format, LoadOptions, load};
use hanzo_gateway::gateway::ctx::Ctx;
use hanzo_gateway::gateway::head::BodySize;
use hanzo_gateway::gateway::identity::Identity;
use hanzo_gateway::gateway::plain::Plain;
use hanzo_gateway::gateway::snapshot::Gateway;
use hanzo_gateway::gateway::stage::{Edits, HeadStage, Step};
use hanzo_gateway::traffic::limit::bucket::Bucket;
use hanzo_gateway::traffic::limit::day::Daily;
use hanzo_gateway::traffic::limit::plan::Plan;
use hanzo_gateway::traffic::limit::rate::Rate;
use hanzo_gateway::traffic::limit::table::{MOST, Moment, Table};
use http::Method;

/// Limits that never run dry.
const FILE: &str = r#"{"version": 3,
  "extra_config": {"hanzo/ratelimit": {
    "global": {"rate": 900000000}, "tier_claim": "plan", "default_tier": "free",
    "tiers": {"free": {"per_minute": 900000000, "per_day": 1000000000, "burst": 900000000},
              "team": {"per_minute": 900000000, "per_day": 1000000000, "burst": 900000000}}}},
  "endpoints": [{"endpoint": "/x", "backend": [{"host": ["http://h.test"], "url_pattern": "/"}],
    "extra_config": {"hanzo/ratelimit": {"rate": 900000000}}}]}"#;

fn gateway() -> Arc<Gateway> {
    let mut report = Report::default();
    let options = LoadOptions::default();
    let document = load::parse("bench", FILE, Format::Json, &options, &mut report).unwrap();
    let shared = Shared::new(1).unwrap();
    let compiled = compile(&document, Dialect::Native, &shared, &mut report);
    Arc::new(compiled.unwrap().gateway)
}

fn head() -> Plain {
    Plain {
        method: Method::GET,
        path: b"/x".to_vec(),
        query: None,
        host: b"h.test".to_vec(),
        fields: Vec::new(),
        peer: IpAddr::from([192, 0, 2, 1]),
        secure: false,
        version: "1.1",
        body: BodySize::None,
    }
}

fn levels(criterion: &mut Criterion) {
    let (gateway, head) = (gateway(), head());
    let mut ctx = Ctx::new(Arc::clone(&gateway));
    ctx.identity = Some(Arc::new(Identity {
        org: Some("an-organisation".into()),
        tier: Some("team".into()),
        key: Some([7; 32]),
        ..Identity::default()
    }));
    let stages: Vec<&dyn HeadStage> = gateway
        .service
        .head
        .iter()
        .chain(gateway.endpoints.iter().flat_map(|endpoint| &endpoint.head))
        .map(|stage| &**stage)
        .collect();
    assert_eq!(stages.len(), 2, "all together, then endpoint and caller");
    let mut room = Vec::new();
    criterion.bench_function("limits/three levels with fields", |bencher| {
        bencher.iter(|| {
            let mut edits = Edits {
                answer: std::mem::take(&mut room),
                ..Edits::default()
            };
            for stage in black_box(&stages) {
                let step = stage.on_request(black_box(&head), &mut edits, &mut ctx);
                assert!(matches!(step, Step::Now(Ok(_))));
            }
            // The fast lane keeps the list's memory too.
            room = edits.answer;
            room.clear();
        });
    });
}

fn parts(criterion: &mut Criterion) {
    let rate = Rate::new(9e8, Duration::from_secs(1), 900_000_000).unwrap();
    let bucket = Bucket::new(rate, Moment::now().ticks);
    let one = rate.units(1.0);
    criterion.bench_function("limits/the clocks", |bencher| bencher.iter(Moment::now));
    let at = Moment::now();
    criterion.bench_function("limits/one bucket", |bencher| {
        bencher.iter(|| black_box(bucket.take(black_box(at.ticks), one)));
    });
    let plan = Plan {
        rate: Some(rate),
        daily: Daily::new(1_000_000_000),
    };
    let table = Table::new(plan, 64, MOST);
    let cost = plan.cost(1.0);
    for caller in 0..1_000_000_u32 {
        let key = table.key(1, &caller.to_le_bytes());
        let _ = table.with(key, at, |plan, held| plan.take(held, at, cost));
    }
    let mut random = fastrand::Rng::with_seed(3);
    criterion.bench_function("limits/one of a million callers", |bencher| {
        bencher.iter(|| {
            let caller = random.u32(0..1_000_000).to_le_bytes();
            let key = table.key(1, &caller);
            black_box(table.with(key, at, |plan, held| plan.take(held, at, cost)))
        });
    });
}

pub(crate) fn all(criterion: &mut Criterion) {
    levels(criterion);
    parts(criterion);
}
