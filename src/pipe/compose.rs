//! The merge of several calls: all start at once, each ends by the deadline, results are taken in the
//! order of arrival. What is there counts; only when nothing is there is the request an error.

use crate::base::{Dialect, Error, Reason};
use crate::body::{Data, Merge, Part};
use crate::gateway::snapshot::{Backend, Compose, Statics, Strategy};
use crate::net::Deadline;
use crate::pipe::call::{Fields, Inbound, call};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;

/// A composed answer before it is rendered.
#[derive(Debug)]
pub struct Composed {
    /// The merged data; `None` is `null`.
    pub data: Data,
    /// Whether every part came and was whole.
    pub complete: bool,
    /// Parts that failed, for the log; the answer stands without them.
    pub errors: Vec<Error>,
}

/// Calls every backend of an endpoint, merges what comes back and adds the endpoint's static data.
/// `fields` holds one list of selected and added fields for each backend.
///
/// # Errors
/// When no part came at all: the error of the only backend, or one that joins all texts.
pub async fn compose(
    compose: &Compose,
    inbound: &Inbound<'_>,
    fields: Vec<Fields>,
) -> Result<Composed, Error> {
    let result = called(compose, inbound, fields).await;
    match &compose.statics {
        Some(statics) => with_statics(statics, result),
        None => result,
    }
}

/// Static data overwrites top-level keys where its strategy matches; where nothing came at all it becomes
/// the answer, and the error is only logged (reference/krakend-core section 9.5).
fn with_statics(statics: &Statics, result: Result<Composed, Error>) -> Result<Composed, Error> {
    let complete = result.as_ref().is_ok_and(|composed| composed.complete);
    let failed = result
        .as_ref()
        .map_or(true, |composed| !composed.errors.is_empty());
    let matches = match statics.strategy {
        Strategy::Always => true,
        Strategy::Success => !failed,
        Strategy::Errored => failed,
        Strategy::Complete => !failed && complete,
        Strategy::Incomplete => !complete,
    };
    if !matches {
        return result;
    }
    let mut composed = result.unwrap_or_else(|error| Composed {
        data: None,
        complete: false,
        errors: vec![error],
    });
    composed
        .data
        .get_or_insert_default()
        .extend(statics.data.clone());
    Ok(composed)
}

async fn called(
    compose: &Compose,
    inbound: &Inbound<'_>,
    fields: Vec<Fields>,
) -> Result<Composed, Error> {
    let mut fields = fields.into_iter();
    match &*compose.backends {
        [] => Err(Error::new(Reason::NoHosts, "endpoint without backends")),
        [backend] => single(backend, inbound, fields.next().unwrap_or_default()).await,
        backends => {
            let deadline = inbound.deadline(compose.merge_timeout);
            let calls: FuturesUnordered<_> = backends
                .iter()
                .map(|one| raced(one, inbound, fields.next().unwrap_or_default(), deadline))
                .collect();
            merged(backends.len(), calls, inbound.ctx.gateway.dialect).await
        }
    }
}

async fn single(
    backend: &Backend,
    inbound: &Inbound<'_>,
    fields: Fields,
) -> Result<Composed, Error> {
    let deadline = inbound.deadline(inbound.endpoint.timeout);
    let part = raced(backend, inbound, fields, deadline).await?;
    Ok(Composed {
        complete: part.complete && part.data.is_some(),
        data: part.data,
        errors: Vec::new(),
    })
}

async fn merged(
    expected: usize,
    mut calls: FuturesUnordered<impl Future<Output = Result<Part, Error>>>,
    dialect: Dialect,
) -> Result<Composed, Error> {
    let mut merge = Merge::new(expected);
    while let Some(result) = calls.next().await {
        merge.push(result);
    }
    let merged = merge.finish();
    if merged.arrived == 0 {
        return Err(joined(merged.errors, dialect));
    }
    Ok(Composed {
        data: merged.data,
        complete: merged.complete,
        errors: merged.errors,
    })
}

/// One error for several: all texts, and in native the reason that says most about the cause.
fn joined(errors: Vec<Error>, dialect: Dialect) -> Error {
    let text = errors
        .iter()
        .map(|e| e.text.as_ref())
        .collect::<Vec<_>>()
        .join("\n");
    let reason = match dialect {
        Dialect::Krakend => Reason::BackendStatus,
        // A time-out is a cause of others' failures more often than the reverse.
        Dialect::Native => errors
            .iter()
            .map(|e| e.reason)
            .max_by_key(|reason| reason.status())
            .unwrap_or(Reason::BackendStatus),
    };
    Error::new(reason, text)
}

/// One backend, called as often at the same time as `concurrent_calls` asks; the first whole part wins
/// and the others are cancelled.
async fn raced(
    backend: &Backend,
    inbound: &Inbound<'_>,
    fields: Fields,
    deadline: Deadline,
) -> Result<Part, Error> {
    if backend.concurrent_calls <= 1 {
        return call(backend, inbound, fields, deadline).await;
    }
    let deadline = deadline.earlier(inbound.deadline(backend.call_timeout));
    let mut copies: FuturesUnordered<_> = (0..backend.concurrent_calls)
        .map(|_| call(backend, inbound, fields.clone(), deadline))
        .collect();
    let mut last = None;
    while let Some(result) = copies.next().await {
        match result {
            Ok(part) if part.complete => return Ok(part),
            other => last = Some(other),
        }
    }
    last.unwrap_or_else(|| Err(Error::new(Reason::NoHosts, "no copies to race")))
}

/// 85 % of a timeout in whole nanoseconds, as KrakenD computes it.
pub fn merge_timeout(timeout: Duration) -> Duration {
    percent(timeout, 85)
}

/// 75 % of a timeout, for calls that race.
pub fn race_timeout(timeout: Duration) -> Duration {
    percent(timeout, 75)
}

fn percent(timeout: Duration, percent: u128) -> Duration {
    Duration::from_nanos(u64::try_from(timeout.as_nanos() * percent / 100).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Object, Value};

    #[test]
    fn several_failures_become_one_error_with_every_text() {
        let errors = vec![
            Error::new(Reason::ConnectRefused, "first"),
            Error::new(Reason::BackendTimeout, "second"),
        ];
        let native = joined(errors.clone(), Dialect::Native);
        assert_eq!(
            (native.reason, native.text.as_ref()),
            (Reason::BackendTimeout, "first\nsecond")
        );
        let krakend = joined(errors, Dialect::Krakend);
        assert_eq!(krakend.text, "first\nsecond");
    }

    #[test]
    fn static_data_follows_its_strategy() {
        let whole = || {
            let data = Some(Object::with("a", Value::string("b")));
            Ok(Composed {
                data,
                complete: true,
                errors: Vec::new(),
            })
        };
        let partial = || {
            let data = Some(Object::with("a", Value::string("b")));
            Ok(Composed {
                data,
                complete: false,
                errors: vec![Reason::BackendTimeout.into()],
            })
        };
        let nothing = || Err(Reason::BackendTimeout.into());
        for (strategy, [on_whole, on_partial, on_nothing]) in [
            (Strategy::Always, [true, true, true]),
            (Strategy::Success, [true, false, false]),
            (Strategy::Errored, [false, true, true]),
            (Strategy::Complete, [true, false, false]),
            (Strategy::Incomplete, [false, true, true]),
        ] {
            let statics = Statics {
                strategy,
                data: Object::with("s", Value::Bool(true)),
            };
            for (result, wanted) in [
                (whole(), on_whole),
                (partial(), on_partial),
                (nothing(), on_nothing),
            ] {
                let got = with_statics(&statics, result);
                let has = got.is_ok_and(|c| c.data.is_some_and(|d| d.get("s").is_some()));
                assert_eq!(has, wanted, "{strategy:?}");
            }
        }
    }

    #[test]
    fn timeouts_are_cut_in_whole_nanoseconds() {
        assert_eq!(
            merge_timeout(Duration::from_millis(100)),
            Duration::from_millis(85)
        );
        assert_eq!(
            race_timeout(Duration::from_nanos(10)),
            Duration::from_nanos(7)
        );
    }
}
