//! 1.x: who may come in.

use super::Severity::{High, Medium};
use super::{Facts, Places, Rule, at, lists, rule, when};

pub(super) const RULES: &[Rule] = &[
    rule(
        "1.1.1",
        High,
        "basic authentication is used",
        "let clients show tokens (`auth/validator`): a password goes over the line with every request",
        basic,
    ),
    rule(
        "1.1.2",
        Medium,
        "API keys are used",
        "let clients show tokens (`auth/validator`): a key neither expires nor tells whom it was given",
        api_keys,
    ),
    rule(
        "1.2.1",
        High,
        "no endpoint asks for a token",
        "protect endpoints with `auth/validator`",
        no_tokens,
    ),
];

fn basic(facts: &Facts<'_>) -> Places {
    let mut places: Vec<String> = facts
        .all()
        .filter(|n| n.name == "auth/basic")
        .map(|n| n.pointer.clone())
        .collect();
    places.extend(lists(
        &facts.service().extra_config,
        "plugin/http-server",
        "basic-auth",
    ));
    at(places)
}

fn api_keys(facts: &Facts<'_>) -> Places {
    at(facts.globals(&["auth/api-keys"]))
}

fn no_tokens(facts: &Facts<'_>) -> Places {
    let asks = facts
        .endpoints()
        .iter()
        .any(|endpoint| endpoint.extra_config.get("auth/validator").is_some());
    let ours = facts
        .global("hanzo/auth")
        .is_some_and(|auth| auth.value.get("jwt").is_some());
    when(!asks && !ours)
}
