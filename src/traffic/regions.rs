//! Looks after the regions of all backends, beside the requests: who gets how much is decided anew ten times a second,
//! what changes is told in the log, and what is so in metrics.

use crate::base::clock;
use crate::gateway::task::{Running, Task};
use crate::net::balance::Regions;
use crate::net::balance::regions::{Change, Kind};
use crate::telemetry::metrics::RegionMeters;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// The regions of one backend, with what tells of them.
#[derive(Debug)]
pub struct Watched {
    /// The backend's name.
    pub service: Arc<str>,
    /// Its regions.
    pub regions: Arc<Regions>,
    /// The handles of each, in their order.
    pub meters: Vec<RegionMeters>,
}

/// Looks after the regions of one configuration.
#[derive(Debug)]
pub struct Watch {
    all: Vec<Watched>,
}

impl Watch {
    /// Nothing without regions; backends that remember together are looked after once.
    pub fn over(all: impl Iterator<Item = Watched>) -> Option<Arc<Self>> {
        let mut distinct: Vec<Watched> = Vec::new();
        for one in all {
            let same = |known: &Watched| Arc::ptr_eq(known.regions.memory(), one.regions.memory());
            if !distinct.iter().any(same) {
                distinct.push(one);
            }
        }
        (!distinct.is_empty()).then(|| Arc::new(Self { all: distinct }))
    }

    /// One look at all of them.
    fn look(&self) {
        let now = clock::moment();
        for one in &self.all {
            for change in one.regions.settle(now) {
                tell(one, &change);
            }
            let spilled = one.regions.spilled();
            let views = one.regions.view(now);
            for ((view, meters), spilled) in views.iter().zip(&one.meters).zip(spilled) {
                meters.share.set(f64::from(view.share));
                meters.passed_on.inc_by(spilled);
            }
        }
    }
}

impl Task for Watch {
    fn name(&self) -> &'static str {
        "regions"
    }

    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move {
            loop {
                self.look();
                tokio::time::sleep(EVERY).await;
            }
        })
    }
}

fn tell(one: &Watched, change: &Change) {
    let service = &*one.service;
    let region = one.regions.names().nth(change.region).unwrap_or_default();
    let (healthy, hosts) = change.hosts;
    let shares = shares(&one.regions);
    let shares = &*shares;
    match change.kind {
        Kind::Unhealthy => log::warn!(
            service, region, healthy, hosts, shares;
            "region has too few healthy hosts, what it cannot take goes to the next"
        ),
        Kind::Full => log::warn!(
            service, region, shares;
            "region is over its share, what is above goes to the next"
        ),
        Kind::Returns => log::info!(
            service, region, healthy, hosts, shares;
            "region was good for long enough and gets its traffic back"
        ),
        Kind::Returned => log::info!(
            service, region, healthy, hosts, shares;
            "region has its traffic back"
        ),
        Kind::Roomy => log::info!(service, region, shares; "region is within its share again"),
    }
}

/// Who gets how much, for the log.
fn shares(regions: &Regions) -> String {
    let views = regions.view(clock::moment());
    let one = |view: &crate::net::balance::regions::View<'_>| {
        format!("{} {:.0}%", view.name, view.share * 100.0)
    };
    views.iter().map(one).collect::<Vec<_>>().join(", ")
}
