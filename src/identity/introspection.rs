//! Opaque tokens: their issuer is asked what they are (RFC 7662). The gateway authenticates itself there as a client does
//! (RFC 6749 section 2.3.1). KrakenD CE has no introspection.
//!
//! An answer holds for the time that the settings say, and never longer than the token (`exp`). One that is a signed
//! token itself (RFC 9701) says nothing here: it was not asked for.

use super::answers::Verdict;
use super::collapse::Asking;
use super::keys::{form_encode, moment, object, silence, unheard};
use super::memory::Digest;
use super::mint::Mint;
use super::verifier::Naming;
use super::vouching::{Said, Secret, Silence, Voucher};
use crate::base::{Reason, clock};
use crate::body::{Object, Value};
use crate::gateway::identity::Proof;
use crate::net::fetch::{Fetch, Fetched, Place, fetch};
use crate::net::{Client, Deadline};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Longest answer.
const LONGEST: usize = 64 * 1024;
/// How far the clocks of the gateway and the issuer may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// How the gateway says who it is.
pub enum ClientAuth {
    /// Not at all.
    Nobody,
    /// By a name that it does not prove (`client_id` in the body).
    Named(Box<str>),
    /// `client_secret_basic`.
    Basic(HeaderValue),
    /// `client_secret_post`.
    Post(Box<str>, Secret),
}

impl ClientAuth {
    /// Name and secret in a field: each form-encoded first, as RFC 6749 section 2.3.1 has it.
    pub fn basic(id: &str, secret: &str) -> Self {
        let mut both = String::new();
        form_encode(id, &mut both);
        both.push(':');
        form_encode(secret, &mut both);
        let text = format!("Basic {}", STANDARD.encode(both));
        // Base64 is always a field's value.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        Self::Basic(value)
    }
}

/// What tokens must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Who issued them.
    pub issuer: Option<Box<str>>,
    /// Whom they are for; empty for anybody.
    pub audience: Box<[Box<str>]>,
    /// Whether all of these are needed, or one.
    pub all: bool,
}

/// The issuer of opaque tokens.
pub struct Introspection {
    /// The client that asks.
    pub client: Arc<Client>,
    /// Where it is.
    pub place: Place,
    /// As whom the gateway asks.
    pub auth: ClientAuth,
    /// What it is told of the token's kind; nothing when empty.
    pub hint: Box<str>,
    /// What tokens must say.
    pub wanted: Wanted,
    /// What backends get to know.
    pub mint: Mint,
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Introspection")
            .field(&self.place.host())
            .finish()
    }
}

impl Voucher for Introspection {
    fn proof(&self) -> Proof {
        Proof::Introspection
    }

    fn unavailable(&self) -> Reason {
        Reason::IntrospectionUnavailable
    }

    fn ask(
        self: Arc<Self>,
        secret: Secret,
        _: Digest,
        deadline: Deadline,
    ) -> Asking<Result<Said, Silence>> {
        Box::pin(async move {
            let (fields, body) = self.question(&secret);
            let request = Fetch {
                method: Method::POST,
                fields: &fields,
                body: Some(body),
                deadline,
                limit: LONGEST,
            };
            let fetched = fetch(&self.client, &self.place, request).await;
            self.understood(&fetched.map_err(|error| unheard(&error))?)
        })
    }
}

impl Introspection {
    fn question(&self, token: &Secret) -> (Vec<(HeaderName, HeaderValue)>, Bytes) {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let json = HeaderValue::from_static("application/json");
        let mut fields = vec![(header::CONTENT_TYPE, form), (header::ACCEPT, json)];
        let mut body = String::from("token=");
        form_encode(token.reveal(), &mut body);
        let mut more = |name: &str, value: &str| {
            body.push('&');
            body.push_str(name);
            body.push('=');
            form_encode(value, &mut body);
        };
        if !self.hint.is_empty() {
            more("token_type_hint", &self.hint);
        }
        match &self.auth {
            ClientAuth::Nobody => {}
            ClientAuth::Named(id) => more("client_id", id),
            ClientAuth::Basic(value) => fields.push((header::AUTHORIZATION, value.clone())),
            ClientAuth::Post(id, secret) => {
                more("client_id", id);
                more("client_secret", secret.reveal());
            }
        }
        (fields, Bytes::from(body))
    }

    fn understood(&self, fetched: &Fetched) -> Result<Said, Silence> {
        if fetched.status != StatusCode::OK {
            return Err(silence(fetched.status));
        }
        let media = fetched.headers.get(header::CONTENT_TYPE);
        if media.is_some_and(|media| contains(media.as_bytes(), b"jwt")) {
            return Err(Silence::Failed("its answer is a signed token".to_owned()));
        }
        let answer = object(&fetched.body);
        let active = answer.as_ref().and_then(|answer| answer.get("active"));
        match (active, answer.as_ref()) {
            (Some(Value::Bool(true)), Some(answer)) => Ok(self.judged(answer)),
            (Some(Value::Bool(false)), _) => Ok(bad(Reason::TokenInactive)),
            _ => Err(silence(fetched.status)),
        }
    }

    /// A token that is active may still be none for us.
    fn judged(&self, answer: &Object) -> Said {
        let now = clock::since_epoch();
        let at = |name: &str| answer.get(name).map(|value| moment(value).ok_or(()));
        let (expires, begins) = (at("exp"), at("nbf"));
        match (&expires, &begins) {
            (Some(Err(())), _) | (_, Some(Err(()))) => return bad(Reason::TokenMalformed),
            (Some(Ok(end)), _) if *end + LEEWAY <= now => return bad(Reason::TokenExpired),
            (_, Some(Ok(start))) if *start > now + LEEWAY => return bad(Reason::TokenNotYetValid),
            _ => {}
        }
        let wanted = &self.wanted;
        let says = |name: &str| answer.get(name).and_then(Value::as_str);
        if wanted.issuer.is_some() && says("iss") != wanted.issuer.as_deref() {
            return bad(Reason::IssuerMismatch);
        }
        if !wanted.admits(answer.get("aud")) {
            return bad(Reason::AudienceMismatch);
        }
        match Naming::default().identity(Proof::Introspection, answer.clone(), &self.mint) {
            Ok(somebody) => Said {
                verdict: Verdict::Good(Arc::new(somebody)),
                expires: expires.and_then(Result::ok),
            },
            Err(error) => bad(error.reason),
        }
    }
}

impl Wanted {
    fn admits(&self, audience: Option<&Value>) -> bool {
        let named = |wanted: &str| match audience {
            Some(Value::String(text)) => **text == *wanted,
            Some(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(wanted)),
            _ => false,
        };
        let mut all = self.audience.iter();
        self.audience.is_empty()
            || if self.all {
                all.all(|wanted| named(wanted))
            } else {
                all.any(|wanted| named(wanted))
            }
    }
}

fn bad(reason: Reason) -> Said {
    Said {
        verdict: Verdict::Bad(reason),
        expires: None,
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
#[path = "introspection_tests.rs"]
mod tests;
