//! What a token must say to be good here, apart from its signature (RFC 7519 section 4.1; reference/krakend-components
//! section 1.1, step 5).
//!
//! The leeway and the rules are KrakenD's. Differs from it natively: a token without `exp` is refused, and one of
//! several audiences can be enough (`audience_match`).

use std::time::Duration;

use super::access::Match;
use super::jose::{Algorithm, numeric_date};
use crate::base::{Dialect, Error, Reason};
use crate::body::{Object, Value};

/// What a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The algorithm that it is signed with, and no other.
    pub algorithm: Algorithm,
    /// `iss`, to the letter; `None` for any.
    pub issuer: Option<Box<str>>,
    /// `aud`; empty for any.
    pub audience: Box<[Box<str>]>,
    /// Whether all of the audiences are needed or one.
    pub audience_match: Match,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Whether it must say when it ends.
    pub expiry_required: bool,
    /// How exactly tokens are read.
    pub dialect: Dialect,
}

impl Rules {
    /// The rules of a dialect with nothing said about issuer and audience.
    pub fn new(algorithm: Algorithm, dialect: Dialect) -> Self {
        Self {
            algorithm,
            issuer: None,
            audience: Box::default(),
            audience_match: Match::All,
            leeway: Duration::from_secs(1),
            expiry_required: dialect == Dialect::Native,
            dialect,
        }
    }

    /// Whether claims are good now, and until when: the last moment since the epoch at which they are.
    ///
    /// # Errors
    /// The first thing that is wrong: a claim of a wrong type, issuer, audience, time.
    pub fn check(&self, claims: &Object, now: Duration) -> Result<Duration, Error> {
        for name in ["iss", "sub", "jti"] {
            text(claims, name)?;
        }
        if let Some(issuer) = &self.issuer
            && text(claims, "iss")? != Some(issuer)
        {
            return Err(Reason::IssuerMismatch.into());
        }
        self.check_audience(claims)?;
        self.check_times(claims, now)
    }

    fn check_audience(&self, claims: &Object) -> Result<(), Error> {
        let own: &[Value] = match claims.get("aud") {
            None | Some(Value::Null) => &[],
            Some(one @ Value::String(_)) => std::slice::from_ref(one),
            Some(Value::Array(all)) if all.iter().all(|one| one.as_str().is_some()) => all,
            Some(_) => return Err(malformed("aud")),
        };
        let has = |wanted: &str| own.iter().any(|one| one.as_str() == Some(wanted));
        let mut audience = self.audience.iter().map(|name| &**name);
        let good = match self.audience_match {
            Match::All => audience.all(has),
            Match::Any => self.audience.is_empty() || audience.any(has),
        };
        match good {
            true => Ok(()),
            false => Err(Reason::AudienceMismatch.into()),
        }
    }

    fn check_times(&self, claims: &Object, now: Duration) -> Result<Duration, Error> {
        let date = |name| numeric_date(claims, name).map_err(|_| malformed(name));
        let latest = now.saturating_add(self.leeway);
        for name in ["nbf", "iat"] {
            if date(name)?.is_some_and(|from| since_epoch(from) > latest) {
                return Err(Reason::TokenNotYetValid.into());
            }
        }
        let until = match date("exp")? {
            Some(end) if end < 0 => return Err(Reason::TokenExpired.into()),
            Some(end) => since_epoch(end).saturating_add(self.leeway),
            None if self.expiry_required => return Err(Reason::ExpiryMissing.into()),
            None => Duration::MAX,
        };
        match now <= until {
            true => Ok(until),
            false => Err(Reason::TokenExpired.into()),
        }
    }
}

fn since_epoch(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// A claim that must be text where it is there.
fn text<'c>(claims: &'c Object, name: &'static str) -> Result<Option<&'c str>, Error> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| malformed(name)),
    }
}

fn malformed(claim: &'static str) -> Error {
    let told = match claim {
        "iss" => "the claim iss is no text",
        "sub" => "the claim sub is no text",
        "jti" => "the claim jti is no text",
        "aud" => "the claim aud is neither a text nor a list of texts",
        _ => "a time among the claims is no number",
    };
    Error::new(Reason::TokenMalformed, told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json;

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn check(rules: &Rules, claims: &str) -> Result<Duration, Reason> {
        let claims = json::decode(claims.as_bytes())
            .unwrap()
            .into_object()
            .unwrap();
        rules.check(&claims, NOW).map_err(|error| error.reason)
    }

    fn krakend() -> Rules {
        Rules::new(Algorithm::Hs256, Dialect::Krakend)
    }

    fn good(rules: &Rules, claims: &str) {
        assert!(check(rules, claims).is_ok(), "{claims}");
    }

    fn bad(rules: &Rules, claims: &str, reason: Reason) {
        assert_eq!(check(rules, claims), Err(reason), "{claims}");
    }

    #[test]
    fn times_count_to_the_second_with_leeway() {
        let rules = krakend();
        for claims in [
            "{}",
            r#"{"exp":999999}"#,
            r#"{"exp":999999.9}"#,
            r#"{"nbf":1000001,"iat":1000001}"#,
            r#"{"nbf":1000001.9}"#,
            r#"{"exp":null,"nbf":null,"iat":null}"#,
            r#"{"nbf":-5,"iat":0}"#,
            r#"{"exp":1e300}"#,
        ] {
            good(&rules, claims);
        }
        for (claims, reason) in [
            (r#"{"exp":999998}"#, Reason::TokenExpired),
            (r#"{"exp":999998.9}"#, Reason::TokenExpired),
            (r#"{"exp":0}"#, Reason::TokenExpired),
            (r#"{"exp":-1}"#, Reason::TokenExpired),
            (r#"{"exp":-1e300}"#, Reason::TokenExpired),
            (r#"{"nbf":1000002}"#, Reason::TokenNotYetValid),
            (r#"{"iat":1000005}"#, Reason::TokenNotYetValid),
            (r#"{"nbf":1e300}"#, Reason::TokenNotYetValid),
            (r#"{"exp":"2000000"}"#, Reason::TokenMalformed),
            (r#"{"nbf":true}"#, Reason::TokenMalformed),
            (r#"{"iat":[]}"#, Reason::TokenMalformed),
        ] {
            bad(&rules, claims, reason);
        }
    }

    #[test]
    fn good_until_the_end_and_the_leeway_behind_it() {
        let rules = Rules {
            leeway: Duration::from_secs(30),
            ..krakend()
        };
        let until = check(&rules, r#"{"exp":1000000}"#);
        assert_eq!(until, Ok(Duration::from_secs(1_000_030)));
        assert_eq!(check(&rules, "{}"), Ok(Duration::MAX));
        good(&rules, r#"{"exp":999970,"nbf":1000030}"#);
        bad(&rules, r#"{"exp":999969}"#, Reason::TokenExpired);
    }

    #[test]
    fn natively_a_token_says_when_it_ends() {
        let rules = Rules::new(Algorithm::Rs256, Dialect::Native);
        bad(&rules, "{}", Reason::ExpiryMissing);
        bad(&rules, r#"{"exp":null}"#, Reason::ExpiryMissing);
        good(&rules, r#"{"exp":1000000}"#);
    }

    #[test]
    fn the_issuer_counts_to_the_letter() {
        let rules = Rules {
            issuer: Some("https://a".into()),
            ..krakend()
        };
        good(&rules, r#"{"iss":"https://a"}"#);
        for claims in [
            r#"{"iss":"https://a/"}"#,
            r#"{"iss":"HTTPS://a"}"#,
            r#"{"iss":null}"#,
            "{}",
        ] {
            bad(&rules, claims, Reason::IssuerMismatch);
        }
        bad(&rules, r#"{"iss":["https://a"]}"#, Reason::TokenMalformed);
    }

    #[test]
    fn all_audiences_or_one() {
        let mut rules = Rules {
            audience: Box::from(["a".into(), "b".into()]),
            ..krakend()
        };
        for (claims, all, any) in [
            (r#"{"aud":["b","c","a"]}"#, true, true),
            (r#"{"aud":["a"]}"#, false, true),
            (r#"{"aud":"a"}"#, false, true),
            (r#"{"aud":"a b"}"#, false, false),
            (r#"{"aud":[]}"#, false, false),
            (r#"{"aud":null}"#, false, false),
            ("{}", false, false),
        ] {
            rules.audience_match = Match::All;
            assert_eq!(check(&rules, claims).is_ok(), all, "{claims}");
            rules.audience_match = Match::Any;
            assert_eq!(check(&rules, claims).is_ok(), any, "{claims}");
        }
        bad(&rules, r#"{"aud":["a",5]}"#, Reason::TokenMalformed);
        bad(&rules, r#"{"aud":{"a":1}}"#, Reason::TokenMalformed);
        rules.audience = Box::default();
        good(&rules, "{}");
    }

    #[test]
    fn registered_claims_have_their_types() {
        for claims in [r#"{"sub":5}"#, r#"{"jti":{}}"#, r#"{"iss":1}"#] {
            bad(&krakend(), claims, Reason::TokenMalformed);
        }
    }
}
