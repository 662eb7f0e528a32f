//! `run`: serve a configuration until a signal ends it.

use crate::base::{Code, Dialect, Problem, Report};
use crate::cli::args::{Metrics, Run};
use crate::cli::input::{self, Loaded};
use crate::cli::paint::{Paint, talk};
use crate::cli::{GOOD, PROBLEMS, report};
use crate::compile::{Compiled, Shared};
use crate::config::Source;
use crate::serve::{self, Options, Reload, RuntimeDir};
use crate::telemetry::log::{self as logs, LogOptions};
use arc_swap::ArcSwap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

/// Where metrics are served in the native dialect.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9091);

/// Runs the command.
pub fn run(args: &Run, krakend: bool) -> u8 {
    crate::base::clock::process_start();
    let threads = args.threads.filter(|n| *n > 0).unwrap_or_else(cores);
    let shared = match Shared::new(threads) {
        Ok(shared) => Arc::new(shared),
        Err(error) => return fail(&error.to_string()),
    };
    shared.resolver.ask(args.name_servers.clone());
    let mut loaded = input::load(&args.input, krakend, args.port, &shared, args.debug);
    refuse_unprotected(&mut loaded, args.allow_unprotected);
    report::talk(&loaded.report, &loaded.source);
    let dialect = loaded.dialect;
    let Some(compiled) = loaded.compiled.filter(|_| !loaded.report.has_errors()) else {
        return fail("the configuration is refused; nothing was started");
    };
    let logging = compiled.listen.logging.clone().unwrap_or_default();
    let reload = reload(args, krakend, loaded.read, loaded.missing, dialect);
    serve(
        compiled,
        shared,
        logging,
        options(args, dialect, threads, Some(reload)),
    )
}

/// Starts and serves; shared with the demo.
pub fn serve(compiled: Compiled, shared: Arc<Shared>, logging: LogOptions, options: Options) -> u8 {
    raise_descriptor_limit();
    logs::init(logging, variable("RUST_LOG").as_deref());
    let dialect = compiled.gateway.dialect;
    let (endpoints, metrics) = (compiled.gateway.endpoints.len(), options.metrics);
    let boot = match serve::start(compiled, shared, options) {
        Ok(boot) => boot,
        Err(error) => return fail(&error.to_string()),
    };
    let shown = metrics.map_or_else(|| "off".to_owned(), |at| at.to_string());
    log::info!(
        endpoints, dialect = match dialect { Dialect::Native => "native", Dialect::Krakend => "krakend" },
        metrics = &*shown; "listening on {}", boot.address()
    );
    boot.run();
    crate::telemetry::sink::Sink::stdout().flush();
    GOOD
}

/// Metrics, threads and the like from arguments and environment.
pub fn options(args: &Run, dialect: Dialect, threads: usize, reload: Option<Reload>) -> Options {
    let from_environment = variable("HANZO_GATEWAY_METRICS").and_then(|text| text.parse().ok());
    let metrics = match (args.metrics.or(from_environment), dialect) {
        (Some(Metrics::Off), _) | (None, Dialect::Krakend) => None,
        (Some(Metrics::At(address)), _) => Some(address),
        (None, Dialect::Native) => Some(METRICS),
    };
    Options {
        metrics,
        threads,
        upgrade: args.upgrade,
        runtime_dir: runtime_dir(),
        reload,
    }
}

/// A protection that does not work yet keeps a native gateway from starting unless the operator says
/// that this is fine.
fn refuse_unprotected(loaded: &mut Loaded, allowed: bool) {
    if allowed || loaded.dialect == Dialect::Krakend {
        return;
    }
    for problem in &mut loaded.report.problems {
        if problem.code == Code::Unprotected {
            problem.severity = crate::base::Severity::Error;
            problem.hint =
                Some("start with --allow-unprotected if this is fine for now".to_owned());
        }
    }
}

fn reload(
    args: &Run,
    krakend: bool,
    read: Vec<PathBuf>,
    missing: Vec<PathBuf>,
    dialect: Dialect,
) -> Reload {
    let (input, port) = (args.input.clone(), args.port);
    let file = read.first().cloned().unwrap_or_default();
    let files = Arc::new(ArcSwap::from_pointee(read));
    let watched = Arc::clone(&files);
    let (allowed, debug) = (args.allow_unprotected, args.debug);
    Reload {
        file,
        files,
        watch: args.debug && dialect == Dialect::Native,
        read: Box::new(move |shared| {
            let mut loaded = input::load(&input, krakend, port, shared, debug);
            refuse_unprotected(&mut loaded, allowed);
            refuse_lost(&mut loaded, &missing);
            watch(&watched, &loaded);
            let source = &loaded.source;
            let lines = |report: &Report| {
                let errors = report.problems.iter();
                errors
                    .filter(|p| p.severity == crate::base::Severity::Error)
                    .map(|p| format!("{} {} at {}", p.code.id(), p.message, place(p, source)))
                    .collect::<Vec<_>>()
            };
            if loaded.report.has_errors() {
                return Err(lines(&loaded.report));
            }
            loaded.compiled.ok_or_else(|| lines(&loaded.report))
        }),
    }
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    let environment = input::environment();
    environment
        .into_iter()
        .find(|(n, v)| n == name && !v.is_empty())
        .map(|(_, value)| value)
}

/// A partial that was there at the start and is gone may have held a protection: the running
/// configuration stays.
fn refuse_lost(loaded: &mut Loaded, missing: &[PathBuf]) {
    for path in loaded.missing.iter().filter(|path| !missing.contains(path)) {
        let message = format!("the partial {} is gone", path.display());
        let problem = Problem::error(Code::Template, "", message);
        let hint = "put it back, or take its `include` out of the template";
        loaded.report.push(problem.hint(hint));
    }
}

/// What is watched from now on. A file that is refused may not have come to all it would read.
fn watch(watched: &serve::reload::Files, loaded: &Loaded) {
    let mut files = loaded.read.clone();
    if loaded.report.has_errors() {
        let before = watched.load();
        let more = before.iter().filter(|file| !loaded.read.contains(file));
        files.extend(more.cloned());
    }
    watched.store(Arc::new(files));
}

/// A finding's pointer, or where it stands when it has none.
fn place(problem: &Problem, source: &Source) -> String {
    match source.spot_problem(problem) {
        (_, Some(spot)) if source.is_rendered() || problem.pointer.is_empty() => {
            let pointer = match problem.pointer.as_str() {
                "" => String::new(),
                pointer => format!(" ({pointer})"),
            };
            format!("{}:{}:{}{pointer}", spot.file, spot.line, spot.column)
        }
        _ if problem.pointer.is_empty() => "the top".to_owned(),
        _ => problem.pointer.clone(),
    }
}

/// One worker per core.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// `$HANZO_GATEWAY_RUNTIME_DIR`, systemd's `$RUNTIME_DIRECTORY`, or a folder of this user and process
/// under the temporary one.
fn runtime_dir() -> RuntimeDir {
    let named = variable("HANZO_GATEWAY_RUNTIME_DIR").or_else(|| variable("RUNTIME_DIRECTORY"));
    match named {
        Some(folder) => RuntimeDir::Named(folder.into()),
        None => {
            let name = format!("hanzo-gateway-{}", std::process::id());
            RuntimeDir::Own(std::env::temp_dir().join(name))
        }
    }
}

/// As many descriptors as the system lets us have: each connection is one, each call to a backend another.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        log::warn!("the limit of open files stays: {error}");
    }
}

fn fail(text: &str) -> u8 {
    talk(&format!("{} {text}", Paint::stderr().red("error:")));
    PROBLEMS
}
