//! `qos/ratelimit/router/redis` and `qos/ratelimit/service/redis` – the limits of an endpoint and of the service, counted
//! by several gateways together (Enterprise in KrakenD).
//!
//! Differs from what KrakenD describes: no request waits for the store. What becomes of requests while it is away is for
//! `on_failure_allow` to say: `true` lets all of them pass, `false` refuses them. Without it the limits hold for each
//! gateway alone (contract section 5); KrakenD refuses then. In the krakend dialect these limits do nothing, as in its
//! Community edition.

use super::limiter::{Away, Limiter, Scope, Written, possible};
use super::router::Stage;
use super::who::{self, Place};
use super::{SECOND, capacity, enterprise_only, every, rate, whole};
use crate::base::{Code, Dialect, Problem, Reason};
use crate::component::{EndpointDraft, Offers, ServiceDraft};
use crate::config::settings::Settings;
use crate::traffic::limit::callers::{CLEANUP, SHARDS};
use crate::traffic::limit::shared::store::Store;
use std::collections::HashMap;
use std::sync::Arc;

/// Settings of one store-backed limit.
pub(super) const KEYS: &[&str] = &[
    "connection_name",
    "connection_pool",
    "max_rate",
    "capacity",
    "client_max_rate",
    "client_capacity",
    "every",
    "strategy",
    "key",
    "on_failure_allow",
];

pub(super) fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
    name: &'static str,
) -> Result<(), Problem> {
    if dialect == Dialect::Krakend {
        enterprise_only(s, name);
        return Ok(());
    }
    let at = format!("{} {}", draft.at.method, draft.at.path);
    let place = Place::Endpoint(&draft.at.path);
    let scope = Scope {
        component: name,
        name,
        tier: "",
        at: &at,
        endpoint: &draft.at.path,
        reason: Reason::EndpointRateExceeded,
        level: "endpoint",
    };
    let written = whole(s, dialect, |s| read(s, &draft.offers, place)).flatten();
    let limiter = written.and_then(|written| Limiter::new(written, &draft.env, dialect, scope));
    if let Some(limiter) = limiter {
        draft.tasks.extend(limiter.tasks());
        draft.head.push(Box::new(Stage(name, limiter)));
    }
    Ok(())
}

pub(super) fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
    name: &'static str,
) -> Result<(), Problem> {
    if dialect == Dialect::Krakend {
        enterprise_only(s, name);
        return Ok(());
    }
    let scope = Scope {
        component: name,
        name,
        tier: "",
        at: "",
        endpoint: "",
        reason: Reason::GlobalRateExceeded,
        level: "global",
    };
    let written = whole(s, dialect, |s| read(s, &draft.offers, Place::Service)).flatten();
    let limiter = written.and_then(|written| Limiter::new(written, &draft.env, dialect, scope));
    if let Some(limiter) = limiter {
        draft.tasks.extend(limiter.tasks());
        draft.head.push(Box::new(Stage(name, limiter)));
    }
    Ok(())
}

/// Reads the settings of a limit with a store; `None` without that store, which is told.
pub(super) fn read(s: &mut Settings<'_>, offers: &Offers, place: Place<'_>) -> Option<Written> {
    let native = Dialect::Native;
    s.known(KEYS);
    let away = s.bool("on_failure_allow").map(|allow| match allow {
        true => Away::Pass,
        false => Away::Refuse,
    });
    let store = store(s, offers);
    let span = every(s, native, SECOND);
    let (max_rate, client_max_rate) = (rate(s, "max_rate"), rate(s, "client_max_rate"));
    let capacity_of_all = capacity(s, "capacity", 1.0);
    let client_capacity = capacity(s, "client_capacity", 1.0);
    possible(s, "max_rate", max_rate, span, capacity_of_all);
    possible(s, "client_max_rate", client_max_rate, span, client_capacity);
    let who = (client_max_rate > 0.0)
        .then(|| who::read(s, native, place))
        .flatten();
    Some(Written {
        every: span,
        max_rate,
        capacity: capacity_of_all,
        client_max_rate,
        client_capacity,
        who,
        cleanup: CLEANUP,
        shards: SHARDS,
        store: Some(store?),
        away: away.unwrap_or_default(),
    })
}

fn store(s: &mut Settings<'_>, offers: &Offers) -> Option<Arc<Store>> {
    let key = if s.has("connection_name") {
        "connection_name"
    } else {
        "connection_pool"
    };
    let name = s.string_or(key, "");
    let stores = offers.get::<HashMap<String, Arc<Store>>>();
    let found = stores
        .as_ref()
        .and_then(|stores| stores.get(&name).cloned());
    if found.is_none() {
        let message = format!("there is no store \"{name}\"");
        let hint = "name one of the connections in \"redis\" of the service";
        s.error_hint(key, Code::BadValue, message, hint);
    }
    found
}
