//! The arguments, as close to what is typed as possible.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// An API gateway that reads KrakenD v3 configuration unchanged.
#[derive(Debug, Parser)]
#[command(
    name = "hanzo-gateway",
    disable_version_flag = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a configuration
    Run(Run),
    /// Say everything that is wrong with a configuration
    #[command(alias = "validate")]
    Check(Check),
    /// Tell what a configuration would do with one request, without sending it
    Explain(Explain),
    /// Name the changes of behaviour between two configurations
    Diff(Diff),
    /// Say what is risky about a configuration
    Audit(Audit),
    /// Print the JSON schema of a configuration, for editors
    Schema(Schema),
    /// Serve the shipped configuration with stand-ins for its 26 services
    Demo(Demo),
    /// Ask a running gateway how it is (for container probes)
    Health(Health),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Say that Go plugins cannot be loaded (for KrakenD's scripts)
    #[command(hide = true)]
    CheckPlugin(Plugin),
    /// Say that Go plugins cannot be loaded (for KrakenD's scripts)
    #[command(hide = true)]
    TestPlugin(Plugin),
    /// Print the version
    Version {
        /// For machines
        #[arg(long)]
        json: bool,
    },
}

/// Whose words to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// What a client of KrakenD CE sees, to the byte
    Krakend,
    /// The contract of hanzo-gateway
    Native,
}

/// Which requests may take the fast lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lane {
    /// All that can
    Auto,
    /// None
    Off,
}

/// Which file to read and how.
#[derive(Clone, Debug, ClapArgs)]
pub struct Input {
    /// The configuration: .json, .yaml, .yml or .toml [default: /etc/hanzo/krakend.json, /etc/krakend/krakend.json]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Whose words to speak to clients and backends [env: HANZO_COMPAT]
    #[arg(long, value_enum)]
    pub compat: Option<Compat>,
    /// Which requests may take the fast lane, over the file's hanzo/edge [env: HANZO_GATEWAY_LANE]
    #[arg(long, value_enum)]
    pub lane: Option<Lane>,
    /// The region that the gateway is in, over the file's hanzo/regions [env: HANZO_REGION]
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
}

/// `run`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Run {
    /// Which file.
    #[command(flatten)]
    pub input: Input,
    /// Watch the file and reload it when it changes (krakend dialect: debug endpoint)
    #[arg(short, long)]
    pub debug: bool,
    /// Listen on this port instead of the file's
    #[arg(short, long, value_name = "N")]
    pub port: Option<u16>,
    /// Start although protections of the file are not implemented yet
    #[arg(long)]
    pub allow_unprotected: bool,
    /// Where metrics and statistics are served; "off" for nowhere [default: 0.0.0.0:9091; off in the krakend dialect]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<Metrics>,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Ask these name servers instead of the system's, separated by commas
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',')]
    pub name_servers: Vec<SocketAddr>,
    /// Take the listening sockets over from the process that runs (send it SIGQUIT)
    #[arg(long)]
    pub upgrade: bool,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl std::str::FromStr for Metrics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| format!("`{text}` is neither `off` nor an address such as 127.0.0.1:9091"))
    }
}

/// `check`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Check {
    /// Which file.
    #[command(flatten)]
    pub input: Input,
    /// Print what was understood, as a tree (more with -dd, -ddd)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub debug: u8,
    /// Print the table of routes (they are tested in any case, and nothing is listened on for it)
    #[arg(short = 't', long = "test-gin-routes")]
    pub test_routes: bool,
    /// Hold the file to the JSON schema of this gateway (nothing is fetched)
    #[arg(short = 'l', long, conflicts_with_all = ["lint_no_network", "lint_schema"])]
    pub lint: bool,
    /// Hold the file to another JSON schema
    #[arg(
        short = 's',
        long,
        value_name = "PATH",
        conflicts_with = "lint_no_network"
    )]
    pub lint_schema: Option<String>,
    /// The same as --lint, in the words of KrakenD's scripts
    #[arg(short = 'n', long)]
    pub lint_no_network: bool,
    /// As --lint, and every warning refuses the file
    #[arg(long)]
    pub strict: bool,
    /// Indentation of the tree
    #[arg(short, long, default_value = "\t", hide_default_value = true)]
    pub indent: String,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

/// `explain`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Explain {
    /// Which file.
    #[command(flatten)]
    pub input: Input,
    /// The method, such as GET; or the URL, for a GET
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// The URL or path, with its query
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// A header of the request
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// A bearer token of the request
    #[arg(long)]
    pub token: Option<String>,
    /// The body of the request (its size matters, its content is not sent)
    #[arg(long, value_name = "TEXT")]
    pub data: Option<String>,
    /// The address of the client
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub client: std::net::IpAddr,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

/// `diff`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Diff {
    /// The configuration as it is
    pub old: PathBuf,
    /// The configuration as it would be
    pub new: PathBuf,
    /// Whose words to speak
    #[arg(long, value_enum)]
    pub compat: Option<Compat>,
    /// For machines
    #[arg(long)]
    pub json: bool,
}

/// `audit`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Audit {
    /// Which file.
    #[command(flatten)]
    pub input: Input,
    /// Rules to leave out, such as 1.1.1,2.2.3
    #[arg(short, long, value_name = "RULES", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// A file of rules to leave out, one a line
    #[arg(short = 'I', long, value_name = "FILE")]
    pub ignore_file: Option<PathBuf>,
    /// Severities to tell about
    #[arg(
        short,
        long,
        value_name = "SEVERITIES",
        value_delimiter = ',',
        default_value = "CRITICAL,HIGH,MEDIUM,LOW"
    )]
    pub severity: Vec<String>,
    /// text, json, sarif, or a Go template as of KrakenD
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: String,
    /// For machines (the same as --format json)
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// List every rule
    #[arg(long)]
    pub rules: bool,
}

/// `check-plugin` and `test-plugin`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Plugin {
    /// Whatever KrakenD's takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<std::ffi::OsString>,
}

/// `schema`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Schema {
    /// Only the settings of this component, such as security/cors
    #[arg(long, value_name = "NAME")]
    pub component: Option<String>,
    /// Of which words: of this gateway, or what the linter of KrakenD accepts
    #[arg(long, value_enum)]
    pub compat: Option<Compat>,
}

/// `demo`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Demo {
    /// Listen on this port
    #[arg(short, long, default_value_t = 8080)]
    pub port: u16,
    /// Where metrics are served; "off" for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9091")]
    pub metrics: Metrics,
    /// Which requests may take the fast lane
    #[arg(long, value_enum)]
    pub lane: Option<Lane>,
    /// Serve this file instead of the shipped configuration of api.hanzo.ai
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl std::fmt::Display for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// `health`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Health {
    /// Where the gateway listens
    #[arg(default_value = "http://127.0.0.1:8080/health")]
    pub url: String,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 3)]
    pub timeout: u64,
}
