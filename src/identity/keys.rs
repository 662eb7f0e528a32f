//! API keys: a service knows whose they are. What it is asked and how it answers can be told; without a word it is
//! `POST {"key": …}` and `{"valid", "user_id", "org_id", "scopes", "tier"}`.
//!
//! Only a clear answer counts. A status other than 200 says nothing about the key, unless the answer is JSON that says
//! so or the status is listed in `refused`: an address that was mistyped must not look like keys that are wrong.

use super::answers::Verdict;
use super::claims::ClaimPath;
use super::collapse::Asking;
use super::memory::Digest;
use super::mint::Mint;
use super::verifier::Naming;
use super::vouching::{Said, Secret, Silence, Voucher};
use crate::base::{Reason, clock};
use crate::body::{Object, Value};
use crate::gateway::identity::{Identity, Proof};
use crate::net::fetch::{Fetch, Fetched, Place, fetch};
use crate::net::{Client, Deadline, NetError};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longest answer.
const LONGEST: usize = 64 * 1024;
/// What stands for the key in bodies and fields.
pub const SLOT: &str = "{key}";

/// The body of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// None.
    Nothing,
    /// JSON, in whose texts `{key}` stands for the key.
    Json(serde_json::Value),
    /// A form, in which `{key}` stands for the key.
    Form(Box<str>),
}

/// Where the parts of an answer are: dotted paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the key is good.
    pub valid: ClaimPath,
    /// Claims and where they come from.
    pub claims: Box<[(Box<str>, ClaimPath)]>,
}

impl Default for Answer {
    fn default() -> Self {
        let claims = [
            ("sub", "user_id"),
            ("org", "org_id"),
            ("scope", "scopes"),
            ("tier", "tier"),
            ("roles", "roles"),
        ];
        Self {
            valid: ClaimPath::flat("valid"),
            claims: claims
                .map(|(to, from)| (to.into(), ClaimPath::flat(from)))
                .into(),
        }
    }
}

/// A service that knows API keys.
pub struct KeyService {
    /// The client that asks.
    pub client: Arc<Client>,
    /// Where it is.
    pub place: Place,
    /// How it is asked.
    pub method: Method,
    /// With which body.
    pub body: Template,
    /// With which fields, `{key}` in the value standing for the key.
    pub fields: Box<[(HeaderName, Box<str>)]>,
    /// How it answers.
    pub answer: Answer,
    /// Statuses by which it says that a key is no good.
    pub refused: Box<[u16]>,
    /// What backends get to know.
    pub mint: Mint,
}

impl fmt::Debug for KeyService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyService")
            .field(&self.place.host())
            .finish()
    }
}

impl Voucher for KeyService {
    fn proof(&self) -> Proof {
        Proof::ApiKey
    }

    fn unavailable(&self) -> Reason {
        Reason::KeyServiceUnavailable
    }

    fn ask(
        self: Arc<Self>,
        secret: Secret,
        key: Digest,
        deadline: Deadline,
    ) -> Asking<Result<Said, Silence>> {
        Box::pin(async move {
            let fields = self.fields(secret.reveal());
            let request = Fetch {
                method: self.method.clone(),
                fields: &fields,
                body: self.body.fill(secret.reveal()),
                deadline,
                limit: LONGEST,
            };
            let fetched = fetch(&self.client, &self.place, request).await;
            let fetched = fetched.map_err(|error| unheard(&error))?;
            self.understood(&fetched, key)
        })
    }
}

impl KeyService {
    fn fields(&self, secret: &str) -> Vec<(HeaderName, HeaderValue)> {
        let media = match self.body {
            Template::Nothing => None,
            Template::Json(_) => Some("application/json"),
            Template::Form(_) => Some("application/x-www-form-urlencoded"),
        };
        let mut fields = vec![(header::ACCEPT, HeaderValue::from_static("application/json"))];
        fields.extend(media.map(|media| (header::CONTENT_TYPE, HeaderValue::from_static(media))));
        for (name, template) in &self.fields {
            // A key is visible ASCII, so that it cannot break a field.
            if let Ok(mut value) = HeaderValue::from_str(&template.replace(SLOT, secret)) {
                value.set_sensitive(true);
                fields.retain(|(known, _)| known != name);
                fields.push((name.clone(), value));
            }
        }
        fields
    }

    fn understood(&self, fetched: &Fetched, key: Digest) -> Result<Said, Silence> {
        let status = fetched.status;
        let bad = Said {
            verdict: Verdict::Bad(Reason::ApiKeyInvalid),
            expires: None,
        };
        if self.refused.contains(&status.as_u16()) {
            return Ok(bad);
        }
        let answer = object(&fetched.body);
        let valid = answer
            .as_ref()
            .and_then(|answer| self.answer.valid.find(answer));
        match (status, answer.as_ref(), valid) {
            (StatusCode::OK, Some(answer), Some(Value::Bool(true))) => self.somebody(answer, key),
            (status, _, Some(Value::Bool(false))) if !status.is_server_error() => Ok(bad),
            _ => Err(silence(status)),
        }
    }

    fn somebody(&self, answer: &Object, key: Digest) -> Result<Said, Silence> {
        let mut claims = answer.clone();
        for (claim, path) in &self.answer.claims {
            let value = match path.find(answer) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(items)) if **claim == *"scope" => Value::string(&joined(items)),
                Some(value) => value.clone(),
            };
            claims.insert(claim, value);
        }
        let expires = self.expires(&claims)?;
        if expires.is_some_and(|end| end <= clock::since_epoch()) {
            return Ok(Said {
                verdict: Verdict::Bad(Reason::ApiKeyInvalid),
                expires: None,
            });
        }
        let naming = Naming::default();
        let somebody = naming.identity(Proof::ApiKey, claims, &self.mint);
        let somebody = somebody.map_err(|error| Silence::Failed(error.text.into_owned()))?;
        let somebody = Identity {
            key: Some(key),
            ..somebody
        };
        Ok(Said {
            verdict: Verdict::Good(Arc::new(somebody)),
            expires,
        })
    }
}

impl KeyService {
    /// When a key ends, if the settings say where that stands in an answer.
    fn expires(&self, claims: &Object) -> Result<Option<Duration>, Silence> {
        if !self
            .answer
            .claims
            .iter()
            .any(|(claim, _)| **claim == *"exp")
        {
            return Ok(None);
        }
        let Some(value) = claims.get("exp") else {
            return Ok(None);
        };
        let end = moment(value).or_else(|| written_moment(value.as_str()?));
        let wrong = || Silence::Failed("its moment when the key ends is none".to_owned());
        end.ok_or_else(wrong).map(Some)
    }
}

impl Template {
    /// The body of the question about a key.
    fn fill(&self, secret: &str) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::Json(template) => Some(Bytes::from(filled(template, secret).to_string())),
            Self::Form(template) => {
                let mut value = String::new();
                form_encode(secret, &mut value);
                Some(Bytes::from(template.replace(SLOT, &value)))
            }
        }
    }
}

/// The same JSON with the key in its texts.
fn filled(template: &serde_json::Value, secret: &str) -> serde_json::Value {
    use serde_json::Value;
    match template {
        Value::String(text) => Value::String(text.replace(SLOT, secret)),
        Value::Array(items) => items.iter().map(|item| filled(item, secret)).collect(),
        Value::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| (name.clone(), filled(value, secret)))
                .collect()
        }
        other => other.clone(),
    }
}

/// Appends a text as `application/x-www-form-urlencoded` has it (RFC 6749 appendix B).
pub(super) fn form_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.extend(HEX.get(usize::from(digit)).map(|&d| char::from(d)));
                }
            }
        }
    }
}

/// A whole JSON object; `None` for everything else.
pub(super) fn object(text: &[u8]) -> Option<Object> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    Value::from_config(&value).into_object()
}

/// Seconds since the epoch, as RFC 7519 writes moments.
pub(super) fn moment(value: &Value) -> Option<Duration> {
    let Value::Number(digits) = value else {
        return None;
    };
    let seconds: f64 = std::str::from_utf8(digits.as_bytes()).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// A moment of RFC 3339.
fn written_moment(text: &str) -> Option<Duration> {
    let moment = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Duration::from_secs(
        u64::try_from(moment.timestamp()).unwrap_or(0),
    ))
}

/// Scopes of a list as RFC 6749 section 3.3 writes them.
fn joined(items: &[Value]) -> String {
    let words: Vec<_> = items.iter().filter_map(Value::as_str).collect();
    words.join(" ")
}

/// What an exchange that failed means.
pub(super) fn unheard(error: &NetError) -> Silence {
    let why = error.reason.word().to_owned();
    match error.reason {
        Reason::BackendTooLarge | Reason::BackendInvalid => Silence::Failed(why),
        _ => Silence::Outage(why),
    }
}

/// What an answer that says nothing means.
pub(super) fn silence(status: StatusCode) -> Silence {
    match status.as_u16() {
        200 => Silence::Failed("its answer says neither yes nor no".to_owned()),
        429 | 502..=504 => Silence::Outage(format!("it answers {}", status.as_u16())),
        status => Silence::Failed(format!("it answers {status}")),
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
