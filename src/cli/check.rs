//! `check`: everything that is wrong with a file, in KrakenD's sequence and words (reference section
//! 13.1), with KrakenD's exit codes: 0 when it would start, 1 when not.
//!
//! Differs from KrakenD: all findings are told and not only the first, routes are always tested (and
//! nothing is listened on for it), the linter needs no network and reads YAML and TOML too. `-t` prints
//! the table of routes.

use crate::base::{Code, Dialect, Problem, Report, Severity};
use crate::cli::args::Check;
use crate::cli::input::{self, Loaded};
use crate::cli::paint::{self, Paint};
use crate::cli::{GOOD, PROBLEMS, dump, report, routes};
use crate::compile::Shared;
use crate::compile::schema::lint;
use crate::config::load::MAX_SIZE;
use serde_json::Value;
use std::io::Read;

/// Runs `check`; `krakend` says whether the program was called by that name.
pub fn check(args: &Check, krakend: bool) -> u8 {
    let shared = match Shared::new(1) {
        Ok(shared) => shared,
        Err(error) => {
            paint::talk(&format!("internal fault: {error}"));
            return PROBLEMS;
        }
    };
    let mut loaded = input::load(&args.input, krakend, None, &shared, false);
    let stage = judge(&mut loaded, args, &input::environment());
    let code = if loaded.report.has_errors() {
        PROBLEMS
    } else {
        GOOD
    };
    if args.json {
        paint::print(&format!("{}\n", machine(&loaded, args)));
        return code;
    }
    let paint = Paint::stderr();
    if !loaded.source.name.is_empty() {
        paint::talk(&format!(
            "Parsing configuration file: {}",
            report::printable(&loaded.source.name)
        ));
    }
    report::talk(&loaded.report, &loaded.source);
    if stage != Some(Stage::Parse)
        && args.debug > 0
        && let Some(document) = &loaded.document
    {
        show(
            &dump::tree(document, args.debug, &args.indent),
            loaded.dialect,
        );
    }
    if args.test_routes
        && let Some(compiled) = &loaded.compiled
    {
        show(&routes::table(&compiled.gateway), loaded.dialect);
    }
    paint::talk(&match stage {
        Some(stage) => paint.red(stage.words()),
        None => paint.green("Syntax OK!"),
    });
    code
}

/// KrakenD's scripts look for data where KrakenD writes everything.
fn show(text: &str, dialect: Dialect) {
    match dialect {
        Dialect::Krakend => paint::talk(text.trim_end_matches('\n')),
        Dialect::Native => paint::print(text),
    }
}

fn machine(loaded: &Loaded, args: &Check) -> Value {
    let mut value = report::machine(&loaded.report, &loaded.source);
    if args.test_routes
        && let (Some(compiled), Some(map)) = (&loaded.compiled, value.as_object_mut())
    {
        map.insert("routes".to_owned(), routes::machine(&compiled.gateway));
    }
    value
}

/// Where a file failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Parse,
    Lint,
    Routes,
}

impl Stage {
    const fn words(self) -> &'static str {
        match self {
            Stage::Parse => "ERROR parsing the configuration file: see above",
            Stage::Lint => "ERROR linting the configuration file: see above",
            Stage::Routes => "ERROR testing the configuration file: see above",
        }
    }
}

/// Weighs the findings as asked for and names the first stage that refuses the file.
fn judge(loaded: &mut Loaded, args: &Check, env: &[(String, String)]) -> Option<Stage> {
    let report = &mut loaded.report;
    // KrakenD's plain check parses and nothing else.
    if loaded.dialect == Dialect::Krakend && !args.test_routes {
        for problem in report.problems.iter_mut().filter(|p| only_at_start(p)) {
            problem.severity = Severity::Warning;
            problem.hint = Some("`run` refuses this file, and so does `check -t`".to_owned());
        }
    }
    let before = failed(report);
    if before == Some(Stage::Parse) || !lints(args) {
        return before;
    }
    let held = report.errors();
    if let Some(document) = &loaded.document {
        let found = match &args.lint_schema {
            Some(path) => foreign(path, &document.root, loaded.dialect),
            None => lint::lint(&document.root, loaded.dialect),
        };
        for problem in found.into_iter().filter(|p| !overridden(p, env)) {
            weigh(report, problem);
        }
    }
    for problem in report
        .problems
        .iter_mut()
        .filter(|p| p.severity == Severity::Warning)
    {
        let twice = problem.code == Code::DuplicateKey && loaded.dialect == Dialect::Native;
        if args.strict || twice {
            problem.severity = Severity::Error;
        }
    }
    if report.errors() > held {
        Some(Stage::Lint)
    } else {
        before
    }
}

const fn lints(args: &Check) -> bool {
    args.lint || args.lint_no_network || args.strict || args.lint_schema.is_some()
}

/// The linter sees the file, not what the environment puts in its place.
fn overridden(problem: &Problem, env: &[(String, String)]) -> bool {
    let first = problem.pointer.split('/').nth(1).unwrap_or_default();
    let names = env
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("KRAKEND_"));
    !first.is_empty()
        && names
            .map(|name| name.to_lowercase())
            .any(|name| name.split('.').next() == Some(first))
}

/// A violation of the schema: it makes the warning about the same place an error, or is one of its own.
fn weigh(report: &mut Report, problem: Problem) {
    match report
        .problems
        .iter_mut()
        .find(|p| p.pointer == problem.pointer)
    {
        Some(known) if known.severity == Severity::Error => {}
        Some(known) if known.code == problem.code => {
            known.severity = Severity::Error;
            known.hint = known.hint.take().or(problem.hint);
        }
        _ => report.push(problem),
    }
}

/// A schema that the user names. KrakenD's own is the one we carry, whichever version is asked for.
fn foreign(path: &str, root: &Value, dialect: Dialect) -> Vec<Problem> {
    if path.starts_with("https://www.krakend.io/schema/") {
        return lint::lint(root, dialect);
    }
    if path.starts_with("http://") || path.starts_with("https://") {
        let message = "the schema is not fetched: this gateway asks nobody for its configuration";
        let problem = Problem::error(Code::Unreadable, "", message);
        return vec![problem.hint("download it and name the file, or use --lint")];
    }
    let schema =
        read(path).and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    match schema {
        Ok(schema) => lint::against(&schema, root).unwrap_or_else(|problem| vec![problem]),
        Err(error) => {
            let message = format!("the schema {}: {error}", report::printable(path));
            vec![Problem::error(Code::Unreadable, "", message)]
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(MAX_SIZE as u64).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    Ok(text)
}

fn failed(report: &Report) -> Option<Stage> {
    let mut errors = report
        .problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .peekable();
    errors.peek()?;
    if errors.all(only_at_start) {
        Some(Stage::Routes)
    } else {
        Some(Stage::Parse)
    }
}

/// Whether KrakenD finds out only when it starts: its check of syntax sees neither routes that collide nor
/// certificates.
fn only_at_start(problem: &Problem) -> bool {
    match problem.code {
        Code::RouteConflict | Code::BadTls => true,
        Code::BadPath => problem.message.starts_with("wildcards must be named"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Args, Command};
    use clap::Parser;

    fn checked(text: &str, flags: &[&str]) -> (Option<Stage>, Report) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("krakend.json");
        std::fs::write(&path, text).unwrap();
        let mut line = vec!["hanzo-gateway", "check", "-c", path.to_str().unwrap()];
        line.extend_from_slice(flags);
        let Command::Check(args) = Args::try_parse_from(line).unwrap().command else {
            unreachable!("`check` was asked for")
        };
        let shared = Shared::new(1).unwrap();
        let mut loaded = input::load_in(&[], &args.input, false, None, &shared, false);
        let stage = judge(&mut loaded, &args, &[]);
        assert_eq!(stage.is_some(), loaded.report.has_errors());
        (stage, loaded.report)
    }

    const CONFLICT: &str = r#"{"version": 3, "endpoints": [
        {"endpoint": "/c/{one}", "backend": [{"url_pattern": "/", "host": ["http://a"]}]},
        {"endpoint": "/c/{one}", "backend": [{"url_pattern": "/", "host": ["http://a"]}]}]}"#;

    #[test]
    fn the_plain_check_of_krakend_tests_no_routes() {
        assert_eq!(checked(CONFLICT, &["--compat", "krakend"]).0, None);
        assert_eq!(
            checked(CONFLICT, &["--compat", "krakend", "-t"]).0,
            Some(Stage::Routes)
        );
        assert_eq!(checked(CONFLICT, &[]).0, Some(Stage::Routes));
    }

    #[test]
    fn only_the_linter_refuses_what_nothing_reads() {
        let text = r#"{"version": 3, "unheard": 1, "extra_config": {"my/thing": {}}}"#;
        assert_eq!(checked(text, &[]).0, None);
        for flag in ["-l", "-n", "--strict"] {
            let (stage, report) = checked(text, &[flag]);
            assert_eq!(stage, Some(Stage::Lint));
            assert_eq!(report.errors(), 2);
        }
    }

    #[test]
    fn what_is_not_implemented_refuses_a_strict_check_only() {
        let text = r#"{"version": 3, "extra_config": {"telemetry/gelf": {"address": "a:1"}}}"#;
        assert_eq!(checked(text, &[]).0, None);
        assert_eq!(checked(text, &["-l"]).0, None);
        assert_eq!(checked(text, &["--strict"]).0, Some(Stage::Lint));
    }

    #[test]
    fn the_linter_tells_each_place_once() {
        let text = r#"{"version": 3, "timeout": 3000, "tiemout": "2s"}"#;
        let (stage, report) = checked(text, &["-l"]);
        assert_eq!(stage, Some(Stage::Lint));
        let tiemout: Vec<_> = report
            .problems
            .iter()
            .filter(|p| p.pointer == "/tiemout")
            .collect();
        assert_eq!(tiemout.len(), 1);
        assert_eq!(
            tiemout[0].hint.as_deref(),
            Some("did you mean \"timeout\"?")
        );
    }

    #[test]
    fn a_wrong_component_fails_the_linter_of_both_dialects() {
        let text = r#"{"version": 3, "extra_config": {"security/kors": {}}}"#;
        assert_eq!(checked(text, &["-l"]).0, Some(Stage::Lint));
        assert_eq!(
            checked(text, &["-l", "--compat", "krakend"]).0,
            Some(Stage::Lint)
        );
    }

    #[test]
    fn a_schema_of_ones_own_is_used_and_none_is_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schema.json");
        std::fs::write(&path, r#"{"required": ["name"]}"#).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(
            checked(r#"{"version": 3}"#, &["-s", path]).0,
            Some(Stage::Lint)
        );
        assert_eq!(
            checked(r#"{"version": 3, "name": "x"}"#, &["-s", path]).0,
            None
        );
        let krakend = "https://www.krakend.io/schema/v2.13/krakend.json";
        assert_eq!(checked(r#"{"version": 3}"#, &["-s", krakend]).0, None);
        for other in ["https://example.org/s.json", "/no/such/schema.json"] {
            assert_eq!(
                checked(r#"{"version": 3}"#, &["-s", other]).0,
                Some(Stage::Lint)
            );
        }
    }

    #[test]
    fn the_linter_does_not_see_the_environment() {
        let problem = Problem::error(Code::WrongType, "/port", "");
        let env = [("KRAKEND_PORT".to_owned(), "9000".to_owned())];
        assert!(overridden(&problem, &env));
        assert!(!overridden(&problem, &[]));
        assert!(!overridden(&Problem::error(Code::MissingKey, "", ""), &env));
    }

    #[test]
    fn a_broken_file_fails_while_it_is_read() {
        assert_eq!(checked("{", &["-t", "-n"]).0, Some(Stage::Parse));
        assert_eq!(
            checked("{}", &[]).0,
            Some(Stage::Parse),
            "it has no version"
        );
    }
}
