//! Which file is read and in whose words, the only place that looks at the environment.
//!
//! KrakenD knows one language and no default file; here the dialect is the flag's, else
//! `HANZO_COMPAT`'s, else the name's that was called (`krakend`), else the file's `hanzo/compat`. The lane
//! is the flag's, else `HANZO_GATEWAY_LANE`'s, else the file's `hanzo/edge`; the region the flag's, else
//! `HANZO_REGION`'s, else the file's `hanzo/regions`.

use crate::base::{Code, Dialect, Problem, Report};
use crate::cli::args::{self, Compat, Input};
use crate::compile::{self, Compiled, Shared};
use crate::component::hanzo::compat;
use crate::config::template::Flexible;
use crate::config::template::origin::Origins;
use crate::config::{Document, Format, LoadOptions, Source, load as reading};
use crate::gateway::lane::Lane;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Read when no file is named; the first that exists.
pub const DEFAULT_FILES: [&str; 2] = ["/etc/hanzo/krakend.json", "/etc/krakend/krakend.json"];

/// A file that was read and compiled, as far as either went.
#[derive(Debug)]
pub struct Loaded {
    /// The file as written; `None` when its syntax is broken.
    pub document: Option<Document>,
    /// Its text, to show findings in.
    pub source: Source,
    /// What requests would meet; `None` exactly when the report holds an error.
    pub compiled: Option<Compiled>,
    /// Everything that was found.
    pub report: Report,
    /// Whose words it speaks.
    pub dialect: Dialect,
    /// Every file and folder it was read from: the file, and with flexible configuration settings,
    /// partials and templates.
    pub read: Vec<PathBuf>,
    /// The partials among them that are not there.
    pub missing: Vec<PathBuf>,
}

/// The environment of this process. What is no Unicode cannot mean anything to us.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads and compiles the file of the command line. `krakend` says whether the program was called by
/// that name; `port` wins over the file's; `debug` switches KrakenD's debug endpoint on (krakend
/// dialect only).
pub fn load(
    input: &Input,
    krakend: bool,
    port: Option<u16>,
    shared: &Shared,
    debug: bool,
) -> Loaded {
    load_in(&environment(), input, krakend, port, shared, debug)
}

/// As [`load`], in this environment.
pub fn load_in(
    env: &[(String, String)],
    input: &Input,
    krakend: bool,
    port: Option<u16>,
    shared: &Shared,
    debug: bool,
) -> Loaded {
    let mut report = Report::default();
    let asked = asked_dialect(env, input, krakend, &mut report);
    let lane = asked_lane(env, input.lane, &mut report);
    let path = match input.config.clone().or_else(default_file) {
        Some(path) => path,
        None => {
            report.push(no_file());
            return Loaded::nothing(String::new(), report, asked);
        }
    };
    let name = path.display().to_string();
    let flexible = Flexible::of(env);
    if flexible.is_none() {
        hint_at_templates(&path, &mut report);
    }
    let opened = match &flexible {
        Some(flexible) => rendered(flexible, &path, env, &mut report),
        None => plain(&path, &mut report),
    };
    let Some(text) = opened.text else {
        let source = Source::plain(name, "").with_origins(opened.origins.unwrap_or_default());
        return Loaded {
            source,
            read: opened.read,
            missing: opened.missing,
            ..Loaded::nothing(String::new(), report, asked)
        };
    };
    let options = LoadOptions {
        env: env.to_vec(),
        strict: false,
        port,
        dialect: asked.unwrap_or_default(),
    };
    let read = Read {
        path: &path,
        name: &name,
        text: &text,
        format: opened.format,
        origins: opened.origins.as_ref(),
    };
    let (mut document, found, dialect) = read.document(options, asked);
    report.problems.extend(found.problems);
    if let Some(document) = document.as_mut() {
        document.service.debug_endpoint |= debug && dialect == Dialect::Krakend;
        document.service.region = input
            .region
            .as_deref()
            .or_else(|| variable(env, "HANZO_REGION"))
            .map(str::to_owned);
        document.service.fast_lane = lane.map(|lane| lane == Lane::Auto);
    }
    let compiled = document
        .as_ref()
        .and_then(|document| compile::compile(document, dialect, shared, &mut report));
    let source = match &document {
        Some(document) => document.source.clone(),
        None => match opened.origins {
            Some(origins) => Source::plain(name, text).with_origins(origins),
            None => Source::plain(name, text),
        },
    };
    Loaded {
        document,
        source,
        compiled,
        report,
        dialect,
        read: opened.read,
        missing: opened.missing,
    }
}

/// The text of a configuration before it is parsed.
struct Opened {
    text: Option<String>,
    format: Format,
    origins: Option<Arc<Origins>>,
    read: Vec<PathBuf>,
    missing: Vec<PathBuf>,
}

fn plain(path: &Path, report: &mut Report) -> Opened {
    let format = Format::of(path);
    Opened {
        text: reading::read_text(path, format, report),
        format,
        origins: None,
        read: vec![path.to_owned()],
        missing: Vec::new(),
    }
}

fn rendered(
    flexible: &Flexible,
    path: &Path,
    env: &[(String, String)],
    report: &mut Report,
) -> Opened {
    let rendered = flexible.render(path, env, report);
    Opened {
        text: rendered.text,
        format: rendered.format,
        origins: Some(rendered.origins),
        read: rendered.read,
        missing: rendered.missing,
    }
}

impl Loaded {
    fn nothing(name: String, report: Report, dialect: Option<Dialect>) -> Self {
        Self {
            document: None,
            source: Source::plain(name, ""),
            compiled: None,
            report,
            dialect: dialect.unwrap_or_default(),
            read: Vec::new(),
            missing: Vec::new(),
        }
    }
}

/// A text on its way to a document.
struct Read<'a> {
    path: &'a Path,
    name: &'a str,
    text: &'a str,
    format: Format,
    origins: Option<&'a Arc<Origins>>,
}

impl Read<'_> {
    /// The document. Which paths are allowed depends on the dialect, and the file may choose it: then
    /// the text is read a second time, in its own words.
    fn document(
        &self,
        mut options: LoadOptions,
        asked: Option<Dialect>,
    ) -> (Option<Document>, Report, Dialect) {
        let (document, report) = self.once(&options);
        let chosen = document
            .as_ref()
            .and_then(|d| compat::dialect(&d.service.extra_config));
        let dialect = asked.or(chosen).unwrap_or_default();
        if dialect == options.dialect {
            return (document, report, dialect);
        }
        options.dialect = dialect;
        let (document, report) = self.once(&options);
        (document, report, dialect)
    }

    fn once(&self, options: &LoadOptions) -> (Option<Document>, Report) {
        let mut report = Report::default();
        let mut document = reading::parse_rendered(
            self.name,
            self.text,
            self.format,
            options,
            self.origins,
            &mut report,
        );
        if let Some(document) = document.as_mut() {
            self.path.clone_into(&mut document.file);
        }
        (document, report)
    }
}

fn default_file() -> Option<PathBuf> {
    DEFAULT_FILES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

fn no_file() -> Problem {
    let [own, krakend] = DEFAULT_FILES;
    Problem::error(
        Code::Unreadable,
        "",
        format!("no file is named, and neither {own} nor {krakend} exists"),
    )
    .hint("name one with -c FILE")
}

/// What the command line or the environment asks for; nothing leaves the choice to the file.
fn asked_dialect(
    env: &[(String, String)],
    input: &Input,
    krakend: bool,
    report: &mut Report,
) -> Option<Dialect> {
    if let Some(compat) = input.compat {
        return Some(match compat {
            Compat::Krakend => Dialect::Krakend,
            Compat::Native => Dialect::Native,
        });
    }
    match variable(env, "HANZO_COMPAT") {
        Some("krakend") => return Some(Dialect::Krakend),
        Some("native") => return Some(Dialect::Native),
        Some(other) => {
            let message = format!(
                "HANZO_COMPAT is \"{}\", which is no dialect",
                other.escape_debug()
            );
            let problem = Problem::error(Code::Environment, "", message);
            report.push(problem.hint("set it to krakend or native, or unset it"));
        }
        None => {}
    }
    krakend.then_some(Dialect::Krakend)
}

/// What the command line or the environment says of the fast lane; nothing leaves it to the file.
pub fn asked_lane(
    env: &[(String, String)],
    flag: Option<args::Lane>,
    report: &mut Report,
) -> Option<Lane> {
    if let Some(lane) = flag {
        return Some(match lane {
            args::Lane::Auto => Lane::Auto,
            args::Lane::Off => Lane::Off,
        });
    }
    let text = variable(env, "HANZO_GATEWAY_LANE")?;
    let lane = Lane::of(text);
    if lane.is_none() {
        let message = format!(
            "HANZO_GATEWAY_LANE is \"{}\", which is no lane",
            text.escape_debug()
        );
        let problem = Problem::error(Code::Environment, "", message);
        report.push(problem.hint("set it to auto or off, or unset it"));
    }
    lane
}

/// A template without `FC_ENABLE` may even parse, and then mean nonsense.
fn hint_at_templates(path: &Path, report: &mut Report) {
    if path
        .extension()
        .is_some_and(|extension| extension == "tmpl")
    {
        let message = "the file is named like a template, but FC_ENABLE is not set";
        let problem = Problem::warning(Code::Template, "", message);
        report.push(problem.hint("set FC_ENABLE=1 to render it, with FC_SETTINGS, FC_PARTIALS and FC_TEMPLATES as it needs them"));
    }
}

fn variable<'e>(env: &'e [(String, String)], name: &str) -> Option<&'e str> {
    let found = env
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.as_str());
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, env: &[(&str, &str)], compat: Option<Compat>, krakend: bool) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("krakend.json");
        std::fs::write(&path, text).unwrap();
        let env: Vec<_> = env
            .iter()
            .map(|&(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        let input = Input {
            config: Some(path),
            compat,
            lane: None,
            region: None,
        };
        load_in(&env, &input, krakend, None, &Shared::new(1).unwrap(), false)
    }

    const PLAIN: &str = r#"{"version": 3}"#;
    const KRAKEND: &str =
        r#"{"version": 3, "extra_config": {"hanzo/compat": {"dialect": "krakend"}}}"#;

    #[test]
    fn the_flag_wins_over_environment_name_and_file() {
        let env = [("HANZO_COMPAT", "krakend")];
        assert_eq!(
            loaded(KRAKEND, &env, Some(Compat::Native), true).dialect,
            Dialect::Native
        );
    }

    #[test]
    fn the_environment_wins_over_name_and_file() {
        let env = [("HANZO_COMPAT", "native")];
        assert_eq!(loaded(KRAKEND, &env, None, true).dialect, Dialect::Native);
    }

    #[test]
    fn the_name_and_then_the_file_decide() {
        assert_eq!(loaded(PLAIN, &[], None, true).dialect, Dialect::Krakend);
        assert_eq!(loaded(KRAKEND, &[], None, false).dialect, Dialect::Krakend);
        assert_eq!(loaded(PLAIN, &[], None, false).dialect, Dialect::Native);
    }

    #[test]
    fn a_dialect_that_nobody_speaks_is_refused() {
        let loaded = loaded(PLAIN, &[("HANZO_COMPAT", "kong")], None, false);
        assert_eq!(loaded.report.problems[0].code, Code::Environment);
        assert!(loaded.compiled.is_none());
    }

    /// What is compiled of a file with this setting, under this variable and flag.
    fn lane(file: &str, env: &str, flag: Option<args::Lane>) -> Option<Lane> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("krakend.json");
        let text =
            format!(r#"{{"version": 3, "extra_config": {{"hanzo/edge": {{"lane": "{file}"}}}}}}"#);
        std::fs::write(&path, text).unwrap();
        let env = [("HANZO_GATEWAY_LANE".to_owned(), env.to_owned())];
        let input = Input {
            config: Some(path),
            compat: None,
            lane: flag,
            region: None,
        };
        let loaded = load_in(&env, &input, false, None, &Shared::new(1).unwrap(), false);
        Some(loaded.compiled?.gateway.service.lane)
    }

    #[test]
    fn the_flag_then_the_environment_then_the_file_choose_the_lane() {
        assert_eq!(lane("off", "", None), Some(Lane::Off));
        assert_eq!(lane("off", "auto", None), Some(Lane::Auto));
        assert_eq!(lane("auto", "off", None), Some(Lane::Off));
        assert_eq!(lane("off", "off", Some(args::Lane::Auto)), Some(Lane::Auto));
        assert_eq!(lane("auto", "auto", Some(args::Lane::Off)), Some(Lane::Off));
    }

    #[test]
    fn a_lane_that_there_is_not_refuses_the_start() {
        assert_eq!(lane("auto", "fast", None), None);
    }

    #[test]
    fn a_template_is_rendered_when_the_environment_says_so() {
        let text = r#"{"version": {{ add 1 2 }}, "name": "{{ env "NAME" }}"}"#;
        let loaded = loaded(text, &[("FC_ENABLE", "1"), ("NAME", "n")], None, false);
        assert_eq!(loaded.document.unwrap().service.name, "n");
    }

    #[test]
    fn a_template_that_fails_refuses_the_file_and_names_its_place() {
        let loaded = loaded("{\n  {{ nope }}", &[("FC_ENABLE", "1")], None, true);
        let problem = &loaded.report.problems[0];
        assert_eq!(
            (problem.code, problem.position),
            (Code::Template, Some((2, 6)))
        );
        assert!(loaded.compiled.is_none());
    }

    #[test]
    fn a_broken_file_still_has_its_text() {
        let loaded = loaded("{\n  oops", &[], None, false);
        assert!(loaded.document.is_none());
        assert_eq!(loaded.source.line(2), Some("  oops"));
        assert_eq!(loaded.report.problems[0].code, Code::Syntax);
    }

    #[test]
    fn a_missing_file_is_named() {
        let input = Input {
            config: Some("/no/such.json".into()),
            compat: None,
            lane: None,
            region: None,
        };
        let loaded = load_in(&[], &input, false, None, &Shared::new(1).unwrap(), false);
        assert_eq!(loaded.source.name, "/no/such.json");
        assert!(loaded.report.problems[0].message.contains("/no/such.json"));
    }
}
