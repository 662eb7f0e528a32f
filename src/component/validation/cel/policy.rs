//! Conditions on one value, for components that choose by them: the policies of `qos/ratelimit/tiered` (Enterprise in
//! KrakenD). An expression knows the value as `value`, a verified token's claims as `JWT`, and `now`.

use super::fault::Fault;
use super::program::Program;
use super::scope::Scope;
use super::types::Ty;
use crate::base::Code;
use crate::body::Object;
use crate::config::settings::Settings;

/// A condition, ready to ask.
#[derive(Debug)]
pub struct Policy(Program);

impl Policy {
    /// Reads the expression under a key; `None` for one that cannot be used, which refuses the file.
    pub fn read(s: &mut Settings<'_>, key: &str) -> Option<Self> {
        let source = s.string_or(key, "");
        let hint = "write a condition, for example \"value.matches('^gold-')\"";
        let program = match Program::about_value(&source) {
            Ok(program) => program,
            Err(broken) => {
                let (line, column) = broken.at;
                let message = format!(
                    "the policy cannot be used: line {line}, column {column}: {}",
                    broken.message
                );
                s.error_hint(key, Code::BadValue, message, broken.hint);
                return None;
            }
        };
        if !program.ty.fits(&Ty::Bool) {
            let message = format!("the policy gives a {}, and never yes or no", program.ty);
            s.error_hint(key, Code::BadValue, message, hint);
            return None;
        }
        Some(Self(program))
    }

    /// Whether it looks at a token.
    pub const fn needs_token(&self) -> bool {
        self.0.uses.token
    }

    /// Whether it holds for a value of a caller with these claims.
    ///
    /// # Errors
    /// When the expression has no answer, for example because there is no token.
    pub fn holds(&self, value: &str, claims: Option<&Object>) -> Result<bool, Fault> {
        self.0.holds(&Scope::policy(value, claims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use crate::body::json;
    use serde_json::json;

    fn read(source: &str) -> (Option<Policy>, String) {
        let (mut report, value) = (Report::default(), json!({"e": source}));
        let mut settings = Settings::new(&value, "/p", &mut report);
        let policy = Policy::read(&mut settings, "e");
        (policy, format!("{:?}", report.problems))
    }

    #[test]
    fn a_policy_looks_at_the_value_and_the_token() {
        let holds = |source: &str, value: &str, claims: Option<&Object>| {
            read(source).0.unwrap().holds(value, claims).ok()
        };
        assert_eq!(
            holds("value.matches('^gold-[0-9]+$')", "gold-7", None),
            Some(true)
        );
        assert_eq!(holds("value == 'gold'", "silver", None), Some(false));
        assert_eq!(
            holds("size(value) > 3 && now != ''", "gold", None),
            Some(true)
        );
        let claims = json::decode(br#"{"plan": "gold"}"#)
            .unwrap()
            .into_object()
            .unwrap();
        assert_eq!(holds("JWT.plan == 'gold'", "", Some(&claims)), Some(true));
        assert_eq!(holds("JWT.plan == 'gold'", "", None), None);
        assert_eq!(holds("JWT.nothing == 'gold'", "", Some(&claims)), None);
    }

    #[test]
    fn a_policy_that_can_never_work_is_told_where_it_stands() {
        for wrong in [
            "",
            "value ==",
            "value",
            "1 + 1",
            "req_path == value",
            "nobody > 1",
        ] {
            let (policy, told) = read(wrong);
            assert!(policy.is_none(), "{wrong}");
            assert!(told.contains("/p/e"), "{wrong}: {told}");
        }
    }

    #[test]
    fn checks_of_requests_know_no_value() {
        assert!(Program::compile("value == 'a'").is_err());
    }
}
