//! Signals: SIGTERM drains, a second one ends at once; SIGINT ends at once; SIGQUIT hands the sockets over
//! to the next process; SIGHUP reloads.

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// Every signal that means something, received from the moment this is made. What arrives before somebody
/// waits for it is kept; by default each of them would end the process, without a drain and without the
/// last lines of the log.
#[derive(Debug)]
pub struct Caught {
    hangup: Signal,
    ending: Ending,
}

#[derive(Debug)]
struct Ending {
    quit: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Caught {
    /// Takes the signals from the system.
    ///
    /// # Errors
    /// When it does not give them.
    pub fn new() -> io::Result<Self> {
        // Handlers are the process's and outlive the runtime that installs them; whichever runtime runs
        // later tells the streams.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let _entered = runtime.enter();
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            ending: Ending {
                quit: signal(SignalKind::quit())?,
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
        })
    }

    /// SIGHUP for the reload, the others for the end.
    pub fn split(self, draining: &'static AtomicBool) -> (Signal, Signals) {
        (
            self.hangup,
            Signals {
                draining,
                ending: Mutex::new(self.ending),
            },
        )
    }
}

/// Waits for the signal that ends this process.
#[derive(Debug)]
pub struct Signals {
    /// Set as soon as the end begins, so that answers retire their connections.
    draining: &'static AtomicBool,
    ending: Mutex<Ending>,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let mut ending = self.ending.lock().await;
        let Ending {
            quit,
            terminate,
            interrupt,
        } = &mut *ending;
        let (what, name) = tokio::select! {
            _ = quit.recv() => (ShutdownSignal::GracefulUpgrade, "SIGQUIT"),
            _ = terminate.recv() => (ShutdownSignal::GracefulTerminate, "SIGTERM"),
            _ = interrupt.recv() => (ShutdownSignal::FastShutdown, "SIGINT"),
        };
        log::info!("{name}: shutting down");
        self.draining.store(true, Ordering::Relaxed);
        what
    }
}
