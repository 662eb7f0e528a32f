//! Flexible configuration: the file is a Go template, rendered before it is parsed.
//!
//! `FC_ENABLE` switches it on, `FC_SETTINGS` is the folder of settings, `FC_PARTIALS` that of `include`,
//! `FC_TEMPLATES` that of sub-templates, `FC_OUT` where the result is written (reference section 14).
//!
//! Differs from KrakenD: a template that fails refuses the file and says where, instead of parsing the raw
//! text; what is wrong in the rendered document is told in the template's own file and line; a template
//! cannot run for ever. `docs/TEMPLATES.md` lists functions and differences.

mod exec;
mod functions;
pub mod origin;
mod parse;
mod print;
mod settings;
#[cfg(test)]
mod tests;
mod value;

use super::load::{Format, MAX_SIZE};
use super::source::place_in;
use crate::base::{Code, Problem, Report};
use functions::{Host, Missing, World};
use origin::{File, Origins};
use parse::Fault;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use value::Value;

/// Stack of the thread that renders; templates may be nested deeper than a worker's stack allows.
const STACK: usize = 64 << 20;

/// How a file is rendered: the `FC_*` variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flexible {
    /// `FC_SETTINGS`.
    pub settings: Option<PathBuf>,
    /// `FC_PARTIALS`.
    pub partials: Option<PathBuf>,
    /// `FC_TEMPLATES`.
    pub templates: Option<PathBuf>,
    /// `FC_OUT`.
    pub out: Option<PathBuf>,
}

/// A file after rendering.
#[derive(Debug)]
pub struct Rendered {
    /// The document; `None` when the report says why there is none.
    pub text: Option<String>,
    /// Its language: JSON, unless `FC_OUT` says otherwise.
    pub format: Format,
    /// Where each byte comes from; in a failure only the files.
    pub origins: Arc<Origins>,
    /// Every file and folder that was looked at, the main file first.
    pub read: Vec<PathBuf>,
    /// The partials that are not there.
    pub missing: Vec<PathBuf>,
}

impl Flexible {
    /// The variables, when `FC_ENABLE` is set to anything but nothing.
    pub fn of(env: &[(String, String)]) -> Option<Self> {
        let variable = |name: &str| {
            let found = env.iter().find(|(known, _)| known == name);
            found
                .map(|(_, value)| value)
                .filter(|value| !value.is_empty())
        };
        variable("FC_ENABLE")?;
        let path = |name: &str| variable(name).map(PathBuf::from);
        Some(Self {
            settings: path("FC_SETTINGS"),
            partials: path("FC_PARTIALS"),
            templates: path("FC_TEMPLATES"),
            out: path("FC_OUT"),
        })
    }

    /// Renders a file. The environment is what `env` sees. A partial that is not there is empty, as in
    /// KrakenD, with a warning.
    pub fn render(&self, path: &Path, env: &[(String, String)], report: &mut Report) -> Rendered {
        let work = || {
            let mut report = Report::default();
            let rendered = self.here(path, env, &mut report);
            (rendered, report)
        };
        let done = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, work).map(|handle| handle.join())
        });
        match done {
            Ok(Ok((rendered, found))) => {
                report.problems.extend(found.problems);
                rendered
            }
            _ => {
                let message = "internal fault while the template was rendered";
                report.push(Problem::error(Code::Template, "", message));
                Rendered {
                    text: None,
                    format: Format::Json,
                    origins: Arc::default(),
                    read: vec![path.to_owned()],
                    missing: Vec::new(),
                }
            }
        }
    }

    fn here(&self, path: &Path, env: &[(String, String)], report: &mut Report) -> Rendered {
        let mut job = Job {
            files: Vec::new(),
            read: vec![path.to_owned()],
            missing: Vec::new(),
        };
        let done = self.run(&mut job, path, env, report);
        let (text, segments) = match done {
            Some(output) if !report.has_errors() => (Some(output.text), output.segments),
            _ => (None, Vec::new()),
        };
        if let (Some(text), Some(out)) = (&text, &self.out) {
            self.write(out, text, &job.read, report);
        }
        Rendered {
            text: text.filter(|_| !report.has_errors()),
            format: self.out.as_deref().map(Format::of).unwrap_or_default(),
            origins: Arc::new(Origins::new(job.files, segments)),
            read: job.read,
            missing: job.missing,
        }
    }

    fn run(
        &self,
        job: &mut Job,
        path: &Path,
        env: &[(String, String)],
        report: &mut Report,
    ) -> Option<exec::Output> {
        let set = self.set(job, path, report);
        let root = match &self.settings {
            Some(folder) => {
                job.watch(folder, settings::is_settings);
                settings::read(folder, &mut job.files, report)
            }
            None => Value::map(std::collections::BTreeMap::new()),
        };
        let (set, main) = set?;
        if report.has_errors() {
            return None;
        }
        let world = World {
            env: env.to_vec(),
            partials: self.partials.clone(),
            now: now(),
        };
        let mut host = Host::new(&world, std::mem::take(&mut job.files));
        let done = exec::execute(&set, &main, &root, &mut host);
        job.files = std::mem::take(&mut host.files);
        job.read.append(&mut host.used);
        let tied = std::mem::take(&mut host.tied);
        let missing = std::mem::take(&mut host.missing);
        drop(host);
        drop(root);
        exec::untie(tied);
        for missing in missing {
            report.push(job.without(&missing));
            job.missing.push(missing.path);
        }
        match done {
            Ok(output) => Some(output),
            Err(fault) => {
                report.push(job.problem(&fault));
                None
            }
        }
    }

    /// The main file and the sub-templates, parsed, and the name of the main one.
    fn set(
        &self,
        job: &mut Job,
        path: &Path,
        report: &mut Report,
    ) -> Option<(exec::Set, Arc<str>)> {
        let mut set = exec::Set::new();
        let main = job.template(path, &mut set, report);
        if let Some(folder) = &self.templates {
            job.watch(folder, is_template);
            match listed(folder) {
                Ok(paths) => {
                    for path in paths.iter().filter(|path| is_template(path)) {
                        job.template(path, &mut set, report);
                    }
                }
                Err(error) => {
                    let message = format!("FC_TEMPLATES: {}: {error}", folder.display());
                    report.push(Problem::error(Code::Template, "", message).hint(
                        "FC_TEMPLATES is a folder; each *.tmpl in it is a template of that name",
                    ));
                }
            }
        }
        Some((set, main?))
    }

    fn write(&self, out: &Path, text: &str, read: &[PathBuf], report: &mut Report) {
        let real = std::fs::canonicalize(out).ok();
        let own = |path: &PathBuf| std::fs::canonicalize(path).ok() == real && path.is_file();
        let shown = out.display();
        if real.is_some() && read.iter().any(own) {
            let message = format!("FC_OUT is {shown}, which is one of the files that are rendered");
            report.push(Problem::error(Code::Template, "", message).hint("write to another file"));
        } else if let Err(error) = std::fs::write(out, text) {
            let message = format!("FC_OUT: {shown} cannot be written: {error}");
            report.push(
                Problem::warning(Code::Template, "", message)
                    .hint("the rendered document is used all the same"),
            );
        }
    }
}

/// The files of one rendering.
struct Job {
    files: Vec<File>,
    read: Vec<PathBuf>,
    missing: Vec<PathBuf>,
}

impl Job {
    fn watch(&mut self, folder: &Path, what: fn(&Path) -> bool) {
        self.read.push(folder.to_owned());
        let paths = listed(folder).unwrap_or_default();
        self.read
            .extend(paths.into_iter().filter(|path| what(path)));
    }

    /// Reads and parses a template file into the set; its name.
    fn template(
        &mut self,
        path: &Path,
        set: &mut exec::Set,
        report: &mut Report,
    ) -> Option<Arc<str>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("open {}: {error}", path.display());
                report.push(
                    Problem::error(Code::Unreadable, "", message)
                        .hint("check the path and its permissions"),
                );
                return None;
            }
        };
        let file = self.files.len();
        self.files
            .push(File::new(path.display().to_string(), text.as_str()));
        match parse::parse(file, &name, &text) {
            Ok(templates) => {
                for (name, nodes) in templates {
                    if !parse::is_empty(&nodes) || !set.contains_key(&name) {
                        set.insert(name, (file, nodes));
                    }
                }
            }
            Err(fault) => report.push(self.problem(&fault)),
        }
        Some(Arc::from(&*name))
    }

    fn problem(&self, fault: &Fault) -> Problem {
        let message = format!("template: {}", fault.message);
        let mut problem = Problem::error(Code::Template, "", message);
        problem.hint.clone_from(&fault.hint);
        self.placed(problem, fault.file, fault.at)
    }

    fn placed(&self, problem: Problem, file: usize, at: usize) -> Problem {
        match self.files.get(file) {
            Some(file) => {
                let (line, column) = file.place(at);
                problem.at(line, column).in_file(&file.name)
            }
            None => problem,
        }
    }

    fn without(&self, missing: &Missing) -> Problem {
        let message = format!("include: {}: {}", missing.path.display(), missing.why);
        let problem = Problem::warning(Code::Template, "", message).hint(
            "nothing is inserted, as in KrakenD, which says nothing; what should stand there is off",
        );
        match missing.place {
            Some((file, at)) => self.placed(problem, file, at),
            None => problem,
        }
    }
}

fn is_template(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "tmpl")
}

/// The files directly in a folder, sorted.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    Ok(paths)
}

fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(MAX_SIZE as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() > MAX_SIZE {
        return Err(format!("the file is larger than {} MiB", MAX_SIZE >> 20));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn now() -> (i64, u32) {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    (
        i64::try_from(since.as_secs()).unwrap_or_default(),
        since.subsec_nanos(),
    )
}

/// Renders one text with settings in JSON and nothing of the outside: for tests and fuzzing. The error has
/// the line first.
pub fn render_text(text: &str, settings: &serde_json::Value) -> Result<String, String> {
    let work = || {
        let world = World::default();
        let described = |fault: &Fault| {
            let (line, column) = place_in(text, fault.at);
            format!("{line}:{column}: {}", fault.message)
        };
        let templates = parse::parse(0, "main.tmpl", text).map_err(|fault| described(&fault))?;
        let mut set = exec::Set::new();
        for (name, nodes) in templates {
            set.insert(name, (0, nodes));
        }
        let file = File::new("main.tmpl", text);
        let mut host = Host::new(&world, vec![file]);
        let root = Value::of_json(settings, true);
        let done = exec::execute(&set, "main.tmpl", &root, &mut host);
        let tied = std::mem::take(&mut host.tied);
        drop((host, root));
        exec::untie(tied);
        done.map(|output| output.text)
            .map_err(|fault| described(&fault))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let handle = thread
            .spawn_scoped(scope, work)
            .map_err(|error| error.to_string())?;
        handle
            .join()
            .unwrap_or_else(|_| Err("internal fault".to_owned()))
    })
}
