//! The tables in `docs/` that are made of enumerations in the code. A test renders each and compares;
//! `UPDATE_DOCS=1 cargo test --test main docs::` writes them anew.

mod components;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hanzo_gateway::base::{Code, Reason};

/// The name of a generated file in `docs/`, and what makes it.
type Page = (&'static str, fn() -> String);

const PAGES: [Page; 3] = [
    ("REASONS.md", reasons),
    ("PROBLEMS.md", problems),
    ("COMPONENTS.md", components::page),
];

/// Says at the top of a page where it comes from.
fn source(path: &str) -> String {
    format!(
        "<!-- Made from {path} by `UPDATE_DOCS=1 cargo test --test main docs::`; edit that. -->\n"
    )
}

fn reasons() -> String {
    let mut page = String::from("# Reasons\n\n");
    page += &source("src/base/error.rs");
    page += "
Why the gateway refused or failed a request. The word stands in the access line, in the metric
`hanzo_gateway_refusals_total{reason}` and in `Proxy-Status`; status and error code are what a client of the
native dialect sees. The krakend dialect answers as KrakenD does and logs the same word.

| reason | status | error code | `Proxy-Status` type | what happened |
|---|---|---|---|---|
";
    for reason in Reason::ALL {
        let (word, status, code) = (reason.word(), reason.status(), reason.code());
        let kind = match reason.proxy_status() {
            "" => "–".to_owned(),
            kind => format!("`{kind}`"),
        };
        let text = reason.describe();
        let _ = writeln!(page, "| `{word}` | {status} | `{code}` | {kind} | {text} |");
    }
    page
}

/// The families of problem codes, by their third and fourth character.
const FAMILIES: [(&str, &str); 6] = [
    ("HG00", "The file as a whole"),
    ("HG01", "Values"),
    ("HG02", "Keys and components"),
    ("HG03", "Endpoints and backends"),
    ("HG04", "Safety"),
    ("HG05", "Start"),
];

fn problems() -> String {
    let mut page = String::from("# Problems\n\n");
    page += &source("src/base/problem.rs");
    page += "
What can be wrong with a configuration. `check`, a start and a reload name the same codes, each with the place
in the file, what is wrong there and what to write instead. Most codes are always an error or always a warning;
some depend on the dialect and on `check --lint`. A file with an error is refused.
";
    for (prefix, title) in FAMILIES {
        let _ = write!(
            page,
            "\n## {title}\n\n| code | what is wrong |\n|---|---|\n"
        );
        for code in Code::ALL
            .iter()
            .filter(|code| code.id().starts_with(prefix))
        {
            let _ = writeln!(page, "| {} | {} |", code.id(), code.title());
        }
    }
    page
}

#[test]
fn generated_pages_say_what_the_code_says() {
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    for (name, render) in PAGES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs")
            .join(name);
        if update {
            fs::write(&path, render()).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == render(),
            "docs/{name} is out of date: UPDATE_DOCS=1 cargo test --test main docs::"
        );
    }
}

#[test]
fn every_problem_code_has_a_family() {
    let page = problems();
    for code in Code::ALL {
        assert!(
            page.contains(&format!("| {} |", code.id())),
            "{}",
            code.id()
        );
    }
}

#[test]
fn sentences_fit_into_a_table() {
    let reasons = Reason::ALL.iter().map(|reason| reason.describe());
    for text in reasons.chain(Code::ALL.iter().map(|code| code.title())) {
        assert!(!text.contains(['|', '\n']) && text.ends_with('.'), "{text}");
    }
}
