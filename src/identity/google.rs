//! Calls to services on Google's platform: identity tokens for an audience, made with a service account's key, or by the
//! metadata server of the machine. Other kinds of credentials (of users, of other clouds) are not taken.

use crate::base::{Error, Reason, clock};
use crate::gateway::query;
use crate::identity::jose::{Token, numeric_date};
use crate::identity::lease::{Fresh, PATIENCE};
use crate::net::fetch::{Fetch, Place, fetch};
use crate::net::{Client, Deadline, Resolver};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Where keys of service accounts are changed into tokens, unless the key's file says otherwise.
const TOKENS: &str = "https://oauth2.googleapis.com/token";
/// The machine's metadata.
const METADATA: &str = "metadata.google.internal";
/// How long an assertion is good, in seconds.
const ASSERTED: u64 = 3600;
/// Longest answer, and longest file.
const LIMIT: usize = 256 << 10;

/// A service account with its key.
pub struct ServiceAccount {
    email: String,
    key_id: String,
    tokens: String,
    key: RsaKeyPair,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

impl ServiceAccount {
    /// Reads what Google's console gives out.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it is repeated.
    pub fn read(file: &Value) -> Result<Self, &'static str> {
        let get = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default();
        if get("type") != "service_account" {
            return Err("these are no credentials of a service account");
        }
        let pem: String = get("private_key")
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD
            .decode(pem.trim())
            .map_err(|_| "\"private_key\" is no PEM")?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| "\"private_key\" is no RSA key")?;
        if get("client_email").is_empty() {
            return Err("\"client_email\" is missing");
        }
        let tokens = match get("token_uri") {
            "" => TOKENS,
            uri => uri,
        };
        Ok(Self {
            email: get("client_email").to_owned(),
            key_id: get("private_key_id").to_owned(),
            tokens: tokens.to_owned(),
            key,
        })
    }

    /// What the account says to get a token for an audience (RFC 7523).
    fn assertion(
        &self,
        audience: &str,
        custom: &Map<String, Value>,
        now: u64,
    ) -> Result<String, Error> {
        let mut claims = custom.clone();
        let own = json!({"iss": self.email, "sub": self.email, "aud": self.tokens, "iat": now,
            "exp": now + ASSERTED, "target_audience": audience});
        claims.extend(own.as_object().cloned().unwrap_or_default());
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut text = format!("{}.{}", part(&header), part(&Value::Object(claims)));
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            text.as_bytes(),
            &mut signature,
        );
        signed.map_err(|_| none("the key of the service account does not sign"))?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut text);
        Ok(text)
    }
}

/// Where identity tokens come from, and for whom they are.
pub struct Source {
    /// The client for Google's services.
    pub client: Arc<Client>,
    /// Names of hosts.
    pub resolver: Resolver,
    /// Variables of the environment.
    pub environment: crate::identity::aws::Environment,
    /// Whom the tokens are for.
    pub audience: String,
    /// Further claims of the assertion.
    pub claims: Map<String, Value>,
    /// The account of the configuration, if it names one.
    pub account: Option<ServiceAccount>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("audience", &self.audience)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

fn none(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Reason::BackendTokenUnavailable, text)
}

impl Source {
    /// Fetches a token: of the configuration's account, else of the one that `GOOGLE_APPLICATION_CREDENTIALS` names,
    /// else of the machine's.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fetch(&self) -> Result<Fresh<HeaderValue>, Error> {
        let path =
            (self.environment)("GOOGLE_APPLICATION_CREDENTIALS").filter(|path| !path.is_empty());
        let token = match (&self.account, path) {
            (Some(account), _) => self.exchanged(account).await?,
            (None, Some(path)) => {
                let account = from_file(&path).await?;
                self.exchanged(&account).await?
            }
            (None, None) => self.of_machine().await?,
        };
        proof(&token)
    }

    /// Changes an assertion into a token.
    async fn exchanged(&self, account: &ServiceAccount) -> Result<String, Error> {
        let now = clock::since_epoch().as_secs();
        let assertion = account.assertion(&self.audience, &self.claims, now)?;
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let mut pairs = [
            (b"grant_type"[..].into(), grant.as_bytes().into()),
            (b"assertion"[..].into(), assertion.as_bytes().into()),
        ];
        let body = Bytes::from(query::encode(&mut pairs));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let answer = self
            .ask(
                Method::POST,
                &account.tokens,
                &[(CONTENT_TYPE, form)],
                Some(body),
            )
            .await?;
        let value: Value = serde_json::from_str(&answer)
            .map_err(|_| none("the answer of the token service is no JSON"))?;
        let token = value.get("id_token").and_then(Value::as_str);
        token
            .map(str::to_owned)
            .ok_or_else(|| none("the token service's answer holds no token"))
    }

    async fn of_machine(&self) -> Result<String, Error> {
        let told = (self.environment)("GCE_METADATA_HOST").filter(|host| !host.is_empty());
        let host = told.as_deref().unwrap_or(METADATA);
        let mut audience = String::new();
        query::push_form(&mut audience, self.audience.as_bytes());
        let path = "computeMetadata/v1/instance/service-accounts/default/identity";
        let url = format!("http://{host}/{path}?audience={audience}&format=full");
        let flavor = (
            HeaderName::from_static("metadata-flavor"),
            HeaderValue::from_static("Google"),
        );
        self.ask(Method::GET, &url, &[flavor], None).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        fields: &[(HeaderName, HeaderValue)],
        body: Option<Bytes>,
    ) -> Result<String, Error> {
        let place = Place::parse(url, &self.resolver);
        let place =
            place.map_err(|why| none(format!("the token service's address is no URL: {why}")))?;
        let request = Fetch {
            method,
            fields,
            body,
            deadline: Deadline::after(PATIENCE),
            limit: LIMIT,
        };
        let answer = fetch(&self.client, &place, request).await;
        let answer = answer
            .map_err(|error| none(format!("{} cannot be asked: {}", place.host(), error.text)))?;
        if !answer.status.is_success() {
            return Err(none(format!(
                "{} answered {}",
                place.host(),
                answer.status.as_u16()
            )));
        }
        String::from_utf8(answer.body.into()).map_err(|_| none("the token is no text"))
    }
}

async fn from_file(path: &str) -> Result<ServiceAccount, Error> {
    let unread = || none("the file of GOOGLE_APPLICATION_CREDENTIALS cannot be read");
    let length = tokio::fs::metadata(path).await.map_err(|_| unread())?.len();
    if length > LIMIT as u64 {
        return Err(unread());
    }
    let text = tokio::fs::read(path).await.map_err(|_| unread())?;
    let value: Value = serde_json::from_slice(&text).map_err(|_| unread())?;
    ServiceAccount::read(&value).map_err(none)
}

/// The field's value, and how long it is good: as long as the token says.
fn proof(token: &str) -> Result<Fresh<HeaderValue>, Error> {
    let token = token.trim();
    let claims = Token::parse(token.as_bytes()).and_then(|parsed| parsed.claims());
    let ends = claims.and_then(|claims| numeric_date(&claims, "exp"));
    let Ok(Some(ends)) = ends else {
        return Err(none("what came is no identity token"));
    };
    let ends = Duration::from_secs(u64::try_from(ends).unwrap_or(0));
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| none("the token is no field value"))?;
    value.set_sensitive(true);
    Ok(Fresh {
        value,
        life: Some(ends.saturating_sub(clock::since_epoch())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    /// What the console gives out, and the public key that belongs to it.
    fn console() -> (Value, Vec<u8>) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let text = STANDARD.encode(der.as_ref());
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n{}\n-----END PRIVATE KEY-----\n",
            &text[..64],
            &text[64..]
        );
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        let file = json!({"type": "service_account", "client_email": "a@b", "private_key_id": "k1", "private_key": pem});
        (file, public.as_ref().to_vec())
    }

    #[test]
    fn an_assertion_names_its_account_and_is_signed_by_it() {
        let (file, public) = console();
        let account = ServiceAccount::read(&file).unwrap();
        let custom = json!({"role": "x", "aud": "overwritten"})
            .as_object()
            .cloned()
            .unwrap();
        let text = account.assertion("https://service", &custom, 1000).unwrap();
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!(token.kid(), Some("k1"));
        let claims: Value = serde_json::from_slice(token.payload()).unwrap();
        assert_eq!(
            claims,
            json!({"iss": "a@b", "sub": "a@b", "aud": TOKENS, "iat": 1000, "exp": 4600,
            "target_audience": "https://service", "role": "x"})
        );
        let (input, _) = text.rsplit_once('.').unwrap();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
        assert!(key.verify(input.as_bytes(), token.signature()).is_ok());
        assert!(!format!("{account:?}").contains("k1"));
    }

    #[test]
    fn what_is_no_service_account_is_told_without_repeating_it() {
        let (good, _) = console();
        for (key, value) in [
            ("type", json!("authorized_user")),
            ("private_key", json!("S3CRET")),
            ("private_key", json!("UzNDUkVU")),
            ("client_email", json!(null)),
        ] {
            let mut wrong = good.clone();
            wrong[key] = value;
            let why = ServiceAccount::read(&wrong).unwrap_err();
            assert!(!why.contains("S3CRET"), "{why}");
        }
    }

    #[test]
    fn a_token_is_good_as_long_as_it_says() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let made = |claims: &str| {
            format!(
                "{}.{}.{}",
                part(r#"{"alg":"RS256"}"#),
                part(claims),
                part("s")
            )
        };
        let fresh = proof(&made(r#"{"exp":4102444800}"#)).unwrap();
        assert!(fresh.value.is_sensitive() && fresh.life.unwrap() > Duration::from_secs(1 << 20));
        assert_eq!(
            proof(&made(r#"{"exp":1}"#)).unwrap().life,
            Some(Duration::ZERO)
        );
        for bad in ["", "junk", &made("{}"), &made(r#"{"exp":"x"}"#)] {
            assert!(proof(bad).is_err(), "{bad}");
        }
    }
}
