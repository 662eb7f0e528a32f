//! How findings are shown: to people with the line they stand in, to machines as one JSON object.
//!
//! KrakenD stops at its first finding and names no line.

use crate::base::{Code, Problem, Report, Severity, secret};
use crate::cli::paint::{self, Paint};
use crate::config::Source;
use crate::config::template::origin::Spot;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many findings of one kind are shown in full.
const SHOWN: usize = 10;
/// Longest part of a source line that is shown, in characters.
const WIDE: usize = 120;
/// How much of it stands before the place in question.
const BEFORE: usize = 60;

/// Shows findings and their number on standard error; silent when there is none.
pub fn talk(report: &Report, source: &Source) {
    let paint = Paint::stderr();
    if report.problems.is_empty() {
        return;
    }
    paint::talk(&format!(
        "{}{}",
        text(report, source, paint),
        counts(report, paint)
    ));
}

/// Shows only what refuses a file, for commands that cannot go on without it.
pub fn talk_errors(report: &Report, source: &Source) {
    let errors = report
        .problems
        .iter()
        .filter(|p| p.severity == Severity::Error);
    talk(
        &Report {
            problems: errors.cloned().collect(),
        },
        source,
    );
}

/// The findings as text, each a paragraph that ends in a line break.
pub fn text(report: &Report, source: &Source, paint: Paint) -> String {
    let mut totals: BTreeMap<(Code, Severity), usize> = BTreeMap::new();
    for problem in &report.problems {
        *totals.entry((problem.code, problem.severity)).or_default() += 1;
    }
    let mut shown: BTreeMap<(Code, Severity), usize> = BTreeMap::new();
    let mut out = String::new();
    for problem in &report.problems {
        let kind = (problem.code, problem.severity);
        let total = totals.get(&kind).copied().unwrap_or_default();
        let so_far = shown.entry(kind).or_default();
        *so_far += 1;
        // One more is no longer than the sentence that stands for it.
        if *so_far <= SHOWN || (total == SHOWN + 1) {
            out.push_str(&paragraph(problem, source, paint));
        } else if *so_far == SHOWN + 1 {
            let more = format!(
                "{} and {} more like this (--json shows all)\n",
                heading(problem, paint),
                total - SHOWN
            );
            out.push_str(&more);
        }
    }
    out
}

/// `2 errors, 3 warnings`.
pub fn counts(report: &Report, paint: Paint) -> String {
    let words = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let (errors, warnings) = (report.errors(), report.warnings());
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(paint.red(&words(errors, "error")));
    }
    if warnings > 0 {
        parts.push(paint.yellow(&words(warnings, "warning")));
    }
    parts.join(", ")
}

/// The findings for machines; only grows within one schema number.
pub fn machine(report: &Report, source: &Source) -> Value {
    let problems: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| {
            let (file, spot) = source.spot_problem(problem);
            json!({
                "code": problem.code.id(),
                "severity": severity(problem),
                "pointer": problem.pointer,
                "file": file,
                "line": spot.map(|spot| spot.line),
                "column": spot.map(|spot| spot.column),
                "message": problem.message,
                "hint": problem.hint,
            })
        })
        .collect();
    json!({
        "schema": 1,
        "file": source.name,
        "errors": report.errors(),
        "warnings": report.warnings(),
        "problems": problems,
    })
}

fn severity(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn heading(problem: &Problem, paint: Paint) -> String {
    let text = format!("{}[{}]", severity(problem), problem.code.id());
    match problem.severity {
        Severity::Error => paint.red(&text),
        Severity::Warning => paint.yellow(&text),
    }
}

fn paragraph(problem: &Problem, source: &Source, paint: Paint) -> String {
    let (file, spot) = source.spot_problem(problem);
    let name = printable(file);
    let place_text = match spot {
        Some(spot) => format!("{name}:{}:{}: ", spot.line, spot.column),
        None if name.is_empty() => String::new(),
        None => format!("{name}: "),
    };
    let mut out = format!(
        "{}{} {}\n",
        paint.bold(&place_text),
        heading(problem, paint),
        paint.bold(&printable(&problem.message))
    );
    if let Some(Spot {
        line,
        column,
        text: Some(text),
        ..
    }) = spot
    {
        let secret = problem.pointer.split('/').any(secret::hides);
        let (shown, caret) = excerpt(&secret::masked(text, secret), column);
        let gutter = format!("{line:>6} | ");
        out.push_str(&format!("{}{shown}\n", paint.dim(&gutter)));
        let arrow = match problem.severity {
            Severity::Error => paint.red("^"),
            Severity::Warning => paint.yellow("^"),
        };
        out.push_str(&format!(
            "{}{}{arrow}\n",
            paint.dim("       | "),
            " ".repeat(caret)
        ));
    }
    if !problem.pointer.is_empty() {
        out.push_str(&paint.dim(&format!("       = at: {}", printable(&problem.pointer))));
        out.push('\n');
    }
    if let Some(hint) = &problem.hint {
        out.push_str(&format!("       = hint: {}\n", printable(hint)));
    }
    out
}

/// The part of a line around a column (from 1) and how far in it the column stands. Files may be one
/// endless line, and may hold what a terminal would obey.
fn excerpt(line: &str, column: u32) -> (String, usize) {
    let at = (column as usize).saturating_sub(1);
    let from = if at > BEFORE + 20 { at - BEFORE } else { 0 };
    let mut rest = line.chars().skip(from);
    let mut shown = if from > 0 {
        "…".to_owned()
    } else {
        String::new()
    };
    let lead = shown.chars().count();
    for c in rest.by_ref().take(WIDE) {
        shown.push(if c.is_control() { ' ' } else { c });
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    (shown, at - from + lead)
}

/// A text without what a terminal would obey.
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Format, LoadOptions, parse};

    fn report(text: &str) -> (Report, Source) {
        let mut report = Report::default();
        let document = parse(
            "krakend.json",
            text,
            Format::Json,
            &LoadOptions::default(),
            &mut report,
        );
        (
            report,
            document.map_or_else(|| Source::plain("krakend.json", text), |d| d.source),
        )
    }

    #[test]
    fn shows_the_line_with_a_caret_and_the_hint() {
        let (report, source) = report("{\n  \"version\": 3,\n  \"tiemout\": \"2s\"\n}");
        let text = text(&report, &source, Paint::plain());
        assert!(
            text.starts_with("krakend.json:3:3: warning[HG0201] "),
            "{text}"
        );
        assert!(
            text.contains("\n     3 |   \"tiemout\": \"2s\"\n       |   ^\n"),
            "{text}"
        );
        assert!(text.contains("= at: /tiemout\n       = hint: "), "{text}");
    }

    #[test]
    fn endless_repeats_are_counted_instead() {
        let mut report = Report::default();
        for n in 0..25 {
            report.push(Problem::warning(Code::NotYet, format!("/{n}"), "x"));
        }
        let text = text(&report, &Source::plain("f", ""), Paint::plain());
        assert!(
            text.contains("warning[HG0203] and 15 more like this"),
            "{text}"
        );
        assert_eq!(text.matches("= at:").count(), SHOWN);
        assert_eq!(counts(&report, Paint::plain()), "25 warnings");
    }

    #[test]
    fn a_file_of_one_line_is_shown_in_part() {
        let line = format!("{}\u{1b}[31m{}", "a".repeat(5000), "b".repeat(5000));
        let (shown, caret) = excerpt(&line, 5001);
        assert!(shown.chars().count() <= WIDE + 2);
        assert_eq!(
            shown.chars().nth(caret),
            Some(' '),
            "the escape stands at the caret"
        );
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn machines_get_every_finding_with_its_place() {
        let (report, source) = report("{\"version\": 3, \"x\": 1}");
        let value = machine(&report, &source);
        assert_eq!(value["schema"], 1);
        assert_eq!(value["warnings"], 1);
        assert_eq!(value["problems"][0]["code"], "HG0201");
        assert_eq!(value["problems"][0]["column"], 16);
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_gets_through() {
        assert_eq!(printable("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
    }
}
