//! `redis` – stores that several components share by name (Enterprise in KrakenD): single ones and clusters.
//!
//! Here limits use them, over one connection each, on which calls do not wait for each other: no request ever waits for a
//! connection. So the sizes of KrakenD's pool have nothing to say, which a warning tells; times and retries mean what
//! they mean there. `tls` is checked as for backends: by the roots of the machine or those of the file, and never not at all.

use crate::base::{Code, Dialect, Problem};
use crate::component::{Component, ServiceDraft};
use crate::config::settings::Settings;
use crate::traffic::limit::shared::link::{Again, Place, Renewal};
use crate::traffic::limit::shared::store::Store;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    ..Component::named("redis")
};

const SHARED: &[&str] = &[
    "name",
    "user_name",
    "password",
    "client_name",
    "tls",
    "pool_size",
    "pool_timeout",
    "min_idle_conns",
    "max_idle_conns",
    "max_active_conns",
    "conn_max_idle_time",
    "conn_max_life_time",
    "dial_timeout",
    "read_timeout",
    "write_timeout",
    "max_retries",
    "min_retry_backoff",
    "max_retry_backoff",
    "opentelemetry",
];

/// Sizes of a pool of connections, of which there is one.
const POOL: &[&str] = &[
    "pool_size",
    "pool_timeout",
    "min_idle_conns",
    "max_idle_conns",
    "max_active_conns",
];

/// How long connecting may take where the file does not say.
const DIAL: Duration = Duration::from_secs(5);
/// The longest that a call may take: a report that is later than this is of no use to anybody.
const SLOWEST: Duration = Duration::from_secs(30);
/// The shortest that a connection lives.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often a call is made again at most.
const MOST: u64 = 20;

fn build(s: &mut Settings<'_>, draft: &mut ServiceDraft, dialect: Dialect) -> Result<(), Problem> {
    s.known(&["connection_pools", "clusters"]);
    if dialect == Dialect::Krakend {
        let message = "redis belongs to KrakenD's Enterprise edition";
        s.warn("", Code::EnterpriseOnly, message);
        return Ok(());
    }
    let mut places = s.objects("connection_pools", |s| {
        known(s, &["address", "db"]);
        let addresses: Vec<_> = s.string("address").into_iter().collect();
        place(s, "address", &addresses, false)
    });
    places.extend(s.objects("clusters", |s| {
        known(s, &["addresses", "max_redirects", "client_tls"]);
        let addresses = s.list_of_strings("addresses");
        place(s, "addresses", &addresses, true)
    }));
    let env = &draft.env;
    let store = |(name, place): (String, Place)| {
        let store = Store::kept(&env.kept, &name, place, &env.metrics);
        (name, store)
    };
    let stores: HashMap<_, _> = places.into_iter().flatten().map(store).collect();
    draft.offers.put(Arc::new(stores));
    Ok(())
}

fn known(s: &mut Settings<'_>, own: &[&str]) {
    let keys: Vec<&str> = SHARED.iter().chain(own).copied().collect();
    s.known(&keys);
}

fn place(
    s: &mut Settings<'_>,
    key: &str,
    addresses: &[String],
    cluster: bool,
) -> Option<(String, Place)> {
    let (named, there) = (s.require("name"), s.require(key));
    let name = s.string("name").filter(|_| named && there)?;
    let tls = if s.has("client_tls") {
        "client_tls"
    } else {
        "tls"
    };
    let secure = s.value(tls).is_some_and(|tls| *tls != false);
    let login = login(s);
    let db = s.unsigned("db").unwrap_or(0);
    let url = |address: &String| {
        let scheme = if secure { "rediss" } else { "redis" };
        let slash = if db > 0 {
            format!("/{db}")
        } else {
            String::new()
        };
        format!("{scheme}://{login}{address}{slash}")
    };
    let mut place = Place::at(addresses.iter().map(url).collect(), cluster);
    manners(s, &mut place);
    if secure && s.value(tls).is_some_and(|tls| tls.is_object()) {
        certificates(s, tls, &mut place);
    }
    if let Err(why) = place.check() {
        let hint = "write a host and a port, for example \"valkey:6379\"";
        s.error_hint(key, Code::BadValue, why, hint);
        return None;
    }
    Some((name, place))
}

/// How it is spoken to.
fn manners(s: &mut Settings<'_>, place: &mut Place) {
    place.client = s.string("client_name").filter(|name| !name.is_empty());
    if place.client.as_ref().is_some_and(|name| {
        let visible = |byte: u8| byte.is_ascii_graphic();
        !name.bytes().all(visible)
    }) {
        let message = "client_name has a space or a character that a store takes for none";
        s.error("client_name", Code::BadValue, message);
        place.client = None;
    }
    place.dial = span(s, "dial_timeout").unwrap_or(DIAL);
    // A call is written and read at once: it may take as long as both.
    let (read, write) = (span(s, "read_timeout"), span(s, "write_timeout"));
    if read.is_some() || write.is_some() {
        let both = read
            .unwrap_or_default()
            .saturating_add(write.unwrap_or_default());
        place.call = both.min(SLOWEST);
    }
    let times = s.unsigned("max_retries").unwrap_or(3);
    if times > MOST {
        let message = format!("max_retries is {times}, and {MOST} are made at most");
        s.warn("max_retries", Code::OutOfRange, message);
    }
    let own = place.again;
    place.again = Again {
        times: u32::try_from(times.min(MOST)).unwrap_or(0),
        shortest: span(s, "min_retry_backoff").unwrap_or(own.shortest),
        longest: span(s, "max_retry_backoff").unwrap_or(own.longest),
    };
    let lasting = |span: Duration| span.max(SHORTEST);
    place.renewal = Renewal {
        idle: span(s, "conn_max_idle_time").map(lasting),
        life: span(s, "conn_max_life_time").map(lasting),
    };
    if place.cluster {
        let redirects = s.unsigned("max_redirects").unwrap_or(3).min(MOST);
        place.redirects = u32::try_from(redirects).unwrap_or(3);
    }
    no_effect(s);
}

/// Tells of what is written and has nothing to say.
fn no_effect(s: &mut Settings<'_>) {
    for key in POOL {
        if s.has(key) {
            let message = format!(
                "{key} has no effect: one connection carries all calls, and no request waits for it"
            );
            s.warn_hint(key, Code::UnknownKey, message, "leave it out");
        }
    }
    if s.has("opentelemetry") {
        let message = "stores are not traced, and their metrics stand with the others";
        let hint = "leave it out; see hanzo_gateway_rate_limit_store_* on the internal listener";
        s.warn_hint("opentelemetry", Code::UnknownKey, message, hint);
    }
}

/// A span that is some time.
fn span(s: &mut Settings<'_>, key: &str) -> Option<Duration> {
    s.duration(key).filter(|span| !span.is_zero())
}

/// `user:password@`, as a URL has it.
fn login(s: &mut Settings<'_>) -> String {
    let encoded = |text: String| {
        let mut out = String::new();
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    };
    let user = s.string("user_name").map(encoded).unwrap_or_default();
    match s.string("password").map(encoded) {
        Some(password) => format!("{user}:{password}@"),
        None if user.is_empty() => String::new(),
        None => format!("{user}@"),
    }
}

fn certificates(s: &mut Settings<'_>, key: &str, place: &mut Place) {
    let Some(mut tls) = s.object(key) else { return };
    if tls.bool_or("allow_insecure_connections", false) {
        let message = "a store whose certificate nobody checks is not served";
        let hint = "name who vouches for it in ca_certs";
        tls.error_hint("allow_insecure_connections", Code::BadTls, message, hint);
    }
    let read = |s: &mut Settings<'_>, key: &str, file: &str| match std::fs::read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let message = format!("{file} cannot be read: {}", error.kind());
            s.error(key, Code::BadTls, message);
            None
        }
    };
    let mut roots = Vec::new();
    for file in tls.list_of_strings("ca_certs") {
        let bytes = read(&mut tls, "ca_certs", &file);
        roots.extend(bytes.unwrap_or_default());
    }
    place.roots = (!roots.is_empty()).then_some(roots);
    let mut pairs = tls.objects("client_certs", |s| {
        let (certificate, key) = (s.string("certificate")?, s.string("private_key")?);
        let certificate = read(s, "certificate", &certificate)?;
        Some((certificate, read(s, "private_key", &key)?))
    });
    place.identity = pairs.drain(..).flatten().next();
}
