//! `auth/client-credentials` – calls of a backend carry a token that the gateway fetches for itself by OAuth 2's client
//! credentials grant (RFC 6749 section 4.4; reference/krakend-components section 1.4).
//!
//! Differs from KrakenD: a fetch has ten seconds and the request's own deadline; however many requests wait, there is
//! one; the token never follows a redirect to another host. In native, besides, it is renewed in the background,
//! used to its end while the token service is down, dropped when the backend answers 401, and the token service is
//! left alone for a moment after a failure. Redirects of the token service are not followed.

mod token;

use self::token::{Grant, Token};
use crate::base::{Code, Dialect, Error, Problem, Reason};
use crate::component::{BackendDraft, Component};
use crate::config::settings::Settings;
use crate::gateway::ctx::Ctx;
use crate::gateway::headers::Fields;
use crate::gateway::message::{Answer, Request};
use crate::gateway::stage::{Call, CallStage, Called, Flow, Go, PipeStage, Step};
use crate::identity::lease::{Fetching, Held, Lease, Rules};
use crate::net::fetch::Place;
use crate::net::{Client, Deadline};
use http::header::AUTHORIZATION;
use std::sync::Arc;
use std::time::Duration;

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named(NAME)
};

const NAME: &str = "auth/client-credentials";

/// A token counts as over so long before its end, as in Go's `oauth2`.
const MARGIN: Duration = Duration::from_secs(10);

fn build(s: &mut Settings<'_>, draft: &mut BackendDraft, dialect: Dialect) -> Result<(), Problem> {
    s.known(&[
        "client_id",
        "client_secret",
        "token_url",
        "scopes",
        "endpoint_params",
        "is_disabled",
    ]);
    let disabled = s.bool_or("is_disabled", false);
    let grant = grant(s, dialect);
    let place = place(s, draft).zip(grant);
    if disabled {
        return Ok(());
    }
    let source = place.map(|(place, grant)| Arc::new(Source::new(place, grant, draft, dialect)));
    // Innermost, as in KrakenD: rules and scripts of the backend do not see the token and cannot replace it. Where
    // there are none, a stage around the call does the same, and streams stay what they are.
    if draft.pipe.is_empty() && draft.wire.is_empty() {
        draft.call.push(Box::new(Stage { source, dialect }));
    } else {
        draft.wire.push(Box::new(Stage { source, dialect }));
    }
    Ok(())
}

/// What is sent for a token; `None` when nothing can be.
fn grant(s: &mut Settings<'_>, dialect: Dialect) -> Option<Grant> {
    let mut grant = Grant {
        url: s.string_or("token_url", ""),
        id: s.string_or("client_id", ""),
        secret: s.string_or("client_secret", ""),
        scope: s
            .string_or("scopes", "")
            .split(',')
            .collect::<Vec<_>>()
            .join(" "),
        params: Vec::new(),
        dialect,
    };
    let mut works = true;
    if let Some(mut inner) = s.object("endpoint_params") {
        let names: Vec<&str> = inner
            .map()
            .into_iter()
            .flatten()
            .map(|(n, _)| n.as_str())
            .collect();
        for name in names {
            if name == "scope" {
                let message = "\"scope\" cannot be among the endpoint_params; every call fails";
                inner.warn_hint(name, Code::BadValue, message, "write it in \"scopes\"");
                works = false;
            }
            for value in inner.list_of_strings(name) {
                grant.params.push((name.to_owned(), value));
            }
        }
    }
    // A client may prove itself by other parameters (RFC 7521), and then it has no secret.
    if grant.id.is_empty() && grant.params.is_empty() {
        let message = "\"client_id\" is missing, so that no token can be had";
        s.warn_hint("", Code::MissingKey, message, "add \"client_id\"");
    } else if grant.secret.is_empty() && grant.params.is_empty() {
        let message = "\"client_secret\" is missing: the client proves itself by nothing";
        s.warn_hint("", Code::MissingKey, message, "add \"client_secret\"");
    }
    works.then_some(grant)
}

/// Where tokens are.
fn place(s: &mut Settings<'_>, draft: &BackendDraft) -> Option<Place> {
    let url = s.string("token_url").unwrap_or_default();
    match Place::parse(&url, &draft.env.resolver) {
        Ok(place) => {
            if !place.is_secure() && !is_near(&place.host()) {
                let message = "the client's secret goes to the token service in clear text";
                s.warn_hint("token_url", Code::BadValue, message, "write https://");
            }
            Some(place)
        }
        Err(why) => {
            let message = format!("\"token_url\" is no URL: {why}; every call fails");
            let hint = "write for example \"https://id.example.org/token\"";
            s.warn_hint("token_url", Code::BadValue, message, hint);
            None
        }
    }
}

/// Whether a host is this machine.
fn is_near(host: &str) -> bool {
    ["localhost", "127.", "[::1]", "::1"]
        .iter()
        .any(|near| host.starts_with(near))
}

/// Where one backend's tokens come from.
struct Source {
    client: Arc<Client>,
    place: Place,
    grant: Grant,
    kept: Arc<Kept>,
}

/// What outlives a reload: the token, and how the token service wants the client to prove itself.
struct Kept {
    lease: Arc<Lease<Token>>,
    style: token::Style,
}

impl Source {
    /// Backends with the same settings share a token.
    fn new(place: Place, grant: Grant, draft: &BackendDraft, dialect: Dialect) -> Self {
        let rules = Rules {
            margin: MARGIN,
            eager: dialect == Dialect::Native,
        };
        let kept = draft.env.kept.get_or(&grant.name(), || Kept {
            lease: Arc::new(Lease::new(rules)),
            style: token::Style::default(),
        });
        Self {
            client: Arc::clone(&draft.env.client),
            place,
            grant,
            kept,
        }
    }

    fn fetch(self: &Arc<Self>) -> Fetching<Token> {
        let source = Arc::clone(self);
        Box::pin(async move {
            let asked = token::fetch(
                &source.client,
                &source.place,
                &source.grant,
                &source.kept.style,
            );
            let brought = asked.await;
            if let Err(error) = &brought {
                let host = source.place.host();
                log::warn!(service = host.as_str(), reason = error.reason.word(); "no token: {}", error.text);
            }
            brought
        })
    }

    /// The token, without waiting.
    fn held(self: &Arc<Self>) -> Option<Arc<Held<Token>>> {
        let held = self.kept.lease.held()?;
        if held.is_old() {
            self.kept.lease.renew(|| self.fetch());
        }
        Some(held)
    }

    async fn token(self: &Arc<Self>, deadline: Deadline) -> Result<Arc<Held<Token>>, Error> {
        self.kept.lease.get(deadline, || self.fetch()).await
    }
}

/// Puts the token among the fields of a call.
struct Stage {
    /// `None` where the settings cannot work: as in KrakenD, calls fail.
    source: Option<Arc<Source>>,
    dialect: Dialect,
}

impl Stage {
    fn put<'a, T: Send + 'a>(
        &'a self,
        fields: &'a mut Fields,
        ctx: &'a Ctx,
        next: T,
    ) -> Step<'a, T> {
        let Some(source) = &self.source else {
            let text = "no token can be asked for: the settings cannot work";
            return Step::Now(Err(Error::new(Reason::BackendTokenUnavailable, text)));
        };
        if let Some(token) = source.held() {
            set(fields, &token.value);
            return Step::Now(Ok(next));
        }
        Step::Wait(Box::pin(async move {
            let token = source.token(until(ctx)).await?;
            set(fields, &token.value);
            Ok(next)
        }))
    }

    /// Native: a token that the backend refuses is good for nothing, whatever was said of its life.
    fn told(&self, status: Option<u16>, ctx: &Ctx) {
        if let (Dialect::Native, Some(401), Some(source)) = (self.dialect, status, &self.source) {
            source.kept.lease.forget(ctx.started);
        }
    }
}

fn set(fields: &mut Fields, token: &Token) {
    fields.retain(|(name, _)| *name != AUTHORIZATION);
    fields.push((AUTHORIZATION, token.value.clone()));
}

/// The end of a request's patience.
fn until(ctx: &Ctx) -> Deadline {
    let timeout = ctx.endpoint().map(|endpoint| endpoint.timeout);
    timeout
        .and_then(|timeout| ctx.started.checked_add(timeout))
        .map_or(Deadline::NEVER, |at| Deadline::at(at.into()))
}

impl CallStage for Stage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, call: &'a mut Call, ctx: &'a Ctx) -> Step<'a> {
        self.put(&mut call.headers, ctx, Flow::Next)
    }

    fn after(&self, called: &Result<Called, Error>, ctx: &Ctx) {
        let status = match called {
            Ok(called) => called.status,
            Err(error) => error.backend_status,
        };
        self.told(status, ctx);
    }
}

impl PipeStage for Stage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before<'a>(&'a self, request: &'a mut Request, ctx: &'a Ctx) -> Step<'a, Go> {
        self.put(&mut request.headers, ctx, Go::Next)
    }

    fn after<'a>(&'a self, _: &'a Request, answer: &'a mut Answer, ctx: &'a Ctx) -> Step<'a, ()> {
        self.told(Some(answer.status), ctx);
        Step::Now(Ok(()))
    }
}

#[cfg(test)]
mod tests;
