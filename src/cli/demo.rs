//! `demo`: the shipped configuration of api.hanzo.ai with stand-ins for its 26 services, in one process.

use crate::base::{Dialect, Report, Severity};
use crate::cli::PROBLEMS;
use crate::cli::args::{self, Metrics};
use crate::cli::input;
use crate::cli::paint::{Paint, talk};
use crate::cli::run::{cores, serve};
use crate::compile::{self, Shared};
use crate::config::load;
use crate::config::load::{Format, LoadOptions};
use crate::demo::{self, Demo};
use crate::gateway::lane::Lane;
use crate::serve::{Options, RuntimeDir};
use crate::telemetry::log::{Format as LogFormat, LogOptions};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// The shipped configuration; part of the binary, so that the demo runs anywhere.
const SHIPPED: &str = include_str!("../../conf/hanzo/gateway.json");

/// Runs the command.
pub fn demo(args: &args::Demo) -> u8 {
    let text = match &args.config {
        None => SHIPPED.to_owned(),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return fail(&format!("cannot read {}: {error}", path.display())),
        },
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let stand_ins = match runtime.block_on(demo::start()) {
        Ok(stand_ins) => stand_ins,
        Err(error) => return fail(&format!("the stand-ins cannot listen: {error}")),
    };
    let port = free(args.port);
    let mut report = Report::default();
    let load_options = LoadOptions {
        port: Some(port),
        ..LoadOptions::default()
    };
    let format = args.config.as_deref().map_or(Format::Json, Format::of);
    let lane = input::asked_lane(&input::environment(), args.lane, &mut report);
    let mut document = load::parse(
        "conf/hanzo/gateway.json",
        &text,
        format,
        &load_options,
        &mut report,
    );
    if let Some(document) = document.as_mut() {
        document.service.fast_lane = lane.map(|lane| lane == Lane::Auto);
    }
    let shared = match Shared::new(cores()) {
        Ok(shared) => Arc::new(shared),
        Err(error) => return fail(&error.to_string()),
    };
    for service in &stand_ins.services {
        // The file stays as shipped: only its names lead to the stand-ins.
        if let Some((name, port)) = service.host.rsplit_once(':')
            && let Ok(port) = port.parse()
        {
            shared.resolver.pin(name, port, service.addr);
        }
    }
    let compiled =
        document.and_then(|d| compile::compile(&d, Dialect::Native, &shared, &mut report));
    let Some(mut compiled) = compiled.filter(|_| !report.has_errors()) else {
        for problem in report
            .problems
            .iter()
            .filter(|p| p.severity == Severity::Error)
        {
            talk(&format!("{} at {}", problem.message, problem.pointer));
        }
        return fail("the configuration is refused");
    };
    let metrics = match args.metrics {
        Metrics::Off => None,
        Metrics::At(at) => Some(SocketAddr::new(at.ip(), free(at.port()))),
    };
    // A person reads this terminal; the requests are their own.
    compiled.gateway.service.access_log = false;
    greet(port, metrics, &stand_ins, &report);
    let options = Options {
        metrics,
        threads: cores(),
        upgrade: false,
        runtime_dir: RuntimeDir::Own(
            std::env::temp_dir().join(format!("hanzo-gateway-demo-{}", std::process::id())),
        ),
        reload: None,
    };
    let logging = LogOptions {
        level: log::LevelFilter::Warn,
        format: LogFormat::Text,
        prefix: String::new(),
    };
    let code = serve(compiled, shared, logging, options);
    drop(stand_ins);
    drop(runtime);
    code
}

/// The port, or a free one when somebody has it.
fn free(port: u16) -> u16 {
    let taken = TcpListener::bind(("0.0.0.0", port)).is_err();
    let free = || {
        TcpListener::bind(("127.0.0.1", 0))
            .and_then(|l| l.local_addr())
            .map(|a| a.port())
    };
    if taken { free().unwrap_or(port) } else { port }
}

fn greet(port: u16, metrics: Option<SocketAddr>, stand_ins: &Demo, report: &Report) {
    let paint = Paint::stderr();
    let base = format!("http://127.0.0.1:{port}");
    let open = report
        .problems
        .iter()
        .filter(|p| p.code == crate::base::Code::Unprotected)
        .count();
    talk(&format!(
        "{} on {base}, with stand-ins for {} services on loopback",
        paint.bold("hanzo-gateway demo"),
        stand_ins.services.len()
    ));
    if let Some(at) = metrics {
        talk(&format!("metrics on http://{at}/metrics"));
    }
    if open > 0 {
        talk(&paint.yellow(&format!(
            "{open} protections of the file (authentication, limits, CORS, breakers) are not implemented yet: \
             this demo runs without them, as with --allow-unprotected"
        )));
    }
    let [_, (key, _), ..] = demo::KEYS;
    let key = format!("Authorization: Bearer {key}");
    talk("\ntry:");
    for line in [
        format!("curl {base}/health"),
        format!("curl {base}/v1/models -H '{key}'"),
        format!(
            "curl -N {base}/v1/chat/completions -H '{key}' -H 'Content-Type: application/json' \\\n       \
             -d '{{\"model\":\"zen-1\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'"
        ),
        format!(
            "curl {base}/v1/auth/login -H 'Content-Type: application/json' \\\n       \
             -d '{{\"username\":\"ada\",\"password\":\"{}\"}}'",
            demo::PASSWORD
        ),
        format!("curl {base}/v1/console/overview -H '{key}'"),
    ] {
        talk(&format!("  {}", paint.green(&line)));
    }
    talk("\nCtrl-C ends it.");
}

fn fail(text: &str) -> u8 {
    talk(&format!("{} {text}", Paint::stderr().red("error:")));
    PROBLEMS
}
