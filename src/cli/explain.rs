//! `explain METHOD URL`: why a request would get what it would get. A readable walk, or JSON. Exit code 0
//! when the request is served, 1 when it is refused, 2 when the command line is wrong.

mod split;

use crate::base::{Dialect, secret};
use crate::cli::args::Explain;
use crate::cli::input::{self, Loaded};
use crate::cli::paint::{self, Paint};
use crate::cli::report::{self, printable};
use crate::cli::{GOOD, PROBLEMS, USAGE};
use crate::compile::Shared;
use crate::compile::explain::{
    CallPlan, Dropped, Explanation, Outcome, Place, Request, Verdict, explain as walk,
};
use crate::config::Source;
use crate::gateway::head::BodySize;
use crate::gateway::lane::Slow;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs `explain`; `krakend` says whether the program was called by that name.
pub fn explain(args: &Explain, krakend: bool) -> u8 {
    let request = match request(args) {
        Ok(request) => request,
        Err(why) => {
            paint::talk(&why);
            return USAGE;
        }
    };
    let shared = match Shared::new(1) {
        Ok(shared) => shared,
        Err(error) => {
            paint::talk(&format!("internal fault: {error}"));
            return PROBLEMS;
        }
    };
    let loaded = input::load(&args.input, krakend, None, &shared, false);
    let Loaded {
        document: Some(document),
        compiled: Some(compiled),
        source,
        dialect,
        ..
    } = loaded
    else {
        report::talk_errors(&loaded.report, &loaded.source);
        paint::talk("the file has errors, so no gateway would serve it: see above");
        return PROBLEMS;
    };
    let explanation = walk(&document, Arc::new(compiled.gateway), &request);
    if args.json {
        let object = machine(&explanation, &request, &source, dialect);
        paint::print(&format!("{object}\n"));
    } else {
        paint::print(&text(&explanation, &request, &source, Paint::stdout()));
    }
    match explanation.verdict {
        Verdict::Refused { .. } => PROBLEMS,
        Verdict::Served | Verdict::Answered { .. } => GOOD,
    }
}

/// The request of the command line.
fn request(args: &Explain) -> Result<Request, String> {
    let (method, url) = match &args.url {
        Some(url) => (args.method.to_ascii_uppercase(), url.as_str()),
        None => ("GET".to_owned(), args.method.as_str()),
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| {
        format!(
            "`{}` is no method; write for example GET",
            method.escape_debug()
        )
    })?;
    let url = Url::of(url)?;
    let mut host = url.host;
    let mut fields = Vec::new();
    for line in &args.headers {
        let (name, value) = line.split_once(':').ok_or_else(|| {
            let shown = line.escape_debug();
            format!("`{shown}` is no header field; write for example -H 'Accept: text/plain'")
        })?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("host") {
            value.clone_into(&mut host);
        } else {
            fields.push((name.trim().to_owned(), value.as_bytes().to_vec()));
        }
    }
    if let Some(token) = &args.token {
        fields.push((
            "Authorization".to_owned(),
            format!("Bearer {token}").into_bytes(),
        ));
    }
    let has = |name: &str| fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let body = match &args.data {
        Some(data) => {
            if !has("content-length") && !has("transfer-encoding") {
                fields.push((
                    "Content-Length".to_owned(),
                    data.len().to_string().into_bytes(),
                ));
            }
            BodySize::Known(data.len() as u64)
        }
        None => BodySize::None,
    };
    fields.insert(0, ("Host".to_owned(), host.clone().into_bytes()));
    Ok(Request {
        method,
        path: url.path,
        query: url.query,
        host: host.into_bytes(),
        fields,
        peer: args.client,
        secure: url.secure,
        version: "1.1",
        body,
    })
}

/// A URL or a path of the command line.
struct Url {
    secure: bool,
    host: String,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
}

impl Url {
    fn of(text: &str) -> Result<Self, String> {
        let (secure, rest) = match text.split_once("://") {
            _ if text.starts_with('/') => (false, None),
            Some(("http", rest)) => (false, Some(rest)),
            Some(("https", rest)) => (true, Some(rest)),
            Some((scheme, _)) => {
                let scheme = scheme.escape_debug();
                return Err(format!(
                    "`{scheme}` is no scheme of HTTP; write http, https or only a path"
                ));
            }
            None => (false, None),
        };
        let (host, target) = match rest {
            Some(rest) => {
                let (host, target) =
                    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                let slash = if target.starts_with('/') { "" } else { "/" };
                (host.to_owned(), format!("{slash}{target}"))
            }
            None => ("localhost".to_owned(), text.to_owned()),
        };
        if !target.starts_with('/') && target != "*" {
            let shown = target.escape_debug();
            return Err(format!(
                "`{shown}` is no URL and no path; write for example /v1/users?page=2"
            ));
        }
        // A client keeps the fragment for itself.
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes().to_vec())),
            None => (target, None),
        };
        Ok(Self {
            secure,
            host,
            path: path.as_bytes().to_vec(),
            query,
        })
    }
}

/// Path and query, without values that are secrets by their names.
fn target(request: &Request) -> String {
    let mut target = String::from_utf8_lossy(&request.path).into_owned();
    if let Some(query) = &request.query {
        target.push('?');
        target.push_str(&String::from_utf8_lossy(query));
    }
    secret::query_masked(&target)
}

/// Lines of the walk.
struct Page<'a> {
    out: String,
    paint: Paint,
    source: &'a Source,
}

impl Page<'_> {
    /// One line; where it comes from stands behind it.
    fn line(&mut self, indent: usize, text: &str, place: Option<&Place>) {
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(text);
        if let Some(place) = place {
            let place = match place.position {
                Some(at) => {
                    let spot = self.source.spot(at);
                    format!("  ({} at {}:{})", place.pointer, spot.file, spot.line)
                }
                None => format!("  ({}, not from the file)", place.pointer),
            };
            self.out.push_str(&self.paint.dim(&printable(&place)));
        }
        self.out.push('\n');
    }

    fn dropped(&mut self, what: &str, all: &[Dropped]) {
        for dropped in all {
            let name = self.paint.yellow(&printable(&dropped.name));
            let text = format!(
                "{what} {name} is not forwarded: {}",
                printable(&dropped.why)
            );
            self.line(7, &text, dropped.because.as_ref());
            if let Some(fix) = &dropped.fix {
                self.line(9, &format!("→ {}", printable(fix)), None);
            }
        }
    }

    fn call(&mut self, number: usize, call: &CallPlan) {
        let heading = match &call.target {
            Ok(target) => {
                let url = secret::query_masked(call.urls.first().unwrap_or(target));
                format!("{} {url}", call.method)
            }
            Err(why) => format!("{}: no URL can be built: {why}", call.method),
        };
        let heading = self.paint.bold(&printable(&heading));
        self.line(
            3,
            &format!("backend {number}: {heading}"),
            Some(&call.place),
        );
        if call.urls.is_empty() && call.target.is_ok() {
            self.line(
                7,
                &self.paint.red("it has no host that can be called"),
                None,
            );
        }
        if call.urls.len() > 1 {
            self.line(7, &format!("or one of {} hosts:", call.urls.len()), None);
            for url in &call.urls {
                self.line(9, &printable(&secret::query_masked(url)), None);
            }
        }
        if let Some((text, place)) = &call.regions {
            let text = format!("regions: {}", printable(text));
            self.line(7, &text, place.as_ref());
        }
        for (text, place) in &call.guards {
            self.line(7, &format!("guard: {}", printable(text)), place.as_ref());
        }
        for (text, place) in &call.missing {
            self.line(7, &self.paint.yellow(&printable(text)), place.as_ref());
        }
        for field in &call.fields {
            let whose = if field.from_client {
                "the client's"
            } else {
                "the gateway's"
            };
            let text = format!("{}: {}", field.name, printable(&field.value));
            self.line(7, &format!("sends {text}  {}", self.paint.dim(whose)), None);
        }
        self.line(7, &format!("body: {}", call.body), None);
        self.dropped("field", &call.dropped_fields);
        self.dropped("query parameter", &call.dropped_query);
        for (text, place) in &call.answer {
            self.line(7, &format!("answer: {}", printable(text)), place.as_ref());
        }
    }
}

fn text(explanation: &Explanation, request: &Request, source: &Source, paint: Paint) -> String {
    let mut page = Page {
        out: String::new(),
        paint,
        source,
    };
    let title = format!("{} {}", request.method, printable(&target(request)));
    page.line(0, &paint.bold(&title), None);
    for (index, step) in explanation.steps.iter().enumerate() {
        let mark = match step.outcome {
            Outcome::Passed => paint.green("ok"),
            Outcome::Missing => paint.yellow("MISSING"),
            Outcome::Answered => paint.bold("ANSWERED"),
            Outcome::Refused => paint.red("REFUSED"),
        };
        let text = format!(
            "{}. {}: {mark}  {}",
            index + 1,
            step.name,
            printable(&step.text)
        );
        page.line(0, &text, step.because.as_ref());
        for (note, place) in &step.notes {
            page.line(7, &printable(note), place.as_ref());
        }
    }
    match &explanation.split {
        Some(split) => page.split(split),
        None => {
            for (index, call) in explanation.calls.iter().enumerate() {
                page.call(index + 1, call);
            }
        }
    }
    page.line(0, &verdict(explanation, paint), None);
    page.out
}

fn verdict(explanation: &Explanation, paint: Paint) -> String {
    match &explanation.verdict {
        Verdict::Served => {
            let by = explanation.endpoint.as_deref().unwrap_or_default();
            let n = explanation.calls.len();
            let backends = if n == 1 {
                "1 backend".to_owned()
            } else {
                format!("{n} backends")
            };
            format!(
                "{} by {}, which calls {backends}",
                paint.green("served"),
                printable(by)
            )
        }
        Verdict::Answered { status } => {
            format!(
                "{} by the gateway itself: {status}",
                paint.green("answered")
            )
        }
        Verdict::Refused {
            status,
            reason,
            text,
        } => format!(
            "{}: {status} {} (reason {}): {}",
            paint.red("refused"),
            reason.code(),
            reason.word(),
            printable(text)
        ),
    }
}

fn place(source: &Source, place: Option<&Place>) -> Value {
    place.map_or(Value::Null, |place| {
        let spot = place.position.map(|at| source.spot(at));
        json!({
            "pointer": place.pointer,
            "file": spot.map(|spot| spot.file),
            "line": spot.map(|spot| spot.line),
            "column": spot.map(|spot| spot.column),
        })
    })
}

fn pairs(source: &Source, all: &[(String, Option<Place>)]) -> Vec<Value> {
    all.iter()
        .map(|(text, at)| json!({"text": text, "because": place(source, at.as_ref())}))
        .collect()
}

fn machine(
    explanation: &Explanation,
    request: &Request,
    source: &Source,
    dialect: Dialect,
) -> Value {
    let steps: Vec<Value> = explanation
        .steps
        .iter()
        .map(|step| {
            let outcome = match step.outcome {
                Outcome::Passed => "passed",
                Outcome::Missing => "missing",
                Outcome::Answered => "answered",
                Outcome::Refused => "refused",
            };
            json!({
                "step": step.name, "outcome": outcome, "text": step.text,
                "because": place(source, step.because.as_ref()), "notes": pairs(source, &step.notes),
            })
        })
        .collect();
    let verdict = match &explanation.verdict {
        Verdict::Served => json!({"outcome": "served"}),
        Verdict::Answered { status } => json!({"outcome": "answered", "status": status}),
        Verdict::Refused {
            status,
            reason,
            text,
        } => json!({
            "outcome": "refused", "status": status, "error": reason.code(),
            "reason": reason.word(), "message": text,
        }),
    };
    json!({
        "schema": 1,
        "file": source.name,
        "dialect": if dialect == Dialect::Native { "native" } else { "krakend" },
        "request": {
            "method": request.method.as_str(), "target": target(request),
            "client": request.peer.to_string(),
        },
        "endpoint": explanation.endpoint,
        "steps": steps,
        "lane": explanation.lane.map(|lane| json!({
            "fast": lane.is_ok(),
            "reason": lane.err().map(Slow::word),
        })),
        "split": explanation.split.as_ref().map(|found| split::machine(source, found)),
        "backends": explanation.calls.iter().map(|plan| call(source, plan)).collect::<Vec<_>>(),
        "verdict": verdict,
    })
}

fn call(source: &Source, call: &CallPlan) -> Value {
    let dropped = |all: &[Dropped]| -> Vec<Value> {
        all.iter()
            .map(|d| {
                let because = place(source, d.because.as_ref());
                json!({"name": d.name, "why": d.why, "fix": d.fix, "because": because})
            })
            .collect()
    };
    let fields: Vec<Value> = call
        .fields
        .iter()
        .map(|f| json!({"name": f.name, "value": f.value, "from_client": f.from_client}))
        .collect();
    json!({
        "at": place(source, Some(&call.place)),
        "method": call.method,
        "target": call.target.as_ref().ok().map(|target| secret::query_masked(target)),
        "urls": call.urls.iter().map(|url| secret::query_masked(url)).collect::<Vec<_>>(),
        "fields": fields,
        "guards": pairs(source, &call.guards),
        "body": call.body,
        "dropped_fields": dropped(&call.dropped_fields),
        "dropped_query": dropped(&call.dropped_query),
        "answer": pairs(source, &call.answer),
        "missing": pairs(source, &call.missing),
        "regions": call.regions.as_ref().map(|(text, _)| text),
        "refused": call.refused.map(crate::base::Reason::word),
    })
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;
