//! `qos/ratelimit/proxy` – how many calls a backend gets.
//!
//! Differs from KrakenD (native): a refused call is 429 with a time to come back and not 500, and answers tell how the
//! limit stands. In both dialects it never reaches the backend, and with other backends the answer is what they gave.

use super::limiter::possible;
use super::{capacity, every, rate, whole};
use crate::base::{Dialect, Error, Problem, Reason};
use crate::component::{BackendDraft, Component};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::stage::{Call, CallStage, Step};
use crate::traffic::limit::fields::Label;
use crate::traffic::limit::gate::Gate;
use crate::traffic::limit::hits::Hits;
use crate::traffic::limit::krakend::{Filling, Shared};
use crate::traffic::limit::plan::Cost;
use crate::traffic::limit::rate::Rate;
use crate::traffic::limit::shown::{Counted, Pace, Shown, Told};
use crate::traffic::limit::table::Moment;
use std::sync::Arc;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "qos/ratelimit/proxy";
/// KrakenD's words, which `return_error_msg` shows.
const TEXT: &str = "rate limit exceded";

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, dialect: Dialect) -> Result<(), Problem> {
    let written = whole(s, dialect, |s| read(s, dialect));
    let Some((rate, every, capacity)) = written.filter(|(rate, ..)| *rate > 0.0) else {
        return Ok(());
    };
    // The same backend of the same endpoint finds its bucket again.
    let (_, place) = s.pointer().rsplit_once("/backend/").unwrap_or_default();
    let name = format!(
        "{NAME} {} {} {place} {rate} {every:?} {capacity}",
        draft.at.method, draft.at.path
    );
    let (kept, now) = (&draft.env.kept, Moment::now());
    let bucket = if dialect == Dialect::Krakend {
        let filling = Filling::new(rate / every.as_secs_f64(), capacity);
        let make = || Shared::new(filling, now.ticks);
        Some(Bucket::Krakend(kept.get_or(&name, make)))
    } else {
        Rate::new(rate, every, capacity).map(|rate| {
            let gate = Gate::kept(kept, &name, rate, None);
            let cost = gate.cost(1.0);
            Bucket::Native(gate, cost)
        })
    };
    let reason = Reason::BackendRateExceeded;
    let hits = Hits::new(&draft.env.metrics, reason, "backend", &draft.at.path);
    let stage = bucket.map(|bucket| {
        let counted = match &bucket {
            Bucket::Native(gate, _) => Counted::Gate(Arc::clone(gate)),
            Bucket::Krakend(shared) => Counted::KrakendAll(Arc::clone(shared)),
        };
        let pace = Pace {
            amount: rate,
            every,
            burst: capacity,
        };
        // Unlike the limits of an endpoint, several of these may be told of.
        let word = match place
            .split('/')
            .next()
            .and_then(|at| at.parse::<u64>().ok())
        {
            None | Some(0) => "backend".to_owned(),
            Some(at) => format!("backend-{}", at + 1),
        };
        let told = match &bucket {
            Bucket::Native(gate, _) => Told::of(Label::bucket(&word, gate.rate())),
            Bucket::Krakend(_) => None,
        };
        let shown = Arc::new(Shown {
            component: NAME,
            level: "backend",
            name: word,
            endpoint: format!("{} {}", draft.at.method, draft.at.path),
            by: String::new(),
            pace: Some(pace),
            counted,
            told,
        });
        Stage {
            bucket,
            hits,
            shown,
        }
    });
    draft
        .call
        .extend(stage.map(|stage| Box::new(stage) as Box<dyn CallStage>));
    Ok(())
}

fn read(s: &mut Settings<'_>, dialect: Dialect) -> (f64, Duration, u64) {
    s.known(&["max_rate", "capacity", "every"]);
    let every = every(s, dialect, Duration::from_nanos(1));
    let rate = rate(s, "max_rate");
    let capacity = capacity(s, "capacity", rate / every.as_secs_f64());
    if dialect == Dialect::Native {
        super::without_rate(s, &[("max_rate", "capacity")]);
        possible(s, "max_rate", rate, every, capacity);
    }
    (rate, every, capacity)
}

struct Stage {
    bucket: Bucket,
    hits: Hits,
    shown: Arc<Shown>,
}

enum Bucket {
    Native(Arc<Gate>, Cost),
    Krakend(Arc<Shared>),
}

impl CallStage for Stage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, _: &'a mut Call, ctx: &'a Ctx) -> Step<'a> {
        let at = Moment::now();
        let wait = match &self.bucket {
            Bucket::Native(gate, cost) => gate.take(at, *cost).err().map(|empty| empty.wait),
            Bucket::Krakend(shared) => (!shared.allow(at.ticks)).then_some(0),
        };
        let Some(wait) = wait else {
            return Step::NEXT;
        };
        let hit = self.hits.hit(ctx, at.ticks, wait);
        Step::Now(Err(Error {
            text: TEXT.into(),
            ..hit
        }))
    }

    fn limits(&self) -> RateLimits {
        vec![self.shown.clone()]
    }
}
