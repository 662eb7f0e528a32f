//! `auth/aws-sigv4` – calls of a backend carry AWS's Signature Version 4 (reference/krakend-components section 12.1;
//! Enterprise there). It is made of the request as it leaves: behind scripts and rules, with the whole body.
//!
//! What is signed: host, type of the body, AWS's own fields, and the body, always; other fields may change on their
//! way. A client's `Authorization`, and its fields of the kind that a signature brings, are replaced.

use crate::base::{Code, Dialect, Error, Problem};
use crate::component::{BackendDraft, Component, until};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::message::Request;
use crate::gateway::stage::{Go, PipeStage, Step};
use crate::identity::aws::{
    Account, Environment, Keys, Scope, Signable, Source, brings, signature,
};
use aws_credential_types::Credentials;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use std::sync::Arc;
use std::time::SystemTime;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "auth/aws-sigv4";

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, _: Dialect) -> Result<(), Problem> {
    s.known(&[
        "region",
        "service",
        "assume_role_arn",
        "sts_region",
        "debug",
    ]);
    let (region, service) = (word(s, "region"), word(s, "service"));
    let role = s.string("assume_role_arn").filter(|role| !role.is_empty());
    let sts_region = match s.has("sts_region") {
        true => word(s, "sts_region"),
        false => region.clone(),
    };
    let debug = s.bool_or("debug", false);
    let (Some(region), Some(service), Some(sts_region)) = (region, service, sts_region) else {
        return Ok(());
    };
    let name = format!("{NAME} {sts_region} {role:?}");
    let keys = draft.env.kept.get_or(&name, Keys::default);
    let source = Source {
        client: Arc::clone(&draft.env.client),
        resolver: draft.env.resolver.clone(),
        environment: environment(),
        role,
        region: sts_region,
    };
    draft.wire.push(Box::new(Signer {
        account: Account::new(source, keys),
        region,
        service,
        debug,
    }));
    Ok(())
}

/// A name of AWS's: it becomes part of a host and of the signature.
fn word(s: &mut Settings<'_>, key: &str) -> Option<String> {
    if !s.require(key) {
        return None;
    }
    let text = s.string(key)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(good) {
        let message = format!("\"{key}\" is no name of AWS's");
        s.error_hint(
            key,
            Code::BadValue,
            message,
            "write for example \"us-east-1\" and \"s3\"",
        );
        return None;
    }
    Some(text)
}

#[expect(
    clippy::disallowed_methods,
    reason = "where credentials are is told by AWS's own variables, which a platform sets and no file of ours names"
)]
fn environment() -> Environment {
    Arc::new(|name| std::env::var(name).ok())
}

/// Signs what leaves.
struct Signer {
    account: Account,
    region: String,
    service: String,
    debug: bool,
}

impl Signer {
    fn sign(&self, request: &mut Request, credentials: &Credentials) -> Result<Go, Error> {
        request.headers.retain(|(name, _)| !brings(name));
        if let Some(body) = &request.body {
            // Without it the body would go in chunks, which the object store does not take.
            request.set_header(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let signable = Signable {
            method: request.method.as_str(),
            url: &request.url,
            fields: &request.headers,
            body: request.body.as_deref().unwrap_or_default(),
        };
        let scope = Scope {
            region: &self.region,
            service: &self.service,
        };
        let fields = signature(&signable, scope, credentials, SystemTime::now())?;
        if self.debug {
            let (region, service) = (self.region.as_str(), self.service.as_str());
            let (method, bytes) = (signable.method, signable.body.len());
            log::debug!(region, service, method, bytes; "a call was signed");
        }
        request.headers.extend(fields);
        Ok(Go::Next)
    }
}

impl PipeStage for Signer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, request: &'a mut Request, ctx: &'a Ctx) -> Step<'a, Go> {
        if let Some(credentials) = self.account.held() {
            return Step::Now(self.sign(request, &credentials));
        }
        Step::Wait(Box::pin(async move {
            let credentials = self.account.credentials(until(ctx)).await?;
            self.sign(request, &credentials)
        }))
    }
}
