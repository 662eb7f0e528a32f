//! What settings of tokens become in the two dialects.

use super::*;
use serde_json::{Value, json};

fn read(value: &Value, dialect: Dialect) -> (TokensRead, Report) {
    let mut report = Report::default();
    let mut settings = Settings::new(value, "/v", &mut report);
    let read = read_tokens(&mut settings, dialect, TokenDefaults::VALIDATOR);
    (read, report)
}

fn good(value: &Value, dialect: Dialect) -> Tokens {
    match read(value, dialect) {
        (TokensRead::Good(tokens), _) => *tokens,
        (_, report) => panic!("{:?}", report.problems),
    }
}

fn with(more: Value) -> Value {
    let mut settings = json!({"alg": "RS256", "jwk_url": "https://id.test/keys"});
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    settings
}

/// The places of the errors, which must have hints.
fn errors(value: &Value, dialect: Dialect) -> Vec<String> {
    let (read, report) = read(value, dialect);
    let errors = report
        .problems
        .iter()
        .filter(|p| p.severity == Severity::Error);
    let places: Vec<_> = errors.map(|p| p.pointer.clone()).collect();
    assert_eq!(matches!(read, TokensRead::Refused), !places.is_empty());
    if dialect == Dialect::Native {
        let told = |p: &Problem| p.hint.is_some() || p.code != Code::BadValue;
        assert!(report.problems.iter().all(told), "{:?}", report.problems);
    }
    places
}

#[test]
fn the_defaults_are_krakends() {
    let tokens = good(&with(json!({})), Dialect::Krakend);
    assert_eq!(tokens.rules.leeway, Duration::from_secs(1));
    assert_eq!(tokens.rules.audience_match, Match::All);
    assert!(!tokens.rules.expiry_required);
    assert!(tokens.access.is_open());
    assert_eq!(tokens.bearer.field().as_str(), "authorization");
    let tokens = good(&json!({"jwk_url": "https://id.test/keys"}), Dialect::Native);
    assert_eq!(tokens.rules.algorithm, Algorithm::Rs256);
    assert!(tokens.rules.expiry_required);
}

#[test]
fn leeway_is_a_second_at_least_in_krakends_dialect_only() {
    for (written, native, krakend) in [
        ("500ms", 500, 1000),
        ("0s", 0, 1000),
        ("1m", 60_000, 60_000),
    ] {
        let leeway = |dialect| {
            let tokens = good(&with(json!({"leeway": written})), dialect);
            tokens.rules.leeway.as_millis()
        };
        assert_eq!(leeway(Dialect::Native), native, "{written}");
        assert_eq!(leeway(Dialect::Krakend), krakend, "{written}");
    }
    let odd = with(json!({"leeway": "soon"}));
    let tokens = good(&odd, Dialect::Krakend);
    assert_eq!(tokens.rules.leeway, Duration::from_secs(1));
    assert_eq!(errors(&odd, Dialect::Native), ["/v/leeway"]);
}

#[test]
fn settings_that_cannot_work_refuse_the_file_with_their_place() {
    for (settings, place) in [
        (json!({"alg": "FOO"}), "/v/alg"),
        (json!({"alg": "none"}), "/v/alg"),
        (json!({"alg": "rs256"}), "/v/alg"),
        (json!({"jwk_url": "http://id.test/keys"}), "/v/jwk_url"),
        (json!({"jwk_url": "ftp://id.test/keys"}), "/v/jwk_url"),
        (json!({"jwk_url": "id.test"}), "/v/jwk_url"),
        (json!({"jwk_url": ""}), "/v"),
        (
            json!({"cache": true, "jwk_local_path": "k.json"}),
            "/v/cache",
        ),
        (json!({"audience": {"a": {}}}), "/v/audience"),
        (json!({"audience_match": "some"}), "/v/audience_match"),
        (json!({"scopes": ["a"]}), "/v/scopes"),
        (
            json!({"scopes": ["a"], "scopes_key": "s", "scopes_matcher": "each"}),
            "/v/scopes_matcher",
        ),
        (
            json!({"roles_key_is_nested": "maybe"}),
            "/v/roles_key_is_nested",
        ),
        (json!({"propagate_claims": "sub"}), "/v/propagate_claims"),
        (
            json!({"propagate_claims": ["sub"]}),
            "/v/propagate_claims/0",
        ),
        (
            json!({"propagate_claims": [["a", 5]]}),
            "/v/propagate_claims/0",
        ),
        (
            json!({"propagate_claims": [["a", "X-A"], ["a", "Host"]]}),
            "/v/propagate_claims/1/1",
        ),
        (
            json!({"propagate_claims": [["a", "X A"]]}),
            "/v/propagate_claims/0/1",
        ),
        (
            json!({"key_identify_strategy": "x"}),
            "/v/key_identify_strategy",
        ),
        (json!({"auth_header_name": "a b"}), "/v/auth_header_name"),
        (json!({"cache_duration": -1}), "/v/cache_duration"),
        (json!({"cipher_suites": [70000]}), "/v/cipher_suites"),
        (json!({"cipher_suites": [5]}), "/v/cipher_suites"),
        (
            json!({"failed_jwk_key_cooldown": "x"}),
            "/v/failed_jwk_key_cooldown",
        ),
    ] {
        assert_eq!(
            errors(&with(settings.clone()), Dialect::Native),
            [place],
            "{settings}"
        );
    }
}

#[test]
fn krakend_ends_lets_nobody_in_or_does_not_mind() {
    let krakend = |settings: Value| read(&with(settings), Dialect::Krakend).0;
    for settings in [
        json!({"alg": "FOO"}),
        json!({"alg": null}),
        json!({"cache": true, "jwk_local_path": "k.json"}),
    ] {
        let read = krakend(settings.clone());
        assert!(matches!(read, TokensRead::Refused), "{settings}");
    }
    for settings in [
        json!({"jwk_url": "http://id.test/keys"}),
        json!({"jwk_url": null}),
        json!({"jwk_url": null, "jwk_local_path": "k.json"}),
        json!({"audience": [{}]}),
        json!({"propagate_claims": "sub"}),
        json!({"cache_duration": -1}),
        json!({"roles": [["a"]], "alg": "FOO"}),
    ] {
        let (read, report) = read(&with(settings.clone()), Dialect::Krakend);
        assert!(matches!(read, TokensRead::Off), "{settings}");
        assert_eq!(report.errors(), 0, "{settings}");
        assert!(!report.problems.is_empty(), "{settings}");
    }
    for settings in [
        json!({"scopes": ["a"]}),
        json!({"scopes_matcher": "each", "key_identify_strategy": "x"}),
        json!({"propagate_claims": [["a", "Host"], ["a"], ["a", "b", "c"]]}),
        json!({"failed_jwk_key_cooldown": "x"}),
        json!({"jwk_url": "http://id.test/keys", "disable_jwk_security": true}),
        json!({"ALG": "HS256"}),
    ] {
        let read = krakend(settings.clone());
        assert!(matches!(read, TokensRead::Good(_)), "{settings}");
    }
}

#[test]
fn scopes_without_a_key_are_not_looked_at_in_krakends_dialect() {
    let tokens = good(&with(json!({"scopes": ["a"]})), Dialect::Krakend);
    assert!(tokens.access.is_open());
}

#[test]
fn a_file_of_keys_needs_no_address() {
    let settings = json!({"alg": "RS256", "jwk_local_path": "no/such/file"});
    let tokens = good(&settings, Dialect::Native);
    let mut report = Report::default();
    let mut s = Settings::new(&settings, "/v", &mut report);
    let made = tokens.verifier(&mut s, &Env::default(), &Naming::default());
    assert!(made.is_none());
    assert_eq!(report.problems[0].pointer, "/v/jwk_local_path");
    assert!(report.problems[0].hint.is_some());
}

#[test]
fn the_same_settings_share_a_verifier_and_others_do_not() {
    let env = Env::default();
    let make = |settings: Value| {
        let settings = with(settings);
        let tokens = good(&settings, Dialect::Native);
        let mut report = Report::default();
        let mut s = Settings::new(&settings, "/v", &mut report);
        tokens.verifier(&mut s, &env, &Naming::default()).unwrap()
    };
    let one = make(json!({"roles": ["a"]}));
    let two = make(json!({"roles": ["b"], "cookie_key": "t"}));
    assert!(Arc::ptr_eq(&one.verifier, &two.verifier));
    assert!(Arc::ptr_eq(&one.task.unwrap(), &two.task.unwrap()));
    for other in [
        json!({"issuer": "me"}),
        json!({"audience": ["a"]}),
        json!({"leeway": "2s"}),
        json!({"alg": "ES256"}),
        json!({"jwk_url": "https://id.test/other"}),
        json!({"propagate_claims": [["sub", "X-A"]]}),
        json!({"key_identify_strategy": "x5t"}),
        json!({"disable_jwk_security": true}),
    ] {
        let other_made = make(other.clone());
        assert!(!Arc::ptr_eq(&one.verifier, &other_made.verifier), "{other}");
    }
}
