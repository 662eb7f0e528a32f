//! `hanzo/overload` – what is done when there is too much to do: at service level requests are turned away when the
//! gateway's threads or its memory come to their end, at backend level calls beyond what a backend bears wait for a
//! short while or are refused. KrakenD has nothing like it.

use super::bytes;
use crate::base::{Code, Dialect, Problem, Report};
use crate::component::{BackendDraft, Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::traffic::overload::Bounds;
use crate::traffic::pressure::{self, Pressure, Shed};
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    backend: Some(backend),
    each_endpoint: Some(endpoint),
    ..Component::named("hanzo/overload")
};

/// How late the threads may be where the file does not say.
const LAG: Duration = Duration::from_millis(200);
/// Less than this cannot be told from a busy machine.
const LEAST_LAG: Duration = Duration::from_millis(10);
/// Less memory than this is none to run in.
const LEAST_MEMORY: u64 = 8 << 20;
/// How long a call may wait where the file does not say.
const PATIENCE: Duration = Duration::from_millis(100);
/// The longest queue, and the most calls.
const MOST: u64 = 1_000_000;

fn service(s: &mut Settings<'_>, draft: &mut ServiceDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["max_lag", "max_memory"]);
    let lag = s.duration("max_lag").unwrap_or(LAG);
    if lag < LEAST_LAG {
        let hint = "write for example \"200ms\"";
        let message = "max_lag is shorter than what any machine keeps";
        s.error_hint("max_lag", Code::OutOfRange, message, hint);
    }
    let memory = bytes(s, "max_memory");
    if memory.is_some_and(|memory| memory < LEAST_MEMORY) {
        let hint = "write for example \"1GB\", or leave it out for what the control group allows";
        let message = "max_memory is less than the gateway needs";
        s.error_hint("max_memory", Code::OutOfRange, message, hint);
    }
    let bounds = pressure::Bounds { lag, memory };
    let env = &draft.env;
    let pressure = env.kept.get_or(&format!("{bounds:?}"), || {
        Pressure::new(bounds, env.metrics.overload_shed_percent())
    });
    draft.tasks.push(pressure.clone());
    draft.offers.put(pressure);
    Ok(())
}

/// Every endpoint asks, last of all: then it is known who calls.
fn endpoint(draft: &mut EndpointDraft, _: Dialect, _: &mut Report) {
    if let Some(pressure) = draft.offers.get::<Pressure>() {
        draft.head.push(Box::new(Shed(pressure)));
    }
}

fn backend(s: &mut Settings<'_>, draft: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&["max_calls", "queue", "queue_timeout"]);
    s.require("max_calls");
    let mut count = |key: &str, least: u64| {
        let number = s.unsigned(key)?;
        if !(least..=MOST).contains(&number) {
            let message = format!("{key} is a number from {least} to {MOST}");
            s.error(key, Code::OutOfRange, message);
        }
        u32::try_from(number).ok()
    };
    let (calls, queue) = (count("max_calls", 1), count("queue", 0));
    let patience = s.duration("queue_timeout").unwrap_or(PATIENCE);
    if let Some(calls) = calls {
        draft.concurrency = Some(Bounds {
            calls,
            queue: queue.unwrap_or(0) as usize,
            patience,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bounds(value: &Value) -> (Option<Bounds>, bool) {
        let (mut report, mut draft) = (Report::default(), BackendDraft::default());
        let mut settings = Settings::new(value, "/b", &mut report);
        backend(&mut settings, &mut draft, Dialect::Native).unwrap();
        (draft.concurrency, report.has_errors())
    }

    #[test]
    fn a_backend_bears_so_many_calls() {
        let (bounds, wrong) = bounds(&json!({"max_calls": 10, "queue": 5, "queue_timeout": "1s"}));
        let expected = Bounds {
            calls: 10,
            queue: 5,
            patience: Duration::from_secs(1),
        };
        assert_eq!((bounds, wrong), (Some(expected), false));
    }

    #[test]
    fn a_bound_that_bounds_nothing_or_all_refuses_the_file() {
        for wrong in [
            json!({}),
            json!({"max_calls": 0}),
            json!({"max_calls": "x"}),
            json!({"max_calls": 1, "queue": -1}),
        ] {
            assert!(bounds(&wrong).1, "{wrong}");
        }
    }

    #[test]
    fn every_endpoint_sheds_once_the_service_says_so() {
        for (value, stages, wrong) in [
            (json!({}), 1, false),
            (json!({"max_lag": "1ms"}), 1, true),
            (json!({"max_memory": "1KB"}), 1, true),
        ] {
            let (mut report, mut draft) = (Report::default(), ServiceDraft::default());
            let mut settings = Settings::new(&value, "/s", &mut report);
            service(&mut settings, &mut draft, Dialect::Native).unwrap();
            let mut own = EndpointDraft {
                offers: draft.offers.clone(),
                ..EndpointDraft::default()
            };
            endpoint(&mut own, Dialect::Native, &mut report);
            assert_eq!(own.head.len(), stages, "{value}");
            assert_eq!(report.has_errors(), wrong, "{value}");
            let mut without = EndpointDraft::default();
            endpoint(&mut without, Dialect::Native, &mut report);
            assert!(without.head.is_empty());
        }
    }
}
