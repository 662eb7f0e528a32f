//! `client_max_rate`: how many requests a second an endpoint takes of one key. The bucket holds a second's worth, one
//! at least; limits of `qos/ratelimit/router` stand beside it.

use crate::base::{Code, Dialect, Error, Reason};
use crate::component::EndpointDraft;
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::stage::Edits;
use crate::traffic::limit::fields::{Before, Label, Policies};
use crate::traffic::limit::gate::{Crowd, Size};
use crate::traffic::limit::hits::Hits;
use crate::traffic::limit::plan::{Cost, Plan};
use crate::traffic::limit::rate::Rate;
use crate::traffic::limit::shown::{Counted, Pace, Shown};
use crate::traffic::limit::table::Moment;
use std::sync::Arc;
use std::time::Duration;

/// The limit of each key at one endpoint.
pub(super) struct KeyRate {
    crowd: Crowd,
    cost: Cost,
    label: Label,
    policy: Option<Policies>,
    hits: Hits,
    native: bool,
    shown: Arc<Shown>,
}

/// Reads `client_max_rate`; `None` for no limit.
pub(super) fn read(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Option<KeyRate> {
    let written = s.float("client_max_rate").filter(|rate| *rate != 0.0)?;
    let burst = if written >= 1.0 {
        written.ceil() as u64
    } else {
        1
    };
    let Some(rate) = Rate::new(written, Duration::from_secs(1), burst) else {
        let message = format!("{written} requests a second is no rate that can be kept");
        let hint = "write a number above 0.000000001, or 0 for no limit";
        s.error_hint("client_max_rate", Code::OutOfRange, message, hint);
        return None;
    };
    let plan = Plan {
        rate: Some(rate),
        daily: None,
    };
    let name = format!(
        "auth/api-keys {} {} {written}",
        draft.at.method, draft.at.path
    );
    let crowd = Crowd::kept(&draft.env.kept, &name, plan, Size::default(), None);
    draft.tasks.extend(crowd.tasks());
    let label = Label::bucket("client", &rate);
    let metrics = &draft.env.metrics;
    let shown = Arc::new(Shown {
        component: "auth/api-keys",
        level: "client",
        name: "client".to_owned(),
        endpoint: format!("{} {}", draft.at.method, draft.at.path),
        by: "api_key".to_owned(),
        pace: Some(Pace {
            amount: written,
            every: Duration::from_secs(1),
            burst,
        }),
        counted: Counted::Crowd(crowd.clone()),
        told: None,
    });
    Some(KeyRate {
        crowd,
        shown,
        cost: plan.cost(1.0),
        policy: Policies::of([&label]),
        label,
        hits: Hits::new(
            metrics,
            Reason::ClientRateExceeded,
            "client",
            &draft.at.path,
        ),
        native: dialect == Dialect::Native,
    })
}

impl KeyRate {
    /// The limit, for whoever only looks.
    pub(super) fn limits(&self) -> RateLimits {
        vec![self.shown.clone()]
    }

    /// Takes one request of a key's share, and records what the client is told.
    ///
    /// # Errors
    /// When nothing is left of it.
    pub(super) fn take(&self, key: &[u8], edits: &mut Edits, ctx: &mut Ctx) -> Result<(), Error> {
        let at = Moment::now();
        let (own, taken) = self.crowd.take(0, key, at, self.cost);
        let (standing, refused) = match taken {
            Ok(seen) => (seen.map(|seen| seen.standing), None),
            Err(empty) => (Some(empty.seen.standing), Some(empty.wait)),
        };
        if let Some(standing) = standing.filter(|_| self.native) {
            let told = (&self.label, &standing);
            let policy = self.policy.as_ref();
            match refused {
                Some(_) => edits.limits.refused(told, policy, Before::Beside),
                None => edits.limits.passed(told, policy, Before::Beside),
            }
        }
        match refused {
            Some(wait) => Err(self.hits.hit(ctx, at.ticks, wait)),
            None => {
                ctx.charges.push(self.crowd.charge(own, self.cost));
                Ok(())
            }
        }
    }
}
