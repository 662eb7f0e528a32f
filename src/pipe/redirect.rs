//! Redirects of backends, followed inside the gateway as Go's client does (reference/krakend-core 7.6).

use crate::net::Authority;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

/// Redirects that are followed before the chain is an error.
pub const MAX: usize = 10;

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Scheme, host and port, as a URL prefix.
    pub origin: String,
    /// Path and query.
    pub target: String,
    /// Method of the next request.
    pub method: Method,
    /// Whether the body is sent again.
    pub keep_body: bool,
}

/// The next request of a redirect, or `None` when the answer stands for itself: no redirect status, no
/// usable `Location`, or a body that cannot be sent again.
pub fn follow(
    status: u16,
    headers: &HeaderMap,
    method: &Method,
    from: &Authority,
    target: &str,
    replayable: bool,
) -> Option<Hop> {
    let (method, keep_body) = match status {
        301..=303 if *method == Method::HEAD => (Method::HEAD, false),
        301..=303 => (Method::GET, false),
        307 | 308 if replayable => (method.clone(), true),
        _ => return None,
    };
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    let (origin, target) = resolve(location, from, target)?;
    Some(Hop {
        origin,
        target,
        method,
        keep_body,
    })
}

/// An absolute or relative reference (RFC 3986 section 5.2) as origin and target; fragments are cut.
fn resolve(location: &str, from: &Authority, base: &str) -> Option<(String, String)> {
    let location = location.split('#').next().unwrap_or_default();
    let prefix = from.url("");
    let origin = prefix.trim_end_matches('/');
    if let Some(rest) = location
        .strip_prefix("http://")
        .or_else(|| location.strip_prefix("https://"))
    {
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let scheme_len = location.len() - rest.len();
        let origin = location.get(..scheme_len + at)?;
        let target = rest.get(at..)?;
        return Some((origin.to_owned(), rooted(target)));
    }
    if let Some(rest) = location.strip_prefix("//") {
        let scheme = origin.split("//").next()?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        return Some((
            format!("{scheme}//{}", rest.get(..at)?),
            rooted(rest.get(at..)?),
        ));
    }
    if location.contains("://") {
        return None;
    }
    let origin = own_origin(origin);
    let path = base.split('?').next().unwrap_or_default();
    let target = if location.is_empty() {
        base.to_owned()
    } else if location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with('?') {
        format!("{path}{location}")
    } else {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    Some((origin, without_dots(&target)))
}

/// The origin of a target whose host may carry a base path.
fn own_origin(prefix: &str) -> String {
    let Some((scheme, rest)) = prefix.split_once("://") else {
        return prefix.to_owned();
    };
    let host = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{host}")
}

fn rooted(target: &str) -> String {
    if target.starts_with('/') {
        without_dots(target)
    } else {
        format!("/{target}")
    }
}

/// Removes dot segments of the path part (RFC 3986 section 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let mut out = format!("/{}", kept.join("/"));
    if let Some(query) = query {
        out.push('?');
        out.push_str(query);
    }
    out
}

/// Drops the fields that a hop must not carry: body fields when the body goes, credentials when the
/// host changes to one that is no subdomain of the first.
pub fn prepare(
    fields: &mut Vec<(HeaderName, HeaderValue)>,
    hop: &Hop,
    from_host: &str,
    to_host: &str,
) {
    if !hop.keep_body {
        fields.retain(|(name, _)| {
            *name != header::CONTENT_TYPE
                && *name != header::CONTENT_ENCODING
                && *name != header::CONTENT_LANGUAGE
                && *name != header::CONTENT_LOCATION
                && *name != header::CONTENT_LENGTH
        });
    }
    let same = to_host == from_host
        || to_host
            .strip_suffix(from_host)
            .is_some_and(|sub| sub.ends_with('.'));
    if !same {
        fields.retain(|(name, value)| {
            // What stages of ours prove who we are by is marked, whatever its name.
            !value.is_sensitive()
                && *name != header::AUTHORIZATION
                && *name != header::COOKIE
                && *name != header::PROXY_AUTHORIZATION
                && *name != header::WWW_AUTHENTICATE
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(
        status: u16,
        location: &str,
        method: Method,
        replayable: bool,
    ) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_str(location).unwrap());
        let from = Authority::parse("http://a:81").unwrap();
        follow(status, &headers, &method, &from, "/x/y?q=1", replayable)
            .map(|h| (h.origin, h.target))
    }

    #[test]
    fn resolves_locations_against_the_request() {
        for (location, origin, target) in [
            ("http://b/z?k=1#f", "http://b", "/z?k=1"),
            ("https://b:444", "https://b:444", "/"),
            ("http://b?k=1", "http://b", "/?k=1"),
            ("//c/z", "http://c", "/z"),
            ("/z/../w/./v", "http://a:81", "/w/v"),
            ("w", "http://a:81", "/x/w"),
            ("../w", "http://a:81", "/w"),
            ("?k=2", "http://a:81", "/x/y?k=2"),
        ] {
            let found = hop(302, location, Method::GET, true);
            assert_eq!(
                found,
                Some((origin.to_owned(), target.to_owned())),
                "{location}"
            );
        }
        assert_eq!(hop(302, "ftp://b/z", Method::GET, true), None);
    }

    #[test]
    fn only_replayable_bodies_follow_307() {
        assert!(hop(307, "/z", Method::POST, false).is_none());
        assert!(hop(308, "/z", Method::POST, true).is_some());
        assert!(hop(304, "/z", Method::GET, true).is_none());
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static("/z"));
        let from = Authority::parse("http://a").unwrap();
        let hop = follow(303, &headers, &Method::POST, &from, "/", false).unwrap();
        assert_eq!((hop.method, hop.keep_body), (Method::GET, false));
    }

    #[test]
    fn credentials_do_not_leave_the_host() {
        let hop = Hop {
            origin: String::new(),
            target: String::new(),
            method: Method::GET,
            keep_body: true,
        };
        for (from, to, kept) in [
            ("a.b", "a.b", true),
            ("b", "a.b", true),
            ("a.b", "xa.b", false),
            ("a", "c", false),
        ] {
            let mut proof = HeaderValue::from_static("t");
            let plain = (header::ACCEPT, proof.clone());
            proof.set_sensitive(true);
            let all = [
                plain.clone(),
                (header::AUTHORIZATION, HeaderValue::from_static("t")),
                (HeaderName::from_static("x-proof"), proof),
            ];
            let mut fields = all.to_vec();
            prepare(&mut fields, &hop, from, to);
            let wanted = if kept { &all[..] } else { &all[..1] };
            assert_eq!(fields, wanted, "{from} to {to}");
        }
    }
}
