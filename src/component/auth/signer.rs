//! `auth/signer` – objects of an answer become signed tokens (reference/krakend-components section 1.2).
//!
//! Differs from KrakenD: a token is never made of an answer of which parts failed, and never left unsigned; limits, scripts,
//! fields and encodings of the endpoint work as elsewhere; while the key has not been had, nothing is asked of the
//! backend, and the fetch is tried again until it succeeds. In the krakend dialect it is as there: 400 to whatever
//! fails, JSON without KrakenD's fields, no rate limit and no script at the endpoint, 401 for ever without the key.

mod key;

use self::key::{Key, State};
use crate::base::{Code, Dialect, Error, Problem, Reason, Severity};
use crate::body::{Object, Value, json};
use crate::component::{Component, EndpointDraft};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::message::Answer;
use crate::gateway::stage::{Edits, Flow, HeadStage, SealStage, Step};
use crate::identity::jose::Algorithm;
use crate::identity::jwks::SourceOptions;
use std::sync::Arc;

/// The table line.
pub const COMPONENT: Component = Component {
    endpoint: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "auth/signer";

/// What KrakenD's signer takes the place of, together with the handler that they belong to.
const REPLACED: [&str; 2] = ["modifier/lua-endpoint", "qos/ratelimit/router"];

fn build(s: &mut Settings<'_>, draft: &mut EndpointDraft, dialect: Dialect) -> Result<(), Problem> {
    s.known(&[
        "alg",
        "kid",
        "typ",
        "keys_to_sign",
        "full",
        "jwk_url",
        "jwk_local_path",
        "secret_url",
        "cypher_key",
        "cipher_suites",
        "disable_jwk_security",
        "jwk_fingerprints",
        "jwk_local_ca",
    ]);
    let from = s.report().problems.len();
    let read = settings(s, dialect);
    let key = read
        .as_ref()
        .and_then(|read| read.key(s, (draft, from), dialect));
    let off = dialect == Dialect::Krakend && forgiven(s, from);
    if dialect == Dialect::Krakend {
        draft.head.retain(|stage| !REPLACED.contains(&stage.name()));
    }
    let (Some(read), Some(key)) = (read, key.filter(|_| !off)) else {
        if dialect == Dialect::Krakend {
            draft.head.push(Box::new(Closed));
        }
        return Ok(());
    };
    draft.tasks.extend(key.task());
    draft.head.push(Box::new(Open(Arc::clone(&key))));
    draft.seal = Some(Box::new(Seal {
        keys: read.keys,
        header: read.header,
        full: read.full,
        key,
        dialect,
    }));
    Ok(())
}

/// KrakenD starts whatever is wrong, and lets nobody in; tells whether something is.
fn forgiven(s: &mut Settings<'_>, from: usize) -> bool {
    let mut wrong = false;
    for problem in s.report().problems.iter_mut().skip(from) {
        if problem.severity == Severity::Error {
            wrong = true;
            problem.severity = Severity::Warning;
            let told = "; as in KrakenD, every request is answered with 401";
            problem.message.push_str(told);
        }
    }
    wrong
}

/// What is signed, how and by whom.
struct Read {
    algorithm: Algorithm,
    kid: String,
    keys: Box<[Box<str>]>,
    header: Object,
    full: bool,
    remote: SourceOptions,
    path: Option<String>,
    secret_url: String,
    cypher_key: String,
}

fn settings(s: &mut Settings<'_>, dialect: Dialect) -> Option<Read> {
    let algorithm = algorithm(s);
    let kid = s.string_or("kid", "");
    if kid.is_empty() {
        let message = "\"kid\" is missing: nobody knows which key signs";
        s.error_hint("", Code::MissingKey, message, "add \"kid\"");
    }
    let keys: Box<[Box<str>]> = s
        .list_of_strings("keys_to_sign")
        .into_iter()
        .map(Into::into)
        .collect();
    if keys.is_empty() {
        let message = "\"keys_to_sign\" is empty: nothing of the answer is signed";
        let hint = "write for example [\"access_token\", \"refresh_token\"]";
        let problem = Problem::error(Code::MissingKey, s.pointer(), message).hint(hint);
        let signs_nothing = Problem {
            severity: Severity::Warning,
            ..problem.clone()
        };
        s.report().push(if dialect == Dialect::Native {
            problem
        } else {
            signs_nothing
        });
    }
    let typ = s
        .string("typ")
        .filter(|typ| !typ.is_empty())
        .unwrap_or_else(|| "JWT".to_owned());
    let header = [("kid", &kid), ("typ", &typ)];
    let header = header
        .into_iter()
        .map(|(name, text)| (name.into(), Value::string(text)));
    let full = s.bool_or("full", false);
    let path = s.string("jwk_local_path").filter(|path| !path.is_empty());
    let remote = remote(s, path.is_some(), dialect);
    let (secret_url, cypher_key) = (s.string_or("secret_url", ""), s.string_or("cypher_key", ""));
    Some(Read {
        algorithm: algorithm?,
        header: header.collect(),
        keys,
        full,
        remote,
        path,
        secret_url,
        cypher_key,
        kid,
    })
}

fn algorithm(s: &mut Settings<'_>) -> Option<Algorithm> {
    if !s.require("alg") {
        return None;
    }
    let found = Algorithm::of(&s.string("alg")?);
    if found.is_none() {
        let all = Algorithm::ALL.map(Algorithm::word).join(", ");
        let hint = format!("write one of {all}");
        s.error_hint("alg", Code::BadValue, "\"alg\" is no algorithm", hint);
    }
    found
}

/// Where the key is fetched.
fn remote(s: &mut Settings<'_>, has_file: bool, dialect: Dialect) -> SourceOptions {
    let url = s.string_or("jwk_url", "");
    let disable_security = s.bool_or("disable_jwk_security", false);
    // KrakenD asks for this even where a file has the key.
    let looked_at = !has_file || dialect == Dialect::Krakend;
    if looked_at && !disable_security && !url.starts_with("https://") {
        let message = "the key is not fetched without TLS";
        let hint = "write an https:// address, or \"disable_jwk_security\": true";
        s.error_hint("jwk_url", Code::BadValue, message, hint);
    }
    let numbers = s.list_of_ints("cipher_suites");
    let suites: Vec<u16> = numbers
        .iter()
        .filter_map(|n| u16::try_from(*n).ok())
        .collect();
    if suites.len() != numbers.len() {
        let message = "a cipher suite is a number up to 65535";
        s.error("cipher_suites", Code::OutOfRange, message);
    }
    let remote = SourceOptions {
        disable_security,
        local_ca: s.string("jwk_local_ca").filter(|path| !path.is_empty()),
        fingerprints: s.list_of_strings("jwk_fingerprints"),
        cipher_suites: suites,
        ..SourceOptions::new(url, dialect)
    };
    let unknown = remote.unknown_cipher_suites();
    if !unknown.is_empty() {
        let message = format!("cipher suites that cannot be had: {unknown:?}");
        s.warn("cipher_suites", Code::BadValue, message);
    }
    remote
}

impl Read {
    /// The key, or where it will come from. What cannot be used goes into the report; where a finding of these settings
    /// stands there already, it is not told in other words.
    fn key(
        &self,
        s: &mut Settings<'_>,
        (draft, from): (&EndpointDraft, usize),
        dialect: Dialect,
    ) -> Option<Arc<Key>> {
        let mut found = s.report().problems.iter().skip(from);
        if found.any(|problem| problem.severity == Severity::Error) {
            return None;
        }
        let who = key::Who {
            algorithm: self.algorithm,
            kid: &self.kid,
            dialect,
        };
        let made = match &self.path {
            Some(path) => Key::from_file(&who, path, (&self.secret_url, &self.cypher_key)),
            None => Key::from_url(&who, &self.remote, &draft.env),
        };
        let hint = "the key must be a private one for \"alg\", and bear the name of \"kid\"";
        made.map_err(|wrong| s.error_hint(wrong.setting, Code::BadValue, wrong.text, hint))
            .ok()
    }
}

/// KrakenD's answer where the key could not be had at its start.
struct Closed;

impl HeadStage for Closed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(&'a self, _: &'a dyn Head, _: &'a mut Edits, _: &'a mut Ctx) -> Step<'a> {
        Step::Now(Err(closed()))
    }
}

fn closed() -> Error {
    let text = "the key of auth/signer could not be had, so nobody comes in";
    Error::new(Reason::AuthenticationOff, text)
}

/// Lets requests in once there is a key: what a backend did for nothing cannot be undone.
struct Open(Arc<Key>);

impl Open {
    fn judge(state: &State, dialect: Dialect) -> Result<Flow, Error> {
        match (state, dialect) {
            (State::Ready(_), _) => Ok(Flow::Next),
            (_, Dialect::Native) => Err(Reason::SigningKeyUnavailable.into()),
            (_, Dialect::Krakend) => Err(closed()),
        }
    }
}

impl HeadStage for Open {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request<'a>(&'a self, _: &'a dyn Head, _: &'a mut Edits, ctx: &'a mut Ctx) -> Step<'a> {
        let dialect = ctx.gateway.dialect;
        match &*self.0.state() {
            State::Asked => {}
            state => return Step::Now(Self::judge(state, dialect)),
        }
        // The process has just started: the first fetch is under way.
        let timeout = ctx.endpoint().map(|endpoint| endpoint.timeout);
        Step::Wait(Box::pin(async move {
            let state = self.0.settled(timeout.unwrap_or_default()).await;
            Self::judge(&state, dialect)
        }))
    }
}

/// Signs what of an answer is to be signed.
#[derive(Debug)]
struct Seal {
    keys: Box<[Box<str>]>,
    header: Object,
    full: bool,
    key: Arc<Key>,
    dialect: Dialect,
}

impl SealStage for Seal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn bare(&self) -> bool {
        self.dialect == Dialect::Krakend
    }

    fn seal(&self, answer: &mut Answer) -> Result<(), Error> {
        let signer = match &*self.key.state() {
            State::Ready(signer) => Arc::clone(signer),
            State::Asked | State::Failed => return Err(Reason::SigningKeyUnavailable.into()),
        };
        let Some(data) = &mut answer.data else {
            // KrakenD: no answer at all.
            return match self.dialect {
                Dialect::Native => Ok(()),
                Dialect::Krakend => Err(Error::new(
                    Reason::SigningFailed,
                    "there is nothing to sign",
                )),
            };
        };
        for key in &self.keys {
            let Some(Value::Object(claims)) = data.get(key) else {
                continue;
            };
            let mut payload = Vec::with_capacity(256);
            json::encode_object(claims, &mut payload);
            let token = match self.full {
                true => signer.sign_json(&self.header, &payload),
                false => signer.sign_compact(&self.header, &payload),
            };
            let token =
                token.map_err(|error| Error::new(Reason::SigningFailed, error.to_string()))?;
            data.insert(key, Value::string(&token));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
