//! Answers without a backend: liveness, readiness, KrakenD's health, debug and echo.

use crate::base::field::canonical;
use crate::base::reply::X_REQUEST_ID;
use crate::base::{Dialect, Reply, clock};
use crate::body::{Object, Value, json};
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::snapshot::Builtin;
use bytes::Bytes;
use http::header::{self, HeaderValue};

const JSON_UTF8: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The answer of a builtin.
pub fn reply(builtin: Builtin, head: &dyn Head, body: &[u8], ctx: &Ctx, draining: bool) -> Reply {
    match builtin {
        Builtin::Live => Reply::json(200, "{\"status\":\"ok\"}"),
        Builtin::Ready => {
            let ready = ctx.gateway.health.ready() && !draining;
            Reply::json(
                if ready { 200 } else { 503 },
                ctx.gateway.health.json(ready),
            )
        }
        Builtin::KrakendHealth => krakend(health_text()),
        Builtin::Debug => {
            log::debug!(method = head.method().as_str(); "debug endpoint");
            krakend("{\"message\":\"pong\"}".to_owned())
        }
        Builtin::Echo => krakend(echo(head, body)),
    }
    .versioned(ctx)
}

fn krakend(body: String) -> Reply {
    Reply::new(200, body).with(header::CONTENT_TYPE, JSON_UTF8)
}

trait Versioned {
    fn versioned(self, ctx: &Ctx) -> Self;
}

impl Versioned for Reply {
    /// Native answers all carry version and request id; KrakenD's builtins carry nothing.
    fn versioned(mut self, ctx: &Ctx) -> Self {
        if ctx.gateway.dialect == Dialect::Native {
            self.headers
                .extend(ctx.gateway.service.version_header.clone());
            if let Ok(id) = HeaderValue::from_str(&ctx.request_id) {
                self.headers.push((X_REQUEST_ID, id));
            }
            self.headers
                .push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        }
        self
    }
}

/// KrakenD prints Go's default form of a moment.
fn health_text() -> String {
    let now = clock::since_epoch();
    let stamp = clock::rfc3339(now);
    let (day, time) = stamp.split_once('T').unwrap_or_default();
    let uptime = clock::process_start().elapsed();
    format!(
        "{{\"agents\":{{}},\"now\":\"{day} {}.{:09} +0000 UTC m=+{}.{:09}\",\"status\":\"ok\"}}",
        time.get(..8).unwrap_or_default(),
        now.subsec_nanos(),
        uptime.as_secs(),
        uptime.subsec_nanos(),
    )
}

/// What came in, in the member order of KrakenD's echo.
fn echo(head: &dyn Head, body: &[u8]) -> String {
    let text = |bytes: &[u8]| Value::string(&String::from_utf8_lossy(bytes));
    let mut uri = head.path().to_vec();
    let query = head.query().unwrap_or_default();
    if head.query().is_some() {
        uri.push(b'?');
        uri.extend_from_slice(query);
    }
    let mut fields = Object::new();
    head.each(&mut |name, value| {
        if !name.eq_ignore_ascii_case("host") {
            push(&mut fields, &canonical(name), text(value));
        }
    });
    let mut pairs: Vec<_> = crate::gateway::query::pairs(query).collect();
    let mut parameters = Object::new();
    for (name, value) in &pairs {
        push(&mut parameters, &String::from_utf8_lossy(name), text(value));
    }
    let mut details = Object::new();
    details.insert("fragment", Value::string(""));
    details.insert("host", text(head.host()));
    let path = crate::gateway::path::decode(head.path()).unwrap_or_default();
    details.insert("path", text(&path));
    details.insert(
        "query",
        Value::string(&crate::gateway::query::encode(&mut pairs)),
    );
    details.insert("user", Value::string(""));
    let mut out = b"{\"req_uri\":".to_vec();
    for (i, (key, value)) in [
        ("", text(&uri)),
        ("req_uri_details", Value::Object(details)),
        ("req_method", Value::string(head.method().as_str())),
        ("req_querystring", Value::Object(parameters)),
        ("req_body", text(body)),
        ("req_headers", Value::Object(fields)),
    ]
    .into_iter()
    .enumerate()
    {
        if i > 0 {
            out.extend_from_slice(format!(",\"{key}\":").as_bytes());
        }
        json::encode(&value, &mut out);
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// Adds a value to the list under a name.
fn push(lists: &mut Object, name: &str, value: Value) {
    let mut values = match lists.remove(name) {
        Some(Value::Array(array)) => array.into_vec(),
        _ => Vec::new(),
    };
    values.push(value);
    lists.insert(name, Value::Array(values.into()));
}

/// Whether a builtin looks at the request's body.
pub fn wants_body(builtin: Builtin) -> bool {
    builtin == Builtin::Echo
}

/// The answer to `OPTIONS` with `auto_options`.
pub fn options(allow: &str, ctx: &Ctx) -> Reply {
    let mut reply = Reply::new(200, Bytes::new());
    if let Ok(value) = HeaderValue::from_str(allow) {
        reply.headers.push((header::ALLOW, value));
    }
    if ctx.gateway.dialect == Dialect::Krakend {
        reply
            .headers
            .extend(ctx.gateway.service.version_header.clone());
        return reply;
    }
    reply.versioned(ctx)
}

/// A redirect to the path that exists.
pub fn redirect(code: u16, location: &str, get: bool, ctx: &Ctx) -> Reply {
    Reply::redirect(code, location, get).versioned(ctx)
}

/// What a stage answered, with what native answers all carry.
pub fn stamped(mut reply: Reply, ctx: &Ctx) -> Reply {
    if ctx.gateway.dialect == Dialect::Native {
        let fields = &mut reply.headers;
        fields.extend(ctx.gateway.service.version_header.clone());
        let has_id = fields.iter().any(|(name, _)| *name == X_REQUEST_ID);
        if !has_id && let Ok(id) = HeaderValue::from_str(&ctx.request_id) {
            fields.push((X_REQUEST_ID, id));
        }
    }
    reply
}
