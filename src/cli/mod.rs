//! The command line (contract section 7): arguments, printing, exit codes. All work is in the rooms.

pub mod args;
pub mod audit;
pub mod check;
pub mod demo;
pub mod diff;
pub mod dump;
pub mod explain;
pub mod health;
pub mod input;
pub mod paint;
pub mod report;
pub mod routes;
pub mod run;
pub mod schema;

use args::{Args, Command};
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Everything is good.
pub const GOOD: u8 = 0;
/// The file, the request or the machine has a problem.
pub const PROBLEMS: u8 = 1;
/// The command line cannot be understood.
pub const USAGE: u8 = 2;

/// Runs the command line and gives the exit code: 0 good, 1 problems, 2 usage.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let krakend = arguments
        .first()
        .is_some_and(|name| Path::new(name).file_name() == Some("krakend".as_ref()));
    let args = match Args::try_parse_from(&arguments) {
        Ok(args) => args,
        Err(error) => {
            // clap prints help and version to stdout and mistakes to stderr; both in colour only on
            // a terminal.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { GOOD });
        }
    };
    ExitCode::from(match args.command {
        Command::Run(run) => run::run(&run, krakend),
        Command::Check(check) => check::check(&check, krakend),
        Command::Explain(explain) => explain::explain(&explain, krakend),
        Command::Diff(diff) => diff::diff(&diff, krakend),
        Command::Audit(audit) => audit::audit(&audit, krakend),
        Command::Schema(schema) => schema::schema(&schema, krakend),
        Command::Demo(demo) => demo::demo(&demo),
        Command::Health(health) => health::health(&health),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "hanzo-gateway", &mut out);
            paint::print(&String::from_utf8_lossy(&out));
            GOOD
        }
        Command::CheckPlugin(_) | Command::TestPlugin(_) => {
            paint::talk(
                "Go plugins cannot be loaded by this gateway; docs/MIGRATING.md says what takes their place",
            );
            PROBLEMS
        }
        Command::Version { json } => version(json),
    })
}

fn version(json: bool) -> u8 {
    use crate::base::version::{KRAKEND_VERSION, VERSION};
    paint::print(&if json {
        format!("{{\"schema\":1,\"version\":\"{VERSION}\",\"krakend\":\"{KRAKEND_VERSION}\"}}\n")
    } else {
        format!(
            "hanzo-gateway {VERSION}\nspeaks KrakenD {KRAKEND_VERSION} configuration (version 3)\n"
        )
    });
    GOOD
}
