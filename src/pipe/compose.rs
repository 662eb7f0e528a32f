//! The merge of several calls: all start at once unless they are to follow each other, each ends by the
//! deadline, results are taken in the order of arrival. What is there counts; only when nothing is there is the request an error.

use crate::base::{Dialect, Error, Reason};
use crate::body::{Merge, Part};
use crate::gateway::message::Answer;
use crate::gateway::snapshot::{Backend, Compose, Merging, Staged, Statics, Strategy};
use crate::gateway::stage::SealStage;
use crate::net::Deadline;
use crate::pipe::call::{Fields, Inbound, call};
use crate::pipe::{sequential, shadow, staged};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;

/// A composed answer before it is rendered.
#[derive(Debug)]
pub struct Composed {
    /// The merged answer; data that is `None` prints as `null`.
    pub answer: Answer,
    /// Parts that failed, for the log; the answer stands without them.
    pub errors: Vec<Error>,
}

/// Calls every backend of an endpoint, merges what comes back and adds the endpoint's static data.
/// `fields` holds one list of selected and added fields for each backend, those of the shadows behind the
/// others; where the endpoint has stages, one list for them.
///
/// # Errors
/// When no part came at all: the error of the only backend, or one that joins all texts. Or what a stage of
/// the endpoint refused.
pub async fn compose(
    compose: &Compose,
    inbound: Inbound<'_>,
    fields: Vec<Fields>,
) -> Result<Composed, Error> {
    let dialect = inbound.ctx.gateway.dialect;
    let composed = match &compose.staged {
        None => whole(compose, &inbound, fields).await,
        // Boxed: few endpoints have stages, and all requests would carry their room.
        Some(staged) => Box::pin(around(compose, staged, inbound, fields)).await,
    };
    match &compose.seal {
        None => composed,
        Some(seal) => sealed(&**seal, composed, dialect),
    }
}

/// What the one with the last word makes of an answer. It gets whole ones only: what it says of the data must not rest
/// on data that is missing.
fn sealed(
    seal: &dyn SealStage,
    composed: Result<Composed, Error>,
    dialect: Dialect,
) -> Result<Composed, Error> {
    let sealed = composed.and_then(|mut composed| {
        if !composed.errors.is_empty() {
            return Err(joined(composed.errors, dialect));
        }
        seal.seal(&mut composed.answer)?;
        Ok(composed)
    });
    sealed.map_err(|error| match dialect {
        Dialect::Native => error,
        // As in KrakenD one status says it all; the log knows more.
        Dialect::Krakend => Error::new(Reason::SigningFailed, error.text),
    })
}

/// The pipe with the endpoint's stages around it. They do not see what is not whole: as in KrakenD an error of
/// one part keeps them away from the rest (reference/krakend-components section 0.4).
async fn around(
    compose: &Compose,
    staged: &Staged,
    mut inbound: Inbound<'_>,
    fields: Vec<Fields>,
) -> Result<Composed, Error> {
    let ctx = inbound.ctx;
    let fields = fields.into_iter().next().unwrap_or_default();
    let mut request = staged::request(staged, &inbound, fields);
    let (entered, own) = staged::before(&staged.stages, &mut request, ctx).await?;
    let mut composed = match own {
        Some(answer) => Composed {
            answer,
            errors: Vec::new(),
        },
        None => {
            inbound.params = staged::changed(request.params.clone(), &inbound);
            inbound.query = Some(request.query.clone());
            inbound.body.clone_from(&request.body);
            let fields = compose
                .all()
                .map(|backend| backend.forward.narrowed(&request.headers));
            whole(compose, &inbound, fields.collect()).await?
        }
    };
    if composed.errors.is_empty() {
        let answer = &mut composed.answer;
        staged::after(&staged.stages, entered, &request, answer, ctx).await?;
    }
    Ok(composed)
}

/// The pipe inside the endpoint's stages.
async fn whole(
    compose: &Compose,
    inbound: &Inbound<'_>,
    mut fields: Vec<Fields>,
) -> Result<Composed, Error> {
    if let Some(shadow) = &compose.shadow {
        let beside = fields.split_off(compose.backends.len().min(fields.len()));
        shadow::start(shadow, inbound, beside);
    }
    let result = called(compose, inbound, fields).await;
    match &compose.statics {
        Some(statics) => with_statics(statics, result),
        None => result,
    }
}

/// Static data overwrites top-level keys where its strategy matches; where nothing came at all it becomes
/// the answer, and the error is only logged (reference/krakend-core section 9.5).
fn with_statics(statics: &Statics, result: Result<Composed, Error>) -> Result<Composed, Error> {
    let complete = result
        .as_ref()
        .is_ok_and(|composed| composed.answer.complete);
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
        answer: Answer::default(),
        errors: vec![error],
    });
    composed
        .answer
        .data
        .get_or_insert_default()
        .extend(statics.data.clone());
    Ok(composed)
}

/// The calls themselves, with an empty list of errors for one that succeeded whole.
pub(super) async fn called(
    compose: &Compose,
    inbound: &Inbound<'_>,
    fields: Vec<Fields>,
) -> Result<Composed, Error> {
    let mut fields = fields.into_iter();
    let backends = match &*compose.backends {
        [] => return Err(Error::new(Reason::NoHosts, "endpoint without backends")),
        [backend] => {
            let deadline = inbound.deadline(compose.merge_timeout);
            return single(
                backend,
                inbound,
                fields.next().unwrap_or_default(),
                deadline,
            )
            .await;
        }
        backends => backends,
    };
    let deadline = inbound.deadline(compose.merge_timeout);
    let merged = match &compose.merging {
        Merging::Parallel => {
            let values = &inbound.params;
            let calls = backends.iter().map(|one| {
                let fields = fields.next().unwrap_or_default();
                raced(one, inbound, fields, values, deadline)
            });
            parallel(calls.collect(), inbound.ctx.gateway.dialect).await?
        }
        Merging::Sequential(wanted) => {
            let fields = fields.collect();
            Box::pin(sequential::call(
                backends, wanted, inbound, fields, deadline,
            ))
            .await?
        }
    };
    Ok(flattened(compose, merged))
}

/// `flatmap_filter` of the endpoint: only over what is free of errors.
fn flattened(compose: &Compose, mut composed: Composed) -> Composed {
    if let Some(flatmap) = &compose.flatmap
        && composed.errors.is_empty()
    {
        composed.answer.data = flatmap.apply(composed.answer.data.take());
    }
    composed
}

async fn single(
    backend: &Backend,
    inbound: &Inbound<'_>,
    fields: Fields,
    deadline: Deadline,
) -> Result<Composed, Error> {
    let mut answer = raced(backend, inbound, fields, &inbound.params, deadline).await?;
    answer.complete &= answer.data.is_some();
    Ok(Composed {
        answer,
        errors: Vec::new(),
    })
}

async fn parallel(
    mut calls: FuturesUnordered<impl Future<Output = Result<Answer, Error>>>,
    dialect: Dialect,
) -> Result<Composed, Error> {
    let mut merging = Parts::new(calls.len());
    while let Some(result) = calls.next().await {
        merging.push(result);
    }
    merging.finish(dialect)
}

/// Answers on their way to become one. What stages said of status and fields survives only if a single
/// part arrived.
#[derive(Debug)]
pub(super) struct Parts {
    merge: Merge<Error>,
    arrived: usize,
    only: Answer,
}

impl Parts {
    pub(super) fn new(expected: usize) -> Self {
        Self {
            merge: Merge::new(expected),
            arrived: 0,
            only: Answer::default(),
        }
    }

    pub(super) fn push(&mut self, result: Result<Answer, Error>) {
        let part = result.map(|mut answer| {
            let part = Part {
                data: answer.data.take(),
                complete: answer.complete,
            };
            self.arrived += 1;
            self.only = if self.arrived == 1 {
                answer
            } else {
                Answer::default()
            };
            part
        });
        self.merge.push(part);
    }

    /// The merged answer.
    ///
    /// # Errors
    /// All texts, when nothing arrived.
    pub(super) fn finish(self, dialect: Dialect) -> Result<Composed, Error> {
        let merged = self.merge.finish();
        if merged.arrived == 0 {
            return Err(joined(merged.errors, dialect));
        }
        Ok(Composed {
            answer: Answer {
                data: merged.data,
                complete: merged.complete,
                ..self.only
            },
            errors: merged.errors,
        })
    }
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
pub(super) async fn raced(
    backend: &Backend,
    inbound: &Inbound<'_>,
    fields: Fields,
    values: &[(String, String)],
    deadline: Deadline,
) -> Result<Answer, Error> {
    if backend.concurrent_calls <= 1 {
        return call(backend, inbound, fields, values, deadline).await;
    }
    let deadline = deadline.earlier(inbound.deadline(backend.call_timeout));
    let mut copies: FuturesUnordered<_> = (0..backend.concurrent_calls)
        .map(|_| call(backend, inbound, fields.clone(), values, deadline))
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
                answer: Answer {
                    data,
                    complete: true,
                    ..Answer::default()
                },
                errors: Vec::new(),
            })
        };
        let partial = || {
            let data = Some(Object::with("a", Value::string("b")));
            Ok(Composed {
                answer: Answer {
                    data,
                    ..Answer::default()
                },
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
                let has = got.is_ok_and(|c| c.answer.data.is_some_and(|d| d.get("s").is_some()));
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
