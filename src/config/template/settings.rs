//! `FC_SETTINGS`: each file directly in the folder becomes a key of the root, named like the file.
//!
//! KrakenD CE reads `*.json` and nothing else; here also `*.yaml`, `*.yml`, `*.toml` and `*.env` (as its
//! Enterprise edition does). Of two files with one name JSON counts, then the others in this order.

use super::origin::File;
use super::value::Value;
use crate::base::{Code, Problem, Report};
use crate::config::{json, toml, yaml};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Extensions in the order of their weight.
const EXTENSIONS: [&str; 5] = ["json", "yaml", "yml", "toml", "env"];

/// Reads all settings; what cannot be read is told file by file.
pub(super) fn read(folder: &Path, files: &mut Vec<File>, report: &mut Report) -> Value {
    let mut root: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    let listed = match super::listed(folder) {
        Ok(listed) => listed,
        Err(error) => {
            let message = format!("FC_SETTINGS: {}: {error}", folder.display());
            report.push(Problem::error(Code::Template, "", message).hint(
                "FC_SETTINGS is a folder; each *.json, *.yaml, *.toml or *.env in it becomes a key of that name",
            ));
            return Value::map(root);
        }
    };
    for extension in EXTENSIONS {
        for path in listed.iter().filter(|path| has(path, extension)) {
            let name = key(path);
            if root.contains_key(name.as_str()) {
                let shown = path.display();
                let message =
                    format!("{shown} is not read: another file gives the setting .{name}");
                report
                    .push(Problem::warning(Code::Template, "", message).hint("rename one of them"));
                continue;
            }
            if let Some(value) = one(path, extension, files, report) {
                root.insert(Arc::from(name), value);
            }
        }
    }
    Value::map(root)
}

/// Whether a file may be settings.
pub(super) fn is_settings(path: &Path) -> bool {
    EXTENSIONS.iter().any(|extension| has(path, extension))
}

fn has(path: &Path, extension: &str) -> bool {
    let named = path.extension().and_then(|own| own.to_str());
    // A file that is called `.env` has no extension in std's eyes.
    named == Some(extension) || extension == "env" && path.file_name().is_some_and(|n| n == ".env")
}

fn key(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.trim_start_matches('.').to_owned()
}

fn one(path: &Path, extension: &str, files: &mut Vec<File>, report: &mut Report) -> Option<Value> {
    let name = path.display().to_string();
    let text = match super::read_text(path) {
        Ok(text) => text,
        Err(error) => {
            report.push(Problem::error(
                Code::Template,
                "",
                format!("{name}: {error}"),
            ));
            return None;
        }
    };
    let mut found = Report::default();
    let value = match extension {
        "json" => match json::read(&text, &mut found) {
            Ok((value, _)) => object(&value, true, &mut found),
            Err(problem) => refuse(&mut found, vec![problem]),
        },
        "toml" => match toml::read(&text) {
            Ok((value, _)) => object(&value, false, &mut found),
            Err(problems) => refuse(&mut found, problems),
        },
        "env" => Some(environment(&text, &mut found)),
        _ => match yaml::read(&text) {
            Ok((value, _)) => object(&value, false, &mut found),
            Err(problem) => refuse(&mut found, vec![problem]),
        },
    };
    for mut problem in found.problems {
        problem.pointer.clear();
        report.push(problem.in_file(&name));
    }
    files.push(File::new(name, text));
    value
}

fn refuse(report: &mut Report, problems: Vec<Problem>) -> Option<Value> {
    report.problems.extend(problems);
    None
}

fn object(json: &Json, floats: bool, report: &mut Report) -> Option<Value> {
    match json {
        Json::Object(_) => Some(Value::of_json(json, floats)),
        Json::Null if !floats => Some(Value::map(BTreeMap::new())),
        _ => {
            let message = "a settings file holds an object";
            let problem = Problem::error(Code::Template, "", message).at(1, 1);
            report.push(problem.hint("put the list into an object: {\"list\": […]}"));
            None
        }
    }
}

/// `NAME=value` lines: comments, `export`, quotes; `\n` and the like only inside double quotes.
fn environment(text: &str, report: &mut Report) -> Value {
    let mut members = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = line
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty())
        else {
            let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
            let problem = Problem::error(Code::Template, "", "this line is no NAME=value");
            report.push(problem.at(number, 1));
            continue;
        };
        members.insert(Arc::from(name.trim()), Value::text(unquoted(value.trim())));
    }
    Value::map(members)
}

fn unquoted(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split('\'').next().unwrap_or_default().to_owned();
    }
    let Some(inner) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return value.get(..end).unwrap_or_default().trim_end().to_owned();
    };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}
