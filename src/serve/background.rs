//! Small work beside the requests: writing the log, leaving when the last connection is gone, closing
//! what has idled too long.

use crate::edge::connections::Connections;
use crate::telemetry::sink::Sink;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How often the drain looks whether all connections are gone.
const LOOK: Duration = Duration::from_millis(10);
/// Looks in a row that must find no connection: one that was just accepted is counted a moment later.
const CALM: u32 = 10;
/// How often the log is written where it has no thread of its own.
const TURN: Duration = Duration::from_millis(50);

/// Starts the thread that writes log lines until the process ends.
#[derive(Debug)]
pub struct Flush;

#[async_trait]
impl BackgroundService for Flush {
    async fn start(&self, _: ShutdownWatch) {
        let Err(error) = Sink::stdout().start() else {
            return;
        };
        log::error!("no thread for the log, it is written by turns: {error}");
        loop {
            tokio::time::sleep(TURN).await;
            Sink::stdout().flush();
        }
    }
}

/// Ends the process as soon as it is drained: the platform would sleep the whole grace period.
#[derive(Debug)]
pub struct Drain {
    connections: Arc<Connections>,
    draining: &'static AtomicBool,
    grace: Duration,
    /// A folder that goes with the process.
    scratch: Option<PathBuf>,
}

impl Drain {
    /// A drain of at most `grace`; `scratch` is a folder that goes with the process.
    pub fn new(
        connections: Arc<Connections>,
        draining: &'static AtomicBool,
        grace: Duration,
        scratch: Option<PathBuf>,
    ) -> Self {
        Self {
            connections,
            draining,
            grace,
            scratch,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "everything is drained; the platform would sleep on"
    )]
    fn leave(&self) {
        Sink::stdout().flush();
        if let Some(folder) = &self.scratch {
            // Only what this process put there: a folder with anything else in it stays.
            for name in ["pid", "upgrade.sock"] {
                let _ = std::fs::remove_file(folder.join(name));
            }
            let _ = std::fs::remove_dir(folder);
        }
        std::process::exit(0);
    }
}

#[async_trait]
impl BackgroundService for Drain {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        if shutdown.wait_for(|down| *down).await.is_err() {
            return;
        }
        self.draining.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + self.grace;
        let again = second_signal();
        tokio::pin!(again);
        let mut calm = 0;
        loop {
            let open = self.connections.open();
            calm = if open == 0 { calm + 1 } else { 0 };
            if calm == CALM || Instant::now() >= deadline {
                log::info!(connections = open; "drained");
                return self.leave();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = &mut again => {
                    log::warn!(connections = open; "second signal: leaving at once");
                    return self.leave();
                }
            }
        }
    }
}

/// SIGTERM or SIGINT once more.
async fn second_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
