//! Where scripts run: on threads that may block, never on one that serves connections. A script has a
//! clock, which its interpreter asks every few thousand instructions; a call into C that does not come back
//! keeps its thread and its place among the parallel runs, and the client is answered all the same.

use super::remote::{Fetch, Fetched, fetch};
use crate::base::{Error, Reason};
use crate::gateway::ctx::Ctx;
use crate::gateway::snapshot::Gateway;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Scripts that run at the same time, in the whole process and of one component.
const PARALLEL: usize = 128;
const PARALLEL_OF_ONE: usize = 32;

/// How long after its time a script may take to notice; then the client is answered without it.
const GRACE: Duration = Duration::from_millis(25);

static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(PARALLEL)));

/// The clock of a script.
#[derive(Debug)]
pub(super) struct Meter {
    made: Instant,
    /// Microseconds since `made`.
    until: AtomicU64,
    stopped: AtomicBool,
    fired: AtomicBool,
}

impl Meter {
    /// A clock that has this long.
    pub(super) fn new(span: Duration) -> Arc<Self> {
        let meter = Self {
            made: Instant::now(),
            until: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            fired: AtomicBool::new(false),
        };
        meter.extend(span);
        Arc::new(meter)
    }

    /// This long from now on.
    pub(super) fn extend(&self, span: Duration) {
        let until = self.made.elapsed().saturating_add(span).as_micros();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.until.store(until, Ordering::Relaxed);
    }

    /// Whether the script must end.
    pub(super) fn over(&self) -> bool {
        let elapsed = self.made.elapsed().as_micros();
        let over = self.stopped.load(Ordering::Relaxed)
            || elapsed >= u128::from(self.until.load(Ordering::Relaxed));
        if over {
            self.fired.store(true, Ordering::Relaxed);
        }
        over
    }

    /// Whether the script was told to end.
    pub(super) fn fired(&self) -> bool {
        self.fired.load(Ordering::Relaxed)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// What a script on its thread has of the request's own thread.
#[derive(Debug)]
pub(super) struct Link {
    /// The clock.
    pub(super) meter: Arc<Meter>,
    /// Requests of `http_response`.
    calls: Option<mpsc::Sender<Fetch>>,
    /// Begins each line of `print`.
    pub(super) label: String,
}

impl Link {
    /// A link that leads nowhere.
    #[cfg(test)]
    pub(super) fn alone(span: Duration) -> Self {
        Self {
            meter: Meter::new(span),
            calls: None,
            label: String::new(),
        }
    }

    /// Has a request made by the request's own thread and waits for it.
    pub(super) fn fetch(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<Fetched, String>>) -> Fetch,
    ) -> Result<Fetched, String> {
        let calls = self.calls.as_ref().ok_or("no network here")?;
        let (reply, answer) = oneshot::channel();
        let gone = |_| "context canceled".to_owned();
        calls.blocking_send(make(reply)).map_err(|_| gone(()))?;
        answer.blocking_recv().map_err(|_| gone(()))?
    }
}

/// The bounds of a script.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Longest time; the request's own end comes first when it is nearer.
    pub(super) timeout: Duration,
    /// Bytes of its interpreter, and again of what it makes outside.
    pub(super) memory: usize,
    /// Its places among the parallel runs.
    places: Arc<Semaphore>,
}

impl Limits {
    /// Bounds for one component.
    pub(super) fn new(timeout: Duration, memory: usize) -> Self {
        Self {
            timeout,
            memory,
            places: Arc::new(Semaphore::new(PARALLEL_OF_ONE)),
        }
    }
}

/// Ends the script when nobody waits for it any more.
struct Leash(Arc<Meter>);

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// How long a script of this request may take from now on.
fn span(limits: &Limits, ctx: &Ctx) -> Duration {
    let left = ctx
        .endpoint()
        .map(|endpoint| endpoint.timeout.saturating_sub(ctx.elapsed()));
    left.map_or(limits.timeout, |left| left.min(limits.timeout))
}

/// Runs `job` on a thread that may block.
///
/// # Errors
/// [`Reason::Overloaded`] when too many scripts run, [`Reason::ScriptFailed`] when this one took too long.
pub(super) async fn run<T: Send + 'static>(
    limits: &Limits,
    ctx: &Ctx,
    label: String,
    job: impl FnOnce(Link) -> T + Send + 'static,
) -> Result<T, Error> {
    let span = span(limits, ctx);
    let end = tokio::time::Instant::now() + span + GRACE;
    let places = async {
        let own = limits.places.clone().acquire_owned().await;
        (own, PLACES.clone().acquire_owned().await)
    };
    let places = tokio::time::timeout_at(end, places).await;
    let Ok((Ok(own), Ok(all))) = places else {
        return Err(Error::new(Reason::Overloaded, "too many scripts at once"));
    };
    let meter = Meter::new(span);
    let leash = Leash(meter.clone());
    let (calls, requests) = mpsc::channel(1);
    let link = Link {
        meter,
        calls: Some(calls),
        label,
    };
    let gateway = ctx.gateway.clone();
    let script = tokio::task::spawn_blocking(move || {
        let _places = (own, all);
        job(link)
    });
    let done = tokio::select! {
        biased;
        done = script => done.map_err(|e| {
            log::error!("a script's thread died: {e}");
            Error::new(Reason::Internal, "script died")
        }),
        never = serve(&gateway, requests, end) => match never {},
        () = tokio::time::sleep_until(end) => Err(too_slow(span)),
    };
    drop(leash);
    done
}

/// The error of a script that did not end in time.
pub(super) fn too_slow(span: Duration) -> Error {
    let text = format!("script took more than {span:?}");
    Error::new(Reason::ScriptFailed, text)
}

/// Makes the requests of a script, one after the other, for as long as it runs.
async fn serve(
    gateway: &Gateway,
    mut requests: mpsc::Receiver<Fetch>,
    end: tokio::time::Instant,
) -> std::convert::Infallible {
    while let Some(request) = requests.recv().await {
        fetch(gateway, request, end).await;
    }
    std::future::pending().await
}
