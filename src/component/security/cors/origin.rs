//! Which origins may read answers.
//!
//! KrakenD lets one `*` stand for anything between what stands before and behind it, so that `https://*.a.com` also takes
//! `https://evil.com/.a.com`. In the native dialect a `*` stands for what its place says: as the first label for one or
//! more labels, inside a label for a part of it, as a port for any port.

use http::HeaderValue;

/// A list of origins.
#[derive(Debug)]
pub struct Origins {
    any: bool,
    /// Lower-case, sorted; each as it is usually sent and so answered.
    exact: Box<[(Box<[u8]>, HeaderValue)]>,
    wild: Box<[Wild]>,
}

/// An entry with a `*`.
#[derive(Debug)]
enum Wild {
    /// KrakenD's: anything between two texts.
    Between(Box<[u8]>, Box<[u8]>),
    /// Ours.
    Pattern(Pattern),
}

/// An origin of which a part is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    scheme: Box<[u8]>,
    host: Host,
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// `*`: any host.
    Any,
    /// This one.
    Exact(Box<[u8]>),
    /// `*.rest`: holds `.rest`.
    Below(Box<[u8]>),
    /// `a*b.rest`: one label that begins so and ends so, and what follows it.
    Within(Box<[u8]>, Box<[u8]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Port {
    /// This one, or none.
    Exact(Option<Box<[u8]>>),
    /// `*`: any, or none.
    Any,
}

/// Why an entry is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// No `scheme://` in front.
    Scheme,
    /// A `*` where none can stand, or more of them than one in the host.
    Wildcard,
    /// Something that no host has.
    Host,
    /// A port that is none.
    Port,
    /// A path, a query, a user.
    Path,
}

impl Unclear {
    /// What is wrong, for a message.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Scheme => "has no scheme",
            Self::Wildcard => "has a * whose meaning is not clear",
            Self::Host => "has a host that browsers never send",
            Self::Port => "has a port that browsers never send",
            Self::Path => "has more than scheme, host and port",
        }
    }
}

/// What an origin consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts<'o> {
    scheme: &'o [u8],
    host: &'o [u8],
    port: Option<&'o [u8]>,
}

impl<'o> Parts<'o> {
    /// Cuts a text at its delimiters; what stands between them is not looked at.
    fn cut(text: &'o [u8]) -> Result<Self, Unclear> {
        let at = text.windows(3).position(|three| three == b"://");
        let at = at.ok_or(Unclear::Scheme)?;
        let (scheme, rest) = (text.get(..at), text.get(at + 3..));
        let (scheme, rest) = (scheme.unwrap_or_default(), rest.unwrap_or_default());
        if rest.iter().any(|byte| b"/?#@\\".contains(byte)) {
            return Err(Unclear::Path);
        }
        // The colons of an IPv6 address stand in brackets.
        let name_end = match rest.iter().position(|&byte| byte == b']') {
            Some(end) if rest.starts_with(b"[") => end + 1,
            _ => rest.iter().position(|&b| b == b':').unwrap_or(rest.len()),
        };
        let (host, behind) = rest.split_at_checked(name_end).unwrap_or((rest, b""));
        let port = match behind.split_first() {
            None => None,
            Some((b':', port)) => Some(port),
            Some(_) => return Err(Unclear::Host),
        };
        Ok(Self { scheme, host, port })
    }

    /// The parts of what a browser sent; `None` for what no browser sends.
    fn sent(origin: &'o [u8]) -> Option<Self> {
        let parts = Self::cut(origin).ok()?;
        let good = is_scheme(parts.scheme) && is_host(parts.host) && parts.port.is_none_or(is_port);
        good.then_some(parts)
    }
}

fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Labels with one dot between them.
fn is_labels(host: &[u8]) -> bool {
    host.split(|&byte| byte == b'.')
        .all(|label| !label.is_empty() && label.iter().copied().all(is_label_byte))
}

fn is_host(host: &[u8]) -> bool {
    match host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")) {
        Some(address) => {
            let hex = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
            !address.is_empty() && address.iter().all(hex)
        }
        None => is_labels(host),
    }
}

fn is_port(port: &[u8]) -> bool {
    (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
}

/// Whether an origin without a `*` is one that a browser may send.
///
/// # Errors
/// Why none does.
pub fn check(text: &str) -> Result<(), Unclear> {
    if text == "null" {
        return Ok(());
    }
    let parts = Parts::cut(text.as_bytes())?;
    if !is_scheme(parts.scheme) {
        return Err(Unclear::Scheme);
    }
    if !is_host(parts.host) {
        return Err(Unclear::Host);
    }
    let default: &[u8] = match parts.scheme {
        b"http" => b"80",
        b"https" => b"443",
        _ => b"",
    };
    let sent = parts
        .port
        .is_none_or(|port| is_port(port) && port != default);
    sent.then_some(()).ok_or(Unclear::Port)
}

impl Pattern {
    /// Reads an entry with at least one `*`; it is lower-case.
    ///
    /// # Errors
    /// Why its meaning is not clear.
    pub fn parse(text: &str) -> Result<Self, Unclear> {
        let parts = Parts::cut(text.as_bytes())?;
        if !is_scheme(parts.scheme) {
            return Err(if parts.scheme.contains(&b'*') {
                Unclear::Wildcard
            } else {
                Unclear::Scheme
            });
        }
        let port = match parts.port {
            None => Port::Exact(None),
            Some(b"*") => Port::Any,
            Some(port) if is_port(port) => Port::Exact(Some(port.into())),
            Some(_) => return Err(Unclear::Port),
        };
        Ok(Self {
            scheme: parts.scheme.into(),
            host: Host::parse(parts.host)?,
            port,
        })
    }

    /// Whether any port will do.
    pub fn any_port(&self) -> bool {
        self.port == Port::Any
    }

    /// Whether any host will do.
    pub fn any_host(&self) -> bool {
        self.host == Host::Any
    }

    fn takes(&self, sent: &Parts<'_>) -> bool {
        let port = match (&self.port, sent.port) {
            (Port::Any, _) | (Port::Exact(None), None) => true,
            (Port::Exact(Some(own)), Some(port)) => **own == *port,
            (Port::Exact(_), _) => false,
        };
        port && self.scheme.eq_ignore_ascii_case(sent.scheme) && self.host.takes(sent.host)
    }
}

impl Host {
    fn parse(host: &[u8]) -> Result<Self, Unclear> {
        let mut pieces = host.splitn(2, |&byte| byte == b'*');
        let (before, behind) = (pieces.next().unwrap_or_default(), pieces.next());
        let Some(behind) = behind else {
            let good = is_host(host);
            return good.then(|| Self::Exact(host.into())).ok_or(Unclear::Host);
        };
        if behind.contains(&b'*') || before.contains(&b'.') {
            return Err(Unclear::Wildcard);
        }
        let (label, rest) = match behind.iter().position(|&byte| byte == b'.') {
            Some(dot) => behind.split_at_checked(dot).unwrap_or((behind, b"")),
            None => (behind, &b""[..]),
        };
        let good = before.iter().chain(label).copied().all(is_label_byte);
        let rest_good = rest.is_empty() || rest.get(1..).is_some_and(is_labels);
        if !good || !rest_good {
            return Err(Unclear::Host);
        }
        Ok(
            match (before.is_empty() && label.is_empty(), rest.is_empty()) {
                (true, true) => Self::Any,
                (true, false) => Self::Below(rest.into()),
                // A part of a name that stands alone: `local*` would take any registered name.
                (false, true) => return Err(Unclear::Wildcard),
                (false, false) => Self::Within(before.into(), behind.into()),
            },
        )
    }

    /// `host` is one that [`is_host`] takes.
    fn takes(&self, host: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own.eq_ignore_ascii_case(host),
            Self::Below(rest) => between(host, b"", rest).is_some_and(is_labels),
            Self::Within(before, behind) => between(host, before, behind)
                .is_some_and(|part| !part.is_empty() && part.iter().copied().all(is_label_byte)),
        }
    }
}

/// What stands between two texts, in any case.
fn between<'t>(text: &'t [u8], before: &[u8], behind: &[u8]) -> Option<&'t [u8]> {
    let end = text.len().checked_sub(behind.len())?;
    let (start, rest) = text.split_at_checked(before.len())?;
    let part = rest.get(..end.checked_sub(before.len())?)?;
    let good = start.eq_ignore_ascii_case(before)
        && text
            .get(end..)
            .is_some_and(|b| b.eq_ignore_ascii_case(behind));
    good.then_some(part)
}

impl Origins {
    /// Every origin.
    pub fn any() -> Self {
        Self {
            any: true,
            exact: Box::new([]),
            wild: Box::new([]),
        }
    }

    /// KrakenD's reading of a list: lower-case, one `*` an entry for anything.
    pub fn krakend(entries: impl Iterator<Item = String>) -> Self {
        let (mut exact, mut wild) = (Vec::new(), Vec::new());
        for entry in entries {
            let entry = entry.to_lowercase();
            match entry.split_once('*') {
                _ if entry == "*" => return Self::any(),
                Some((before, behind)) => {
                    wild.push(Wild::Between(
                        before.as_bytes().into(),
                        behind.as_bytes().into(),
                    ));
                }
                None => exact.push(entry),
            }
        }
        Self::of(exact, wild)
    }

    /// Origins and patterns of the native dialect, lower-case.
    pub fn native(exact: Vec<String>, patterns: Vec<Pattern>) -> Self {
        Self::of(exact, patterns.into_iter().map(Wild::Pattern).collect())
    }

    fn of(exact: Vec<String>, wild: Vec<Wild>) -> Self {
        let mut exact: Vec<(Box<[u8]>, HeaderValue)> = exact
            .into_iter()
            .filter_map(|entry| {
                let value = HeaderValue::from_bytes(entry.as_bytes()).ok()?;
                Some((entry.into_bytes().into(), value))
            })
            .collect();
        exact.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self {
            any: false,
            exact: exact.into(),
            wild: wild.into(),
        }
    }

    /// `Access-Control-Allow-Origin` for an origin; `None` when it is not taken.
    pub fn answer(&self, origin: &[u8]) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let lower = |byte: &u8| byte.to_ascii_lowercase();
        let found = self
            .exact
            .binary_search_by(|(own, _)| own.iter().copied().cmp(origin.iter().map(lower)));
        if let Some((own, value)) = found.ok().and_then(|at| self.exact.get(at)) {
            // As a browser writes it, nothing has to be made.
            return if **own == *origin {
                Some(value.clone())
            } else {
                HeaderValue::from_bytes(origin).ok()
            };
        }
        if self.wild.is_empty() {
            return None;
        }
        let parts = Parts::sent(origin);
        let taken = self.wild.iter().any(|wild| match wild {
            Wild::Between(before, behind) => between(origin, before, behind).is_some(),
            Wild::Pattern(pattern) => parts.as_ref().is_some_and(|parts| pattern.takes(parts)),
        });
        taken.then(|| HeaderValue::from_bytes(origin).ok())?
    }
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
