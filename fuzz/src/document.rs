//! A file of any language in both dialects: no panic, a gateway exactly when nothing is an error, and
//! a place in the text for every problem.

use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::config::{Format, LoadOptions, load};
use std::cell::RefCell;

/// Runs that share metrics; then fresh ones, or the labels of all inputs would fill the memory.
const SHARED_FOR: usize = 500;

thread_local! {
    static SHARED: RefCell<(usize, Option<Shared>)> = const { RefCell::new((0, None)) };
}

/// The first byte chooses the language and whether the reader is strict; the rest is the file.
pub fn check(input: &[u8]) {
    let Some((choice, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    // A host with TLS makes every run read the roots of the system, which is all it would do then.
    let text = &text.replace("https://", "http://");
    let format = match choice % 3 {
        0 => Format::Json,
        1 => Format::Yaml,
        _ => Format::Toml,
    };
    SHARED.with_borrow_mut(|(used, shared)| {
        if *used % SHARED_FOR == 0 {
            *shared = Shared::new(1).ok();
        }
        *used += 1;
        let shared = shared.as_ref().expect("metrics");
        for dialect in [Dialect::Native, Dialect::Krakend] {
            read(text, format, choice & 0x80 != 0, dialect, shared);
        }
    });
}

fn read(text: &str, format: Format, strict: bool, dialect: Dialect, shared: &Shared) {
    let options = LoadOptions {
        env: vec![("KRAKEND_PORT".to_owned(), text.chars().take(4).collect())],
        strict,
        port: None,
        dialect,
    };
    let mut report = Report::default();
    let Some(document) = load::parse("fuzz", text, format, &options, &mut report) else {
        assert!(report.has_errors(), "no document and no reason");
        return;
    };
    let compiled = compile(&document, dialect, shared, &mut report);
    assert_eq!(compiled.is_none(), report.has_errors(), "{report:?}");
    for problem in &report.problems {
        assert!(!problem.message.is_empty(), "{problem:?}");
        if let Some((line, column)) = document.source.locate_problem(problem) {
            assert!(line >= 1 && column >= 1, "{problem:?}");
            assert!(document.source.line(line).is_some(), "{problem:?}");
        }
    }
}
