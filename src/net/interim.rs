//! Interim answers (1xx) on their way from the reader of a backend's head to whoever may pass them on.
//!
//! The exchange with the backend and the writing to the client belong to one task, but the one cannot
//! reach the other's session: it leaves what came here and goes on. Without interim answers this is a
//! list that is never filled and asks for no memory. KrakenD drops them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode};

use super::error::NetError;

/// Interim answers before the final one.
const MOST: u32 = 32;

/// Counts one more interim answer of a request.
///
/// # Errors
/// When there are too many.
pub fn count(interims: &mut u32) -> Result<(), NetError> {
    *interims += 1;
    if *interims > MOST {
        return Err(NetError::invalid(
            "net/http: too many 1xx informational responses",
        ));
    }
    Ok(())
}

/// An interim answer: a head without a body.
#[derive(Clone, Debug)]
pub struct Interim {
    /// 100 or from 102 to 199.
    pub status: StatusCode,
    /// Its fields as the backend sent them.
    pub headers: HeaderMap,
}

/// Interim answers that came and wait to be passed on. Bounded by the exchange, which refuses a backend
/// that sends too many.
#[derive(Debug, Default)]
pub struct Interims(Mutex<VecDeque<Interim>>);

impl Interims {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    /// The one that came first.
    pub fn take(&self) -> Option<Interim> {
        self.list().pop_front()
    }

    /// Adds one at the end.
    pub(crate) fn push(&self, interim: Interim) {
        self.list().push_back(interim);
    }

    /// A list that somebody panicked over is still a list.
    fn list(&self) -> MutexGuard<'_, VecDeque<Interim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
