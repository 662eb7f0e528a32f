//! A backend's `url_pattern`, cut into text and slots once, and the target that a request makes of
//! it (reference sections 3.3 and 3.4): plain substitution, then Go's escaping of the whole path.
//!
//! Differs from KrakenD: a value that holds another slot's text is never expanded again (KrakenD's
//! random order sometimes does), bytes that would break the request line are encoded in the query
//! too, and a final `*` stands for the tail of a `/*` endpoint exactly as the client encoded it.

use crate::base::{Dialect, Error, Reason};
use crate::gateway::params::Params;
use crate::gateway::path::{decode, encode, go_escape_path, go_quote, push_escaped, raw_offset};
use std::borrow::Cow;

/// What fills a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A parameter of the endpoint, by its place.
    Param(usize),
    /// `{resp<N>_<field>}` of a sequential pipe.
    Response {
        /// Which backend.
        backend: usize,
        /// The path into its data, as written.
        field: String,
    },
    /// `{JWT.<claim>}`.
    Claim(String),
    /// A name that nothing in the endpoint provides; a component may.
    Unknown,
}

/// A place in a pattern that a request fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The key: the name with its first character in title case.
    pub key: String,
    /// Where the value comes from.
    pub kind: SlotKind,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Slot(Slot),
    Tail,
}

/// A compiled `url_pattern`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// The part before the first `?`.
    path: Vec<Piece>,
    /// The part after it; `None` when there is no `?`.
    query: Option<Vec<Piece>>,
    /// The target, or why there is none, when no slot needs filling.
    fixed: Option<Result<String, Refusal>>,
}

/// The text of a [`Reason::BadSlot`], comparable and cheap to keep.
type Refusal = String;

impl Pattern {
    /// Compiles a pattern for an endpoint with these parameters ([`param_names`]); `wildcard` says
    /// whether its path ends in `/*`. A missing leading slash is added.
    ///
    /// [`param_names`]: crate::gateway::router::param_names
    pub fn compile(url_pattern: &str, params: &[String], wildcard: bool) -> Self {
        let slash = if url_pattern.starts_with('/') {
            ""
        } else {
            "/"
        };
        let (path, query) = match url_pattern.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (url_pattern, None),
        };
        let path = format!("{slash}{path}");
        let (path, tail) = match path.strip_suffix("/*") {
            Some(before) if wildcard => (format!("{before}/"), true),
            _ => (path, false),
        };
        let mut path = pieces(&path, params);
        if tail {
            path.push(Piece::Tail);
        }
        let query = query.map(|query| pieces(query, params));
        let mut pattern = Self {
            path,
            query,
            fixed: None,
        };
        if pattern
            .pieces()
            .all(|piece| matches!(piece, Piece::Text(_)))
        {
            pattern.fixed = Some(pattern.assemble(&Params::default(), b"", b"", &|_| None));
        }
        pattern
    }

    /// The slots in order.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.pieces().filter_map(|piece| match piece {
            Piece::Slot(slot) => Some(slot),
            _ => None,
        })
    }

    /// The claims that it asks for, and whether they stand in its query.
    pub fn claims(&self) -> impl Iterator<Item = (&str, bool)> {
        let path = self.path.iter().filter_map(|piece| piece.claim());
        let query = self.query.iter().flatten();
        let query = query.filter_map(|piece| piece.claim());
        path.map(|name| (name, false))
            .chain(query.map(|name| (name, true)))
    }

    /// The pattern as logs and error texts show it: `/x/{{.Id}}`.
    pub fn display(&self) -> String {
        let mut out = String::new();
        for piece in &self.path {
            piece.show(&mut out);
        }
        for (index, piece) in self.query.iter().flatten().enumerate() {
            if index == 0 {
                out.push('?');
            }
            piece.show(&mut out);
        }
        out
    }

    /// The `path?query` to send. `decoded` is the path that was matched, `raw` the path as it was
    /// received; `extra` provides all values but the endpoint's parameters, and may replace those.
    ///
    /// # Errors
    /// [`Reason::BadSlot`] when a value makes no valid URL.
    pub fn fill<'e>(
        &self,
        params: &Params,
        decoded: &[u8],
        raw: &[u8],
        extra: &dyn Fn(&Slot) -> Option<Cow<'e, str>>,
    ) -> Result<Cow<'_, str>, Error> {
        let bad = |text: String| Error::new(Reason::BadSlot, text);
        match &self.fixed {
            Some(Ok(target)) => Ok(Cow::Borrowed(target)),
            Some(Err(text)) => Err(bad(text.clone())),
            None => self
                .assemble(params, decoded, raw, extra)
                .map(Cow::Owned)
                .map_err(bad),
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.path.iter().chain(self.query.iter().flatten())
    }

    fn assemble<'e>(
        &self,
        params: &Params,
        decoded: &[u8],
        raw: &[u8],
        extra: &dyn Fn(&Slot) -> Option<Cow<'e, str>>,
    ) -> Result<String, Refusal> {
        let mut text = Vec::with_capacity(decoded.len() + 64);
        for piece in &self.path {
            piece.write(&mut text, params, decoded, extra);
        }
        let path_end = text.len();
        if let Some(query) = &self.query {
            text.push(b'?');
            for piece in query {
                piece.write(&mut text, params, decoded, extra);
            }
        }
        let failed = |what: &dyn std::fmt::Display| format!("parse {}: {what}", go_quote(&text));
        if text.iter().any(u8::is_ascii_control) {
            return Err(failed(&"net/url: invalid control character in URL"));
        }
        if self.path.last() == Some(&Piece::Tail) {
            let (path, query) = text.split_at(path_end);
            if path.iter().any(|b| matches!(b, b'?' | b'#')) {
                return Err(failed(
                    &"a parameter before a wildcard holds \"?\" or \"#\"",
                ));
            }
            let mut target = go_escape_path(path)
                .map_err(|bad| failed(&bad))?
                .into_owned();
            target.push_str(&tail(params, decoded, raw));
            push_query(&mut target, query);
            return Ok(target);
        }
        // As Go parses a URL: the fragment goes first, then the first "?" begins the query.
        let whole = text.split(|&b| b == b'#').next().unwrap_or_default();
        let at = whole.iter().position(|&b| b == b'?').unwrap_or(whole.len());
        let (path, query) = whole.split_at(at);
        let mut target = go_escape_path(path)
            .map_err(|bad| failed(&bad))?
            .into_owned();
        push_query(&mut target, query);
        Ok(target)
    }
}

impl Piece {
    fn claim(&self) -> Option<&str> {
        match self {
            Self::Slot(Slot {
                kind: SlotKind::Claim(name),
                ..
            }) => Some(name),
            _ => None,
        }
    }

    fn show(&self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Slot(slot) => {
                out.push_str("{{.");
                out.push_str(&slot.key);
                out.push_str("}}");
            }
            Self::Tail => out.push('*'),
        }
    }

    fn write<'e>(
        &self,
        out: &mut Vec<u8>,
        params: &Params,
        decoded: &[u8],
        extra: &dyn Fn(&Slot) -> Option<Cow<'e, str>>,
    ) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Tail => {}
            Self::Slot(slot) => {
                if let Some(value) = extra(slot) {
                    out.extend_from_slice(value.as_bytes());
                } else if let SlotKind::Param(index) = slot.kind
                    && let Some(value) = params.get(index, decoded)
                {
                    out.extend_from_slice(value);
                } else {
                    out.extend_from_slice(b"{{.");
                    out.extend_from_slice(slot.key.as_bytes());
                    out.extend_from_slice(b"}}");
                }
            }
        }
    }
}

/// The tail of a wildcard, as it was received when the raw path tells, else encoded again.
fn tail<'p>(params: &Params, decoded: &[u8], raw: &'p [u8]) -> Cow<'p, str> {
    let index = params.len().saturating_sub(1);
    let Some(range) = params.range(index) else {
        return Cow::Borrowed("");
    };
    let value = decoded.get(range.clone()).unwrap_or_default();
    let sent = raw.get(raw_offset(raw, range.start)..).unwrap_or_default();
    // The matched path may be a cleaned one, of which the raw path knows nothing.
    match (decode(sent), go_escape_path(sent)) {
        (Ok(same), Ok(sent)) if *same == *value => sent,
        _ => Cow::Owned(encode(value)),
    }
}

/// Appends a query, `?` included, verbatim but for what cannot stand in a request line.
fn push_query(target: &mut String, query: &[u8]) {
    for &byte in query {
        if byte.is_ascii_graphic() {
            target.push(char::from(byte));
        } else {
            push_escaped(target, byte);
        }
    }
}

/// Cuts a text at its `{names}`; braces around anything else are text.
fn pieces(text: &str, params: &[String]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        plain.push_str(before);
        let inside = from_brace.strip_prefix('{').unwrap_or_default();
        let length = inside.bytes().take_while(|&b| is_name(b)).count();
        let (name, after) = inside.split_at(length);
        match after.strip_prefix('}') {
            Some(after) if !name.is_empty() => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Slot(slot(name, params)));
                rest = after;
            }
            _ => {
                plain.push('{');
                rest = inside;
            }
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    pieces
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/')
}

fn slot(name: &str, params: &[String]) -> Slot {
    let key = title(name);
    // A later parameter of the same name overwrites an earlier one.
    let kind = if let Some(index) = params.iter().rposition(|param| title(param) == key) {
        SlotKind::Param(index)
    } else if let Some(claim) = name.strip_prefix("JWT.").filter(|claim| !claim.is_empty()) {
        SlotKind::Claim(claim.to_owned())
    } else {
        response(name).unwrap_or(SlotKind::Unknown)
    };
    Slot { key, kind }
}

fn response(name: &str) -> Option<SlotKind> {
    let (number, field) = name.strip_prefix("resp")?.split_once('_')?;
    if field.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(SlotKind::Response {
        backend: number.parse().ok()?,
        field: field.to_owned(),
    })
}

/// A name with its first character in upper case, the form of KrakenD's keys.
pub fn title(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// KrakenD's check of parameter values (reference section 4.4): a value that is still encoded, or
/// holds `?` or `#`, is refused. The tail of a `/*` is forwarded as received and not checked.
///
/// Natively a control character is refused as well: no URL can hold it, which KrakenD finds out when it builds the
/// backend's, and answers as a fault of its own.
///
/// # Errors
/// [`Reason::BadParamEncoding`]; its text is the body of the krakend dialect's 400.
pub fn check_params(params: &Params, path: &[u8], dialect: Dialect) -> Result<(), Error> {
    let checked = params.len() - usize::from(params.raw_tail() && !params.is_empty());
    for index in 0..checked {
        let value = params.get(index, path).unwrap_or_default();
        if dialect == Dialect::Native && value.iter().any(u8::is_ascii_control) {
            let text = "a path parameter holds a control character";
            return Err(Error::new(Reason::BadParamEncoding, text));
        }
        if !value.iter().any(|b| matches!(b, b'%' | b'?' | b'#')) {
            continue;
        }
        return Err(match decode(value) {
            Err(bad) => Error::new(Reason::BadParamEncoding, format!("error: {bad}")),
            Ok(_) => Error::new(Reason::BadParamEncoding, "error: encoded url params"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::router::{Found, Route, Router, RouterOptions, param_names};
    use http::Method;

    /// Sends one raw path through router, check and pattern.
    fn send(endpoint: &str, url_pattern: &str, raw: &str) -> Result<String, Error> {
        send_with(endpoint, url_pattern, raw, &|_| None)
    }

    fn send_with<'e>(
        endpoint: &str,
        url_pattern: &str,
        raw: &str,
        extra: &dyn Fn(&Slot) -> Option<Cow<'e, str>>,
    ) -> Result<String, Error> {
        let (params, decoded) = routed(endpoint, raw, Dialect::Krakend)?;
        let names = param_names(endpoint, false);
        let pattern = Pattern::compile(url_pattern, &names, endpoint.ends_with("/*"));
        let target = pattern.fill(&params, &decoded, raw.as_bytes(), extra)?;
        Ok(target.into_owned())
    }

    /// What one raw path holds for an endpoint, checked.
    fn routed(endpoint: &str, raw: &str, dialect: Dialect) -> Result<(Params, Vec<u8>), Error> {
        let route = Route {
            method: Method::GET,
            pattern: endpoint.to_owned(),
            endpoint: 0,
        };
        let router = Router::build(vec![route], RouterOptions::new(Dialect::Native)).unwrap();
        let decoded = decode(raw.as_bytes())?;
        let mut params = Params::default();
        match router.find(&Method::GET, &decoded, &mut params) {
            Found::Endpoint { .. } => {}
            _ => return Err(Reason::NoRoute.into()),
        }
        check_params(&params, &decoded, dialect)?;
        Ok((params, decoded.into_owned()))
    }

    #[test]
    fn follows_the_worked_vectors() {
        for (raw, target) in [
            ("/u/a%20b", "/x/a%20b"),
            ("/u/%E4%BD%A0", "/x/%E4%BD%A0"),
            ("/u/a+b", "/x/a+b"),
            ("/u/a:b@c", "/x/a:b@c"),
            ("/u/a;b", "/x/a;b"),
            ("/u/a&b=c", "/x/a&b=c"),
            ("/u/..", "/x/.."),
            ("/u/caf%C3%A9", "/x/caf%C3%A9"),
        ] {
            assert_eq!(send("/u/{id}", "/x/{id}", raw).unwrap(), target);
        }
        for (raw, reason, text) in [
            ("/u/a%2Fb", Reason::NoRoute, None),
            (
                "/u/50%25",
                Reason::BadParamEncoding,
                Some("error: invalid URL escape \"%\""),
            ),
            (
                "/u/a%3Fb",
                Reason::BadParamEncoding,
                Some("error: encoded url params"),
            ),
            (
                "/u/a%23b",
                Reason::BadParamEncoding,
                Some("error: encoded url params"),
            ),
            (
                "/u/a%252Fb",
                Reason::BadParamEncoding,
                Some("error: encoded url params"),
            ),
            (
                "/u/%zz",
                Reason::BadTarget,
                Some("invalid URL escape \"%zz\""),
            ),
        ] {
            let error = send("/u/{id}", "/x/{id}", raw).unwrap_err();
            assert_eq!(error.reason, reason, "{raw}");
            assert!(text.is_none_or(|text| error.text == text), "{error}");
        }
    }

    #[test]
    fn leaves_unfilled_slots_encoded() {
        assert_eq!(
            send("/n/{a}.json", "/up/{a}", "/n/1.json").unwrap(),
            "/up/%7B%7B.A%7D%7D",
        );
        assert_eq!(
            send("/n", "/up/{resp0_x}?q={JWT.sub}", "/n").unwrap(),
            "/up/%7B%7B.Resp0_x%7D%7D?q={{.JWT.sub}}",
        );
    }

    #[test]
    fn fills_claims_and_responses() {
        let extra = |slot: &Slot| match &slot.kind {
            SlotKind::Claim(claim) => Some(Cow::Owned(format!("c-{claim}"))),
            SlotKind::Response { backend, field } => Some(Cow::Owned(format!("{backend}.{field}"))),
            _ => None,
        };
        let pattern = "/a/{JWT.http://example.com/custom}/{resp12_a.b}?s={JWT.sub}";
        assert_eq!(
            send_with("/x", pattern, "/x", &extra).unwrap(),
            "/a/c-http://example.com/custom/12.a.b?s=c-sub",
        );
    }

    #[test]
    fn substitutes_plainly_into_the_query() {
        assert_eq!(
            send("/u/{id}", "/x?q={id}&z", "/u/a&b=c").unwrap(),
            "/x?q=a&b=c&z"
        );
        assert_eq!(
            send("/u/{id}", "/x?q={id}", "/u/a%20b%E9").unwrap(),
            "/x?q=a%20b%E9"
        );
    }

    #[test]
    fn refuses_control_characters() {
        let error = send("/u/{id}", "/x/{id}", "/u/a%0D%0AHost:b").unwrap_err();
        assert_eq!(error.reason, Reason::BadSlot);
        assert!(
            error
                .text
                .ends_with("net/url: invalid control character in URL"),
            "{error}"
        );
    }

    #[test]
    fn a_control_character_in_a_parameter_is_the_clients_fault_natively() {
        for raw in ["/u/a%00b", "/u/a%0Ab", "/u/%7F"] {
            let error = routed("/u/{id}", raw, Dialect::Native).unwrap_err();
            assert_eq!(error.reason, Reason::BadParamEncoding, "{raw}");
            assert!(routed("/u/{id}", raw, Dialect::Krakend).is_ok(), "{raw}");
        }
        assert!(routed("/u/{id}", "/u/a%20b", Dialect::Native).is_ok());
    }

    #[test]
    fn forwards_the_raw_tail_of_a_wildcard() {
        for (raw, target) in [
            ("/w/1/a%2Fb/c%20d", "/y/1/a%2Fb/c%20d?z=1"),
            ("/w/1/", "/y/1/?z=1"),
            ("/w/a%20b/c%2Fd%25", "/y/a%20b/c%2Fd%25?z=1"),
            ("/w/1//x", "/y/1//x?z=1"),
        ] {
            assert_eq!(send("/w/{id}/*", "/y/{id}/*?z=1", raw).unwrap(), target);
        }
        assert_eq!(send("/w/{id}", "/y/*", "/w/1").unwrap(), "/y/*");
    }

    #[test]
    fn encodes_the_tail_when_the_path_was_cleaned() {
        let mut params = Params::default();
        params.push(3, 6);
        params.set_raw_tail(true);
        let pattern = Pattern::compile("/y/*", &[], true);
        let target = pattern
            .fill(&params, b"/w/a b", b"//w//a%20b", &|_| None)
            .unwrap();
        assert_eq!(target, "/y/a%20b");
    }

    #[test]
    fn borrows_patterns_without_slots() {
        let none = |_: &Slot| None;
        for (pattern, target) in [
            ("up/no-slash", "/up/no-slash"),
            ("", "/"),
            ("/p?z=1", "/p?z=1"),
            ("/a b", "/a%20b"),
            ("/p?", "/p?"),
            ("/a?b#c", "/a?b"),
            ("?q=1", "/?q=1"),
            ("/{}", "/%7B%7D"),
            ("/{a b}/{", "/%7Ba%20b%7D/%7B"),
        ] {
            let pattern = Pattern::compile(pattern, &[], false);
            let filled = pattern.fill(&Params::default(), b"/", b"/", &none).unwrap();
            assert!(matches!(filled, Cow::Borrowed(_)));
            assert_eq!(filled, target);
        }
        let bad = Pattern::compile("/%zz", &[], false);
        let error = bad.fill(&Params::default(), b"/", b"/", &none).unwrap_err();
        assert_eq!(error.text, "parse \"/%zz\": invalid URL escape \"%zz\"");
    }

    #[test]
    fn shows_slots_with_title_case_keys() {
        let names = ["id".to_owned()];
        let pattern = Pattern::compile("/x/{id}/{JWT.sub}?a={resp0_y}", &names, false);
        assert_eq!(pattern.display(), "/x/{{.Id}}/{{.JWT.sub}}?a={{.Resp0_y}}");
        assert_eq!(pattern.slots().count(), 3);
        assert_eq!(Pattern::compile("/w/*", &[], true).display(), "/w/*");
    }
}
