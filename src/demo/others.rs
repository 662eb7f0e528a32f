//! The other services of the demo. Where a typical answer is cheap it is given in the service's own
//! shape, and so are the parts that the composed endpoints of `conf/hanzo` put together; all else is
//! an echo of what arrived, which is the best view of what the gateway lets through.

use super::message::{Answer, Request};
use crate::base::clock;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Between two events of a run.
const PAUSE: Duration = Duration::from_millis(120);
/// Most calls in one JSON-RPC batch.
const MAX_BATCH: usize = 100;

pub(crate) fn answer(service: &'static str, request: &Request) -> Answer {
    let path: Vec<_> = request.path.split('/').skip(1).collect();
    if service == "agents" && matches!(path[..], ["agents", _, "runs", _, "events"]) {
        return events_of_a_run();
    }
    let typical = match service {
        "search" => search(request, &path),
        "vector" => vector(&path),
        "metrics" => metrics(&path),
        "blockchain" => blockchain(request, &path),
        "mcp" => mcp(request),
        "payments" => payments(&path),
        "deploy" => deploy(&path),
        _ => part(service, &path),
    };
    match typical {
        Some(value) => Answer::json(200, &value),
        None => Answer::json(200, &echo(service, request)),
    }
}

/// What arrived: header names in lower case, repeated headers joined, the body as its length.
pub(crate) fn echo(service: &str, request: &Request) -> Value {
    let mut headers = Map::new();
    for (name, value) in &request.headers {
        let joined = match headers.get(name).and_then(Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        headers.insert(name.clone(), joined.into());
    }
    json!({
        "service": service,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": headers,
        "body_bytes": request.body.len(),
    })
}

fn search(request: &Request, path: &[&str]) -> Option<Value> {
    let ["indexes", index, "search"] = path else {
        return None;
    };
    let body = request.json().unwrap_or_default();
    let asked = request.query.split('&').find_map(|p| p.strip_prefix("q="));
    let q = body["q"].as_str().or(asked).unwrap_or_default();
    let hits: Vec<_> = (1..=3)
        .map(|id| json!({"id": id, "title": format!("{q} in {index}, hit {id}")}))
        .collect();
    Some(
        json!({"hits": hits, "query": q, "processingTimeMs": 1, "limit": 20, "offset": 0,
        "estimatedTotalHits": 3}),
    )
}

fn vector(path: &[&str]) -> Option<Value> {
    let result = match path {
        ["collections"] => json!({"collections": [{"name": "demo"}]}),
        ["collections", _, "points", "search"] => json!([
            {"id": 1, "version": 0, "score": 0.97, "payload": {"text": "first"}},
            {"id": 2, "version": 0, "score": 0.81, "payload": {"text": "second"}}
        ]),
        ["collections", _, "points", "count"] => json!({"count": 2}),
        ["collections", _, "exists"] => json!({"exists": true}),
        ["collections", _] => json!({"status": "green", "points_count": 2, "segments_count": 1}),
        _ => return None,
    };
    Some(json!({"result": result, "status": "ok", "time": 0.0004}))
}

fn metrics(path: &[&str]) -> Option<Value> {
    let now = clock::since_epoch().as_secs();
    let up = json!({"__name__": "up", "job": "hanzo-gateway", "instance": "demo"});
    let data = match path {
        ["api", "v1", "query"] => {
            json!({"resultType": "vector", "result": [{"metric": up, "value": [now, "1"]}]})
        }
        ["api", "v1", "query_range"] => json!({"resultType": "matrix",
            "result": [{"metric": up, "values": [[now.saturating_sub(15), "1"], [now, "1"]]}]}),
        ["api", "v1", "labels"] => json!(["__name__", "instance", "job"]),
        ["api", "v1", "series"] => json!([up]),
        _ => return None,
    };
    Some(json!({"status": "success", "data": data}))
}

fn blockchain(request: &Request, path: &[&str]) -> Option<Value> {
    if path.starts_with(&["ext", "health"]) {
        return Some(json!({"healthy": true, "checks": {}}));
    }
    rpc(request, |method| match method {
        "eth_chainId" => json!("0x178ed"),
        "eth_blockNumber" => json!(format!("0x{:x}", clock::since_epoch().as_secs() / 2)),
        "info.getNetworkID" => json!({"networkID": "96369"}),
        _ => json!({"demo": true, "method": method}),
    })
}

fn mcp(request: &Request) -> Option<Value> {
    let tool = json!({"name": "echo", "description": "Says what it is told.",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}});
    rpc(request, |method| match method {
        "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "demo", "version": "1"}}),
        "tools/list" => json!({"tools": [tool]}),
        "tools/call" => json!({"content": [{"type": "text", "text": "echo"}], "isError": false}),
        _ => json!({}),
    })
}

/// Answers a JSON-RPC 2.0 call or a batch of them; nothing if the request is neither.
fn rpc(request: &Request, result: impl Fn(&str) -> Value) -> Option<Value> {
    let one = |call: &Value| {
        let method = call["method"].as_str()?;
        Some(json!({"jsonrpc": "2.0", "id": call["id"], "result": result(method)}))
    };
    match request.json().filter(|_| request.method == "POST")? {
        Value::Array(calls) => {
            let calls = calls.iter().take(MAX_BATCH);
            Some(calls.filter_map(one).collect())
        }
        call => one(&call),
    }
}

fn payments(path: &[&str]) -> Option<Value> {
    let ["api", "v1", what] = path else {
        return None;
    };
    Some(match *what {
        "balance" => json!({"currency": "usd", "available": "41.20", "pending": "0.80"}),
        "subscription" => json!({"plan": "team", "renews": "2027-01-01",
            "payment_method": {"brand": "visa", "last4": "4242"}}),
        "invoices" => json!({"data": [{"id": "inv_1", "status": "open", "total": "19.00"}]}),
        "prices" => json!({"data": [
            {"model": "zen-1", "input_per_million": "0.30", "output_per_million": "1.20"}]}),
        _ => return None,
    })
}

fn deploy(path: &[&str]) -> Option<Value> {
    let deployments = json!({"deployments": [
        {"id": "dep_2", "status": "running", "commit": "c0ffee1"},
        {"id": "dep_1", "status": "replaced", "commit": "facade2"}]});
    Some(match path {
        ["api", "deployments"] | ["api", "apps", _, "deployments"] => deployments,
        ["api", "apps", _, "health"] => json!({"up": true, "replicas": 3}),
        ["api", "apps", app] => {
            json!({"id": app, "name": app, "image": "demo:1", "env": {"SECRET": "unseen"}})
        }
        _ => return None,
    })
}

/// Parts of composed endpoints from services that otherwise echo.
fn part(service: &str, path: &[&str]) -> Option<Value> {
    Some(match (service, path) {
        ("images", ["v1", "models"]) => {
            json!({"data": [{"id": "zen-image", "object": "model", "owned_by": "hanzo"}]})
        }
        ("cloud", ["api", "usage"]) => {
            json!({"requests": 12345, "tokens": 6789012, "compute_hours": 42})
        }
        ("cloud", ["api", "incidents"]) => json!({"incidents": []}),
        ("agents", ["agents", agent]) => {
            json!({"id": agent, "name": agent, "wallet": format!("wallet-{agent}")})
        }
        ("bots", ["wallets", wallet]) => json!({"id": wallet, "asset": "LUX", "balance": "7.5"}),
        _ => return None,
    })
}

fn events_of_a_run() -> Answer {
    let steps = ["started", "thinking", "tool_call", "message", "finished"];
    let events = steps.iter().enumerate();
    let events = events.map(|(id, step)| json!({"id": id, "type": step}).to_string());
    Answer::events(events, PAUSE)
}

#[cfg(test)]
mod tests {
    use super::super::message::Body;
    use super::super::server::tests::{started, talk};
    use super::*;
    use std::sync::Arc;

    fn ask(service: &'static str, method: &str, target: &str, body: &str) -> Value {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: vec![],
            body: body.to_owned().into(),
        };
        let Body::Full(body) = answer(service, &request).body else {
            unreachable!("only runs stream");
        };
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn echoes_what_it_received() {
        let (address, _tasks) = started(Arc::new(|r: &Request| answer("kv", r))).await;
        let text = b"PUT /keys/a?ex=5 HTTP/1.1\r\nHost: kv\r\nX-User-ID: ada\r\nConnection: close\
            \r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 4\r\n\r\nbody";
        let answer = talk(address, text).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let headers = json!({"host": "kv", "x-user-id": "ada", "connection": "close", "x-a": "1, 2",
            "content-length": "4"});
        assert_eq!(
            body,
            json!({"service": "kv", "method": "PUT", "path": "/keys/a", "query": "ex=5",
                "headers": headers, "body_bytes": 4})
        );
    }

    #[test]
    fn services_answer_in_their_own_shape() {
        let prometheus = ask("metrics", "GET", "/api/v1/query?query=up", "");
        assert_eq!(prometheus["data"]["result"][0]["value"][1], "1");
        let qdrant = ask("vector", "POST", "/collections/demo/points/search", "{}");
        assert_eq!(
            (&qdrant["status"], &qdrant["result"][0]["id"]),
            (&json!("ok"), &json!(1))
        );
        let meilisearch = ask("search", "GET", "/indexes/films/search?q=rust", "");
        assert_eq!(meilisearch["hits"][0]["title"], "rust in films, hit 1");
    }

    #[test]
    fn the_node_answers_a_call_and_a_batch() {
        let call = r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId"}"#;
        let answer = ask("blockchain", "POST", "/ext/bc/C/rpc", call);
        assert_eq!(
            answer,
            json!({"jsonrpc": "2.0", "id": 7, "result": "0x178ed"})
        );
        let batch = format!("[{call},{call},1]");
        let answer = ask("blockchain", "POST", "/ext/bc/C/rpc", &batch);
        assert_eq!(answer.as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_it_does_not_know_is_echoed() {
        let answer = ask("payments", "POST", "/api/v1/charges", "{}");
        assert_eq!(
            (&answer["service"], &answer["body_bytes"]),
            (&json!("payments"), &json!(2))
        );
    }

    #[test]
    fn a_run_streams_its_events() {
        let request = Request {
            path: "/agents/a/runs/1/events".to_owned(),
            ..Request::default()
        };
        assert!(
            matches!(answer("agents", &request).body, Body::Stream { pieces, .. } if pieces.len() == 5)
        );
    }
}
