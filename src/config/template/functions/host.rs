//! What functions know of the outside: environment, partials, clock, chance; and how much work is left.

use super::{Entry, Failure, Given};
use crate::config::template::exec::Set;
use crate::config::template::origin::File;
use crate::config::template::print;
use crate::config::template::value::{Dict, Value};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many bytes all calls together may read and make.
const MAX_WORK: u64 = 1 << 30;

/// Largest partial in bytes.
const MAX_PARTIAL: u64 = 16 << 20;

/// What a template may see.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// The environment.
    pub(crate) env: Vec<(String, String)>,
    /// `FC_PARTIALS`; `include` finds nothing without it.
    pub(crate) partials: Option<PathBuf>,
    /// Now, in seconds since 1970 and nanoseconds.
    pub(crate) now: (i64, u32),
}

/// A partial that is not there.
#[derive(Debug)]
pub(crate) struct Missing {
    /// Where it would be.
    pub(crate) path: PathBuf,
    /// What the system says.
    pub(crate) why: String,
    /// File and byte of the call, once known.
    pub(crate) place: Option<(usize, usize)>,
}

/// The world during one execution.
#[derive(Debug)]
pub(crate) struct Host<'w> {
    pub(super) world: &'w World,
    /// Templates, then partials in the order of their first use.
    pub(crate) files: Vec<File>,
    /// Partials that were looked for in vain.
    pub(crate) missing: Vec<Missing>,
    /// Every partial that was read or looked for.
    pub(crate) used: Vec<PathBuf>,
    /// Dictionaries that were changed.
    pub(crate) tied: Vec<Dict>,
    partials: BTreeMap<String, Option<usize>>,
    work: u64,
}

impl<'w> Host<'w> {
    /// A host that knows these files.
    pub(crate) fn new(world: &'w World, files: Vec<File>) -> Self {
        Self {
            world,
            files,
            missing: Vec::new(),
            used: Vec::new(),
            tied: Vec::new(),
            partials: BTreeMap::new(),
            work: MAX_WORK,
        }
    }

    /// File, line and column of a byte of a file.
    pub(crate) fn place(&self, file: usize, at: usize) -> (&str, u32, u32) {
        match self.files.get(file) {
            Some(file) => {
                let (line, column) = file.place(at);
                (&file.name, line, column)
            }
            None => ("", 1, 1),
        }
    }

    /// Which templates there are, for somebody who named another.
    pub(crate) fn known_templates(&self, set: &Set) -> String {
        let names: Vec<&str> = set.keys().map(|name| &**name).take(12).collect();
        let names = names.join(", ");
        format!(
            "templates are the *.tmpl files directly in FC_TEMPLATES, and what they define; there are: {names}"
        )
    }

    /// Calls a function, as long as there is work left.
    pub(crate) fn call(&mut self, entry: &Entry, args: &[Value]) -> Given {
        let before: u64 = args.iter().map(weight).sum();
        self.charge(before + 16)?;
        let value = (entry.call)(self, args)?;
        self.charge(weight(&value))?;
        match print::overspent() {
            Some(message) => Err(message.into()),
            None => Ok(value),
        }
    }

    /// Takes from the work that is left.
    pub(crate) fn charge(&mut self, work: u64) -> Result<(), Failure> {
        match self.work.checked_sub(work) {
            Some(left) => {
                self.work = left;
                Ok(())
            }
            None => {
                self.work = 0;
                let most = MAX_WORK >> 20;
                Err(format!("the template handles more than {most} MiB of data").into())
            }
        }
    }

    /// A variable of the environment; empty when there is none.
    pub(super) fn env(&self, name: &str) -> &str {
        let found = self.world.env.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The text of a partial, with the number of its file; nothing when there is none, as in KrakenD.
    pub(super) fn partial(&mut self, name: &str) -> Option<(usize, Arc<str>)> {
        if let Some(known) = self.partials.get(name) {
            let file = (*known)?;
            return self.files.get(file).map(|f| (file, Arc::clone(&f.text)));
        }
        let folder = self.world.partials.clone().unwrap_or_default();
        let path = folder.join(name.trim_start_matches('/'));
        let read = read(&path);
        self.used.push(path.clone());
        let file = match read {
            Ok(text) => {
                self.files.push(File::new(path.display().to_string(), text));
                Some(self.files.len() - 1)
            }
            Err(error) => {
                let why = match self.world.partials {
                    Some(_) => error,
                    None => "FC_PARTIALS is not set".to_owned(),
                };
                self.missing.push(Missing {
                    path,
                    why,
                    place: None,
                });
                None
            }
        };
        self.partials.insert(name.to_owned(), file);
        let file = file?;
        self.files.get(file).map(|f| (file, Arc::clone(&f.text)))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_PARTIAL + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_PARTIAL {
        return Err(format!("it is larger than {} MiB", MAX_PARTIAL >> 20));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How much there is to look at in a value, roughly.
fn weight(value: &Value) -> u64 {
    match value {
        Value::Text(text, _) => text.len() as u64,
        Value::List(items, _) => items.len() as u64 * 16,
        Value::Map(members, _) => members.borrow().len() as u64 * 32,
        _ => 0,
    }
}

impl Host<'_> {
    /// Remembers a dictionary that was changed: it may hold itself now.
    pub(super) fn tie(&mut self, dict: &Dict) {
        if self.tied.len() < 1 << 16
            && !self
                .tied
                .iter()
                .rev()
                .take(8)
                .any(|known| std::rc::Rc::ptr_eq(known, dict))
        {
            self.tied.push(std::rc::Rc::clone(dict));
        }
    }
}
