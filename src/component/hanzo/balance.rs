//! `hanzo/balance` – which host of a backend gets a call, when a host gets none, and how its hosts are probed.
//!
//! KrakenD picks any host, good or bad. Native leaves hosts out that fail in a row, without this namespace too, where a
//! backend has several; the krakend dialect does so only where this namespace stands.

use super::{is_cookie_name, is_fraction};
use crate::base::{Code, Dialect, Problem};
use crate::component::{BackendDraft, Balancing, Component};
use crate::config::settings::Settings;
use crate::gateway::affinity::Affinity;
use crate::gateway::health::ProbeOptions;
use crate::net::Balance;
use crate::net::balance::Outliers;
use http::HeaderName;
use serde_json::Value;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named("hanzo/balance")
};

/// The largest weight.
const HEAVIEST: i64 = 1_000_000;

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&[
        "method",
        "weights",
        "hash",
        "all_down",
        "slow_start",
        "outliers",
        "health",
    ]);
    let mut balancing = Balancing::native();
    balancing.affinity = affinity(s);
    let words = ["random", "round_robin", "least_requests", "hash"];
    balancing.rule = match s.one_of("method", &words) {
        Some("random") => Some(Balance::Random),
        Some("round_robin") => Some(Balance::RoundRobin),
        Some("least_requests") => Some(Balance::LeastRequests),
        Some(_) => Some(Balance::Hash),
        None if balancing.affinity.is_some() => Some(Balance::Hash),
        None => None,
    };
    match (balancing.rule, &balancing.affinity) {
        (Some(Balance::Hash), None) => balancing.affinity = Some(Affinity::Address),
        (Some(Balance::Hash) | None, _) | (_, None) => {}
        (Some(_), Some(_)) => s.error_hint(
            "hash",
            Code::BadValue,
            "hash says what calls are balanced by, and another method is chosen",
            "write \"method\": \"hash\", or leave one of the two out",
        ),
    }
    balancing.weights = weights(s);
    balancing.weights_at = s.pointer_of("weights");
    balancing.try_all = s.one_of("all_down", &["try", "refuse"]) != Some("refuse");
    if let Some(span) = s.duration("slow_start") {
        balancing.slow_start = span;
    }
    outliers(s, &mut balancing.outliers);
    if let Some(mut health) = s.object("health") {
        balancing.probe = Some(probe(&mut health));
    }
    draft.balance = Some(balancing);
    Ok(())
}

fn weights(s: &mut Settings<'_>) -> Vec<u32> {
    let written = s.list_of_ints("weights");
    let bad = written
        .iter()
        .any(|weight| !(0..=HEAVIEST).contains(weight));
    let list = s.value("weights").and_then(Value::as_array);
    let bad = bad || list.is_some_and(|list| list.iter().any(is_fraction));
    if bad || !written.is_empty() && written.iter().all(|weight| *weight == 0) {
        s.error_hint(
            "weights",
            Code::OutOfRange,
            "weights are whole numbers from 0 to 1000000, not all of them 0",
            "write one for each host, such as [3, 1]",
        );
    }
    let whole = |weight: i64| u32::try_from(weight).unwrap_or(0);
    written.into_iter().map(whole).collect()
}

fn affinity(s: &mut Settings<'_>) -> Option<Affinity> {
    let mut hash = s.object("hash")?;
    hash.known(&["header", "cookie"]);
    let (header, cookie) = (hash.string("header"), hash.string("cookie"));
    match (header, cookie) {
        (Some(name), None) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Some(Affinity::Header(name)),
            Err(_) => {
                let message = "header is no name of a field";
                hash.error_hint(
                    "header",
                    Code::BadValue,
                    message,
                    "write for example \"X-User-ID\"",
                );
                None
            }
        },
        (None, Some(name)) if is_cookie_name(&name) => Some(Affinity::Cookie(name.into())),
        (None, Some(_)) => {
            let message = "cookie is no name of a cookie";
            hash.error_hint(
                "cookie",
                Code::BadValue,
                message,
                "write for example \"sid\"",
            );
            None
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "hash names either a header or a cookie";
            let hint = "write for example {\"header\": \"X-User-ID\"}; leave hash out for the client's address";
            hash.error_hint("", Code::BadValue, message, hint);
            None
        }
    }
}

fn outliers(s: &mut Settings<'_>, into: &mut Outliers) {
    let Some(mut o) = s.object("outliers") else {
        return;
    };
    o.known(&["failures", "ejection", "longest"]);
    if let Some(failures) = o.unsigned("failures") {
        into.failures = u32::try_from(failures).unwrap_or(u32::MAX);
    }
    if let Some(span) = o.duration("ejection") {
        into.ejection = span;
    }
    if let Some(span) = o.duration("longest") {
        into.longest = span;
    }
    if into.failures != 0 && (into.ejection.is_zero() || into.longest < into.ejection) {
        o.error_hint(
            "longest",
            Code::OutOfRange,
            "an ejection lasts longer than nothing and no longer than the longest",
            "write for example {\"ejection\": \"5s\", \"longest\": \"5m\"}, or \"failures\": 0 for none",
        );
    }
}

/// What a file says of probes, over the defaults.
fn probe(s: &mut Settings<'_>) -> ProbeOptions {
    s.known(&[
        "interval",
        "timeout",
        "path",
        "unhealthy_after",
        "healthy_after",
    ]);
    let mut options = ProbeOptions::default();
    super::probe(s, &mut options);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::json;

    fn built(value: &Value) -> (Balancing, bool) {
        let (mut report, mut draft) = (Report::default(), BackendDraft::default());
        let mut settings = Settings::new(value, "/b", &mut report);
        build(&mut settings, &mut draft, Dialect::Native).unwrap();
        (draft.balance.unwrap(), report.has_errors())
    }

    #[test]
    fn a_rule_by_name_and_what_goes_with_it() {
        let (balancing, wrong) = built(&json!({"method": "least_requests", "weights": [3, 0]}));
        assert!(!wrong);
        assert_eq!(balancing.rule, Some(Balance::LeastRequests));
        assert_eq!(balancing.weights, [3, 0]);
        let (balancing, _) = built(&json!({"hash": {"cookie": "sid"}}));
        assert_eq!(balancing.rule, Some(Balance::Hash));
        assert_eq!(balancing.affinity, Some(Affinity::Cookie("sid".into())));
        let (balancing, _) = built(&json!({"method": "hash"}));
        assert_eq!(balancing.affinity, Some(Affinity::Address));
        assert_eq!(built(&json!({})).0.rule, None);
    }

    #[test]
    fn what_cannot_be_understood_refuses_the_file() {
        for wrong in [
            json!({"method": "best"}),
            json!({"method": "random", "hash": {"cookie": "sid"}}),
            json!({"hash": {}}),
            json!({"hash": {"header": "a b"}}),
            json!({"hash": {"cookie": "a;b"}}),
            json!({"hash": {"cookie": "a", "header": "b"}}),
            json!({"weights": [-1, 1]}),
            json!({"weights": [0, 0]}),
            json!({"weights": [2.5, 1]}),
            json!({"all_down": "panic"}),
            json!({"outliers": {"ejection": "0s"}}),
            json!({"outliers": {"ejection": "10m"}}),
            json!({"health": {"interval": "1ms"}}),
            json!({"health": {"path": "no"}}),
        ] {
            assert!(built(&wrong).1, "{wrong}");
        }
    }
}
