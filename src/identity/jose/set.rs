//! A set of keys (RFC 7517 section 5) and how a token's key is found in it.
//!
//! Differs from KrakenD: a key that cannot be used is passed over and told about; there it makes the whole set
//! useless. As there, of keys with the same name the last one counts; natively the last one that is for the
//! token's algorithm.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::key::{Fingerprint, Key, fingerprint};
use super::token::Token;
use crate::base::Dialect;
use crate::body::{Object, Value, json};

/// Longest text of a set, in bytes.
pub const MAX_SET: usize = 1024 * 1024;
/// Most keys in a set.
pub const MAX_KEYS: usize = 1024;

/// What keys are found by (`key_identify_strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyIds {
    /// `kid`.
    #[default]
    Kid,
    /// The SHA-1 thumbprint of the certificate; tokens without one are taken by `kid`.
    X5t,
    /// The SHA-256 thumbprint of the certificate; tokens without one are taken by `kid`.
    X5tS256,
    /// `kid` and SHA-1 thumbprint together.
    KidX5t,
}

impl KeyIds {
    pub(super) const ALL: [Self; 4] = [Self::Kid, Self::X5t, Self::X5tS256, Self::KidX5t];

    /// The strategy of a word of the configuration; `None` for words that KrakenD takes for `kid` silently.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "kid" => Some(Self::Kid),
            "x5t" => Some(Self::X5t),
            "x5t#S256" => Some(Self::X5tS256),
            "kid_x5t" => Some(Self::KidX5t),
            _ => None,
        }
    }

    /// What a token says that its key is found by; empty when it says nothing.
    pub fn of_token<'t>(self, token: &'t Token) -> Cow<'t, str> {
        let kid = token.kid().unwrap_or_default();
        match self {
            Self::Kid => Cow::Borrowed(kid),
            Self::X5t => Cow::Borrowed(token.x5t().unwrap_or(kid)),
            Self::X5tS256 => Cow::Borrowed(token.x5t_s256().unwrap_or(kid)),
            Self::KidX5t => Cow::Owned(format!("{kid}{}", token.x5t().unwrap_or_default())),
        }
    }
}

/// A key of a set that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it stands, from 0.
    pub position: usize,
    /// What is wrong with it, in a word (see [`Key::from_jwk`]).
    pub why: &'static str,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}: {}", self.position, self.why)
    }
}

/// Why a text is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Longer than [`MAX_SET`].
    #[error("the key set is larger than {MAX_SET} bytes")]
    TooLarge,
    /// No JSON.
    #[error("the key set is no JSON")]
    Syntax,
    /// JSON, but neither a set nor a key.
    #[error("the key set has no \"keys\"")]
    Form,
    /// More than [`MAX_KEYS`].
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
    /// No key that could be used.
    #[error("the key set has no usable key{}", told(.0))]
    Empty(Vec<Skipped>),
}

fn told(skipped: &[Skipped]) -> String {
    let all: Vec<String> = skipped.iter().take(8).map(Skipped::to_string).collect();
    match all.is_empty() {
        true => String::new(),
        false => format!(" ({})", all.join(", ")),
    }
}

/// Keys ready to be looked up.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
    /// By the names of each strategy; keys of one name in their order.
    names: [HashMap<Box<str>, Vec<Arc<Key>>>; KeyIds::ALL.len()],
    skipped: Vec<Skipped>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("keys", &self.keys)
            .field("skipped", &self.skipped)
            .finish_non_exhaustive()
    }
}

impl KeySet {
    /// Reads a set, or a single key as a set of one.
    ///
    /// # Errors
    /// When there is no key in it that could be used.
    pub fn parse(text: &[u8], dialect: Dialect) -> Result<Self, SetError> {
        Self::following(text, dialect, &Self::default())
    }

    /// Reads a set that takes the place of another one of the same dialect. Keys that stand in both with the same
    /// members stay the same objects, so that what was verified with them still is.
    ///
    /// # Errors
    /// When there is no key in it that could be used.
    pub fn following(text: &[u8], dialect: Dialect, before: &Self) -> Result<Self, SetError> {
        let known: HashMap<&Fingerprint, &Arc<Key>> = before
            .keys
            .iter()
            .map(|key| (key.fingerprint(), key))
            .collect();
        let mut set = Self::default();
        for (position, jwk) in jwks(text)?.iter().enumerate() {
            let key = match jwk {
                Value::Object(jwk) => match known.get(&fingerprint(jwk)) {
                    Some(key) => Ok(Arc::clone(key)),
                    None => Key::from_jwk(jwk, dialect).map(Arc::new),
                },
                _ => Err("form"),
            };
            match key {
                Ok(key) => set.push(key),
                Err(why) => set.skipped.push(Skipped { position, why }),
            }
        }
        if set.keys.is_empty() {
            return Err(SetError::Empty(set.skipped));
        }
        Ok(set)
    }

    fn push(&mut self, key: Arc<Key>) {
        for (ids, names) in KeyIds::ALL.into_iter().zip(&mut self.names) {
            let same = names.entry(key.id(ids).into()).or_default();
            same.push(Arc::clone(&key));
        }
        self.keys.push(key);
    }

    /// The key of a token: the last one of its name that is for its algorithm, else the last one of its name.
    pub fn find(&self, token: &Token, ids: KeyIds) -> Option<&Arc<Key>> {
        let names = self.names.get(ids as usize)?;
        let same = names.get(ids.of_token(token).as_ref())?;
        let fitting = same.iter().rfind(|key| key.is_for(token.algorithm()));
        fitting.or_else(|| same.last())
    }

    /// Every usable key, in order.
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// The keys that were passed over.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// The keys of a text as they are written.
pub(super) fn jwks(text: &[u8]) -> Result<Vec<Value>, SetError> {
    if text.len() > MAX_SET {
        return Err(SetError::TooLarge);
    }
    let Value::Object(mut whole) = json::decode(text).map_err(|_| SetError::Syntax)? else {
        return Err(SetError::Form);
    };
    match whole.remove("keys") {
        Some(Value::Array(keys)) if keys.len() > MAX_KEYS => Err(SetError::TooMany),
        Some(Value::Array(keys)) => Ok(keys.into_vec()),
        None if whole.get("kty").is_some() => Ok(vec![Value::Object(whole)]),
        _ => Err(SetError::Form),
    }
}

/// The key of a set with a name, as it is written; of several the last.
pub(super) fn named(text: &[u8], kid: &str) -> Result<Option<Object>, SetError> {
    let named = |jwk: &Value| {
        let own = jwk.as_object().and_then(|jwk| jwk.get("kid"));
        own.and_then(Value::as_str).unwrap_or_default() == kid
    };
    let found = jwks(text)?.into_iter().rfind(named);
    Ok(found.and_then(Value::into_object))
}
