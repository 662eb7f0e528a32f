//! Who a request comes from, as far as it proved it: what a verified token, key or certificate says, ready to be
//! told to backends. KrakenD has no such thing: there each component writes header fields for the next one to read.

use crate::base::Error;
use crate::body::{Object, Value, json};
use crate::gateway::ctx::Ctx;
use http::{HeaderName, HeaderValue};
use std::borrow::Cow;
use std::fmt;

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
    pub fn claim_text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.claims.get(name).map(claim_text)
    }
}

/// A claim as text (reference/krakend-components section 1.1): strings as they are, whole numbers without a point and
/// others with six decimals, the elements of a list with commas between them, the rest as JSON.
pub fn claim_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(digits) => Cow::Owned(number_text(digits.as_bytes())),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(claim_text).collect();
            Cow::Owned(items.join(","))
        }
        other => Cow::Owned(String::from_utf8_lossy(&json::to_vec(other)).into_owned()),
    }
}

/// Numbers of claims are 64-bit floating point, as in KrakenD: large ones are rounded.
fn number_text(digits: &[u8]) -> String {
    let number: f64 = String::from_utf8_lossy(digits).parse().unwrap_or_default();
    if (number - number.round()).abs() < 1e-6 {
        return format!("{number:.0}");
    }
    format!("{number:.6}")
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

impl Ctx {
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
