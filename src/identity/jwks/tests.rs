//! Sources against issuers on loopback: what a request finds while keys are fetched, change, or cannot be had.

mod issuer;
mod running;
mod transport;

use self::issuer::{Issuer, Says};
use super::*;
use crate::base::Dialect;
use crate::body::{Object, Value};
use crate::gateway::kept::Kept;
use crate::identity::jose::Signer;
use crate::net::{Client, ClientOptions, Resolver, TlsOptions};
use crate::telemetry::metrics::Metrics;

/// The key of RFC 8037, under a name.
fn jwk(kid: &str) -> String {
    format!(
        r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}"#
    )
}

fn jwks(kids: &[&str]) -> String {
    let keys: Vec<String> = kids.iter().map(|kid| jwk(kid)).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// A token that names a key.
fn token(kid: &str) -> Token {
    let set = jwks(&[kid]);
    let signer = Signer::from_set(
        crate::identity::jose::Algorithm::EdDsa,
        set.as_bytes(),
        kid,
        Dialect::Native,
    );
    let header = Object::with("kid", Value::string(kid));
    let text = signer.unwrap().sign_compact(&header, b"{}").unwrap();
    Token::parse(text.as_bytes()).unwrap()
}

/// The process around sources.
struct World {
    kept: Kept,
    client: Arc<Client>,
    resolver: Resolver,
    metrics: Arc<Metrics>,
}

impl World {
    fn new() -> Self {
        Self::with_tls(TlsOptions::default())
    }

    fn with_tls(tls: TlsOptions) -> Self {
        let options = ClientOptions {
            tls,
            ..ClientOptions::default()
        };
        Self {
            kept: Kept::default(),
            client: Arc::new(Client::new(options)),
            resolver: Resolver::new(),
            metrics: Metrics::new().unwrap(),
        }
    }

    fn env(&self) -> SourceEnv<'_> {
        SourceEnv {
            kept: &self.kept,
            client: &self.client,
            resolver: &self.resolver,
            metrics: &self.metrics,
        }
    }

    /// A source over plain HTTP.
    fn source(&self, issuer: &Issuer) -> Arc<Source> {
        Source::kept(&plain(issuer), &self.env()).unwrap()
    }

    async fn fetch(&self, options: &SourceOptions) -> Result<Keys, FetchFailure> {
        Fetcher::new(options, &self.env())
            .unwrap()
            .keys(|| None)
            .await
    }
}

fn plain(issuer: &Issuer) -> SourceOptions {
    SourceOptions {
        disable_security: true,
        ..SourceOptions::new(
            format!("http://127.0.0.1:{}/jwks", issuer.port()),
            Dialect::Native,
        )
    }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came about");
}

fn is_found(found: &Lookup) -> bool {
    matches!(found, Lookup::Found(_))
}
