//! AWS's token service: credentials of a role, for those of somebody else or for a token of another identity provider.

use super::chain::credentials;
use super::{Scope, Signable, Source, none, signature};
use crate::base::Error;
use crate::gateway::query;
use crate::identity::lease::{Fresh, PATIENCE};
use crate::net::Deadline;
use crate::net::fetch::{Fetch, Place, fetch};
use aws_credential_types::Credentials;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use std::time::SystemTime;

/// What sessions are called in AWS's logs.
pub(super) const SESSION: &str = "hanzo-gateway";
/// Longest answer.
const LIMIT: usize = 256 << 10;
/// How long credentials are asked for, in seconds.
const LIFE: &str = "3600";

/// Takes a role.
pub(super) async fn assume(
    source: &Source,
    role: &str,
    own: &Credentials,
) -> Result<Fresh<Credentials>, Error> {
    let form = [
        ("Action", "AssumeRole"),
        ("RoleArn", role),
        ("RoleSessionName", SESSION),
        ("DurationSeconds", LIFE),
    ];
    ask(source, &form, Some(own)).await
}

/// Takes a role by a token that speaks for itself.
pub(super) async fn with_token(
    source: &Source,
    (role, session): (&str, &str),
    token: &str,
) -> Result<Fresh<Credentials>, Error> {
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token),
        ("DurationSeconds", LIFE),
    ];
    ask(source, &form, None).await
}

async fn ask(
    source: &Source,
    form: &[(&str, &str)],
    own: Option<&Credentials>,
) -> Result<Fresh<Credentials>, Error> {
    let url = url(source);
    let place = Place::parse(&url, &source.resolver);
    let place =
        place.map_err(|why| none(format!("the token service's address is no URL: {why}")))?;
    let version = ("Version", "2011-06-15");
    let pairs = form.iter().chain(std::iter::once(&version));
    let mut pairs: Vec<_> = pairs
        .map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into()))
        .collect();
    let body = query::encode(&mut pairs);
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    let mut fields: Vec<(HeaderName, HeaderValue)> = vec![(CONTENT_TYPE, kind)];
    if let Some(own) = own {
        let request = Signable {
            method: "POST",
            url: &url,
            fields: &fields,
            body: body.as_bytes(),
        };
        let scope = Scope {
            region: &source.region,
            service: "sts",
        };
        fields.extend(signature(&request, scope, own, SystemTime::now())?);
    }
    let request = Fetch {
        method: Method::POST,
        fields: &fields,
        body: Some(Bytes::from(body)),
        deadline: Deadline::after(PATIENCE),
        limit: LIMIT,
    };
    let answer = fetch(&source.client, &place, request).await;
    let answer = answer
        .map_err(|error| none(format!("the token service cannot be asked: {}", error.text)))?;
    let text = String::from_utf8_lossy(&answer.body);
    if !answer.status.is_success() {
        let code = element(&text, "Code")
            .filter(|code| code.len() < 64 && code.bytes().all(|b| b.is_ascii_alphanumeric()));
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        return Err(none(format!(
            "the token service answered {}{code}",
            answer.status.as_u16()
        )));
    }
    let get = |name: &str| element(&text, name);
    credentials(
        get("AccessKeyId"),
        get("SecretAccessKey"),
        get("SessionToken"),
        get("Expiration"),
    )
}

/// Where the token service of a region is.
fn url(source: &Source) -> String {
    let told = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"].into_iter();
    let told = told
        .filter_map(|name| (source.environment)(name))
        .find(|url| !url.is_empty());
    told.unwrap_or_else(|| {
        let region = &source.region;
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        format!("https://sts.{region}.{domain}/")
    })
}

/// The text of an element of AWS's answers: what we look for stands once, without attributes and without entities.
pub(super) fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.trim()).filter(|value| !value.is_empty())
}
