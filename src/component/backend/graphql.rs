//! `backend/graphql` – a REST endpoint before a GraphQL backend: the operation of the configuration is sent,
//! with variables out of the endpoint's parameters (query) or the request's body (mutation)
//! (reference/krakend-components section 3.6).
//!
//! Differs from KrakenD in the native dialect: what cannot be used refuses the start instead of calling the
//! backend as if nothing were configured; `"method": "GET"` really sends the operation in the URL's query (KrakenD
//! adds it after the URL was made, so the backend never sees it); a body that is no JSON object is the client's
//! fault (400); numbers of a body keep their digits.

use crate::base::json::{Lexer, SyntaxError};
use crate::base::problem::pointer_join;
use crate::base::{Code, Dialect, Error, Problem, Reason, Severity};
use crate::body::{Object, Value, json};
use crate::component::{BackendDraft, Component};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::message::Request;
use crate::gateway::pattern::title;
use crate::gateway::query;
use crate::gateway::stage::{Go, PipeStage, Step};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method};
use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "backend/graphql";
/// Largest file of a query.
const MAX_QUERY: u64 = 1 << 20;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn build(
    s: &mut Settings<'_>,
    backend: &mut BackendDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    let from = s.report().problems.len();
    let stage = GraphQl::read(s, dialect);
    let problems = s.report().problems.iter_mut().skip(from);
    let mut refused = false;
    for problem in problems.filter(|problem| problem.severity == Severity::Error) {
        refused = true;
        if dialect == Dialect::Krakend {
            problem.severity = Severity::Warning;
            problem
                .message
                .push_str("; the backend is called without backend/graphql");
        }
    }
    if let Some(stage) = stage.filter(|_| !refused) {
        backend.pipe.push(Box::new(stage));
    }
    Ok(())
}

/// Where the variables come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// The endpoint's parameters.
    Query,
    /// The request's body.
    Mutation,
}

/// The operation of one backend.
#[derive(Debug)]
pub struct GraphQl {
    operation: Operation,
    /// `GET` instead of `POST`.
    get: bool,
    query: String,
    /// `operationName`, unless it is empty.
    name: Option<String>,
    /// As configured, sorted by name.
    variables: Object,
    /// The variables as JSON with gaps for parameters; empty when there are none.
    pieces: Vec<Piece>,
    /// What stands before the variables in a body, up to `"variables":`.
    head: Vec<u8>,
    dialect: Dialect,
}

/// A part of the variables.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// The parameter of this key, as a JSON string.
    Param(String),
}

impl GraphQl {
    /// Reads the settings of a backend and the file that `query_path` names; reports what is wrong.
    pub fn read(s: &mut Settings<'_>, dialect: Dialect) -> Option<Self> {
        s.known(&[
            "type",
            "method",
            "query",
            "query_path",
            "operationName",
            "variables",
        ]);
        let kind = text(s, "type").unwrap_or_default().to_ascii_lowercase();
        let operation = match kind.as_str() {
            "query" => Some(Operation::Query),
            "mutation" => Some(Operation::Mutation),
            _ => {
                let message = "\"type\" does not say what the operation is";
                let hint = "write \"query\" or \"mutation\"";
                s.error_hint("type", Code::BadValue, message, hint);
                None
            }
        };
        let method = text(s, "method").unwrap_or_default().to_ascii_uppercase();
        if !matches!(method.as_str(), "" | "GET" | "POST") {
            let message = "this method cannot carry an operation, POST is used";
            s.warn_hint(
                "method",
                Code::BadMethod,
                message,
                "write \"GET\" or \"POST\"",
            );
        }
        let name = text(s, "operationName").filter(|name| !name.is_empty());
        let query = query_of(s);
        let variables = variables_of(s, dialect);
        let (query, variables) = (query?, variables?);
        Some(Self {
            operation: operation?,
            get: method == "GET",
            head: head(&query, name.as_deref()),
            pieces: pieces(&variables),
            query,
            name,
            variables,
            dialect,
        })
    }

    fn prepare(&self, request: &mut Request) -> Result<(), Error> {
        let variables = match self.operation {
            Operation::Query => self.filled(request),
            Operation::Mutation => self.completed(request.body.as_deref().unwrap_or_default())?,
        };
        if self.get {
            self.in_query(request, variables);
        } else {
            self.in_body(request, &variables);
        }
        Ok(())
    }

    /// The configured variables with parameters in their places.
    fn filled(&self, request: &Request) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Param(key) => json::string(request.param(key).unwrap_or_default(), &mut out),
            }
        }
        out
    }

    /// The members of a body with the configured variables that it lacks.
    fn completed(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let value = self.decoded(body)?;
        let mut variables = match value {
            Value::Object(object) => object,
            Value::Null if self.variables.is_empty() => return Ok(Vec::new()),
            other => {
                let kind = match other {
                    Value::Array(_) => "array",
                    Value::String(_) => "string",
                    Value::Bool(_) => "bool",
                    Value::Null => "null",
                    _ => "number",
                };
                return Err(self.refusal(format!(
                    "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
                )));
            }
        };
        for (name, value) in self.variables.iter() {
            if variables.get(name).is_none() {
                variables.insert(name, value.clone());
            }
        }
        if variables.is_empty() {
            return Ok(Vec::new());
        }
        let mut out = Vec::with_capacity(body.len() + 64);
        json::encode_object(&variables, &mut out);
        Ok(out)
    }

    fn decoded(&self, body: &[u8]) -> Result<Value, Error> {
        if self.dialect == Dialect::Krakend {
            // Numbers become floats, and are written as Go writes those.
            let value: serde_json::Value = serde_json::from_slice(body)
                .map_err(|error| self.refusal(go_words(body, &error.to_string())))?;
            return Ok(Value::from_config(&value));
        }
        // The streaming decoder stops behind the first value; here nothing may follow it.
        let mut lexer = Lexer::new(body);
        let mut whole = || -> Result<(), SyntaxError> {
            while lexer.next()?.is_some() {}
            lexer.finish()
        };
        whole().map_err(|error| self.refusal(error.to_string()))?;
        json::decode(body).map_err(|error| self.refusal(error.to_string()))
    }

    fn refusal(&self, text: String) -> Error {
        let reason = match self.dialect {
            Dialect::Native => Reason::BadBody,
            Dialect::Krakend => Reason::Internal,
        };
        Error::new(reason, text)
    }

    fn in_body(&self, request: &mut Request, variables: &[u8]) {
        let mut body = Vec::with_capacity(self.head.len() + variables.len() + 16);
        body.extend_from_slice(&self.head);
        if !variables.is_empty() {
            body.extend_from_slice(b",\"variables\":");
            body.extend_from_slice(variables);
        }
        body.push(b'}');
        request.method = Method::POST;
        request.set_header(CONTENT_LENGTH, HeaderValue::from(body.len()));
        request.set_header(CONTENT_TYPE, JSON);
        request.body = Some(body.into());
    }

    fn in_query(&self, request: &mut Request, variables: Vec<u8>) {
        let mut pairs: Vec<query::Pair<'_>> = Vec::with_capacity(3);
        let mut put = |name: &'static str, value: Cow<'_, [u8]>| {
            pairs.push((
                Cow::Borrowed(name.as_bytes()),
                Cow::Owned(value.into_owned()),
            ));
        };
        put("query", Cow::Borrowed(self.query.as_bytes()));
        if let Some(name) = &self.name {
            put("operationName", Cow::Borrowed(name.as_bytes()));
        }
        if !variables.is_empty() {
            put("variables", Cow::Owned(variables));
        }
        if self.dialect == Dialect::Native {
            query::append(&mut request.url, &query::encode(&mut pairs));
        }
        let before = std::mem::take(&mut request.query);
        let mut all: Vec<query::Pair<'_>> = query::pairs(before.as_bytes()).collect();
        all.extend(pairs);
        request.query = query::encode(&mut all);
        request.method = Method::GET;
        request.body = Some(Bytes::new());
        request.set_header(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

impl PipeStage for GraphQl {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, request: &'a mut Request, _ctx: &'a Ctx) -> Step<'a, Go> {
        Step::Now(self.prepare(request).map(|()| Go::Next))
    }
}

/// A text; another type is an error, for KrakenD converts none here.
fn text(s: &mut Settings<'_>, key: &str) -> Option<String> {
    let value = s.value(key)?;
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    s.error_hint(
        key,
        Code::WrongType,
        "a text is expected here",
        "write it in quotes",
    );
    None
}

/// The operation, from the file where one is named.
fn query_of(s: &mut Settings<'_>) -> Option<String> {
    let query = text(s, "query").unwrap_or_default();
    let Some(path) = text(s, "query_path").filter(|path| !path.is_empty()) else {
        if query.trim().is_empty() {
            let message = "there is no operation to send";
            s.error_hint(
                "query",
                Code::BadValue,
                message,
                "write \"query\" or \"query_path\"",
            );
            return None;
        }
        return Some(query);
    };
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_QUERY + 1).read_to_end(&mut bytes));
    let problem = match read {
        Err(error) => format!("the query cannot be read: {error}"),
        Ok(_) if bytes.len() as u64 > MAX_QUERY => "the query is larger than 1 MiB".to_owned(),
        Ok(_) => return Some(String::from_utf8_lossy(&bytes).into_owned()),
    };
    let hint = "name a file that exists, from the directory where the gateway is started";
    s.error_hint("query_path", Code::Unreadable, problem, hint);
    None
}

fn variables_of(s: &mut Settings<'_>, dialect: Dialect) -> Option<Object> {
    let Some(value) = s.value("variables") else {
        return Some(Object::new());
    };
    if !value.is_object() {
        let message = "\"variables\" is an object";
        s.error_hint(
            "variables",
            Code::WrongType,
            message,
            "write {\"name\": \"{param}\"}",
        );
        return None;
    }
    let object = Value::from_config(value).into_object()?;
    for (name, value) in object.iter() {
        // KrakenD does not survive these two at its start.
        if dialect == Dialect::Native && value.as_str() == Some("{}") {
            let pointer = pointer_join(&s.pointer_of("variables"), name);
            let problem = Problem::warning(
                Code::UndefinedParam,
                pointer,
                "{} names no parameter and is sent as it is",
            );
            s.report()
                .push(problem.hint("write the parameter's name between the braces"));
        }
    }
    Some(object)
}

/// `{"query":…,"operationName":…` without its end.
fn head(query: &str, name: Option<&str>) -> Vec<u8> {
    let mut head = b"{\"query\":".to_vec();
    json::string(query, &mut head);
    if let Some(name) = name {
        head.extend_from_slice(b",\"operationName\":");
        json::string(name, &mut head);
    }
    head
}

/// The variables as JSON; a text `{name}` becomes a gap for that parameter.
fn pieces(variables: &Object) -> Vec<Piece> {
    if variables.is_empty() {
        return Vec::new();
    }
    let mut pieces = Vec::new();
    let mut text = b"{".to_vec();
    for (index, (name, value)) in variables.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        json::string(name, &mut text);
        text.push(b':');
        let param = value
            .as_str()
            .and_then(|text| text.strip_prefix('{')?.strip_suffix('}'))
            .filter(|param| !param.is_empty());
        match param {
            Some(param) => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Param(title(param)));
            }
            None => json::encode(value, &mut text),
        }
    }
    text.push(b'}');
    pieces.push(Piece::Text(text));
    pieces
}

/// What Go says about a body that is no JSON; `otherwise` where both call it valid.
fn go_words(body: &[u8], otherwise: &str) -> String {
    let mut lexer = Lexer::new(body);
    loop {
        match lexer.next() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return error.to_string(),
        }
    }
    match lexer.finish() {
        Ok(()) => otherwise.to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::json;

    fn read(value: &serde_json::Value, dialect: Dialect) -> (Option<GraphQl>, Report) {
        let mut report = Report::default();
        let stage = GraphQl::read(&mut Settings::new(value, "/g", &mut report), dialect);
        (stage, report)
    }

    fn request(body: Option<&str>) -> Request {
        Request {
            method: Method::PUT,
            path: "/up".into(),
            url: "http://u/up?a=1".into(),
            query: "a=1".into(),
            params: vec![("Id".into(), "12".into()), ("Q".into(), "a\"<b>".into())],
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("text/plain"))],
            body: body.map(|body| Bytes::copy_from_slice(body.as_bytes())),
        }
    }

    fn prepared(value: &serde_json::Value, body: Option<&str>, dialect: Dialect) -> Request {
        let mut request = request(body);
        let stage = read(value, dialect).0.unwrap();
        stage.prepare(&mut request).unwrap();
        request
    }

    fn body_of(value: &serde_json::Value, body: Option<&str>, dialect: Dialect) -> String {
        let request = prepared(value, body, dialect);
        String::from_utf8(request.body.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn queries_take_their_variables_from_parameters_as_texts() {
        for (variables, wanted) in [
            (
                json!({"id": "{id}"}),
                r#"{"query":"q","variables":{"id":"12"}}"#,
            ),
            (
                json!({"z": 5, "id": "{Id}", "b": [1.0, {"x": "{id}"}], "a": "{q}"}),
                r#"{"query":"q","variables":{"a":"a\"\u003cb\u003e","b":[1,{"x":"{id}"}],"id":"12","z":5}}"#,
            ),
            (
                json!({"id": "{none}"}),
                r#"{"query":"q","variables":{"id":""}}"#,
            ),
            (
                json!({"a": "", "b": "{", "c": "x{id}", "d": "{}"}),
                r#"{"query":"q","variables":{"a":"","b":"{","c":"x{id}","d":"{}"}}"#,
            ),
            (json!({}), r#"{"query":"q"}"#),
            (json!(null), r#"{"query":"q"}"#),
        ] {
            let value = json!({"type": "Query", "query": "q", "variables": variables});
            for dialect in [Dialect::Native, Dialect::Krakend] {
                assert_eq!(body_of(&value, Some("ignored"), dialect), wanted);
            }
        }
    }

    #[test]
    fn a_post_says_what_it_carries() {
        let value = json!({"TYPE": "query", "query": "{ x }", "operationName": "N"});
        let request = prepared(&value, None, Dialect::Native);
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.header(&CONTENT_LENGTH).unwrap(), "37");
        assert_eq!(request.header(&CONTENT_TYPE).unwrap(), "application/json");
        assert_eq!(request.url, "http://u/up?a=1");
        assert_eq!(
            request.body.unwrap(),
            r#"{"query":"{ x }","operationName":"N"}"#
        );
    }

    #[test]
    fn mutations_complete_the_variables_of_a_body() {
        let value = json!({"type": "mutation", "query": "m", "variables": {"a": 1, "p": "{id}"}});
        for (body, native, krakend) in [
            (r#"{"b":2,"a":7}"#, r#"{"a":7,"b":2,"p":"{id}"}"#, None),
            (r#" {"a":null} "#, r#"{"a":null,"p":"{id}"}"#, None),
            (
                r#"{"a":12345678901234567890,"p":1.50}"#,
                r#"{"a":12345678901234567890,"p":1.50}"#,
                Some(r#"{"a":12345678901234567000,"p":1.5}"#),
            ),
        ] {
            let whole = |variables: &str| format!(r#"{{"query":"m","variables":{variables}}}"#);
            assert_eq!(body_of(&value, Some(body), Dialect::Native), whole(native));
            let krakend = krakend.unwrap_or(native);
            assert_eq!(
                body_of(&value, Some(body), Dialect::Krakend),
                whole(krakend)
            );
        }
        let bare = json!({"type": "mutation", "query": "m"});
        for body in ["{}", "null"] {
            assert_eq!(
                body_of(&bare, Some(body), Dialect::Native),
                r#"{"query":"m"}"#
            );
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_in_gos_words() {
        let value = json!({"type": "mutation", "query": "m", "variables": {"a": 1}});
        let unmarshal = "into Go value of type map[string]interface {}";
        for (body, text) in [
            (None, "unexpected end of JSON input".to_owned()),
            (Some(""), "unexpected end of JSON input".to_owned()),
            (
                Some("junk"),
                "invalid character 'j' looking for beginning of value".to_owned(),
            ),
            (
                Some("{} x"),
                "invalid character 'x' after top-level value".to_owned(),
            ),
            (
                Some("[1]"),
                format!("json: cannot unmarshal array {unmarshal}"),
            ),
            (
                Some("5"),
                format!("json: cannot unmarshal number {unmarshal}"),
            ),
            (
                Some("null"),
                format!("json: cannot unmarshal null {unmarshal}"),
            ),
        ] {
            for (dialect, reason) in [
                (Dialect::Native, Reason::BadBody),
                (Dialect::Krakend, Reason::Internal),
            ] {
                let stage = read(&value, dialect).0.unwrap();
                let error = stage.prepare(&mut request(body)).unwrap_err();
                assert_eq!(
                    (error.reason, &*error.text),
                    (reason, text.as_str()),
                    "{body:?}"
                );
            }
        }
    }

    #[test]
    fn a_get_carries_the_operation_in_the_query_in_native_only() {
        let value = json!({"type": "query", "method": "get", "query": "{ x }", "operationName": "N",
            "variables": {"id": "{id}"}});
        let sent = "operationName=N&query=%7B+x+%7D&variables=%7B%22id%22%3A%2212%22%7D";
        let native = prepared(&value, Some("old"), Dialect::Native);
        assert_eq!(native.url, format!("http://u/up?a=1&{sent}"));
        let krakend = prepared(&value, Some("old"), Dialect::Krakend);
        assert_eq!(krakend.url, "http://u/up?a=1");
        for request in [native, krakend] {
            assert_eq!(request.method, Method::GET);
            assert_eq!(request.query, format!("a=1&{sent}"));
            assert_eq!(request.header(&CONTENT_LENGTH).unwrap(), "0");
            assert_eq!(request.header(&CONTENT_TYPE).unwrap(), "text/plain");
            assert_eq!(request.body.unwrap(), "");
        }
        let mutation = json!({"type": "mutation", "method": "GET", "query": "m"});
        let request = prepared(&mutation, Some(r#"{"v":1}"#), Dialect::Native);
        assert_eq!(
            request.url,
            "http://u/up?a=1&query=m&variables=%7B%22v%22%3A1%7D"
        );
    }

    #[test]
    fn the_query_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "query {\n  y\n}").unwrap();
        let path = file.path().to_str().unwrap();
        let value = json!({"type": "query", "query": "{ x }", "query_path": path});
        assert_eq!(
            body_of(&value, None, Dialect::Native),
            r#"{"query":"query {\n  y\n}"}"#
        );
    }

    #[test]
    fn what_cannot_be_used_refuses_a_native_start_and_is_left_out_in_the_krakend_dialect() {
        let ok = |key: &str, value: serde_json::Value| {
            let mut all = json!({"type": "query", "query": "q"});
            all.as_object_mut().unwrap().insert(key.to_owned(), value);
            all
        };
        for (value, place) in [
            (json!({"query": "q"}), "/g/type"),
            (ok("type", json!("subscription")), "/g/type"),
            (
                ok("query_path", json!("/no/such/file.graphql")),
                "/g/query_path",
            ),
            (ok("query", json!(" ")), "/g/query"),
            (ok("query", json!(5)), "/g/query"),
            (ok("variables", json!([])), "/g/variables"),
            (ok("operationName", json!({})), "/g/operationName"),
        ] {
            for dialect in [Dialect::Native, Dialect::Krakend] {
                let mut report = Report::default();
                let mut draft = BackendDraft::default();
                let mut settings = Settings::new(&value, "/g", &mut report);
                build(&mut settings, &mut draft, dialect).unwrap();
                assert!(draft.pipe.is_empty(), "{value}");
                assert_eq!(report.has_errors(), dialect == Dialect::Native, "{value}");
                assert_eq!(report.problems[0].pointer, place, "{value}");
                assert!(report.problems[0].hint.is_some());
            }
        }
    }
}
