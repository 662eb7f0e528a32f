//! `auth/gcp` – calls of a backend carry an identity token of Google's for an audience (reference/krakend-components
//! section 12.1; Enterprise there).
//!
//! Credentials are a service account's, in place or in a file, or those that the machine has. The token is shared by
//! backends with the same settings, renewed before it ends, and never follows a redirect to another host.

use crate::base::{Code, Dialect, Problem};
use crate::component::{BackendDraft, Component, Proof};
use crate::config::settings::Settings;
use crate::identity::google::{ServiceAccount, Source};
use crate::identity::lease::{Fetching, Lease, Rules};
use aws_lc_rs::digest::{SHA256, digest};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "auth/gcp";

/// Longest file of credentials.
const MAX_FILE: u64 = 256 << 10;

/// A token is not used so shortly before its end.
const RULES: Rules = Rules {
    margin: Duration::from_secs(60),
    eager: true,
};

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&[
        "audience",
        "credentials_file",
        "credentials_json",
        "custom_claims",
        "s2s_auth_header",
    ]);
    let from = s.report().problems.len();
    let audience = s.string("audience").filter(|audience| !audience.is_empty());
    if audience.is_none() {
        let hint = "write the URL of the service, for example \"https://service-abc.run.app\"";
        s.error_hint(
            "audience",
            Code::MissingKey,
            "\"audience\" is missing: nobody knows whom the token is for",
            hint,
        );
    }
    let account = account(s);
    let claims = match s.value("custom_claims") {
        None => serde_json::Map::new(),
        Some(Value::Object(claims)) => claims.clone(),
        Some(_) => {
            s.error(
                "custom_claims",
                Code::WrongType,
                "\"custom_claims\" is no object",
            );
            serde_json::Map::new()
        }
    };
    let field = match s.string("s2s_auth_header").filter(|name| !name.is_empty()) {
        None => Some(AUTHORIZATION),
        Some(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
    };
    if field.is_none() {
        let hint = "write for example \"X-Serverless-Authorization\"";
        s.error_hint(
            "s2s_auth_header",
            Code::BadValue,
            "\"s2s_auth_header\" is no name of a field",
            hint,
        );
    }
    let (Some(audience), Some(field), true) = (audience, field, s.report().problems.len() == from)
    else {
        return Ok(());
    };
    // Secrets stand in the settings, and names outlive the file.
    let name = digest(&SHA256, s.raw().to_string().as_bytes());
    let lease = draft
        .env
        .kept
        .get_or(&format!("{NAME} {name:?}"), || Lease::new(RULES));
    let source = Arc::new(Source {
        client: Arc::clone(&draft.env.client),
        resolver: draft.env.resolver.clone(),
        environment: environment(),
        audience,
        claims,
        account,
    });
    let fetch = move || -> Fetching<HeaderValue> {
        let source = Arc::clone(&source);
        Box::pin(async move {
            let brought = source.fetch().await;
            brought.inspect_err(|error| log::warn!("no token of Google's: {}", error.text))
        })
    };
    let proof = Proof {
        namespace: NAME,
        field,
        lease,
        fetch: Box::new(fetch),
        dialect: Dialect::Native,
    };
    proof.stand(draft);
    Ok(())
}

/// The account that the settings name.
fn account(s: &mut Settings<'_>) -> Option<ServiceAccount> {
    let (key, read) = match (s.value("credentials_json"), s.string("credentials_file")) {
        (Some(Value::String(text)), _) if text.is_empty() => return None,
        (Some(Value::String(text)), _) => (
            "credentials_json",
            serde_json::from_str(text).map_err(|_| "it is no JSON"),
        ),
        (Some(value), _) => ("credentials_json", Ok(value.clone())),
        (None, Some(path)) if !path.is_empty() => ("credentials_file", file(&path)),
        (None, _) => return None,
    };
    let account = read.and_then(|value: Value| ServiceAccount::read(&value));
    let told = |why: &str| format!("\"{key}\" cannot be used: {why}");
    account
        .map_err(|why| {
            let hint = "give what Google's console gave out for a service account";
            s.error_hint(key, Code::BadValue, told(why), hint);
        })
        .ok()
}

fn file(path: &str) -> Result<Value, &'static str> {
    let length = std::fs::metadata(path)
        .map_err(|_| "the file cannot be read")?
        .len();
    if length > MAX_FILE {
        return Err("the file is too large");
    }
    let text = std::fs::read(path).map_err(|_| "the file cannot be read")?;
    serde_json::from_slice(&text).map_err(|_| "the file is no JSON")
}

#[expect(
    clippy::disallowed_methods,
    reason = "where credentials are is told by Google's own variables, which a platform sets and no file of ours names"
)]
fn environment() -> crate::identity::aws::Environment {
    Arc::new(|name| std::env::var(name).ok())
}
