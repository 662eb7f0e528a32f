//! What is said of a signed token without asking anybody: its rules one by one, and its signature where the key is at
//! hand. For `explain`, which fetches nothing.

use super::access::Access;
use super::jose::{ParseOptions, Token, numeric_date};
use super::rules::Rules;
use super::verifier::{Found, Verifier, malformed};
use crate::base::{Error, Reason, clock};
use crate::body::{Object, Value, json};
use crate::gateway::stage::Foretold;
use std::time::Duration;

impl Verifier {
    /// What tokens are wanted, in a few words.
    pub fn wanted(&self) -> String {
        let rules = self.rules();
        let mut text = format!("a token signed with {}", rules.algorithm);
        if let Some(issuer) = &rules.issuer {
            text.push_str(&format!(" by \"{issuer}\""));
        }
        if !rules.audience.is_empty() {
            text.push_str(&format!(" for {}", rules.audience.join(", ")));
        }
        text
    }

    /// What [`Verifier::verify`] will come to, and then these demands, as far as it is known without asking anybody.
    pub fn foretell(&self, text: &[u8], now: Duration, demands: &[&Access]) -> Foretold {
        let mut foretold = Foretold::default();
        let rules = self.rules();
        let options = ParseOptions::new(rules.dialect);
        let token = match Token::parse_with(text, &options) {
            Ok(token) => token,
            Err(why) => {
                foretold.refuse(malformed(why));
                return foretold;
            }
        };
        let (own, wanted) = (token.algorithm(), rules.algorithm);
        foretold.note(format!("alg: {own}; {wanted} is wanted"));
        if own != wanted {
            let told = format!("the token names {own}, not {wanted}");
            foretold.refuse(Error::new(Reason::AlgorithmMismatch, told));
            return foretold;
        }
        self.signature(&token, &mut foretold);
        let claims = match token.claims() {
            Ok(claims) => claims,
            Err(why) => {
                foretold.refuse(malformed(why));
                return foretold;
            }
        };
        claims_of(rules, &claims, now, &mut foretold);
        if let Err(error) = rules.check(&claims, now) {
            foretold.refuse(error);
        }
        for demand in demands {
            foretold.notes.extend(demand.told(&claims));
            if let Err(error) = demand.check(&claims) {
                foretold.refuse(error);
            }
        }
        foretold
    }

    fn signature(&self, token: &Token, foretold: &mut Foretold) {
        let kid = match token.kid() {
            Some(kid) => format!("the key \"{kid}\""),
            None => "a key without a name".to_owned(),
        };
        match self.keys().at_hand(token) {
            Found::Key(key) if token.verify(&key) => {
                foretold.note(format!("signature: good, by {kid}"));
            }
            Found::Key(_) => {
                foretold.note(format!("signature: not that of {kid}"));
                foretold.refuse(Reason::SignatureInvalid);
            }
            _ if self.keys().may_come() => foretold.note(format!(
                "signature: not checked; {kid} is fetched only while the gateway runs"
            )),
            _ => {
                foretold.note(format!(
                    "signature: {kid} is not among those that there are"
                ));
                foretold.refuse(Reason::KeyUnknown);
            }
        }
    }
}

/// The claims that the rules look at.
fn claims_of(rules: &Rules, claims: &Object, now: Duration, foretold: &mut Foretold) {
    let shown = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => "none".to_owned(),
        Some(value) => String::from_utf8_lossy(&json::to_vec(value)).into_owned(),
    };
    let wanted = match &rules.issuer {
        Some(issuer) => format!("\"{issuer}\" is wanted"),
        None => "any will do".to_owned(),
    };
    foretold.note(format!("iss: {}; {wanted}", shown("iss")));
    let wanted = match (rules.audience.is_empty(), rules.audience_match) {
        (true, _) => "any will do".to_owned(),
        (_, super::Match::All) => format!("all of {} are wanted", rules.audience.join(", ")),
        (_, super::Match::Any) => format!("one of {} is wanted", rules.audience.join(", ")),
    };
    foretold.note(format!("aud: {}; {wanted}", shown("aud")));
    for name in ["exp", "nbf", "iat"] {
        let Ok(Some(seconds)) = numeric_date(claims, name) else {
            if name == "exp" && claims.get(name).is_none() {
                let wanted = if rules.expiry_required {
                    "one is wanted"
                } else {
                    "none is needed"
                };
                foretold.note(format!("exp: none; {wanted}"));
            }
            continue;
        };
        let at = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let far = match at.checked_sub(now) {
            Some(left) => format!("in {} s", left.as_secs()),
            None => format!("{} s ago", now.saturating_sub(at).as_secs()),
        };
        // Years of five digits are no dates of RFC 3339.
        let when = match at.as_secs() < 253_402_300_800 {
            true => clock::rfc3339(at),
            false => format!("{seconds} s after 1970"),
        };
        foretold.note(format!(
            "{name}: {when}, {far}; leeway {} s",
            rules.leeway.as_secs()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Dialect;
    use crate::identity::jose::{Algorithm, Key, KeyIds, KeySet, Signer};
    use crate::identity::verifier::{Finding, Keys};
    use crate::identity::{ClaimPath, Demand, Match, Mint, Naming, VerifierOptions};
    use std::sync::Arc;

    const SECRET: &str = r#"{"kty":"oct","alg":"HS256","kid":"k","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ1Njc4"}"#;
    const NOW: Duration = Duration::from_secs(1_000_000);

    struct Local(KeySet, bool);

    impl Keys for Local {
        fn at_hand(&self, token: &Token) -> Found {
            let found = self.0.find(token, KeyIds::Kid);
            found.map_or(Found::Unknown, |key: &Arc<Key>| Found::Key(Arc::clone(key)))
        }
        fn may_come(&self) -> bool {
            self.1
        }
        fn wait_for<'a>(&'a self, _: &'a Token) -> Finding<'a> {
            Box::pin(async { Found::Unavailable })
        }
    }

    fn object(text: &str) -> Object {
        json::decode(text.as_bytes())
            .unwrap()
            .into_object()
            .unwrap()
    }

    fn verifier(keys: &str, remote: bool) -> Verifier {
        let mut rules = Rules::new(Algorithm::Hs256, Dialect::Native);
        rules.issuer = Some("me".into());
        rules.audience = Box::new(["api".into()]);
        Verifier::new(VerifierOptions {
            rules,
            keys: Arc::new(Local(
                KeySet::parse(keys.as_bytes(), Dialect::Native).unwrap(),
                remote,
            )),
            naming: Naming::default(),
            mint: Mint::default(),
        })
    }

    fn token(claims: &str) -> String {
        let signer = Signer::new(Algorithm::Hs256, &object(SECRET), Dialect::Native).unwrap();
        signer
            .sign_compact(&object(r#"{"kid":"k"}"#), claims.as_bytes())
            .unwrap()
    }

    /// A set in which the token's key is not.
    fn others() -> String {
        format!(
            "{{\"keys\":[{}]}}",
            SECRET.replace("\"kid\":\"k\"", "\"kid\":\"z\"")
        )
    }

    fn ask(verifier: &Verifier, token: &str, roles: &[&str]) -> (String, Option<Reason>) {
        let access = Access {
            roles: Demand::new(ClaimPath::flat("roles"), roles, Match::Any),
            scopes: None,
        };
        let found = verifier.foretell(token.as_bytes(), NOW, &[&access]);
        (
            found.notes.join("\n"),
            found.refusal.map(|error| error.reason),
        )
    }

    const GOOD: &str = r#"{"iss":"me","aud":"api","exp":1000060,"roles":["a"]}"#;

    #[test]
    fn every_rule_is_told_and_a_good_token_is_not_refused() {
        let set = format!("{{\"keys\":[{SECRET}]}}");
        let (told, refusal) = ask(&verifier(&set, false), &token(GOOD), &["a", "b"]);
        assert_eq!(refusal, None, "{told}");
        for words in [
            "alg: HS256; HS256 is wanted",
            "signature: good, by the key \"k\"",
            "iss: \"me\"; \"me\" is wanted",
            "aud: \"api\"; all of api are wanted",
            "in 60 s; leeway 1 s",
            "roles: one of a, b is needed; the caller has that",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn what_is_wrong_is_the_reason_whatever_the_signature() {
        let set = format!("{{\"keys\":[{SECRET}]}}");
        let (local, remote) = (verifier(&set, false), verifier(&others(), true));
        for (claims, reason) in [
            (
                r#"{"iss":"you","aud":"api","exp":1000060}"#,
                Reason::IssuerMismatch,
            ),
            (
                r#"{"iss":"me","aud":"x","exp":1000060}"#,
                Reason::AudienceMismatch,
            ),
            (
                r#"{"iss":"me","aud":"api","exp":999990}"#,
                Reason::TokenExpired,
            ),
            (r#"{"iss":"me","aud":"api"}"#, Reason::ExpiryMissing),
            (
                r#"{"iss":"me","aud":"api","exp":1000060,"nbf":1000060}"#,
                Reason::TokenNotYetValid,
            ),
            (
                r#"{"iss":"me","aud":"api","exp":1000060,"roles":["b"]}"#,
                Reason::RolesMissing,
            ),
        ] {
            for verifier in [&local, &remote] {
                assert_eq!(
                    ask(verifier, &token(claims), &["a"]).1,
                    Some(reason),
                    "{claims}"
                );
            }
        }
    }

    #[test]
    fn a_signature_is_checked_where_the_key_is_at_hand_and_said_to_be_unchecked_elsewhere() {
        let set = format!("{{\"keys\":[{SECRET}]}}");
        let (told, refusal) = ask(&verifier(&others(), true), &token(GOOD), &[]);
        assert!(
            told.contains("signature: not checked") && refusal.is_none(),
            "{told}"
        );
        let (_, refusal) = ask(&verifier(&others(), false), &token(GOOD), &[]);
        assert_eq!(refusal, Some(Reason::KeyUnknown));
        let mut forged = token(GOOD);
        forged.truncate(forged.len() - 43);
        forged.push_str(&"A".repeat(43));
        let (_, refusal) = ask(&verifier(&set, false), &forged, &[]);
        assert_eq!(refusal, Some(Reason::SignatureInvalid));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let verifier = verifier(&others(), true);
        for text in ["", "a.b.c", "{}"] {
            assert_eq!(
                ask(&verifier, text, &[]).1,
                Some(Reason::TokenMalformed),
                "{text}"
            );
        }
    }
}
