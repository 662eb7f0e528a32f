//! Choosing and showing findings.

use super::*;
use crate::cli::args::{Args, Command};
use crate::config::{Document, Format, LoadOptions, parse};
use clap::Parser;

fn args(flags: &[&str]) -> Audit {
    let line = ["hanzo-gateway", "audit"].iter().chain(flags);
    let Command::Audit(args) = Args::try_parse_from(line).unwrap().command else {
        unreachable!("`audit` was asked for")
    };
    args
}

fn document(text: &str) -> Document {
    let mut report = crate::base::Report::default();
    parse(
        "krakend.json",
        text,
        Format::Json,
        &LoadOptions::default(),
        &mut report,
    )
    .unwrap()
}

const TEXT: &str = "{\n  \"version\": 3,\n  \"debug_endpoint\": true\n}";

fn chosen(flags: &[&str], dialect: Dialect) -> Vec<&'static str> {
    let choice = Choice::new(&args(flags), dialect).unwrap();
    let findings = rules::audit(&document(TEXT), dialect);
    findings
        .iter()
        .filter(|finding| choice.wants(finding))
        .map(|finding| finding.rule.id)
        .collect()
}

#[test]
fn rules_and_severities_can_be_left_out() {
    assert!(chosen(&[], Dialect::Native).contains(&"5.1.2"));
    assert!(!chosen(&["-i", "1.1.1, 5.1.2"], Dialect::Native).contains(&"5.1.2"));
    assert!(!chosen(&["-s", "HIGH,CRITICAL"], Dialect::Native).contains(&"5.1.2"));
    assert!(chosen(&["-s", "low"], Dialect::Native).contains(&"5.1.2"));
    assert!(
        chosen(&["-s", "low"], Dialect::Krakend).is_empty(),
        "KrakenD compares letter by letter"
    );
    assert!(Choice::new(&args(&["-s", "worst"]), Dialect::Native).is_err());
}

#[test]
fn a_file_names_rules_to_leave_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ignore");
    std::fs::write(&path, "2.1.2\n\n 5.1.2 \n").unwrap();
    let path = path.to_str().unwrap();
    let left = chosen(&["-I", path], Dialect::Native);
    assert!(!left.contains(&"5.1.2") && !left.contains(&"2.1.2") && left.contains(&"2.1.7"));
    assert!(Choice::new(&args(&["-I", "/no/such/file"]), Dialect::Native).is_err());
}

fn only(id: &str) -> (Vec<Finding>, Source) {
    let document = document(TEXT);
    let mut findings = rules::audit(&document, Dialect::Native);
    findings.retain(|finding| finding.rule.id == id);
    (findings, document.source)
}

#[test]
fn text_is_krakends_line_and_natively_the_place() {
    let (findings, source) = only("5.1.2");
    let native = text(&findings, &source, Dialect::Native, Paint::plain());
    assert!(
        native.starts_with(
            "5.1.2\t[LOW]   \tthe debug endpoint is on\n\tkrakend.json:3:3: /debug_endpoint\n"
        ),
        "{native}"
    );
    let krakend = text(&findings, &source, Dialect::Krakend, Paint::plain());
    assert_eq!(krakend, "5.1.2\t[LOW]   \tthe debug endpoint is on\n");
}

#[test]
fn json_has_krakends_names_and_places() {
    let (findings, source) = only("5.1.2");
    let value = machine(&findings, &source);
    assert_eq!(value["recommendations"][0]["rule"], "5.1.2");
    assert_eq!(value["recommendations"][0]["severity"], "LOW");
    assert_eq!(value["recommendations"][0]["places"][0]["line"], 3);
    assert_eq!(value["stats"]["low"], 1);
}

#[test]
fn sarif_names_rule_level_and_line() {
    let (findings, source) = only("5.1.2");
    let log = sarif::log(&findings, &source);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["level"], "note");
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], result["ruleId"]);
    assert_eq!(
        result["locations"][0]["physicalLocation"]["region"]["startLine"],
        3
    );
    let (absent, source) = only("2.1.2");
    let log = sarif::log(&absent, &source);
    assert_eq!(
        log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"],
        1
    );
}

#[test]
fn a_template_of_krakends_users_works() {
    let (findings, _) = only("5.1.2");
    let text = template::render(
        "{{range .Recommendations}}{{.Rule}}|{{colored .Severity}}{{end}}",
        &findings,
    );
    assert_eq!(text.unwrap().replace(['\u{1b}'], ""), "5.1.2|LOW");
    let text = template::render("{{marshal .}}", &findings).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value["recommendations"][0]["message"],
        "the debug endpoint is on"
    );
    assert_eq!(value["stats"], json!({}));
    assert!(template::render("{{range", &findings).is_err());
}

#[test]
fn every_rule_is_listed() {
    assert_eq!(
        listed(&args(&["--rules"])).lines().count(),
        rules::rules().count()
    );
}
