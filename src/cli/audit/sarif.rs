//! Findings as SARIF 2.1.0, which code hosts show beside the lines. One result for each place.

use crate::base::version::VERSION;
use crate::compile::audit::{Finding, Rule, Severity};
use crate::config::Source;
use serde_json::{Value, json};

/// Results that are told at most; code hosts refuse longer logs.
const MOST: usize = 5000;

/// The log of one run.
pub(super) fn log(findings: &[Finding], source: &Source) -> Value {
    let rules: Vec<Value> = findings
        .iter()
        .map(|finding| described(finding.rule))
        .collect();
    let mut results = Vec::new();
    for (index, finding) in findings.iter().enumerate() {
        if finding.places.is_empty() {
            results.push(result(index, finding, "", source));
        }
        results.extend(
            finding
                .places
                .iter()
                .map(|pointer| result(index, finding, pointer, source)),
        );
    }
    results.truncate(MOST);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "hanzo-gateway",
                "semanticVersion": VERSION,
                "informationUri": "https://github.com/hanzoai/gateway",
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// A number from 0 to 10 by which code hosts sort.
const fn weight(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.0",
        Severity::Low => "2.0",
    }
}

fn described(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "help": {"text": rule.advice},
        "defaultConfiguration": {"level": level(rule.severity)},
        "properties": {
            "severity": rule.severity.word(),
            "security-severity": weight(rule.severity),
            "tags": ["security", "configuration"],
        },
    })
}

fn result(index: usize, finding: &Finding, pointer: &str, source: &Source) -> Value {
    let rule = finding.rule;
    // A code host shows nothing without a line: what is about the whole file stands at its beginning.
    let spot = source.spot(source.locate_key(pointer).unwrap_or((1, 1)));
    let place = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(spot.file)},
            "region": {"startLine": spot.line, "startColumn": spot.column},
        },
        "logicalLocations": [{"fullyQualifiedName": pointer, "kind": "member"}],
    });
    json!({
        "ruleId": rule.id,
        "ruleIndex": index,
        "level": level(rule.severity),
        "message": {"text": format!("{}: {}", rule.title, rule.advice)},
        "locations": [place],
    })
}

/// A path as a reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("conf/my file.json"), "conf/my%20file.json");
        assert_eq!(uri("/etc/krakend.json"), "file:///etc/krakend.json");
    }
}
