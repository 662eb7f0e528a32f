//! 2.x: what is open or shown.

use super::Severity::{Critical, High, Low, Medium};
use super::{Facts, Places, Rule, at, on, rule, there, when};
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[
    rule(
        "2.1.1",
        High,
        "certificates of backends are not verified",
        "remove `allow_insecure_connections` and name your authorities in `client_tls.ca_certs`",
        insecure,
    ),
    rule(
        "2.1.2",
        High,
        "clients are served without TLS",
        "add `tls`, unless something in front of the gateway ends TLS",
        no_tls,
    ),
    rule(
        "2.1.3",
        Critical,
        "TLS is switched off",
        "remove `tls.disabled`",
        tls_disabled,
    ),
    rule(
        "2.1.7",
        High,
        "no header fields tell browsers to be careful",
        "add `security/http`",
        no_http_security,
    ),
    rule(
        "2.1.8",
        High,
        "HTTP/2 without TLS is on",
        "remove `use_h2c`, unless something in front of the gateway ends TLS",
        h2c,
    ),
    rule(
        "2.1.9",
        Low,
        "a backend's certificate is not verified",
        "name its authority in `client_tls.ca_certs` of `backend/http/client`",
        insecure_backend,
    ),
    rule(
        "2.2.1",
        Medium,
        "answers show the version of the gateway",
        "set `hide_version_header` in `router`",
        version_shown,
    ),
    rule(
        "2.2.2",
        High,
        "no rule says which pages of other origins may ask",
        "add `security/cors`",
        no_cors,
    ),
    rule(
        "2.2.3",
        High,
        "an endpoint passes every header field to its backends",
        "list the fields in `input_headers`",
        all_headers,
    ),
    rule(
        "2.2.4",
        High,
        "an endpoint passes every query parameter to its backends",
        "list the parameters in `input_query_strings`",
        all_query,
    ),
    rule(
        "2.2.5",
        Low,
        "a gRPC server offers no service",
        "list services in `grpc.server`, or remove it",
        empty_grpc,
    ),
    rule(
        "2.3.1",
        Medium,
        "a cache of a backend has no bound",
        "set both `max_items` and `max_size` of `qos/http-cache`",
        unbounded_cache,
    ),
];

fn insecure(facts: &Facts<'_>) -> Places {
    let service = facts.service();
    let mut places = Vec::new();
    if service.allow_insecure_connections {
        places.push("/allow_insecure_connections".to_owned());
    }
    if service
        .client_tls
        .as_ref()
        .is_some_and(|tls| tls.allow_insecure_connections)
    {
        places.push("/client_tls/allow_insecure_connections".to_owned());
    }
    at(places)
}

fn no_tls(facts: &Facts<'_>) -> Places {
    when(facts.service().tls.is_none())
}

fn tls_disabled(facts: &Facts<'_>) -> Places {
    there(
        facts.service().tls.as_ref().is_some_and(|tls| tls.disabled),
        "/tls/disabled",
    )
}

fn no_http_security(facts: &Facts<'_>) -> Places {
    when(facts.global("security/http").is_none())
}

fn h2c(facts: &Facts<'_>) -> Places {
    let mut places = Vec::new();
    if facts.service().use_h2c {
        places.push("/use_h2c".to_owned());
    }
    let router = facts
        .global("router")
        .filter(|router| on(router, "use_h2c"));
    places.extend(router.map(|router| format!("{}/use_h2c", router.pointer)));
    at(places)
}

fn insecure_backend(facts: &Facts<'_>) -> Places {
    let clients = facts
        .backends()
        .filter_map(|backend| backend.extra_config.get("backend/http/client"));
    let open = clients.filter(|client| {
        client
            .value
            .pointer("/client_tls/allow_insecure_connections")
            == Some(&Value::Bool(true))
    });
    at(open
        .map(|client| format!("{}/client_tls/allow_insecure_connections", client.pointer))
        .collect())
}

fn version_shown(facts: &Facts<'_>) -> Places {
    when(
        !facts
            .global("router")
            .is_some_and(|router| on(router, "hide_version_header")),
    )
}

fn no_cors(facts: &Facts<'_>) -> Places {
    when(facts.global("security/cors").is_none())
}

fn all_headers(facts: &Facts<'_>) -> Places {
    let all =
        facts.endpoints_where(|endpoint| endpoint.input_headers.iter().any(|name| name == "*"));
    at(all
        .into_iter()
        .map(|pointer| format!("{pointer}/input_headers"))
        .collect())
}

fn all_query(facts: &Facts<'_>) -> Places {
    let all = facts
        .endpoints_where(|endpoint| endpoint.input_query_strings.iter().any(|name| name == "*"));
    at(all
        .into_iter()
        .map(|pointer| format!("{pointer}/input_query_strings"))
        .collect())
}

fn empty_grpc(facts: &Facts<'_>) -> Places {
    let grpc = facts.global("grpc")?;
    let server = grpc.value.get("server")?;
    let services = server.get("services").and_then(Value::as_array);
    there(
        services.is_none_or(Vec::is_empty),
        format!("{}/server", grpc.pointer),
    )
}

fn unbounded_cache(facts: &Facts<'_>) -> Places {
    let bounded = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_f64)
            .is_some_and(|n| n > 0.0)
    };
    let caches = facts
        .backends()
        .filter_map(|backend| backend.extra_config.get("qos/http-cache"));
    let open = caches
        .filter(|cache| !(bounded(&cache.value, "max_items") && bounded(&cache.value, "max_size")));
    at(open.map(|cache| cache.pointer.clone()).collect())
}
