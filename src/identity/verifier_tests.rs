//! Tokens through a whole verifier, with keys and a clock of the test's own.

use super::super::access::Match;
use super::super::jose::{Algorithm, KeySet, Signer};
use super::super::mint::{Absent, MintRule, field_name};
use super::*;
use crate::base::Dialect;
use crate::body::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const NOW: Duration = Duration::from_secs(1_000_000);

/// Two secrets of the length that HS256 wants, base64url.
const SECRETS: [&str; 2] = [
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
];

fn jwks(kid: &str, secret: usize) -> String {
    format!(
        r#"{{"keys":[{{"kty":"oct","kid":"{kid}","k":"{}"}}]}}"#,
        SECRETS[secret]
    )
}

fn sign(kid: &str, secret: usize, claims: &str) -> String {
    let set = jwks(kid, secret);
    let signer = Signer::from_set(Algorithm::Hs256, set.as_bytes(), kid, Dialect::Native).unwrap();
    let header = json::decode(format!(r#"{{"kid":"{kid}","typ":"JWT"}}"#).as_bytes());
    let header = header.unwrap().into_object().unwrap();
    signer.sign_compact(&header, claims.as_bytes()).unwrap()
}

/// A set that tests replace, which counts how often it is asked.
struct Swapped {
    set: Mutex<Option<Arc<KeySet>>>,
    asked: AtomicUsize,
    waited: AtomicUsize,
    /// What comes when somebody waits.
    coming: Mutex<Option<String>>,
}

impl Swapped {
    fn new(set: Option<&str>) -> Arc<Self> {
        let swapped = Arc::new(Self {
            set: Mutex::default(),
            asked: AtomicUsize::new(0),
            waited: AtomicUsize::new(0),
            coming: Mutex::default(),
        });
        swapped.put(set);
        swapped
    }

    fn put(&self, set: Option<&str>) {
        let set = set.map(|set| Arc::new(KeySet::parse(set.as_bytes(), Dialect::Native).unwrap()));
        *self.set.lock().unwrap() = set;
    }

    fn look(&self, token: &Token) -> Found {
        let set = self.set.lock().unwrap().clone();
        let Some(set) = set else {
            return Found::Unavailable;
        };
        set.find(token, KeyIds::Kid)
            .map_or(Found::Unknown, |key| Found::Key(Arc::clone(key)))
    }
}

impl Keys for Swapped {
    fn at_hand(&self, token: &Token) -> Found {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.look(token)
    }

    fn may_come(&self) -> bool {
        self.coming.lock().unwrap().is_some()
    }

    fn wait_for<'a>(&'a self, token: &'a Token) -> Finding<'a> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        let coming = self.coming.lock().unwrap().take();
        self.put(coming.as_deref());
        Box::pin(std::future::ready(self.look(token)))
    }
}

fn rules() -> Rules {
    Rules {
        issuer: Some("me".into()),
        audience: Box::from(["api".into()]),
        audience_match: Match::All,
        ..Rules::new(Algorithm::Hs256, Dialect::Native)
    }
}

fn verifier(keys: &Arc<Swapped>) -> Verifier {
    let rule = MintRule {
        claim: ClaimPath::flat("sub"),
        name: field_name("X-User-ID").unwrap(),
        absent: Absent::Empty,
        unlisted: false,
    };
    Verifier::new(VerifierOptions {
        rules: rules(),
        keys: Arc::clone(keys) as Arc<dyn Keys>,
        naming: Naming::default(),
        mint: Mint::new(vec![rule], false, Dialect::Native),
    })
}

const GOOD: &str = r#"{"iss":"me","aud":"api","sub":"u1","org":"o1","tier":"team","exp":1000100}"#;

fn now(verifier: &Verifier, token: &str, at: Duration) -> Result<Arc<Identity>, Reason> {
    match verifier.verify(token.as_bytes(), at) {
        Step::Now(outcome) => outcome.map_err(|error| error.reason),
        Step::Wait(_) => panic!("it waits"),
    }
}

#[test]
fn a_good_token_says_who_it_is() {
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    let who = now(&verifier, &sign("k", 0, GOOD), NOW).unwrap();
    assert_eq!(who.proof, Some(Proof::Jwt));
    assert_eq!(who.subject.as_deref(), Some("u1"));
    assert_eq!(who.org.as_deref(), Some("o1"));
    assert_eq!(who.tier.as_deref(), Some("team"));
    assert_eq!(who.minted[0].values[0], "u1");
}

#[test]
fn a_token_that_comes_again_is_the_same_identity_until_it_ends() {
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    let token = sign("k", 0, GOOD);
    let first = now(&verifier, &token, NOW).unwrap();
    let last = Duration::from_secs(1_000_101);
    let again = now(&verifier, &token, last).unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(keys.asked.load(Ordering::Relaxed), 1);
    let late = last + Duration::from_nanos(1);
    assert_eq!(
        now(&verifier, &token, late).err(),
        Some(Reason::TokenExpired)
    );
}

#[test]
fn with_its_key_a_remembered_token_goes() {
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    let token = sign("k", 0, GOOD);
    assert!(now(&verifier, &token, NOW).is_ok());
    keys.put(Some(&jwks("k2", 1)));
    assert_eq!(now(&verifier, &token, NOW).err(), Some(Reason::KeyUnknown));
    assert!(now(&verifier, &sign("k2", 1, GOOD), NOW).is_ok());
}

#[test]
fn a_refusal_is_remembered_no_longer_than_the_key_that_it_was_made_with() {
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    let token = sign("k", 1, GOOD);
    for _ in 0..3 {
        let refused = now(&verifier, &token, NOW).err();
        assert_eq!(refused, Some(Reason::SignatureInvalid));
    }
    assert_eq!(keys.asked.load(Ordering::Relaxed), 1);
    keys.put(Some(&jwks("k", 1)));
    assert!(now(&verifier, &token, NOW).is_ok());
}

#[test]
fn what_time_may_heal_is_not_remembered() {
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    let early = r#"{"iss":"me","aud":"api","nbf":1000005,"exp":1000100}"#;
    let token = sign("k", 0, early);
    let refused = now(&verifier, &token, NOW).err();
    assert_eq!(refused, Some(Reason::TokenNotYetValid));
    assert!(now(&verifier, &token, Duration::from_secs(1_000_004)).is_ok());
}

#[test]
fn each_failure_has_its_reason() {
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    let claims = |text: &str| sign("k", 0, text);
    let mut cut = sign("k", 0, GOOD);
    cut.truncate(cut.len() - 3);
    let set = r#"{"kty":"oct","kid":"k","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    let header = json::decode(br#"{"kid":"k"}"#)
        .unwrap()
        .into_object()
        .unwrap();
    let long = Signer::from_set(Algorithm::Hs512, set.as_bytes(), "k", Dialect::Native);
    let other = long
        .unwrap()
        .sign_compact(&header, GOOD.as_bytes())
        .unwrap();
    for (token, reason) in [
        (String::new(), Reason::TokenMalformed),
        ("a.b".to_owned(), Reason::TokenMalformed),
        ("é.b.c".to_owned(), Reason::TokenMalformed),
        (format!("{}.", "a".repeat(20_000)), Reason::TokenMalformed),
        (
            "eyJhbGciOiJub25lIn0.e30.".to_owned(),
            Reason::TokenMalformed,
        ),
        (other, Reason::AlgorithmMismatch),
        (sign("x", 0, GOOD), Reason::KeyUnknown),
        (sign("k", 1, GOOD), Reason::SignatureInvalid),
        (cut, Reason::SignatureInvalid),
        (claims("[]"), Reason::TokenMalformed),
        (claims(r#"{"iss":"me","iss":"me"}"#), Reason::TokenMalformed),
        (
            claims(r#"{"iss":"you","aud":"api","exp":1000100}"#),
            Reason::IssuerMismatch,
        ),
        (
            claims(r#"{"iss":"me","aud":"app","exp":1000100}"#),
            Reason::AudienceMismatch,
        ),
        (
            claims(r#"{"iss":"me","aud":"api","exp":999990}"#),
            Reason::TokenExpired,
        ),
        (claims(r#"{"iss":"me","aud":"api"}"#), Reason::ExpiryMissing),
        (
            claims(r#"{"iss":"me","aud":"api","exp":1000100,"iat":1000050}"#),
            Reason::TokenNotYetValid,
        ),
        (
            claims(r#"{"iss":"me","aud":"api","exp":1000100,"sub":"a\nb"}"#),
            Reason::TokenMalformed,
        ),
    ] {
        // Twice: remembered or not, the answer is the same.
        for _ in 0..2 {
            assert_eq!(now(&verifier, &token, NOW).err(), Some(reason), "{token}");
        }
    }
}

#[test]
fn without_keys_it_is_our_outage() {
    let keys = Swapped::new(None);
    let verifier = verifier(&keys);
    let token = sign("k", 0, GOOD);
    let Step::Now(Err(error)) = verifier.verify(token.as_bytes(), NOW) else {
        panic!("no error");
    };
    assert_eq!(error.reason, Reason::JwksUnavailable);
    assert_eq!(error.reason.status(), 503);
    assert!(error.retry_after.is_some());
}

#[tokio::test]
async fn a_key_that_may_come_is_waited_for() {
    let soon = (clock::since_epoch().as_secs() + 100).to_string();
    let token = sign("k2", 1, &GOOD.replace("1000100", &soon));
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    *keys.coming.lock().unwrap() = Some(jwks("k2", 1));
    let step = verifier.verify(token.as_bytes(), clock::since_epoch());
    assert!(matches!(step, Step::Wait(_)));
    assert!(step.outcome().await.is_ok());
    assert_eq!(keys.waited.load(Ordering::Relaxed), 1);
    assert!(now(&verifier, &token, clock::since_epoch()).is_ok());
}

#[test]
fn nothing_of_a_token_is_shown() {
    let keys = Swapped::new(Some(&jwks("k", 0)));
    let verifier = verifier(&keys);
    let token = sign("k", 1, GOOD);
    let Step::Now(Err(error)) = verifier.verify(token.as_bytes(), NOW) else {
        panic!("no error");
    };
    let shown = format!("{error:?} {error} {verifier:?}");
    assert!(
        token.split('.').all(|part| !shown.contains(part)),
        "{shown}"
    );
}
