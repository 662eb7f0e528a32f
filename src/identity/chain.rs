//! Who is calling, whichever way they prove it: a signed token, an API key or an opaque token. The form of what was sent
//! says which of the three it is, and only that one is asked: a key begins with one of the prefixes of keys, a
//! signed token has the form of one, and everything else is opaque.
//!
//! A signed token is three parts of base64url of which the first one begins an object, or JSON (RFC 7515 section 7). A text
//! of three parts whose first one does not is ambiguous: it counts as opaque, where opaque tokens are taken. Where
//! signed tokens are not taken, one is opaque as well: its issuer can be asked about it. Nothing is tried twice.
//!
//! Whoever shows two different credentials at once is refused: services behind us might believe the other one. The
//! cookie of signed tokens counts only where no field holds anything.

use super::access::Access;
use super::bearer::Bearer;
use super::introspection::Introspection;
use super::keys::KeyService;
use super::verifier::Verifier;
use super::vouching::Vouching;
use crate::base::{Error, Reason};
use crate::gateway::head::Head;
use crate::gateway::identity::{Identity, Proof};
use crate::gateway::stage::{Foretold, Step};
use http::HeaderName;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest API key.
pub const LONGEST_KEY: usize = 1024;
/// Longest opaque token.
pub const LONGEST_OPAQUE: usize = 8 * 1024;

/// Ways to prove who one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// Signed tokens.
    pub jwt: bool,
    /// API keys.
    pub api_key: bool,
    /// Opaque tokens.
    pub introspection: bool,
}

impl Methods {
    /// All of them.
    pub const ALL: Self = Self {
        jwt: true,
        api_key: true,
        introspection: true,
    };

    /// Their words, for messages.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.jwt, Proof::Jwt),
            (self.api_key, Proof::ApiKey),
            (self.introspection, Proof::Introspection),
        ];
        all.into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, proof)| proof.word())
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            jwt: self.jwt && other.jwt,
            api_key: self.api_key && other.api_key,
            introspection: self.introspection && other.introspection,
        }
    }
}

/// API keys and where they are sent.
pub struct KeyDoor {
    /// How they begin.
    pub prefixes: Box<[Box<str>]>,
    /// Fields that hold a key and nothing else.
    pub fields: Box<[HeaderName]>,
    /// Whether they are taken where tokens stand, too.
    pub bearer: bool,
    /// Who knows them.
    pub service: Arc<Vouching<KeyService>>,
}

/// Signed tokens and where they are sent.
pub struct TokenDoor {
    /// The field and the cookie.
    pub bearer: Bearer,
    /// Who verifies them.
    pub verifier: Arc<Verifier>,
    /// What every one of them must allow.
    pub access: Access,
}

/// All the ways in of a service.
pub struct Chain {
    /// Signed tokens.
    pub jwt: Option<TokenDoor>,
    /// API keys.
    pub keys: Option<KeyDoor>,
    /// Opaque tokens.
    pub opaque: Option<Arc<Vouching<Introspection>>>,
    /// `Authorization`, for everything that is no signed token.
    pub bearer: Bearer,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chain").field(&self.methods()).finish()
    }
}

/// What was sent.
struct Shown<'h> {
    text: Cow<'h, [u8]>,
    /// It stood in a field for keys alone.
    as_key: bool,
}

/// A decision, and about what.
pub type Decision<'a> = (Option<Proof>, Step<'a, Arc<Identity>>);

impl Chain {
    /// The ways that there are.
    pub const fn methods(&self) -> Methods {
        Methods {
            jwt: self.jwt.is_some(),
            api_key: self.keys.is_some(),
            introspection: self.opaque.is_some(),
        }
    }

    /// Who sent a request, as far as one of these ways proves it; with the way that was asked.
    /// `now` is the time since the epoch.
    pub fn who<'a>(
        &'a self,
        head: &dyn Head,
        from: IpAddr,
        methods: Methods,
        now: Duration,
    ) -> Decision<'a> {
        let refused = |reason: Reason| (None, Step::Now(Err(reason.into())));
        let shown = match self.shown(head, methods) {
            Ok(Some(shown)) => shown,
            Ok(None) => return refused(Reason::CredentialsMissing),
            Err(error) => return (None, Step::Now(Err(error))),
        };
        let text = &*shown.text;
        if shown.as_key || self.is_key(text) {
            let taken = |keys: &&KeyDoor| methods.api_key && (shown.as_key || keys.bearer);
            let Some(keys) = self.keys.as_ref().filter(taken) else {
                return refused(Reason::CredentialsMissing);
            };
            let step = match visible(text, LONGEST_KEY).filter(|_| self.is_key(text)) {
                Some(key) => keys.service.whose(key, from),
                None => Step::Now(Err(Reason::ApiKeyInvalid.into())),
            };
            return (Some(Proof::ApiKey), step);
        }
        let opaque = self.opaque.as_ref().filter(|_| methods.introspection);
        let jwt = self.jwt.as_ref().filter(|_| methods.jwt);
        match (jwt, opaque) {
            (Some(jwt), opaque) if opaque.is_none() || looks_signed(text) => {
                (Some(Proof::Jwt), jwt.verifier.verify(text, now))
            }
            (_, Some(opaque)) => {
                let step = match visible(text, LONGEST_OPAQUE) {
                    Some(token) => opaque.whose(token, from),
                    None => Step::Now(Err(Reason::TokenMalformed.into())),
                };
                (Some(Proof::Introspection), step)
            }
            _ => (
                Some(Proof::ApiKey),
                Step::Now(Err(Reason::ApiKeyInvalid.into())),
            ),
        }
    }

    /// What [`Chain::who`] will come to, as far as it is known without asking anybody. Signed tokens have to meet these demands.
    pub fn foretell(
        &self,
        head: &dyn Head,
        methods: Methods,
        now: Duration,
        own: &Access,
    ) -> Foretold {
        let mut foretold = Foretold::default();
        let shown = match self.shown(head, methods) {
            Ok(Some(shown)) => shown,
            Ok(None) => {
                self.wanted(methods, &mut foretold);
                return foretold;
            }
            Err(error) => {
                foretold.refuse(error);
                return foretold;
            }
        };
        let text = &*shown.text;
        let jwt = self.jwt.as_ref().filter(|_| methods.jwt);
        let opaque = self.opaque.is_some() && methods.introspection;
        if shown.as_key || self.is_key(text) {
            foretold.note("an API key came; who knows it is asked only while the gateway runs");
        } else if let Some(jwt) = jwt.filter(|_| !opaque || looks_signed(text)) {
            return jwt.verifier.foretell(text, now, &[&jwt.access, own]);
        } else if opaque {
            foretold.note("an opaque token came; its issuer is asked only while the gateway runs");
        }
        foretold
    }

    /// Which credentials open this.
    fn wanted(&self, methods: Methods, foretold: &mut Foretold) {
        if let Some(jwt) = self.jwt.as_ref().filter(|_| methods.jwt) {
            let field = jwt.bearer.field();
            foretold.note(format!("jwt: {} in {field}", jwt.verifier.wanted()));
        }
        if let Some(keys) = self.keys.as_ref().filter(|_| methods.api_key) {
            let fields: Vec<&str> = keys.fields.iter().map(HeaderName::as_str).collect();
            let mut text = format!(
                "api_key: a key that begins with {}",
                keys.prefixes.join(" or ")
            );
            if keys.bearer {
                text.push_str(" in authorization");
            }
            if !fields.is_empty() {
                text.push_str(&format!(" in {}", fields.join(" or ")));
            }
            foretold.note(text);
        }
        if self.opaque.is_some() && methods.introspection {
            foretold.note("introspection: an opaque token in authorization");
        }
    }

    fn is_key(&self, text: &[u8]) -> bool {
        let prefixes = self.keys.iter().flat_map(|keys| &keys.prefixes);
        prefixes
            .into_iter()
            .any(|prefix| text.starts_with(prefix.as_bytes()))
    }

    /// What was sent, wherever that is allowed to stand.
    fn shown<'h>(&self, head: &'h dyn Head, methods: Methods) -> Result<Option<Shown<'h>>, Error> {
        let mut found: Option<Shown<'h>> = None;
        for field in self.keys.iter().flat_map(|keys| &keys.fields) {
            let Some(value) = once(head, field)? else {
                continue;
            };
            one(&mut found, Cow::Borrowed(value), true)?;
        }
        let signed = self.jwt.as_ref().map(|jwt| &jwt.bearer);
        let own = signed.filter(|own| own.field() != self.bearer.field());
        for bearer in [Some(&self.bearer), own].into_iter().flatten() {
            if head
                .header(bearer.field())
                .is_some_and(|value| !value.trim_ascii().is_empty())
            {
                match bearer.find(head) {
                    Ok(text) => one(&mut found, text, false)?,
                    // Credentials of another kind are for somebody behind us.
                    Err(error) if error.reason == Reason::CredentialsMissing => {}
                    Err(error) => return Err(error),
                }
            }
        }
        match (found, signed) {
            (None, Some(signed)) if methods.jwt => match signed.find(head) {
                Ok(text) => Ok(Some(Shown {
                    text,
                    as_key: false,
                })),
                Err(error) if error.reason == Reason::CredentialsMissing => Ok(None),
                Err(error) => Err(error),
            },
            (found, _) => Ok(found),
        }
    }
}

/// Takes a credential to the one that was found before, of which it may be a copy.
fn one<'h>(found: &mut Option<Shown<'h>>, text: Cow<'h, [u8]>, as_key: bool) -> Result<(), Error> {
    match found {
        Some(before) if before.text == text => Ok(()),
        Some(_) => {
            let told = "the request holds two different credentials";
            Err(Error::new(Reason::TokenMalformed, told))
        }
        None => {
            *found = Some(Shown { text, as_key });
            Ok(())
        }
    }
}

/// The value of a field that may stand there once.
///
/// # Errors
/// When it stands there more than once: somebody behind us might believe the other one.
pub fn once<'h>(head: &'h dyn Head, field: &HeaderName) -> Result<Option<&'h [u8]>, Error> {
    let Some(value) = head.header(field) else {
        return Ok(None);
    };
    let mut times = 0;
    head.each(&mut |name, _| times += u32::from(name.eq_ignore_ascii_case(field.as_str())));
    if times > 1 {
        let told = "a field with credentials stands there more than once";
        return Err(Error::new(Reason::TokenMalformed, told));
    }
    let value = value.trim_ascii();
    Ok((!value.is_empty()).then_some(value))
}

/// A text of visible ASCII without what separates values in a field.
fn visible(text: &[u8], longest: usize) -> Option<&str> {
    let good = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b';' | b'\\');
    let whole = !text.is_empty() && text.len() <= longest && text.iter().all(good);
    std::str::from_utf8(text).ok().filter(|_| whole)
}

/// Whether a text is a signed token by its form.
fn looks_signed(text: &[u8]) -> bool {
    let dots = text.iter().filter(|byte| **byte == b'.').count();
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // A brace and then a quote or a space, or a line end or a tab, in base64url.
    let object = text.starts_with(b"ey") || text.starts_with(b"ew");
    text.starts_with(b"{") || (dots == 2 && object && text.iter().all(base64))
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
