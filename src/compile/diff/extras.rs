//! Components of two levels: which came, which went, and what a changed setting means for who may do
//! how much.

use super::endpoints::AUTHENTICATES;
use super::{Changes, Weight, shown};
use crate::base::problem::pointer_join;
use crate::base::secret;
use crate::compile::components::LOCKS;
use crate::component::{self, Loss};
use crate::config::{Extra, Namespace, duration};
use serde_json::Value;

/// Changed settings of one component that are told one by one.
const TOLD: usize = 50;
/// Lists longer than this are compared as a whole: member by member costs their product.
const LONG: usize = 2000;
/// Components whose absence means the same as a value: compared by what they mean, in `super`.
const ELSEWHERE: &[&str] = &["hanzo/edge"];
/// How deep settings are compared key by key.
const DEEP: usize = 8;

pub(super) fn compare(old: &Extra, new: &Extra, changes: &mut Changes<'_>) {
    for before in old.0.iter().filter(|n| !ELSEWHERE.contains(&&*n.name)) {
        match new.get(&before.name) {
            Some(after) => changed(before, after, changes),
            None => {
                let weight = gone(&before.name);
                let text = format!("{} is gone", before.name);
                changes.at(
                    weight,
                    topic(&before.name),
                    text,
                    Some(before.pointer.clone()),
                    None,
                );
            }
        }
    }
    let fresh = |n: &&Namespace| old.get(&n.name).is_none() && !ELSEWHERE.contains(&&*n.name);
    for after in new.0.iter().filter(fresh) {
        let weight = match gone(&after.name) {
            Weight::Loosened => Weight::Tightened,
            Weight::Tightened => Weight::Loosened,
            other => other,
        };
        let text = format!("{} is new", after.name);
        changes.at(
            weight,
            topic(&after.name),
            text,
            None,
            Some(after.pointer.clone()),
        );
    }
}

/// What the loss of a component means.
fn gone(name: &str) -> Weight {
    match name {
        // Browsers refuse what no CORS answer allows: without the component fewer origins can call.
        "security/cors" | "auth/public" => Weight::Tightened,
        "hanzo/mtls" => Weight::Loosened,
        _ if LOCKS.iter().any(|family| name.starts_with(family)) => Weight::Loosened,
        _ if component::not_yet(name).is_some_and(|row| row.loss == Loss::Protection) => {
            Weight::Loosened
        }
        _ => Weight::Changed,
    }
}

fn topic(name: &str) -> &str {
    match name {
        _ if AUTHENTICATES.contains(&name) || name == "auth/public" || name == "auth/revoker" => {
            "authentication"
        }
        "security/cors" => "cors",
        "hanzo/limits" | "hanzo/ratelimit" => "limit",
        _ if name.starts_with("qos/ratelimit/") => "limit",
        "hanzo/cache" | "qos/http-cache" => "cache",
        other => other,
    }
}

fn changed(before: &Namespace, after: &Namespace, changes: &mut Changes<'_>) {
    if before.value == after.value {
        return;
    }
    let mut found = Found {
        name: &after.name,
        told: 0,
        changes,
    };
    found.walk(
        "",
        (&before.value, &before.pointer),
        (&after.value, &after.pointer),
        0,
    );
}

struct Found<'a, 'r> {
    name: &'a str,
    told: usize,
    changes: &'a mut Changes<'r>,
}

impl Found<'_, '_> {
    /// Descends to the settings that differ.
    fn walk(
        &mut self,
        path: &str,
        (a, at_a): (&Value, &str),
        (b, at_b): (&Value, &str),
        depth: usize,
    ) {
        let (Value::Object(x), Value::Object(y)) = (a, b) else {
            self.leaf(path, Some(a), Some(b), (at_a.to_owned(), at_b.to_owned()));
            return;
        };
        if depth == DEEP {
            self.leaf(path, Some(a), Some(b), (at_a.to_owned(), at_b.to_owned()));
            return;
        }
        let mut keys: Vec<&String> = x.keys().collect();
        keys.extend(y.keys().filter(|key| !x.contains_key(*key)));
        for key in keys {
            if key.starts_with(['@', '$', '_', '#']) || x.get(key) == y.get(key) {
                continue;
            }
            let inner = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let places = (pointer_join(at_a, key), pointer_join(at_b, key));
            match (x.get(key), y.get(key)) {
                (Some(v), Some(w)) => self.walk(&inner, (v, &places.0), (w, &places.1), depth + 1),
                (v, w) => self.leaf(&inner, v, w, places),
            }
        }
    }

    fn leaf(
        &mut self,
        path: &str,
        old: Option<&Value>,
        new: Option<&Value>,
        (at_old, at_new): (String, String),
    ) {
        self.told += 1;
        if self.told > TOLD {
            return;
        }
        let key = path.rsplit('.').next().unwrap_or(path);
        let weight = weigh(self.name, path, key, old, new);
        // What stands below a secret's name is one.
        let named = path.split('.').find(|part| secret::hides(part));
        let told = sentence(self.name, path, named.unwrap_or(key), old, new);
        let text = format!("{} {told}", self.name);
        self.changes
            .at(weight, topic(self.name), text, Some(at_old), Some(at_new));
    }
}

fn sentence(name: &str, path: &str, key: &str, old: Option<&Value>, new: Option<&Value>) -> String {
    if let (Some(Value::Array(a)), Some(Value::Array(b))) = (old, new)
        && a.len().max(b.len()) <= LONG
    {
        let only = |x: &[Value], y: &[Value]| {
            let items: Vec<Value> = x
                .iter()
                .filter(|item| !y.contains(item))
                .take(20)
                .cloned()
                .collect();
            (!items.is_empty()).then(|| shown(key, &Value::Array(items)))
        };
        let parts: Vec<String> = [
            only(b, a).map(|l| format!("gains {l}")),
            only(a, b).map(|l| format!("loses {l}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !parts.is_empty() {
            return format!("{path} {}", parts.join(", "));
        }
    }
    let unlimited =
        |value: &Value| way(name, key) == Some(Way::Limit) && value.as_f64() == Some(0.0);
    let text = |value: Option<&Value>| match value {
        None => "nothing".to_owned(),
        Some(value) if unlimited(value) => "0 (no limit)".to_owned(),
        Some(value) => shown(key, value),
    };
    let (was, is) = (text(old), text(new));
    let path = if path.is_empty() { "itself" } else { path };
    if was == is {
        format!("{path} has another value")
    } else {
        format!("{path}: {was} → {is}")
    }
}

/// Which way a setting goes when it grows.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// More is more open; nothing (or 0) is unlimited.
    Limit,
    /// More is more open, nothing is closed.
    Opens,
    /// More is more closed, nothing is open.
    Closes,
    /// A list of which one is enough: empty is open, more is more open.
    AnyOf,
}

fn way(name: &str, key: &str) -> Option<Way> {
    let limits = topic(name) == "limit" || name.starts_with("qos/");
    match (name, key) {
        ("hanzo/auth", "public") | ("auth/public", _) => Some(Way::Opens),
        ("auth/validator" | "hanzo/auth", "roles" | "audience" | "methods") => Some(Way::AnyOf),
        ("auth/validator" | "hanzo/auth", "scopes") => Some(Way::Closes),
        ("hanzo/auth", "cache_ttl" | "stale_if_error") => Some(Way::Opens),
        ("auth/validator" | "hanzo/auth", "issuer") => Some(Way::AnyOf),
        ("auth/validator" | "hanzo/auth", "disable_jwk_security" | "leeway") => Some(Way::Opens),
        ("auth/api-keys", "keys" | "roles") => Some(Way::Opens),
        ("auth/api-keys", "client_max_rate") => Some(Way::Limit),
        ("security/cors", "max_age" | "expose_headers") => None,
        ("security/cors", _) => Some(Way::Opens),
        ("security/bot-detector", "deny" | "patterns") => Some(Way::Closes),
        ("security/bot-detector", "allow") => Some(Way::Opens),
        ("security/bot-detector", "empty_user_agent_is_bot") => Some(Way::Closes),
        ("router", "trusted_proxies") => Some(Way::Opens),
        ("router", "disable_path_decoding" | "return_error_msg" | "forwarded_by_client_ip") => {
            Some(Way::Opens)
        }
        ("qos/circuit-breaker", "max_errors") => Some(Way::Opens),
        ("hanzo/limits", "body_min_rate") => Some(Way::Closes),
        ("hanzo/limits", _) => Some(Way::Opens),
        (_, "cost" | "every") if limits => Some(Way::Closes),
        (
            _,
            "max_rate" | "client_max_rate" | "capacity" | "client_capacity" | "rate" | "burst"
            | "per_minute" | "per_day" | "per_second" | "per_hour" | "limit",
        ) if limits => Some(Way::Limit),
        _ => None,
    }
}

/// Settings whose meaning depends on where they stand in their component.
fn placed(name: &str, path: &str) -> Option<Way> {
    match name {
        // An endpoint without roles lets any key in; a key without roles is let in nowhere else.
        "auth/api-keys" if path == "roles" => Some(Way::AnyOf),
        "hanzo/mtls" if path.starts_with("allow") => Some(Way::AnyOf),
        "hanzo/mtls" if path == "crls" => Some(Way::Closes),
        _ => None,
    }
}

fn weigh(name: &str, path: &str, key: &str, old: Option<&Value>, new: Option<&Value>) -> Weight {
    if path.starts_with("users.") && name == "auth/basic" {
        return match (old, new) {
            (None, Some(_)) => Weight::Loosened,
            (Some(_), None) => Weight::Tightened,
            _ => Weight::Changed,
        };
    }
    if (name, path) == ("hanzo/mtls", "require") {
        let needed = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(true);
        return match (needed(old), needed(new)) {
            (true, false) => Weight::Loosened,
            (false, true) => Weight::Tightened,
            _ => Weight::Changed,
        };
    }
    let Some(way) = placed(name, path).or_else(|| way(name, key)) else {
        return Weight::Changed;
    };
    let grows = match (size(way, old), size(way, new)) {
        (Some(a), Some(b)) if a < b => true,
        (Some(a), Some(b)) if a > b => false,
        _ => match lists(old, new) {
            Some(grows) => grows,
            None => return Weight::Changed,
        },
    };
    if grows == (way != Way::Closes) {
        Weight::Loosened
    } else {
        Weight::Tightened
    }
}

/// How much a value is, on the scale of its way.
fn size(way: Way, value: Option<&Value>) -> Option<f64> {
    let open = f64::INFINITY;
    match value {
        None | Some(Value::Null) => match way {
            Way::Limit | Way::AnyOf => Some(open),
            Way::Closes => Some(0.0),
            Way::Opens => matches!(value, Some(Value::Null)).then_some(0.0),
        },
        Some(Value::Bool(on)) => Some(f64::from(u8::from(*on))),
        Some(Value::Number(number)) => {
            let number = number.as_f64()?;
            Some(if way == Way::Limit && number == 0.0 {
                open
            } else {
                number
            })
        }
        Some(Value::String(text)) if way == Way::AnyOf => {
            Some(if text.is_empty() { open } else { 1.0 })
        }
        Some(Value::String(text)) => magnitude(text),
        Some(Value::Array(items)) if items.is_empty() => {
            Some(if way == Way::AnyOf { open } else { 0.0 })
        }
        Some(Value::Array(items)) if items.iter().any(|i| i == "*") => Some(1e9),
        // Two lists that hold something are compared member by member.
        Some(Value::Array(_)) => Some(1.0),
        Some(Value::Object(_)) => (way == Way::AnyOf).then_some(1.0),
    }
}

/// A duration or a size in bytes as a number.
fn magnitude(text: &str) -> Option<f64> {
    if let Ok(nanos) = duration::parse(text) {
        return Some(nanos as f64);
    }
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let unit = match unit.trim().bytes().next().map(|b| b.to_ascii_lowercase()) {
        None | Some(b'b') => 1.0,
        Some(b'k') => 1024.0,
        Some(b'm') => 1024.0 * 1024.0,
        Some(b'g') => 1024.0 * 1024.0 * 1024.0,
        Some(_) => return None,
    };
    Some(digits.parse::<f64>().ok()? * unit)
}

/// Whether one list holds the other: `Some(true)` when it only grew, `Some(false)` when it only shrank.
fn lists(old: Option<&Value>, new: Option<&Value>) -> Option<bool> {
    let empty = Vec::new();
    let items = |value: Option<&Value>| match value {
        Some(Value::Array(items)) => Some(items.clone()),
        None => Some(empty.clone()),
        _ => None,
    };
    let (a, b) = (items(old)?, items(new)?);
    if a.len().max(b.len()) > LONG {
        return None;
    }
    let lost = a.iter().any(|item| !b.contains(item));
    let gained = b.iter().any(|item| !a.contains(item));
    match (gained, lost) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
}
