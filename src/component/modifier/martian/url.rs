//! URLs of requests as Go's `net/url` takes them apart and puts them together, and the modifiers and
//! conditions that look at them.

use super::Outbound;
use crate::gateway::{path, query};
use std::borrow::Cow;

/// A URL in its parts; all of them as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts<'u> {
    scheme: &'u str,
    host: &'u str,
    path: &'u str,
    /// Empty and absent are different: the `?` stays.
    query: Option<&'u str>,
}

impl<'u> Parts<'u> {
    fn of(url: &'u str) -> Self {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (url, query) = match url.split_once('?') {
            Some((url, query)) => (url, Some(query)),
            None => (url, None),
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self {
            scheme,
            host,
            path,
            query,
        }
    }

    /// The path without escapes.
    fn decoded(&self) -> Cow<'u, [u8]> {
        path::decode(self.path.as_bytes()).unwrap_or(Cow::Borrowed(self.path.as_bytes()))
    }

    fn join(&self) -> String {
        let Self {
            scheme, host, path, ..
        } = self;
        let slash = if path.is_empty() || path.starts_with('/') {
            ""
        } else {
            "/"
        };
        match self.query {
            None => format!("{scheme}://{host}{slash}{path}"),
            Some(query) => format!("{scheme}://{host}{slash}{path}?{query}"),
        }
    }
}

/// Host and port of a URL as written.
pub(super) fn authority(url: &str) -> &str {
    Parts::of(url).host
}

/// The decoded path of a URL.
pub(super) fn decoded_path(url: &str) -> Cow<'_, [u8]> {
    Parts::of(url).decoded()
}

/// The port of a URL, its scheme's when none is written.
pub(super) fn port(url: &str) -> Option<i64> {
    let parts = Parts::of(url);
    match Authority::of(parts.host).port {
        Some(port) => port.parse().ok(),
        None => match parts.scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        },
    }
}

/// Whether the query holds this pair; any value when it is empty.
pub(super) fn has_pair(url: &str, name: &[u8], value: &[u8]) -> bool {
    let raw = Parts::of(url).query.unwrap_or_default();
    query::pairs(raw.as_bytes()).any(|(n, v)| *n == *name && (value.is_empty() || *v == *value))
}

/// A host and its port as written; the brackets of an IPv6 address belong to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'u> {
    pub(super) host: &'u str,
    pub(super) port: Option<&'u str>,
}

impl<'u> Authority<'u> {
    pub(super) fn of(text: &'u str) -> Self {
        let after = text.rfind(']').map_or(0, |at| at + 1);
        match text.get(after..).and_then(|rest| rest.find(':')) {
            Some(at) => Self {
                host: text.get(..after + at).unwrap_or(text),
                port: text.get(after + at + 1..),
            },
            None => Self {
                host: text,
                port: None,
            },
        }
    }
}

/// The modifiers of URLs.
#[derive(Debug)]
pub(super) enum UrlOp {
    /// `url.Modifier`; empty parts stay.
    Parts {
        scheme: String,
        host: String,
        /// As configured.
        path: String,
        /// The same as it is written in a URL.
        encoded: String,
        query: String,
    },
    /// `port.Modifier` with `port`.
    Port(i64),
    /// `port.Modifier` with `defaultForScheme`.
    DefaultPort,
    /// `port.Modifier` with `remove`.
    NoPort,
    /// `querystring.Modifier`
    Query { name: Vec<u8>, value: Vec<u8> },
}

impl UrlOp {
    pub(super) fn apply(&self, to: &mut Outbound<'_>) {
        let parts = Parts::of(&to.request.url);
        let Authority { host: bare, .. } = Authority::of(parts.host);
        let url = match self {
            Self::Parts {
                scheme,
                host,
                path,
                encoded,
                query,
            } => {
                let mut parts = parts;
                parts.scheme = or(scheme, parts.scheme);
                parts.host = or(host, parts.host);
                if !path.is_empty() && *parts.decoded() != *path.as_bytes() {
                    parts.path = encoded;
                }
                if !query.is_empty() {
                    parts.query = Some(query);
                }
                parts.join()
            }
            Self::NoPort => with_host(parts, bare),
            Self::Port(port) => with_host(parts, &format!("{bare}:{port}")),
            Self::DefaultPort => match parts.scheme {
                "http" => with_host(parts, &format!("{bare}:80")),
                "https" => with_host(parts, &format!("{bare}:443")),
                _ => return,
            },
            Self::Query { name, value } => {
                let raw = parts.query.unwrap_or_default();
                // As Go's `Values.Set`: the name has this one value from now on.
                let mut pairs: Vec<query::Pair<'_>> = query::pairs(raw.as_bytes())
                    .filter(|(n, _)| **n != **name)
                    .collect();
                pairs.push((Cow::Borrowed(name), Cow::Borrowed(value)));
                let encoded = query::encode(&mut pairs);
                Parts {
                    query: Some(&encoded),
                    ..parts
                }
                .join()
            }
        };
        to.go_to(url);
    }
}

fn or<'t>(text: &'t str, otherwise: &'t str) -> &'t str {
    if text.is_empty() { otherwise } else { text }
}

fn with_host(parts: Parts<'_>, host: &str) -> String {
    Parts { host, ..parts }.join()
}

/// The condition of `url.Filter`; empty parts are not looked at.
#[derive(Debug, Default)]
pub(super) struct UrlMatch {
    pub(super) scheme: String,
    /// `*` stands for a label or the rest of one.
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: String,
}

impl UrlMatch {
    pub(super) fn is(&self, url: &str) -> bool {
        let parts = Parts::of(url);
        (self.scheme.is_empty() || self.scheme == parts.scheme)
            && (self.host.is_empty() || matches_host(parts.host, &self.host))
            && (self.path.is_empty() || *self.path.as_bytes() == *parts.decoded())
            && (self.query.is_empty() || self.query == parts.query.unwrap_or_default())
    }
}

/// Whether a host is what a pattern says, walked from the right as martian does: `*` swallows everything up
/// to the next `.`.
fn matches_host(host: &str, pattern: &str) -> bool {
    let (host, pattern) = (host.as_bytes(), pattern.as_bytes());
    if host == pattern {
        return !host.is_empty();
    }
    let Some(mut at) = host.len().checked_sub(1) else {
        return false;
    };
    for (index, &wanted) in pattern.iter().enumerate().rev() {
        if wanted == b'*' {
            while at > 0 && host.get(at) != Some(&b'.') {
                at -= 1;
            }
            if index == 0 && at == 0 {
                return true;
            }
            continue;
        }
        if host.get(at) != Some(&wanted) {
            return false;
        }
        if at == 0 {
            return index == 0;
        }
        at -= 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_as_in_martian() {
        for (host, pattern, matches) in [
            ("a.example.com", "*.example.com", true),
            ("example.com", "*.example.com", false),
            ("a.b.example.com", "*.example.com", false),
            ("a.b.example.com", "*.*.example.com", true),
            ("example.com", "example.*", true),
            ("example.com", "*", false),
            ("localhost", "*", true),
            ("example.com", "example.com", true),
            ("xexample.com", "example.com", false),
            ("example.com", "xexample.com", false),
            ("", "*", false),
            ("10.0.0.1:80", "10.0.0.*", true),
            ("ab.c", "a*.c", true),
        ] {
            assert_eq!(matches_host(host, pattern), matches, "{host} {pattern}");
        }
    }

    #[test]
    fn ports_are_read_behind_brackets() {
        for (url, wanted) in [
            ("http://h/p", Some(80)),
            ("https://h/p:1", Some(443)),
            ("http://h:8080?x=1:2", Some(8080)),
            ("http://[::1]/", Some(80)),
            ("http://[::1]:9/", Some(9)),
            ("ftp://h/", None),
            ("http://h:/", None),
        ] {
            assert_eq!(port(url), wanted, "{url}");
        }
    }

    #[test]
    fn urls_come_back_together() {
        for url in [
            "http://h:1/p%20q?a=b",
            "http://h",
            "http://h?",
            "http://h/?a",
            "https://[::1]:9/x//y?z=%2f",
        ] {
            assert_eq!(Parts::of(url).join(), url);
        }
    }
}
