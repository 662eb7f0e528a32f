//! Where the keys of tokens come from, as the settings say it.

use crate::base::{Code, Dialect};
use crate::component::Env;
use crate::config::settings::Settings;
use crate::config::weak::go_path;
use crate::gateway::task::Task;
use crate::identity::Keys;
use crate::identity::digest_of;
use crate::identity::jose::KeyIds;
use crate::identity::jwks::{Keeper, Source, SourceEnv, SourceError, SourceOptions};
use crate::identity::verifier::SourceKeys;
use std::sync::Arc;
use std::time::Duration;

/// What the settings say about keys; nothing secret is shown of it.
#[derive(Clone)]
pub(super) struct KeySettings {
    remote: SourceOptions,
    file: Option<FileSettings>,
    pub(super) ids: KeyIds,
}

#[derive(Clone)]
struct FileSettings {
    path: String,
    secret_url: String,
    cypher_key: String,
}

/// Keys, and what tells them from others.
pub(super) struct MadeKeys {
    pub(super) keys: Arc<dyn Keys>,
    pub(super) task: Option<Arc<dyn Task>>,
    pub(super) name: String,
}

/// Whether KrakenD lets nobody in: an address without TLS, which it also finds where there is none.
pub(super) fn is_off(s: &mut Settings<'_>) -> bool {
    if s.bool_or("disable_jwk_security", false) {
        return false;
    }
    let url = s.string("jwk_url").unwrap_or_default();
    if url.starts_with("https://") {
        return false;
    }
    let message =
        "keys are not fetched without TLS; as in KrakenD, every request is answered with 401";
    let hint = "write an https:// address, or \"disable_jwk_security\": true";
    s.warn_hint("jwk_url", Code::BadValue, message, hint);
    true
}

impl KeySettings {
    pub(super) fn read(s: &mut Settings<'_>, dialect: Dialect, cache: Duration) -> Option<Self> {
        let url = s.string("jwk_url").unwrap_or_default();
        let path = s.string("jwk_local_path").filter(|path| !path.is_empty());
        let cached = s.bool_or("cache", false);
        if cached && path.is_some() {
            let message = "a file of keys and \"cache\" exclude each other";
            s.error_hint("cache", Code::BadValue, message, "leave \"cache\" away");
        }
        let disable_security = s.bool_or("disable_jwk_security", false);
        if dialect == Dialect::Native {
            check_url(s, &url, path.is_some(), disable_security);
        }
        let remote = SourceOptions {
            cache_duration: cache_duration(s).unwrap_or(cache),
            failed_key_cooldown: cooldown(s, dialect),
            disable_security,
            local_ca: s.string("jwk_local_ca").filter(|path| !path.is_empty()),
            fingerprints: s.list_of_strings("jwk_fingerprints"),
            cipher_suites: suites(s),
            ..SourceOptions::new(url, dialect)
        };
        let (secret_url, cypher_key) = (s.string("secret_url"), s.string("cypher_key"));
        Some(Self {
            file: path.map(|path| FileSettings {
                path,
                secret_url: secret_url.unwrap_or_default(),
                cypher_key: cypher_key.unwrap_or_default(),
            }),
            remote,
            ids: ids(s, dialect),
        })
    }

    /// The keys. What cannot be used goes into the report.
    pub(super) fn make(&self, s: &mut Settings<'_>, env: &Env) -> Option<MadeKeys> {
        let made = match &self.file {
            Some(file) => self.in_file(file),
            None => self.fetched(env),
        };
        made.map_err(|error| unusable(s, &error, self.remote.dialect))
            .ok()
    }

    fn in_file(&self, file: &FileSettings) -> Result<MadeKeys, SourceError> {
        let keeper = match file.secret_url.as_str() {
            "" => None,
            url => Some(Keeper::new(url, &file.cypher_key)?),
        };
        // A file counts by what is in it, so that a reload finds its verifier again unless it changed. Looked at before
        // the keys are read: what changes in between is found by the next reload.
        let content = std::fs::read(&file.path).unwrap_or_default();
        let source = Source::file(&file.path, keeper.as_ref(), self.remote.dialect)?;
        Ok(MadeKeys {
            name: format!("file {} {:x?}", file.path, digest_of(&content)),
            keys: Arc::new(SourceKeys::new(source, self.ids)),
            task: None,
        })
    }

    fn fetched(&self, env: &Env) -> Result<MadeKeys, SourceError> {
        let around = SourceEnv {
            kept: &env.kept,
            client: &env.client,
            resolver: &env.resolver,
            metrics: &env.metrics,
        };
        let source = Source::kept(&self.remote, &around)?;
        Ok(MadeKeys {
            // Whoever has a verifier of this name holds the source, so that no other one is at its place.
            name: format!("source {:p}", Arc::as_ptr(&source)),
            keys: Arc::new(SourceKeys::new(Arc::clone(&source), self.ids)),
            task: Some(source),
        })
    }
}

/// KrakenD does not look at an address before it asks it, and then lets nobody in.
fn unusable(s: &mut Settings<'_>, error: &SourceError, dialect: Dialect) {
    if dialect == Dialect::Krakend && error.setting == "jwk_url" {
        let message = format!("{}; every request is answered with 401", error.text);
        let hint = "correct this address";
        return s.warn_hint("jwk_url", Code::BadValue, message, hint);
    }
    let hint = match error.setting {
        "jwk_fingerprints" => "write the base64url of the SHA-256 of the server's public key",
        "jwk_local_path" => "name a file with a JSON Web Key Set",
        "jwk_local_ca" => "name a PEM file with certificates",
        "secret_url" | "cypher_key" => "write them as they were when the file was enciphered",
        _ => "correct this setting",
    };
    s.error_hint(error.setting, Code::BadValue, error.text.clone(), hint);
}

fn check_url(s: &mut Settings<'_>, url: &str, has_file: bool, insecure: bool) {
    if url.is_empty() {
        if !has_file {
            let message = "there is nowhere to get keys from";
            let hint = "add \"jwk_url\": \"https://…/jwks.json\" or \"jwk_local_path\"";
            s.error_hint("", Code::MissingKey, message, hint);
        }
        return;
    }
    if url.starts_with("https://") || (insecure && url.starts_with("http://")) {
        return;
    }
    let place = go_path(&s.pointer_of("jwk_url"));
    let (message, hint) = if url.starts_with("http://") {
        (
            format!("'{place}' has no TLS: whoever is in between could put keys of his own there"),
            "write https://, or \"disable_jwk_security\": true where nobody can be",
        )
    } else {
        (
            format!("'{place}' is no address of a web server"),
            "write for example \"https://id.example.org/.well-known/jwks.json\"",
        )
    };
    s.error_hint("jwk_url", Code::BadValue, message, hint);
}

/// Seconds; 0 is the default, as in KrakenD.
fn cache_duration(s: &mut Settings<'_>) -> Option<Duration> {
    let seconds = s.unsigned("cache_duration").filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs)
}

/// Off when shorter than a second, as in KrakenD.
fn cooldown(s: &mut Settings<'_>, dialect: Dialect) -> Option<Duration> {
    let key = "failed_jwk_key_cooldown";
    let read = match dialect {
        Dialect::Native => s.duration(key),
        Dialect::Krakend => super::lenient_duration(s, key),
    };
    read.filter(|cooldown| *cooldown >= Duration::from_secs(1))
}

fn suites(s: &mut Settings<'_>) -> Vec<u16> {
    let numbers = s.list_of_ints("cipher_suites");
    let suites: Vec<u16> = numbers
        .iter()
        .filter_map(|n| u16::try_from(*n).ok())
        .collect();
    if suites.len() != numbers.len() {
        let message = "a cipher suite is a number up to 65535";
        s.error_hint(
            "cipher_suites",
            Code::OutOfRange,
            message,
            "write for example 49199",
        );
    }
    let unknown = crate::net::tls::unknown_suites(&suites);
    if unknown.is_empty() {
        return suites;
    }
    let message = format!("cipher suites that cannot be had: {unknown:?}");
    if unknown.len() == suites.len() {
        let hint = "write for example [49199, 4865]";
        s.error_hint("cipher_suites", Code::BadValue, message, hint);
    } else {
        s.warn("cipher_suites", Code::BadValue, message);
    }
    suites
}

/// KrakenD takes words that it does not know for `kid`.
fn ids(s: &mut Settings<'_>, dialect: Dialect) -> KeyIds {
    let key = "key_identify_strategy";
    let word = match dialect {
        Dialect::Native => s
            .one_of(key, &["kid", "x5t", "x5t#S256", "kid_x5t"])
            .map(str::to_owned),
        Dialect::Krakend => s.string(key),
    };
    word.and_then(|word| KeyIds::of(&word)).unwrap_or_default()
}
