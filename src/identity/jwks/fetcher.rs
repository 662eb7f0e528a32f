//! One fetch of an issuer's keys: the request, redirects, and whether the answer is good enough.
//!
//! Differs from KrakenD: there is a bound of time and of size, natively the status must be 200, and no redirect leads
//! from `https` to `http`. Its dialect asks for a JSON content type instead of a status, as KrakenD does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use prometheus::IntCounter;

use super::options::{SourceEnv, SourceError, SourceOptions};
use crate::base::{Dialect, version};
use crate::identity::jose::{KeySet, MAX_SET, SetError};
use crate::net::fetch::{Fetch, Fetched, Place, fetch};
use crate::net::{Client, Deadline, NetError, Resolver, Tls, Transport};

/// Bound of a whole fetch, redirects included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most redirects that are followed.
const REDIRECTS: usize = 5;

/// Why there are no new keys. The texts are for logs: they hold no path and no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchFailure {
    /// The exchange failed.
    #[error("{0}")]
    Net(#[from] NetError),
    /// The issuer answered with another status than 200.
    #[error("the issuer answered {0}")]
    Status(StatusCode),
    /// The answer does not call itself JSON.
    #[error("the answer's content type is no JSON")]
    ContentType,
    /// A redirect that is not followed.
    #[error("the issuer redirects {0}")]
    Redirect(&'static str),
    /// The answer is no set of keys.
    #[error("{0}")]
    Set(#[from] SetError),
}

/// What a fetch brought.
#[derive(Debug)]
pub(super) struct Keys {
    /// The keys; `None` when they are those that were had.
    pub(super) held: Option<Held>,
    /// How long they count, if the issuer says so.
    pub(super) max_age: Option<Duration>,
}

/// Keys with the SHA-256 of the text that they were read from.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) set: Arc<KeySet>,
    pub(super) sum: Option<[u8; 32]>,
}

/// Fetches an issuer's keys.
pub struct Fetcher {
    url: String,
    place: Place,
    host: String,
    transport: Option<Arc<Transport>>,
    client: Arc<Client>,
    resolver: Resolver,
    dialect: Dialect,
    well: IntCounter,
    badly: IntCounter,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Reads the files of the TLS set-up; asks nobody.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn new(options: &SourceOptions, env: &SourceEnv<'_>) -> Result<Self, SourceError> {
        let place = Place::parse(&options.url, env.resolver)
            .map_err(|error| SourceError::new("jwk_url", error))?;
        if !place.is_secure() && !options.disable_security {
            let text = "keys are fetched over https only, unless disable_jwk_security is set";
            return Err(SourceError::new("jwk_url", text));
        }
        let tls = options.tls(env.client.tls_options())?;
        let tls = match place.is_secure() {
            true => Some(Tls::new(&tls, false).map_err(|error| blamed(options, error))?),
            false => None,
        };
        let transport = Transport { tls, proxy: None }.shared();
        let (well, badly) = env.metrics.jwks_fetches();
        Ok(Self {
            url: options.url.clone(),
            host: place.host(),
            place: place.with_transport(transport.as_ref()),
            transport,
            client: Arc::clone(env.client),
            resolver: env.resolver.clone(),
            dialect: options.dialect,
            well,
            badly,
        })
    }

    /// Host and port, for logs.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Fetches the keys and makes them ready, unless their text is that of those that are had when it comes.
    pub(super) async fn keys(
        &self,
        had: impl Fn() -> Option<Arc<Held>>,
    ) -> Result<Keys, FetchFailure> {
        let fetched = self.text().await;
        let keys = fetched.and_then(|(text, max_age)| {
            let held = self.read(&text, had().as_deref())?;
            Ok(Keys { held, max_age })
        });
        match &keys {
            Ok(_) => self.well.inc(),
            Err(_) => self.badly.inc(),
        }
        keys
    }

    fn read(&self, text: &[u8], had: Option<&Held>) -> Result<Option<Held>, SetError> {
        let sum = digest(&SHA256, text).as_ref().try_into().ok();
        if sum.is_some() && had.is_some_and(|had| had.sum == sum) {
            return Ok(None);
        }
        let set = match had {
            Some(had) => KeySet::following(text, self.dialect, &had.set)?,
            None => KeySet::parse(text, self.dialect)?,
        };
        let set = Arc::new(set);
        Ok(Some(Held { set, sum }))
    }

    /// The text of the key set as it came, and how long it counts. For private keys, too.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn text(&self) -> Result<(Bytes, Option<Duration>), FetchFailure> {
        let deadline = Deadline::after(TIMEOUT);
        let mut answer = self.once(&self.place, deadline).await?;
        let mut url = self.url.clone();
        let mut is_secure = self.place.is_secure();
        let mut left = REDIRECTS;
        while let Some(location) = redirect(&answer) {
            left = left
                .checked_sub(1)
                .ok_or(FetchFailure::Redirect("too often"))?;
            url = resolved(&url, location).ok_or(FetchFailure::Redirect("to no address"))?;
            let place = Place::parse(&url, &self.resolver)
                .map_err(|_| FetchFailure::Redirect("to no address"))?;
            if is_secure && !place.is_secure() {
                return Err(FetchFailure::Redirect("from https to http"));
            }
            is_secure = place.is_secure();
            let place = place.with_transport(self.transport.as_ref());
            answer = self.once(&place, deadline).await?;
        }
        self.check(&answer)?;
        Ok((answer.body, max_age(&answer.headers)))
    }

    async fn once(&self, place: &Place, deadline: Deadline) -> Result<Fetched, NetError> {
        let agent = match self.dialect {
            Dialect::Native => version::USER_AGENT,
            Dialect::Krakend => version::KRAKEND_USER_AGENT,
        };
        let accept = "application/jwk-set+json, application/json";
        let request = Fetch {
            method: Method::GET,
            fields: &[
                (ACCEPT, HeaderValue::from_static(accept)),
                (USER_AGENT, HeaderValue::from_static(agent)),
            ],
            body: None,
            deadline,
            limit: MAX_SET,
        };
        // Boxed: fetches are rare and their future is large.
        Box::pin(fetch(&self.client, place, request)).await
    }

    fn check(&self, answer: &Fetched) -> Result<(), FetchFailure> {
        match self.dialect {
            Dialect::Native if answer.status != StatusCode::OK => {
                Err(FetchFailure::Status(answer.status))
            }
            Dialect::Krakend if !is_json(&answer.headers) => Err(FetchFailure::ContentType),
            Dialect::Native | Dialect::Krakend => Ok(()),
        }
    }
}

/// Which setting made the TLS set-up impossible.
fn blamed(options: &SourceOptions, error: String) -> SourceError {
    let ca = options.local_ca.as_ref();
    if ca.is_some_and(|path| error.contains(path.as_str())) {
        SourceError::new("jwk_local_ca", error)
    } else if error.contains("no cipher suite") {
        SourceError::new("cipher_suites", "none of these cipher suites can be had")
    } else {
        SourceError::new("jwk_url", error)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    [&b"application/json"[..], b"application/jwk-set+json"]
        .iter()
        .any(|start| value.starts_with(start))
}

/// Where an answer sends the client to.
fn redirect(answer: &Fetched) -> Option<&str> {
    match answer.status.as_u16() {
        301 | 302 | 303 | 307 | 308 => answer.headers.get(LOCATION)?.to_str().ok(),
        _ => None,
    }
}

/// A reference against the URL that it came from (RFC 3986 section 5.2), without dot segments.
fn resolved(base: &str, reference: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    let has_scheme = reference
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if has_scheme {
        return Some(reference.to_owned());
    }
    if let Some(authority) = reference.strip_prefix("//") {
        return Some(format!("{scheme}://{authority}"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    if reference.starts_with('/') {
        return Some(format!("{scheme}://{authority}{reference}"));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let folder = path
        .rfind('/')
        .map_or("", |at| path.get(..at).unwrap_or_default());
    Some(format!("{scheme}://{authority}{folder}/{reference}"))
}

/// `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|directive| {
            let (name, seconds) = directive.trim().split_once('=')?;
            let seconds = seconds.trim_matches('"').parse().ok()?;
            name.eq_ignore_ascii_case("max-age")
                .then_some(Duration::from_secs(seconds))
        })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn redirects_are_read_against_where_they_came_from() {
        let base = "https://a.example:1/x/y?z";
        for (reference, expected) in [
            ("https://b.example/k", "https://b.example/k"),
            ("//b.example/k", "https://b.example/k"),
            ("/k?q", "https://a.example:1/k?q"),
            ("k", "https://a.example:1/x/k"),
            ("?u=http://c", "https://a.example:1/x/?u=http://c"),
        ] {
            assert_eq!(
                resolved(base, reference).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
        assert_eq!(resolved("https://a", "k").as_deref(), Some("https://a/k"));
    }

    #[test]
    fn the_age_is_read_from_cache_control() {
        let age = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            max_age(&headers)
        };
        assert_eq!(age("public, Max-Age=60"), Some(Duration::from_secs(60)));
        assert_eq!(
            age("s-maxage=1, max-age=\"5\""),
            Some(Duration::from_secs(5))
        );
        assert_eq!(age("max-age=x"), None);
        assert_eq!(age("no-store"), None);
    }
}
