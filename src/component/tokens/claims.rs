//! What is looked up in the claims of a token: roles, scopes, what backends are told.

use super::matching;
use crate::base::problem::pointer_join;
use crate::base::{Code, Dialect, Problem};
use crate::config::settings::Settings;
use crate::config::weak::go_path;
use crate::identity::mint::field_name;
use crate::identity::{Absent, Access, ClaimPath, Demand, Match, Mint, MintRule};
use serde_json::Value;

/// Roles and scopes.
pub(super) fn access(s: &mut Settings<'_>, dialect: Dialect) -> Access {
    Access {
        roles: roles(s),
        scopes: scopes(s, dialect),
    }
}

fn named(s: &mut Settings<'_>, key: &str) -> Option<String> {
    s.string(key).filter(|text| !text.is_empty())
}

fn roles(s: &mut Settings<'_>) -> Option<Demand> {
    let key = named(s, "roles_key").unwrap_or_else(|| "roles".to_owned());
    let claim = match s.bool_or("roles_key_is_nested", false) {
        true => ClaimPath::dotted_unless_url(&key),
        false => ClaimPath::flat(&key),
    };
    Demand::new(claim, &s.list_of_strings("roles"), Match::Any)
}

fn scopes(s: &mut Settings<'_>, dialect: Dialect) -> Option<Demand> {
    let native = dialect == Dialect::Native;
    let needed = match dialect {
        Dialect::Native => matching(s, "scopes_matcher", Match::Any),
        // Whatever is not "all" is "any" there.
        Dialect::Krakend if named(s, "scopes_matcher").as_deref() == Some("all") => Match::All,
        Dialect::Krakend => Match::Any,
    };
    let (key, scopes) = (named(s, "scopes_key"), s.list_of_strings("scopes"));
    let Some(key) = key else {
        if !scopes.is_empty() {
            let message = "scopes without \"scopes_key\" are not looked at in KrakenD";
            let hint = "add \"scopes_key\": \"scope\"";
            match native {
                true => s.error_hint("scopes", Code::BadValue, message, hint),
                false => s.warn_hint("scopes", Code::BadValue, message, hint),
            }
        }
        return None;
    };
    // There an address as a name is a path, which nothing fulfils.
    let claim = match native {
        true => ClaimPath::dotted_unless_url(&key),
        false => ClaimPath::dotted(&key),
    };
    Demand::new(claim, &scopes, needed)
}

/// `propagate_claims`.
pub(super) fn mint(s: &mut Settings<'_>, dialect: Dialect) -> Mint {
    let key = "propagate_claims";
    let keep_lists = s.bool_or("propagate_claims_preserve_array", false);
    let place = s.pointer_of(key);
    let pairs = match s.value(key) {
        None => &[][..],
        Some(Value::Array(pairs)) => pairs,
        Some(_) => {
            wrong(s, &place);
            &[][..]
        }
    };
    let mut rules = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        let place = pointer_join(&place, &index.to_string());
        rules.extend(rule(s, pair, &place, dialect));
    }
    Mint::new(rules, keep_lists, dialect)
}

fn rule(s: &mut Settings<'_>, pair: &Value, place: &str, dialect: Dialect) -> Option<MintRule> {
    let Some(pair) = pair.as_array() else {
        wrong(s, place);
        return None;
    };
    let texts: Option<Vec<&str>> = pair.iter().map(Value::as_str).collect();
    let Some(texts) = texts else {
        wrong(s, place);
        return None;
    };
    let [claim, field] = *texts.as_slice() else {
        let message = format!("'{}' is no pair and is passed over", go_path(place));
        let problem = Problem::warning(Code::BadValue, place, message);
        s.report()
            .push(problem.hint("write [\"sub\", \"X-User-ID\"]"));
        return None;
    };
    match field_name(field) {
        Ok(name) => Some(MintRule {
            claim: ClaimPath::dotted_unless_url(claim),
            name,
            absent: Absent::Empty,
            unlisted: false,
        }),
        Err(why) => {
            unusable(s, &pointer_join(place, "1"), why, dialect);
            None
        }
    }
}

fn unusable(s: &mut Settings<'_>, place: &str, why: &str, dialect: Dialect) {
    let message = format!("no claim can be told in this field: {why}");
    let hint = "write the name of a field of its own, such as \"X-User-ID\"";
    s.report().push(match dialect {
        Dialect::Native => Problem::error(Code::BadValue, place, message).hint(hint),
        Dialect::Krakend => Problem::warning(Code::BadValue, place, message).hint(hint),
    });
}

fn wrong(s: &mut Settings<'_>, place: &str) {
    let message = format!("'{}' is no list of pairs of texts", go_path(place));
    let problem = Problem::error(Code::WrongType, place, message);
    s.report()
        .push(problem.hint("write [[\"sub\", \"X-User-ID\"]]"));
}
