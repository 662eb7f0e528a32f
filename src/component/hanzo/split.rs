//! `hanzo/split` – one of an endpoint's backends answers instead of all: canaries and A/B tests by weight, by a header
//! field, and with callers that stay where they are. KrakenD has nothing like it.

use super::{is_cookie_name, is_fraction};
use crate::base::{Code, Dialect, Problem};
use crate::component::{Component, EndpointDraft, Share, Splitting};
use crate::config::settings::Settings;
use crate::gateway::split::{Sticky, When};
use http::HeaderName;

/// The table line.
pub const COMPONENT: Component = Component {
    endpoint: Some(build),
    ..Component::named("hanzo/split")
};

/// The largest weight.
const HEAVIEST: u64 = 1_000_000;

fn build(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["backends", "sticky"]);
    let sticky = sticky(s);
    let mut shares = Vec::new();
    if s.value("backends").is_some_and(|value| value.is_array()) {
        shares = s.objects("backends", |s| share(s, None));
    } else if let Some(mut all) = s.object("backends") {
        let names: Vec<String> = all.entries().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            if let Some(mut one) = all.object(&name) {
                shares.push(share(&mut one, Some(name)));
            }
        }
    }
    if shares.iter().all(|share| share.weight == 0) {
        s.error_hint(
            "backends",
            Code::BadValue,
            "no backend has a share",
            "write for example [{\"weight\": 90}, {\"weight\": 10}], in the order of \"backend\"",
        );
    }
    draft.split = Some(Splitting {
        shares,
        sticky,
        pointer: s.pointer_of("backends"),
    });
    Ok(())
}

fn share(s: &mut Settings<'_>, name: Option<String>) -> Share {
    s.known(&["weight", "match"]);
    let weight = s.unsigned("weight").unwrap_or(0);
    if weight > HEAVIEST || s.value("weight").is_some_and(is_fraction) {
        let message = format!("weight is a whole number from 0 to {HEAVIEST}");
        s.error("weight", Code::OutOfRange, message);
    }
    let when = s.object("match").and_then(|mut s| {
        s.known(&["header", "value"]);
        let header = header(&mut s);
        if header.is_none() && !s.has("header") {
            let hint = "write for example {\"header\": \"X-Canary\", \"value\": \"yes\"}";
            s.error_hint("", Code::MissingKey, "match names no header", hint);
        }
        let value = s.string("value").map(Into::into);
        header.map(|header| When { header, value })
    });
    Share {
        name,
        weight: u32::try_from(weight).unwrap_or(0),
        when,
    }
}

fn header(s: &mut Settings<'_>) -> Option<HeaderName> {
    let name = s.string("header")?;
    let header = HeaderName::from_bytes(name.as_bytes()).ok();
    if header.is_none() {
        let message = "header is no name of a field";
        s.error_hint(
            "header",
            Code::BadValue,
            message,
            "write for example \"X-User-ID\"",
        );
    }
    header
}

fn sticky(s: &mut Settings<'_>) -> Option<Sticky> {
    let mut sticky = s.object("sticky")?;
    sticky.known(&["header", "cookie"]);
    let (header, cookie) = (header(&mut sticky), sticky.string("cookie"));
    match (header, cookie) {
        (Some(name), None) => Some(Sticky::Header(name)),
        (None, Some(name)) if is_cookie_name(&name) => Some(Sticky::Cookie(name.into())),
        _ => {
            let message = "sticky names either a header or a cookie";
            let hint = "write for example {\"cookie\": \"group\"}";
            sticky.error_hint("", Code::BadValue, message, hint);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::{Value, json};

    fn built(value: &Value) -> (Splitting, bool) {
        let (mut report, mut draft) = (Report::default(), EndpointDraft::default());
        let mut settings = Settings::new(value, "/e", &mut report);
        build(&mut settings, &mut draft, Dialect::Native).unwrap();
        (draft.split.unwrap(), report.has_errors())
    }

    #[test]
    fn shares_stand_in_order_or_by_name() {
        let (found, wrong) = built(&json!({
            "backends": [{"weight": 9}, {"weight": 1, "match": {"header": "X-Canary"}}],
            "sticky": {"cookie": "group"}
        }));
        assert!(!wrong);
        assert_eq!((found.shares[0].weight, found.shares[1].weight), (9, 1));
        assert!(found.shares[1].when.is_some());
        assert_eq!(found.sticky, Some(Sticky::Cookie("group".into())));
        let (found, wrong) = built(&json!({"backends": {"a": {"weight": 1}}}));
        assert!(!wrong);
        assert_eq!(found.shares[0].name.as_deref(), Some("a"));
    }

    #[test]
    fn what_splits_nothing_refuses_the_file() {
        for wrong in [
            json!({}),
            json!({"backends": [{"weight": 0}]}),
            json!({"backends": [{"weight": -1}, {"weight": 1}]}),
            json!({"backends": [{"weight": 99.5}, {"weight": 0.5}]}),
            json!({"backends": [{"weight": 1, "match": {}}]}),
            json!({"backends": [{"weight": 1, "match": {"header": "a b"}}]}),
            json!({"backends": [{"weight": 1}], "sticky": {}}),
            json!({"backends": [{"weight": 1}], "sticky": {"cookie": "a b"}}),
        ] {
            assert!(built(&wrong).1, "{wrong}");
        }
    }
}
