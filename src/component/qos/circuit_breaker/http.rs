//! `qos/circuit-breaker/http` – the breaker that judges a backend by a list of statuses. KrakenD's Enterprise edition
//! has it; here it stands in both dialects, in front of `qos/circuit-breaker` where a backend has both.

use super::read;
use crate::base::{Code, Dialect, Problem};
use crate::component::{BackendDraft, Component};
use crate::config::settings::Settings;

const NAME: &str = "qos/circuit-breaker/http";

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, dialect: Dialect) -> Result<(), Problem> {
    s.known(&[
        "interval",
        "timeout",
        "max_errors",
        "valid_status_codes",
        "name",
        "log_status_change",
    ]);
    let mut valid = Vec::new();
    let listed = s.list_of_ints("valid_status_codes");
    for code in &listed {
        match u16::try_from(*code) {
            Ok(code @ 100..=599) => valid.push(code),
            _ => {
                let message = format!("{code} is no status");
                let hint = "write statuses between 100 and 599";
                s.error_hint("valid_status_codes", Code::BadValue, message, hint);
            }
        }
    }
    if listed.is_empty() {
        s.error_hint(
            "valid_status_codes",
            Code::MissingKey,
            "without valid_status_codes every answer would be a failure",
            "list the statuses that are no failure, such as [200, 201, 404]",
        );
        return Ok(());
    }
    let breaker = read(s, NAME, dialect, Some(valid.into()));
    draft.breakers.extend(breaker);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::json;

    #[test]
    fn the_list_of_statuses_must_be_there_and_hold_statuses() {
        for (codes, good) in [
            (json!([200, 404]), true),
            (json!([]), false),
            (json!([20]), false),
        ] {
            let value =
                json!({"interval": 1, "timeout": 1, "max_errors": 1, "valid_status_codes": codes});
            let (mut report, mut draft) = (Report::default(), BackendDraft::default());
            let mut settings = Settings::new(&value, "/b", &mut report);
            build(&mut settings, &mut draft, Dialect::Native).unwrap();
            assert_eq!(report.has_errors(), !good, "{codes}");
            if good {
                let valid = draft.breakers.pop().unwrap().judge.valid;
                assert_eq!(valid.as_deref(), Some(&[200, 404][..]));
            }
        }
    }
}
