//! `diff OLD NEW`: the changes of behaviour between two files, for a person or a pipeline. Exit code as
//! diff(1): 0 same, 1 different, 2 trouble.

use crate::base::Dialect;
use crate::cli::args::{Diff, Input};
use crate::cli::input::{self, Loaded};
use crate::cli::paint::{self, Paint};
use crate::cli::report;
use crate::compile::Shared;
use crate::compile::diff::{Change, Weight, diff as compare};
use crate::config::template::origin::Spot;
use crate::config::{Document, Source};
use serde_json::{Value, json};

const SAME: u8 = 0;
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;
/// Endpoints that are named for one change.
const NAMED: usize = 4;

/// Runs `diff`; `krakend` says whether the program was called by that name.
pub fn diff(args: &Diff, krakend: bool) -> u8 {
    let shared = match Shared::new(1) {
        Ok(shared) => shared,
        Err(error) => {
            paint::talk(&format!("internal fault: {error}"));
            return TROUBLE;
        }
    };
    let load = |path: &std::path::Path| {
        let input = Input {
            config: Some(path.to_owned()),
            compat: args.compat,
            lane: None,
            region: None,
        };
        input::load(&input, krakend, None, &shared, false)
    };
    let (old, new) = (load(&args.old), load(&args.new));
    let (Some(before), Some(after)) = (understood(&old), understood(&new)) else {
        paint::talk("the files cannot be compared: see above");
        return TROUBLE;
    };
    let mut changes = compare(before, after, new.dialect);
    if old.dialect != new.dialect {
        changes.insert(0, dialect_change(old.dialect, new.dialect));
    }
    if args.json {
        paint::print(&format!(
            "{}\n",
            machine(&changes, &old.source, &new.source)
        ));
    } else {
        paint::print(&text(&changes, &old.source, &new.source, Paint::stdout()));
    }
    if changes.is_empty() { SAME } else { DIFFERENT }
}

/// The document, if the whole of it is understood; else its problems are shown.
fn understood(loaded: &Loaded) -> Option<&Document> {
    if loaded.report.has_errors() {
        report::talk_errors(&loaded.report, &loaded.source);
        return None;
    }
    loaded.document.as_ref()
}

fn dialect_change(old: Dialect, new: Dialect) -> Change {
    let word = |dialect| match dialect {
        Dialect::Native => "native",
        Dialect::Krakend => "krakend",
    };
    Change {
        weight: Weight::Breaking,
        topic: "dialect".to_owned(),
        text: format!("{} → {}", word(old), word(new)),
        subjects: vec!["service".to_owned()],
        old: Some("/extra_config/hanzo~1compat".to_owned()),
        new: Some("/extra_config/hanzo~1compat".to_owned()),
    }
}

fn text(changes: &[Change], old: &Source, new: &Source, paint: Paint) -> String {
    if changes.is_empty() {
        return "no change of behaviour\n".to_owned();
    }
    let mut out = String::new();
    for change in changes {
        let word = format!("{:<10}", change.weight.word());
        let word = match change.weight {
            Weight::Breaking => paint.red(&word),
            Weight::Loosened => paint.yellow(&word),
            Weight::Tightened => paint.green(&word),
            Weight::Changed => paint.bold(&word),
        };
        let whom = subjects(&change.subjects);
        let sentence = match change.text.starts_with(&change.topic) || change.topic == "route" {
            true => change.text.clone(),
            false => format!("{}: {}", change.topic, change.text),
        };
        out.push_str(&format!(
            "{word} {}  {}\n",
            paint.bold(&report::printable(&whom)),
            report::printable(&sentence)
        ));
        let places: Vec<String> = [(old, &change.old), (new, &change.new)]
            .into_iter()
            .filter_map(|(source, pointer)| shown_place(source, pointer.as_deref()?))
            .collect();
        if !places.is_empty() {
            out.push_str(&paint.dim(&format!("           {}", places.join(" → "))));
            out.push('\n');
        }
    }
    out.push_str(&counts(changes));
    out
}

fn counts(changes: &[Change]) -> String {
    let words = [
        Weight::Breaking,
        Weight::Loosened,
        Weight::Tightened,
        Weight::Changed,
    ];
    let parts: Vec<String> = words
        .into_iter()
        .map(|weight| {
            (
                changes.iter().filter(|c| c.weight == weight).count(),
                weight,
            )
        })
        .filter(|(count, _)| *count > 0)
        .map(|(count, weight)| format!("{count} {}", weight.word()))
        .collect();
    format!("{}\n", parts.join(", "))
}

fn subjects(all: &[String]) -> String {
    let named: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
    let more = all.len().saturating_sub(NAMED);
    let and = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{and}", named.join(", "))
}

fn shown_place(source: &Source, pointer: &str) -> Option<String> {
    let spot = place(source, pointer)?;
    Some(format!(
        "{}:{}:{}",
        report::printable(spot.file),
        spot.line,
        spot.column
    ))
}

fn place<'s>(source: &'s Source, pointer: &str) -> Option<Spot<'s>> {
    Some(source.spot(source.locate_key(pointer)?))
}

fn machine(changes: &[Change], old: &Source, new: &Source) -> Value {
    let side = |source: &Source, pointer: Option<&String>| {
        pointer.map(|pointer| {
            let place = place(source, pointer);
            json!({
                "pointer": pointer,
                "file": place.map(|spot| spot.file),
                "line": place.map(|spot| spot.line),
                "column": place.map(|spot| spot.column),
            })
        })
    };
    let all: Vec<Value> = changes
        .iter()
        .map(|change| {
            json!({
                "severity": change.weight.word(),
                "topic": change.topic,
                "message": change.text,
                "endpoints": change.subjects,
                "old": side(old, change.old.as_ref()),
                "new": side(new, change.new.as_ref()),
            })
        })
        .collect();
    json!({"schema": 1, "old": old.name, "new": new.name, "same": changes.is_empty(), "changes": all})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(old: &str, new: &str) -> u8 {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (old, new) = (write("old.json", old), write("new.json", new));
        diff(
            &Diff {
                old,
                new,
                compat: None,
                json: true,
            },
            false,
        )
    }

    #[test]
    fn exit_codes_are_those_of_diff() {
        let other = r#"{"version": 3, "port": 9}"#;
        assert_eq!(
            run(r#"{"version": 3}"#, r#"{"version":3,"port":8080}"#),
            SAME
        );
        assert_eq!(run(r#"{"version": 3}"#, other), DIFFERENT);
        assert_eq!(run("{", other), TROUBLE);
    }

    #[test]
    fn a_change_shows_both_lines() {
        let old = Source::plain("old.json", "");
        let change = dialect_change(Dialect::Native, Dialect::Krakend);
        let text = text(std::slice::from_ref(&change), &old, &old, Paint::plain());
        assert_eq!(
            text,
            "breaking   service  dialect: native → krakend\n1 breaking\n"
        );
        assert_eq!(
            machine(&[change], &old, &old)["changes"][0]["severity"],
            "breaking"
        );
    }

    #[test]
    fn many_endpoints_are_counted() {
        let names: Vec<String> = (0..7).map(|n| format!("GET /{n}")).collect();
        assert_eq!(
            subjects(&names),
            "GET /0, GET /1, GET /2, GET /3 and 3 more"
        );
    }
}
