//! Memory that a request on the fast lane needs for a moment: taken from this thread when its head is
//! read, given back when it is answered, so that a request allocates nothing for it and an idle
//! connection holds none.

use crate::gateway::charge::Charge;
use crate::gateway::http1::Span;
use crate::gateway::lane::MAX_FIELDS;
use crate::gateway::stage::Edit;
use crate::proxy::Exchange;
use std::cell::{Cell, RefCell};

/// Rooms that rest on a thread; more requests than that are rarely under way at once.
const RESTING: usize = 64;
/// Largest buffer that a resting room may hold.
const LARGEST: usize = 32 << 10;

/// Longest list that a resting room may have room for.
const MOST_LISTED: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "a room lies in the future of its request: there it is to be small")]
    static ROOMS: RefCell<Vec<Box<Room>>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes of this thread for as long as `write` works: what is sent at once is put together here, where the last
/// request's was, instead of where each request that waits has its own.
pub fn scratch<R>(write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut bytes = SCRATCH.take();
    let done = write(&mut bytes);
    if bytes.capacity() <= LARGEST {
        bytes.clear();
        SCRATCH.set(bytes);
    }
    done
}

/// Room for one request.
#[derive(Debug)]
pub struct Room {
    /// Where the fields of its head stand.
    pub spans: Vec<Span>,
    /// The bytes for the backend.
    pub out: Vec<u8>,
    /// What stages record for it; empty between requests.
    edits: Vec<Edit>,
    /// What limits take for it; empty between requests.
    charges: Vec<Charge>,
}

impl Room {
    /// A room of this thread, or a new one.
    pub fn take() -> Box<Self> {
        let resting = ROOMS.try_with(|rooms| rooms.try_borrow_mut().ok()?.pop());
        resting.ok().flatten().unwrap_or_else(|| {
            Box::new(Self {
                spans: Vec::with_capacity(MAX_FIELDS),
                out: Vec::with_capacity(1024),
                edits: Vec::new(),
                charges: Vec::new(),
            })
        })
    }

    /// Lends a request its lists, or takes them back.
    pub fn swap_lists(&mut self, x: &mut Exchange) {
        std::mem::swap(&mut self.edits, &mut x.edits.answer);
        std::mem::swap(&mut self.charges, &mut x.ctx.charges);
    }

    /// Gives a room back.
    pub fn rest(mut self: Box<Self>) {
        self.edits.clear();
        self.charges.clear();
        let usable = self.out.capacity() <= LARGEST
            && self.spans.capacity() >= MAX_FIELDS
            && self.edits.capacity().max(self.charges.capacity()) <= MOST_LISTED;
        let _ = ROOMS.try_with(|rooms| {
            if let Ok(mut rooms) = rooms.try_borrow_mut()
                && usable
                && rooms.len() < RESTING
            {
                rooms.push(self);
            }
        });
    }
}
