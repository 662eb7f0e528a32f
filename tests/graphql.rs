//! `backend/graphql` through the whole gateway: REST in, GraphQL out.

use serde_json::{Value, json};

use crate::support::{Gateway, Origin};

fn endpoint(path: &str, method: &str, origin: &Origin, graphql: Value) -> Value {
    json!({"endpoint": path, "method": method, "timeout": "10s", "input_query_strings": ["q"],
        "input_headers": ["Content-Type"],
        "backend": [{"url_pattern": "/graphql", "method": "PUT", "host": [origin.url()],
            "extra_config": {"backend/graphql": graphql}}]})
}

fn origin() -> Origin {
    Origin::json(r#"{"data":{"ok":true}}"#)
}

#[test]
fn a_query_carries_the_parameters_of_its_endpoint() {
    let origin = origin();
    let config = json!({"endpoints": [endpoint("/user/{id}", "GET", &origin, json!({
        "type": "query", "query": "query Q($id: ID!) { user(id: $id) { name } }",
        "variables": {"id": "{id}", "fixed": 5}, "operationName": "Q"}))]});
    for gateway in [
        Gateway::native(config.clone()),
        Gateway::krakend(config.clone()),
    ] {
        let answer = gateway.get("/user/1%222");
        assert_eq!(answer.json(), json!({"data": {"ok": true}}));
    }
    for request in origin.wait_for(2) {
        assert_eq!((request.method(), request.target()), ("POST", "/graphql"));
        assert_eq!(
            request.text(),
            r#"{"query":"query Q($id: ID!) { user(id: $id) { name } }","operationName":"Q","variables":{"fixed":5,"id":"1\"2"}}"#
        );
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(
            request.header("content-length"),
            Some(request.body.len().to_string().as_str())
        );
    }
}

#[test]
fn a_mutation_carries_the_body_of_its_request() {
    let origin = origin();
    let config = json!({"endpoints": [endpoint("/m", "POST", &origin, json!({
        "type": "mutation", "query": "mutation M { y }", "variables": {"a": 1, "z": "s"}}))]});
    let (native, krakend) = (Gateway::native(config.clone()), Gateway::krakend(config));
    for gateway in [&native, &krakend] {
        let mut client = gateway.client();
        let fields = [("Content-Type", "text/plain")];
        let answer = client
            .request("POST", "/m", &fields, r#"{"b":2,"a":7}"#)
            .answer();
        assert_eq!(answer.status(), 200);
    }
    for request in origin.wait_for(2) {
        let body = r#"{"query":"mutation M { y }","variables":{"a":7,"b":2,"z":"s"}}"#;
        assert_eq!(request.text(), body);
        assert_eq!(request.head.all("content-type"), ["application/json"]);
    }
    for body in ["junk", "", "[1]"] {
        let answer = native.client().request("POST", "/m", &[], body).answer();
        answer.assert_error(400, "bad_request");
        let answer = krakend.client().request("POST", "/m", &[], body).answer();
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (500, ""),
            "{body}"
        );
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_get_sends_the_operation_in_the_url_in_native() {
    let origin = origin();
    let config = json!({"endpoints": [endpoint("/g/{id}", "GET", &origin, json!({
        "type": "query", "method": "GET", "query": "{ x }", "variables": {"id": "{id}"}}))]});
    assert_eq!(
        Gateway::native(config.clone()).get("/g/7?q=1").status(),
        200
    );
    assert_eq!(Gateway::krakend(config).get("/g/7?q=1").status(), 200);
    let [native, krakend] = &origin.wait_for(2)[..] else {
        panic!("two requests were expected");
    };
    assert_eq!(
        native.target(),
        "/graphql?q=1&query=%7B+x+%7D&variables=%7B%22id%22%3A%227%22%7D"
    );
    // KrakenD has made the URL before the operation comes.
    assert_eq!(krakend.target(), "/graphql?q=1");
    for request in [native, krakend] {
        assert_eq!((request.method(), request.text().as_str()), ("GET", ""));
    }
}

#[test]
fn a_missing_file_refuses_a_native_start_and_is_warned_of_in_the_krakend_dialect() {
    let origin = origin();
    let config = json!({"endpoints": [endpoint("/x", "GET", &origin, json!({
        "type": "query", "query_path": "no-such.graphql"}))]});
    let output = Gateway::refused(config.clone());
    let text = format!("{}{}", output.stderr, output.stdout);
    assert!(text.contains("query_path"), "{text}");
    assert_eq!(Gateway::krakend(config).get("/x").status(), 200);
    assert_eq!(origin.request().method(), "PUT");
}

#[test]
fn the_query_is_read_from_a_file_at_the_start() {
    let origin = origin();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.graphql");
    std::fs::write(&path, "{ from file }").unwrap();
    let gateway = Gateway::native(json!({"endpoints": [endpoint("/x", "GET", &origin, json!({
        "type": "query", "query_path": path}))]}));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(gateway.get("/x").status(), 200);
    assert_eq!(origin.request().text(), r#"{"query":"{ from file }"}"#);
}
