//! The request for a token and what is made of the answer (RFC 6749 sections 2.3.1, 4.4, 5; as Go's `oauth2` does it).

use crate::base::{Dialect, Error, Reason, version};
use crate::body::{Object, Value, json};
use crate::gateway::query;
use crate::identity::lease::{Fresh, PATIENCE};
use crate::net::fetch::{Fetch, Fetched, Place, fetch as ask};
use crate::net::{Client, Deadline};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Longest answer of a token service.
const MAX_ANSWER: usize = 1 << 20;
/// Longest token.
const MAX_TOKEN: usize = 32 << 10;
/// How long native uses a token whose life nobody told, before it asks for another.
const UNTOLD: Duration = Duration::from_secs(3600);

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is asked for, and by whom.
pub(super) struct Grant {
    /// `token_url`.
    pub(super) url: String,
    /// `client_id`.
    pub(super) id: String,
    /// `client_secret`.
    pub(super) secret: String,
    /// Scopes with blanks between them.
    pub(super) scope: String,
    /// `endpoint_params`.
    pub(super) params: Vec<(String, String)>,
    /// Whose habits.
    pub(super) dialect: Dialect,
}

/// How a token service wants its client to prove itself; found out by trying, and remembered.
#[derive(Default)]
pub(super) struct Style(AtomicU8);

const BASIC: u8 = 1;
const BODY: u8 = 2;

impl Grant {
    /// What a token depends on, as a digest: names outlive the file that the secret stands in.
    pub(super) fn name(&self) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        let dialect = format!("{:?}", self.dialect);
        let params = self.params.iter().flat_map(|(name, value)| [name, value]);
        let own = [&dialect, &self.url, &self.id, &self.secret, &self.scope];
        for text in own.into_iter().chain(params) {
            hash.update(&text.len().to_be_bytes());
            hash.update(text.as_bytes());
        }
        STANDARD.encode(hash.finish())
    }

    /// The body of the request; with the client's proof where that belongs there.
    pub(super) fn form(&self, with_proof: bool) -> String {
        type Pair<'p> = (Cow<'p, [u8]>, Cow<'p, [u8]>);
        fn pair<'p>(name: &'p str, value: &'p str) -> Pair<'p> {
            (name.as_bytes().into(), value.as_bytes().into())
        }
        let mut pairs = vec![pair("scope", &self.scope)];
        if !self.params.iter().any(|(name, _)| name == "grant_type") {
            pairs.push(pair("grant_type", "client_credentials"));
        }
        let proof = [("client_id", &self.id), ("client_secret", &self.secret)];
        let proof: Vec<_> = proof
            .into_iter()
            .filter(|(_, value)| with_proof && !value.is_empty())
            .collect();
        let replaced = |name: &str| proof.iter().any(|(own, _)| *own == name);
        for (name, value) in self.params.iter().filter(|(name, _)| !replaced(name)) {
            pairs.push(pair(name, value));
        }
        pairs.extend(proof.iter().map(|(name, value)| pair(name, value)));
        query::encode(&mut pairs)
    }

    /// Name and password of RFC 7617, each written as in a form first.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let mut both = String::new();
        query::push_form(&mut both, self.id.as_bytes());
        both.push(':');
        query::push_form(&mut both, self.secret.as_bytes());
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(both))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Asks for a token: with the proof that worked before, else in the head and, if that is refused, in the body.
///
/// # Errors
/// That none came; the text holds nothing of what was sent or answered but the status and the code of the error.
pub(super) async fn fetch(
    client: &Client,
    place: &Place,
    grant: &Grant,
    style: &Style,
) -> Result<Fresh<HeaderValue>, Error> {
    let deadline = Deadline::after(PATIENCE);
    let known = style.0.load(Ordering::Relaxed);
    if known != BODY {
        let answer = send(client, (place, deadline), grant, false).await?;
        let token = read(&answer, grant.dialect);
        if token.is_ok() {
            style.0.store(BASIC, Ordering::Relaxed);
        }
        if token.is_ok() || known == BASIC {
            return token;
        }
    }
    let answer = send(client, (place, deadline), grant, true).await?;
    let token = read(&answer, grant.dialect)?;
    style.0.store(BODY, Ordering::Relaxed);
    Ok(token)
}

async fn send(
    client: &Client,
    (place, deadline): (&Place, Deadline),
    grant: &Grant,
    in_body: bool,
) -> Result<Fetched, Error> {
    let agent = match grant.dialect {
        Dialect::Native => version::USER_AGENT,
        Dialect::Krakend => "Go-http-client/1.1",
    };
    let mut fields: Vec<(HeaderName, HeaderValue)> = vec![
        (CONTENT_TYPE, FORM),
        (ACCEPT, JSON),
        (USER_AGENT, HeaderValue::from_static(agent)),
    ];
    let proof = (!in_body).then(|| grant.basic()).flatten();
    fields.extend(proof.map(|proof| (AUTHORIZATION, proof)));
    let request = Fetch {
        method: Method::POST,
        fields: &fields,
        body: Some(Bytes::from(grant.form(in_body))),
        deadline,
        limit: MAX_ANSWER,
    };
    let answer = ask(client, place, request).await;
    answer.map_err(|error| none(format!("the token service cannot be asked: {}", error.text)))
}

fn none(text: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Reason::BackendTokenUnavailable, text)
}

/// The token in an answer.
pub(super) fn read(answer: &Fetched, dialect: Dialect) -> Result<Fresh<HeaderValue>, Error> {
    let status = answer.status;
    let kind = answer
        .headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let kind = kind
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let is = |other: &str| kind.eq_ignore_ascii_case(other.as_bytes());
    let members = if is("application/x-www-form-urlencoded") || is("text/plain") {
        form(&answer.body)
    } else {
        json::decode(&answer.body)
            .ok()
            .and_then(Value::into_object)
            .unwrap_or_default()
    };
    let text = |name: &str| {
        members
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if !status.is_success() || !text("error").is_empty() {
        let code = known_code(text("error"));
        return Err(none(format!(
            "the token service answered {}{code}",
            status.as_u16()
        )));
    }
    let token = text("access_token");
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(none("the token service's answer holds no token"));
    }
    let value = format!("{} {token}", kind_of(text("token_type")));
    let mut value =
        HeaderValue::try_from(value).map_err(|_| none("the token is no field value"))?;
    value.set_sensitive(true);
    Ok(Fresh {
        value,
        life: life(&members, dialect),
    })
}

/// The codes of RFC 6749 section 5.2; what else stands there is not repeated.
fn known_code(code: &str) -> String {
    let known = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let found = known.into_iter().find(|known| *known == code);
    found.map(|code| format!(" ({code})")).unwrap_or_default()
}

fn form(body: &[u8]) -> Object {
    let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
    let mut members = Object::new();
    for (name, value) in query::pairs(body) {
        let name = text(name);
        // The first one counts.
        if members.get(&name).is_none() {
            members.insert(&name, Value::string(&text(value)));
        }
    }
    members
}

/// How a type of tokens is written.
fn kind_of(kind: &str) -> &str {
    let known = ["Bearer", "MAC", "Basic"];
    match known
        .into_iter()
        .find(|known| kind.eq_ignore_ascii_case(known))
    {
        Some(known) => known,
        None if kind.is_empty() => "Bearer",
        None => kind,
    }
}

/// How long a token is good: `expires_in` as a number or as a text with one.
fn life(members: &Object, dialect: Dialect) -> Option<Duration> {
    let number = match members.get("expires_in") {
        Some(Value::Number(digits)) => String::from_utf8_lossy(digits.as_bytes()).parse::<f64>(),
        Some(Value::String(text)) => text.trim().parse::<f64>(),
        _ => Ok(0.0),
    };
    let seconds = number.unwrap_or(0.0).clamp(0.0, f64::from(i32::MAX));
    if seconds > 0.0 {
        return Some(Duration::from_secs_f64(seconds));
    }
    (dialect == Dialect::Native).then_some(UNTOLD)
}
