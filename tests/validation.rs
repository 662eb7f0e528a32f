//! Checks of requests and answers: JSON schemas of bodies, CEL expressions around an endpoint and around a
//! backend. What does not pass costs the backend nothing.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin};

const CEL: &str = "validation/cel";

fn checks(expressions: &[&str]) -> Value {
    let list: Vec<Value> = expressions
        .iter()
        .map(|text| json!({"check_expr": text}))
        .collect();
    json!({CEL: list})
}

fn backend(origin: &Origin) -> Value {
    json!({"url_pattern": "/up/{id}", "host": [origin.url()]})
}

fn checked(origin: &Origin, group: &str, expression: &str) -> Value {
    let mut backend = backend(origin);
    backend["group"] = json!(group);
    backend["extra_config"] = checks(&[expression]);
    backend
}

/// One endpoint, with the text of errors as bodies in the krakend dialect.
fn config(extra: Value, backends: &[Value]) -> Value {
    let endpoint = json!({
        "endpoint": "/x/{id}", "method": "POST", "input_headers": ["X-Key"], "input_query_strings": ["q"],
        "extra_config": extra, "backend": backends,
    });
    json!({"endpoints": [endpoint], "extra_config": {"router": {"return_error_msg": true}}})
}

fn post(gateway: &Gateway, target: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    gateway
        .client()
        .request("POST", target, fields, body)
        .answer()
}

fn seen(answer: &Answer) -> (u16, String) {
    (answer.status(), answer.text())
}

fn refused_by(answer: &Answer, evaluator: usize) {
    let text = format!("request aborted by evaluator #{evaluator}");
    assert_eq!(seen(answer), (500, text), "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.header("x-krakend-completed"), Some("false"));
}

#[test]
fn a_request_that_an_expression_refuses_never_leaves() {
    let origin = Origin::json(r#"{"a":1}"#);
    let rules = checks(&[
        "'k' in req_headers['X-Key']",
        "int(req_params.Id) % 2 == 0",
        "'1' in req_querystring.q",
    ]);
    let config = config(rules, &[backend(&origin)]);
    let krakend = Gateway::krakend(config.clone());
    refused_by(&post(&krakend, "/x/2?q=1", &[], "{}"), 0);
    refused_by(&post(&krakend, "/x/3?q=1", &[("X-Key", "k")], "{}"), 1);
    refused_by(&post(&krakend, "/x/2?q=2", &[("X-Key", "k")], "{}"), 2);
    refused_by(&post(&krakend, "/x/nan?q=1", &[("X-Key", "k")], "{}"), 1);
    let native = Gateway::native(config);
    post(&native, "/x/3?q=1", &[("X-Key", "k")], "{}").assert_error(400, "bad_request");
    assert_eq!(origin.requests().len(), 0);
    for gateway in [&krakend, &native] {
        let answer = post(gateway, "/x/2?q=1", &[("X-Key", "k")], "{}");
        assert_eq!(seen(&answer), (200, r#"{"a":1}"#.to_owned()));
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn an_answer_that_an_expression_refuses_is_not_told() {
    let origin = Origin::json(r#"{"id":7,"name":"Ada","tags":["x"]}"#);
    for (expression, passes) in [
        ("resp_data.name == 'Ada' && int(resp_data.id) == 7", true),
        ("resp_data.id == '7'", true),
        ("resp_data.id == 7", false),
        ("resp_completed && 'x' in resp_data.tags", true),
        ("has(resp_data.gone)", false),
        ("resp_data.gone == 1", false),
    ] {
        for level in ["endpoint", "backend"] {
            let config = match level {
                "endpoint" => config(checks(&[expression]), &[backend(&origin)]),
                _ => config(json!({}), &[checked(&origin, "", expression)]),
            };
            let krakend = post(&Gateway::krakend(config.clone()), "/x/1", &[], "{}");
            let native = post(&Gateway::native(config), "/x/1", &[], "{}");
            if passes {
                assert_eq!(
                    (krakend.status(), native.status()),
                    (200, 200),
                    "{level} {expression}"
                );
            } else {
                refused_by(&krakend, 0);
                native.assert_error(502, "bad_gateway");
                assert!(!native.text().contains("Ada"));
            }
        }
    }
}

#[test]
fn a_backend_that_is_refused_leaves_the_others() {
    let (a, b) = (Origin::json(r#"{"n":1}"#), Origin::json(r#"{"n":2}"#));
    let backends = [
        checked(&a, "a", "int(req_params.Id) % 3 == 0"),
        checked(&b, "b", "int(req_params.Id) % 5 == 0"),
    ];
    for gateway in [
        Gateway::krakend(config(json!({}), &backends)),
        Gateway::native(config(json!({}), &backends)),
    ] {
        for (id, body, completed) in [
            (15, r#"{"a":{"n":1},"b":{"n":2}}"#, "true"),
            (6, r#"{"a":{"n":1}}"#, "false"),
            (10, r#"{"b":{"n":2}}"#, "false"),
        ] {
            let answer = post(&gateway, &format!("/x/{id}"), &[], "{}");
            assert_eq!(seen(&answer), (200, body.to_owned()));
            assert_eq!(answer.header("x-krakend-completed"), Some(completed));
        }
        assert!(post(&gateway, "/x/7", &[], "{}").status() >= 400);
    }
}

#[test]
fn a_backends_expression_sees_the_backends_request() {
    let origin = Origin::json("{}");
    let expression = "req_path == '/up/5' && req_method == 'POST' && req_params.Id == '5'";
    let gateway = Gateway::krakend(config(json!({}), &[checked(&origin, "g", expression)]));
    assert_eq!(post(&gateway, "/x/5", &[], "{}").status(), 200);
    refused_by(&post(&gateway, "/x/6", &[], "{}"), 0);
}

#[test]
fn the_letters_req_in_a_fields_name_are_a_trap_in_krakends_dialect_only() {
    let origin = Origin::json(r#"{"required":true}"#);
    let config = config(checks(&["resp_data.required == true"]), &[backend(&origin)]);
    refused_by(
        &post(&Gateway::krakend(config.clone()), "/x/1", &[], "{}"),
        0,
    );
    let native = post(&Gateway::native(config), "/x/1", &[], "{}");
    assert_eq!(seen(&native), (200, r#"{"required":true}"#.to_owned()));
}

#[test]
fn a_no_op_answer_is_checked_by_its_status_and_fields() {
    let origin = Origin::serve(|exchange| exchange.answer(404, &[("X-Kind", "page")], "gone"));
    for (expression, passes) in [
        (
            "resp_metadata_status == 404 && resp_metadata_headers['X-Kind'][0] == 'page'",
            true,
        ),
        ("resp_metadata_status < 400", false),
    ] {
        let mut config = config(checks(&[expression]), &[backend(&origin)]);
        config["endpoints"][0]["output_encoding"] = json!("no-op");
        config["endpoints"][0]["backend"][0]["encoding"] = json!("no-op");
        let answer = post(&Gateway::krakend(config.clone()), "/x/1", &[], "{}");
        let native = post(&Gateway::native(config), "/x/1", &[], "{}");
        if passes {
            assert_eq!(seen(&answer), (404, "gone".to_owned()));
            assert_eq!(seen(&native), (404, "gone".to_owned()));
        } else {
            refused_by(&answer, 0);
            native.assert_error(502, "bad_gateway");
        }
    }
}

#[test]
fn an_expression_that_works_for_ever_costs_one_request_its_answer() {
    let items = vec!["1"; 4_000].join(",");
    let origin = Origin::json(&format!(r#"{{"l":[{items}]}}"#));
    let expression = "resp_data.l.all(a, resp_data.l.all(b, resp_data.l.all(c, a == b && b == c)))";
    let gateway = Gateway::krakend(config(checks(&[expression]), &[backend(&origin)]));
    refused_by(&post(&gateway, "/x/1", &[], "{}"), 0);
}

#[test]
fn a_body_must_fit_its_schema_and_reaches_the_backend_unchanged() {
    let origin = Origin::json("{}");
    let schema = json!({"validation/json-schema": {
        "type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "maximum": 9}},
    }});
    let config = config(schema, &[backend(&origin)]);
    let (krakend, native) = (Gateway::krakend(config.clone()), Gateway::native(config));
    for (body, text) in [
        (r#"{"n":"x"}"#, "- at '/n': got string, want integer"),
        (r#"{"n":10}"#, "- at '/n': maximum: got 10, want 9"),
        ("{}", "- at '': missing property 'n'"),
        ("{", "unexpected end of JSON input"),
        ("", "could not validate an empty body"),
    ] {
        let answer = post(&krakend, "/x/1", &[], body);
        assert_eq!(seen(&answer), (400, text.to_owned()));
        assert_eq!(answer.header("x-krakend-completed"), Some("false"));
        post(&native, "/x/1", &[], body).assert_error(400, "bad_request");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(post(&native, "/x/1", &[], &deep).status(), 400);
    assert_eq!(origin.requests().len(), 0);
    let body = "{ \"n\" : 9.0 }";
    for gateway in [&krakend, &native] {
        assert_eq!(post(gateway, "/x/1", &[], body).status(), 200);
    }
    assert_eq!(
        origin
            .requests()
            .iter()
            .map(|r| r.text())
            .collect::<Vec<_>>(),
        [body, body]
    );
}

#[test]
fn expressions_run_before_schemas() {
    let origin = Origin::json("{}");
    let mut extra = checks(&["false && req_path == ''"]);
    extra["validation/json-schema"] = json!({"type": "object"});
    let gateway = Gateway::krakend(config(extra, &[backend(&origin)]));
    refused_by(&post(&gateway, "/x/1", &[], "[]"), 0);
}

#[test]
fn natively_what_cannot_be_checked_refuses_the_file() {
    let origin = Origin::json("{}");
    for (extra, words) in [
        (checks(&["req_method =="]), ["check_expr", "line 1"]),
        (checks(&["has(req_headers)"]), ["check_expr", "has()"]),
        (checks(&["req_body == ''"]), ["check_expr", "req_body"]),
        (
            json!({"validation/json-schema": {"type": "objekt"}}),
            ["type", "objekt"],
        ),
        (
            json!({"validation/json-schema": {"$ref": "https://h.test/s.json"}}),
            ["$ref", "nothing is fetched"],
        ),
    ] {
        let config = config(extra, &[backend(&origin)]);
        let output = Gateway::refused(config.clone());
        let told = output.stdout + &output.stderr;
        for word in words {
            assert!(told.contains(word), "{word} in {told}");
        }
        // There it starts, and leaves the check out.
        assert_eq!(
            post(&Gateway::krakend(config), "/x/1", &[], "{}").status(),
            200
        );
    }
}
