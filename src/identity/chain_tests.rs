//! What counts as a credential, and whom it is for. Nobody is asked here: keys and opaque tokens wait for services that
//! are not there, which is all that these tests look at.

use super::*;
use crate::base::Dialect;
use crate::gateway::plain::Plain;
use crate::identity::introspection::{ClientAuth, Wanted};
use crate::identity::jose::{Algorithm, KeyIds, KeySet};
use crate::identity::jwks::Source;
use crate::identity::keys::{Answer, SLOT, Template};
use crate::identity::verifier::{Naming, SourceKeys, VerifierOptions};
use crate::identity::vouching::Patience;
use crate::identity::{Mint, Rules};
use crate::net::fetch::Place;
use crate::net::{Client, ClientOptions, Resolver};
use http::{Method, header};

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const PATIENCE: Patience = Patience {
    good: Duration::from_secs(300),
    bad: Duration::from_secs(10),
    stale: Duration::from_secs(3600),
    timeout: Duration::from_secs(2),
};
/// Header and claims without a signature that anybody would believe.
const SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.AAAA";

fn chain(jwt: bool, opaque: bool) -> Chain {
    let client = Arc::new(Client::new(ClientOptions::default()));
    let place = Place::parse("http://iam.example/", &Resolver::new()).unwrap();
    let keys = KeyService {
        client: Arc::clone(&client),
        place: place.clone(),
        method: Method::POST,
        body: Template::Json(serde_json::json!({"key": SLOT})),
        fields: Box::default(),
        answer: Answer::default(),
        refused: Box::default(),
        mint: Mint::default(),
    };
    let introspection = Introspection {
        client,
        place,
        auth: ClientAuth::Nobody,
        hint: "".into(),
        wanted: Wanted::default(),
        mint: Mint::default(),
    };
    let verifier = Verifier::new(VerifierOptions {
        rules: Rules::new(Algorithm::Rs256, Dialect::Native),
        keys: Arc::new(SourceKeys::new(
            Arc::new(Source::fixed(KeySet::default())),
            KeyIds::default(),
        )),
        naming: Naming::default(),
        mint: Mint::default(),
    });
    Chain {
        jwt: jwt.then(|| TokenDoor {
            bearer: Bearer::new(header::AUTHORIZATION, "access_token", Dialect::Native),
            verifier: Arc::new(verifier),
            access: Access::default(),
        }),
        keys: Some(KeyDoor {
            prefixes: Box::from(["sk-".into()]),
            fields: Box::from([HeaderName::from_static("x-iam-key")]),
            bearer: true,
            service: Vouching::new(keys, PATIENCE, Arc::default()),
        }),
        opaque: opaque.then(|| Vouching::new(introspection, PATIENCE, Arc::default())),
        bearer: Bearer::new(header::AUTHORIZATION, "", Dialect::Native),
    }
}

/// Which way a request takes, and the reason when it is refused at once.
fn way_in(
    chain: &Chain,
    fields: &[(&str, &str)],
    methods: Methods,
) -> (Option<Proof>, Option<Reason>) {
    let head = Plain::get("/").fields(fields);
    let (proof, step) = chain.who(&head, FROM, methods, Duration::from_secs(1));
    match step {
        Step::Now(Ok(_)) => panic!("nobody is known here"),
        Step::Now(Err(error)) => (proof, Some(error.reason)),
        Step::Wait(_) => (proof, None),
    }
}

fn way(chain: &Chain, fields: &[(&str, &str)]) -> (Option<Proof>, Option<Reason>) {
    way_in(chain, fields, Methods::ALL)
}

fn bearer(token: &str) -> [(&'static str, String); 1] {
    [("Authorization", format!("Bearer {token}"))]
}

fn way_of(chain: &Chain, token: &str) -> (Option<Proof>, Option<Reason>) {
    let [(name, value)] = bearer(token);
    way(chain, &[(name, &value)])
}

const KEY: Option<Proof> = Some(Proof::ApiKey);
const JWT: Option<Proof> = Some(Proof::Jwt);
const OPAQUE: Option<Proof> = Some(Proof::Introspection);

#[test]
fn the_form_of_a_credential_says_whom_it_is_for() {
    let chain = chain(true, true);
    assert_eq!(way_of(&chain, "sk-1"), (KEY, None));
    assert_eq!(way_of(&chain, "sk-a.b.c"), (KEY, None));
    assert_eq!(way_of(&chain, SIGNED), (JWT, Some(Reason::KeyUnknown)));
    for opaque in [
        "abc",
        "a.b.c",
        "SK-1",
        "ey.a",
        "eyJ.b.c.d",
        "eyJ.b=.c",
        "a.b.c.d.e",
    ] {
        assert_eq!(way_of(&chain, opaque), (OPAQUE, None), "{opaque}");
    }
}

#[test]
fn a_signed_token_that_is_refused_is_tried_no_other_way() {
    let chain = chain(true, true);
    for token in ["eyJ9.e30.AAAA", "eyJhbGciOiJub25lIn0.e30."] {
        let (proof, reason) = way_of(&chain, token);
        assert_eq!(proof, JWT, "{token}");
        assert!(reason.is_some(), "{token}");
    }
}

#[test]
fn without_signed_tokens_the_issuer_is_asked_and_without_it_the_form_decides() {
    assert_eq!(way_of(&chain(false, true), SIGNED), (OPAQUE, None));
    assert_eq!(
        way_of(&chain(true, false), "abc"),
        (JWT, Some(Reason::TokenMalformed))
    );
    let invalid = Some(Reason::ApiKeyInvalid);
    assert_eq!(way_of(&chain(false, false), "abc"), (KEY, invalid));
}

#[test]
fn an_endpoint_takes_only_what_it_lists() {
    let chain = chain(true, true);
    let only = |jwt, api_key, introspection| Methods {
        jwt,
        api_key,
        introspection,
    };
    let of = |token: &str, methods| {
        let [(name, value)] = bearer(token);
        way_in(&chain, &[(name, &value)], methods)
    };
    let missing = (None, Some(Reason::CredentialsMissing));
    assert_eq!(of("sk-1", only(true, false, true)), missing);
    let fields = [("X-IAM-Key", "sk-1")];
    assert_eq!(way_in(&chain, &fields, only(true, false, true)), missing);
    assert_eq!(
        of(SIGNED, only(false, true, false)).1,
        Some(Reason::ApiKeyInvalid)
    );
    assert_eq!(of(SIGNED, only(false, true, true)), (OPAQUE, None));
    assert_eq!(
        of("abc", only(true, true, false)).1,
        Some(Reason::TokenMalformed)
    );
}

#[test]
fn keys_have_a_field_of_their_own() {
    let chain = chain(true, true);
    assert_eq!(way(&chain, &[("x-IAM-key", "sk-1")]), (KEY, None));
    let invalid = (KEY, Some(Reason::ApiKeyInvalid));
    for value in [
        "abc",
        SIGNED,
        "Bearer sk-1",
        "sk-1, sk-2",
        "sk-\"",
        "sk-é",
        " x",
    ] {
        assert_eq!(way(&chain, &[("X-IAM-Key", value)]), invalid, "{value}");
    }
    let long = format!("sk-{}", "x".repeat(LONGEST_KEY));
    assert_eq!(way(&chain, &[("X-IAM-Key", &long)]), invalid);
    let missing = (None, Some(Reason::CredentialsMissing));
    assert_eq!(way(&chain, &[("X-IAM-Key", "")]), missing);
    assert_eq!(way(&chain, &[("X_IAM_Key", "sk-1")]), missing);
}

#[test]
fn a_key_where_tokens_stand_counts_only_where_the_settings_say_so() {
    let mut chain = chain(true, true);
    if let Some(keys) = &mut chain.keys {
        keys.bearer = false;
    }
    let missing = (None, Some(Reason::CredentialsMissing));
    assert_eq!(
        way_of(&chain, "sk-1"),
        missing,
        "and nobody else is shown it"
    );
    assert_eq!(way(&chain, &[("X-IAM-Key", "sk-1")]), (KEY, None));
}

#[test]
fn two_credentials_are_refused_and_one_that_stands_twice_is_one() {
    let chain = chain(true, true);
    let both = |key: &str, token: &str| {
        let [(name, value)] = bearer(token);
        way(&chain, &[("X-IAM-Key", key), (name, &value)])
    };
    let refused = (None, Some(Reason::TokenMalformed));
    assert_eq!(both("sk-1", "sk-2"), refused);
    assert_eq!(both("sk-1", SIGNED), refused);
    assert_eq!(both("sk-1", "sk-1"), (KEY, None));
    for name in ["Authorization", "X-IAM-Key"] {
        let twice = [(name, "sk-1"), (name, "sk-2")];
        assert_eq!(way(&chain, &twice), refused, "{name}");
    }
}

#[test]
fn another_scheme_is_for_somebody_else() {
    let chain = chain(true, true);
    let basic = ("Authorization", "Basic eDp5");
    let missing = (None, Some(Reason::CredentialsMissing));
    assert_eq!(way(&chain, &[basic]), missing);
    assert_eq!(way(&chain, &[basic, ("X-IAM-Key", "sk-1")]), (KEY, None));
}

#[test]
fn the_cookie_counts_where_no_field_holds_anything() {
    let chain = chain(true, true);
    let cookie = format!("a=1; access_token={SIGNED}");
    let cookie = ("Cookie", &*cookie);
    assert_eq!(way(&chain, &[cookie]).0, JWT);
    assert_eq!(way(&chain, &[cookie, ("X-IAM-Key", "sk-1")]), (KEY, None));
    let [(name, value)] = bearer("abc");
    assert_eq!(way(&chain, &[cookie, (name, &value)]), (OPAQUE, None));
    let methods = Methods {
        jwt: false,
        ..Methods::ALL
    };
    let missing = (None, Some(Reason::CredentialsMissing));
    assert_eq!(way_in(&chain, &[cookie], methods), missing);
}
