//! Findings through a template of KrakenD's users (`audit -f '{{range .Recommendations}}…'`).

use crate::cli::audit::painted;
use crate::cli::paint::Paint;
use crate::compile::audit::{Finding, Severity};
use gotmpl::{Template, TemplateError, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the template makes of the findings.
///
/// # Errors
/// When it cannot be parsed or carried out.
pub(super) fn render(written: &str, findings: &[Finding]) -> Result<String, String> {
    let failed = |error: TemplateError| format!("the template of --format: {error}");
    let template = Template::new("format")
        .func("marshal", |args| match args.first() {
            Some(value) => Ok(text(json(value).to_string())),
            None => Ok(text("null")),
        })
        .func("colored", |args| {
            let word = args.first().map(ToString::to_string).unwrap_or_default();
            let known = Severity::ALL
                .iter()
                .find(|severity| severity.word() == word);
            Ok(match known {
                Some(severity) => text(painted(*severity, Paint::stderr())),
                None => text(word),
            })
        })
        .parse(written)
        .map_err(failed)?;
    template.execute_to_string(&data(findings)).map_err(failed)
}

fn text(text: impl Into<Arc<str>>) -> Value {
    Value::String(text.into())
}

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.map(|(name, value)| (Arc::from(name), value));
    Value::Map(Arc::new(BTreeMap::from(members)))
}

fn data(findings: &[Finding]) -> Value {
    let all: Vec<Value> = findings
        .iter()
        .map(|finding| {
            map([
                ("Rule", text(finding.rule.id)),
                ("Severity", text(finding.rule.severity.word())),
                ("Message", text(finding.rule.title)),
            ])
        })
        .collect();
    map([
        ("Recommendations", Value::List(all.into())),
        ("Stats", map([])),
    ])
}

/// JSON under the names of KrakenD's fields, which begin with a small letter.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_ref().into(),
        Value::List(list) => list.iter().map(json).collect(),
        Value::Map(map) => {
            let members = map
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), json(value)));
            serde_json::Value::Object(members.collect())
        }
        _ => serde_json::Value::Null,
    }
}
