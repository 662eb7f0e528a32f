//! `qos/circuit-breaker` – a backend that fails is left alone for a while (reference/krakend-components section 3.1).
//!
//! Differs from KrakenD, in native: a 5xx that is passed on and a body that breaks off count, a client's mistakes do
//! not; backends of one name at the same hosts share one breaker, and it survives a reload that leaves its settings
//! alone; changes are written to the log unless the file says no; settings that would leave it off refuse the file. In both dialects there is a metric of its state.

pub mod http;

use crate::base::{Code, Dialect, Problem};
use crate::component::{BackendDraft, Component};
use crate::config::settings::Settings;
use crate::traffic::breaker::{Judge, Limits, Settings as Breaker};
use serde_json::Value;
use std::time::Duration;

const NAME: &str = "qos/circuit-breaker";

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

/// How long it stays open where the file does not say.
const TIMEOUT: Duration = Duration::from_secs(60);

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, dialect: Dialect) -> Result<(), Problem> {
    s.known(&[
        "interval",
        "timeout",
        "max_errors",
        "name",
        "log_status_change",
    ]);
    let breaker = read(s, NAME, dialect, None);
    draft.breakers.extend(breaker);
    Ok(())
}

/// The settings that both breakers have; `None` where there is nothing to break.
fn read(
    s: &mut Settings<'_>,
    component: &'static str,
    dialect: Dialect,
    valid: Option<Box<[u16]>>,
) -> Option<Breaker> {
    let interval = count(s, "interval", dialect);
    let timeout = count(s, "timeout", dialect);
    let max_errors = count(s, "max_errors", dialect);
    let (interval, timeout, max_errors) = (interval?, timeout?, max_errors?);
    if interval == 0 && timeout == 0 && max_errors == 0 {
        let message = format!("{component} without interval, timeout and max_errors is off");
        let hint = "write for example {\"interval\": 60, \"timeout\": 10, \"max_errors\": 3}";
        match dialect {
            Dialect::Native => s.error_hint("", Code::BadValue, message, hint),
            Dialect::Krakend => s.warn_hint("", Code::BadValue, message, hint),
        }
        return None;
    }
    let seconds = |number: i64| Duration::from_secs(u64::try_from(number).unwrap_or(0));
    let (name, log) = match dialect {
        Dialect::Native => (
            s.string_or("name", ""),
            // The contract's section 8; KrakenD is silent unless told otherwise.
            s.bool_or("log_status_change", true),
        ),
        Dialect::Krakend => {
            let text = s.value("name").and_then(Value::as_str).unwrap_or_default();
            let log = s.value("log_status_change").and_then(Value::as_bool);
            (text.to_owned(), log.unwrap_or(false))
        }
    };
    Some(Breaker {
        component,
        limits: Limits {
            interval: seconds(interval),
            timeout: Some(seconds(timeout))
                .filter(|timeout| !timeout.is_zero())
                .unwrap_or(TIMEOUT),
            // A negative number of KrakenD's wraps to one that nobody reaches.
            max_errors: u32::try_from(max_errors).unwrap_or(u32::MAX),
        },
        judge: Judge { dialect, valid },
        name,
        of: String::new(),
        log,
    })
}

/// A whole number of seconds or failures: 0 when absent. Native refuses what is none, and what is negative; KrakenD
/// takes another type for 0 and cuts fractions off.
fn count(s: &mut Settings<'_>, key: &str, dialect: Dialect) -> Option<i64> {
    let Some(value) = s.value(key) else {
        return Some(0);
    };
    let whole = value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        (dialect == Dialect::Krakend || float.fract() == 0.0).then_some(float as i64)
    });
    match (whole, dialect) {
        (Some(number), Dialect::Krakend) => Some(number),
        (Some(number @ 0..), Dialect::Native) => Some(number),
        (None, Dialect::Krakend) => {
            let message = format!("{key} is no number; KrakenD takes it for 0");
            s.warn(key, Code::WrongType, message);
            Some(0)
        }
        (_, Dialect::Native) => {
            let message = format!("{key} is no whole number of at least 0");
            let hint = "write a number without a unit: seconds for times";
            s.error_hint(key, Code::BadValue, message, hint);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Report, Severity};
    use serde_json::json;

    fn built(value: &Value, dialect: Dialect) -> (Option<Breaker>, Vec<Severity>) {
        let (mut report, mut draft) = (Report::default(), BackendDraft::default());
        let mut settings = Settings::new(value, "/b", &mut report);
        build(&mut settings, &mut draft, dialect).unwrap();
        let severities = report.problems.iter().map(|p| p.severity).collect();
        (draft.breakers.pop(), severities)
    }

    #[test]
    fn times_are_seconds_and_the_default_of_the_timeout_is_a_minute() {
        let value =
            json!({"interval": 5, "max_errors": 2.0, "name": "b", "log_status_change": true});
        for dialect in [Dialect::Native, Dialect::Krakend] {
            let (breaker, problems) = built(&value, dialect);
            let breaker = breaker.unwrap();
            assert_eq!(breaker.limits.interval, Duration::from_secs(5));
            assert_eq!(breaker.limits.timeout, Duration::from_secs(60));
            assert_eq!(breaker.limits.max_errors, 2);
            assert_eq!((breaker.name.as_str(), breaker.log), ("b", true));
            assert_eq!(problems, []);
        }
    }

    #[test]
    fn a_breaker_that_would_be_off_refuses_a_native_file() {
        let (breaker, problems) = built(&json!({"name": "b"}), Dialect::Native);
        assert_eq!(
            (breaker.is_some(), problems),
            (false, vec![Severity::Error])
        );
        let (breaker, problems) = built(&json!({"name": "b"}), Dialect::Krakend);
        assert_eq!(
            (breaker.is_some(), problems),
            (false, vec![Severity::Warning])
        );
    }

    #[test]
    fn what_is_no_number_refuses_a_native_file_and_is_zero_in_krakend() {
        for wrong in [json!("60s"), json!(-1), json!(1.5), json!([])] {
            let value = json!({"interval": 60, "timeout": wrong, "max_errors": 1});
            let (breaker, problems) = built(&value, Dialect::Native);
            assert!(breaker.is_none(), "{wrong}");
            assert_eq!(problems, [Severity::Error], "{wrong}");
            assert!(built(&value, Dialect::Krakend).0.is_some(), "{wrong}");
        }
    }
}
