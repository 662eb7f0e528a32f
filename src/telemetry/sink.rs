//! Standard output as a bounded buffer: whoever logs appends under a short lock and never waits for
//! the terminal, the pipe or the disk; one background task writes. When the reader of our output is
//! too slow, lines are dropped and counted, requests are not.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that may wait to be written before lines are dropped.
const CAPACITY: usize = 4 << 20;
/// Above this the flusher is woken at once, below it writes at its own pace.
const WAKE_AT: usize = 64 << 10;
/// How long a line may wait when little happens.
const PACE: Duration = Duration::from_millis(50);

/// A buffer in front of standard output.
#[derive(Debug)]
pub struct Sink {
    waiting: Mutex<Vec<u8>>,
    /// Held while bytes leave the process, so that lines keep their order.
    writing: Mutex<Vec<u8>>,
    dropped: AtomicU64,
    wake: tokio::sync::Notify,
}

impl Sink {
    /// The one sink of this process.
    pub fn stdout() -> &'static Sink {
        static SINK: Sink = Sink::new();
        &SINK
    }

    const fn new() -> Self {
        Self {
            waiting: Mutex::new(Vec::new()),
            writing: Mutex::new(Vec::new()),
            dropped: AtomicU64::new(0),
            wake: tokio::sync::Notify::const_new(),
        }
    }

    /// Appends one line that `write` produces; it must end with a newline.
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() > CAPACITY {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = waiting.len();
        write(&mut waiting);
        let crossed = before < WAKE_AT && waiting.len() >= WAKE_AT;
        drop(waiting);
        if crossed {
            self.wake.notify_one();
        }
    }

    /// Lines that were dropped because nobody read our output fast enough.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes everything that waits. Blocks; for the flusher, for start-up and for the end.
    pub fn flush(&self) {
        let mut writing = lock(&self.writing);
        std::mem::swap(&mut *writing, &mut *lock(&self.waiting));
        if writing.is_empty() {
            return;
        }
        let mut out = std::io::stdout().lock();
        // Nobody to tell when our own output is gone.
        let _ = out.write_all(&writing);
        let _ = out.flush();
        writing.clear();
        writing.shrink_to(WAKE_AT * 4);
    }

    /// Writes what comes in until the future is dropped.
    pub async fn run(&'static self) {
        loop {
            let _ = tokio::time::timeout(PACE, self.wake.notified()).await;
            if !lock(&self.waiting).is_empty() {
                let _ = tokio::task::spawn_blocking(|| self.flush()).await;
            }
        }
    }
}

/// A panicking logger must not silence the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_and_counts_lines_when_nobody_writes() {
        let sink = Sink::new();
        sink.line(|out| out.resize(CAPACITY + 1, b'x'));
        sink.line(|out| out.extend_from_slice(b"late\n"));
        assert_eq!(sink.dropped(), 1);
        assert_eq!(lock(&sink.waiting).len(), CAPACITY + 1);
    }
}
