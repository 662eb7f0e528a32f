//! From a compiled document to a running server.

use crate::base::{Dialect, clock};
use crate::compile::{Compiled, Shared};
use crate::edge::connections::Connections;
use crate::edge::door::Door;
use crate::gateway::live::Live;
use crate::net::server_tls;
use crate::proxy::Proxy;
use crate::serve::admin::Admin;
use crate::serve::background::{Drain, Flush};
use crate::serve::probes::Probes;
use crate::serve::reload::{Reload, Reloader};
use crate::serve::signals::{Caught, Signals};
use crate::serve::tasks::Tasks;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::TcpSocket;

/// How long requests may finish at shutdown where the file says nothing.
const GRACE: Duration = Duration::from_secs(30);
/// How long the runtimes may take to stop after that.
const RUNTIMES: u64 = 2;

/// How to start.
#[derive(Debug)]
pub struct Options {
    /// Where metrics and statistics are served; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Worker threads.
    pub threads: usize,
    /// Take the sockets over from the process that runs.
    pub upgrade: bool,
    /// Where the hand-over socket and the pid file stand.
    pub runtime_dir: RuntimeDir,
    /// How to read the file again; `None` for a configuration without a file.
    pub reload: Option<Reload>,
}

/// The folder for the hand-over socket and the pid file.
#[derive(Clone, Debug)]
pub enum RuntimeDir {
    /// Somebody named it: it stays.
    Named(PathBuf),
    /// Made for this process alone, and gone with it.
    Own(PathBuf),
}

/// Everything ready to run.
pub struct Boot {
    server: Server,
    signals: Signals,
    address: SocketAddr,
}

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port that somebody else has, or may not be had.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        error: std::io::Error,
    },
    /// Certificates or keys of the listener.
    #[error("{0}")]
    Tls(String),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(std::io::Error),
    /// The folder for the hand-over socket.
    #[error("cannot make {path}: {error}", path = .path.display())]
    RuntimeDir {
        /// The folder.
        path: PathBuf,
        /// The system's word.
        error: std::io::Error,
    },
}

/// Prepares a server. Nothing is served before [`Boot::run`], but every port is known to be free.
///
/// # Errors
/// What keeps it from starting.
pub fn start(
    compiled: Compiled,
    shared: Arc<Shared>,
    options: Options,
) -> Result<Boot, StartError> {
    let Compiled { gateway, listen } = compiled;
    let caught = Caught::new().map_err(StartError::Signals)?;
    let dialect = gateway.dialect;
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let address = SocketAddr::new(listen.ip.unwrap_or(any), listen.port);
    let address = reachable(address);
    if !options.upgrade {
        for address in [Some(address), options.metrics].into_iter().flatten() {
            probe(address)?;
        }
    }
    let tls = match &listen.tls {
        Some(tls) => {
            let options = tls_options(tls, listen.asks_clients, dialect);
            Some(server_tls::acceptor(&options).map_err(StartError::Tls)?)
        }
        None => None,
    };
    let grace = if listen.drain.is_zero() {
        GRACE
    } else {
        listen.drain
    };
    let conf = server_conf(&options, grace, listen.ca_file.clone())?;
    let live = Arc::new(Live::new(gateway));
    let metrics = Arc::clone(&shared.metrics);
    metrics.published(clock::since_epoch());
    // One for the process, and every answer looks at it: nobody counts who else does.
    let draining: &'static AtomicBool = Box::leak(Box::default());
    let connections = Connections::new(metrics.active_connections.clone());

    let mut server = Server::new_with_opt_and_conf(
        Opt {
            upgrade: options.upgrade,
            ..Opt::default()
        },
        conf,
    );
    server.bootstrap();
    let proxy = Proxy::new(Arc::clone(&live), Arc::clone(&metrics), draining);
    let mut platform = HttpProxy::new(proxy, Arc::clone(&server.configuration));
    platform.handle_init_modules();
    platform.server_options = Some(server_options(listen.h2c));
    let door = Door::new(
        Arc::new(platform),
        Arc::clone(&live),
        Arc::clone(&metrics),
        Arc::clone(&connections),
        draining,
        listen.h2c,
        tls,
    );
    let mut traffic = Service::new("traffic".to_owned(), door);
    // Who reads and writes has buffers of its own, and only while there is something in them.
    let buffers = L4BufferSettings::unbuffered();
    traffic.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
    server.add_service(traffic);
    if let Some(at) = options.metrics {
        server.add_service(Admin::service(
            at,
            Arc::clone(&live),
            &metrics,
            &connections,
        ));
    }
    server.add_service(background_service("log", Flush));
    server.add_service(background_service("probes", Probes::new(Arc::clone(&live))));
    server.add_service(background_service("tasks", Tasks::new(Arc::clone(&live))));
    let scratch = match options.runtime_dir {
        RuntimeDir::Named(_) => None,
        RuntimeDir::Own(folder) => Some(folder),
    };
    server.add_service(background_service(
        "drain",
        Drain::new(connections, draining, grace, scratch),
    ));
    let (hangup, signals) = caught.split(draining);
    if let Some(reload) = options.reload {
        let reloader = Reloader::new(reload, hangup, Arc::clone(&live), Arc::clone(&shared));
        server.add_service(background_service("reload", reloader));
    }
    Ok(Boot {
        server,
        signals,
        address,
    })
}

impl Boot {
    /// Where it will listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until a signal ends it.
    pub fn run(self) {
        self.server.run(RunArgs {
            shutdown_signal: Box::new(self.signals),
        });
    }
}

/// All interfaces in both families where the machine has IPv6, else IPv4 alone.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && TcpListener::bind("[::1]:0").is_err() {
        return SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), address.port());
    }
    address
}

/// A port that cannot be had is an error now and not a line in a log later. The probe only binds: if it
/// listened, a client could connect to it and be cut off a moment later.
fn probe(address: SocketAddr) -> Result<(), StartError> {
    let bind = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    };
    bind().map_err(|error| StartError::Bind { address, error })
}

fn server_options(h2c: bool) -> pingora::apps::HttpServerOptions {
    let mut options = pingora::apps::HttpServerOptions::default();
    options.h2c = h2c;
    // Without it an idle HTTP/2 connection lives for ever.
    options.h2_idle_timeout = Some(Duration::from_secs(60));
    options
}

fn server_conf(
    options: &Options,
    grace: Duration,
    ca_file: Option<String>,
) -> Result<ServerConf, StartError> {
    let (RuntimeDir::Named(dir) | RuntimeDir::Own(dir)) = &options.runtime_dir;
    make_private(dir).map_err(|error| StartError::RuntimeDir {
        path: dir.clone(),
        error,
    })?;
    let within = |name: &str| dir.join(name).to_string_lossy().into_owned();
    Ok(ServerConf {
        threads: options.threads,
        work_stealing: true,
        max_retries: usize::from(crate::proxy::upstream::MAX_TRIES),
        grace_period_seconds: Some(grace.as_secs().max(1)),
        graceful_shutdown_timeout_seconds: Some(RUNTIMES),
        pid_file: within("pid"),
        upgrade_sock: within("upgrade.sock"),
        ca_file,
        // The platform's own timer wakes a hundred times a second once anybody uses it, which at a low
        // rate is a good part of what a request costs; the runtime's wakes when there is something to do.
        fast_timeout_to_tokio_threshold_seconds: Some(0),
        ..ServerConf::default()
    })
}

/// A folder for one user: who can reach the hand-over socket could hand in sockets.
fn make_private(dir: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

fn tls_options(
    tls: &crate::config::document::Tls,
    asks_clients: bool,
    dialect: Dialect,
) -> server_tls::ServerTls {
    let ids = |ids: &[u64]| {
        ids.iter()
            .filter_map(|&id| u16::try_from(id).ok())
            .collect()
    };
    server_tls::ServerTls {
        keys: tls.keys.clone(),
        // KrakenD's default is 1.3 only.
        tls13_only: match (tls.min_version.as_str(), dialect) {
            ("TLS13", _) => true,
            ("SSL3.0" | "TLS10" | "TLS11" | "TLS12", _) => false,
            (_, dialect) => dialect == Dialect::Krakend,
        },
        tls12_only: tls.max_version == "TLS12",
        cipher_suites: ids(&tls.cipher_suites),
        groups: ids(&tls.curve_preferences),
        client_ca: match (tls.enable_mtls, asks_clients) {
            (true, _) => Some(server_tls::ClientCa {
                files: tls.ca_certs.clone(),
                system: !tls.disable_system_ca_pool,
                optional: false,
            }),
            // Who only wants to know somebody believes those that the file names, and not half of the world.
            (false, true) => Some(server_tls::ClientCa {
                files: tls.ca_certs.clone(),
                system: false,
                optional: true,
            }),
            (false, false) => None,
        },
    }
}
