//! What one configuration revokes with: the filter, those of earlier configurations that still count, and the doors by
//! which revocations come.

use crate::component::Env;
use crate::gateway::kept::Kept;
use crate::gateway::task::{Running, Task};
use crate::identity::gob::Calls;
use crate::identity::revoked::{Filter, Shape};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{file, rpc, socket};

/// How often it is looked whether the sets are to rotate.
const TICK: Duration = Duration::from_millis(250);
/// The pause before a door that cannot be opened is tried again: the one of the last configuration may still stand.
pub(super) const AGAIN: Duration = Duration::from_millis(200);
/// Filters of earlier shapes that count.
const MOST_ELDERS: usize = 16;
/// Longest line of a file or a socket.
pub(super) const MAX_LINE: usize = 4096;

/// Where revocations are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Doors {
    /// KrakenD's remote calls.
    pub(super) port: Option<SocketAddr>,
    /// A file with an element on each line.
    pub(super) file: Option<PathBuf>,
    /// A socket with a command on each line.
    pub(super) socket: Option<PathBuf>,
}

/// The one that runs, for the next configuration to find.
#[derive(Default)]
struct Last(Mutex<Weak<Admin>>);

/// The state of one configuration's revocations.
pub(super) struct Admin {
    filter: Arc<Filter>,
    /// Filters of other shapes that a reload took out of service: what they hold is revoked all the same.
    elders: Vec<Arc<Filter>>,
    pub(super) doors: Doors,
    last: Arc<Last>,
    rotations: AtomicU64,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}

impl Last {
    fn get(&self) -> Option<Arc<Admin>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade()
    }

    fn set(&self, admin: &Arc<Admin>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(admin);
    }
}

impl Admin {
    /// That of the running configuration if nothing changes, else a new one that knows what the old one knew.
    ///
    /// # Errors
    /// What is wrong with the shape.
    pub(super) fn find(env: &Env, shape: Shape, doors: Doors) -> Result<Arc<Self>, &'static str> {
        let kept: &Kept = &env.kept;
        let fresh = Filter::new(shape)?;
        let filter = kept.get_or(&format!("auth/revoker {shape:?}"), || fresh);
        let last = kept.get_or("auth/revoker", Last::default);
        let running = last.get();
        let name = format!("auth/revoker {shape:?} {doors:?}");
        Ok(kept.get_or(&name, || {
            let elders = running.map(|admin| admin.elders_of(&filter));
            Self {
                filter,
                elders: elders.unwrap_or_default(),
                doors,
                last,
                rotations: AtomicU64::new(0),
            }
        }))
    }

    /// The filters that count beside one that takes over.
    fn elders_of(&self, heir: &Arc<Filter>) -> Vec<Arc<Filter>> {
        let all = std::iter::once(&self.filter).chain(&self.elders);
        let others = all.filter(|filter| !Arc::ptr_eq(filter, heir) && !filter.is_empty());
        others.take(MOST_ELDERS).cloned().collect()
    }

    /// Whether an element was revoked; it is told in parts.
    pub(super) fn has(&self, parts: &[&[u8]]) -> bool {
        self.filter.has(parts) || self.elders.iter().any(|filter| filter.has(parts))
    }

    /// Revokes an element.
    pub(super) fn revoke(&self, element: &[u8]) {
        self.filter.add(element);
    }

    /// How many elements the filter is made for.
    pub(super) fn room(&self) -> u64 {
        self.filter.shape().elements
    }

    /// How often the sets have rotated.
    pub(super) fn rotations(&self) -> u64 {
        self.rotations.load(Ordering::Acquire)
    }

    /// Reads the file, if there is one, where blocking is fine: nothing is served before what it names is revoked.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn read_file(&self) -> io::Result<()> {
        match &self.doors.file {
            Some(path) => file::Watched::new(path).read_all(self),
            None => Ok(()),
        }
    }

    async fn turn(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            let now = Instant::now();
            if self.filter.rotate_if_due(now) {
                self.rotations.fetch_add(1, Ordering::AcqRel);
            }
            for elder in &self.elders {
                elder.rotate_if_due(now);
            }
        }
    }
}

impl Calls for Admin {
    fn add(&self, elements: &[&[u8]]) -> usize {
        for element in elements {
            self.revoke(element);
        }
        log::info!(elements = elements.len(); "tokens were revoked by a remote call");
        elements.len()
    }

    fn check(&self, elements: &[&[u8]]) -> Vec<bool> {
        elements
            .iter()
            .map(|element| self.has(&[element]))
            .collect()
    }
}

impl Task for Admin {
    fn name(&self) -> &'static str {
        "auth/revoker"
    }

    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move {
            self.last.set(&self);
            tokio::join!(
                self.turn(),
                file::watch(&self),
                rpc::serve(&self),
                socket::serve(&self),
            );
        })
    }
}
