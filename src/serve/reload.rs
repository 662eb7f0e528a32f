//! Reload: the file is read, compiled and published while requests go on with the snapshot they pinned.
//! A file with problems changes nothing: the old snapshot keeps serving, and the log says why.

use crate::base::clock;
use crate::compile::{Compiled, Shared};
use crate::gateway::live::Live;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;

/// How often a watched file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Reads the configuration again: the whole way from the file, or the problems as lines for the log.
pub type Read = dyn Fn(&Shared) -> Result<Compiled, Vec<String>> + Send + Sync;

/// The files and folders that a configuration is read from.
pub type Files = Arc<ArcSwap<Vec<PathBuf>>>;

/// How to reload.
pub struct Reload {
    /// The file, for the log.
    pub file: PathBuf,
    /// What is watched: the file first, then what it was rendered from; each reading may change it.
    pub files: Files,
    /// Whether a change of the file reloads it; SIGHUP always does.
    pub watch: bool,
    /// Reads it.
    pub read: Box<Read>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Waits for a reason to reload.
#[derive(Debug)]
pub struct Reloader {
    state: Arc<State>,
    hangup: Mutex<Signal>,
}

#[derive(Debug)]
struct State {
    reload: Reload,
    /// How the files were when this began: a change before the first look counts too.
    began: Vec<Option<Stamp>>,
    live: Arc<Live>,
    shared: Arc<Shared>,
}

impl Reloader {
    /// A reloader of the live snapshot; `hangup` is SIGHUP.
    pub fn new(reload: Reload, hangup: Signal, live: Arc<Live>, shared: Arc<Shared>) -> Self {
        let began = stamps(&reload.files.load());
        let state = Arc::new(State {
            reload,
            began,
            live,
            shared,
        });
        Self {
            state,
            hangup: Mutex::new(hangup),
        }
    }
}

impl State {
    fn apply(&self) {
        let metrics = &self.shared.metrics;
        match (self.reload.read)(&self.shared) {
            Ok(compiled) => {
                self.live.publish(compiled.gateway);
                metrics.published(clock::since_epoch());
                log::info!(file = self.reload.file.display().to_string().as_str(); "configuration reloaded");
            }
            Err(problems) => {
                metrics.reload_successful.set(0);
                for problem in &problems {
                    log::error!("reload refused: {problem}");
                }
                log::error!(problems = problems.len(); "the running configuration stays");
            }
        }
    }
}

type Stamp = (SystemTime, u64, PathBuf);

/// Something that changes when the file does: also when a link to it is turned, as for ConfigMaps.
fn stamp(file: &Path) -> Option<Stamp> {
    let real = std::fs::canonicalize(file).ok()?;
    let meta = std::fs::metadata(&real).ok()?;
    Some((meta.modified().ok()?, meta.len(), real))
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| stamp(file)).collect()
}

#[async_trait]
impl BackgroundService for Reloader {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut hangup = self.hangup.lock().await;
        let state = &self.state;
        let mut seen = state.began.clone();
        loop {
            let due = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(LOOK), if state.reload.watch => {
                    let now = stamps(&state.reload.files.load());
                    // A file that is gone for a moment is being replaced.
                    let changed = now.first().is_some_and(Option::is_some) && now != seen;
                    if changed {
                        seen = now;
                    }
                    changed
                }
                _ = shutdown.wait_for(|down| *down) => return,
            };
            if due {
                let state = Arc::clone(state);
                let _ = tokio::task::spawn_blocking(move || state.apply()).await;
            }
        }
    }
}
