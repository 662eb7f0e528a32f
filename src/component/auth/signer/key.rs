//! The key that signs: out of a file when the configuration is read, or fetched beside the requests.

use crate::base::Dialect;
use crate::component::Env;
use crate::gateway::task::{Running, Task};
use crate::identity::jose::{Algorithm, SignError, Signer};
use crate::identity::jwks::{Fetcher, Keeper, SourceEnv, SourceError, SourceOptions, read_file};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The pause after a first failed fetch; doubled after each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// What is known of the key.
#[derive(Clone)]
pub(super) enum State {
    /// It was asked for the first time.
    Asked,
    /// It could not be had, so far or for ever.
    Failed,
    /// It is there.
    Ready(Arc<Signer>),
}

/// Which key.
pub(super) struct Who<'w> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: &'w str,
    pub(super) dialect: Dialect,
}

impl Who<'_> {
    fn of(&self, set: &[u8]) -> Result<Signer, SignError> {
        Signer::from_set(self.algorithm, set, self.kid, self.dialect)
    }
}

/// Where a key is fetched.
struct Remote {
    fetcher: Fetcher,
    algorithm: Algorithm,
    kid: Box<str>,
    dialect: Dialect,
}

/// A key, or the way to it.
pub(super) struct Key {
    state: watch::Sender<State>,
    remote: Option<Remote>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A setting that gives no key.
pub(super) struct Wrong {
    pub(super) setting: &'static str,
    pub(super) text: String,
}

impl From<SourceError> for Wrong {
    fn from(error: SourceError) -> Self {
        Self {
            setting: error.setting,
            text: error.text,
        }
    }
}

impl Key {
    /// The key of a file.
    pub(super) fn from_file(
        who: &Who<'_>,
        path: &str,
        (secret_url, cypher_key): (&str, &str),
    ) -> Result<Arc<Self>, Wrong> {
        let keeper = match secret_url {
            "" => None,
            url => Some(Keeper::new(url, cypher_key)?),
        };
        let text = read_file(path, keeper.as_ref())?;
        let signer = who.of(&text).map_err(|error| Wrong {
            setting: "jwk_local_path",
            text: format!("no key to sign with: {error}"),
        })?;
        Ok(Arc::new(Self {
            state: watch::Sender::new(State::Ready(Arc::new(signer))),
            remote: None,
        }))
    }

    /// A key that is to be fetched; the same one for all endpoints with these settings, and after a reload.
    pub(super) fn from_url(
        who: &Who<'_>,
        options: &SourceOptions,
        env: &Env,
    ) -> Result<Arc<Self>, Wrong> {
        let around = SourceEnv {
            kept: &env.kept,
            client: &env.client,
            resolver: &env.resolver,
            metrics: &env.metrics,
        };
        let fresh = Self {
            state: watch::Sender::new(State::Asked),
            remote: Some(Remote {
                fetcher: Fetcher::new(options, &around)?,
                algorithm: who.algorithm,
                kid: who.kid.into(),
                dialect: who.dialect,
            }),
        };
        let name = format!("auth/signer {options:?} {:?} {}", who.algorithm, who.kid);
        Ok(env.kept.get_or(&name, || fresh))
    }

    /// The work that fetches it, if there is some.
    pub(super) fn task(self: &Arc<Self>) -> Option<Arc<dyn Task>> {
        self.remote
            .is_some()
            .then(|| Arc::clone(self) as Arc<dyn Task>)
    }

    /// What is known now.
    pub(super) fn state(&self) -> watch::Ref<'_, State> {
        // A reference that is not of a receiver's marks nothing as seen.
        self.state.borrow()
    }

    /// What is known once the first fetch has ended, or after this time.
    pub(super) async fn settled(&self, patience: Duration) -> State {
        let mut changes = self.state.subscribe();
        let settled = changes.wait_for(|state| !matches!(state, State::Asked));
        match timeout(patience, settled).await {
            Ok(Ok(state)) => state.clone(),
            _ => State::Asked,
        }
    }

    async fn fetch(&self, remote: &Remote) {
        let mut pause = PAUSE;
        let who = Who {
            algorithm: remote.algorithm,
            kid: &remote.kid,
            dialect: remote.dialect,
        };
        loop {
            let text = remote.fetcher.text().await;
            let signer = match text {
                Ok((text, _)) => who.of(&text).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match signer {
                Ok(signer) => {
                    self.state.send_replace(State::Ready(Arc::new(signer)));
                    return;
                }
                Err(error) => {
                    let host = remote.fetcher.host();
                    log::error!(service = host; "the key of auth/signer could not be had: {error}");
                    self.state.send_replace(State::Failed);
                }
            }
            if remote.dialect == Dialect::Krakend {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }
}

impl Task for Key {
    fn name(&self) -> &'static str {
        "auth/signer"
    }

    fn run(self: Arc<Self>) -> Running {
        Box::pin(async move {
            if let Some(remote) = &self.remote
                && !matches!(*self.state(), State::Ready(_))
            {
                self.fetch(remote).await;
            }
        })
    }
}
