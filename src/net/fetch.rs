//! One small exchange with a service that the gateway itself asks: keys, tokens, introspection. The answer is whole or
//! an error, within a deadline and a size. Redirects are not followed.

use super::client::{Client, OutBody, Outgoing};
use super::deadline::Deadline;
use super::dns::Resolver;
use super::error::NetError;
use super::transport::Transport;
use super::url::{Scheme, Target};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::sync::Arc;

/// Where a service is: an absolute URL, taken apart once.
#[derive(Clone, Debug)]
pub struct Place {
    target: Arc<Target>,
    path: Box<str>,
}

impl Place {
    /// Takes a URL apart. A fragment is left out.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(url: &str, resolver: &Resolver) -> Result<Self, String> {
        let (url, _) = url.split_once('#').unwrap_or((url, ""));
        let scheme = url.find("://").ok_or("it names no scheme")?;
        let after = scheme + "://".len();
        let rest = url.get(after..).unwrap_or_default();
        let cut = after + rest.find(['/', '?']).unwrap_or(rest.len());
        let (origin, path) = url.split_at_checked(cut).unwrap_or((url, ""));
        if path.bytes().any(|byte| byte <= b' ' || byte >= 0x7f) {
            return Err("its path holds blanks, controls or letters that are not ASCII".to_owned());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            target: Arc::new(Target::parse(origin, resolver)?),
            path: format!("{slash}{path}").into(),
        })
    }

    /// The same place, connected to in a way of its own.
    #[must_use]
    pub fn with_transport(mut self, transport: Option<&Arc<Transport>>) -> Self {
        let target = Arc::unwrap_or_clone(self.target);
        self.target = Arc::new(target.with_transport(transport));
        self
    }

    /// Whether the way there is encrypted.
    pub fn is_secure(&self) -> bool {
        self.target.authority().scheme == Scheme::Https
    }

    /// Host and port, for logs: a path or query may hold secrets.
    pub fn host(&self) -> String {
        self.target.place()
    }
}

/// A request to such a service.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// Method.
    pub method: Method,
    /// Fields, without those of the framing.
    pub fields: &'a [(HeaderName, HeaderValue)],
    /// The body; `None` for none.
    pub body: Option<Bytes>,
    /// The end of everything.
    pub deadline: Deadline,
    /// Longest answer, in bytes.
    pub limit: usize,
}

/// A whole answer.
#[derive(Debug)]
pub struct Fetched {
    /// Status, whatever it is.
    pub status: StatusCode,
    /// Fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Sends a request and reads the whole answer.
///
/// # Errors
/// The transport's, or that the answer is too large.
pub async fn fetch(
    client: &Client,
    place: &Place,
    request: Fetch<'_>,
) -> Result<Fetched, NetError> {
    let body = match request.body {
        Some(bytes) => OutBody::Full {
            bytes,
            chunked: false,
        },
        None => OutBody::None,
    };
    let out = Outgoing {
        method: &request.method,
        path_and_query: &place.path,
        host: None,
        fields: request.fields,
        body,
        patience: None,
        interims: None,
    };
    let incoming = client.send(&place.target, out, request.deadline).await?;
    let (status, headers) = (incoming.status, incoming.headers.clone());
    let body = incoming.collect(request.limit).await?;
    Ok(Fetched {
        status,
        headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<(String, String, bool), String> {
        let place = Place::parse(url, &Resolver::new())?;
        Ok((place.host(), place.path.to_string(), place.is_secure()))
    }

    #[test]
    fn a_url_is_taken_apart_at_its_path_or_query() {
        let all = [
            ("http://a.example/x?y=1#z", "/x?y=1", false),
            ("https://a.example", "/", true),
            ("https://a.example?k=v", "/?k=v", true),
        ];
        for (url, path, secure) in all {
            let (host, found, is) = parse(url).unwrap();
            assert!(host.starts_with("a.example"), "{host}");
            assert_eq!((found.as_str(), is), (path, secure), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_told() {
        for url in [
            "",
            "a.example/x",
            "ftp://a/x",
            "http:///x",
            "http://a/ü",
            "http://a/ b",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
