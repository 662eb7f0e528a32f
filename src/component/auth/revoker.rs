//! `auth/revoker` – tokens that are refused before they expire (reference/krakend-components section 1.3): each claim
//! that `token_keys` names is looked up, as `<claim>-<value>`, among the revoked elements, for every request and
//! whether its token is remembered or not.
//!
//! How elements come there: by KrakenD's remote calls on `port`, by lines of a `file` that is watched, and by a
//! socket in the file system.
//!
//! Differs from KrakenD: settings that cannot be understood refuse the file (there revocation is silently off);
//! `port` listens on loopback unless `listen_ip` says otherwise (the krakend dialect: everywhere); a filter cannot be
//! taken over as a whole (`Union`); `headers`, which nothing evaluates there, are in native; numbers among the claims count
//! in native; what was revoked survives a reload, and with a `file` also a restart.

mod admin;
mod file;
mod rpc;
mod socket;

use self::admin::{Admin, Doors};
use crate::base::{Code, Dialect, Error, Problem, Reason, Severity};
use crate::body::{Object, Value};
use crate::component::{Component, ServiceDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::identity::{ClaimStage, claim_text};
use crate::gateway::stage::{Edits, HeadStage, Step};
use crate::identity::revoked::{Hashes, Shape};
use http::HeaderName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "auth/revoker";

/// What Enterprise's revoke server needs of the gateways that it serves.
const SERVER: [&str; 5] = [
    "revoke_server_ping_url",
    "revoke_server_ping_interval",
    "revoke_server_api_key",
    "revoke_server_max_workers",
    "revoke_server_max_retries",
];

fn build(s: &mut Settings<'_>, draft: &mut ServiceDraft, dialect: Dialect) -> Result<(), Problem> {
    s.known(&[
        "N",
        "P",
        "hash_name",
        "TTL",
        "port",
        "token_keys",
        "headers",
        "file",
        "socket",
        "listen_ip",
        SERVER[0],
        SERVER[1],
        SERVER[2],
        SERVER[3],
        SERVER[4],
    ]);
    let from = s.report().problems.len();
    let shape = shape(s);
    let doors = doors(s, dialect);
    let keys: Box<[Box<str>]> = s
        .list_of_strings("token_keys")
        .into_iter()
        .map(Into::into)
        .collect();
    let headers = headers(s);
    if keys.is_empty() && (headers.is_empty() || dialect == Dialect::Krakend) {
        let message = "nothing of a token is looked at, so that none can be revoked";
        let hint =
            "write in \"token_keys\" by which claims tokens are revoked, for example [\"jti\"]";
        s.error_hint("token_keys", Code::BadValue, message, hint);
    }
    told_of_server(s);
    let wrong = s
        .report()
        .problems
        .iter()
        .skip(from)
        .any(|p| p.severity == Severity::Error);
    let admin = match (shape, wrong) {
        (Some(shape), false) => Admin::find(&draft.env, shape, doors),
        _ => {
            forgiven(s, from, dialect);
            return Ok(());
        }
    };
    let admin = admin.map_err(|why| Problem::error(Code::OutOfRange, s.pointer(), why))?;
    if let Err(why) = admin.read_file() {
        let hint = "make it, empty if need be; each line is an element such as jti-<id>";
        s.error_hint(
            "file",
            Code::BadValue,
            format!("\"file\" cannot be read: {why}"),
            hint,
        );
    }
    draft.tasks.push(admin.clone());
    draft.claims.push(Box::new(Claims {
        keys,
        admin: Arc::clone(&admin),
        dialect,
    }));
    if dialect == Dialect::Native && !headers.is_empty() {
        draft.head.push(Box::new(Headers {
            names: headers,
            admin,
        }));
    }
    Ok(())
}

/// The krakend dialect starts without revocation, as KrakenD does with settings that it cannot read.
fn forgiven(s: &mut Settings<'_>, from: usize, dialect: Dialect) {
    if dialect == Dialect::Native {
        return;
    }
    for problem in s.report().problems.iter_mut().skip(from) {
        if problem.severity == Severity::Error {
            problem.severity = Severity::Warning;
            problem
                .message
                .push_str("; nothing is revoked, as in KrakenD");
        }
    }
}

/// What the filter is to hold.
fn shape(s: &mut Settings<'_>) -> Option<Shape> {
    let there = ["N", "P", "hash_name", "TTL"].map(|key| s.require(key));
    let hashes = s.one_of("hash_name", &["optimal", "default"]);
    let (elements, mistake, period) = (s.unsigned("N"), s.float("P"), s.unsigned("TTL"));
    if there.contains(&false) {
        return None;
    }
    let shape = Shape {
        elements: elements?,
        mistake: mistake?,
        hashes: match hashes? {
            "optimal" => Hashes::Optimal,
            _ => Hashes::Default,
        },
        period: Duration::from_secs(period?),
    };
    if let Err(why) = shape.bits() {
        let hint = "write for example \"N\": 10000000, \"P\": 0.0000001, \"TTL\": 86400";
        s.error_hint("", Code::OutOfRange, why, hint);
        return None;
    }
    Some(shape)
}

/// Where revocations are taken.
fn doors(s: &mut Settings<'_>, dialect: Dialect) -> Doors {
    let ip = match s.string("listen_ip").map(|text| text.parse::<IpAddr>()) {
        Some(Ok(ip)) => ip,
        Some(Err(_)) => {
            let hint = "write for example \"127.0.0.1\"";
            s.error_hint(
                "listen_ip",
                Code::BadAddress,
                "\"listen_ip\" is no IP address",
                hint,
            );
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        }
        None if dialect == Dialect::Krakend => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let port = s.unsigned("port").unwrap_or(0);
    let Ok(port) = u16::try_from(port) else {
        s.error("port", Code::OutOfRange, "\"port\" is above 65535");
        return Doors::default();
    };
    let mut path = |key: &str| {
        s.string(key)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let doors = Doors {
        port: (port > 0).then(|| SocketAddr::new(ip, port)),
        file: path("file"),
        socket: path("socket"),
    };
    if doors == Doors::default() {
        let message = "there is no way to tell what is revoked";
        let hint = "write a \"port\" for KrakenD's tools, a \"file\" or a \"socket\"";
        s.error_hint("port", Code::MissingKey, message, hint);
    } else if doors.port.is_some() && !ip.is_loopback() && dialect == Dialect::Native {
        let message = "whoever reaches \"port\" can revoke tokens: its calls carry no proof";
        s.warn_hint(
            "listen_ip",
            Code::BadValue,
            message,
            "let a firewall guard it",
        );
    }
    doors
}

/// Fields whose values are looked up, each with its name as written.
fn headers(s: &mut Settings<'_>) -> Box<[(HeaderName, Box<str>)]> {
    let mut all = Vec::new();
    for (pointer, name) in s.located_strings("headers") {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(known) => all.push((known, name.into())),
            Err(_) => {
                let message = "this is no name of a field";
                s.report()
                    .push(Problem::error(Code::BadValue, pointer, message));
            }
        }
    }
    all.into()
}

/// The revoke server pushes to gateways that announced themselves: to ours it never would.
fn told_of_server(s: &mut Settings<'_>) {
    let named = SERVER.into_iter().find(|key| s.has(key));
    let waits = s
        .string("revoke_server_ping_url")
        .is_some_and(|url| !url.is_empty());
    if waits {
        let message =
            "a revoke server is not announced to, so that its revocations do not come here";
        let hint = "push them to \"port\", \"socket\" or \"file\"; `run` refuses this file unless --allow-unprotected is given";
        s.warn_hint(SERVER[0], Code::Unprotected, message, hint);
    } else if let Some(key) = named {
        s.warn(
            key,
            Code::EnterpriseOnly,
            "the revoke server of the Enterprise edition is not served",
        );
    }
}

/// Refuses tokens by their claims.
struct Claims {
    keys: Box<[Box<str>]>,
    admin: Arc<Admin>,
    dialect: Dialect,
}

impl Claims {
    fn revoked(&self, key: &str, value: &Value) -> bool {
        let has = |text: &str| self.admin.has(&[key.as_bytes(), b"-", text.as_bytes()]);
        match value {
            Value::String(text) => has(text),
            Value::Number(_) if self.dialect == Dialect::Native => {
                has(&claim_text(value, self.dialect))
            }
            _ => false,
        }
    }
}

impl ClaimStage for Claims {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, claims: &Object) -> Result<(), Error> {
        let told = self
            .keys
            .iter()
            .filter_map(|key| Some((key, claims.get(key)?)));
        for (key, value) in told {
            if self.revoked(key, value) {
                return Err(Reason::TokenRevoked.into());
            }
        }
        Ok(())
    }
}

/// Refuses requests by their fields.
struct Headers {
    names: Box<[(HeaderName, Box<str>)]>,
    admin: Arc<Admin>,
}

impl HeadStage for Headers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(&'a self, head: &'a dyn Head, _: &'a mut Edits, _: &'a mut Ctx) -> Step<'a> {
        for (name, written) in &self.names {
            let value = head.header(name).filter(|value| !value.is_empty());
            if value.is_some_and(|value| self.admin.has(&[written.as_bytes(), b"-", value])) {
                return Step::Now(Err(Reason::TokenRevoked.into()));
            }
        }
        Step::NEXT
    }
}

#[cfg(test)]
mod tests;
