//! `audit`: the findings of `compile::audit` as text, JSON, SARIF or through a template. Exit code 1 when
//! anything was found, as KrakenD's.
//!
//! Differs from KrakenD: places, JSON and SARIF; what is found goes to standard output (the krakend
//! dialect writes everything to standard error, as there); a file with errors is reported as `check` does.

mod sarif;
mod template;

use crate::base::Dialect;
use crate::cli::args::Audit;
use crate::cli::input::{self, Loaded};
use crate::cli::paint::{self, Paint};
use crate::cli::{GOOD, PROBLEMS, USAGE, report};
use crate::compile::Shared;
use crate::compile::audit::{self as rules, Finding, Severity};
use crate::config::Source;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read;

/// Places that are shown of one finding.
const SHOWN: usize = 3;
/// The longest file of rules to ignore.
const MOST: u64 = 1 << 20;

/// Runs `audit`; `krakend` says whether the program was called by that name.
pub fn audit(args: &Audit, krakend: bool) -> u8 {
    if args.rules {
        paint::print(&listed(args));
        return GOOD;
    }
    let shared = match Shared::new(1) {
        Ok(shared) => shared,
        Err(error) => {
            paint::talk(&format!("internal fault: {error}"));
            return PROBLEMS;
        }
    };
    let loaded = input::load(&args.input, krakend, None, &shared, false);
    let choice = match Choice::new(args, loaded.dialect) {
        Ok(choice) => choice,
        Err(message) => {
            paint::talk(&message);
            return USAGE;
        }
    };
    let Some(document) = loaded
        .document
        .as_ref()
        .filter(|_| !loaded.report.has_errors())
    else {
        return broken(&loaded, args);
    };
    let mut findings = rules::audit(document, loaded.dialect);
    findings.retain(|finding| choice.wants(finding));
    match shown(&findings, &loaded, args) {
        Ok(text) => say(&text, loaded.dialect),
        Err(message) => {
            paint::talk(&message);
            return PROBLEMS;
        }
    }
    if findings.is_empty() { GOOD } else { PROBLEMS }
}

/// Whether findings are for a program.
fn is_json(args: &Audit) -> bool {
    args.json || args.format == "json"
}

/// A file that cannot be judged is told about as by `check`.
fn broken(loaded: &Loaded, args: &Audit) -> u8 {
    if is_json(args) {
        paint::print(&format!(
            "{}\n",
            report::machine(&loaded.report, &loaded.source)
        ));
    } else {
        report::talk(&loaded.report, &loaded.source);
    }
    PROBLEMS
}

fn say(text: &str, dialect: Dialect) {
    match dialect {
        Dialect::Native => paint::print(text),
        Dialect::Krakend if text.is_empty() => {}
        Dialect::Krakend => paint::talk(text.trim_end_matches('\n')),
    }
}

/// Which findings are wanted.
struct Choice {
    ignored: BTreeSet<String>,
    severities: Vec<String>,
}

impl Choice {
    fn new(args: &Audit, dialect: Dialect) -> Result<Self, String> {
        let mut ignored: BTreeSet<String> = args.ignore.iter().map(|id| plain(id)).collect();
        if let Some(path) = &args.ignore_file {
            let name = report::printable(&path.display().to_string());
            let text = read(path).map_err(|error| format!("the file of rules {name}: {error}"))?;
            ignored.extend(text.lines().map(plain));
        }
        ignored.remove("");
        for id in ignored
            .iter()
            .filter(|id| !rules::rules().any(|rule| rule.id == **id))
        {
            paint::talk(&format!(
                "no rule has the number {}; it is ignored",
                report::printable(id)
            ));
        }
        let mut severities = Vec::new();
        for written in &args.severity {
            let word = written.trim();
            // KrakenD compares letter by letter; what is none of its words chooses nothing.
            let known = Severity::ALL.iter().find(|severity| match dialect {
                Dialect::Native => severity.word().eq_ignore_ascii_case(word),
                Dialect::Krakend => severity.word() == word,
            });
            match known {
                Some(severity) => severities.push(severity.word().to_owned()),
                None if dialect == Dialect::Native && !word.is_empty() => {
                    let word = report::printable(word);
                    return Err(format!(
                        "\"{word}\" is no severity: write CRITICAL, HIGH, MEDIUM or LOW"
                    ));
                }
                None => {}
            }
        }
        Ok(Self {
            ignored,
            severities,
        })
    }

    fn wants(&self, finding: &Finding) -> bool {
        let word = finding.rule.severity.word();
        !self.ignored.contains(finding.rule.id) && self.severities.iter().any(|known| known == word)
    }
}

/// A number without the spaces around and in it.
fn plain(id: &str) -> String {
    id.split_whitespace().collect()
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(MOST)
        .read_to_string(&mut text)?;
    Ok(text)
}

fn shown(findings: &[Finding], loaded: &Loaded, args: &Audit) -> Result<String, String> {
    let source = &loaded.source;
    let whole = |value: Value| Ok(format!("{value:#}\n"));
    match args.format.as_str() {
        _ if is_json(args) => whole(machine(findings, source)),
        "sarif" => whole(sarif::log(findings, source)),
        "text" => {
            let paint = match loaded.dialect {
                Dialect::Native => Paint::stdout(),
                Dialect::Krakend => Paint::stderr(),
            };
            Ok(text(findings, source, loaded.dialect, paint))
        }
        written => template::render(written, findings),
    }
}

/// A line for each rule, and natively the places under it.
fn text(findings: &[Finding], source: &Source, dialect: Dialect, paint: Paint) -> String {
    let mut out = String::new();
    for finding in findings {
        let rule = finding.rule;
        let severity = painted(rule.severity, paint);
        out.push_str(&format!("{}\t[{severity}]   \t{}\n", rule.id, rule.title));
        if dialect == Dialect::Krakend {
            continue;
        }
        for pointer in finding.places.iter().take(SHOWN) {
            let place = match source.locate_key(pointer) {
                Some(place) => {
                    let spot = source.spot(place);
                    format!("{}:{}:{}: {pointer}", spot.file, spot.line, spot.column)
                }
                None => pointer.clone(),
            };
            out.push_str(&paint.dim(&format!("\t{}", report::printable(&place))));
            out.push('\n');
        }
        if let Some(more) = finding
            .places
            .len()
            .checked_sub(SHOWN)
            .filter(|more| *more > 0)
        {
            out.push_str(&paint.dim(&format!("\tand {more} more (--json shows all)")));
            out.push('\n');
        }
        out.push_str(&format!("\t= {}\n", rule.advice));
    }
    out
}

/// A severity in KrakenD's colours.
fn painted(severity: Severity, paint: Paint) -> String {
    let word = severity.word();
    match severity {
        Severity::Low => paint.green(word),
        Severity::Medium => paint.yellow(word),
        Severity::High | Severity::Critical => paint.red(word),
    }
}

/// As KrakenD's `marshal`, with places.
fn machine(findings: &[Finding], source: &Source) -> Value {
    let all: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let places: Vec<Value> = finding
                .places
                .iter()
                .map(|pointer| {
                    let spot = source.locate_key(pointer).map(|place| source.spot(place));
                    json!({
                        "pointer": pointer,
                        "file": spot.map(|spot| spot.file),
                        "line": spot.map(|spot| spot.line),
                        "column": spot.map(|spot| spot.column),
                    })
                })
                .collect();
            json!({
                "rule": finding.rule.id,
                "severity": finding.rule.severity.word(),
                "message": finding.rule.title,
                "advice": finding.rule.advice,
                "places": places,
            })
        })
        .collect();
    let count = |severity: Severity| {
        findings
            .iter()
            .filter(|finding| finding.rule.severity == severity)
            .count()
    };
    json!({
        "schema": 1,
        "file": source.name,
        "recommendations": all,
        "stats": {
            "critical": count(Severity::Critical),
            "high": count(Severity::High),
            "medium": count(Severity::Medium),
            "low": count(Severity::Low),
        },
    })
}

/// Every rule there is.
fn listed(args: &Audit) -> String {
    if is_json(args) {
        let all: Vec<Value> = rules::rules()
            .map(|rule| json!({"rule": rule.id, "severity": rule.severity.word(), "message": rule.title, "advice": rule.advice}))
            .collect();
        return format!("{:#}\n", json!({"schema": 1, "rules": all}));
    }
    let paint = Paint::stdout();
    rules::rules()
        .map(|rule| {
            format!(
                "{}\t[{}]   \t{}\n",
                rule.id,
                painted(rule.severity, paint),
                rule.title
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
