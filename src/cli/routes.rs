//! `check -t`: the routes of a compiled configuration and how each is answered, as a table and as JSON.

use crate::cli::report::printable;
use crate::config::duration;
use crate::gateway::snapshot::{Endpoint, Gateway, Plan};
use serde_json::{Value, json};
use std::time::Duration;

/// A line for each route: method, path, how it is answered, timeout.
pub fn table(gateway: &Gateway) -> String {
    let rows: Vec<[String; 4]> = gateway.endpoints.iter().map(row).collect();
    let wide = |column: usize, least: usize| {
        let widths = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        widths.max().unwrap_or_default().max(least)
    };
    let (method, path, answer) = (wide(0, 6), wide(1, 4).min(60), wide(2, 6));
    let mut out = String::new();
    for [a, b, c, d] in &rows {
        out.push_str(&format!("{a:<method$}  {b:<path$}  {c:<answer$}  {d}\n"));
    }
    let own = gateway.builtins.len();
    out.push_str(&format!(
        "{} route{}, and {own} of the gateway itself\n",
        rows.len(),
        if rows.len() == 1 { "" } else { "s" }
    ));
    out
}

/// The same for machines.
pub fn machine(gateway: &Gateway) -> Value {
    let all: Vec<Value> = gateway
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "method": endpoint.method.as_str(),
                "path": endpoint.pattern,
                "pointer": endpoint.pointer,
                "answer": word(endpoint),
                "backends": backends(endpoint),
                "timeout": span(endpoint.timeout),
            })
        })
        .collect();
    Value::Array(all)
}

fn row(endpoint: &Endpoint) -> [String; 4] {
    let answer = match backends(endpoint) {
        1 => word(endpoint).to_owned(),
        several => format!("{} of {several} backends", word(endpoint)),
    };
    [
        endpoint.method.to_string(),
        printable(&endpoint.pattern),
        answer,
        span(endpoint.timeout),
    ]
}

fn span(timeout: Duration) -> String {
    duration::format(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX))
}

const fn word(endpoint: &Endpoint) -> &'static str {
    match endpoint.plan {
        Plan::Stream(_) => "streamed",
        Plan::Compose(_) => "composed",
    }
}

fn backends(endpoint: &Endpoint) -> usize {
    match &endpoint.plan {
        Plan::Stream(_) => 1,
        Plan::Compose(compose) => compose.backends.len(),
    }
}
