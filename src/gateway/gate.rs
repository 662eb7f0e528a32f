//! Gates: what decides whether a call may be made at all and is told how it ended – breakers, limits of
//! concurrency. A gate never sees a head, so that a backend behind one keeps the lane that its bytes take.
//!
//! Every pass is given back exactly once, also when nobody waits for the call any more: [`Passage`] gives back
//! what it holds when it is dropped.

use crate::base::{Error, Reason};
use crate::gateway::ctx::Ctx;
use crate::gateway::stage::Step;
use crate::net::Lent;
use serde_json::Value;

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// The backend answered with this status, and what belongs to the answer came whole.
    Answered(u16),
    /// It failed; with the backend's status when there was a head.
    Failed(&'a Error, Option<u16>),
    /// Nobody waits for it any more, before the backend said anything.
    Gone,
    /// Nobody waits for it any more; it had begun to answer with this status.
    Left(u16),
}

/// Who waits for a call, as far as gates care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody proved who it is.
    Known,
    /// Nobody did.
    Anonymous,
}

impl Caller {
    /// The caller of a request.
    pub const fn of(ctx: &Ctx) -> Self {
        match ctx.identity {
            Some(_) => Self::Known,
            None => Self::Anonymous,
        }
    }
}

/// Decides whether a call to a backend may be made. The outermost of a call's stages.
pub trait Gate: Send + Sync {
    /// The word for `explain` and statistics: the component's namespace.
    fn name(&self) -> &'static str;

    /// Asks for leave; the number comes back with what becomes of the call.
    ///
    /// # Errors
    /// Why the call is not made.
    fn enter(&self, caller: Caller) -> Step<'_, u64>;

    /// The head of an answer is there whose body streams: it may take long to its end. Not asked for answers
    /// that are read as a whole.
    fn began(&self, _pass: &mut u64, _status: u16) {}

    /// The call is over; asked once for each pass.
    fn leave(&self, pass: u64, ending: Ending<'_>);

    /// What it guards, in one line, for `explain`.
    fn words(&self) -> String;

    /// What `/__stats` shows of it.
    fn figures(&self) -> Option<Value> {
        None
    }
}

/// The gates of one backend, outermost first.
pub type Gates = [Box<dyn Gate>];

/// Most gates of one backend.
pub const MOST: usize = 4;

/// Whether it is the backend that failed, and neither a client nor we.
pub const fn of_backend(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DnsFailed
            | Reason::ConnectRefused
            | Reason::ConnectFailed
            | Reason::ConnectTimeout
            | Reason::TlsFailed
            | Reason::BackendReset
            | Reason::BackendInvalid
            | Reason::BackendTooLarge
            | Reason::BackendTimeout
            | Reason::DecodeFailed
            | Reason::NoHosts
    )
}

/// What the gates of one call gave, and the host that it goes to, for whoever cannot hold a [`Passage`].
#[derive(Debug, Default)]
pub struct Passes {
    numbers: [u64; MOST],
    entered: usize,
    status: Option<u16>,
    host: Option<Lent>,
}

impl Passes {
    /// Whether there is nothing to give back.
    pub const fn is_empty(&self) -> bool {
        self.entered == 0 && self.host.is_none()
    }

    /// The host that the call goes to now. The one before failed, if there was one.
    pub fn meets(&mut self, host: Lent) {
        self.status = None;
        if let Some(before) = self.host.replace(host) {
            before.bad();
        }
    }

    /// The head of a streaming answer is there.
    pub fn began(&mut self, gates: &Gates, status: u16) {
        self.status = Some(status);
        let entered = self.entered;
        for (gate, pass) in gates.iter().zip(&mut self.numbers).take(entered) {
            gate.began(pass, status);
        }
    }

    /// The call is over. What is given back is not given back again.
    pub fn leave(&mut self, gates: &Gates, ending: Ending<'_>) {
        let ending = match (ending, self.status) {
            (Ending::Gone, Some(status)) => Ending::Left(status),
            _ => ending,
        };
        if let Some(host) = self.host.take() {
            match ending {
                Ending::Answered(500..) | Ending::Left(500..) => host.bad(),
                Ending::Answered(_) | Ending::Left(_) => host.good(),
                Ending::Failed(error, _) if of_backend(error.reason) => host.bad(),
                Ending::Failed(_, Some(500..)) => host.bad(),
                Ending::Failed(_, Some(_)) => host.good(),
                Ending::Failed(_, None) | Ending::Gone => {}
            }
        }
        let entered = std::mem::take(&mut self.entered);
        let passes = gates.iter().zip(self.numbers).take(entered);
        // Inside out, as a call returns. A row of at most four, gone through from its end.
        let mut row = [None; MOST];
        for (slot, pass) in row.iter_mut().zip(passes) {
            *slot = Some(pass);
        }
        for (gate, pass) in row.into_iter().rev().flatten() {
            gate.leave(pass, ending);
        }
    }

    /// How a call ended, from its result.
    pub fn ending<'e>(&self, result: Result<u16, &'e Error>) -> Ending<'e> {
        match result {
            Ok(status) => Ending::Answered(status),
            Err(error) if error.reason == Reason::ClientGone => Ending::Gone,
            Err(error) => Ending::Failed(error, self.status),
        }
    }
}

/// The leave of one call, given back when it ends or is given up.
pub struct Passage<'g> {
    gates: &'g Gates,
    passes: Passes,
}

impl<'g> Passage<'g> {
    /// Asks every gate of a backend.
    ///
    /// # Errors
    /// Of the first gate that does not let the call pass; those before it are told.
    pub async fn enter(gates: &'g Gates, caller: Caller) -> Result<Self, Error> {
        let mut passage = Self {
            gates,
            passes: Passes::default(),
        };
        for (gate, at) in gates.iter().zip(0..MOST) {
            match gate.enter(caller).outcome().await {
                Ok(number) => {
                    if let Some(slot) = passage.passes.numbers.get_mut(at) {
                        *slot = number;
                    }
                    passage.passes.entered = at + 1;
                }
                Err(error) => {
                    passage.leave(Err(&error));
                    return Err(error);
                }
            }
        }
        Ok(passage)
    }

    /// The host that the call goes to now. The one before failed, if there was one.
    pub fn meets(&mut self, host: Lent) {
        self.passes.meets(host);
    }

    /// The status of the answer, once its head is there.
    pub const fn status(&self) -> Option<u16> {
        self.passes.status
    }

    /// The host that the call goes to.
    pub fn host(&self) -> Option<&Lent> {
        self.passes.host.as_ref()
    }

    /// The status of an answer that is read as a whole.
    pub fn saw(&mut self, status: u16) {
        self.passes.status = Some(status);
    }

    /// The head of an answer that streams.
    pub fn began(&mut self, status: u16) {
        self.passes.began(self.gates, status);
    }

    /// The call is over: the backend's status, or what it died of.
    pub fn leave(&mut self, result: Result<u16, &Error>) {
        let ending = self.passes.ending(result);
        self.passes.leave(self.gates, ending);
    }

    /// The passes alone; they are to be given back by hand.
    pub fn into_passes(mut self) -> Passes {
        std::mem::take(&mut self.passes)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if !self.passes.is_empty() {
            self.passes.leave(self.gates, Ending::Gone);
        }
    }
}

impl std::fmt::Debug for Passage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.passes.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Writes down what it is told.
    struct Scribe {
        own: u64,
        closed: bool,
        book: Arc<Mutex<Vec<String>>>,
    }

    impl Scribe {
        fn write(&self, line: String) {
            self.book.lock().unwrap().push(line);
        }
    }

    impl Gate for Scribe {
        fn name(&self) -> &'static str {
            "scribe"
        }

        fn words(&self) -> String {
            "writes".to_owned()
        }

        fn enter(&self, _: Caller) -> Step<'_, u64> {
            Step::Now(match self.closed {
                false => Ok(self.own),
                true => Err(Error::from(Reason::Overloaded)),
            })
        }

        fn began(&self, pass: &mut u64, status: u16) {
            self.write(format!("{} began {status}", self.own));
            *pass += 100;
        }

        fn leave(&self, pass: u64, ending: Ending<'_>) {
            let ending = match ending {
                Ending::Answered(status) => format!("answered {status}"),
                Ending::Failed(error, status) => format!("{} {status:?}", error.reason.word()),
                Ending::Gone => "gone".to_owned(),
                Ending::Left(status) => format!("left {status}"),
            };
            self.write(format!("{pass} {ending}"));
        }
    }

    type Book = Arc<Mutex<Vec<String>>>;

    fn gates(closed: &[bool]) -> (Vec<Box<dyn Gate>>, Book) {
        let book = Book::default();
        let scribe = |(at, closed): (usize, &bool)| {
            Box::new(Scribe {
                own: at as u64 + 1,
                closed: *closed,
                book: Arc::clone(&book),
            }) as Box<dyn Gate>
        };
        (closed.iter().enumerate().map(scribe).collect(), book)
    }

    #[tokio::test]
    async fn gates_are_told_of_the_end_from_the_inside_out() {
        let (gates, book) = gates(&[false, false]);
        let mut passage = Passage::enter(&gates, Caller::Anonymous).await.unwrap();
        passage.leave(Ok(204));
        drop(passage);
        assert_eq!(*book.lock().unwrap(), ["2 answered 204", "1 answered 204"]);
    }

    #[tokio::test]
    async fn who_let_a_call_pass_is_told_that_another_did_not() {
        let (gates, book) = gates(&[false, true, false]);
        let refused = Passage::enter(&gates, Caller::Anonymous).await.map(drop);
        assert_eq!(refused.unwrap_err().reason, Reason::Overloaded);
        assert_eq!(*book.lock().unwrap(), ["1 overloaded None"]);
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_is_told_as_gone() {
        let (gates, book) = gates(&[false]);
        drop(Passage::enter(&gates, Caller::Anonymous).await.unwrap());
        let mut passage = Passage::enter(&gates, Caller::Anonymous).await.unwrap();
        passage.leave(Err(&Error::from(Reason::ClientGone)));
        drop(passage);
        assert_eq!(*book.lock().unwrap(), ["1 gone", "1 gone"]);
    }

    #[tokio::test]
    async fn who_leaves_an_answer_that_has_begun_says_that_it_had() {
        let (gates, book) = gates(&[false]);
        let mut passage = Passage::enter(&gates, Caller::Anonymous).await.unwrap();
        passage.saw(200);
        drop(passage);
        let mut passage = Passage::enter(&gates, Caller::Anonymous).await.unwrap();
        passage.saw(503);
        passage.leave(Err(&Error::from(Reason::ClientGone)));
        assert_eq!(*book.lock().unwrap(), ["1 left 200", "1 left 503"]);
    }

    #[tokio::test]
    async fn a_body_that_breaks_is_told_with_the_status_before_it() {
        let (gates, book) = gates(&[false]);
        let mut passage = Passage::enter(&gates, Caller::Anonymous).await.unwrap();
        passage.began(200);
        passage.leave(Err(&Error::from(Reason::BackendReset)));
        let told = ["1 began 200", "101 backend_reset Some(200)"];
        assert_eq!(*book.lock().unwrap(), told);
    }
}
