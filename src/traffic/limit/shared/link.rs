//! The connection to a store: one node or a cluster, in clear or over TLS. Passwords are in no text that leaves here.

use aws_lc_rs::digest;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates, ToRedisArgs,
};
use std::fmt;
use std::time::Duration;

/// How long one call may take, where a file does not say.
const CALL: Duration = Duration::from_millis(500);

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
    /// How long one call may take.
    pub call: Duration,
    /// What the connection is called there.
    pub client: Option<String>,
    /// How often a node of a cluster may send us to another.
    pub redirects: u32,
    /// How a call is made again before the store counts as away.
    pub again: Again,
    /// When a connection is made anew although it works.
    pub renewal: Renewal,
}

/// How a call that failed is made again, on a new connection. It counts once, however often it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Again {
    /// How often.
    pub times: u32,
    /// The first pause; each is twice as long as the one before.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Again {
    /// The pause before the nth attempt, counted from 1, if there is one.
    pub fn pause(&self, attempt: u32) -> Option<Duration> {
        let doubled = self
            .shortest
            .saturating_mul(1 << attempt.saturating_sub(1).min(16));
        (attempt <= self.times).then(|| doubled.min(self.longest))
    }
}

/// When a connection has had its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Renewal {
    /// After so long without a call.
    pub idle: Option<Duration>,
    /// After so long.
    pub life: Option<Duration>,
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
            call: CALL,
            client: None,
            redirects: 1,
            again: Again {
                times: 0,
                shortest: Duration::from_millis(8),
                longest: Duration::from_millis(512),
            },
            renewal: Renewal::default(),
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
        add(self.client.as_deref().unwrap_or_default().as_bytes());
        let manners = (
            self.dial,
            self.call,
            self.redirects,
            self.again,
            self.renewal,
        );
        add(format!("{manners:?}").as_bytes());
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

    /// Connects. Whether somebody answers, and takes what is written, shows at the first call.
    ///
    /// # Errors
    /// The store's or the network's.
    pub async fn connect(&self) -> RedisResult<Link> {
        // A configuration of TLS that finds no provider of its algorithms would end the task.
        pingora::tls::install_default_crypto_provider();
        let mut link = if self.cluster {
            let builder = ClusterClient::builder(self.urls.iter().map(String::as_str))
                .connection_timeout(self.dial)
                .response_timeout(self.call)
                .retries(self.redirects);
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
                .set_response_timeout(Some(self.call));
            let connecting = client.get_multiplexed_async_connection_with_config(&config);
            Link::Single(connecting.await?)
        };
        if let Some(name) = &self.client {
            let mut command = redis::cmd("CLIENT");
            command.arg("SETNAME").arg(name);
            link.ask::<()>(&command).await?;
        }
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
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(one) => command.query_async(one).await,
            Self::Cluster(many) => command.query_async(many).await,
        }
    }

    /// Runs a script with these keys and numbers, that answers with numbers.
    ///
    /// # Errors
    /// The store's or the network's.
    pub async fn run(
        &mut self,
        script: &Script,
        keys: &[String],
        args: &(impl ToRedisArgs + Sync),
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
    fn pauses_double_up_to_the_longest_and_end() {
        let mut again = Place::at(Vec::new(), false).again;
        assert_eq!(again.pause(1), None);
        again.times = 8;
        let pauses: Vec<_> = (1..=9).map(|attempt| again.pause(attempt)).collect();
        let millis = |pause: &Option<Duration>| pause.map(|pause| pause.as_millis());
        let pauses: Vec<_> = pauses.iter().map(millis).collect();
        let expected = [8, 16, 32, 64, 128, 256, 512, 512].map(Some);
        assert_eq!(pauses[..8], expected);
        assert_eq!(pauses[8], None);
    }

    #[test]
    fn places_that_are_spoken_to_in_another_way_are_others() {
        let place = || Place::at(vec!["redis://a".to_owned()], false);
        let mut other = place();
        assert_eq!(place().mark(), other.mark());
        other.call = Duration::from_secs(2);
        assert_ne!(place().mark(), other.mark());
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
