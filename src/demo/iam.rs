//! The identity service of the demo: signs people in with tokens that are real (RS256, a key made at
//! the start, published as a JWK set), validates API keys and introspects tokens (RFC 7662). All
//! three ways in of the gateway lead to the same kind of person: subject, organisation, scopes, tier. It rotates its
//! keys, revokes, fails and falls silent when it is told to.

use super::message::{Answer, Request};
use super::others::echo;
use super::{KEYS, OPAQUE_TOKEN, PASSWORD};
use crate::base::clock;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// What the shipped configuration expects in `iss` and `aud`.
const ISSUER: &str = "https://iam.hanzo.ai";
const AUDIENCES: [&str; 2] = ["https://api.hanzo.ai", "https://api.lux.network"];
/// Seconds that a token lives.
const LIFE: u64 = 3600;
const SCOPES: &str = "openid profile api kms:read";
/// Bytes before the PKCS #1 key in the PKCS #8 form of a 2048-bit RSA key: a sequence with a length
/// of two bytes (4), version 0 (3), the algorithm (15), an octet string with such a length (4).
const PKCS8_PREFIX: usize = 26;

/// The service.
pub struct Iam {
    keys: RwLock<Keys>,
    moods: Mutex<Moods>,
    asked: Mutex<HashMap<String, u64>>,
}

/// The key that signs, and those that are published.
struct Keys {
    signing: Key,
    published: Vec<(Jwk, DecodingKey)>,
    made: u32,
}

struct Key {
    id: String,
    private: EncodingKey,
}

/// How the service behaves; on demand, for those who want to see what the gateway makes of it.
#[derive(Default)]
struct Moods {
    /// How late it answers, by path.
    late: HashMap<String, Duration>,
    /// The status that it answers everything with.
    fails: Option<u16>,
    /// Keys and tokens that are good no more.
    revoked: HashSet<String>,
    /// Whom introspection answers: name and secret.
    client: Option<(String, String)>,
}

/// Somebody, as tokens, keys and introspection describe them.
struct Person<'a> {
    subject: &'a str,
    org: &'a str,
    scope: &'a str,
    tier: &'a str,
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iam")
    }
}

fn fresh_key(number: u32) -> io::Result<(Key, Jwk, DecodingKey)> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(io::Error::other)?;
    let pkcs8 = pair.as_der().map_err(io::Error::other)?;
    // jsonwebtoken signs with PKCS #1; a wrong cut is refused on the next line but one.
    let pkcs1 = pkcs8.as_ref().get(PKCS8_PREFIX..).unwrap_or_default();
    let private = EncodingKey::from_rsa_der(pkcs1);
    let jwk = Jwk::from_encoding_key(&private, Algorithm::RS256);
    let mut jwk = jwk.map_err(io::Error::other)?;
    let id = format!("demo-{number}");
    jwk.common.key_id = Some(id.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    let public = DecodingKey::from_jwk(&jwk).map_err(io::Error::other)?;
    Ok((Key { id, private }, jwk, public))
}

impl Iam {
    /// Makes the key, which takes up to a second.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> io::Result<Self> {
        let (signing, jwk, public) = fresh_key(1)?;
        Ok(Self {
            keys: RwLock::new(Keys {
                signing,
                published: vec![(jwk, public)],
                made: 1,
            }),
            moods: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// Publishes a new key and signs with it from now on; the old ones stay published, or go.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn rotate(&self, keep_old: bool) -> io::Result<()> {
        let number = self.keys().made + 1;
        let (signing, jwk, public) = fresh_key(number)?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if !keep_old {
            keys.published.clear();
        }
        keys.published.push((jwk, public));
        keys.signing = signing;
        keys.made = number;
        Ok(())
    }

    /// Answers a path so much later from now on.
    pub fn delay(&self, path: &str, by: Duration) {
        self.moods().late.insert(path.to_owned(), by);
    }

    /// Answers everything with this status from now on; `None` for as it should be.
    pub fn fail(&self, status: Option<u16>) {
        self.moods().fails = status;
    }

    /// An API key or a token is good no more.
    pub fn revoke(&self, credential: &str) {
        self.moods().revoked.insert(credential.to_owned());
    }

    /// Introspection answers only who shows this name and secret.
    pub fn require_client(&self, id: &str, secret: &str) {
        self.moods().client = Some((id.to_owned(), secret.to_owned()));
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> u64 {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(path).copied().unwrap_or(0)
    }

    /// A token of somebody in organisation `hanzo`, with these scopes.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token_for(&self, subject: &str, scope: &str) -> io::Result<String> {
        let token = self.token(&Person {
            subject,
            org: "hanzo",
            scope,
            tier: "developer",
        });
        token.map_err(io::Error::other)
    }

    /// A token that says what it is told to.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, claims: &Value) -> io::Result<String> {
        let keys = self.keys();
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(keys.signing.id.clone());
        encode(&header, claims, &keys.signing.private).map_err(io::Error::other)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn moods(&self) -> MutexGuard<'_, Moods> {
        self.moods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // Paths are chosen by whoever asks.
        if asked.len() < 1000 || asked.contains_key(&request.path) {
            *asked.entry(request.path.clone()).or_default() += 1;
        }
        drop(asked);
        let (fails, late) = {
            let moods = self.moods();
            (moods.fails, moods.late.get(&request.path).copied())
        };
        let mut answer = match fails {
            Some(status) => refuse(status, "server_error", "on demand"),
            None => self.sound(request),
        };
        answer.after = late.unwrap_or_default();
        answer
    }

    fn sound(&self, request: &Request) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/login" | "/signup" | "/token") => self.login(request),
            ("POST", "/api/validate-key") => self.validate_key(request),
            ("POST", "/introspect") => self.introspect(request),
            ("POST", "/logout" | "/revoke") => {
                if let Some(token) = fields(request)["token"].as_str() {
                    self.revoke(token);
                }
                Answer::json(200, &json!({"ok": true}))
            }
            (_, "/.well-known/jwks" | "/.well-known/jwks.json") => self.jwks(),
            (
                _,
                "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server",
            ) => Answer::json(200, &discovery()),
            ("GET" | "POST", "/userinfo") => self.userinfo(request),
            ("GET", "/api/keys") => {
                let keys = KEYS.map(|(key, tier)| json!({"prefix": key.get(..14), "tier": tier}));
                Answer::json(200, &json!({"keys": keys}))
            }
            _ => Answer::json(200, &echo("iam", request)),
        }
    }

    fn login(&self, request: &Request) -> Answer {
        let fields = fields(request);
        let name = fields["username"].as_str().unwrap_or_default();
        if name.is_empty() {
            return refuse(400, "invalid_request", "username and password are needed");
        }
        if fields["password"] != PASSWORD {
            return refuse(401, "invalid_grant", "wrong password");
        }
        let tier = fields["tier"].as_str().unwrap_or("developer");
        if !KEYS.iter().any(|(_, known)| *known == tier) {
            return refuse(400, "invalid_request", "no such tier");
        }
        let person = Person {
            subject: name,
            org: fields["org"].as_str().unwrap_or("hanzo"),
            scope: fields["scope"].as_str().unwrap_or(SCOPES),
            tier,
        };
        match self.token(&person) {
            Ok(token) => Answer::json(
                200,
                &json!({"access_token": token, "token_type": "Bearer", "expires_in": LIFE,
                    "scope": person.scope}),
            ),
            Err(_) => refuse(500, "server_error", "signing failed"),
        }
    }

    fn token(&self, person: &Person<'_>) -> io::Result<String> {
        let now = clock::since_epoch().as_secs();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCES, "sub": person.subject, "org": person.org,
            "scope": person.scope, "tier": person.tier, "iat": now, "nbf": now, "exp": now + LIFE,
            "jti": format!("{:032x}", fastrand::u128(..)),
        });
        self.sign(&claims)
    }

    /// The claims of one of our tokens, if it is one and still good.
    fn claims(&self, token: &str) -> Option<Value> {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&AUDIENCES);
        rules.set_issuer(&[ISSUER]);
        if self.moods().revoked.contains(token) {
            return None;
        }
        let keys = self.keys();
        let mut all = keys.published.iter();
        all.find_map(|(_, public)| decode::<Value>(token, public, &rules).ok())
            .map(|data| data.claims)
    }

    /// Whether somebody may introspect: by `Authorization` or by fields of the form.
    fn is_client(&self, request: &Request, fields: &Value) -> bool {
        let moods = self.moods();
        let Some((id, secret)) = &moods.client else {
            return true;
        };
        let shown = request.header("authorization").unwrap_or_default();
        let shown = shown.strip_prefix("Basic ").unwrap_or_default();
        let shown = STANDARD.decode(shown).unwrap_or_default();
        let shown = String::from_utf8_lossy(&shown);
        let (name, word) = shown.split_once(':').unwrap_or_default();
        let basic = unescape(name) == *id && unescape(word) == *secret;
        basic || (fields["client_id"] == **id && fields["client_secret"] == **secret)
    }

    fn introspect(&self, request: &Request) -> Answer {
        let fields = fields(request);
        if !self.is_client(request, &fields) {
            return refuse(401, "invalid_client", "who is asking?");
        }
        let token = fields["token"].as_str().unwrap_or_default();
        if token == OPAQUE_TOKEN && !self.moods().revoked.contains(token) {
            let now = clock::since_epoch().as_secs();
            let answer = json!({"active": true, "sub": "third-party", "org": "partner",
                "scope": "api", "tier": "free", "client_id": "partner-app", "iss": ISSUER,
                "aud": AUDIENCES, "token_type": "Bearer", "iat": now, "exp": now + LIFE});
            return Answer::json(200, &answer);
        }
        let Some(mut claims) = self.claims(token) else {
            return Answer::json(200, &json!({"active": false}));
        };
        claims["active"] = json!(true);
        claims["token_type"] = json!("Bearer");
        Answer::json(200, &claims)
    }

    fn jwks(&self) -> Answer {
        let keys = self.keys();
        let keys = keys.published.iter().map(|(jwk, _)| jwk.clone()).collect();
        match serde_json::to_value(JwkSet { keys }) {
            Ok(keys) => Answer::json(200, &keys),
            Err(_) => refuse(500, "server_error", "the key cannot be shown"),
        }
    }

    fn validate_key(&self, request: &Request) -> Answer {
        let fields = fields(request);
        let revoked = &self.moods().revoked;
        let mut known = KEYS.iter().filter(|(key, _)| !revoked.contains(*key));
        let known = known.find(|(key, _)| fields["key"] == *key);
        let answer = match known {
            Some((_, tier)) => json!({"valid": true, "user_id": format!("user-{tier}"),
                "org_id": format!("org-{tier}"), "tier": tier,
                "scopes": SCOPES.split(' ').collect::<Vec<_>>()}),
            None => json!({"valid": false}),
        };
        Answer::json(200, &answer)
    }

    /// About the bearer of a token, or about whom the gateway says that it let in.
    fn userinfo(&self, request: &Request) -> Answer {
        let bearer = request.header("authorization").unwrap_or_default();
        let token = bearer.split_once(' ').map_or("", |(_, token)| token);
        let (subject, org) = match self.claims(token) {
            Some(claims) => (claims["sub"].clone(), claims["org"].clone()),
            None => match request.header("x-user-id") {
                Some(user) => (json!(user), json!(request.header("x-org-id"))),
                None => return refuse(401, "invalid_token", "a token is needed"),
            },
        };
        Answer::json(200, &json!({"sub": subject, "org": org, "name": subject}))
    }
}

/// OpenID Connect discovery. Its addresses are those that clients use, on the gateway.
fn discovery() -> Value {
    let at = |path: &str| format!("https://api.hanzo.ai/v1/auth{path}");
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/userinfo"),
        "introspection_endpoint": at("/introspect"),
        "revocation_endpoint": at("/revoke"),
        "jwks_uri": at("/.well-known/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": SCOPES.split(' ').collect::<Vec<_>>(),
    })
}

/// Fields of a JSON object or of a form.
fn fields(request: &Request) -> Value {
    if let Some(body) = request.json().filter(Value::is_object) {
        return body;
    }
    let text = String::from_utf8_lossy(&request.body);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (unescape(name), Value::from(unescape(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Undoes form encoding; what is no escape stays.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn refuse(status: u16, error: &str, description: &str) -> Answer {
    let body = json!({"error": error, "error_description": description});
    Answer::json(status, &body)
}

#[cfg(test)]
mod tests {
    use super::super::message::Body;
    use super::*;
    use std::sync::OnceLock;

    /// One key for all tests of this file.
    fn iam() -> &'static Iam {
        static IAM: OnceLock<Iam> = OnceLock::new();
        IAM.get_or_init(|| Iam::new().unwrap())
    }

    fn ask(method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = iam().answer(&Request {
            method: method.to_owned(),
            path: path.to_owned(),
            body: body.to_owned().into(),
            ..Request::default()
        });
        let Body::Full(body) = answer.body else {
            unreachable!("it never streams");
        };
        (answer.status, serde_json::from_slice(&body).unwrap())
    }

    fn token() -> String {
        let login = r#"{"username":"ada","password":"demo","tier":"team","org":"acme"}"#;
        let (status, answer) = ask("POST", "/login", login);
        assert_eq!(status, 200);
        answer["access_token"].as_str().unwrap().to_owned()
    }

    #[test]
    fn its_tokens_verify_against_the_published_keys() {
        let (_, keys) = ask("GET", "/.well-known/jwks", "");
        let keys: JwkSet = serde_json::from_value(keys).unwrap();
        let token = token();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = keys.find(&header.kid.unwrap()).unwrap();
        let key = DecodingKey::from_jwk(key).unwrap();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&["https://api.hanzo.ai"]);
        rules.set_issuer(&[ISSUER]);
        let claims = decode::<Value>(&token, &key, &rules).unwrap().claims;
        assert_eq!(claims["sub"], "ada");
        assert_eq!(claims["org"], "acme");
        assert_eq!(claims["tier"], "team");
        assert_eq!(claims["scope"], SCOPES);
    }

    #[test]
    fn publishes_no_private_part_of_its_key() {
        let (_, keys) = ask("GET", "/.well-known/jwks", "");
        let key = keys["keys"][0].as_object().unwrap();
        assert_eq!(key["kty"], "RSA");
        assert_eq!(key["kid"], "demo-1");
        let private = ["d", "p", "q", "dp", "dq", "qi"];
        assert!(private.iter().all(|part| !key.contains_key(*part)));
    }

    #[test]
    fn refuses_a_wrong_password_and_an_unknown_tier() {
        let (status, answer) = ask("POST", "/login", "username=ada&password=no");
        assert_eq!((status, &answer["error"]), (401, &json!("invalid_grant")));
        let (status, _) = ask("POST", "/login", "username=ada&password=demo&tier=gold");
        assert_eq!(status, 400);
        assert_eq!(ask("POST", "/login", "").0, 400);
    }

    #[test]
    fn signs_in_with_a_form_too() {
        let (_, answer) = ask("POST", "/token", "username=a%40b.c+d&password=demo");
        let token = answer["access_token"].as_str().unwrap();
        assert_eq!(iam().claims(token).unwrap()["sub"], "a@b.c d");
    }

    #[test]
    fn knows_the_keys_of_the_demo_and_no_other() {
        for (key, tier) in KEYS {
            let body = json!({"key": key}).to_string();
            let (_, answer) = ask("POST", "/api/validate-key", &body);
            assert_eq!(answer["valid"], true);
            assert_eq!(answer["tier"], tier);
            assert!(answer["user_id"].is_string() && answer["scopes"].is_array());
        }
        for body in [r#"{"key":"sk-hanzo-other"}"#, "{}", "no json"] {
            let (_, answer) = ask("POST", "/api/validate-key", body);
            assert_eq!(answer, json!({"valid": false}));
        }
    }

    #[test]
    fn introspects_its_own_tokens_and_the_opaque_one() {
        let (_, answer) = ask("POST", "/introspect", &format!("token={}", token()));
        assert_eq!(
            (&answer["active"], &answer["sub"]),
            (&json!(true), &json!("ada"))
        );
        let (_, answer) = ask("POST", "/introspect", &format!("token={OPAQUE_TOKEN}"));
        assert_eq!(answer["active"], true);
        let (_, answer) = ask("POST", "/introspect", "token=forged");
        assert_eq!(answer, json!({"active": false}));
    }

    #[test]
    fn signs_with_a_new_key_and_keeps_the_old_one_for_a_while() {
        let iam = Iam::new().unwrap();
        let old = iam.token_for("ada", "api").unwrap();
        iam.rotate(true).unwrap();
        let new = iam.token_for("ada", "api").unwrap();
        assert!(iam.claims(&old).is_some() && iam.claims(&new).is_some());
        iam.rotate(false).unwrap();
        assert!(iam.claims(&old).is_none() && iam.claims(&new).is_none());
    }

    #[test]
    fn forgets_what_was_revoked_and_answers_as_it_is_told() {
        let iam = Iam::new().unwrap();
        let ask = |path: &str, body: &str| {
            let answer = iam.answer(&Request {
                method: "POST".to_owned(),
                path: path.to_owned(),
                body: body.to_owned().into(),
                ..Request::default()
            });
            let Body::Full(body) = answer.body else {
                unreachable!("it never streams");
            };
            let body: Value = serde_json::from_slice(&body).unwrap();
            (answer.status, body, answer.after)
        };
        iam.revoke(OPAQUE_TOKEN);
        let (_, body, _) = ask("/introspect", &format!("token={OPAQUE_TOKEN}"));
        assert_eq!(body, json!({"active": false}));
        iam.require_client("gw", "s");
        assert_eq!(ask("/introspect", "token=x").0, 401);
        assert_eq!(
            ask("/introspect", "token=x&client_id=gw&client_secret=s").0,
            200
        );
        iam.delay("/api/validate-key", Duration::from_secs(9));
        iam.fail(Some(503));
        let (status, _, after) = ask("/api/validate-key", "{}");
        assert_eq!((status, after), (503, Duration::from_secs(9)));
        assert_eq!(iam.asked("/introspect"), 3);
    }

    #[test]
    fn does_not_believe_a_token_that_was_changed() {
        let mut token = token();
        let middle = token.find('.').unwrap() + 5;
        let other = if token.as_bytes()[middle] == b'A' {
            "B"
        } else {
            "A"
        };
        token.replace_range(middle..=middle, other);
        assert!(iam().claims(&token).is_none());
    }
}
