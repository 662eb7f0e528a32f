//! What a client of `qos/ratelimit/*` is known by: its address, a field, a parameter of the path.

use crate::base::{Code, Dialect};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::router::param_names;
use http::{HeaderName, header};
use std::net::IpAddr;

/// The strategy, ready to ask.
#[derive(Debug)]
pub(super) enum Who {
    /// The client's address, or the one in a field.
    Ip {
        field: Option<HeaderName>,
        dialect: Dialect,
    },
    /// The first value of a field.
    Field(HeaderName),
    /// A parameter, by its place in the path; of none, nobody is known.
    Param(Option<usize>),
}

/// Where a strategy stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// At the whole service, whose routes have different parameters.
    Service,
    /// At an endpoint of this path.
    Endpoint(&'a str),
}

/// Reads `strategy` and `key`. `None` when they make no sense, which is reported: native refuses, and KrakenD drops
/// the limit of clients alone.
pub(super) fn read(s: &mut Settings<'_>, dialect: Dialect, place: Place<'_>) -> Option<Who> {
    let strategy = s.string_or("strategy", "").to_ascii_lowercase();
    let key = s.string_or("key", "");
    match strategy.as_str() {
        "ip" if key.is_empty() => Some(Who::Ip {
            field: None,
            dialect,
        }),
        "ip" => {
            let field = Some(field(s, &key, dialect)?);
            Some(Who::Ip { field, dialect })
        }
        "header" => field(s, &key, dialect).map(Who::Field),
        "param" => param(s, &key, dialect, place),
        other => {
            let message = format!("strategy \"{other}\" tells no client from another");
            let hint = "write \"ip\", \"header\" or \"param\"";
            lost(s, "strategy", dialect, message, hint);
            None
        }
    }
}

fn field(s: &mut Settings<'_>, key: &str, dialect: Dialect) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(key.as_bytes()).ok();
    if name.is_none() {
        let message = format!("key \"{key}\" is no name of a header field");
        let hint = "name the field that tells clients apart, for example \"X-Api-Key\"";
        lost(s, "key", dialect, message, hint);
    }
    name
}

fn param(s: &mut Settings<'_>, key: &str, dialect: Dialect, place: Place<'_>) -> Option<Who> {
    let at = match place {
        Place::Service => None,
        Place::Endpoint(path) => param_names(path, false).iter().position(|name| name == key),
    };
    if at.is_none() {
        let message = format!("the path has no parameter \"{key}\"");
        let hint = "name one of its parameters, or choose another strategy";
        if dialect == Dialect::Native {
            s.error_hint("key", Code::BadValue, message, hint);
            return None;
        }
        let message = format!("{message}: every request is refused, as in KrakenD");
        s.warn_hint("key", Code::BadValue, message, hint);
    }
    Some(Who::Param(at))
}

fn lost(s: &mut Settings<'_>, key: &str, dialect: Dialect, message: String, hint: &str) {
    match dialect {
        Dialect::Native => s.error_hint(key, Code::BadValue, message, hint),
        Dialect::Krakend => {
            let message = format!("{message}; clients are not limited, as in KrakenD");
            s.warn_hint(key, Code::BadValue, message, hint);
        }
    }
}

impl Who {
    /// What clients are known by, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Ip { field: None, .. } => "address".to_owned(),
            Self::Ip {
                field: Some(field), ..
            } => format!("the address in {field}"),
            Self::Field(name) => format!("header {name}"),
            Self::Param(_) => "a parameter of the path".to_owned(),
        }
    }

    /// A number for the kind of client, which keeps an address and a field of the same bytes apart.
    const fn kind(&self) -> u8 {
        match self {
            Self::Ip { .. } => b'i',
            Self::Field(_) => b'h',
            Self::Param(_) => b'p',
        }
    }

    /// Calls `found` with the client's kind and name; `None` for a client that cannot be told.
    pub(super) fn ask<T>(
        &self,
        head: &dyn Head,
        ctx: &Ctx,
        found: impl FnOnce(u8, &[u8]) -> T,
    ) -> Option<T> {
        let kind = self.kind();
        match self {
            Self::Ip { field, dialect } => {
                let named = field.as_ref().and_then(|f| named(head, ctx, f, *dialect));
                let ip = named.unwrap_or(ctx.client);
                Some(match (ip, dialect) {
                    (IpAddr::V4(ip), _) => found(kind, &ip.octets()),
                    (IpAddr::V6(ip), Dialect::Krakend) => found(kind, &ip.octets()),
                    // The network: a client may choose the rest.
                    (IpAddr::V6(ip), Dialect::Native) => {
                        let octets = ip.octets();
                        found(kind, octets.get(..8).unwrap_or_default())
                    }
                })
            }
            Self::Field(name) => {
                // HTTP/2 says it beside its fields.
                let value = match *name {
                    header::HOST => Some(head.host()),
                    _ => head.header(name),
                };
                let value = value.filter(|value| !value.is_empty())?;
                Some(found(kind, value))
            }
            Self::Param(at) => {
                let value = ctx.params.get((*at)?, &ctx.path)?;
                (!value.is_empty()).then(|| found(kind, value))
            }
        }
    }
}

/// The address in a field. KrakenD cuts at the first colon, so that an IPv6 address is never taken, and believes
/// everybody; native takes both kinds, of trusted proxies, and of a list what the last of them has seen.
fn named(head: &dyn Head, ctx: &Ctx, field: &HeaderName, dialect: Dialect) -> Option<IpAddr> {
    if dialect == Dialect::Native {
        return ctx.gateway.service.client_ip.named(head, field);
    }
    let value = head.header(field)?;
    let first = value.split(|&byte| byte == b',').next()?;
    let text = std::str::from_utf8(first.get(..first.len().min(64))?).ok()?;
    let host = text.split(':').next()?;
    host.trim().parse().ok()
}
