//! The settings of signed tokens, which `auth/validator` and `jwt` of `hanzo/auth` share, and what is made of them
//! (reference/krakend-components section 1.1).
//!
//! Differs from KrakenD: natively settings that cannot work refuse the file, where KrakenD answers 401 for ever or
//! ends; a file of keys needs no `disable_jwk_security`; scopes without `scopes_key` are refused, where they are
//! not looked at; and what is left of the names that claims may be told in is only what cannot do harm.

mod claims;
mod keys;

use crate::base::{Code, Dialect, Problem, Report, Severity};
use crate::component::Env;
use crate::config::settings::Settings;
use crate::config::weak::go_path;
use crate::gateway::task::Task;
use crate::identity::jose::{Algorithm, KeyIds};
use crate::identity::{
    Access, Bearer, Keys, Match, Mint, Naming, Rules, Verifier, VerifierOptions,
};
use http::HeaderName;
use std::sync::Arc;
use std::time::Duration;

use self::keys::KeySettings;

/// Every key of these settings.
pub const TOKEN_KEYS: &[&str] = &[
    "alg",
    "jwk_url",
    "jwk_local_path",
    "secret_url",
    "cypher_key",
    "cache",
    "cache_duration",
    "jwk_fingerprints",
    "jwk_local_ca",
    "cipher_suites",
    "disable_jwk_security",
    "issuer",
    "audience",
    "audience_match",
    "roles_key",
    "roles_key_is_nested",
    "roles",
    "scopes_key",
    "scopes_matcher",
    "scopes",
    "propagate_claims",
    "propagate_claims_preserve_array",
    "key_identify_strategy",
    "cookie_key",
    "auth_header_name",
    "operation_debug",
    "leeway",
    "failed_jwk_key_cooldown",
];

/// What holds where the file says nothing.
#[derive(Clone, Copy, Debug)]
pub struct TokenDefaults {
    /// `leeway`.
    pub leeway: Duration,
    /// `cache_duration`.
    pub cache: Duration,
    /// `audience_match`.
    pub audience: Match,
}

impl TokenDefaults {
    /// Those of `auth/validator`.
    pub const VALIDATOR: Self = Self {
        leeway: Duration::from_secs(1),
        cache: Duration::from_secs(900),
        audience: Match::All,
    };
    /// Those of `hanzo/auth` (contract section 5).
    pub const HANZO: Self = Self {
        leeway: Duration::from_secs(30),
        cache: Duration::from_secs(3600),
        audience: Match::Any,
    };
}

/// What the settings say.
#[derive(Clone)]
pub struct Tokens {
    /// What tokens must say.
    pub rules: Rules,
    /// Where they stand in a request.
    pub bearer: Bearer,
    /// Roles and scopes.
    pub access: Access,
    /// What backends are told.
    pub mint: Mint,
    /// `operation_debug`.
    pub debug: bool,
    keys: KeySettings,
}

/// What became of reading the settings.
pub enum TokensRead {
    /// They are good.
    Good(Box<Tokens>),
    /// KrakenD's dialect: it starts with them and lets nobody in.
    Off,
    /// The file is refused; the report says why.
    Refused,
}

/// Reads the settings. Findings go into the report of `s`.
pub fn read_tokens(s: &mut Settings<'_>, dialect: Dialect, defaults: TokenDefaults) -> TokensRead {
    s.known(TOKEN_KEYS);
    let from = s.report().problems.len();
    let tokens = tokens(s, dialect, defaults);
    let off = dialect == Dialect::Krakend && keys::is_off(s);
    match judge(s.report(), from, dialect) {
        Judgement::Good if off => TokensRead::Off,
        Judgement::Good => tokens.map_or(TokensRead::Refused, |t| TokensRead::Good(Box::new(t))),
        Judgement::Off => TokensRead::Off,
        Judgement::Refused => TokensRead::Refused,
    }
}

enum Judgement {
    Good,
    Off,
    Refused,
}

/// KrakenD does not decode settings with a wrong type in them, and lets nobody in; what it can decode and not use
/// ends it.
fn judge(report: &mut Report, from: usize, dialect: Dialect) -> Judgement {
    let fresh = report.problems.get_mut(from..).unwrap_or_default();
    let is_error = |problem: &&mut Problem| problem.severity == Severity::Error;
    if !fresh.iter().any(|p| p.severity == Severity::Error) {
        return Judgement::Good;
    }
    let undecoded = fresh
        .iter()
        .any(|problem| matches!(problem.code, Code::WrongType | Code::OutOfRange));
    if dialect == Dialect::Native || !undecoded {
        return Judgement::Refused;
    }
    for problem in fresh.iter_mut().filter(is_error) {
        problem.severity = Severity::Warning;
        problem
            .message
            .push_str("; as in KrakenD, every request is answered with 401");
    }
    Judgement::Off
}

fn tokens(s: &mut Settings<'_>, dialect: Dialect, defaults: TokenDefaults) -> Option<Tokens> {
    let algorithm = algorithm(s, dialect);
    let rules = Rules {
        issuer: s.string("issuer").filter(|i| !i.is_empty()).map(Into::into),
        audience: s
            .list_of_strings("audience")
            .into_iter()
            .map(Into::into)
            .collect(),
        audience_match: matching(s, "audience_match", defaults.audience),
        leeway: leeway(s, dialect, defaults.leeway),
        ..Rules::new(algorithm.unwrap_or(Algorithm::Rs256), dialect)
    };
    let access = claims::access(s, dialect);
    let mint = claims::mint(s, dialect);
    let bearer = bearer(s, dialect);
    let keys = KeySettings::read(s, dialect, defaults.cache);
    let debug = s.bool_or("operation_debug", false);
    algorithm?;
    Some(Tokens {
        rules,
        bearer: bearer?,
        access,
        mint,
        debug,
        keys: keys?,
    })
}

fn algorithm(s: &mut Settings<'_>, dialect: Dialect) -> Option<Algorithm> {
    let Some(word) = s.string("alg") else {
        if dialect == Dialect::Krakend && !s.has("alg") {
            let message = "\"alg\" is missing, and KrakenD has no default for it";
            s.error_hint("", Code::MissingKey, message, "add \"alg\": \"RS256\"");
            return None;
        }
        return Some(Algorithm::Rs256);
    };
    let found = Algorithm::of(&word);
    if found.is_none() {
        let all: Vec<_> = Algorithm::ALL.iter().map(|known| known.word()).collect();
        let message = format!("'{}' is no algorithm", go_path(&s.pointer_of("alg")));
        let hint = format!("write one of {}", all.join(", "));
        s.error_hint("alg", Code::BadValue, message, hint);
    }
    found
}

/// `any` or `all`.
fn matching(s: &mut Settings<'_>, key: &str, default: Match) -> Match {
    match s.one_of(key, &["any", "all"]) {
        Some("all") => Match::All,
        Some(_) => Match::Any,
        None => default,
    }
}

/// Natively as written. KrakenD takes what is shorter than a second or no duration for a second.
fn leeway(s: &mut Settings<'_>, dialect: Dialect, default: Duration) -> Duration {
    if dialect == Dialect::Native {
        return s.duration("leeway").unwrap_or(default);
    }
    let read = lenient_duration(s, "leeway");
    let second = Duration::from_secs(1);
    read.map_or(default, |leeway| leeway.max(second))
}

/// A duration that KrakenD parses itself: a text, or a wrong type; one that cannot be parsed is none.
fn lenient_duration(s: &mut Settings<'_>, key: &str) -> Option<Duration> {
    let text = s.string(key)?;
    let nanos = crate::config::duration::parse(&text).ok();
    if nanos.is_none() && !text.is_empty() {
        let message = format!(
            "'{}' is no duration; as in KrakenD the default holds",
            go_path(&s.pointer_of(key))
        );
        s.warn(key, Code::BadDuration, message);
    }
    Some(Duration::from_nanos(u64::try_from(nanos?).unwrap_or(0)))
}

fn bearer(s: &mut Settings<'_>, dialect: Dialect) -> Option<Bearer> {
    let or = |text: Option<String>, default: &str| {
        let text = text.filter(|text| !text.is_empty());
        text.unwrap_or_else(|| default.to_owned())
    };
    let field = or(s.string("auth_header_name"), "Authorization");
    let cookie = or(s.string("cookie_key"), "access_token");
    let Ok(field) = HeaderName::from_bytes(field.as_bytes()) else {
        let message = "this is no name of a header field";
        let hint = "write for example \"Authorization\"";
        s.error_hint("auth_header_name", Code::BadValue, message, hint);
        return None;
    };
    Some(Bearer::new(field, &cookie, dialect))
}

/// A verifier and the work that it needs beside the requests.
pub struct MadeVerifier {
    /// The verifier; the same for the same settings.
    pub verifier: Arc<Verifier>,
    /// Fetches its keys.
    pub task: Option<Arc<dyn Task>>,
}

impl Tokens {
    /// The verifier of these settings: the one that is there for them, or a new one. What can only be found wrong now –
    /// files, fingerprints – goes into the report.
    pub fn verifier(
        &self,
        s: &mut Settings<'_>,
        env: &Env,
        naming: &Naming,
    ) -> Option<MadeVerifier> {
        let made = self.keys.make(s, env)?;
        let name = format!(
            "verifier {:?} {naming:?} {:?} {:?} {}",
            self.rules, self.mint, self.keys.ids, made.name
        );
        let keys: Arc<dyn Keys> = made.keys;
        let verifier = env.kept.get_or(&name, || {
            Verifier::new(VerifierOptions {
                rules: self.rules.clone(),
                keys,
                naming: naming.clone(),
                mint: self.mint.clone(),
            })
        });
        Some(MadeVerifier {
            verifier,
            task: made.task,
        })
    }

    /// How tokens name their keys.
    pub const fn key_ids(&self) -> KeyIds {
        self.keys.ids
    }
}

#[cfg(test)]
mod tests;
