//! Holds the shipped configurations to what they promise: complete, unique, protected, never caching
//! what must not be cached. Whether they *compile* is tested where compiling is.

use super::ROUTES;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// First path segments that belong to the LLM Gateway besides the two of the routing table.
const LLM: [&str; 11] = [
    "audio",
    "batches",
    "completions",
    "embeddings",
    "files",
    "fine_tuning",
    "messages",
    "moderations",
    "realtime",
    "rerank",
    "responses",
];

fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")
}

fn load(name: &str) -> Value {
    let text = fs::read_to_string(conf().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every JSON file below `conf/`, with its name.
fn files() -> Vec<(String, Value)> {
    let mut out = Vec::new();
    let mut folders = vec![conf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("flexible/settings") {
                // Values for templates, and no configuration.
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "json") {
                let text = fs::read_to_string(&path).unwrap();
                let value = serde_json::from_str(&text);
                let name = path.display().to_string();
                out.push((
                    name.clone(),
                    value.unwrap_or_else(|e| panic!("{name}: {e}")),
                ));
            }
        }
    }
    out
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn path(endpoint: &Value) -> &str {
    endpoint["endpoint"].as_str().unwrap()
}

fn segment(path: &str) -> &str {
    path.split('/').nth(2).unwrap()
}

/// The host of the routing table for a path.
fn host_of(path: &str) -> &'static str {
    let name = segment(path);
    let wanted = if LLM.contains(&name) { "chat" } else { name };
    let row = ROUTES
        .iter()
        .find(|(_, prefix, _)| segment(prefix) == wanted);
    row.unwrap_or_else(|| panic!("{path} is not in the routing table"))
        .2
}

fn is_public(endpoint: &Value) -> bool {
    endpoint["extra_config"]["hanzo/auth"]["public"] == true
}

fn caches(endpoint: &Value) -> bool {
    let backends = list(endpoint, "backend").iter();
    endpoint["extra_config"].get("hanzo/cache").is_some()
        || endpoint.get("cache_ttl").is_some()
        || backends
            .into_iter()
            .any(|b| b["extra_config"].get("qos/http-cache").is_some())
}

#[test]
fn every_file_is_a_configuration_of_version_3() {
    let files = files();
    assert!(files.len() >= 3);
    for (name, file) in files {
        assert_eq!(file["version"], 3, "{name}");
        assert!(!list(&file, "endpoints").is_empty(), "{name}");
    }
}

#[test]
fn no_endpoint_is_declared_twice() {
    for (name, file) in files() {
        let mut seen = HashSet::new();
        for endpoint in list(&file, "endpoints") {
            let key = (endpoint["method"].to_string(), path(endpoint).to_owned());
            assert!(seen.insert(key.clone()), "{name}: {key:?}");
        }
    }
}

#[test]
fn parameters_have_one_name_at_one_position() {
    for (name, file) in files() {
        let mut names: HashMap<String, String> = HashMap::new();
        for endpoint in list(&file, "endpoints") {
            let mut position = endpoint["method"].to_string();
            for part in path(endpoint).split('/') {
                position.push('/');
                if part.starts_with('{') {
                    let known = names
                        .entry(position.clone())
                        .or_insert_with(|| part.to_owned());
                    assert_eq!(known, part, "{name}: {}", path(endpoint));
                }
                position.push_str(part);
            }
        }
    }
}

#[test]
fn every_backend_has_a_breaker() {
    for (name, file) in files() {
        for endpoint in list(&file, "endpoints") {
            for backend in list(endpoint, "backend") {
                let breaker = &backend["extra_config"]["qos/circuit-breaker"];
                let fields = ["interval", "timeout", "max_errors"];
                let set = fields
                    .iter()
                    .all(|f| breaker[f].as_u64().is_some_and(|n| n > 0));
                assert!(
                    set && breaker["name"].is_string(),
                    "{name}: {}",
                    path(endpoint)
                );
            }
        }
    }
}

#[test]
fn hanzo_covers_the_whole_routing_table() {
    let file = load("hanzo/gateway.json");
    let endpoints = list(&file, "endpoints");
    assert!(endpoints.len() >= 133);
    for (name, prefix, _) in ROUTES {
        let below = format!("{prefix}/");
        let here = |p: &str| p == prefix || p.starts_with(&below);
        assert!(endpoints.iter().any(|e| here(path(e))), "{name}");
    }
    // A composed endpoint asks others besides; its first backend need not be its own.
    for endpoint in endpoints.iter().filter(|e| list(e, "backend").len() == 1) {
        let host = list(&endpoint["backend"][0], "host")[0].as_str().unwrap();
        assert_eq!(
            host,
            format!("http://{}", host_of(path(endpoint))),
            "{}",
            path(endpoint)
        );
    }
}

#[test]
fn hanzo_has_composed_endpoints_and_passes_the_rest_through() {
    let file = load("hanzo/gateway.json");
    let (composed, plain): (Vec<_>, Vec<_>) = list(&file, "endpoints")
        .iter()
        .partition(|e| list(e, "backend").len() > 1);
    assert!(composed.len() >= 5);
    assert!(composed.iter().all(|e| e["output_encoding"] == "json"));
    assert!(plain.iter().all(|e| e["output_encoding"] == "no-op"));
}

#[test]
fn hanzo_is_public_where_the_service_says_so_and_nowhere_else() {
    let file = load("hanzo/gateway.json");
    let auth = &file["extra_config"]["hanzo/auth"];
    for method in ["jwt", "api_key", "introspection"] {
        assert!(auth[method].is_object(), "{method}");
    }
    let public: Vec<_> = list(auth, "public")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        public,
        [
            "/v1/auth/login",
            "/v1/auth/signup",
            "/v1/auth/.well-known/*"
        ]
    );
    for endpoint in list(&file, "endpoints") {
        let listed = public
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => path(endpoint).starts_with(prefix),
                None => path(endpoint) == *pattern,
            });
        assert_eq!(listed, is_public(endpoint), "{}", path(endpoint));
    }
}

#[test]
fn lux_is_public_for_reading_the_chains_and_protected_for_moving_value() {
    let file = load("lux/gateway.json");
    assert!(file["extra_config"]["hanzo/auth"]["jwt"].is_object());
    for endpoint in list(&file, "endpoints") {
        let guarded = ["/v1/bridge/transfers", "/v1/faucet"];
        let guarded = guarded.iter().any(|p| path(endpoint).starts_with(p));
        assert_eq!(guarded, !is_public(endpoint), "{}", path(endpoint));
        let closed = ["keystore", "admin", "metrics"];
        assert!(
            closed.iter().all(|c| !path(endpoint).contains(c)),
            "{}",
            path(endpoint)
        );
    }
}

#[test]
fn a_public_endpoint_of_production_is_limited_by_address_or_cached() {
    for name in ["hanzo/gateway.json", "lux/gateway.json"] {
        let file = load(name);
        for endpoint in list(&file, "endpoints").iter().filter(|e| is_public(e)) {
            let limit = &endpoint["extra_config"]["qos/ratelimit/router"];
            let limited = limit["strategy"] == "ip" && limit["client_max_rate"].is_number();
            assert!(limited || caches(endpoint), "{name}: {}", path(endpoint));
        }
    }
}

#[test]
fn hanzo_never_caches_chat_storage_or_secrets() {
    let file = load("hanzo/gateway.json");
    let never = |e: &&Value| {
        let llm = host_of(path(e)).starts_with("llm-gateway") && segment(path(e)) != "models";
        llm || ["storage", "kms", "kv"].contains(&segment(path(e)))
    };
    for endpoint in list(&file, "endpoints").iter().filter(never) {
        assert!(!caches(endpoint), "{}", path(endpoint));
    }
    assert_eq!(file["cache_ttl"], "0s");
}

#[test]
fn hanzo_caches_models_search_and_discovery_for_their_times() {
    let file = load("hanzo/gateway.json");
    let ttl = |wanted: &str| {
        let mut found = list(&file, "endpoints").iter();
        let found = found
            .find(|e| path(e) == wanted && e["method"] == "GET")
            .unwrap();
        found["extra_config"]["hanzo/cache"]["ttl"].clone()
    };
    assert_eq!(ttl("/v1/models"), "300s");
    assert_eq!(ttl("/v1/search/indexes/{index}/search"), "60s");
    assert_eq!(ttl("/v1/auth/.well-known/jwks"), "3600s");
    let only_gets = list(&file, "endpoints").iter().filter(|e| caches(e));
    assert!(only_gets.into_iter().all(|e| e["method"] == "GET"));
}

#[test]
fn hanzo_forwards_no_header_by_wildcard() {
    for name in ["hanzo/gateway.json", "lux/gateway.json"] {
        for endpoint in list(&load(name), "endpoints") {
            let headers = list(endpoint, "input_headers");
            assert!(!headers.is_empty() && headers.iter().all(|h| h != "*"));
        }
    }
}

#[test]
fn hanzo_allows_no_wildcard_origin_of_a_laptop() {
    let file = load("hanzo/gateway.json");
    let cors = &file["extra_config"]["security/cors"];
    let origins: Vec<_> = list(cors, "allow_origins")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        origins
            .iter()
            .all(|o| o.starts_with("https://") && *o != "https://*")
    );
    assert_eq!(cors["max_age"], "12h");
}

#[test]
fn hanzo_ships_the_tiers_of_the_contract() {
    let file = load("hanzo/gateway.json");
    let limits = &file["extra_config"]["hanzo/ratelimit"];
    assert_eq!(limits["global"]["rate"], 50_000);
    let tier = |name: &str| {
        let tier = &limits["tiers"][name];
        ["per_minute", "per_day", "burst"].map(|field| tier[field].as_u64())
    };
    assert_eq!(tier("free"), [Some(60), Some(1_000), Some(10)]);
    assert_eq!(tier("developer"), [Some(600), Some(50_000), Some(50)]);
    assert_eq!(tier("team"), [Some(3_000), Some(500_000), Some(200)]);
    assert_eq!(tier("enterprise"), [Some(30_000), None, Some(1_000)]);
    for (_, known) in super::KEYS {
        assert!(limits["tiers"][known].is_object());
    }
}

/// Names that the file can mint, and those that services trust whatever it says.
fn identity_names(file: &Value) -> Vec<String> {
    let claims = file["extra_config"]["hanzo/auth"]["claims"].as_object();
    let claims = claims.into_iter().flat_map(|map| map.values());
    let mut names: Vec<String> = claims
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    names.extend(["X-User-ID", "X-Org-ID", "X-Scopes"].map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

/// A name as somebody writes it who wants to get past.
fn misspelled(name: &str) -> String {
    let one = |c: char| match c {
        '-' if fastrand::bool() => '_',
        c if fastrand::bool() => c.to_ascii_uppercase(),
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(one).collect()
}

#[test]
fn no_spelling_of_an_identity_field_reaches_a_backend_of_any_shipped_file() {
    use crate::base::{Dialect, Report};
    use crate::compile::{Shared, compile};
    use crate::config::{Format, LoadOptions, parse};
    use crate::gateway::client_ip::ClientAddr;
    use crate::gateway::headers::{Added, forward_headers};
    use crate::gateway::identity::Minted;
    use crate::gateway::plain::Plain;
    use http::{HeaderName, HeaderValue};
    use std::net::Ipv4Addr;

    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let peer = Ipv4Addr::LOCALHOST.into();
    let client = ClientAddr {
        ip: peer,
        peer,
        trusted: true,
    };
    for (name, file) in files() {
        let names = identity_names(&file);
        let mut report = Report::default();
        let text = file.to_string();
        let options = LoadOptions::default();
        let document = parse(&name, &text, Format::Json, &options, &mut report).unwrap();
        let shared = Shared::new(1).unwrap();
        let compiled = compile(&document, Dialect::Native, &shared, &mut report);
        let gateway = compiled
            .unwrap_or_else(|| panic!("{name}: {:?}", report.problems))
            .gateway;
        let minted: Vec<Minted> = names
            .iter()
            .map(|name| Minted {
                name: HeaderName::from_bytes(name.as_bytes()).unwrap(),
                values: Box::from([HeaderValue::from_static("told")]),
                unlisted: true,
            })
            .collect();
        for backend in gateway.backends() {
            let forged: Vec<String> = names.iter().map(|name| misspelled(name)).collect();
            let forged: Vec<_> = forged.iter().map(|name| (&**name, "forged")).collect();
            let head = Plain::get("/").fields(&forged);
            for minted in [&[][..], &minted] {
                let added = Added {
                    request_id: "r",
                    minted,
                };
                let mut sent = Vec::new();
                forward_headers(&backend.forward, &head, &client, added, &mut sent);
                for wanted in &names {
                    let own = sent
                        .iter()
                        .filter(|(n, _)| plain(n.as_str()) == plain(wanted));
                    let own: Vec<_> = own.map(|(_, value)| value.as_bytes()).collect();
                    let told = vec![&b"told"[..]; minted.len().min(1)];
                    assert_eq!(own, told, "{name}: {wanted} as {forged:?}");
                }
            }
        }
    }
}
