//! What stands between a request and its backend: the breaker, the choice of a host, the bound on calls, the budget.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use futures_util::FutureExt;
use hanzo_gateway::base::{Dialect, clock};
use hanzo_gateway::gateway::gate::{Caller, Gate, Passage};
use hanzo_gateway::gateway::kept::Kept;
use hanzo_gateway::gateway::retry::Budget;
use hanzo_gateway::net::balance::regions::{Going, Memory};
use hanzo_gateway::net::balance::{Outliers, PoolOptions, Regions, Roster, Thresholds};
use hanzo_gateway::net::{Balance, Pool, Resolver, Target, Tried};
use hanzo_gateway::telemetry::metrics::Metrics;
use hanzo_gateway::traffic::breaker::{Breaker, Held, Judge, Limits, Settings};
use hanzo_gateway::traffic::overload::{Bounds, Concurrency, Limit};

fn breaker() -> Box<dyn Gate> {
    let settings = Settings {
        component: "qos/circuit-breaker",
        limits: Limits {
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            max_errors: 5,
        },
        judge: Judge {
            dialect: Dialect::Native,
            valid: None,
        },
        name: "bench".to_owned(),
        of: String::new(),
        log: false,
    };
    let metrics = Metrics::new().unwrap();
    Box::new(Held(Breaker::kept(settings, &Kept::default(), &metrics)))
}

fn limit() -> Box<dyn Gate> {
    let bounds = Bounds {
        calls: 100,
        queue: 10,
        patience: Duration::from_millis(100),
    };
    Box::new(Limit::new(
        Arc::new(Concurrency::new("bench", bounds)),
        Duration::from_secs(5),
    ))
}

fn pool(rule: Balance, hosts: usize) -> Pool {
    let resolver = Resolver::new();
    let targets = (0..hosts).map(|host| {
        let origin = format!("http://10.0.0.{host}:8080");
        (Target::parse(&origin, &resolver).unwrap(), 1)
    });
    let roster = Arc::new(Roster::new(Outliers::default()));
    let options = PoolOptions {
        slow_start: Duration::from_secs(10),
        ..PoolOptions::of(rule)
    };
    Pool::new(targets.collect(), options, &roster)
}

/// Two regions of three hosts, so many of the first down.
fn regions(share: Option<u32>, down: usize) -> Regions {
    let resolver = Resolver::new();
    let hosted = ["eu", "us"].map(|region| {
        let host = |host| Target::parse(&format!("http://{region}-{host}:8080"), &resolver);
        let hosts = (0..3).map(|at| (host(at).unwrap(), 1)).collect();
        (region.into(), hosts)
    });
    let rules = Thresholds {
        share,
        ..Thresholds::default()
    };
    let options = PoolOptions::of(Balance::RoundRobin);
    let roster = Arc::new(Roster::new(Outliers::default()));
    let memory = Arc::new(Memory::new(2));
    let regions = Regions::new(hosted.into(), (options, rules), &roster, memory);
    let (_, first) = regions.pools().next().unwrap();
    for seat in first.seats().iter().take(down) {
        seat.standing().probed(false, clock::moment());
    }
    regions.settle(clock::moment());
    regions
}

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("backends");
    for (name, gates) in [
        ("no gate", Vec::new()),
        ("breaker", vec![breaker()]),
        ("breaker and limit", vec![breaker(), limit()]),
    ] {
        group.bench_function(format!("passage/{name}"), |b| {
            b.iter(|| {
                let entered = Passage::enter(black_box(&gates), Caller::Known).now_or_never();
                let mut passage = entered.unwrap().unwrap();
                passage.began(200);
                passage.leave(Ok(200));
            });
        });
    }
    for rule in [
        Balance::Random,
        Balance::RoundRobin,
        Balance::LeastRequests,
        Balance::Hash,
    ] {
        for hosts in [1, 3, 16] {
            let pool = pool(rule, hosts);
            let mut key = 0;
            group.bench_function(format!("pick/{rule:?}/{hosts}"), |b| {
                b.iter(|| {
                    key += 1;
                    let lent = pool.pick(black_box(key), &mut Tried::default()).unwrap();
                    lent.good();
                    lent
                });
            });
        }
    }
    let with_one_down = pool(Balance::RoundRobin, 3);
    with_one_down.seats()[1]
        .standing()
        .probed(false, clock::moment());
    group.bench_function("pick/RoundRobin/3, one down", |b| {
        b.iter(|| with_one_down.pick(0, &mut Tried::default()).unwrap());
    });
    for (name, share, down) in [
        ("calm", None, 0),
        ("with a share", Some(1000), 0),
        ("one of three down", None, 1),
        ("the first down", None, 3),
    ] {
        let regions = regions(share, down);
        group.bench_function(format!("pick/regions of 3/{name}"), |b| {
            b.iter(|| {
                let tried = &mut Tried::default();
                let lent = regions.pick(black_box(0), tried, Going::Anywhere).unwrap();
                lent.good();
                lent
            });
        });
    }
    let budget = Budget::new(20, 10);
    group.bench_function("budget/request", |b| b.iter(|| budget.request()));
    group.bench_function("budget/take", |b| b.iter(|| budget.take()));
    group.finish();
}
