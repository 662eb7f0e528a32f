//! What a component is at request time: it sees heads or one call, decides, and records changes. It
//! never holds a socket, and it costs nothing when it needs not wait.

use crate::base::field::same;
use crate::base::{Error, Reply};
use crate::gateway::ctx::Ctx;
use crate::gateway::head::Head;
use crate::gateway::message::{Answer, Request};
use crate::gateway::rate_fields::RateFields;
use crate::gateway::rate_limit::RateLimits;
use http::{HeaderName, HeaderValue};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// What a stage decided.
#[derive(Debug)]
pub enum Flow {
    /// Go on.
    Next,
    /// Answer with this; nothing behind is asked.
    Reply(Reply),
}

/// A decision or the reason why there is none.
pub type Outcome = Result<Flow, Error>;

/// A decision now, or a wait that costs one box.
pub enum Step<'a, T = Flow> {
    /// Decided without waiting.
    Now(Result<T, Error>),
    /// Decided later.
    Wait(Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>),
}

impl Step<'_> {
    /// Go on, at no cost.
    pub const NEXT: Step<'static> = Step::Now(Ok(Flow::Next));
}

impl<T> Step<'_, T> {
    /// The outcome, waited for if need be.
    ///
    /// # Errors
    /// The stage's.
    pub async fn outcome(self) -> Result<T, Error> {
        match self {
            Step::Now(outcome) => outcome,
            Step::Wait(later) => later.await,
        }
    }
}

/// A change to a head, recorded by a stage and written by whichever lane serves the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Replaces every field of this name by one.
    Set(HeaderName, HeaderValue),
    /// Adds a field.
    Append(HeaderName, HeaderValue),
    /// Takes every field of this name away.
    Remove(HeaderName),
}

/// Changes recorded while a request walks through.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// For the heads that go to backends, after header selection.
    pub upstream: Vec<Edit>,
    /// For the answer's head.
    pub answer: Vec<Edit>,
    /// What it says of limits besides.
    pub limits: RateFields,
}

impl Edit {
    /// Whether it takes away what is there under this name, in any case.
    fn clears(&self, name: &str) -> bool {
        match self {
            Self::Set(own, _) | Self::Remove(own) => same(own.as_str().as_bytes(), name.as_bytes()),
            Self::Append(..) => false,
        }
    }
}

impl Edits {
    /// Makes edits of what the answer says of limits; for those who write no fields by themselves.
    pub fn settle(&mut self) {
        self.limits.settle(&mut self.answer);
    }

    /// Whether a field that was there before the edits is there after them.
    pub fn spare(edits: &[Edit], name: &str) -> bool {
        !edits.iter().any(|edit| edit.clears(name))
    }

    /// The lengths of the names that the edits take away, a bit for each modulo 64.
    pub fn lengths(edits: &[Edit]) -> u64 {
        edits.iter().fold(0, |lengths, edit| match edit {
            Edit::Set(own, _) | Edit::Remove(own) => lengths | 1 << (own.as_str().len() % 64),
            Edit::Append(..) => lengths,
        })
    }

    /// What the edits add and do not take away again.
    pub fn added(edits: &[Edit]) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        edits.iter().enumerate().filter_map(|(at, edit)| {
            let (Edit::Set(name, value) | Edit::Append(name, value)) = edit else {
                return None;
            };
            let later = edits.get(at + 1..).unwrap_or_default();
            Self::spare(later, name.as_str()).then_some((name, value))
        })
    }

    /// Applies edits to a list of fields.
    pub fn apply(edits: &[Edit], fields: &mut Vec<(HeaderName, HeaderValue)>) {
        for edit in edits {
            match edit {
                Edit::Set(name, value) => {
                    fields.retain(|(n, _)| n != name);
                    fields.push((name.clone(), value.clone()));
                }
                Edit::Append(name, value) => fields.push((name.clone(), value.clone())),
                Edit::Remove(name) => fields.retain(|(n, _)| n != name),
            }
        }
    }
}

/// What a stage says of a request without asking anybody: for `explain`.
#[derive(Debug, Default)]
pub struct Foretold {
    /// What it looks at and how that stands, a sentence each. Nothing in them is a credential.
    pub notes: Vec<String>,
    /// Why it will refuse, whatever anybody else answers.
    pub refusal: Option<Error>,
}

impl Foretold {
    /// Adds a sentence.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds a refusal; the first one counts.
    pub fn refuse(&mut self, error: impl Into<Error>) {
        self.refusal.get_or_insert_with(|| error.into());
    }
}

/// Sees heads only, so bodies may stream. Service and endpoint level.
pub trait HeadStage: Send + Sync {
    /// The word for `explain` and traces: the component's namespace.
    fn name(&self) -> &'static str;

    /// Whether it wants the body: it is read whole before the endpoint's stages run, and stands in
    /// [`Ctx::rewritten`]. Endpoint level only.
    fn reads_body(&self) -> bool {
        false
    }

    /// Whether it may put its own version of the request into [`Ctx::rewritten`].
    fn rewrites(&self) -> bool {
        self.reads_body()
    }

    /// Decides about a request. `head` is what the client sent, or what a stage before made of it; a stage that
    /// changes more than fields puts its own version into [`Ctx::rewritten`].
    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        edits: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a>;

    /// What it will say of a request, as far as that is known without asking anybody; `now` is counted from the epoch.
    fn foretell(&self, _head: &dyn Head, _now: Duration) -> Foretold {
        Foretold::default()
    }

    /// The rate limits that it asks, for whoever only looks.
    fn limits(&self) -> RateLimits {
        RateLimits::new()
    }

    /// Somebody in front answered or refused a request: records what its client is told of limits all the same, and
    /// takes nothing.
    fn tell(&self, _head: &dyn Head, _edits: &mut Edits, _ctx: &Ctx) {}
}

/// Sees every request's head before anything else is done about it, so that whatever becomes of it – a redirect, a
/// 404, a refusal – carries what the stage recorded. An endpoint's take the place of the service's for what meets
/// that endpoint, a preflight that asks about it among them.
pub trait DoorStage: Send + Sync {
    /// The word for `explain` and traces: the component's namespace.
    fn name(&self) -> &'static str;

    /// Decides about a request, at once and counting nothing: a lane may ask and then leave the request to
    /// another, which asks again. A reply is the answer; nothing behind is asked.
    fn on_request(&self, head: &dyn Head, edits: &mut Edits) -> Option<Reply>;
}

/// One call to one backend, before it is made.
#[derive(Debug)]
pub struct Call {
    /// Fields that go to the backend.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Path and query that go to the backend.
    pub target: String,
}

/// What a call brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// The backend's status; `None` when there was no answer.
    pub status: Option<u16>,
}

/// Wraps one call to a single backend, streamed or composed.
pub trait CallStage: Send + Sync {
    /// The word for `explain` and traces: the component's namespace.
    fn name(&self) -> &'static str;

    /// Decides about a call; runs again on each retry.
    fn before<'a>(&'a self, call: &'a mut Call, ctx: &'a Ctx) -> Step<'a>;

    /// Sees what the call brought; runs in reverse order, only if `before` ran.
    fn after(&self, _called: &Result<Called, Error>, _ctx: &Ctx) {}

    /// The rate limits that it asks, for whoever only looks.
    fn limits(&self) -> RateLimits {
        RateLimits::new()
    }
}

/// What a stage of the pipe decided.
#[derive(Debug)]
pub enum Go {
    /// Go on.
    Next,
    /// Nothing behind is asked; this is the answer, and the stage's own `after` still sees it.
    Answer(Box<Answer>),
}

/// Sees and may change whole requests and answers: around an endpoint's pipe (`EndpointDraft::pipe`), around
/// a backend's call with its decoded data (`BackendDraft::pipe`), or around the exchange on the wire
/// before its status is looked at and its body decoded (`BackendDraft::wire`).
pub trait PipeStage: Send + Sync {
    /// The word for `explain` and traces: the component's namespace.
    fn name(&self) -> &'static str;

    /// Whether `after` looks at a body that was not decoded (`no-op`, and on the wire). It is read whole for
    /// such a stage; without one it passes as it comes.
    fn reads_body(&self) -> bool {
        false
    }

    /// Decides about a request, which it may change. An error is the answer of this pipe or call.
    fn before<'a>(&'a self, _request: &'a mut Request, _ctx: &'a Ctx) -> Step<'a, Go> {
        Step::Now(Ok(Go::Next))
    }

    /// Sees the answer and may change it; runs in reverse order, only if `before` let the request pass and
    /// nothing failed behind it. The request is as it was left by this stage and those behind it.
    fn after<'a>(
        &'a self,
        _request: &'a Request,
        _answer: &'a mut Answer,
        _ctx: &'a Ctx,
    ) -> Step<'a, ()> {
        Step::Now(Ok(()))
    }
}

/// Has the last word about a composed answer, behind every other stage. Where parts of an answer failed, nothing comes to
/// it: at an endpoint with such a stage that is an error. Endpoint level.
pub trait SealStage: Send + Sync + fmt::Debug {
    /// The word for `explain` and traces: the component's namespace.
    fn name(&self) -> &'static str;

    /// Changes the answer's data.
    ///
    /// # Errors
    /// What the client gets in its place.
    fn seal(&self, answer: &mut Answer) -> Result<(), Error>;

    /// Whether the answer is its data in JSON and what stages said, without any field of the gateway's own.
    fn bare(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, COOKIE};

    #[test]
    fn edits_are_applied_in_order() {
        let value = HeaderValue::from_static;
        let mut fields = vec![
            (COOKIE, value("a")),
            (COOKIE, value("b")),
            (ACCEPT, value("c")),
        ];
        let edits = [
            Edit::Set(COOKIE, value("d")),
            Edit::Append(COOKIE, value("e")),
            Edit::Remove(ACCEPT),
        ];
        Edits::apply(&edits, &mut fields);
        assert_eq!(fields, [(COOKIE, value("d")), (COOKIE, value("e"))]);
    }

    #[test]
    fn written_field_by_field_they_come_to_the_same() {
        let value = HeaderValue::from_static;
        let before = [(COOKIE, value("a")), (ACCEPT, value("b"))];
        let one = [
            Edit::Set(COOKIE, value("1")),
            Edit::Append(COOKIE, value("2")),
            Edit::Remove(COOKIE),
            Edit::Append(ACCEPT, value("3")),
        ];
        for (i, j, k) in (0..64).map(|n| (n % 4, n / 4 % 4, n / 16)) {
            let edits = [one[i].clone(), one[j].clone(), one[k].clone()];
            let mut applied = before.to_vec();
            Edits::apply(&edits, &mut applied);
            let mut written: Vec<_> = before
                .iter()
                .filter(|(name, _)| Edits::spare(&edits, name.as_str()))
                .cloned()
                .collect();
            written.extend(Edits::added(&edits).map(|(n, v)| (n.clone(), v.clone())));
            assert_eq!(written, applied, "{edits:?}");
        }
    }
}
