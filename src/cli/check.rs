//! `check`: everything that is wrong with a file, in KrakenD's sequence and words (reference section
//! 13.1), with KrakenD's exit codes: 0 when it would start, 1 when not.
//!
//! Differs from KrakenD: all findings are told and not only the first, routes are always tested (and
//! nothing is listened on for it), the linter needs no network and reads YAML and TOML too.

use crate::base::{Code, Dialect, Problem, Report, Severity};
use crate::cli::args::Check;
use crate::cli::input::{self, Loaded};
use crate::cli::paint::{self, Paint};
use crate::cli::{GOOD, PROBLEMS, dump, report};
use crate::compile::Shared;
use crate::component;
use crate::config::namespaces;

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
    let stage = judge(&mut loaded, args);
    let code = if loaded.report.has_errors() {
        PROBLEMS
    } else {
        GOOD
    };
    if args.json {
        paint::print(&format!(
            "{}\n",
            report::machine(&loaded.report, &loaded.source)
        ));
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
        let tree = dump::tree(document, args.debug, &args.indent);
        // KrakenD's scripts look for it where KrakenD writes everything.
        match loaded.dialect {
            Dialect::Krakend => paint::talk(tree.trim_end_matches('\n')),
            Dialect::Native => paint::print(&tree),
        }
    }
    paint::talk(&match stage {
        Some(stage) => paint.red(stage.words()),
        None => paint.green("Syntax OK!"),
    });
    code
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
fn judge(loaded: &mut Loaded, args: &Check) -> Option<Stage> {
    let report = &mut loaded.report;
    // KrakenD's plain check parses and nothing else.
    if loaded.dialect == Dialect::Krakend && !args.test_routes {
        for problem in report.problems.iter_mut().filter(|p| only_at_start(p)) {
            problem.severity = Severity::Warning;
            problem.hint = Some("`run` refuses this file, and so does `check -t`".to_owned());
        }
    }
    let before = failed(report);
    if (args.lint || args.lint_no_network) && before != Some(Stage::Parse) {
        let mut linted = false;
        for problem in &mut report.problems {
            if problem.severity == Severity::Warning && lints(problem, loaded.dialect) {
                problem.severity = Severity::Error;
                linted = true;
            }
        }
        if linted {
            return Some(Stage::Lint);
        }
    }
    before
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

/// Whether a warning refuses the file under `--lint`: what nothing reads, what stands at a wrong level,
/// values that KrakenD's schema does not allow; in native also what the file asks for and will not get.
fn lints(problem: &Problem, dialect: Dialect) -> bool {
    match problem.code {
        Code::UnknownKey
        | Code::UnknownNamespace
        | Code::DuplicateKey
        | Code::WrongLevel
        | Code::WrongType
        | Code::BadValue
        | Code::BadDuration
        | Code::OutOfRange
        | Code::SuspiciousDuration
        | Code::BadMethod
        | Code::UnknownEncoding => true,
        // KrakenD's schema knows these.
        Code::NotYet | Code::Unprotected | Code::EnterpriseOnly => {
            dialect == Dialect::Native || !in_krakends_schema(&problem.pointer)
        }
        _ => false,
    }
}

fn in_krakends_schema(pointer: &str) -> bool {
    let token = pointer.rsplit('/').next().unwrap_or_default();
    let written = token.replace("~1", "/").replace("~0", "~");
    let name = namespaces::short(&written);
    // A finding inside a component that is implemented, or about an agent, is ours and not the schema's.
    let is_namespace = written.contains('/');
    !is_namespace || component::not_yet(name).is_some_and(|row| !row.name.starts_with("hanzo/"))
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
        let stage = judge(&mut loaded, &args);
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
    fn what_is_not_implemented_is_an_error_for_the_native_linter_only() {
        let text = r#"{"version": 3, "extra_config": {"governance/processors": {}, "telemetry/gelf": {}}}"#;
        assert_eq!(checked(text, &[]).0, None);
        assert_eq!(checked(text, &["--strict"]).1.errors(), 2);
        assert_eq!(checked(text, &["-l", "--compat", "krakend"]).0, None);
        let text = r#"{"version": 3, "extra_config": {"security/kors": {}}}"#;
        assert_eq!(
            checked(text, &["-l", "--compat", "krakend"]).0,
            Some(Stage::Lint)
        );
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
