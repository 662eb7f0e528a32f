//! Runs the tasks of the live snapshot: each object once, from the snapshot that brings it to the one that drops it.

use crate::gateway::live::Live;
use crate::gateway::task::Task;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, Id, JoinSet};

/// The pause before a task that panicked runs again.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs what snapshots ask for.
#[derive(Debug)]
pub struct Tasks {
    live: Arc<Live>,
}

impl Tasks {
    /// A runner for the live snapshot.
    pub fn new(live: Arc<Live>) -> Self {
        Self { live }
    }
}

/// A task and how to end it. Holding the task keeps its address from being used for another.
struct Run {
    task: Arc<dyn Task>,
    handle: AbortHandle,
}

/// What tells one task from another.
fn address(task: &Arc<dyn Task>) -> usize {
    Arc::as_ptr(task).cast::<()>() as usize
}

#[derive(Default)]
struct Runs {
    all: HashMap<usize, Run>,
    set: JoinSet<()>,
}

impl Runs {
    /// Starts what is new and ends what is gone.
    fn follow(&mut self, wanted: &[Arc<dyn Task>]) {
        self.all.retain(|at, run| {
            let stays = wanted.iter().any(|task| address(task) == *at);
            if !stays {
                run.handle.abort();
            }
            stays
        });
        for task in wanted {
            if !self.all.contains_key(&address(task)) {
                self.start(Arc::clone(task), Duration::ZERO);
            }
        }
    }

    fn start(&mut self, task: Arc<dyn Task>, pause: Duration) {
        let running = Arc::clone(&task);
        let handle = self.set.spawn(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            running.run().await;
        });
        self.all.insert(address(&task), Run { task, handle });
    }

    /// A task that ended by itself is done; one that panicked runs again.
    fn ended(&mut self, id: Id, panicked: bool) {
        let found = self.all.values().find(|run| run.handle.id() == id);
        let Some(task) = found.map(|run| Arc::clone(&run.task)) else {
            return;
        };
        if panicked {
            log::error!(task = task.name(); "a background task failed and starts again");
            self.start(task, AGAIN);
        }
    }
}

#[async_trait]
impl BackgroundService for Tasks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut runs = Runs::default();
        loop {
            let changed = self.live.changed();
            tokio::pin!(changed);
            // Listens before it looks: a snapshot that is published in between counts.
            changed.as_mut().enable();
            let wanted = self.live.read(|gateway| gateway.tasks.clone());
            runs.follow(&wanted.0);
            loop {
                tokio::select! {
                    () = &mut changed => break,
                    Some(ended) = runs.set.join_next_with_id() => match ended {
                        Ok((id, ())) => runs.ended(id, false),
                        Err(error) => runs.ended(error.id(), error.is_panic()),
                    },
                    _ = shutdown.wait_for(|down| *down) => return,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::task::Running;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Counting {
        began: AtomicU32,
        fails: AtomicU32,
    }

    impl Task for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn run(self: Arc<Self>) -> Running {
            Box::pin(async move {
                self.began.fetch_add(1, Ordering::SeqCst);
                let left = self.fails.load(Ordering::SeqCst);
                if left > 0 {
                    self.fails.store(left - 1, Ordering::SeqCst);
                    panic!("on purpose");
                }
                std::future::pending().await
            })
        }
    }

    async fn until(what: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if what() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never came about");
    }

    #[tokio::test]
    async fn a_task_that_two_snapshots_hold_runs_once() {
        let counting = Arc::new(Counting::default());
        let task: Arc<dyn Task> = counting.clone();
        let mut runs = Runs::default();
        runs.follow(&[Arc::clone(&task)]);
        until(|| counting.began.load(Ordering::SeqCst) == 1).await;
        runs.follow(&[task]);
        tokio::task::yield_now().await;
        assert_eq!(counting.began.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_task_that_is_dropped_ends() {
        let task: Arc<dyn Task> = Arc::new(Counting::default());
        let mut runs = Runs::default();
        runs.follow(&[task]);
        runs.follow(&[]);
        let ended = runs.set.join_next().await.unwrap();
        assert!(ended.unwrap_err().is_cancelled());
        assert!(runs.all.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_starts_again() {
        let counting = Arc::new(Counting::default());
        counting.fails.store(1, Ordering::SeqCst);
        let mut runs = Runs::default();
        runs.follow(&[counting.clone() as Arc<dyn Task>]);
        let error = runs.set.join_next_with_id().await.unwrap().unwrap_err();
        runs.ended(error.id(), error.is_panic());
        tokio::time::sleep(AGAIN * 2).await;
        assert_eq!(counting.began.load(Ordering::SeqCst), 2);
    }
}
