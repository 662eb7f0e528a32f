//! `security/cors` – which sites' scripts may read answers (the Fetch standard's CORS protocol).
//!
//! Runs before a request's route counts, so that preflights are answered on every path and a 404, a redirect or a 429 can
//! be read by the script too. The rules are KrakenD's: a failed preflight is answered like a good one,
//! without the fields that allow; other requests are never stopped.
//!
//! Differs from KrakenD (native): every origin together with credentials is refused, as it would let any site act for its
//! visitor; a `*` in an origin stands for labels of a host and not for anything ([`origin`]); `http://localhost:*` works
//! where `is_development` says that the file is not for production; what a backend says of CORS is replaced, as browsers
//! refuse two answers; requested field names may come in any order and case; an endpoint's
//! settings take the place of the service's for what meets that endpoint.

pub mod origin;

use self::origin::{Origins, Pattern};
use super::{Mapped, service_only};
use crate::base::field::{canonical, is_token};
use crate::base::{Code, Dialect, Problem, Reply};
use crate::component::{Component, EndpointDraft, ServiceDraft};
use crate::config::duration;
use crate::config::settings::Settings;
use crate::gateway::head::Head;
use crate::gateway::stage::{DoorStage, Edit, Edits};
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderName, HeaderValue};

/// The table line.
pub const COMPONENT: Component = Component {
    service: Some(service),
    endpoint: Some(endpoint),
    ..Component::named(NAME)
};

const NAME: &str = "security/cors";
const KEYS: &[&str] = &[
    "allow_origins",
    "allow_methods",
    "allow_headers",
    "expose_headers",
    "allow_credentials",
    "allow_private_network",
    "options_passthrough",
    "options_success_status",
    "max_age",
    "debug",
    "is_development",
];
const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");
const TRUE: HeaderValue = HeaderValue::from_static("true");
/// Empty names between commas that are overlooked in one list.
const MOST_EMPTY: usize = 16;
/// Fields that name requested fields; browsers send one.
const MOST_LISTS: usize = 8;

fn service(
    s: &mut Settings<'_>,
    draft: &mut ServiceDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    draft.door.push(Box::new(read(s, dialect)));
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
    draft.door.push(Box::new(read(s, dialect)));
    Ok(())
}

struct Cors {
    dialect: Dialect,
    origins: Origins,
    methods: Box<[Box<[u8]>]>,
    headers: Names,
    expose: Option<HeaderValue>,
    credentials: bool,
    private_network: bool,
    /// Preflights go on to the router.
    passthrough: bool,
    /// Status of a preflight's answer.
    status: u16,
    max_age: Option<HeaderValue>,
    debug: bool,
}

/// Field names that a script may send.
enum Names {
    Any,
    /// Lower-case, sorted.
    Listed(Box<[Box<[u8]>]>),
}

fn read(s: &mut Settings<'_>, dialect: Dialect) -> Cors {
    s.known(KEYS);
    let mut m = Mapped {
        settings: s,
        dialect,
    };
    let credentials = m.flag("allow_credentials");
    let origins = match dialect {
        Dialect::Native => native_origins(&mut m, credentials),
        Dialect::Krakend => {
            let entries = m.texts("allow_origins");
            if entries.is_empty() {
                Origins::any()
            } else {
                Origins::krakend(entries.into_iter().map(|(_, entry)| entry))
            }
        }
    };
    Cors {
        dialect,
        origins,
        methods: methods(&mut m),
        headers: names(&mut m),
        expose: expose(&mut m),
        credentials,
        private_network: m.flag("allow_private_network"),
        passthrough: m.flag("options_passthrough"),
        status: status(&mut m),
        max_age: max_age(&mut m),
        debug: m.flag("debug"),
    }
}

fn native_origins(m: &mut Mapped<'_, '_>, credentials: bool) -> Origins {
    let development = m.flag("is_development");
    let entries = m.texts("allow_origins");
    let everybody = |m: &mut Mapped<'_, '_>, pointer: String, what: &str| {
        let message =
            format!("{what} together with allow_credentials lets every site act for its visitors");
        let hint = "list the origins that may, for example \"https://*.example.com\", or leave allow_credentials out";
        let problem = Problem::error(Code::OpenOrigin, pointer, message).hint(hint);
        m.settings.report().push(problem);
    };
    if entries.is_empty() {
        if credentials {
            let pointer = m.settings.pointer_of("allow_credentials");
            everybody(
                m,
                pointer,
                "an empty allow_origins, which means every origin,",
            );
        }
        return Origins::any();
    }
    let (mut any, mut exact, mut patterns) = (false, Vec::new(), Vec::new());
    for (pointer, entry) in entries {
        let entry = entry.trim().to_lowercase();
        if entry == "*" {
            any = true;
            if credentials {
                everybody(m, pointer, "\"*\"");
            }
        } else if entry.contains('*') {
            let pattern = pattern(m, pointer.clone(), &entry, development);
            if credentials && pattern.as_ref().is_some_and(Pattern::any_host) {
                everybody(m, pointer, "a * for every host");
            }
            patterns.extend(pattern);
        } else {
            look_at(m, pointer, &entry, credentials);
            exact.push(entry);
        }
    }
    if any {
        return Origins::any();
    }
    Origins::native(exact, patterns)
}

/// An entry with a `*`; `None` after an error.
fn pattern(
    m: &mut Mapped<'_, '_>,
    pointer: String,
    entry: &str,
    development: bool,
) -> Option<Pattern> {
    let (code, message, hint) = match Pattern::parse(entry) {
        Ok(pattern) if pattern.any_port() && !development => (
            Code::OpenOrigin,
            "a * for every port is not for production: any program on that host could ask for its user".to_owned(),
            "list the ports, or set \"is_development\": true here in files that production never reads",
        ),
        Ok(pattern) => return Some(pattern),
        Err(unclear) => (
            Code::BadValue,
            format!("the origin {}", unclear.text()),
            "write scheme://host with * as the first label or a part of it, for example \"https://*.example.com\"",
        ),
    };
    let problem = Problem::error(code, pointer, message).hint(hint);
    m.settings.report().push(problem);
    None
}

/// What is odd about an entry that is compared as it is. It only closes, so it refuses no file.
fn look_at(m: &mut Mapped<'_, '_>, pointer: String, entry: &str, credentials: bool) {
    let (message, hint) = match origin::check(entry) {
        Err(unclear) => (
            format!("the origin {}, so no browser sends it", unclear.text()),
            "write scheme://host, and the port only where it is not the scheme's own",
        ),
        Ok(()) if entry == "null" && credentials => (
            "\"null\" is what every sandboxed frame sends, whoever made it".to_owned(),
            "list the origin of the page around it instead",
        ),
        Ok(()) => return,
    };
    let problem = Problem::warning(Code::BadValue, pointer, message).hint(hint);
    m.settings.report().push(problem);
}

fn methods(m: &mut Mapped<'_, '_>) -> Box<[Box<[u8]>]> {
    let written = m.texts("allow_methods");
    if written.is_empty() {
        return ["GET", "POST", "HEAD"].map(|m| m.as_bytes().into()).into();
    }
    for (pointer, method) in &written {
        let upper = method.to_ascii_uppercase();
        let odd = if method == "*" {
            Some("* stands for no method")
        } else if *method != upper && STANDARD.contains(&upper.as_str()) {
            Some("methods are written in capitals")
        } else {
            None
        };
        if let Some(odd) = odd {
            let message = format!("{odd}: this entry allows nothing");
            let problem = Problem::warning(Code::BadValue, pointer.clone(), message)
                .hint("write the methods one by one, for example \"GET\"");
            m.settings.report().push(problem);
        }
    }
    let methods = written
        .into_iter()
        .map(|(_, method)| method.into_bytes().into());
    methods.collect()
}

const STANDARD: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
];

fn names(m: &mut Mapped<'_, '_>) -> Names {
    let written = m.texts("allow_headers");
    if written.is_empty() || written.iter().any(|(_, name)| name == "*") {
        return Names::Any;
    }
    let lower = written
        .into_iter()
        .map(|(_, name)| name.trim().to_lowercase());
    let mut names: Vec<Box<[u8]>> = lower.map(|name| name.into_bytes().into()).collect();
    names.sort_unstable();
    names.dedup();
    Names::Listed(names.into())
}

fn expose(m: &mut Mapped<'_, '_>) -> Option<HeaderValue> {
    let mut list = String::new();
    for (pointer, name) in m.texts("expose_headers") {
        if name.is_empty() || !name.bytes().all(is_token) {
            let message = "no header field can have this name".to_owned();
            let problem = if m.native() {
                Problem::error(Code::BadValue, pointer, message)
            } else {
                Problem::warning(Code::BadValue, pointer, message)
            };
            let problem = problem.hint("write for example \"X-Request-ID\"");
            m.settings.report().push(problem);
            continue;
        }
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&canonical(&name));
    }
    (!list.is_empty()).then(|| HeaderValue::from_str(&list).ok())?
}

fn status(m: &mut Mapped<'_, '_>) -> u16 {
    let default = 204;
    let Some(status) = m
        .int("options_success_status")
        .filter(|&status| status != 0)
    else {
        return default;
    };
    match u16::try_from(status) {
        Ok(status) if (200..300).contains(&status) => status,
        // Its server panics for what is no status at all; browsers take all of the others for a refusal.
        Ok(status) if !m.native() && (300..1000).contains(&status) => status,
        _ => {
            let message = format!("{status} does not tell a browser that it may go on");
            let hint = "write 204, or 200 for very old browsers";
            m.settings
                .error_hint("options_success_status", Code::OutOfRange, message, hint);
            default
        }
    }
}

fn max_age(m: &mut Mapped<'_, '_>) -> Option<HeaderValue> {
    let nanos = if m.native() {
        m.settings.nanos("max_age")?
    } else {
        let value = m.settings.map()?.get("max_age")?;
        let Some(text) = value.as_str() else {
            let hint = "write for example \"12h\"";
            let message = "KrakenD ends with a panic where max_age is no text";
            m.settings
                .error_hint("max_age", Code::WrongType, message, hint);
            return None;
        };
        let Ok(nanos) = duration::parse(text) else {
            let message = "max_age is no duration; it is ignored, as in KrakenD";
            m.settings.warn("max_age", Code::BadDuration, message);
            return None;
        };
        nanos
    };
    match nanos / duration::SECOND {
        0 => None,
        ..0 => Some(HeaderValue::from_static("0")),
        seconds => Some(HeaderValue::from(seconds)),
    }
}

impl Names {
    /// Whether all names of a request's lists are among these.
    fn accept(&self, lists: &[&[u8]], dialect: Dialect) -> bool {
        let Self::Listed(known) = self else {
            return true;
        };
        let mut last = None;
        let mut empty = 0;
        for name in lists
            .iter()
            .flat_map(|list| list.split(|&byte| byte == b','))
        {
            let trimmed = name.trim_ascii();
            if trimmed.is_empty() {
                empty += 1;
                if empty > MOST_EMPTY {
                    return false;
                }
                continue;
            }
            let at = match dialect {
                Dialect::Native => {
                    let lower = |byte: &u8| byte.to_ascii_lowercase();
                    let sent = || trimmed.iter().map(lower);
                    known.binary_search_by(|own| own.iter().copied().cmp(sent()))
                }
                Dialect::Krakend => known.binary_search_by(|own| (**own).cmp(trimmed)),
            };
            let Ok(at) = at else { return false };
            if dialect == Dialect::Krakend {
                // Browsers sort; it takes no other order, and one space at each side of a name.
                if last.is_some_and(|last| at <= last) || !one_space(name, trimmed) {
                    return false;
                }
                last = Some(at);
            }
        }
        true
    }
}

/// Whether at most one space stands at each side of a name.
fn one_space(written: &[u8], name: &[u8]) -> bool {
    let before = written.len() - written.trim_ascii_start().len();
    let behind = written.len() - name.len() - before;
    before <= 1 && behind <= 1
}

impl Cors {
    fn method(&self, method: &[u8]) -> bool {
        method == b"OPTIONS" || self.methods.iter().any(|own| **own == *method)
    }

    fn told(&self, what: &str, origin: &[u8]) {
        if self.debug {
            let origin = String::from_utf8_lossy(origin);
            log::debug!(origin = &*origin; "cors: {what}");
        }
    }

    /// Records a field. KrakenD leaves a backend's own beside it.
    fn put(&self, edits: &mut Vec<Edit>, name: HeaderName, value: HeaderValue) {
        edits.push(match self.dialect {
            Dialect::Native => Edit::Set(name, value),
            Dialect::Krakend => Edit::Append(name, value),
        });
    }

    /// Records a field, or that nobody else may say it.
    fn decide(&self, edits: &mut Vec<Edit>, name: HeaderName, value: Option<HeaderValue>) {
        match value {
            Some(value) => self.put(edits, name, value),
            None if self.dialect == Dialect::Native => edits.push(Edit::Remove(name)),
            None => {}
        }
    }

    fn actual(&self, head: &dyn Head, origin: &[u8], edits: &mut Vec<Edit>) {
        let vary = HeaderValue::from_static("Origin");
        edits.push(Edit::Append(header::VARY, vary));
        if origin.is_empty() {
            return;
        }
        let taken = self.origins.answer(origin);
        let allowed = taken.filter(|_| self.method(head.method().as_str().as_bytes()));
        let yes = allowed.is_some();
        if !yes {
            self.told("the origin or the method is not allowed", origin);
        }
        let expose = self.expose.clone().filter(|_| yes);
        let credentials = (yes && self.credentials).then_some(TRUE);
        self.decide(edits, header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        self.decide(edits, header::ACCESS_CONTROL_EXPOSE_HEADERS, expose);
        self.decide(edits, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
    }

    fn preflight(&self, head: &dyn Head, asked: &[u8], origin: &[u8], edits: &mut Vec<Edit>) {
        let vary = if self.private_network {
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, \
             Access-Control-Request-Private-Network"
        } else {
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        };
        edits.push(Edit::Append(header::VARY, HeaderValue::from_static(vary)));
        if self.passthrough && self.dialect == Dialect::Native {
            edits.extend(ANSWERS.map(Edit::Remove));
        }
        let taken = self.origins.answer(origin).filter(|_| !origin.is_empty());
        let Some(taken) = taken.filter(|_| self.method(asked)) else {
            return self.told("a preflight's origin or method is not allowed", origin);
        };
        let Some(lists) = self.requested(head) else {
            return self.told("a preflight's header fields are not allowed", origin);
        };
        let Ok(method) = HeaderValue::from_bytes(asked) else {
            return;
        };
        self.put(edits, header::ACCESS_CONTROL_ALLOW_ORIGIN, taken);
        self.put(edits, header::ACCESS_CONTROL_ALLOW_METHODS, method);
        for list in lists {
            edits.push(Edit::Append(header::ACCESS_CONTROL_ALLOW_HEADERS, list));
        }
        if self.credentials {
            self.put(edits, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        let local = head.header(&REQUEST_PRIVATE_NETWORK);
        if self.private_network && local == Some(b"true") {
            self.put(edits, ALLOW_PRIVATE_NETWORK, TRUE);
        }
        if let Some(age) = &self.max_age {
            self.put(edits, header::ACCESS_CONTROL_MAX_AGE, age.clone());
        }
    }

    /// The lists of requested names as they were sent, if all of them may be.
    fn requested(&self, head: &dyn Head) -> Option<Vec<HeaderValue>> {
        let mut lists = Vec::new();
        head.each(&mut |name, value| {
            if name.eq_ignore_ascii_case("access-control-request-headers") {
                lists.extend(HeaderValue::from_bytes(value));
            }
        });
        let texts: Vec<&[u8]> = lists.iter().map(HeaderValue::as_bytes).collect();
        let good = lists.len() <= MOST_LISTS && self.headers.accept(&texts, self.dialect);
        // KrakenD looks at the first alone to see whether there is something to repeat.
        let empty = texts.first().is_none_or(|first| first.is_empty());
        good.then(|| if empty { Vec::new() } else { lists })
    }
}

/// What only CORS says, and only in answers to preflights.
const ANSWERS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_MAX_AGE,
    ALLOW_PRIVATE_NETWORK,
];

impl DoorStage for Cors {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, head: &dyn Head, edits: &mut Edits) -> Option<Reply> {
        let origin = head.header(&header::ORIGIN).unwrap_or_default();
        let asked = match *head.method() {
            Method::OPTIONS => head.header(&header::ACCESS_CONTROL_REQUEST_METHOD),
            _ => None,
        };
        let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
            self.actual(head, origin, &mut edits.answer);
            return None;
        };
        self.preflight(head, asked, origin, &mut edits.answer);
        (!self.passthrough).then(|| Reply::new(self.status, Bytes::new()))
    }
}

#[cfg(test)]
#[path = "cors_tests.rs"]
mod tests;
