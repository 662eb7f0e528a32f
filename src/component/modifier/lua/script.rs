//! A script of a component: its settings, and its runs around requests and answers.

use super::data::Arena;
use super::fault::Fault;
use super::run::{self, Limits, Link};
use super::source::{self, BadSource, Chunk, File, Sources};
use super::state::{HeadSubject, State, Subject};
use super::vm::{Scope, Vm};
use crate::base::problem::pointer_join;
use crate::base::{Code, Error, Problem};
use crate::body::Object;
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::message::{Answer, Request, Rewritten};
use crate::gateway::router::param_names;
use crate::gateway::stage::{Go, Step};
use http::Method;
use std::sync::Arc;
use std::time::Duration;

/// Longest time of a script where the file says nothing and the endpoint has more.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Memory of a script where the file says nothing.
const MEMORY: u64 = 64 << 20;
/// Least memory with which a script can do anything.
const LEAST_MEMORY: u64 = 64 << 10;

/// What may stand in the settings of every script.
const KEYS: &[&str] = &[
    "sources",
    "pre",
    "live",
    "allow_open_libs",
    "md5",
    "timeout",
    "max_memory",
];
/// What may stand in those around a pipe or a call besides.
const PIPE_KEYS: &[&str] = &["post", "skip_next"];

/// The compiled settings.
#[derive(Debug)]
struct Script {
    files: Vec<File>,
    /// Read at start; `live` reads them again each time.
    sources: Arc<Sources>,
    live: bool,
    pre: Option<Chunk>,
    post: Option<Chunk>,
    open: bool,
    limits: Limits,
    /// What the texts speak of.
    body: bool,
    params: bool,
    request: bool,
}

/// A script at the head of an endpoint or of the service.
#[derive(Debug)]
pub struct HeadScript(Arc<Script>);

/// A script around a pipe or a call.
#[derive(Debug)]
pub struct PipeScript {
    script: Arc<Script>,
    skip_next: bool,
}

/// An interpreter that ran what comes before the call.
struct Started {
    vm: Vm,
    sources: Arc<Sources>,
}

/// What is kept of it until `post`.
struct Paused {
    started: Started,
    state: State,
}

impl Script {
    /// Reads settings. What is wrong goes into the report; `None` when nothing can run.
    fn read(s: &mut Settings<'_>, with_post: bool) -> Option<Self> {
        let keys: Vec<&str> = match with_post {
            true => [KEYS, PIPE_KEYS].concat(),
            false => KEYS.to_vec(),
        };
        s.known(&keys);
        let files = files(s);
        let mut live = s.bool_or("live", false);
        let open = s.bool_or("allow_open_libs", false);
        let limits = limits(s);
        let sources = match source::read(&files) {
            Err(bad) if bad.missing => {
                // KrakenD starts and fails every request; ours fail until the file is there.
                live = true;
                warn_missing(s, bad);
                Ok(Sources::default())
            }
            other => other.map_err(|bad| refuse(s, "sources", bad)),
        };
        let mut inline = String::new();
        let pre = text(s, "pre", &mut inline);
        let post = if with_post {
            text(s, "post", &mut inline)
        } else {
            Ok(None)
        };
        let sources = sources.ok()?;
        let rereads = live && !files.is_empty();
        let speaks = |word: &str| rereads || mentions(&inline, &sources.text, word);
        Some(Self {
            body: speaks("body"),
            params: speaks("params"),
            request: speaks("request"),
            sources: Arc::new(sources),
            pre: pre.ok()?,
            post: post.ok()?,
            files,
            live,
            open,
            limits,
        })
    }

    fn runs_before(&self) -> bool {
        !self.files.is_empty() || self.pre.is_some()
    }

    /// The sources, read again when they are `live`.
    fn sources(&self) -> Result<Arc<Sources>, Fault> {
        if !self.live {
            return Ok(self.sources.clone());
        }
        source::read(&self.files)
            .map(Arc::new)
            .map_err(|bad| Fault::new(bad.text))
    }

    fn state(&self, link: Link, subject: Subject) -> State {
        State {
            subject,
            answer: None,
            root: None,
            arena: Arena::new(self.limits.memory),
            fetched: Vec::new(),
            link,
            printed: 0,
        }
    }

    /// Sources and `pre` in a fresh interpreter.
    fn start(&self, scope: Scope, link: Link, subject: Subject) -> Result<Started, Fault> {
        let sources = self.sources()?;
        let state = self.state(link, subject);
        let vm = Vm::new(scope, self.open, self.limits.memory, state)?;
        let chunks = [sources.chunk.as_ref(), self.pre.as_ref()];
        for chunk in chunks.into_iter().flatten() {
            vm.run(chunk, &sources.lines)?;
        }
        Ok(Started { vm, sources })
    }
}

/// Whether a script may use a word; code that is loaded at run time may use any.
fn mentions(inline: &str, sources: &[u8], word: &str) -> bool {
    [inline.as_bytes(), sources]
        .iter()
        .any(|text| found(text, word).next().is_some() || loads_code(text))
}

/// Where a word stands in a text.
fn found<'t>(text: &'t [u8], word: &'t str) -> impl Iterator<Item = usize> + 't {
    let windows = text.windows(word.len()).enumerate();
    windows
        .filter(move |(_, window)| *window == word.as_bytes())
        .map(|(at, _)| at)
}

/// Whether a text may run code that is not there when it is compiled. `request.load` and its like are none.
fn loads_code(text: &[u8]) -> bool {
    let method = |at: usize| at > 0 && text.get(at - 1) == Some(&b'.');
    ["require", "dofile"]
        .iter()
        .any(|word| found(text, word).next().is_some())
        || found(text, "load").any(|at| !method(at))
}

fn files(s: &mut Settings<'_>) -> Vec<File> {
    let digests = s.string_map("md5");
    let files: Vec<File> = s
        .list_of_strings("sources")
        .into_iter()
        .map(|path| {
            let md5 = digests.iter().find(|(own, _)| *own == path);
            File {
                md5: md5.map(|(_, digest)| digest.to_ascii_lowercase()),
                path,
            }
        })
        .collect();
    for (path, _) in &digests {
        if !files.iter().any(|file| file.path == *path) {
            let message = format!("md5 names {path}, which is none of the sources");
            s.error_hint(
                "md5",
                Code::BadValue,
                message,
                "write the path as it stands in sources",
            );
        }
    }
    files
}

fn limits(s: &mut Settings<'_>) -> Limits {
    let timeout = s.duration("timeout").filter(|timeout| !timeout.is_zero());
    let memory = size(s, "max_memory").unwrap_or(MEMORY);
    if memory < LEAST_MEMORY {
        s.error_hint(
            "max_memory",
            Code::OutOfRange,
            format!("no script runs in {memory} bytes"),
            "write for example \"64MB\", or leave the key out",
        );
    }
    Limits::new(
        timeout.unwrap_or(TIMEOUT),
        usize::try_from(memory).unwrap_or(usize::MAX),
    )
}

/// A number of bytes, or a text with a unit.
fn size(s: &mut Settings<'_>, key: &str) -> Option<u64> {
    let Some(text) = s.value(key)?.as_str().map(str::to_owned) else {
        return s.unsigned(key);
    };
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "KB" | "KIB" => Some(10),
        "MB" | "MIB" => Some(20),
        "GB" | "GIB" => Some(30),
        _ => None,
    };
    let bytes = shift.and_then(|shift| digits.parse::<u64>().ok()?.checked_mul(1 << shift));
    if bytes.is_none() {
        s.error_hint(
            key,
            Code::BadValue,
            format!("\"{text}\" is no size"),
            "write bytes as a number, or for example \"64MB\"",
        );
    }
    bytes
}

/// An inline text, compiled; the empty one is none.
fn text(s: &mut Settings<'_>, key: &str, all: &mut String) -> Result<Option<Chunk>, ()> {
    let Some(text) = s.string(key).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let chunk = source::inline(&text, key == "post").map_err(|bad| refuse(s, key, bad))?;
    all.push_str(&text);
    all.push('\n');
    Ok(Some(chunk))
}

/// The place of a source, or of the inline text under this key.
fn place(s: &Settings<'_>, key: &str, bad: &BadSource) -> String {
    let pointer = s.pointer_of(key);
    let list = s.value(key).is_some_and(serde_json::Value::is_array);
    match bad.file {
        Some(at) if list => pointer_join(&pointer, &at.to_string()),
        _ => pointer,
    }
}

fn warn_missing(s: &mut Settings<'_>, bad: BadSource) {
    let pointer = place(s, "sources", &bad);
    let text = format!("{}; every request fails until it can", bad.text);
    let problem = Problem::warning(Code::BadValue, pointer, text).hint(bad.hint);
    s.report().push(problem);
}

fn refuse(s: &mut Settings<'_>, key: &str, bad: BadSource) {
    let pointer = place(s, key, &bad);
    let problem = Problem::error(Code::BadValue, pointer, bad.text).hint(bad.hint);
    s.report().push(problem);
}

impl HeadScript {
    /// Reads settings of `modifier/lua-endpoint`; `None` after an error, or when there is nothing to run.
    pub fn build(s: &mut Settings<'_>) -> Option<Self> {
        let script = Script::read(s, false)?;
        script.runs_before().then(|| Self(Arc::new(script)))
    }

    /// Whether the script may look at the body.
    pub fn reads_body(&self) -> bool {
        self.0.body
    }

    /// Runs the script on a request.
    ///
    /// # Errors
    /// What it died of; `custom_error` exposes its status.
    pub async fn run(
        &self,
        own: Box<Rewritten>,
        ctx: &Ctx,
        label: String,
    ) -> Result<Box<Rewritten>, Error> {
        let params = match &own.params {
            Some(params) => params.clone(),
            None if self.0.params => path_params(ctx),
            None => Vec::new(),
        };
        let subject = HeadSubject {
            own,
            params,
            params_changed: false,
        };
        let script = self.0.clone();
        let job = move |link| {
            let started = script.start(Scope::Head, link, Subject::Head(subject))?;
            match started.vm.take().map(|state| state.subject) {
                Some(Subject::Head(subject)) => Ok(subject),
                _ => Err(Fault::new("the script lost its request")),
            }
        };
        let done = run::run(&self.0.limits, ctx, label, job).await?;
        let mut subject: HeadSubject = done.map_err(Fault::error)?;
        if subject.params_changed {
            subject.own.params = Some(subject.params);
        }
        Ok(subject.own)
    }
}

/// The parameters of the path by the names that the endpoint gives them.
fn path_params(ctx: &Ctx) -> Vec<(String, String)> {
    let Some(endpoint) = ctx.endpoint() else {
        return Vec::new();
    };
    let names = param_names(&endpoint.pattern, false).into_iter();
    names
        .enumerate()
        .filter_map(|(at, name)| {
            let value = ctx.params.get(at, &ctx.path)?;
            Some((name, String::from_utf8_lossy(value).into_owned()))
        })
        .collect()
}

impl PipeScript {
    /// Reads settings of `modifier/lua-proxy` or `modifier/lua-backend`; `None` after an error, or when
    /// there is nothing to do.
    pub fn build(s: &mut Settings<'_>) -> Option<Self> {
        let script = Script::read(s, true)?;
        let skip_next = s.bool_or("skip_next", false);
        let idle = !script.runs_before() && script.post.is_none() && !skip_next;
        (!idle).then(|| Self {
            script: Arc::new(script),
            skip_next,
        })
    }

    /// Whether `post` may look at a body that was not decoded.
    pub fn reads_body(&self) -> bool {
        self.script.post.is_some() && self.script.body
    }

    /// Sources and `pre`; [`PipeStage::before`].
    ///
    /// [`PipeStage::before`]: crate::gateway::stage::PipeStage::before
    pub fn before<'a>(
        &'a self,
        request: &'a mut Request,
        ctx: &'a Ctx,
        label: fn(&Ctx) -> String,
    ) -> Step<'a, Go> {
        if !self.script.runs_before() {
            return Step::Now(Ok(self.go()));
        }
        Step::Wait(Box::pin(async move {
            let place = std::ptr::from_ref(request).addr();
            let own = std::mem::replace(request, nothing());
            let script = self.script.clone();
            let job = move |link| {
                let subject = Subject::Request(Box::new(own));
                let started = script.start(Scope::Pipe, link, subject)?;
                let Some(mut state) = started.vm.take() else {
                    return Err(Fault::new("the script lost its request"));
                };
                let Subject::Request(request) = std::mem::take(&mut state.subject) else {
                    return Err(Fault::new("the script lost its request"));
                };
                // An interpreter that nobody needs is taken down on this thread.
                let paused = script.post.is_some().then_some(Paused { started, state });
                Ok((request, paused))
            };
            let limits = &self.script.limits;
            let done = run::run(limits, ctx, label(ctx), job).await?;
            let (changed, paused) = done.map_err(Fault::error)?;
            *request = *changed;
            if let Some(paused) = paused {
                ctx.kept.put(self.owner(), place, paused);
            }
            Ok(self.go())
        }))
    }

    /// `post`; [`PipeStage::after`].
    ///
    /// [`PipeStage::after`]: crate::gateway::stage::PipeStage::after
    pub fn after<'a>(
        &'a self,
        request: &'a Request,
        answer: &'a mut Answer,
        ctx: &'a Ctx,
        label: fn(&Ctx) -> String,
    ) -> Step<'a, ()> {
        if self.script.post.is_none() {
            return Step::Now(Ok(()));
        }
        Step::Wait(Box::pin(async move {
            let place = std::ptr::from_ref(request).addr();
            let paused: Option<Paused> = ctx.kept.take(self.owner(), place);
            let subject = match self.script.request {
                true => Subject::Request(Box::new(request.clone())),
                false => Subject::Nothing,
            };
            let own = Box::new(std::mem::take(answer));
            let script = self.script.clone();
            let job = move |link| script.finish(paused, link, subject, own);
            let limits = &self.script.limits;
            let done = run::run(limits, ctx, label(ctx), job).await?;
            *answer = *done.map_err(Fault::error)?;
            Ok(())
        }))
    }

    fn go(&self) -> Go {
        if !self.skip_next {
            return Go::Next;
        }
        Go::Answer(Box::new(Answer {
            data: Some(Object::new()),
            ..Answer::default()
        }))
    }

    fn owner(&self) -> usize {
        Arc::as_ptr(&self.script).addr()
    }
}

/// What stands in a request's place while a script has it.
fn nothing() -> Request {
    Request {
        method: Method::GET,
        path: String::new(),
        url: String::new(),
        query: String::new(),
        params: Vec::new(),
        headers: Vec::new(),
        body: None,
    }
}

impl Script {
    /// Runs `post` on an answer, where `pre` ran or in a fresh interpreter.
    fn finish(
        &self,
        paused: Option<Paused>,
        link: Link,
        subject: Subject,
        answer: Box<Answer>,
    ) -> Result<Box<Answer>, Fault> {
        let had_data = answer.data.is_some();
        let started = match paused {
            Some(Paused { started, mut state }) => {
                (state.link, state.subject) = (link, subject);
                state.answer = Some(answer);
                started.vm.put(state)?;
                started
            }
            None => {
                let mut state = self.state(link, subject);
                state.answer = Some(answer);
                let vm = Vm::new(Scope::Pipe, self.open, self.limits.memory, state)?;
                let sources = self.sources()?;
                Started { vm, sources }
            }
        };
        let Started { vm, sources } = &started;
        vm.with_response()?;
        if let Some(post) = &self.post {
            vm.run(post, &sources.lines)?;
        }
        let lost = || Fault::new("the script lost its answer");
        let mut state = vm.take().ok_or_else(lost)?;
        let mut answer = state.answer.take().ok_or_else(lost)?;
        if let Some(root) = state.root {
            let object = state.arena.close(root);
            let object = object.map_err(|e| Fault::new(e.to_string()))?;
            // Nothing at all stays that unless the script put something in.
            answer.data = (had_data || !object.is_empty()).then_some(object);
        }
        Ok(answer)
    }
}
