//! Stand-ins for the services behind api.hanzo.ai, so that the shipped configuration can be tried on
//! one machine with nothing installed: an identity service that issues real tokens, an LLM that
//! streams, and two dozen services that echo what reached them, which shows what the gateway forwards.
//!
//! Everything listens on loopback only and forgets everything at the end. KrakenD has no such command.

mod iam;
mod llm;
mod message;
mod others;
mod server;

#[cfg(test)]
mod conf_tests;

pub use iam::Iam;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// API keys that the demo's identity service knows, with the tier of each.
pub const KEYS: [(&str, &str); 4] = [
    ("sk-hanzo-demo-free", "free"),
    ("sk-hanzo-demo-dev", "developer"),
    ("sk-hanzo-demo-team", "team"),
    ("sk-hanzo-demo-enterprise", "enterprise"),
];

/// An opaque token that only introspection can make sense of, as a third party's would be.
pub const OPAQUE_TOKEN: &str = "demo-third-party-token";

/// Password of every user of the demo.
pub const PASSWORD: &str = "demo";

/// The routing table: name, path prefix on the gateway, host in the shipped configuration. Two rows
/// share the LLM Gateway, as they do in production.
pub const ROUTES: [(&str, &str, &str); 26] = [
    ("chat", "/v1/chat", "llm-gateway.hanzo.svc:4000"),
    ("models", "/v1/models", "llm-gateway.hanzo.svc:4000"),
    ("auth", "/v1/auth", "iam.hanzo.svc:8000"),
    ("search", "/v1/search", "search.hanzo.svc:7700"),
    ("flow", "/v1/flow", "flow.hanzo.svc:7860"),
    ("storage", "/v1/storage", "storage.hanzo.svc:9000"),
    ("kv", "/v1/kv", "kv.hanzo.svc:6379"),
    ("stream", "/v1/stream", "kafka-rest.hanzo.svc:8082"),
    ("vector", "/v1/vector", "vector.hanzo.svc:6333"),
    ("metrics", "/v1/metrics", "zap.hanzo.svc:9090"),
    ("registry", "/v1/registry", "registry.hanzo.svc:5000"),
    ("docs", "/v1/docs", "docs.hanzo.svc:8001"),
    ("analytics", "/v1/analytics", "analytics.hanzo.svc:8002"),
    ("payments", "/v1/payments", "commerce.hanzo.svc:8003"),
    ("deploy", "/v1/deploy", "platform.hanzo.svc:3000"),
    ("console", "/v1/console", "console.hanzo.svc:3001"),
    ("cloud", "/v1/cloud", "cloud.hanzo.svc:3002"),
    ("agents", "/v1/agents", "agents.hanzo.svc:8004"),
    ("images", "/v1/images", "images.hanzo.svc:8005"),
    ("compute", "/v1/compute", "compute.hanzo.svc:8006"),
    ("blockchain", "/v1/blockchain", "lux-node.hanzo.svc:9650"),
    ("ide", "/v1/ide", "ide.hanzo.svc:8007"),
    ("mcp", "/v1/mcp", "mcp.hanzo.svc:8008"),
    ("tensors", "/v1/tensors", "tensors.hanzo.svc:8009"),
    ("bots", "/v1/bots", "bots.hanzo.svc:8010"),
    ("kms", "/v1/kms", "kms.hanzo.svc:8011"),
];

/// The running stand-ins; dropping it ends them and their connections.
#[derive(Debug)]
pub struct Demo {
    /// In the order of [`ROUTES`].
    pub services: Vec<Service>,
    _tasks: JoinSet<()>,
}

/// One running stand-in.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in [`ROUTES`].
    pub name: &'static str,
    /// Host and port as the shipped configuration writes them.
    pub host: &'static str,
    /// Where it listens, on loopback.
    pub addr: SocketAddr,
}

/// The identity service alone, which can be stopped and comes back at the same address.
#[derive(Debug)]
pub struct IdentityService {
    /// What it does, and how it is told to behave.
    pub iam: Arc<Iam>,
    /// Where it listens, on loopback.
    pub addr: SocketAddr,
    tasks: JoinSet<()>,
}

impl IdentityService {
    /// Starts it on a free port, on the current tokio runtime.
    ///
    /// # Errors
    /// When it cannot bind, or make its key.
    pub async fn start() -> io::Result<Self> {
        let iam = tokio::task::spawn_blocking(Iam::new).await;
        let iam = Arc::new(iam.map_err(io::Error::other)??);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let mut service = Self {
            iam,
            addr,
            tasks: JoinSet::new(),
        };
        service.serve(listener);
        Ok(service)
    }

    fn serve(&mut self, listener: TcpListener) {
        let handler = handler("auth", &self.iam);
        self.tasks.spawn(server::serve(listener, handler));
    }

    /// Ends it with all its connections.
    pub async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// When somebody else has its port by now.
    pub async fn restart(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.addr).await?;
        self.serve(listener);
        Ok(())
    }
}

/// Starts every stand-in on a free port of loopback, on the current tokio runtime. Errors are those
/// of binding, and of making the key that tokens are signed with.
pub async fn start() -> io::Result<Demo> {
    // Making an RSA key takes longer than a runtime's thread may be held.
    let iam = tokio::task::spawn_blocking(Iam::new).await;
    let iam = Arc::new(iam.map_err(io::Error::other)??);
    let mut services: Vec<Service> = Vec::with_capacity(ROUTES.len());
    let mut tasks = JoinSet::new();
    for (name, _, host) in ROUTES {
        let known = services.iter().find(|service| service.host == host);
        let addr = match known {
            Some(service) => service.addr,
            None => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let addr = listener.local_addr()?;
                tasks.spawn(server::serve(listener, handler(name, &iam)));
                addr
            }
        };
        services.push(Service { name, host, addr });
    }
    Ok(Demo {
        services,
        _tasks: tasks,
    })
}

fn handler(name: &'static str, iam: &Arc<Iam>) -> server::Handler {
    match name {
        "chat" | "models" => Arc::new(llm::answer),
        "auth" => {
            let iam = Arc::clone(iam);
            Arc::new(move |request: &message::Request| iam.answer(request))
        }
        _ => Arc::new(move |request: &message::Request| others::answer(name, request)),
    }
}

#[cfg(test)]
mod tests {
    use super::server::tests::talk;
    use super::*;

    #[tokio::test]
    async fn every_row_of_the_routing_table_has_a_listening_stand_in() {
        let demo = start().await.unwrap();
        assert_eq!(demo.services.len(), 26);
        for service in &demo.services {
            let text = b"GET /anything HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let answer = talk(service.addr, text).await;
            assert!(answer.starts_with("HTTP/1.1 "), "{}", service.name);
            assert!(service.addr.ip().is_loopback());
        }
    }

    #[tokio::test]
    async fn every_host_of_the_shipped_configuration_has_a_stand_in() {
        let demo = start().await.unwrap();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/hanzo/gateway.json");
        let text = std::fs::read_to_string(file).unwrap();
        let hosts = text.match_indices("http://").filter_map(|(at, scheme)| {
            let rest = text.get(at + scheme.len()..)?;
            rest.get(..rest.find(['/', '"'])?)
        });
        for host in hosts.filter(|host| host.contains(".svc")) {
            assert!(demo.services.iter().any(|s| s.host == host), "{host}");
        }
    }
}
