//! `security/http` – which hosts are served, whether only over TLS, and the fields that tell browsers to be careful.
//!
//! Differs from KrakenD (native): it works at endpoint level too, on top of the service's; a regular expression for hosts is anchored
//! as a whole and knows no case; `host_proxy_headers` are believed from trusted proxies only; a
//! backend's own field of the same name is replaced instead of doubled. A wrong host is 403 and not 500.

use super::{Mapped, regex_fault, service_only};
use crate::base::{Code, Dialect, Problem, Reason, Reply};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::settings::Settings;
use crate::config::weak::go_path;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::stage::{Edit, Edits, Flow, HeadStage, Outcome, Step};
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use regex::{Regex, RegexBuilder};
use serde_json::Value;
use std::fmt::Write as _;

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "security/http";
const NONCE: &str = "$NONCE";
const KEYS: &[&str] = &[
    "allowed_hosts",
    "allowed_hosts_are_regex",
    "host_proxy_headers",
    "ssl_redirect",
    "ssl_host",
    "ssl_proxy_headers",
    "sts_seconds",
    "sts_include_subdomains",
    "force_sts_header",
    "frame_deny",
    "custom_frame_options_value",
    "content_type_nosniff",
    "browser_xss_filter",
    "content_security_policy",
    "referrer_policy",
    "is_development",
    "hpkp_public_key",
];

fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    let secure = read(s, dialect);
    if dialect == Dialect::Native
        && !secure.host_fields.is_empty()
        && draft.router.trusted_proxies.is_none()
    {
        s.warn_hint(
            "host_proxy_headers",
            Code::TrustsEveryProxy,
            "host_proxy_headers without trusted_proxies: KrakenD believes these fields from every client, this \
             gateway from nobody",
            "list the addresses of your proxies in \"router\": {\"trusted_proxies\": […]}",
        );
    }
    draft.head.push(Box::new(secure));
    Ok(())
}

fn endpoint(
    s: &mut Settings<'_>,
    draft: &mut EndpointDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    if dialect == Dialect::Krakend {
        service_only(s, NAME);
        return Ok(());
    }
    draft.head.push(Box::new(read(s, dialect)));
    Ok(())
}

struct Secure {
    dialect: Dialect,
    hosts: Hosts,
    /// Fields that name the host in place of `Host`.
    host_fields: Box<[HeaderName]>,
    /// Whether cleartext is redirected, and to which host if not the one that was asked for.
    redirect: Option<Option<Box<str>>>,
    /// Fields and values that tell of TLS in front of us.
    tls_fields: Box<[(HeaderName, Box<[u8]>)]>,
    /// `Strict-Transport-Security`, and whether cleartext answers carry it too.
    sts: Option<(HeaderValue, bool)>,
    /// Fields that are the same on every answer.
    fields: Box<[(HeaderName, HeaderValue)]>,
    /// A policy with [`NONCE`] in it.
    policy: Option<Box<str>>,
}

enum Hosts {
    All,
    Listed(Box<[Box<[u8]>]>),
    Matching(Box<[Regex]>),
}

fn read(s: &mut Settings<'_>, dialect: Dialect) -> Secure {
    s.known(KEYS);
    if s.has("hpkp_public_key") {
        let message = "hpkp_public_key does nothing: browsers have given up pinned keys";
        s.warn_hint("hpkp_public_key", Code::Deprecated, message, "remove it");
    }
    let mut m = Mapped {
        settings: s,
        dialect,
    };
    let development = m.flag("is_development");
    let hosts = hosts(&mut m);
    let redirect = redirect(&mut m);
    let sts = sts(&mut m);
    let policy = m
        .text("content_security_policy")
        .filter(|policy| policy.contains(NONCE) && HeaderValue::from_str(policy).is_ok());
    Secure {
        dialect,
        hosts: if development { Hosts::All } else { hosts },
        host_fields: host_fields(&mut m),
        redirect: redirect.filter(|_| !development),
        tls_fields: tls_fields(&mut m),
        sts: sts.filter(|_| !development),
        fields: fields(&mut m, policy.is_some()),
        policy: policy.map(Into::into),
    }
}

fn fields(m: &mut Mapped<'_, '_>, nonce: bool) -> Box<[(HeaderName, HeaderValue)]> {
    let mut fields = Vec::new();
    let deny = m.flag("frame_deny");
    let frame = m.field("custom_frame_options_value");
    let frame = frame.or_else(|| deny.then(|| HeaderValue::from_static("DENY")));
    fields.extend(frame.map(|value| (header::X_FRAME_OPTIONS, value)));
    if m.flag("content_type_nosniff") {
        let nosniff = HeaderValue::from_static("nosniff");
        fields.push((header::X_CONTENT_TYPE_OPTIONS, nosniff));
    }
    if m.flag("browser_xss_filter") {
        let block = HeaderValue::from_static("1; mode=block");
        fields.push((header::X_XSS_PROTECTION, block));
    }
    let policy = m.field("content_security_policy").filter(|_| !nonce);
    fields.extend(policy.map(|value| (header::CONTENT_SECURITY_POLICY, value)));
    let referrer = m.field("referrer_policy");
    fields.extend(referrer.map(|value| (header::REFERRER_POLICY, value)));
    fields.into()
}

fn hosts(m: &mut Mapped<'_, '_>) -> Hosts {
    let regex = m.flag("allowed_hosts_are_regex");
    let written = m.texts("allowed_hosts");
    if written.is_empty() {
        return Hosts::All;
    }
    if !regex {
        let hosts = written
            .into_iter()
            .map(|(_, host)| host.into_bytes().into());
        return Hosts::Listed(hosts.collect());
    }
    let mut all = Vec::new();
    for (pointer, pattern) in written {
        let native = m.native();
        // KrakenD's anchors hold the first and the last of several alternatives only.
        let anchored = if native {
            format!("^(?:{pattern})$")
        } else {
            format!("^{pattern}$")
        };
        match RegexBuilder::new(&anchored)
            .case_insensitive(native)
            .build()
        {
            Ok(regex) => all.push(regex),
            Err(error) => {
                let message = format!("this is no regular expression: {}", regex_fault(&error));
                let hint = "write it in RE2's syntax; it has to match the whole host";
                let problem = Problem::error(Code::BadValue, pointer, message).hint(hint);
                m.settings.report().push(problem);
            }
        }
    }
    Hosts::Matching(all.into())
}

fn redirect(m: &mut Mapped<'_, '_>) -> Option<Option<Box<str>>> {
    let host = m.text("ssl_host");
    if let Some(host) = &host
        && m.native()
        && host.contains(['/', ' ', '@', '?', '#'])
    {
        let message = "ssl_host is no host";
        let hint = "write the host alone, with its port if it is not 443";
        m.settings
            .error_hint("ssl_host", Code::BadHost, message, hint);
    }
    m.flag("ssl_redirect").then(|| host.map(Into::into))
}

fn sts(m: &mut Mapped<'_, '_>) -> Option<(HeaderValue, bool)> {
    let seconds = m.int("sts_seconds").unwrap_or(0);
    let force = m.flag("force_sts_header");
    let sub = if m.flag("sts_include_subdomains") {
        "; includeSubDomains"
    } else {
        ""
    };
    if seconds < 0 && m.native() {
        let message = format!("sts_seconds is {seconds}, which is negative");
        let hint = "write for example 31536000, a year";
        m.settings
            .error_hint("sts_seconds", Code::OutOfRange, message, hint);
    }
    let value = HeaderValue::from_str(&format!("max-age={seconds}{sub}")).ok()?;
    (seconds != 0).then_some((value, force))
}

fn host_fields(m: &mut Mapped<'_, '_>) -> Box<[HeaderName]> {
    let mut names = Vec::new();
    for (pointer, name) in m.texts("host_proxy_headers") {
        names.extend(field_name(m, &name, pointer));
    }
    names.into()
}

fn tls_fields(m: &mut Mapped<'_, '_>) -> Box<[(HeaderName, Box<[u8]>)]> {
    let key = "ssl_proxy_headers";
    let pairs = match m.dialect {
        Dialect::Native => m.settings.string_map(key),
        Dialect::Krakend => m
            .exact(key, |value| value.as_object().cloned())
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| match value {
                Value::String(text) => Some((name, text)),
                _ => None,
            })
            .collect(),
    };
    let place = m.settings.pointer_of(key);
    let mut fields = Vec::new();
    for (name, value) in pairs {
        let name = field_name(m, &name, place.clone());
        fields.extend(name.map(|name| (name, value.into_bytes().into())));
    }
    fields.into()
}

fn field_name(m: &mut Mapped<'_, '_>, name: &str, pointer: String) -> Option<HeaderName> {
    let found = HeaderName::from_bytes(name.as_bytes()).ok();
    if found.is_none() {
        let place = go_path(&pointer);
        let message = format!("'{place}' holds a name that no header field can have");
        let problem = match m.dialect {
            Dialect::Native => Problem::error(Code::BadValue, pointer, message),
            Dialect::Krakend => Problem::warning(Code::BadValue, pointer, message),
        };
        let hint = "write for example \"X-Forwarded-Host\"";
        m.settings.report().push(problem.hint(hint));
    }
    found
}

impl Hosts {
    fn serve(&self, host: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Listed(hosts) => hosts.iter().any(|own| own.eq_ignore_ascii_case(host)),
            Self::Matching(patterns) => std::str::from_utf8(host)
                .is_ok_and(|host| patterns.iter().any(|pattern| pattern.is_match(host))),
        }
    }
}

impl Secure {
    /// The host that was asked for, in front of all proxies if they are believed.
    fn host<'h>(&self, head: &'h dyn Head, believed: bool) -> &'h [u8] {
        let told = self.host_fields.iter().filter(|_| believed);
        told.filter_map(|name| head.header(name))
            .find(|value| !value.is_empty())
            .unwrap_or_else(|| head.host())
    }

    fn decide(&self, head: &dyn Head, believed: bool, edits: &mut Vec<Edit>) -> Outcome {
        let host = self.host(head, believed);
        if !self.hosts.serve(host) {
            return Err(Reason::HostNotAllowed.into());
        }
        let tls = self.is_tls(head);
        if let Some(own) = self.redirect.as_ref().filter(|_| !tls) {
            let host = own.as_ref().map_or(host, |own| own.as_bytes());
            let page = matches!(*head.method(), Method::GET | Method::HEAD);
            let reply = Reply::redirect(301, &over_tls(head, host), page);
            return Ok(Flow::Reply(reply));
        }
        self.record(tls, edits);
        Ok(Flow::Next)
    }

    fn is_tls(&self, head: &dyn Head) -> bool {
        head.secure()
            || self
                .tls_fields
                .iter()
                .any(|(name, value)| head.header(name).unwrap_or_default() == &**value)
    }

    fn record(&self, tls: bool, edits: &mut Vec<Edit>) {
        let sts = self.sts.as_ref().filter(|(_, force)| tls || *force);
        if let Some((value, _)) = sts {
            edits.push(self.edit(header::STRICT_TRANSPORT_SECURITY, value.clone()));
        }
        let fields = self.fields.iter().cloned();
        edits.extend(fields.map(|(name, value)| self.edit(name, value)));
        if let Some(policy) = &self.policy
            && let Some(value) = with_nonce(policy)
        {
            edits.push(self.edit(header::CONTENT_SECURITY_POLICY, value));
        }
    }

    /// KrakenD adds to what a backend sent; ours replaces it.
    fn edit(&self, name: HeaderName, value: HeaderValue) -> Edit {
        match self.dialect {
            Dialect::Native => Edit::Set(name, value),
            Dialect::Krakend => Edit::Append(name, value),
        }
    }
}

/// The policy with a number that nobody can guess.
fn with_nonce(policy: &str) -> Option<HeaderValue> {
    let mut bits = [0; 16];
    aws_lc_rs::rand::fill(&mut bits).ok()?;
    let mut nonce = String::with_capacity(48);
    nonce.push_str("'nonce-");
    for byte in bits {
        let _ = write!(nonce, "{byte:02x}");
    }
    nonce.push('\'');
    HeaderValue::from_str(&policy.replace(NONCE, &nonce)).ok()
}

/// Where the same thing is served over TLS.
fn over_tls(head: &dyn Head, host: &[u8]) -> String {
    let mut location = String::with_capacity(64);
    location.push_str("https://");
    location.push_str(&String::from_utf8_lossy(host));
    location.push_str(&String::from_utf8_lossy(head.path()));
    if let Some(query) = head.query() {
        location.push('?');
        location.push_str(&String::from_utf8_lossy(query));
    }
    location
}

impl HeadStage for Secure {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        let believed = !self.host_fields.is_empty()
            && (self.dialect == Dialect::Krakend
                || ctx.gateway.service.client_ip.resolve(head).trusted);
        Step::Now(self.decide(head, believed, &mut edits.answer))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
