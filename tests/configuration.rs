//! Which files start, which do not, and what is said about them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::{Client, Gateway, Origin, Output, Setup, ports};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("conf")
        .join(name)
}

const SHIPPED: [&str; 3] = ["minimal.json", "hanzo/gateway.json", "lux/gateway.json"];

/// Starts a file of the repository on a free port and asks it for its health.
fn starts(name: &str, flags: &[&str]) {
    let port = ports::free();
    let (text, path) = (port.to_string(), shipped(name));
    let words = [
        "run",
        "-c",
        path.to_str().unwrap(),
        "-p",
        &text,
        "--metrics",
        "off",
    ];
    let process = Gateway::setup()
        .spawn(&[&words, flags].concat())
        .listens(port);
    let answer = Client::connect(port).get("/__health");
    assert_eq!(
        answer.json()["status"],
        "ok",
        "{name}: {}",
        process.stderr()
    );
    process.signal("TERM");
    assert_eq!(process.ended().code, Some(0), "{name}");
}

/// Runs a file of the repository that must not start.
fn refused(name: &str) -> Output {
    let port = ports::free().to_string();
    let path = shipped(name);
    let words = [
        "run",
        "-c",
        path.to_str().unwrap(),
        "-p",
        &port,
        "--metrics",
        "off",
    ];
    let output = Gateway::setup().spawn(&words).ended();
    assert_eq!(output.code, Some(1), "{output:#?}");
    output
}

/// JSON pointer and name of every namespace with such a beginning.
fn namespaces(value: &Value, at: &str, beginning: &str, found: &mut Vec<(String, String)>) {
    let step = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if at.ends_with("/extra_config") && key.starts_with(beginning) {
                    found.push((step(key), key.clone()));
                }
                namespaces(value, &step(key), beginning, found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                namespaces(value, &step(&index.to_string()), beginning, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_shipped_file_starts() {
    for name in SHIPPED {
        starts(name, &["--allow-unprotected"]);
    }
}

#[test]
fn every_shipped_file_starts_in_krakends_dialect() {
    starts("minimal.json", &["--compat", "krakend"]);
}

#[test]
fn a_shipped_file_is_refused_while_its_protections_are_missing() {
    use hanzo_gateway::component::{Loss, NOT_YET};
    for name in SHIPPED {
        let text = std::fs::read_to_string(shipped(name)).unwrap();
        let mut found = Vec::new();
        let config = serde_json::from_str(&text).unwrap();
        for row in NOT_YET.iter().filter(|row| row.loss == Loss::Protection) {
            namespaces(&config, "", row.name, &mut found);
        }
        found.retain(|(_, found)| NOT_YET.iter().any(|row| row.name == found));
        if found.is_empty() {
            starts(name, &[]);
            continue;
        }
        let output = refused(name);
        assert!(
            output.stderr.contains("--allow-unprotected"),
            "{name}: {}",
            output.stderr
        );
        let named = found.iter().any(|(_, found)| output.stderr.contains(found));
        assert!(named, "{name}: {}", output.stderr);
    }
}

/// Locks at three levels.
fn locked(origin: &Origin) -> Value {
    json!({
        "extra_config": {"governance/processors": {"quotas": []}},
        "endpoints": [{
            "endpoint": "/a",
            "extra_config": {"security/policies": {"req": {"policies": ["true"]}}},
            "backend": [{
                "url_pattern": "/a",
                "host": [origin.url()],
                "extra_config": {"governance/quota": {"quota_name": "q", "tiers": []}},
            }],
        }],
    })
}

#[test]
fn a_native_start_names_each_missing_protection_with_its_place() {
    let origin = Origin::json("{}");
    let output = Gateway::refused(locked(&origin));
    assert_eq!(output.code, Some(1));
    for (pointer, namespace) in [
        (
            "/extra_config/governance~1processors",
            "governance/processors",
        ),
        (
            "/endpoints/0/extra_config/security~1policies",
            "security/policies",
        ),
        (
            "/endpoints/0/backend/0/extra_config/governance~1quota",
            "governance/quota",
        ),
    ] {
        assert!(
            output.stderr.contains(namespace),
            "{namespace}: {output:#?}"
        );
        assert!(output.stderr.contains(pointer), "{pointer}: {output:#?}");
    }
    assert_eq!(output.stdout, "");
}

#[test]
fn missing_protections_can_be_allowed() {
    let origin = Origin::json(r#"{"a":1}"#);
    let gateway = Gateway::setup()
        .argument("--allow-unprotected")
        .native(locked(&origin));
    assert_eq!(gateway.get("/a").json(), json!({"a": 1}));
    assert!(
        gateway.stderr().contains("security/policies"),
        "{}",
        gateway.stderr()
    );
}

#[test]
fn krakends_dialect_starts_without_what_is_missing_and_says_so() {
    let origin = Origin::json(r#"{"a":1}"#);
    let gateway = Gateway::krakend(locked(&origin));
    assert_eq!(gateway.get("/a").json(), json!({"a": 1}));
    assert!(
        gateway.stderr().contains("security/policies"),
        "{}",
        gateway.stderr()
    );
}

#[test]
fn what_nothing_knows_is_a_warning() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(json!({
        "colour": "blue",
        "extra_config": {"my/plugin": {}, "telemetry/gelf": {"address": "a:1"}},
        "endpoints": [{
            "endpoint": "/a", "flavour": 1,
            "backend": [{"url_pattern": "/a", "host": [origin.url()], "shape": {}}],
        }],
    }));
    assert_eq!(gateway.get("/a").status(), 200);
    let said = gateway.stderr();
    for name in ["colour", "my/plugin", "telemetry/gelf", "flavour", "shape"] {
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[test]
fn keys_that_begin_with_an_at_sign_are_comments() {
    let gateway = Gateway::native(json!({
        "@comment": "hello", "extra_config": {"@later": {}}, "endpoints": [],
    }));
    assert_eq!(gateway.get("/health").status(), 200);
    let said = gateway.stderr();
    assert!(
        !said.contains("@comment") && !said.contains("@later"),
        "{said}"
    );
}

#[test]
fn all_wrong_types_are_told_at_once_and_refuse_the_file() {
    let output = Gateway::refused(json!({
        "timeout": {"seconds": 3},
        "cache_ttl": [],
        "endpoints": [
            {"endpoint": "/a", "backend": "http://a.example"},
            {"endpoint": "/b", "timeout": true, "backend": [
                {"url_pattern": "/b", "host": [{"a": 1}]},
            ]},
        ],
    }));
    assert_eq!(output.code, Some(1));
    for pointer in [
        "/timeout",
        "/cache_ttl",
        "/endpoints/0/backend",
        "/endpoints/1/timeout",
        "/endpoints/1/backend/0/host",
    ] {
        assert!(output.stderr.contains(pointer), "{pointer}: {output:#?}");
    }
    assert_eq!(output.stdout, "");
}

/// One streaming endpoint, with this lane.
fn laned(origin: &Origin, lane: Value) -> Value {
    json!({
        "extra_config": {"hanzo/edge": {"lane": lane}},
        "endpoints": [{
            "endpoint": "/a", "output_encoding": "no-op",
            "backend": [{"url_pattern": "/a", "host": [origin.url()]}],
        }],
    })
}

/// What `explain` tells machines of the lane of `/a`.
fn lane_of(setup: Setup, flags: &[&str], lane: &str) -> Value {
    let origin = Origin::json("{}");
    let words = [&["explain", "/a", "--json"], flags].concat();
    let output = setup.command(&words, laned(&origin, lane.into()));
    let explained: Value = serde_json::from_str(&output.stdout).unwrap();
    explained["lane"].clone()
}

#[test]
fn the_lane_is_a_setting_a_variable_and_a_flag() {
    let fast = json!({"fast": true, "reason": null});
    let off = json!({"fast": false, "reason": "off"});
    let none = Gateway::setup;
    let variable = |lane| Gateway::setup().variable("HANZO_GATEWAY_LANE", lane);
    assert_eq!(lane_of(none(), &[], "auto"), fast);
    assert_eq!(lane_of(none(), &[], "off"), off);
    assert_eq!(lane_of(variable("auto"), &[], "off"), fast);
    assert_eq!(lane_of(variable("off"), &[], "auto"), off);
    assert_eq!(lane_of(variable("off"), &["--lane", "auto"], "off"), fast);
    assert_eq!(lane_of(variable("auto"), &["--lane", "off"], "auto"), off);
}

#[test]
fn a_file_with_a_lane_starts_without_a_word() {
    let origin = Origin::json("{}");
    for lane in ["auto", "off"] {
        let gateway = Gateway::native(laned(&origin, lane.into()));
        assert_eq!(gateway.get("/a").status(), 200, "{lane}");
        assert_eq!(gateway.stderr(), "", "{lane}");
    }
}

#[test]
fn a_lane_that_there_is_not_is_refused_with_its_place() {
    let origin = Origin::json("{}");
    let output = Gateway::refused(laned(&origin, "fast".into()));
    assert_eq!(output.code, Some(1), "{output:#?}");
    for text in ["/extra_config/hanzo~1edge/lane", "\"auto\", \"off\""] {
        assert!(output.stderr.contains(text), "{text}: {output:#?}");
    }
    let setup = Gateway::setup().variable("HANZO_GATEWAY_LANE", "fast");
    let output = setup.command(&["check"], laned(&origin, "auto".into()));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("HANZO_GATEWAY_LANE"), "{output:#?}");
    let words = ["check", "--lane", "fast"];
    let output = Gateway::setup().command(&words, laned(&origin, "auto".into()));
    assert_eq!(output.code, Some(2), "{output:#?}");
}

#[test]
fn explain_tells_the_lane_to_people() {
    let origin = Origin::json("{}");
    let told = |flags: &[&str]| {
        let words = [&["explain", "/a"], flags].concat();
        Gateway::setup()
            .command(&words, laned(&origin, "auto".into()))
            .stdout
    };
    let text = told(&[]);
    assert!(text.contains("lane: ok  fast"), "{text}");
    let text = told(&["-H", "TE: trailers"]);
    assert!(text.contains("lane: ok  pingora: because"), "{text}");
}

#[test]
fn a_missing_file_is_one_sentence() {
    let output = Gateway::setup()
        .spawn(&["run", "-c", "no-such.json"])
        .ended();
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("no-such.json"), "{output:#?}");
}

const JSON: &str = r#"{
  "version": 3,
  "timeout": "2s",
  "extra_config": {"router": {"return_error_msg": true}},
  "endpoints": [
    {
      "endpoint": "/users/{id}",
      "input_query_strings": ["page"],
      "backend": [
        {"host": ["@host@"], "url_pattern": "/u/{id}", "allow": ["name", "a.b"], "group": "user",
         "mapping": {"name": "called"}},
        {"host": ["@host@"], "url_pattern": "/list", "is_collection": true, "mapping": {"collection": "all"}}
      ]
    },
    {
      "endpoint": "/raw",
      "method": "POST",
      "output_encoding": "no-op",
      "input_headers": ["Content-Type", "X-Own"],
      "backend": [{"host": ["@host@"], "url_pattern": "/raw", "method": "PUT"}]
    }
  ]
}"#;

const YAML: &str = r#"
version: 3
timeout: 2s
extra_config:
  router: {return_error_msg: true}
endpoints:
  - endpoint: /users/{id}
    input_query_strings: [page]
    backend:
      - host: ["@host@"]
        url_pattern: /u/{id}
        allow: [name, a.b]
        group: user
        mapping: {name: called}
      - host: ["@host@"]
        url_pattern: /list
        is_collection: true
        mapping:
          collection: all
  - endpoint: /raw
    method: POST
    output_encoding: no-op
    input_headers: [Content-Type, X-Own]
    backend:
      - {host: ["@host@"], url_pattern: /raw, method: PUT}
"#;

const TOML: &str = r#"
version = 3
timeout = "2s"

[extra_config.router]
return_error_msg = true

[[endpoints]]
endpoint = "/users/{id}"
input_query_strings = ["page"]

[[endpoints.backend]]
host = ["@host@"]
url_pattern = "/u/{id}"
allow = ["name", "a.b"]
group = "user"
mapping = { name = "called" }

[[endpoints.backend]]
host = ["@host@"]
url_pattern = "/list"
is_collection = true
mapping = { collection = "all" }

[[endpoints]]
endpoint = "/raw"
method = "POST"
output_encoding = "no-op"
input_headers = ["Content-Type", "X-Own"]

[[endpoints.backend]]
host = ["@host@"]
url_pattern = "/raw"
method = "PUT"
"#;

/// What a client sees of four requests, and a backend of three.
fn behaviour(name: &str, text: &str) -> (Vec<String>, Vec<String>) {
    let origin = Origin::serve(|exchange| match exchange.request.path() {
        "/u/7" => exchange.json(r#"{"name":"Ada","a":{"b":1,"c":2},"secret":true}"#),
        "/list" => exchange.json("[1,2]"),
        _ => exchange.answer(418, &[("X-Tea", "pot")], "short"),
    });
    let port = ports::free();
    let process = Gateway::setup()
        .file(name, &text.replace("@host@", &origin.url()))
        .spawn(&[
            "run",
            "-c",
            name,
            "-p",
            &port.to_string(),
            "--metrics",
            "off",
        ])
        .listens(port);
    let mut client = Client::connect(port);
    let fields = [
        ("X-Request-ID", "same"),
        ("X-Own", "1"),
        ("X-Other", "2"),
        ("Content-Type", "text/plain"),
    ];
    let mut seen = Vec::new();
    for (method, target, body) in [
        ("GET", "/users/7?page=2&other=3", ""),
        ("POST", "/raw", "body"),
        ("GET", "/raw", ""),
        ("GET", "/none", ""),
    ] {
        let answer = client.request(method, target, &fields, body).answer();
        let kept = answer
            .head
            .fields
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
        seen.push(format!(
            "{} {:?} {}",
            answer.head.first,
            kept.collect::<Vec<_>>(),
            answer.text()
        ));
    }
    assert_eq!(process.stderr(), "", "{name}");
    let mut asked: Vec<_> = origin
        .wait_for(3)
        .iter()
        .map(|request| {
            // Both name ports of this run.
            let ports = ["host", "x-forwarded-host"];
            let own = request
                .head
                .fields
                .iter()
                .filter(|(name, _)| !ports.contains(&&*name.to_ascii_lowercase()));
            format!(
                "{} {:?} {}",
                request.head.first,
                own.collect::<Vec<_>>(),
                request.text()
            )
        })
        .collect();
    asked.sort();
    (seen, asked)
}

#[test]
fn json_yaml_and_toml_say_the_same() {
    let json = behaviour("gateway.json", JSON);
    assert!(
        json.0[0].contains(r#"{"all":[1,2],"user":{"a":{"b":1},"called":"Ada"}}"#),
        "{json:#?}"
    );
    assert!(json.0[1].starts_with("HTTP/1.1 418"), "{json:#?}");
    assert_eq!(behaviour("gateway.yaml", YAML), json);
    assert_eq!(behaviour("gateway.yml", YAML), json);
    assert_eq!(behaviour("gateway.toml", TOML), json);
}
