//! Where credentials are looked for, one place after the other; the first that has some counts.

use super::{Source, none, sts};
use crate::base::{Error, clock};
use crate::identity::lease::Fresh;
use crate::net::Deadline;
use crate::net::fetch::{Fetch, Place, fetch};
use aws_credential_types::Credentials;
use chrono::DateTime;
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Variables of the environment, by name.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Longest answer.
const LIMIT: usize = 64 << 10;
/// Longest time for one question to the machine's own services.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long what a file says is taken for true.
const FILE: Duration = Duration::from_secs(300);
/// Longest file.
const MAX_FILE: u64 = 1 << 20;
const AGENT: &str = "http://169.254.170.2";
const METADATA: &str = "http://169.254.169.254";

type Found = Result<Option<Fresh<Credentials>>, Error>;

/// The first credentials that are found.
///
/// # Errors
/// That there are none, or that the place that should have them does not work.
pub(super) async fn find(source: &Source) -> Result<Fresh<Credentials>, Error> {
    if let Some(found) = from_environment(source) {
        return Ok(found);
    }
    if let Some(found) = from_web_identity(source).await? {
        return Ok(found);
    }
    if let Some(found) = from_files(source).await {
        return Ok(found);
    }
    if let Some(found) = from_agent(source).await? {
        return Ok(found);
    }
    from_metadata(source)
        .await?
        .ok_or_else(|| none("nothing of the environment tells any credentials"))
}

fn variable(source: &Source, name: &str) -> Option<String> {
    (source.environment)(name).filter(|value| !value.is_empty())
}

fn from_environment(source: &Source) -> Option<Fresh<Credentials>> {
    let key = variable(source, "AWS_ACCESS_KEY_ID")?;
    let secret = variable(source, "AWS_SECRET_ACCESS_KEY")?;
    let token = variable(source, "AWS_SESSION_TOKEN");
    Some(Fresh {
        value: Credentials::new(key, secret, token, None, "environment"),
        life: None,
    })
}

/// A token of another identity provider, in a file that somebody renews (EKS).
async fn from_web_identity(source: &Source) -> Found {
    let file = variable(source, "AWS_WEB_IDENTITY_TOKEN_FILE");
    let role = variable(source, "AWS_ROLE_ARN");
    let (Some(file), Some(role)) = (file, role) else {
        return Ok(None);
    };
    let token = read(file.into())
        .await
        .ok_or_else(|| none("the file of the web identity cannot be read"))?;
    let session = variable(source, "AWS_ROLE_SESSION_NAME");
    let session = session.as_deref().unwrap_or(sts::SESSION);
    sts::with_token(source, (&role, session), token.trim())
        .await
        .map(Some)
}

/// The static keys of a profile.
async fn from_files(source: &Source) -> Option<Fresh<Credentials>> {
    let home = variable(source, "HOME").map(PathBuf::from);
    let path = |name: &str, file: &str| {
        let told = variable(source, name).map(PathBuf::from);
        told.or_else(|| Some(home.as_ref()?.join(".aws").join(file)))
    };
    let profile = variable(source, "AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let credentials = path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = path("AWS_CONFIG_FILE", "config");
    let titled = format!("profile {profile}");
    for (path, titles) in [
        (credentials, [&profile, &profile]),
        (config, [&titled, &profile]),
    ] {
        let text = match path {
            Some(path) => read(path).await.unwrap_or_default(),
            None => continue,
        };
        let get = |key: &str| titles.iter().find_map(|title| setting(&text, title, key));
        let keys = (get("aws_access_key_id"), get("aws_secret_access_key"));
        if let (Some(key), Some(secret)) = keys {
            let token = get("aws_session_token").map(str::to_owned);
            return Some(Fresh {
                value: Credentials::new(key, secret, token, None, "profile"),
                life: Some(FILE),
            });
        }
    }
    None
}

async fn read(path: PathBuf) -> Option<String> {
    let length = tokio::fs::metadata(&path).await.ok()?.len();
    if length > MAX_FILE {
        return None;
    }
    tokio::fs::read_to_string(path).await.ok()
}

/// A key of a section of such a file.
pub(super) fn setting<'t>(text: &'t str, section: &str, key: &str) -> Option<&'t str> {
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(title) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            inside = title.split_whitespace().eq(section.split_whitespace());
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((name, value)) = line.split_once('=')
            && name.trim().eq_ignore_ascii_case(key)
            && !value.trim().is_empty()
        {
            return Some(value.trim());
        }
    }
    None
}

/// The agent beside a container (ECS), or of a pod (EKS).
async fn from_agent(source: &Source) -> Found {
    let relative = variable(source, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let url = match relative {
        Some(path) => format!("{AGENT}/{}", path.trim_start_matches('/')),
        None => match variable(source, "AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(url) => url,
            None => return Ok(None),
        },
    };
    let mut fields = Vec::new();
    let token = match variable(source, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => read(file.into()).await.map(|text| text.trim().to_owned()),
        None => variable(source, "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = token {
        // It is shown to the machine's own agents only, or where nobody can listen.
        if !is_near(&url) {
            return Err(none(
                "the container's agent is neither near nor reached by https",
            ));
        }
        let value = HeaderValue::try_from(token);
        let value =
            value.map_err(|_| none("the token for the container's agent is no field value"))?;
        fields.push((http::header::AUTHORIZATION, value));
    }
    let text = ask(source, (Method::GET, &url), &fields).await?;
    document(&text).map(Some)
}

fn is_near(url: &str) -> bool {
    let near = [
        "http://169.254.170.2",
        "http://169.254.170.23",
        "http://127.",
        "http://localhost",
        "http://[::1]",
    ];
    url.starts_with("https://")
        || near.iter().any(|near| {
            let rest = url.strip_prefix(near);
            rest.is_some_and(|rest| {
                near.ends_with('.') || rest.is_empty() || rest.starts_with(['/', ':'])
            })
        })
}

/// The metadata of the machine, by a session (IMDSv2).
async fn from_metadata(source: &Source) -> Found {
    if variable(source, "AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"))
    {
        return Ok(None);
    }
    let told = variable(source, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let base = told.unwrap_or_else(|| METADATA.to_owned());
    let base = base.trim_end_matches('/');
    let life = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
    let fields = [(life, HeaderValue::from_static("300"))];
    let url = format!("{base}/latest/api/token");
    let session = ask(source, (Method::PUT, &url), &fields).await?;
    let session = HeaderValue::try_from(session.trim());
    let session = session.map_err(|_| none("the machine's metadata give no session"))?;
    let fields = [(HeaderName::from_static("x-aws-ec2-metadata-token"), session)];
    let place = format!("{base}/latest/meta-data/iam/security-credentials/");
    let roles = ask(source, (Method::GET, &place), &fields).await?;
    let role = roles.lines().next().unwrap_or_default().trim();
    let text = ask(source, (Method::GET, &format!("{place}{role}")), &fields).await?;
    document(&text).map(Some)
}

/// One question; what was answered stays out of errors.
async fn ask(
    source: &Source,
    (method, url): (Method, &str),
    fields: &[(HeaderName, HeaderValue)],
) -> Result<String, Error> {
    let place = Place::parse(url, &source.resolver);
    let place = place.map_err(|why| none(format!("an address of credentials is no URL: {why}")))?;
    let request = Fetch {
        method,
        fields,
        body: None,
        deadline: Deadline::after(PATIENCE),
        limit: LIMIT,
    };
    let answer = fetch(&source.client, &place, request).await;
    let answer = answer
        .map_err(|error| none(format!("{} cannot be asked: {}", place.host(), error.text)))?;
    if !answer.status.is_success() {
        return Err(none(format!(
            "{} answered {}",
            place.host(),
            answer.status.as_u16()
        )));
    }
    String::from_utf8(answer.body.into()).map_err(|_| none("credentials are no text"))
}

/// Credentials as agents and metadata tell them.
pub(super) fn document(text: &str) -> Result<Fresh<Credentials>, Error> {
    let value: Value = serde_json::from_str(text).map_err(|_| none("credentials are no JSON"))?;
    let get = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .filter(|v| !v.is_empty())
    };
    credentials(
        get("AccessKeyId"),
        get("SecretAccessKey"),
        get("Token"),
        get("Expiration"),
    )
}

/// Credentials of their parts.
pub(super) fn credentials(
    key: Option<&str>,
    secret: Option<&str>,
    token: Option<&str>,
    expires: Option<&str>,
) -> Result<Fresh<Credentials>, Error> {
    let (Some(key), Some(secret)) = (key, secret) else {
        return Err(none("an answer that should hold credentials holds none"));
    };
    let life = expires.map(|text| {
        let moment = DateTime::parse_from_rfc3339(text);
        let moment = moment.map_err(|_| none("nobody can tell when the credentials end"))?;
        let moment = Duration::from_secs(u64::try_from(moment.timestamp()).unwrap_or(0));
        Ok::<_, Error>(moment.saturating_sub(clock::since_epoch()))
    });
    Ok(Fresh {
        value: Credentials::new(key, secret, token.map(str::to_owned), None, "fetched"),
        life: life.transpose()?,
    })
}
