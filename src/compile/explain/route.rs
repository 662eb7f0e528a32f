//! Which endpoint a request meets and why; when there is none, which ones are nearest.

use super::{Outcome, Place, Verdict, Walk};
use crate::base::{Dialect, Error, Reason};
use crate::gateway::head::Head;
use crate::gateway::router::{Found, location_with_query, param_names, prefixed_location};
use crate::gateway::snapshot::Builtin;
use crate::gateway::{path, pattern};
use http::{HeaderName, Method};
use std::sync::Arc;

/// How many endpoints are offered instead.
const OFFERS: usize = 3;
/// Segments of a path that are compared.
const SEGMENTS: usize = 32;
/// What a segment costs that has nothing in common with another.
const STRANGE: usize = 4;
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

impl Walk<'_> {
    /// Finds the endpoint, in the order of the running gateway; a verdict when there is nothing more.
    pub(super) fn route(&mut self) -> Result<Option<Verdict>, Error> {
        let request = self.request;
        let decoded = path::decode(&request.path).map_err(|bad| {
            let text = format!("{bad}: a % in a path stands before two hexadecimal digits");
            self.step("path", Outcome::Refused, text.clone(), None);
            Error::new(Reason::BadTarget, text)
        })?;
        let gateway = Arc::clone(&self.gateway);
        let matched = gateway.router.prepare(&decoded);
        if *matched != *request.path {
            let text = format!("{} is matched as {}", lossy(&request.path), lossy(&matched));
            let because = self
                .at
                .setting("router", "remove_extra_slash")
                .filter(|_| matched != decoded);
            self.step("path", Outcome::Passed, text, because);
        }
        let found = gateway
            .router
            .find(&request.method, &matched, &mut self.ctx.params);
        if let Some(status) = self.door(&found, &matched) {
            return Ok(Some(Verdict::Answered { status }));
        }
        match found {
            Found::Endpoint { id, head_of_get } => self.found(id as usize, &matched, head_of_get),
            Found::Redirect {
                code,
                location,
                slash,
            } => Ok(Some(self.redirected(code, location, slash))),
            Found::AutoOptions { allow } => {
                let text = format!("OPTIONS is answered with Allow: {allow}");
                let because = self.at.setting("router", "auto_options");
                self.step("route", Outcome::Answered, text, because);
                Ok(Some(Verdict::Answered { status: 200 }))
            }
            Found::MethodNotAllowed { allow } => {
                let text = format!(
                    "this path is there, but not for {}; Allow: {allow}",
                    request.method
                );
                self.step("route", Outcome::Refused, text, None);
                self.offer(&matched, "serves it");
                Err(Error::from(Reason::MethodNotAllowed).allowing(allow))
            }
            Found::NotFound => {
                let text = format!("no endpoint has the path {}", lossy(&matched));
                self.step("route", Outcome::Refused, text, None);
                self.offer(&matched, "is near");
                Err(Reason::NoRoute.into())
            }
        }
    }

    fn redirected(&mut self, code: u16, mut location: String, slash: bool) -> Verdict {
        self.unguarded = self.gateway.dialect == Dialect::Krakend;
        if slash
            && self.gateway.dialect == Dialect::Krakend
            && let Some(prefix) = self.request.header(&X_FORWARDED_PREFIX)
        {
            location = prefixed_location(&location, prefix);
        }
        let location = location_with_query(location, self.request.query.as_deref());
        let (what, key) = if slash {
            (
                "the trailing slash is wrong",
                "disable_redirect_trailing_slash",
            )
        } else {
            ("case or slashes are wrong", "disable_redirect_fixed_path")
        };
        let text = format!("{what}: {code} to {location}");
        self.step("route", Outcome::Answered, text, None);
        self.note(format!("router.{key} switches this redirect off"), None);
        Verdict::Answered { status: code }
    }

    fn found(
        &mut self,
        id: usize,
        matched: &[u8],
        head_of_get: bool,
    ) -> Result<Option<Verdict>, Error> {
        let gateway = Arc::clone(&self.gateway);
        let endpoint = gateway.endpoints.get(id);
        match endpoint {
            Some(endpoint) => {
                let text = format!("{} {}", endpoint.method, endpoint.pattern);
                let because = self.endpoint_place(&endpoint.pointer);
                self.step("route", Outcome::Passed, text, Some(because));
                if head_of_get {
                    self.note(
                        "HEAD is answered by the GET endpoint, without the body",
                        None,
                    );
                }
                self.parameters(&endpoint.pattern, matched);
            }
            None => {
                let own = gateway.own(id);
                self.unguarded = own.is_some_and(|own| own.builtin.is_health());
                let what = own.map_or("a built-in endpoint", |own| word(own.builtin));
                self.step(
                    "route",
                    Outcome::Answered,
                    format!("{what}, built in"),
                    None,
                );
            }
        }
        if self.native() && path::has_dot_segments(matched) {
            let text = "the path holds . or .. segments, which backends read differently";
            self.step("parameters", Outcome::Refused, text.to_owned(), None);
            return Err(Reason::DotSegments.into());
        }
        if !gateway.service.disable_path_decoding
            && let Err(error) = pattern::check_params(&self.ctx.params, matched, gateway.dialect)
        {
            let text = "a parameter is still percent-encoded, or holds ?, # or control characters, after decoding";
            self.step("parameters", Outcome::Refused, text.to_owned(), None);
            self.note("router.disable_path_decoding switches this check off", None);
            return Err(error);
        }
        self.ctx.path = matched.to_vec();
        if endpoint.is_none() {
            return Ok(Some(Verdict::Answered { status: 200 }));
        }
        self.ctx.endpoint = Some(id);
        Ok(None)
    }

    fn parameters(&mut self, pattern: &str, matched: &[u8]) {
        let names = param_names(pattern, self.document.service.disable_rest);
        for index in 0..self.ctx.params.len() {
            let value = self.ctx.params.get(index, matched).unwrap_or_default();
            let text = match names.get(index) {
                Some(name) => format!("{{{name}}} = {}", lossy(value)),
                None => format!("* = {}", lossy(value)),
            };
            self.note(text, None);
        }
    }

    /// The line of an endpoint's path.
    pub(super) fn endpoint_place(&self, pointer: &str) -> Place {
        self.at
            .key(pointer, "endpoint")
            .unwrap_or_else(|| self.at.place(pointer))
    }

    /// Names the endpoints that a path may have meant.
    fn offer(&mut self, matched: &[u8], word: &str) {
        let path = lossy(matched);
        // One segment that has nothing in common is near only when others are the same.
        let several = matched.iter().filter(|&&b| b == b'/').count() > 1;
        let most = if several { STRANGE } else { STRANGE - 1 };
        let mut near: Vec<(usize, usize)> = self
            .gateway
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| {
                let other_method = usize::from(endpoint.method != self.request.method);
                (distance(&endpoint.pattern, &path) * 2 + other_method, index)
            })
            .filter(|(cost, _)| *cost <= most * 2 + 1)
            .collect();
        near.sort_unstable();
        let gateway = Arc::clone(&self.gateway);
        for (_, index) in near.into_iter().take(OFFERS) {
            if let Some(endpoint) = gateway.endpoints.get(index) {
                let place = self.endpoint_place(&endpoint.pointer);
                self.note(
                    format!("{} {} {word}", endpoint.method, endpoint.pattern),
                    Some(place),
                );
            }
        }
        if self.request.method == Method::OPTIONS {
            self.note("router.auto_options answers OPTIONS on every path", None);
        }
    }
}

fn word(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::Live => "liveness (/health)",
        Builtin::Ready => "readiness (/__health): 503 while a critical backend is down",
        Builtin::KrakendHealth => "KrakenD's /__health",
        Builtin::Debug => "KrakenD's /__debug",
        Builtin::Echo => "KrakenD's /__echo",
    }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How far a path is from a pattern: letters to change in segments, [`STRANGE`] for other segments and
/// for each that is missing or too many.
fn distance(pattern: &str, path: &str) -> usize {
    let mut left = pattern.split('/').skip(1).take(SEGMENTS);
    let mut right = path
        .split('/')
        .skip(1)
        .take(SEGMENTS)
        .filter(|s| !s.is_empty());
    let mut cost = 0;
    loop {
        match (left.next(), right.next()) {
            (None, None) => return cost,
            (Some("*"), _) => return cost,
            (Some(a), Some(b)) if a.contains('{') || a.eq_ignore_ascii_case(b) => {}
            (Some(a), Some(b)) => cost += letters(a, b),
            _ => cost += STRANGE,
        }
    }
}

/// Letters to insert, delete or change, [`STRANGE`] at most.
fn letters(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) >= STRANGE || a.len().max(b.len()) > 64 {
        return STRANGE;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let changed = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            left = changed.min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
    }
    row.last().map_or(STRANGE, |&cost| cost.min(STRANGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_far_paths_are_apart() {
        for (pattern, path, cost) in [
            ("/v1/users/{id}", "/v1/users/7", 0),
            ("/v1/users", "/v1/user", 1),
            ("/v1/users", "/V1/USERS", 0),
            ("/v1/users", "/v1", STRANGE),
            ("/v1/users", "/v1/elephants", STRANGE),
            ("/f/*", "/f/a/b/c", 0),
            ("/kitten", "/sitting", 3),
        ] {
            assert_eq!(distance(pattern, path), cost, "{pattern} {path}");
        }
    }
}
