//! Where the keys of an issuer come from: an address that a background task asks, or a file.
//!
//! A request reads what is there: one load of a pointer, no lock, no download. Keys are fetched at the start, again
//! before they are too old, and when a token names one that is not there, at most once in ten seconds; whoever waits
//! for that waits two seconds at most. While the issuer fails, the keys that were had last go on.
//!
//! KrakenD downloads on the way of a request, holding a lock of the endpoint, with no bound of time; its cache is
//! per endpoint and forgets keys that it cannot fetch anew. Sources here are shared by all who name the same address
//! in the same way, and outlive a reload.

mod asking;
mod fetcher;
mod file;
mod options;
mod secret;
mod secretbox;

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "servers and tasks of a test end with its runtime"
)]
mod tests;

pub use fetcher::{FetchFailure, Fetcher};
pub use file::read_file;
pub use options::{SourceEnv, SourceError, SourceOptions};
pub use secret::Keeper;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use self::asking::Asking;
use self::fetcher::{Held, Keys};
use super::jose::{Key, KeyIds, KeySet, Skipped, Token};
use crate::base::Dialect;
use crate::gateway::task::{Running, Task};
use crate::net::Deadline;

/// How long a request waits for keys, at most.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Shortest time that keys count, whatever the issuer says.
const SHORTEST: Duration = Duration::from_secs(10);
/// Longest pause after failures; the first one is a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known about a token's key.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The key.
    Found(Arc<Key>),
    /// There are keys, and none of this name.
    Unknown,
    /// There have been no keys yet: `jwks_unavailable`.
    Unavailable,
}

/// The keys of an issuer.
pub struct Source {
    /// Shared with sources of the same issuer that differ in when they ask only, those of an earlier configuration
    /// too: a change of such a setting costs no key.
    held: Arc<Cell>,
    remote: Option<Remote>,
}

/// The keys that count now.
#[derive(Default)]
struct Cell(ArcSwapOption<Held>);

/// What a source that is fetched needs besides.
struct Remote {
    fetcher: Fetcher,
    /// How long keys count, unless the issuer wants less.
    cache: Duration,
    asking: Asking,
}

impl Remote {
    fn new(fetcher: Fetcher, options: &SourceOptions) -> Self {
        Self {
            fetcher,
            cache: options.cache_duration.max(SHORTEST),
            asking: Asking::new(options.failed_key_cooldown),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.remote.as_ref().map(|remote| remote.fetcher.host());
        f.debug_struct("Source")
            .field("host", &host)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// The source of these options, which a source of the same options before is. Reads files, asks nobody: that is
    /// for the task that it is.
    ///
    /// # Errors
    /// The setting that cannot be used.
    pub fn kept(options: &SourceOptions, env: &SourceEnv<'_>) -> Result<Arc<Self>, SourceError> {
        let service = env.client.tls_options();
        let name = options.name(service)?;
        let alike = SourceOptions {
            cache_duration: Duration::ZERO,
            failed_key_cooldown: None,
            ..options.clone()
        };
        let held = env.kept.get_or(&alike.name(service)?, Cell::default);
        let mut wrong = None;
        let source = env.kept.get_or(&name, || {
            let fetcher = Fetcher::new(options, env).map_err(|error| wrong = Some(error));
            Self {
                held,
                remote: fetcher.ok().map(|fetcher| Remote::new(fetcher, options)),
            }
        });
        match wrong {
            // Nobody holds what was made, so nobody finds it again.
            Some(error) => Err(error),
            None => Ok(source),
        }
    }

    /// The keys of a file (`jwk_local_path`), read now; a reload reads them again. Nothing is ever fetched for them.
    ///
    /// # Errors
    /// When the file cannot be read, deciphered or used.
    pub fn file(
        path: &str,
        keeper: Option<&Keeper>,
        dialect: Dialect,
    ) -> Result<Arc<Self>, SourceError> {
        let text = read_file(path, keeper)?;
        let set = KeySet::parse(&text, dialect)
            .map_err(|error| SourceError::new("jwk_local_path", format!("{path}: {error}")))?;
        Ok(Arc::new(Self::fixed(set)))
    }

    /// Keys that never change.
    pub fn fixed(set: KeySet) -> Self {
        let set = Arc::new(set);
        Self {
            held: Arc::new(Cell(ArcSwapOption::from_pointee(Held { set, sum: None }))),
            remote: None,
        }
    }

    /// The key of a token as far as it is known now.
    pub fn find(&self, token: &Token, ids: KeyIds) -> Lookup {
        match &*self.held.0.load() {
            None => Lookup::Unavailable,
            Some(held) => match held.set.find(token, ids) {
                Some(key) => Lookup::Found(Arc::clone(key)),
                None => Lookup::Unknown,
            },
        }
    }

    /// The key of a token; when it is not known, after the keys were fetched once more, if that is due. Waits
    /// [`PATIENCE`] at most, and not at all for a key that is known.
    pub async fn wait_for(&self, token: &Token, ids: KeyIds) -> Lookup {
        let mut found = self.find(token, ids);
        let Some(remote) = &self.remote else {
            return found;
        };
        let name = ids.of_token(token);
        let until = Deadline::after(PATIENCE);
        while !matches!(found, Lookup::Found(_)) {
            let Some(ticket) = remote.asking.ask(&name) else {
                break;
            };
            let in_time = until.run(remote.asking.answered(ticket)).await;
            found = self.find(token, ids);
            match (in_time, &found) {
                (None, _) => break,
                (Some(fetched), Lookup::Unknown) if fetched => remote.asking.note_missing(&name),
                (Some(_), _) => {}
            }
        }
        found
    }

    /// Whether keys have been had.
    pub fn is_available(&self) -> bool {
        self.held.0.load().is_some()
    }

    /// The keys that count now.
    pub fn keys(&self) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.held.0.load().as_ref()?.set))
    }

    /// Whether there is anything to do for a task.
    pub fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Fetches once and publishes what came. Gives the pause until the next time.
    async fn fetch(&self, remote: &Remote, failures: &mut u32) -> Duration {
        let ticket = remote.asking.begin();
        let host = remote.fetcher.host();
        let pause = match remote.fetcher.keys(|| self.held.0.load_full()).await {
            Ok(Keys { held, max_age }) => {
                if std::mem::take(failures) > 0 {
                    log::info!(issuer = host; "keys are fetched again");
                }
                if let Some(held) = held {
                    told(&held.set, host);
                    self.held.0.store(Some(Arc::new(held)));
                }
                refresh_after(remote.cache, max_age)
            }
            Err(failure) => {
                *failures = failures.saturating_add(1);
                let had = self.is_available();
                log::warn!(issuer = host, keys_kept = had; "keys were not fetched: {failure}");
                pause_after(*failures)
            }
        };
        remote.asking.finish(ticket, *failures == 0);
        pause
    }
}

impl Task for Source {
    fn name(&self) -> &'static str {
        "jwks"
    }

    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move {
            let Some(remote) = &self.remote else {
                return;
            };
            let mut failures = 0;
            loop {
                let pause = self.fetch(remote, &mut failures).await;
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = remote.asking.asked() => {}
                }
            }
        })
    }
}

fn told(set: &KeySet, host: &str) {
    log::info!(issuer = host, keys = set.keys().len(); "keys of the issuer changed");
    let skipped = set.skipped();
    if !skipped.is_empty() {
        let why: Vec<String> = skipped.iter().take(8).map(Skipped::to_string).collect();
        log::warn!(issuer = host, skipped = skipped.len(); "keys cannot be used: {}", why.join(", "));
    }
}

/// When to fetch again: at four fifths of the time that the keys count, a little sooner or later so that gateways
/// that started together do not ask together.
fn refresh_after(cache: Duration, max_age: Option<Duration>) -> Duration {
    let counts = max_age.map_or(cache, |age| age.min(cache)).max(SHORTEST);
    counts.mul_f64(0.8 * spread())
}

/// When to try again: 1, 2, 4 … 60 seconds.
fn pause_after(failures: u32) -> Duration {
    let doubled = 1_u64 << failures.saturating_sub(1).min(6);
    Duration::from_secs(doubled)
        .min(LONGEST_PAUSE)
        .mul_f64(spread())
}

fn spread() -> f64 {
    0.95 + 0.1 * fastrand::f64()
}
