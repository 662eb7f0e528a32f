//! `auth/client-credentials` – calls of a backend carry a token that the gateway fetches for itself by OAuth 2's client
//! credentials grant (RFC 6749 section 4.4; reference/krakend-components section 1.4).
//!
//! Differs from KrakenD: a fetch has ten seconds and the request's own deadline; however many requests wait, there is
//! one; the token never follows a redirect to another host. In native, besides, it is renewed in the background,
//! used to its end while the token service is down, dropped when the backend answers 401, and the token service is
//! left alone for a moment after a failure. Redirects of the token service are not followed.

mod token;

use self::token::Grant;
use crate::base::{Code, Dialect, Error, Problem, Reason};
use crate::component::{BackendDraft, Component, Proof};
use crate::config::settings::Settings;
use crate::identity::lease::{Fetching, Lease, Rules};
use crate::net::Client;
use crate::net::fetch::Place;
use http::HeaderValue;
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
    proof(place, draft, dialect).stand(draft);
    Ok(())
}

/// What calls carry. Backends with the same settings share a token.
fn proof(settings: Option<(Place, Grant)>, draft: &BackendDraft, dialect: Dialect) -> Proof {
    let rules = Rules {
        margin: MARGIN,
        eager: dialect == Dialect::Native,
    };
    let kept = &draft.env.kept;
    let name = settings.as_ref().map(|(_, grant)| grant.name());
    let lease = match &name {
        Some(name) => kept.get_or(name, || Lease::new(rules)),
        None => Arc::new(Lease::new(rules)),
    };
    let source = settings.map(|(place, grant)| {
        Arc::new(Source {
            client: Arc::clone(&draft.env.client),
            style: kept.get_or(&grant.name(), token::Style::default),
            place,
            grant,
        })
    });
    Proof {
        namespace: NAME,
        field: AUTHORIZATION,
        lease,
        fetch: Box::new(move || fetch(source.clone())),
        dialect,
    }
}

/// Where tokens come from. How the service wants the client to prove itself outlives a reload, as the token does.
struct Source {
    client: Arc<Client>,
    place: Place,
    grant: Grant,
    style: Arc<token::Style>,
}

fn fetch(source: Option<Arc<Source>>) -> Fetching<HeaderValue> {
    Box::pin(async move {
        let Some(source) = source else {
            // As in KrakenD, calls fail.
            let text = "no token can be asked for: the settings cannot work";
            return Err(Error::new(Reason::BackendTokenUnavailable, text));
        };
        let Source {
            client,
            place,
            grant,
            style,
        } = &*source;
        let brought = token::fetch(client, place, grant, style).await;
        if let Err(error) = &brought {
            let host = place.host();
            log::warn!(service = host.as_str(), reason = error.reason.word(); "no token: {}", error.text);
        }
        brought
    })
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

#[cfg(test)]
mod tests;
