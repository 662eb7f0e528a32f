//! Calls to AWS: whose they are and how they prove it (Signature Version 4).
//!
//! Credentials are looked for where AWS's own tools look: the environment, a web identity (EKS), the shared files'
//! static keys, the container's agent (ECS, EKS pod identity), the machine's metadata (IMDSv2). Not: single sign-on,
//! processes that print credentials, and profiles that name roles; a role is taken by `assume_role_arn`.

mod chain;
mod sts;

pub use chain::Environment;

use crate::base::{Error, Reason};
use crate::identity::lease::{Fetching, Fresh, Lease, Rules};
use crate::net::{Client, Deadline, Resolver};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Credentials are not used so shortly before their end, and fetched anew long before.
const RULES: Rules = Rules {
    margin: Duration::from_secs(60),
    eager: true,
};

/// How credentials are found, and whom to ask for a role.
pub struct Source {
    /// The client for AWS's services.
    pub client: Arc<Client>,
    /// Names of hosts.
    pub resolver: Resolver,
    /// Variables of the environment.
    pub environment: Environment,
    /// The role to take, if not the finder's own.
    pub role: Option<String>,
    /// The region of the token service.
    pub region: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("role", &self.role)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Credentials as they are held; what outlives a reload.
#[derive(Debug)]
pub struct Keys {
    own: Arc<Lease<Credentials>>,
    role: Arc<Lease<Credentials>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            own: Arc::new(Lease::new(RULES)),
            role: Arc::new(Lease::new(RULES)),
        }
    }
}

/// Somebody who may call AWS.
#[derive(Clone, Debug)]
pub struct Account {
    source: Arc<Source>,
    keys: Arc<Keys>,
}

impl Account {
    /// Nothing is fetched yet.
    pub fn new(source: Source, keys: Arc<Keys>) -> Self {
        Self {
            source: Arc::new(source),
            keys,
        }
    }

    /// The credentials, if they are at hand; renews old ones beside.
    pub fn held(&self) -> Option<Credentials> {
        let held = self.lease().held()?;
        if held.is_old() {
            self.lease().renew(|| self.fetch());
        }
        Some(held.value.clone())
    }

    /// The credentials, waited for if need be.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn credentials(&self, deadline: Deadline) -> Result<Credentials, Error> {
        let got = self.lease().get(deadline, || self.fetch()).await?;
        Ok(got.value.clone())
    }

    fn lease(&self) -> &Arc<Lease<Credentials>> {
        match self.source.role {
            Some(_) => &self.keys.role,
            None => &self.keys.own,
        }
    }

    fn fetch(&self) -> Fetching<Credentials> {
        let account = self.clone();
        Box::pin(async move {
            let brought = match &account.source.role {
                None => chain::find(&account.source).await,
                Some(role) => account.assume(role).await,
            };
            brought.inspect_err(|error| log::warn!("no credentials for AWS: {}", error.text))
        })
    }

    /// Takes a role with the credentials that were found.
    async fn assume(&self, role: &str) -> Result<Fresh<Credentials>, Error> {
        let source = Arc::clone(&self.source);
        let find =
            || -> Fetching<Credentials> { Box::pin(async move { chain::find(&source).await }) };
        let own = match self.keys.own.held().filter(|held| !held.is_old()) {
            Some(own) => own,
            None => {
                self.keys
                    .own
                    .get(Deadline::after(crate::identity::lease::PATIENCE), find)
                    .await?
            }
        };
        sts::assume(&self.source, role, &own.value).await
    }
}

fn none(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Reason::BackendTokenUnavailable, text)
}

/// What is signed of a request.
#[derive(Debug)]
pub struct Signable<'r> {
    /// Method.
    pub method: &'r str,
    /// The whole URL as it is called.
    pub url: &'r str,
    /// Fields; those that nobody changes on the way are signed: the type of the body, and AWS's own.
    pub fields: &'r [(HeaderName, HeaderValue)],
    /// The body.
    pub body: &'r [u8],
}

/// Where and what is called.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    /// The region.
    pub region: &'s str,
    /// The service's name for signatures.
    pub service: &'s str,
}

/// Fields that a signature brings; a caller's own by these names mean nothing.
pub fn brings(name: &HeaderName) -> bool {
    let ours = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
    *name == AUTHORIZATION || ours.contains(&name.as_str())
}

/// The fields that prove whose request this is.
///
/// # Errors
/// When it cannot be signed: its URL is none.
pub fn signature(
    request: &Signable<'_>,
    scope: Scope<'_>,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let identity = credentials.clone().into();
    let mut settings = SigningSettings::default();
    // Object stores take paths as they are, and want to know the body's digest beforehand.
    if scope.service.starts_with("s3") {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|_| failed("its scope"))?
        .into();
    let signed = request
        .fields
        .iter()
        .filter(|(name, _)| signs(name))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let own_host = request.fields.iter().any(|(name, _)| *name == HOST);
    let host = (!own_host).then(|| ("host", host(request.url)));
    let body = SignableBody::Bytes(request.body);
    let signable = SignableRequest::new(request.method, request.url, signed.chain(host), body);
    let signable = signable.map_err(|_| failed("its URL"))?;
    let output = sign(signable, &params).map_err(|_| failed("its fields"))?;
    let (instructions, _) = output.into_parts();
    let (fields, _) = instructions.into_parts();
    let mut out = Vec::with_capacity(fields.len());
    for field in fields {
        let mut value =
            HeaderValue::from_str(field.value()).map_err(|_| failed("its credentials"))?;
        value
            .set_sensitive(field.sensitive() || field.name().eq_ignore_ascii_case("authorization"));
        out.push((HeaderName::from_static(field.name()), value));
    }
    Ok(out)
}

fn failed(what: &str) -> Error {
    none(format!("a call to AWS cannot be signed because of {what}"))
}

fn signs(name: &HeaderName) -> bool {
    *name == HOST || *name == CONTENT_TYPE || (name.as_str().starts_with("x-amz-") && !brings(name))
}

/// Host and port of a URL, as written.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
