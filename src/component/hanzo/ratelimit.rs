//! `hanzo/ratelimit` – a limit for all, and plans for callers (contract sections 4, 5 and 9).
//!
//! At service level: `global` before anybody is authenticated, and the plans of callers after it, at every endpoint. At
//! endpoint level: a limit of this endpoint, and what one request of it costs its caller. A caller is the first of
//! `identity` that is known of the request. KrakenD has no such component.

mod read;
mod stage;

use crate::base::{Dialect, Problem, Report};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use std::sync::Arc;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    each_endpoint: Some(each_endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "hanzo/ratelimit";

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    let read = Arc::new(read::service(s, &draft.env));
    for tier in &read.tiers {
        draft.tasks.extend(tier.crowd.tasks());
    }
    let global = read.global.iter().filter_map(|gate| gate.task());
    draft.tasks.extend(global);
    if let Some(global) = &read.global {
        let stage = stage::Global::new(Arc::clone(global), &draft.env);
        draft.head.push(Box::new(stage));
    }
    draft.offers.put(read);
    Ok(())
}

fn endpoint(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    let tiers = draft.offers.get::<read::Service>();
    let own = read::endpoint(s, draft, tiers.as_deref());
    // For the step below, which every endpoint takes.
    draft.offers.put(Arc::new(own));
    Ok(())
}

fn each_endpoint(draft: &mut EndpointDraft, _: Dialect, _: &mut Report) {
    let service = draft.offers.get::<read::Service>();
    let own = draft.offers.get::<read::Own>();
    let stage = stage::Callers::new(service, own, &draft.at, &draft.env);
    if let Some(stage) = stage {
        draft.head.push(Box::new(stage));
    }
}
