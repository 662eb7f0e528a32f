//! Who a request comes from, as far as it proved it: what a verified token, key or certificate says, ready to be
//! told to backends. KrakenD has no such thing: there each component writes header fields for the next one to read.

use crate::base::{Dialect, Error};
use crate::body::{Object, Value, go_text, json};
use crate::gateway::ctx::Ctx;
use http::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A signed token (RFC 7519).
    Jwt,
    /// A key that somebody vouched for.
    ApiKey,
    /// An opaque token that its issuer was asked about (RFC 7662).
    Introspection,
    /// Name and password (RFC 7617).
    Basic,
    /// A certificate of the client's.
    Certificate,
}

impl Proof {
    /// The word for settings, logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::Introspection => "introspection",
            Self::Basic => "basic",
            Self::Certificate => "mtls",
        }
    }
}

/// Somebody who proved who they are. Made once for each token or key and shared by all of its requests.
#[derive(Default)]
pub struct Identity {
    /// How; `None` for nobody in particular.
    pub proof: Option<Proof>,
    /// The user: claim `sub`, or `user_id` of a key.
    pub subject: Option<Box<str>>,
    /// The organisation: claim `org`, or `org_id` of a key.
    pub org: Option<Box<str>>,
    /// The plan that was bought: claim or member `tier`.
    pub tier: Option<Box<str>>,
    /// SHA-256 of the API key; the key itself is nowhere.
    pub key: Option<[u8; 32]>,
    /// All that the token, the key's or the introspection's answer says.
    pub claims: Object,
    /// Fields that backends get, in place of any of the client's by these names.
    pub minted: Box<[Minted]>,
}

/// A field that tells a backend who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// Its name.
    pub name: HeaderName,
    /// Its values, a line each. With none at all the client's are taken away and nothing stands in their place.
    pub values: Box<[HeaderValue]>,
    /// Backends get it although `input_headers` does not list it.
    pub unlisted: bool,
}

impl fmt::Debug for Identity {
    /// Who it is, and nothing of what they showed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("proof", &self.proof)
            .field("subject", &self.subject)
            .field("org", &self.org)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// A claim of the first level as the text that takes the place of `{JWT.name}`, if there is such a claim.
    pub fn claim_text(&self, name: &str, dialect: Dialect) -> Option<Cow<'_, str>> {
        self.claims
            .get(name)
            .map(|claim| claim_text(claim, dialect))
    }
}

/// A claim as text (reference/krakend-components section 1.1): strings as they are, whole numbers without a point and
/// others with six decimals, the elements of a list with commas between them as Go's `%v` prints them, the rest as
/// JSON. Differs from KrakenD natively: whole numbers are exact; there they are 64-bit floating point, so that two
/// large ones can become the same.
pub fn claim_text(value: &Value, dialect: Dialect) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(digits) => number_text(digits, dialect),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| item_text(item, dialect)).collect();
            Cow::Owned(items.join(","))
        }
        other => Cow::Owned(json_text(other, dialect)),
    }
}

/// Whether it is written without point and exponent.
fn is_whole(digits: &str) -> bool {
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn number_text(digits: &str, dialect: Dialect) -> Cow<'_, str> {
    if dialect == Dialect::Native && is_whole(digits) && digits != "-0" {
        return Cow::Borrowed(digits);
    }
    let number: f64 = digits.parse().unwrap_or_default();
    let near = number.round();
    Cow::Owned(match (number - near).abs() <= 1e-6 {
        // A zero has no sign in an integer.
        true if near == 0.0 => "0".to_owned(),
        true => format!("{near:.0}"),
        false => format!("{number:.6}"),
    })
}

fn item_text(item: &Value, dialect: Dialect) -> Cow<'_, str> {
    match item {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(digits) if dialect == Dialect::Native && is_whole(digits) => {
            Cow::Borrowed(digits)
        }
        Value::Number(digits) => Cow::Owned(go_float(digits.parse().unwrap_or_default())),
        other => Cow::Owned(go_text(other)),
    }
}

/// A number as Go's `%v` prints it: as few digits as tell it apart, an exponent from a million on and for what is
/// smaller than 0.0001.
fn go_float(number: f64) -> String {
    let shortest = format!("{number:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// JSON as Go writes it; in KrakenD's dialect numbers have been floating point before.
fn json_text(value: &Value, dialect: Dialect) -> String {
    let text = json::to_vec(value);
    let floats = match dialect {
        Dialect::Native => None,
        Dialect::Krakend => serde_json::from_slice(&text).ok(),
    };
    let text = floats.map_or(text, |floats| json::to_vec(&Value::from_config(&floats)));
    String::from_utf8_lossy(&text).into_owned()
}

/// Has a say about the claims of a token that was verified: revocation, expressions. Service and endpoint level.
pub trait ClaimStage: Send + Sync {
    /// The word for `explain` and traces: the component's namespace.
    fn name(&self) -> &'static str;

    /// Decides, at once.
    ///
    /// # Errors
    /// Why the caller may not come in.
    fn check(&self, claims: &Object) -> Result<(), Error>;
}

impl Identity {
    /// Somebody who proved who they are twice: the first proof says who it is, the second adds what the first does not say.
    fn and(&self, other: &Self) -> Self {
        // A field that is only taken away may yet be told by the other.
        let tells = |all: &[Minted], name: &HeaderName| {
            let mut all = all.iter();
            all.any(|field| field.name == *name && !field.values.is_empty())
        };
        let named = |name: &HeaderName| self.minted.iter().any(|field| field.name == *name);
        let kept = self
            .minted
            .iter()
            .filter(|field| !field.values.is_empty() || !tells(&other.minted, &field.name));
        let more = other.minted.iter().filter(|field| {
            !named(&field.name) || (!field.values.is_empty() && !tells(&self.minted, &field.name))
        });
        let own = !self.claims.is_empty();
        Self {
            proof: self.proof.or(other.proof),
            subject: self.subject.clone().or_else(|| other.subject.clone()),
            org: self.org.clone().or_else(|| other.org.clone()),
            tier: self.tier.clone().or_else(|| other.tier.clone()),
            key: self.key.or(other.key),
            claims: if own { &self.claims } else { &other.claims }.clone(),
            minted: kept.chain(more).cloned().collect(),
        }
    }
}

impl Ctx {
    /// Notes who calls. Who proved it already stays who they are, and backends are told what both proofs say. Who was
    /// nobody in particular is somebody now.
    pub fn prove(&mut self, who: Arc<Identity>) {
        self.identity = Some(match self.identity.take() {
            None => who,
            Some(nobody) if nobody.proof.is_none() => Arc::new(who.and(&nobody)),
            Some(first) => Arc::new(first.and(&who)),
        });
    }

    /// Asks those who have a say about claims, the service's before the endpoint's. Whoever verifies a token asks this
    /// for each request, also when it remembers the token.
    ///
    /// # Errors
    /// The first one's that refuses.
    pub fn check_claims(&self, claims: &Object) -> Result<(), Error> {
        let own = self.endpoint().map_or(&[][..], |endpoint| &endpoint.claims);
        let mut all = self.gateway.service.claims.iter().chain(own);
        all.try_for_each(|stage| stage.check(claims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted(name: &'static str, value: &'static str) -> Minted {
        Minted {
            name: HeaderName::from_static(name),
            values: Box::new([HeaderValue::from_static(value)]),
            unlisted: false,
        }
    }

    fn gone(name: &'static str) -> Minted {
        Minted {
            values: Box::new([]),
            ..minted(name, "")
        }
    }

    #[test]
    fn the_first_proof_says_who_it_is_and_the_second_adds_to_it() {
        let first = Identity {
            proof: Some(Proof::Jwt),
            subject: Some("ann".into()),
            claims: Object::with("sub", Value::string("ann")),
            minted: Box::new([minted("x-user", "ann"), gone("x-cert"), gone("x-none")]),
            ..Identity::default()
        };
        let second = Identity {
            proof: Some(Proof::Certificate),
            subject: Some("CN=host".into()),
            org: Some("o".into()),
            minted: Box::new([
                minted("x-user", "host"),
                minted("x-cert", "host"),
                gone("x-none"),
            ]),
            ..Identity::default()
        };
        let both = first.and(&second);
        assert_eq!(both.proof, Some(Proof::Jwt));
        assert_eq!(both.subject.as_deref(), Some("ann"));
        assert_eq!(both.org.as_deref(), Some("o"));
        assert_eq!(
            both.claim_text("sub", Dialect::Native).as_deref(),
            Some("ann")
        );
        let told = both.minted.iter().map(|field| {
            let values: Vec<_> = field.values.iter().map(|v| v.to_str().unwrap()).collect();
            format!("{}={}", field.name, values.join(","))
        });
        let told: Vec<String> = told.collect();
        assert_eq!(told, ["x-user=ann", "x-none=", "x-cert=host"]);
        assert_eq!(
            second
                .and(&first)
                .claim_text("sub", Dialect::Native)
                .as_deref(),
            Some("ann")
        );
    }
}
