//! `docs/COMPONENTS.md`: every key of the document and of every namespace.

use std::fmt::Write as _;

use hanzo_gateway::component::fields::{self, Edition, Entry, Field, Kind, document};
use hanzo_gateway::component::{self, Level};

/// Lists of fields that are told once and referred to.
fn shared(name: &str) -> bool {
    fields::parts().any(|part| part.name == name)
}

/// The page.
pub(super) fn page() -> String {
    let mut page = String::from("# Configuration, key by key\n\n");
    page += &super::source("src/component/fields");
    page += "
Every key of a configuration (KrakenD's format, version 3), every component and every field. `hanzo-gateway schema`
prints the same for editors; `hanzo-gateway check --lint` holds a file to it. Keys that begin with `@`, `$`, `_` or `#`
are comments. Durations are numbers with a unit (`ns us ms s m h`), several in a row if need be.

A component that is *not implemented yet* is told by `check`; if it is a protection, a native start refuses the file.
*Enterprise* is what KrakenD's Enterprise edition has and its Community edition ignores; *own* is ours.

";
    document_keys(&mut page);
    page += "\n# Components\n\n";
    index(&mut page);
    let mut last = "";
    for entry in fields::entries() {
        if entry.name != last {
            let _ = write!(page, "\n## {}\n", entry.name);
            last = entry.name;
        }
        component(entry, &mut page);
    }
    page
}

fn document_keys(page: &mut String) {
    *page += "## The document\n\n";
    table(document::SERVICE, page);
    for part in fields::parts() {
        let _ = write!(page, "\n## {}\n\n{}\n\n", title(part.name), part.meaning);
        table(part.kind.inner(), page);
    }
}

/// `client_tls` → `Part client tls`.
fn title(name: &str) -> String {
    format!("Part: {}", name.replace('_', " "))
}

/// A link to a heading, as code hosts make them.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn levels(entry: &Entry) -> String {
    let words: Vec<&str> = entry.levels.iter().map(|level| level.word()).collect();
    words.join(", ")
}

/// Whether anything runs it there.
fn implemented(entry: &Entry, level: Level) -> bool {
    component::find(entry.name).is_some_and(|component| component.allows(level))
}

fn state(entry: &Entry) -> &'static str {
    let there = entry
        .levels
        .iter()
        .filter(|level| implemented(entry, **level))
        .count();
    match there {
        0 => "not implemented yet",
        n if n == entry.levels.len() => "implemented",
        _ => "implemented in part",
    }
}

fn edition(entry: &Entry) -> &'static str {
    match entry.edition {
        Edition::Community => "",
        Edition::Enterprise => "Enterprise",
        Edition::Own => "own",
    }
}

fn index(page: &mut String) {
    *page += "| component | level | what it is | state | edition |\n|---|---|---|---|---|\n";
    for entry in fields::entries() {
        let (name, link) = (entry.name, anchor(entry.name));
        let (levels, state, edition) = (levels(entry), state(entry), edition(entry));
        let meaning = entry.meaning;
        let _ = writeln!(
            page,
            "| [`{name}`](#{link}) | {levels} | {meaning} | {state} | {edition} |"
        );
    }
}

fn component(entry: &Entry, page: &mut String) {
    let (levels, state) = (levels(entry), state(entry));
    let edition = match edition(entry) {
        "" => String::new(),
        edition => format!(", {edition}"),
    };
    let _ = write!(
        page,
        "\n**At {levels} level** – {state}{edition}. {}",
        entry.meaning
    );
    if !entry.differs.is_empty() {
        let _ = write!(page, " *Difference from KrakenD:* {}.", entry.differs);
    }
    *page += "\n\n";
    match entry.value {
        Kind::Ref(name) => {
            let _ = writeln!(page, "Its value is [{name}](#{}).", anchor(&title(name)));
        }
        value if value.inner().is_empty() => {
            let _ = writeln!(page, "Its value is {}.", words(&value));
        }
        value => {
            if matches!(value, Kind::List(_)) {
                *page += "A list of objects:\n\n";
            }
            table(value.inner(), page);
            if matches!(value, Kind::Open(_)) {
                *page += "\nFurther keys are allowed.\n";
            }
        }
    }
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Open([]) => "any object".to_owned(),
        Kind::Flag => "`true` or `false`".to_owned(),
        other => other.words(),
    }
}

fn table(all: &[Field], page: &mut String) {
    *page +=
        "| field | type | default | meaning | difference from KrakenD |\n|---|---|---|---|---|\n";
    rows(all, "", page);
}

fn rows(all: &[Field], above: &str, page: &mut String) {
    for field in all {
        let path = format!("{above}{}", field.name);
        let default = field
            .default
            .map_or(String::new(), |text| format!("`{text}`"));
        let mut meaning = String::new();
        if field.required {
            meaning += "**Required.** ";
        }
        if field.old {
            meaning += "*Old spelling.* ";
        }
        meaning += field.meaning;
        if let Some(example) = field.example {
            let _ = write!(meaning, " Example: `{}`", example.replace('|', "\\|"));
        }
        let differs = match (field.ours, field.differs) {
            (true, "") => "own key".to_owned(),
            (true, how) => format!("own key; {how}"),
            (false, how) => how.to_owned(),
        };
        let kind = linked(&field.kind);
        let _ = writeln!(
            page,
            "| `{path}` | {kind} | {default} | {meaning} | {differs} |"
        );
        rows(
            field.kind.inner(),
            &format!("{path}{}", step(&field.kind)),
            page,
        );
    }
}

/// What stands between the name of a field and the names inside.
fn step(kind: &Kind) -> &'static str {
    match kind {
        Kind::List(_) | Kind::Some(_) => "[].",
        Kind::Map(_) | Kind::Keys(..) => ".*.",
        _ => ".",
    }
}

fn linked(kind: &Kind) -> String {
    match kind {
        Kind::Ref(name) if shared(name) => {
            format!("[{}](#{})", name.replace('_', " "), anchor(&title(name)))
        }
        Kind::Ref(_) => "[components](#components)".to_owned(),
        Kind::List(of) | Kind::Some(of) => format!("list of {}", linked(of)),
        other => other.words(),
    }
}

#[test]
fn links_lead_to_headings() {
    let page = page();
    let headings: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("# ")))
        .map(anchor)
        .collect();
    for link in page
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        assert!(headings.iter().any(|heading| heading == link), "{link}");
    }
}

#[test]
fn no_row_breaks_its_table() {
    for line in page().lines().filter(|line| line.starts_with("| `")) {
        let cells = line.replace("\\|", "").matches('|').count();
        assert_eq!(cells, 6, "{line}");
    }
}
