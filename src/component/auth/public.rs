//! `auth/public` – an endpoint needs no credentials although the service locks all of them (`hanzo/auth`); the same as
//! `public` there. Where nothing locks, it says to readers and to `audit` that the door is open on purpose.

use crate::base::{Code, Dialect, Problem};
use crate::component::{Component, EndpointDraft};
use crate::config::settings::Settings;

/// The table line.
pub const COMPONENT: Component = Component {
    any_value: true,
    endpoint: Some(endpoint),
    ..Component::named("auth/public")
};

fn endpoint(s: &mut Settings<'_>, draft: &mut EndpointDraft, _: Dialect) -> Result<(), Problem> {
    match s.raw().as_bool() {
        Some(public) => draft.public = public,
        // Whoever reads anything else as yes opens a door by a typing error.
        None => s.error_hint(
            "",
            Code::WrongType,
            "auth/public is neither true nor false",
            "write true, or take it out",
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::{Value, json};

    fn built(value: &Value) -> (bool, usize) {
        let mut report = Report::default();
        let mut draft = EndpointDraft::default();
        let mut settings = Settings::new(value, "/p", &mut report);
        endpoint(&mut settings, &mut draft, Dialect::Native).unwrap();
        (draft.public, report.errors())
    }

    #[test]
    fn only_a_plain_true_opens() {
        assert_eq!(built(&json!(true)), (true, 0));
        assert_eq!(built(&json!(false)), (false, 0));
        for value in [json!("true"), json!(1), json!({}), json!(["true"])] {
            assert_eq!(built(&value), (false, 1), "{value}");
        }
    }
}
