//! The walls of `src/`, which the language does not hold: who may import whom, how long a file may
//! be, what may not stand in it. Each finding names file, line and rule.

mod scan;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use scan::{Code, Mention};

/// A room imports only from rooms to its left.
const ROOMS: [&str; 16] = [
    "base",
    "body",
    "net",
    "telemetry",
    "gateway",
    "identity",
    "traffic",
    "pipe",
    "proxy",
    "edge",
    "config",
    "component",
    "compile",
    "serve",
    "demo",
    "cli",
];

/// Longest file.
const MAX_LINES: usize = 800;

/// Macros that mean "not done yet".
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// One file of `src/`.
struct Source {
    /// Relative to the repository, for messages.
    name: String,
    /// Where it stands among the modules: `["auth", "jwt"]`; `lib.rs` and `main.rs` are `[]`.
    module: Vec<String>,
    /// Whether it speaks for a folder.
    is_mod: bool,
    text: String,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        let path = name
            .strip_prefix("src/")
            .unwrap_or(name)
            .trim_end_matches(".rs");
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        let is_mod = module.last().is_some_and(|last| last == "mod");
        if is_mod || path == "lib" || path == "main" {
            module.pop();
        }
        Self {
            name: name.to_owned(),
            module,
            is_mod,
            text: text.to_owned(),
        }
    }
}

fn place(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

/// Everything that is wrong with these files, as `file:line: rule`.
fn findings(sources: &[Source]) -> Vec<String> {
    let modules: BTreeSet<&[String]> = sources
        .iter()
        .map(|source| source.module.as_slice())
        .collect();
    let files: BTreeSet<&[String]> = sources
        .iter()
        .filter(|source| !source.is_mod)
        .map(|source| source.module.as_slice())
        .collect();
    let mut found = Vec::new();
    for source in sources {
        let code = Code::of(&source.text);
        let mut say =
            |line: usize, rule: String| found.push(format!("{}:{line}: {rule}", source.name));
        if !source.text.starts_with("//!") {
            say(
                1,
                "a file opens with //! and says what it is for".to_owned(),
            );
        }
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            say(lines, format!("a file has at most {MAX_LINES} lines"));
        }
        for (line, name) in code.macros().filter(|(_, name)| UNFINISHED.contains(name)) {
            say(line, format!("{name}! is unfinished work"));
        }
        for mention in code.mentions(&source.module) {
            if let Some(rule) = broken(source, &mention, &modules, &files) {
                say(mention.line, rule);
            }
        }
    }
    found.dedup();
    found.extend(strangers(sources));
    found
}

/// The wall that a mention breaks.
fn broken(
    source: &Source,
    mention: &Mention,
    modules: &BTreeSet<&[String]>,
    files: &BTreeSet<&[String]>,
) -> Option<String> {
    let (own, other) = (source.module.first()?, mention.path.first()?);
    let (here, there) = (place(own)?, place(other)?);
    if own == "config" && other != "config" && other != "base" {
        return Some(format!("config imports only base, not {other}"));
    }
    if own == "component" && (other == "proxy" || other == "edge") {
        return Some(format!("a component never imports {other}"));
    }
    if ["proxy", "edge", "pipe"].contains(&own.as_str())
        && (other == "component" || other == "config")
    {
        return Some(format!("{own} never names {other}"));
    }
    if there > here {
        return Some(format!("{own} imports only from its left, not {other}"));
    }
    let foreign = own == "component"
        && other == "component"
        && !related(&source.module, &mention.path, modules)
        && !same_component(&source.module, &mention.path, files);
    foreign.then(|| {
        format!(
            "component files meet in their family's mod.rs, not in {}",
            mention.path.join("::")
        )
    })
}

/// Whether one of the two modules stands above the other, or both are the same, or they share a folder below
/// a family: the parts of one engine.
fn related(own: &[String], path: &[String], modules: &BTreeSet<&[String]>) -> bool {
    let longest = (0..=path.len())
        .rev()
        .map(|length| &path[..length])
        .find(|start| modules.contains(start));
    let engine = |target: &[String]| own.len() > 3 && target.len() > 3 && own[..3] == target[..3];
    longest
        .is_none_or(|target| own.starts_with(target) || target.starts_with(own) || engine(target))
}

/// Whether two modules are parts of one component: both stand beneath its file, which is no `mod.rs`.
fn same_component(own: &[String], path: &[String], files: &BTreeSet<&[String]>) -> bool {
    (2..own.len()).any(|length| {
        let above = &own[..length];
        files.contains(above) && path.starts_with(above)
    })
}

/// Component files that the table does not name, once there is a table.
fn strangers(sources: &[Source]) -> Vec<String> {
    let Some(table) = sources
        .iter()
        .find(|source| source.name == "src/component/mod.rs")
    else {
        return Vec::new();
    };
    let named = Code::of(&table.text);
    if !named.has_word("COMPONENTS") {
        return Vec::new();
    }
    let files: BTreeSet<&[String]> = sources
        .iter()
        .filter(|source| !source.is_mod)
        .map(|source| source.module.as_slice())
        .collect();
    let is_component = |source: &&Source| {
        let (Some((room, rest)), Some((last, above))) =
            (source.module.split_first(), source.module.split_last())
        else {
            return false;
        };
        let is_test = last == "tests" || last.ends_with("_tests");
        room == "component"
            && !rest.is_empty()
            && !source.is_mod
            && !is_test
            && !files.contains(above)
            && (rest.len() < 3 || source.text.contains("COMPONENT"))
    };
    let missing = sources
        .iter()
        .filter(is_component)
        .filter(|source| !named.has_path(&source.module[1..]));
    missing
        .map(|source| {
            format!(
                "{}:1: the table in src/component/mod.rs does not name this component",
                source.name
            )
        })
        .collect()
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of src can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            walk(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_file_keeps_the_rules_of_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join("src"), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path
            .strip_prefix(root)
            .expect("src is in the repository")
            .to_string_lossy()
            .into_owned();
        Source::new(
            &name,
            &fs::read_to_string(path).expect("a source can be read"),
        )
    };
    let found = findings(&paths.iter().map(read).collect::<Vec<_>>());
    assert!(
        found.is_empty(),
        "the house does not stand:\n{}",
        found.join("\n")
    );
}

/// The findings about a few files, each given as name and text without its `//!` line.
fn about(files: &[(&str, &str)]) -> Vec<String> {
    findings(
        &files
            .iter()
            .map(|(name, text)| Source::new(name, &format!("//! x\n{text}")))
            .collect::<Vec<_>>(),
    )
}

#[test]
fn imports_from_the_left_are_welcome() {
    assert_eq!(
        about(&[(
            "src/pipe/run.rs",
            "use crate::{base::Reply, gateway};\nuse super::merge;"
        )]),
        [""; 0]
    );
}

#[test]
fn an_import_from_the_right_is_named_with_its_line() {
    let found = about(&[(
        "src/net/dns.rs",
        "use crate::{\n    base::Error,\n    pipe::{self, run},\n};",
    )]);
    assert_eq!(
        found,
        ["src/net/dns.rs:4: net imports only from its left, not pipe"]
    );
}

#[test]
fn a_path_inside_an_expression_counts() {
    let found = about(&[(
        "src/proxy/mod.rs",
        "fn f() {\n    crate::component::x();\n}",
    )]);
    assert_eq!(found, ["src/proxy/mod.rs:3: proxy never names component"]);
}

#[test]
fn super_reaches_out_of_inline_modules_first() {
    let text = "mod tests {\n    use super::super::super::edge;\n    use super::super::x;\n}";
    assert_eq!(
        about(&[("src/pipe/run.rs", text)]),
        ["src/pipe/run.rs:3: pipe imports only from its left, not edge"]
    );
}

#[test]
fn comments_and_strings_are_no_imports() {
    let text = "// crate::cli\n/* crate::cli /* crate::cli */ */\nconst X: &str = \"crate::cli\";\nconst Y: &str = r#\"\" crate::cli\"#;";
    assert_eq!(
        about(&[(
            "src/base/x.rs",
            &format!("{text}\nfn f<'a>(c: char) -> bool {{ c == '\"' }}")
        )]),
        [""; 0]
    );
}

#[test]
fn config_knows_base_only() {
    let found = about(&[("src/config/load.rs", "use crate::body::json;")]);
    assert_eq!(
        found,
        ["src/config/load.rs:2: config imports only base, not body"]
    );
}

#[test]
fn components_know_neither_doors_nor_each_other() {
    let files = [
        ("src/component/mod.rs", "mod auth; mod qos;"),
        ("src/component/auth/mod.rs", "mod a; use self::a;"),
        (
            "src/component/auth/a.rs",
            "use super::shared;\nuse super::b;\nuse crate::edge;",
        ),
        (
            "src/component/auth/b.rs",
            "use crate::component::qos::limit;\nuse crate::component::Component;",
        ),
        ("src/component/qos/mod.rs", "use super::auth;"),
    ];
    assert_eq!(
        about(&files),
        [
            "src/component/auth/a.rs:3: component files meet in their family's mod.rs, not in component::auth::b",
            "src/component/auth/a.rs:4: a component never imports edge",
            "src/component/auth/b.rs:2: component files meet in their family's mod.rs, not in component::qos::limit",
            "src/component/qos/mod.rs:2: component files meet in their family's mod.rs, not in component::auth",
        ]
    );
}

#[test]
fn the_parts_of_one_component_know_each_other() {
    let files = [
        ("src/component/mod.rs", "mod auth;"),
        ("src/component/auth/mod.rs", "mod a; mod b;"),
        ("src/component/auth/a.rs", "mod one; mod two;"),
        ("src/component/auth/a/one.rs", "use super::two::X;"),
        ("src/component/auth/a/two.rs", "use super::super::b::Y;"),
        ("src/component/auth/b.rs", ""),
    ];
    assert_eq!(
        about(&files),
        [
            "src/component/auth/a/two.rs:2: component files meet in their family's mod.rs, not in component::auth::b::Y"
        ]
    );
}

#[test]
fn parts_of_an_engine_below_a_family_know_each_other() {
    let files = [
        (
            "src/component/mod.rs",
            "mod auth; static COMPONENTS: u8 = 0;",
        ),
        ("src/component/auth/mod.rs", "mod keys;"),
        ("src/component/auth/keys/mod.rs", "mod a; mod b;"),
        ("src/component/auth/keys/a.rs", "use super::b;"),
        ("src/component/auth/keys/b.rs", "const COMPONENT: u8 = 0;"),
        ("src/component/auth/x_tests.rs", "use super::keys::a;"),
    ];
    assert_eq!(
        about(&files),
        [
            "src/component/auth/x_tests.rs:2: component files meet in their family's mod.rs, not in component::auth::keys::a",
            "src/component/auth/keys/b.rs:1: the table in src/component/mod.rs does not name this component",
        ]
    );
}

#[test]
fn the_table_names_every_component() {
    let files = [
        (
            "src/component/mod.rs",
            "pub static COMPONENTS: &[Component] = &[auth::a::COMPONENT, security::x::COMPONENT];",
        ),
        ("src/component/auth/a.rs", ""),
        ("src/component/auth/a/parts.rs", ""),
        ("src/component/auth/a_tests.rs", ""),
        ("src/component/auth/b.rs", ""),
    ];
    assert_eq!(
        about(&files),
        [
            "src/component/auth/b.rs:1: the table in src/component/mod.rs does not name this component"
        ]
    );
}

#[test]
fn unfinished_long_and_unexplained_files_are_named() {
    let long = Source::new(
        "src/base/x.rs",
        &format!("fn f() {{ todo!() }}\n{}", "\n".repeat(MAX_LINES)),
    );
    assert_eq!(
        findings(&[long]),
        [
            "src/base/x.rs:1: a file opens with //! and says what it is for",
            "src/base/x.rs:801: a file has at most 800 lines",
            "src/base/x.rs:1: todo! is unfinished work",
        ]
    );
}
