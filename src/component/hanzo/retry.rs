//! `hanzo/retry` – calls that fail are made again at another host: few times, only what may be done twice, and within
//! a share of the traffic.
//!
//! KrakenD does not repeat calls. Native makes one more try where a backend has several hosts, without this namespace
//! too; the krakend dialect does so only where this namespace stands.

use crate::base::{Code, Dialect, Problem};
use crate::component::{BackendDraft, Component, Retrying};
use crate::config::settings::Settings;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named("hanzo/retry")
};

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&[
        "tries",
        "back_off",
        "try_timeout",
        "statuses",
        "budget",
        "least",
    ]);
    let mut retrying = Retrying::default();
    if let Some(tries) = bounded(s, "tries", 1, 5) {
        retrying.tries = tries;
    }
    if let Some(span) = s.duration("back_off") {
        retrying.back_off = span;
    }
    retrying.try_timeout = s.duration("try_timeout").filter(|span| !span.is_zero());
    if let Some(percent) = bounded(s, "budget", 0, 100) {
        retrying.percent = percent;
    }
    if let Some(least) = bounded(s, "least", 0, 1_000) {
        retrying.least = least;
    }
    for code in s.list_of_ints("statuses") {
        match u16::try_from(code) {
            Ok(code @ (429 | 500..=599)) => retrying.statuses.push(code),
            _ => {
                let message = format!("{code} is no status that another host could do better");
                let hint = "write 429 or statuses from 500, such as [502, 503]";
                s.error_hint("statuses", Code::BadValue, message, hint);
            }
        }
    }
    draft.retry = Some(retrying);
    Ok(())
}

fn bounded(s: &mut Settings<'_>, key: &str, from: u64, to: u64) -> Option<u32> {
    let number = s.unsigned(key)?;
    if !(from..=to).contains(&number) {
        let message = format!("{key} is a number from {from} to {to}");
        s.error(key, Code::OutOfRange, message);
    }
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn built(value: &Value) -> (Retrying, bool) {
        let (mut report, mut draft) = (Report::default(), BackendDraft::default());
        let mut settings = Settings::new(value, "/b", &mut report);
        build(&mut settings, &mut draft, Dialect::Native).unwrap();
        (draft.retry.unwrap(), report.has_errors())
    }

    #[test]
    fn says_how_often_and_how_much() {
        let (retrying, wrong) = built(&json!({
            "tries": 3, "back_off": "5ms", "try_timeout": "1s", "statuses": [503], "budget": 10, "least": 0
        }));
        assert!(!wrong);
        assert_eq!(
            (retrying.tries, retrying.percent, retrying.least),
            (3, 10, 0)
        );
        assert_eq!(retrying.back_off, Duration::from_millis(5));
        assert_eq!(retrying.try_timeout, Some(Duration::from_secs(1)));
        assert_eq!(retrying.statuses, [503]);
    }

    #[test]
    fn what_would_do_harm_refuses_the_file() {
        for wrong in [
            json!({"tries": 0}),
            json!({"tries": 50}),
            json!({"budget": 200}),
            json!({"statuses": [404]}),
            json!({"tries": "many"}),
        ] {
            assert!(built(&wrong).1, "{wrong}");
        }
    }
}
