//! Reading a configuration file: format by extension, syntax, environment overrides, typed document.
//!
//! Everything wrong ends up in the report, each finding with its place; a document is returned even
//! when it has errors, so that later checks can add theirs.

use super::decode::{self, Context};
use super::document::Document;
use super::settings::Settings;
use super::source::{Mark, Source};
use super::template::origin::Origins;
use super::{env, json, toml, yaml};
use crate::base::{Code, Dialect, Problem, Report, Severity};
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Largest text that is read, in bytes.
pub const MAX_SIZE: usize = 64 << 20;

/// The language of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Strict JSON; whatever has no other extension.
    #[default]
    Json,
    /// `.yml` and `.yaml`.
    Yaml,
    /// `.toml`.
    Toml,
}

impl Format {
    /// The format of a file by its extension, in exactly this case (`.YAML` is JSON).
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yml" | "yaml") => Self::Yaml,
            Some("toml") => Self::Toml,
            _ => Self::Json,
        }
    }
}

/// What besides the text decides how a configuration is read.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The environment, for `KRAKEND_*` overrides.
    pub env: Vec<(String, String)>,
    /// Unknown and duplicate keys and methods that are not served are errors, as in a linter.
    pub strict: bool,
    /// The port of the command line; wins over file and environment unless 0.
    pub port: Option<u16>,
    /// Whose paths and methods are allowed.
    pub dialect: Dialect,
}

/// Reads a configuration file. `None` when there is no object to decode: the report says why. A
/// document is only fit to run when the report has no errors.
pub fn load(path: &Path, options: &LoadOptions, report: &mut Report) -> Option<Document> {
    let format = Format::of(path);
    let text = read_text(path, format, report)?;
    let mut document = parse(&path.display().to_string(), &text, format, options, report)?;
    path.clone_into(&mut document.file);
    Some(document)
}

/// Reads the text of a file. In JSON, what is no UTF-8 becomes U+FFFD with a warning.
pub fn read_text(path: &Path, format: Format, report: &mut Report) -> Option<String> {
    let unreadable = |error: std::io::Error| {
        let name = path.display();
        Problem::error(Code::Unreadable, "", format!("open {name}: {error}"))
            .hint("check the path and its permissions")
    };
    let limit = MAX_SIZE as u64 + 1;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        report.push(unreadable(error));
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if format == Format::Json => {
            let valid = error
                .as_bytes()
                .get(..error.utf8_error().valid_up_to())
                .unwrap_or_default();
            let (line, column) =
                super::source::place_in(&String::from_utf8_lossy(valid), valid.len());
            let message = "the file is not valid UTF-8; the bytes in question are replaced";
            report.push(
                Problem::warning(Code::Syntax, "", message)
                    .hint("save the file as UTF-8")
                    .at(line, column),
            );
            Some(String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
        Err(_) => {
            report.push(
                Problem::error(Code::Syntax, "", "the file is not valid UTF-8")
                    .hint("save the file as UTF-8"),
            );
            None
        }
    }
}

/// Reads a configuration from a text; `name` is shown with findings. Returns as [`load`].
pub fn parse(
    name: &str,
    text: &str,
    format: Format,
    options: &LoadOptions,
    report: &mut Report,
) -> Option<Document> {
    parse_rendered(name, text, format, options, None, report)
}

/// As [`parse`], of a text that was rendered from templates: findings are told in their files.
pub fn parse_rendered(
    name: &str,
    text: &str,
    format: Format,
    options: &LoadOptions,
    origins: Option<&Arc<Origins>>,
    report: &mut Report,
) -> Option<Document> {
    if text.len() > MAX_SIZE {
        let message = format!("the document is larger than {} MiB", MAX_SIZE >> 20);
        report.push(Problem::error(Code::TooDeep, "", message));
        return None;
    }
    let first = report.problems.len();
    let read = syntax(text, format, report);
    if origins.is_some() {
        unrendered(report.problems.get_mut(first..).unwrap_or_default());
    }
    let (root, marks) = read?;
    let mut source = Source::plain(name, text).with_marks(marks);
    if let Some(origins) = origins {
        source = source.with_origins(Arc::clone(origins));
    }
    let mut root = match root {
        Value::Null => serde_json::Map::new(),
        Value::Object(map) => map,
        other => {
            report.push(no_object(&other));
            return None;
        }
    };
    let overrides = env::apply(&mut root, &options.env, &mut source, report);
    let root = Value::Object(root);
    let context = Context {
        source: &source,
        dialect: options.dialect,
        port: options.port,
    };
    let service = decode::service(&mut Settings::new(&root, "", report), &context);
    let findings = report.problems.get_mut(first..).unwrap_or_default();
    env::blame(&overrides, findings);
    if options.strict {
        for problem in findings {
            if matches!(
                problem.code,
                Code::UnknownKey | Code::DuplicateKey | Code::BadMethod
            ) {
                problem.severity = Severity::Error;
            }
        }
    }
    Some(Document {
        file: std::path::PathBuf::new(),
        service,
        root,
        source,
    })
}

fn syntax(text: &str, format: Format, report: &mut Report) -> Option<(Value, Mark)> {
    let problems = match format {
        Format::Json => match json::read(text, report) {
            Ok(read) => return Some(read),
            Err(problem) => vec![problem],
        },
        Format::Yaml => match yaml::read(text.strip_prefix('\u{feff}').unwrap_or(text)) {
            Ok(read) => return Some(read),
            Err(problem) => vec![problem],
        },
        Format::Toml => match toml::read(text) {
            Ok(read) => return Some(read),
            Err(problems) => problems,
        },
    };
    for problem in problems {
        report.push(problem);
    }
    None
}

/// Braces in what templates made: there is nothing to switch on any more.
fn unrendered(findings: &mut [Problem]) {
    for problem in findings {
        let hint = problem.hint.as_mut();
        if let Some(hint) = hint.filter(|hint| hint.contains("FC_ENABLE")) {
            "`include` inserts a partial as it is; one with {{ }} belongs into FC_TEMPLATES and is called with {{ template \"name.tmpl\" . }}"
                .clone_into(hint);
        }
    }
}

fn no_object(value: &Value) -> Problem {
    let kind = match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    let message =
        format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
    Problem::error(Code::WrongType, "", message)
        .hint("the whole file is one object: {\"version\": 3, …}")
}
