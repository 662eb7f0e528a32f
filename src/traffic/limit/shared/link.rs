//! The connection to a store: one node or a cluster, in clear or over TLS. Passwords are in no text that leaves here.

use aws_lc_rs::digest;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates,
};
use std::fmt;
use std::time::Duration;

/// How long one call may take.
pub const CALL: Duration = Duration::from_millis(500);

/// Where a store is and how to speak to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// URLs (`redis`, `rediss`, `valkey`, `valkeys`), with what is needed to be let in. Several are nodes of a cluster.
    pub urls: Vec<String>,
    /// Whether it is a cluster.
    pub cluster: bool,
    /// Who may vouch for its certificates instead of the machine's roots, as PEM.
    pub roots: Option<Vec<u8>>,
    /// Our certificate and its key, as PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// How long connecting may take.
    pub dial: Duration,
}

impl fmt::Debug for Place {
    /// URLs hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("nodes", &self.urls.len())
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// A store at one URL, or a cluster at several.
    pub fn at(urls: Vec<String>, cluster: bool) -> Self {
        Self {
            cluster: cluster || urls.len() > 1,
            urls,
            roots: None,
            identity: None,
            dial: Duration::from_secs(1),
        }
    }

    /// Whether it can be spoken to, as far as that is known without a connection.
    ///
    /// # Errors
    /// What is wrong, without the URL.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.urls.is_empty() {
            return Err("there is no address");
        }
        for url in &self.urls {
            let info = url.as_str().into_connection_info();
            info.map_err(|_| "this is no URL of a store")?;
        }
        let tls = |url: &String| url.starts_with("rediss:") || url.starts_with("valkeys:");
        let secured = self.urls.iter().filter(|url| tls(url)).count();
        if secured != 0 && secured != self.urls.len() {
            return Err("some addresses are for TLS and some are not");
        }
        if secured == 0 && (self.roots.is_some() || self.identity.is_some()) {
            return Err("there are certificates, and the address is not for TLS");
        }
        if self.certificates().is_some() {
            let made = Client::build_with_tls(self.first(), self.certificates_or_none());
            made.map_err(|_| "the certificates cannot be used")?;
        }
        Ok(())
    }

    /// A text that is another one for each place, and tells nobody where or what it is.
    pub fn mark(&self) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut add = |part: &[u8]| {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        self.urls.iter().for_each(|url| add(url.as_bytes()));
        add(&[u8::from(self.cluster)]);
        add(self.roots.as_deref().unwrap_or_default());
        if let Some((certificate, key)) = &self.identity {
            add(certificate);
            add(key);
        }
        let whole = hash.finish();
        digits(whole.as_ref())
    }

    fn first(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        (self.roots.is_some() || self.identity.is_some()).then(|| self.certificates_or_none())
    }

    fn certificates_or_none(&self) -> TlsCertificates {
        let identity = self.identity.clone();
        TlsCertificates {
            client_tls: identity.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.roots.clone(),
        }
    }

    /// Connects, and makes sure that somebody answers.
    ///
    /// # Errors
    /// The store's or the network's.
    pub async fn connect(&self) -> RedisResult<Link> {
        // A configuration of TLS that finds no provider of its algorithms would end the task.
        pingora::tls::install_default_crypto_provider();
        let mut link = if self.cluster {
            let builder = ClusterClient::builder(self.urls.iter().map(String::as_str))
                .connection_timeout(self.dial)
                .response_timeout(CALL)
                .retries(1);
            let client = match self.certificates() {
                Some(certificates) => builder.certs(certificates).build()?,
                None => builder.build()?,
            };
            Link::Cluster(client.get_async_connection().await?)
        } else {
            let client = match self.certificates() {
                Some(certificates) => Client::build_with_tls(self.first(), certificates)?,
                None => Client::open(self.first())?,
            };
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.dial))
                .set_response_timeout(Some(CALL));
            let connecting = client.get_multiplexed_async_connection_with_config(&config);
            Link::Single(connecting.await?)
        };
        link.ping().await?;
        Ok(link)
    }
}

/// An open connection; a copy shares it.
#[derive(Clone)]
pub enum Link {
    /// To one node.
    Single(MultiplexedConnection),
    /// To a cluster.
    Cluster(ClusterConnection),
}

impl Link {
    async fn ping(&mut self) -> RedisResult<String> {
        self.ask(&redis::cmd("PING")).await
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(one) => command.query_async(one).await,
            Self::Cluster(many) => command.query_async(many).await,
        }
    }

    /// Runs a script that answers with numbers.
    ///
    /// # Errors
    /// The store's or the network's.
    pub async fn run(
        &mut self,
        script: &Script,
        keys: &[String],
        args: &[String],
    ) -> RedisResult<Vec<i64>> {
        let call = |word: &str, script: &str| {
            let mut command = redis::cmd(word);
            command.arg(script).arg(keys.len()).arg(keys).arg(args);
            command
        };
        let answer = self.ask(&call("EVALSHA", &script.hash)).await;
        match answer {
            // A store that was started again does not know it any more.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(&call("EVAL", script.text)).await
            }
            answer => answer,
        }
    }
}

/// A script that runs in the store.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    /// A script and what it is known by: SHA-1, as the protocol wants it.
    pub fn new(text: &'static str) -> Self {
        let whole = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Self {
            text,
            hash: digits(whole.as_ref()),
        }
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What went wrong, in a word that holds no address and no secret.
pub fn fault(error: &RedisError) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    error.category().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_never_told() {
        let check = |urls: &[&str]| {
            let urls = urls.iter().map(|url| (*url).to_owned()).collect();
            Place::at(urls, false).check()
        };
        for url in [
            "redis://valkey:6379",
            "valkey://:secret@valkey/3",
            "rediss://user:secret@valkey:6380",
            "valkeys://valkey",
        ] {
            assert_eq!(check(&[url]), Ok(()), "{url}");
        }
        assert!(check(&[]).is_err());
        assert!(check(&["http://valkey"]).is_err());
        assert!(check(&["valkey:6379"]).is_err());
        assert!(check(&["redis://a", "rediss://b"]).is_err());
        let place = Place::at(vec!["redis://:secret@a".to_owned()], false);
        assert!(!format!("{place:?}").contains("secret"));
    }

    #[test]
    fn certificates_need_tls_and_must_be_some() {
        let mut place = Place::at(vec!["redis://a".to_owned()], false);
        place.roots = Some(b"x".to_vec());
        assert!(place.check().is_err());
        place.urls = vec!["rediss://a".to_owned()];
        place.identity = Some((b"no".to_vec(), b"pem".to_vec()));
        assert!(place.check().is_err());
    }
}
