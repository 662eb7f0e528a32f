//! The moment by which an exchange must be over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::clock;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

/// A moment after which waiting ends, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Waits for ever.
    pub const NEVER: Self = Self(None);

    /// Ends at a moment.
    pub const fn at(moment: Instant) -> Self {
        Self(Some(moment))
    }

    /// Ends after a span from now; a span too long to express means never.
    pub fn after(span: Duration) -> Self {
        Self(Instant::from_std(clock::now()).checked_add(span))
    }

    /// The moment, `None` for never.
    pub const fn moment(self) -> Option<Instant> {
        self.0
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }

    /// Time left; `None` for never, zero when it has passed.
    pub fn left(self) -> Option<Duration> {
        self.0
            .map(|moment| moment.saturating_duration_since(clock::now().into()))
    }

    /// Runs a future until the deadline; `None` when it passed first. A future that is ready at once
    /// costs no timer.
    pub fn run<F: Future>(self, future: F) -> Run<F> {
        Run {
            future,
            sleep: None,
            deadline: self,
        }
    }
}

pin_project! {
    /// A future with a deadline. Not an `async fn`: that would hold its argument twice, and the futures
    /// of an exchange are nested.
    #[derive(Debug)]
    #[must_use]
    pub struct Run<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Option<Sleep>,
        deadline: Deadline,
    }
}

impl<F: Future> Future for Run<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(done) = this.future.poll(cx) {
            return Poll::Ready(Some(done));
        }
        let Some(moment) = this.deadline.0 else {
            return Poll::Pending;
        };
        if this.sleep.is_none() {
            this.sleep.set(Some(tokio::time::sleep_until(moment)));
        }
        match this.sleep.as_pin_mut().map(|sleep| sleep.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_of_never_and_a_moment_is_the_moment() {
        let moment = Deadline::at(Instant::now());
        assert_eq!(Deadline::NEVER.earlier(moment), moment);
        assert_eq!(moment.earlier(Deadline::NEVER), moment);
    }

    #[tokio::test]
    async fn a_past_deadline_still_takes_what_is_ready() {
        let past = Deadline::at(Instant::now());
        assert_eq!(past.run(async { 1 }).await, Some(1));
        assert_eq!(past.run(std::future::pending::<()>()).await, None);
    }
}
