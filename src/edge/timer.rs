//! One timer for a connection's whole life. Deadlines move on with every request and every chunk, and
//! nearly all of them are never reached: the timer is only set anew when it fires too early, or when the
//! next deadline is an earlier one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::time::{Sleep, sleep_until};

/// Wakes a connection when a deadline has passed.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Ready when the deadline has passed; may be asked with another one each time.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        if sleep.deadline().into_std() > deadline {
            sleep.as_mut().reset(deadline.into());
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_costs_a_second_sleep_and_an_earlier_one_is_met() {
        let mut timer = Timer::default();
        let now = tokio::time::Instant::now().into_std();
        let (early, late) = (now + Duration::from_secs(1), now + Duration::from_secs(50));
        let pending = |timer: &mut Timer, at| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            timer.poll(&mut cx, at).is_pending()
        };
        assert!(pending(&mut timer, early));
        assert!(pending(&mut timer, late));
        assert!(pending(&mut timer, early));
        let past = now - Duration::from_millis(1);
        poll_fn(|cx| timer.poll(cx, past)).await;
    }
}
