//! Which header fields of a client reach a backend, and which ones the gateway adds (reference
//! sections 7.2 and 7.3). Streaming and composed endpoints share [`forward_headers`].
//!
//! The native dialect differs as contract section 1 says: hop-by-hop fields and identity fields
//! never pass, `X-Forwarded-For` is a chain behind trusted proxies, and `X-Forwarded-Proto`, `Via`,
//! `X-Request-ID` and `X-Gateway-Version` are added. Both leave framing (`Content-Length`,
//! `Transfer-Encoding`, `Trailer`) and `Host` to whoever writes the request.

use crate::base::field::{ConnectionOption, connection_options, same};
use crate::base::reply::{X_GATEWAY_REGION, X_GATEWAY_VERSION, X_REQUEST_ID};
use crate::base::{Dialect, version};
use crate::gateway::client_ip::ClientAddr;
use crate::gateway::head::Head;
use crate::gateway::identity::Minted;
use http::header::{self, HeaderName, HeaderValue};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Via`.
pub const X_FORWARDED_VIA: HeaderName = HeaderName::from_static("x-forwarded-via");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What Go's client calls itself when KrakenD's own name was filtered out.
const GO_USER_AGENT: &str = "Go-http-client/1.1";

/// Names nominated by `Connection` beyond this number stop the forwarding of any field: no honest
/// client gets near it.
const MAX_NOMINATED: usize = 64;

/// Fields sent to a backend, in order.
pub type Fields = Vec<(HeaderName, HeaderValue)>;

/// A field's name as it is at hand.
#[derive(Clone, Copy, Debug)]
pub enum FieldName<'a> {
    /// Known beforehand.
    Known(&'a HeaderName),
    /// As the client spells it; a token.
    Text(&'a str),
}

impl FieldName<'_> {
    /// The name in some case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(name) => name.as_str(),
            Self::Text(name) => name,
        }
    }

    /// Whether it is this name, in any case.
    pub fn is(&self, other: &HeaderName) -> bool {
        match self {
            Self::Known(name) => *name == other,
            Self::Text(name) => name.eq_ignore_ascii_case(other.as_str()),
        }
    }
}

/// The name of a field that the gateway writes itself, and how it looks on the wire.
#[derive(Clone, Debug)]
pub struct OwnName {
    /// The name.
    pub name: HeaderName,
    /// In Go's canonical spelling.
    pub spelled: &'static str,
}

const fn own(name: HeaderName, spelled: &'static str) -> OwnName {
    OwnName { name, spelled }
}

static OWN_AGENT: OwnName = own(header::USER_AGENT, "User-Agent");
static OWN_VIA: OwnName = own(header::VIA, "Via");
static OWN_FOR: OwnName = own(X_FORWARDED_FOR, "X-Forwarded-For");
static OWN_HOST: OwnName = own(X_FORWARDED_HOST, "X-Forwarded-Host");
static OWN_PROTO: OwnName = own(X_FORWARDED_PROTO, "X-Forwarded-Proto");
static OWN_FORWARDED_VIA: OwnName = own(X_FORWARDED_VIA, "X-Forwarded-Via");
static OWN_ID: OwnName = own(X_REQUEST_ID, "X-Request-Id");
static OWN_VERSION: OwnName = own(X_GATEWAY_VERSION, "X-Gateway-Version");

/// Takes the fields that a backend gets: a list, or the bytes of a head.
pub trait FieldSink {
    /// Takes one field. The value holds no line end: heads are checked before they are forwarded.
    fn field(&mut self, name: FieldName<'_>, value: &[u8]);

    /// Takes a field of the gateway's own.
    fn own(&mut self, name: &OwnName, value: &[u8]) {
        self.field(FieldName::Known(&name.name), value);
    }

    /// Takes a field of the gateway's own with a value known beforehand.
    fn fixed(&mut self, name: &OwnName, value: &'static str) {
        self.own(name, value.as_bytes());
    }

    /// Joins a piece of `Cookie` to the one that is there; `false` when none is.
    fn join_cookie(&mut self, _piece: &[u8]) -> bool {
        false
    }
}

impl FieldSink for Fields {
    fn field(&mut self, name: FieldName<'_>, value: &[u8]) {
        let name = match name {
            FieldName::Known(name) => Some(name.clone()),
            FieldName::Text(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
        };
        // What is no field value never gets further; heads are checked before, so nothing is lost.
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            self.push((name, value));
        }
    }

    fn fixed(&mut self, name: &OwnName, value: &'static str) {
        self.push((name.name.clone(), HeaderValue::from_static(value)));
    }

    fn join_cookie(&mut self, piece: &[u8]) -> bool {
        let Some((_, cookie)) = self.iter_mut().find(|(name, _)| *name == header::COOKIE) else {
            return false;
        };
        let joined = [cookie.as_bytes(), piece].join(&b"; "[..]);
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            *cookie = joined;
        }
        true
    }
}

/// `input_headers` of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderFilter {
    /// `*`: everything.
    All,
    /// These; an empty list means `Content-Type`.
    Listed(Box<[HeaderName]>),
}

impl HeaderFilter {
    /// Compiles the list; texts that are no field name can never match and are left out.
    pub fn compile(input_headers: &[String]) -> Self {
        if input_headers.is_empty() {
            return Self::Listed(Box::from([header::CONTENT_TYPE]));
        }
        if input_headers.iter().any(|name| name == "*") {
            return Self::All;
        }
        Self::Listed(names(input_headers))
    }

    /// Whether a field passes.
    pub fn passes(&self, name: &HeaderName) -> bool {
        match self {
            Self::All => true,
            Self::Listed(names) => names.contains(name),
        }
    }
}

fn names(texts: &[String]) -> Box<[HeaderName]> {
    let mut names: Vec<HeaderName> = Vec::new();
    for text in texts {
        if let Ok(name) = HeaderName::from_bytes(text.as_bytes())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names.into()
}

/// Names that no client may send, above all what the gateway itself says about identity. `_` is the same
/// as `-`, because some backends read both alike.
#[derive(Clone, Debug, Default)]
pub struct StripSet {
    names: Vec<Box<[u8]>>,
    /// Whether `_` and `-` are told apart after all.
    exact: bool,
    /// One bit for each length up to 63 that occurs; longer names share the last bit.
    lengths: u64,
}

impl StripSet {
    /// Compiles a list of names.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::default().and(names)
    }

    /// The same set with more names.
    #[must_use]
    pub fn and<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        for name in names {
            let name: Box<[u8]> = name.as_ref().bytes().map(|b| self.plain(b)).collect();
            if !self.names.contains(&name) {
                self.lengths |= length_bit(name.len());
                self.names.push(name);
            }
        }
        self
    }

    const fn plain(&self, byte: u8) -> u8 {
        match byte {
            b'_' if !self.exact => b'-',
            byte => byte.to_ascii_lowercase(),
        }
    }

    /// Whether a name, in any case and spelling, is in the set.
    pub fn contains(&self, name: &str) -> bool {
        self.lengths & length_bit(name.len()) != 0
            && self.names.iter().any(|known| {
                known.len() == name.len()
                    && name
                        .bytes()
                        .map(|b| self.plain(b))
                        .eq(known.iter().copied())
            })
    }
}

const fn length_bit(length: usize) -> u64 {
    1 << if length < 63 { length } else { 63 }
}

/// Everything that decides which fields one backend gets; compiled once.
#[derive(Clone, Debug)]
pub struct ForwardRules {
    dialect: Dialect,
    endpoint: HeaderFilter,
    /// The second filter, `input_headers` of the backend; here `*` is an ordinary name.
    backend: Option<Box<[HeaderName]>>,
    hide_version: bool,
    /// Fields of the client that are never copied, whatever the filters say.
    never: StripSet,
    /// The client's fields to copy: both filters and all exclusions known beforehand made one.
    copy: HeaderFilter,
}

impl ForwardRules {
    /// Compiles the lists of an endpoint and one of its backends (empty: no second filter).
    /// `strip` counts in the native dialect only; `hide_version` is `router.hide_version_header`.
    pub fn compile(
        dialect: Dialect,
        endpoint: &[String],
        backend: &[String],
        strip: Arc<StripSet>,
        hide_version: bool,
    ) -> Self {
        let endpoint = HeaderFilter::compile(endpoint);
        let backend = (!backend.is_empty()).then(|| names(backend));
        let mut rules = Self {
            dialect,
            endpoint,
            backend,
            hide_version,
            never: never(dialect, &strip),
            copy: HeaderFilter::All,
        };
        let listed = match (&rules.endpoint, &rules.backend) {
            (HeaderFilter::All, None) => None,
            (HeaderFilter::All, Some(names)) | (HeaderFilter::Listed(names), _) => Some(names),
        };
        if let Some(listed) = listed {
            let kept = listed
                .iter()
                .filter(|n| rules.passes(n) && rules.copies(n))
                .cloned();
            rules.copy = HeaderFilter::Listed(kept.collect());
        }
        rules
    }

    /// Whether both filters let a field pass, whoever made it.
    pub fn passes(&self, name: &HeaderName) -> bool {
        self.endpoint.passes(name) && self.keeps(name)
    }

    /// What the backend's own filter leaves of fields that were selected for its endpoint: those that only this
    /// gateway writes always stay in the native dialect.
    pub fn narrowed(&self, selected: &Fields) -> Fields {
        let ours = |name: &HeaderName| {
            self.dialect == Dialect::Native
                && [header::VIA, X_REQUEST_ID, X_GATEWAY_VERSION].contains(name)
        };
        let mut kept: Fields = selected
            .iter()
            .filter(|(name, _)| self.keeps(name) || ours(name))
            .cloned()
            .collect();
        if !self.keeps(&header::USER_AGENT) {
            kept.push((
                header::USER_AGENT,
                HeaderValue::from_static(self.anonymous()),
            ));
        }
        kept
    }

    /// `User-Agent` where the backend's filter holds back the real one.
    const fn anonymous(&self) -> &'static str {
        match self.dialect {
            Dialect::Native => version::USER_AGENT,
            Dialect::Krakend => GO_USER_AGENT,
        }
    }

    /// Whether the client's `Content-Length` is declared to the backend (reference section 7.5).
    pub fn passes_content_length(&self) -> bool {
        self.passes(&header::CONTENT_LENGTH)
    }

    fn keeps(&self, name: &HeaderName) -> bool {
        self.backend
            .as_ref()
            .is_none_or(|names| names.contains(name))
    }

    /// Whether a client's field may be copied at all, apart from the filters.
    fn copies(&self, name: &HeaderName) -> bool {
        !self.never.contains(name.as_str())
    }

    /// The name under which a client's field is copied, if it is.
    fn copied<'n>(&'n self, name: &'n str) -> Option<FieldName<'n>> {
        match &self.copy {
            HeaderFilter::Listed(names) => names
                .iter()
                .find(|listed| listed.as_str().eq_ignore_ascii_case(name))
                .map(FieldName::Known),
            HeaderFilter::All => (!self.never.contains(name)).then_some(FieldName::Text(name)),
        }
    }
}

/// Fields of a client that no backend gets as they are: framing, what the gateway says itself, and in
/// the native dialect what belongs to the connection and all that tells who somebody is.
fn never(dialect: Dialect, strip: &StripSet) -> StripSet {
    let both = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
        header::USER_AGENT,
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
    ];
    if dialect == Dialect::Krakend {
        let exact = StripSet {
            exact: true,
            ..StripSet::default()
        };
        return exact.and(both);
    }
    let ours = [
        X_FORWARDED_PROTO,
        X_FORWARDED_VIA,
        header::VIA,
        X_REQUEST_ID,
        X_GATEWAY_REGION,
        X_GATEWAY_VERSION,
    ];
    strip
        .clone()
        .and(both)
        .and(ours)
        .and(HOP_BY_HOP)
        .and(["http2-settings"])
}

/// Fields of one connection only (RFC 9110 section 7.6.1), and those that speak to the nearest
/// proxy or that the gateway answers itself.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    PROXY_CONNECTION,
    KEEP_ALIVE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::EXPECT,
];

/// Whether a field is of one connection only.
pub fn hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || name.as_str() == "http2-settings"
}

/// What the gateway says of a request to its backends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added<'a> {
    /// `X-Request-ID`.
    pub request_id: &'a str,
    /// Who calls.
    pub minted: &'a [Minted],
}

/// Gives `out` all fields that a backend gets, without `Host`, framing and `Accept-Encoding`.
/// Several values of one field keep their order.
pub fn forward_headers(
    rules: &ForwardRules,
    head: &dyn Head,
    client: &ClientAddr,
    added: Added<'_>,
    out: &mut impl FieldSink,
) {
    let minted = added.minted;
    let agent = if rules.endpoint.passes(&header::USER_AGENT) {
        head.header(&header::USER_AGENT)
    } else {
        None
    };
    copy_fields(rules, head, (minted, agent.is_some()), out);
    add_forwarded(rules, head, client, out);
    let product = match rules.dialect {
        Dialect::Native => version::USER_AGENT,
        Dialect::Krakend => version::KRAKEND_USER_AGENT,
    };
    match agent {
        _ if !rules.keeps(&header::USER_AGENT) => out.fixed(&OWN_AGENT, rules.anonymous()),
        Some(agent) => out.own(&OWN_AGENT, agent),
        None => out.fixed(&OWN_AGENT, product),
    }
    if agent.is_some() && rules.keeps(&X_FORWARDED_VIA) {
        out.fixed(&OWN_FORWARDED_VIA, product);
    }
    if rules.dialect == Dialect::Native {
        add_via(head, out);
        out.own(&OWN_ID, added.request_id.as_bytes());
        if !rules.hide_version {
            out.fixed(&OWN_VERSION, version::GATEWAY_VERSION);
        }
    }
    add_minted(rules, minted, out);
}

/// Who calls. KrakenD wants such fields listed in `input_headers`, of the endpoint and of the backend.
fn add_minted(rules: &ForwardRules, minted: &[Minted], out: &mut impl FieldSink) {
    for field in minted {
        if field.unlisted || rules.passes(&field.name) {
            for value in &field.values {
                out.field(FieldName::Known(&field.name), value.as_bytes());
            }
        }
    }
}

fn copy_fields(
    rules: &ForwardRules,
    head: &dyn Head,
    (minted, agent_sent): (&[Minted], bool),
    out: &mut impl FieldSink,
) {
    let nominated = match rules.dialect {
        Dialect::Native => Nominated::by(head),
        Dialect::Krakend => Nominated::default(),
    };
    if nominated.too_many {
        return;
    }
    let crumbs = head.version() == "2";
    head.each(&mut |name, value| {
        let Some(name) = rules.copied(name) else {
            return;
        };
        // What the gateway says of somebody takes the place of what they say themselves.
        if minted.iter().any(|field| name.is(&field.name)) {
            return;
        }
        // KrakenD writes its own when it forwards the client's `User-Agent`.
        if nominated.contains(name.as_str()) || (agent_sent && name.is(&X_FORWARDED_VIA)) {
            return;
        }
        // HTTP/2 may cut cookies into several fields, HTTP/1.1 may not (RFC 9113 section 8.2.3).
        if crumbs && name.is(&header::COOKIE) && out.join_cookie(value) {
            return;
        }
        out.field(name, value);
    });
}

fn add_forwarded(
    rules: &ForwardRules,
    head: &dyn Head,
    client: &ClientAddr,
    out: &mut impl FieldSink,
) {
    let native = rules.dialect == Dialect::Native;
    let believed = native && client.trusted;
    if rules.keeps(&X_FORWARDED_FOR) {
        let own = AddressText::of(if native { client.peer } else { client.ip });
        if believed && head.header(&X_FORWARDED_FOR).is_some() {
            let mut chain = joined(head, &X_FORWARDED_FOR);
            append_item(&mut chain, own.as_bytes());
            out.own(&OWN_FOR, &chain);
        } else {
            out.own(&OWN_FOR, own.as_bytes());
        }
    }
    // A trusted proxy knows better than we what the client asked for.
    if rules.keeps(&X_FORWARDED_HOST) {
        let told = if believed {
            head.header(&X_FORWARDED_HOST)
        } else {
            None
        };
        let host = told.unwrap_or_else(|| head.host());
        out.own(&OWN_HOST, host);
    }
    if native && rules.keeps(&X_FORWARDED_PROTO) {
        let told = if believed {
            head.header(&X_FORWARDED_PROTO)
        } else {
            None
        };
        let https = match told {
            Some(told) if told.eq_ignore_ascii_case(b"https") => true,
            Some(told) if told.eq_ignore_ascii_case(b"http") => false,
            _ => head.secure(),
        };
        out.fixed(&OWN_PROTO, if https { "https" } else { "http" });
    }
}

/// RFC 9110 section 7.6.3: every proxy adds itself, none removes another.
fn add_via(head: &dyn Head, out: &mut impl FieldSink) {
    let own = match head.version() {
        "1.0" => "1.0 hanzo-gateway",
        "2" => "2 hanzo-gateway",
        _ => "1.1 hanzo-gateway",
    };
    if head.header(&header::VIA).is_none() {
        return out.fixed(&OWN_VIA, own);
    }
    let mut chain = joined(head, &header::VIA);
    append_item(&mut chain, own.as_bytes());
    out.own(&OWN_VIA, &chain);
}

/// All values of a list field as one.
fn joined(head: &dyn Head, name: &HeaderName) -> Vec<u8> {
    let mut all = Vec::new();
    head.each(&mut |field, value| {
        if field.eq_ignore_ascii_case(name.as_str()) {
            append_item(&mut all, value.trim_ascii());
        }
    });
    all
}

fn append_item(list: &mut Vec<u8>, item: &[u8]) {
    if !list.is_empty() && !item.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(item);
}

/// An address as text, without memory of its own.
struct AddressText {
    text: [u8; 48],
    length: usize,
}

impl AddressText {
    fn of(address: IpAddr) -> Self {
        let mut text = [0; 48];
        let left = {
            let mut room: &mut [u8] = &mut text;
            // The longest address has 45 characters, so nothing here can fail.
            let _ = match address {
                IpAddr::V4(address) => write_v4(&mut room, address),
                IpAddr::V6(address) => write!(room, "{address}"),
            };
            room.len()
        };
        Self {
            text,
            length: 48 - left,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

/// Without the machinery of formatting, which every request would pay.
fn write_v4(room: &mut &mut [u8], address: Ipv4Addr) -> std::io::Result<()> {
    let mut digits = itoa::Buffer::new();
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            room.write_all(b".")?;
        }
        room.write_all(digits.format(octet).as_bytes())?;
    }
    Ok(())
}

/// The fields that `Connection` declares to be the connection's own.
#[derive(Default)]
struct Nominated {
    names: Vec<Box<[u8]>>,
    too_many: bool,
}

impl Nominated {
    fn by(head: &dyn Head) -> Self {
        let mut nominated = Self::default();
        if head.header(&header::CONNECTION).is_none() {
            return nominated;
        }
        head.each(&mut |name, value| {
            if !same(name.as_bytes(), b"connection") {
                return;
            }
            for name in connection_options(value).filter_map(ConnectionOption::name) {
                // What is upgraded is decided elsewhere.
                if same(name, b"upgrade") {
                    continue;
                }
                if nominated.names.len() == MAX_NOMINATED {
                    nominated.too_many = true;
                    return;
                }
                nominated.names.push(name.into());
            }
        });
        nominated
    }

    fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|known| same(known, name.as_bytes()))
    }
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
