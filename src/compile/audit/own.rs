//! H.x: rules that KrakenD does not have.

use super::Severity::{Critical, High, Low, Medium};
use super::{Facts, Places, Rule, at, on, rule, texts, there};
use crate::component::{self, Loss};
use crate::config::{Endpoint, Namespace};
use serde_json::Value;
use std::time::Duration;

pub(super) const RULES: &[Rule] = &[
    rule(
        "H1.1",
        Critical,
        "a protection is asked for that this version does not implement",
        "do not start this file with `--allow-unprotected`: the door would be open",
        unprotected,
    ),
    rule(
        "H1.2",
        High,
        "keys or tokens are fetched without a verified connection",
        "use https:// and remove `disable_jwk_security`",
        open_keys,
    ),
    rule(
        "H1.3",
        Medium,
        "tokens of anybody's are accepted: neither issuer nor audience is checked",
        "set `issuer` and `audience` of `auth/validator`",
        any_token,
    ),
    rule(
        "H1.4",
        Medium,
        "an endpoint asks for no credentials although others do",
        "add `auth/validator`, or say that it is meant so with `auth/public`",
        forgotten,
    ),
    rule(
        "H1.5",
        Medium,
        "a secret is written in the file",
        "let a template read it from the environment",
        secrets,
    ),
    rule(
        "H2.1",
        High,
        "everybody is believed about the address of the client",
        "list the networks of your proxies in `router.trusted_proxies`",
        trusts_all,
    ),
    rule(
        "H2.2",
        High,
        "pages of every origin may ask with credentials",
        "list origins in `security/cors`",
        cors_all,
    ),
    rule(
        "H2.3",
        Low,
        "a page that came without TLS may ask",
        "allow https:// origins only",
        cors_plain,
    ),
    rule(
        "H2.4",
        High,
        "a version of TLS is allowed that is broken",
        "set `min_version` to TLS12 or TLS13",
        old_tls,
    ),
    rule(
        "H2.5",
        Medium,
        "answers to credentials may be kept by caches that others share",
        "remove `cache_ttl`, or do not pass Authorization and Cookie",
        shared_answers,
    ),
    rule(
        "H2.6",
        Low,
        "clients are shown what a backend says when it fails",
        "remove `return_error_details` and `return_error_msg` in production",
        details,
    ),
    rule(
        "H3.1",
        Medium,
        "a request body may be larger than 100 MB",
        "lower `max_body` of `hanzo/limits`",
        large_bodies,
    ),
    rule(
        "H3.2",
        Medium,
        "callers choose the bucket that limits them",
        "limit by `ip`, or ask for credentials before",
        chosen_bucket,
    ),
    rule(
        "H3.3",
        High,
        "an endpoint has no time: its timeout is below 10 milliseconds",
        "write durations with a unit: a bare number is nanoseconds",
        no_time,
    ),
    rule(
        "H4.1",
        High,
        "Go plugins are asked for, and none can be loaded",
        "replace them: MIGRATING.md says by what",
        plugins,
    ),
    rule(
        "H4.2",
        Medium,
        "scripts may read files and start programs",
        "remove `allow_open_libs`",
        open_lua,
    ),
    rule(
        "H4.3",
        Low,
        "scripts are read again for each request",
        "remove `live`",
        live_lua,
    ),
    rule(
        "H5.1",
        Low,
        "requests leave no line in the log",
        "remove `disable_access_log`",
        silent,
    ),
    rule(
        "H5.2",
        Low,
        "probes have nothing to ask",
        "remove `disable_health`",
        no_health,
    ),
];

fn unprotected(facts: &Facts<'_>) -> Places {
    let missing = facts
        .all()
        .filter(|n| component::not_yet(&n.name).is_some_and(|row| row.loss == Loss::Protection));
    at(missing.map(|n| n.pointer.clone()).collect())
}

fn open_keys(facts: &Facts<'_>) -> Places {
    let mut places = Vec::new();
    for namespace in facts
        .all()
        .filter(|n| n.name.starts_with("auth/") || n.name == "hanzo/auth")
    {
        for (key, part) in parts(namespace) {
            if part.get("disable_jwk_security") == Some(&Value::Bool(true)) {
                places.push(format!("{key}/disable_jwk_security"));
            }
            for url in ["jwk_url", "token_url", "validate_url", "url"] {
                let plain = part
                    .get(url)
                    .and_then(Value::as_str)
                    .is_some_and(|text| text.starts_with("http://"));
                if plain {
                    places.push(format!("{key}/{url}"));
                }
            }
        }
    }
    at(places)
}

/// The settings of a component, and of the parts of `hanzo/auth`.
fn parts(namespace: &Namespace) -> Vec<(String, &Value)> {
    let mut all = vec![(namespace.pointer.clone(), &namespace.value)];
    if namespace.name == "hanzo/auth" {
        for key in ["jwt", "api_key", "introspection"] {
            all.extend(
                namespace
                    .value
                    .get(key)
                    .map(|part| (format!("{}/{key}", namespace.pointer), part)),
            );
        }
    }
    all
}

fn any_token(facts: &Facts<'_>) -> Places {
    let empty = |value: &Value, key: &str| match value.get(key) {
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        _ => true,
    };
    let validators = facts
        .endpoints()
        .iter()
        .filter_map(|endpoint| endpoint.extra_config.get("auth/validator"));
    let validators = validators.map(|n| (n.pointer.clone(), &n.value));
    let ours = facts.global("hanzo/auth");
    let ours = ours.and_then(|n| Some((format!("{}/jwt", n.pointer), n.value.get("jwt")?)));
    let all = validators.chain(ours);
    let open = all.filter(|(_, value)| empty(value, "issuer") && empty(value, "audience"));
    at(open.map(|(pointer, _)| pointer).collect())
}

const LOCKS: &[&str] = &[
    "auth/validator",
    "auth/basic",
    "auth/api-keys",
    "hanzo/mtls",
];

fn locked(endpoint: &Endpoint) -> bool {
    LOCKS
        .iter()
        .any(|name| endpoint.extra_config.get(name).is_some())
}

fn meant_open(endpoint: &Endpoint) -> bool {
    let public = endpoint
        .extra_config
        .get("auth/public")
        .is_some_and(|n| n.value == Value::Bool(true));
    let ours = endpoint
        .extra_config
        .get("hanzo/auth")
        .is_some_and(|n| on(n, "public"));
    public || ours
}

fn forgotten(facts: &Facts<'_>) -> Places {
    // Where the service itself locks every door there is nothing to forget.
    if facts.any_global(&["hanzo/auth", "hanzo/mtls"]) || !facts.endpoints().iter().any(locked) {
        return None;
    }
    at(facts.endpoints_where(|endpoint| !locked(endpoint) && !meant_open(endpoint)))
}

/// Keys whose value is a secret.
const SECRETS: &[&str] = &[
    "client_secret",
    "password",
    "salt",
    "credentials",
    "credentials_json",
    "revoke_server_api_key",
    "license",
    "application_id",
];

fn secrets(facts: &Facts<'_>) -> Places {
    fn walk(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let place = crate::base::problem::pointer_join(at, key);
                    let text = value.as_str().unwrap_or_default();
                    if SECRETS.contains(&key.as_str()) && !text.is_empty() && !is_reference(text) {
                        found.push(place);
                    } else {
                        walk(value, &place, found);
                    }
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    walk(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for namespace in facts.all() {
        walk(&namespace.value, &namespace.pointer, &mut found);
    }
    found.retain(|pointer| !computed(facts, pointer));
    at(found)
}

/// Whether a value is made by a template: then the secret does not stand in any file of ours.
fn computed(facts: &Facts<'_>, pointer: &str) -> bool {
    let source = &facts.document.source;
    let Some(place) = source.locate(pointer) else {
        return false;
    };
    let spot = source.spot(place);
    // A line that reads otherwise once it is rendered is made of an action.
    spot.text != source.line(place.0) && spot.text.is_some_and(|line| line.contains("{{"))
}

/// A text that names a secret and is none.
fn is_reference(text: &str) -> bool {
    text.starts_with("${") || text.starts_with("{{") || text.starts_with("$")
}

fn trusts_all(facts: &Facts<'_>) -> Places {
    let router = facts.global("router");
    let proxies = router.and_then(|router| router.value.get("trusted_proxies"));
    if let (Some(router), Some(_)) = (router, proxies) {
        let all = texts(proxies).iter().any(|net| net.ends_with("/0"));
        return there(all, format!("{}/trusted_proxies", router.pointer));
    }
    let asked = router.is_none_or(|router| {
        router.value.get("forwarded_by_client_ip") != Some(&Value::Bool(false))
    });
    // KrakenD believes everybody when nothing is said; native believes nobody.
    (!facts.native() && asked).then(|| {
        router
            .map(|router| router.pointer.clone())
            .into_iter()
            .collect()
    })
}

fn cors_all(facts: &Facts<'_>) -> Places {
    let cors = facts
        .all()
        .filter(|n| n.name == "security/cors" && on(n, "allow_credentials"));
    let open = cors.filter(|n| {
        let origins = texts(n.value.get("allow_origins"));
        origins.is_empty() || origins.contains(&"*")
    });
    at(open.map(|n| n.pointer.clone()).collect())
}

fn cors_plain(facts: &Facts<'_>) -> Places {
    let mut places = Vec::new();
    for cors in facts.all().filter(|n| n.name == "security/cors") {
        if texts(cors.value.get("allow_origins"))
            .iter()
            .any(|origin| origin.starts_with("http://"))
        {
            places.push(format!("{}/allow_origins", cors.pointer));
        }
    }
    at(places)
}

fn old_tls(facts: &Facts<'_>) -> Places {
    let old = |pointer: &&str| {
        let version = facts.written(pointer).and_then(Value::as_str);
        matches!(version, Some("SSL3.0" | "TLS10" | "TLS11"))
    };
    let mut places: Vec<String> = ["/tls/min_version", "/client_tls/min_version"]
        .iter()
        .filter(|pointer| old(pointer))
        .map(|&pointer| pointer.to_owned())
        .collect();
    for client in facts
        .backends()
        .filter_map(|backend| backend.extra_config.get("backend/http/client"))
    {
        let pointer = format!("{}/client_tls/min_version", client.pointer);
        if old(&pointer.as_str()) {
            places.push(pointer);
        }
    }
    at(places)
}

fn shared_answers(facts: &Facts<'_>) -> Places {
    let carries = |name: &String| {
        ["*", "authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str())
    };
    at(facts.endpoints_where(|endpoint| {
        endpoint.cache_ttl > Duration::ZERO && endpoint.input_headers.iter().any(carries)
    }))
}

fn details(facts: &Facts<'_>) -> Places {
    let mut places = Vec::new();
    let router = facts
        .global("router")
        .filter(|router| on(router, "return_error_msg"));
    places.extend(router.map(|router| format!("{}/return_error_msg", router.pointer)));
    for http in facts
        .backends()
        .filter_map(|backend| backend.extra_config.get("backend/http"))
    {
        if http
            .value
            .get("return_error_details")
            .and_then(Value::as_str)
            .is_some_and(|name| !name.is_empty())
        {
            places.push(format!("{}/return_error_details", http.pointer));
        }
    }
    at(places)
}

/// 100 MB, as `hanzo/limits` counts.
const LARGE: u64 = 100 << 20;

fn large_bodies(facts: &Facts<'_>) -> Places {
    let limits = facts.all().filter(|n| n.name == "hanzo/limits");
    let large = limits.filter(|n| {
        n.value
            .get("max_body")
            .and_then(size)
            .is_some_and(|bytes| bytes > LARGE)
    });
    at(large.map(|n| format!("{}/max_body", n.pointer)).collect())
}

/// Bytes, as a number or with a unit.
fn size(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else {
        return value.as_u64();
    };
    let text = text.trim().to_ascii_lowercase();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let shift = match unit.trim().chars().next() {
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        _ => 0,
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}

fn chosen_bucket(facts: &Facts<'_>) -> Places {
    let mut places = Vec::new();
    for endpoint in facts
        .endpoints()
        .iter()
        .filter(|endpoint| !locked(endpoint))
    {
        for limit in endpoint
            .extra_config
            .0
            .iter()
            .filter(|n| n.name.starts_with("qos/ratelimit/router"))
        {
            let strategy = limit
                .value
                .get("strategy")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if ["header", "param"].contains(&strategy.to_ascii_lowercase().as_str())
                && !facts.any_global(&["hanzo/auth"])
            {
                places.push(format!("{}/strategy", limit.pointer));
            }
        }
    }
    at(places)
}

fn no_time(facts: &Facts<'_>) -> Places {
    at(facts.endpoints_where(|endpoint| endpoint.timeout < Duration::from_millis(10)))
}

fn plugins(facts: &Facts<'_>) -> Places {
    let mut places: Vec<String> = facts
        .all()
        .filter(|n| n.name.starts_with("plugin/"))
        .map(|n| n.pointer.clone())
        .collect();
    if facts.service().plugin {
        places.push("/plugin".to_owned());
    }
    at(places)
}

fn lua(facts: &Facts<'_>, switch: &str) -> Places {
    let scripts = facts
        .all()
        .filter(|n| n.name.starts_with("modifier/lua-") && on(n, switch));
    at(scripts.map(|n| format!("{}/{switch}", n.pointer)).collect())
}

fn open_lua(facts: &Facts<'_>) -> Places {
    lua(facts, "allow_open_libs")
}

fn live_lua(facts: &Facts<'_>) -> Places {
    lua(facts, "live")
}

fn silent(facts: &Facts<'_>) -> Places {
    let router = facts.global("router")?;
    there(
        on(router, "disable_access_log"),
        format!("{}/disable_access_log", router.pointer),
    )
}

fn no_health(facts: &Facts<'_>) -> Places {
    let router = facts.global("router")?;
    there(
        on(router, "disable_health"),
        format!("{}/disable_health", router.pointer),
    )
}
