//! From a token to the one who shows it: remembered, or read, its key found, its signature and its claims checked.
//!
//! A token is verified once and then remembered by its digest until it expires, as long as the key that verified it is
//! one of its issuer's: with a key that leaves the set go the tokens that it signed. What was refused for good
//! is remembered for seconds, so that who repeats it costs no signature each time. Nothing waits here but for keys
//! that are not at hand. KrakenD verifies each token twice a request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::claims::ClaimPath;
use super::jose::{Key, KeyIds, MAX_TOKEN, Malformed, ParseOptions, Token};
use super::jwks::{Lookup, Source};
use super::memory::{Bounds, Digest, Memory, digest_of};
use super::mint::Mint;
use super::rules::Rules;
use crate::base::{Error, Reason, clock};
use crate::body::Object;
use crate::gateway::identity::{Identity, Proof, claim_text};
use crate::gateway::stage::Step;

/// Tokens that are remembered for each verifier, and how long they are together, in bytes.
const REMEMBERED: Bounds = Bounds {
    entries: 65_536,
    weight: 32 * 1024 * 1024,
};
/// The same for those that were refused.
const REFUSED: Bounds = Bounds {
    entries: 8_192,
    weight: 8_192,
};
/// How long a refusal is remembered.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// What became of looking for a token's key.
#[derive(Clone, Debug)]
pub enum Found {
    /// The key.
    Key(Arc<Key>),
    /// The issuer's set is at hand and has no such key.
    Unknown,
    /// There has been no set yet.
    Unavailable,
}

/// Looking for a key that is not at hand.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Found> + Send + 'a>>;

/// Where keys come from.
pub trait Keys: Send + Sync {
    /// The key of a token, without waiting.
    fn at_hand(&self, token: &Token) -> Found;

    /// Whether keys that are not at hand may be had by waiting.
    fn may_come(&self) -> bool;

    /// The key of a token, waited for in bounds.
    fn wait_for<'a>(&'a self, token: &'a Token) -> Finding<'a>;
}

/// The keys of a source, by what tokens name them with.
#[derive(Debug)]
pub struct SourceKeys {
    source: Arc<Source>,
    ids: KeyIds,
}

impl SourceKeys {
    /// Keys of this source.
    pub const fn new(source: Arc<Source>, ids: KeyIds) -> Self {
        Self { source, ids }
    }
}

impl From<Lookup> for Found {
    fn from(lookup: Lookup) -> Self {
        match lookup {
            Lookup::Found(key) => Self::Key(key),
            Lookup::Unknown => Self::Unknown,
            Lookup::Unavailable => Self::Unavailable,
        }
    }
}

impl Keys for SourceKeys {
    fn at_hand(&self, token: &Token) -> Found {
        self.source.find(token, self.ids).into()
    }

    fn may_come(&self) -> bool {
        self.source.is_remote()
    }

    fn wait_for<'a>(&'a self, token: &'a Token) -> Finding<'a> {
        Box::pin(async move { self.source.wait_for(token, self.ids).await.into() })
    }
}

/// Which claims say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Naming {
    /// The user.
    pub subject: ClaimPath,
    /// The organisation.
    pub org: ClaimPath,
    /// The plan that was bought.
    pub tier: ClaimPath,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            subject: ClaimPath::flat("sub"),
            org: ClaimPath::flat("org"),
            tier: ClaimPath::flat("tier"),
        }
    }
}

impl Naming {
    /// Somebody whom these claims describe.
    ///
    /// # Errors
    /// When a claim cannot be told to backends ([`Mint::of`]).
    pub fn identity(&self, proof: Proof, claims: Object, mint: &Mint) -> Result<Identity, Error> {
        let named = |path: &ClaimPath| {
            let claim = path.find(&claims)?;
            // Whoever counts by it counts numbers exactly.
            let text = claim_text(claim, crate::base::Dialect::Native);
            Some(Box::<str>::from(&*text))
        };
        Ok(Identity {
            proof: Some(proof),
            subject: named(&self.subject),
            org: named(&self.org),
            tier: named(&self.tier),
            key: None,
            minted: mint.of(&claims)?,
            claims,
        })
    }
}

/// All that a verifier is made of.
pub struct VerifierOptions {
    /// What tokens must say.
    pub rules: Rules,
    /// Where their keys come from.
    pub keys: Arc<dyn Keys>,
    /// Which claims say who it is.
    pub naming: Naming,
    /// What backends are told.
    pub mint: Mint,
}

/// Verifies tokens of one issuer. One for each set of settings, however many endpoints have them.
pub struct Verifier {
    rules: Rules,
    keys: Arc<dyn Keys>,
    naming: Naming,
    mint: Mint,
    known: Memory<Known>,
    refused: Memory<Refused>,
}

/// Somebody, as long as the key is one of the issuer's. Weak: sets own their keys, and one that was replaced
/// takes them with it.
#[derive(Clone)]
struct Known {
    identity: Arc<Identity>,
    key: Weak<Key>,
}

#[derive(Clone)]
struct Refused {
    reason: Reason,
    key: Weak<Key>,
}

/// A token that was read and has its key yet to be found.
struct Fresh {
    digest: Digest,
    length: usize,
    token: Token,
}

impl Verifier {
    /// A verifier that remembers nobody.
    pub fn new(options: VerifierOptions) -> Self {
        Self {
            rules: options.rules,
            keys: options.keys,
            naming: options.naming,
            mint: options.mint,
            known: Memory::new(REMEMBERED),
            refused: Memory::new(REFUSED),
        }
    }

    /// What tokens must say.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Where the keys come from.
    pub(super) fn keys(&self) -> &dyn Keys {
        &*self.keys
    }

    /// Who shows this token at a moment since the epoch. Decided at once, unless its key has to be fetched first.
    ///
    /// # Errors
    /// What is wrong with the token, or that there are no keys to tell.
    pub fn verify(&self, text: &[u8], now: Duration) -> Step<'_, Arc<Identity>> {
        if text.len() > MAX_TOKEN {
            return Step::Now(Err(malformed(Malformed::TooLarge)));
        }
        let digest = digest_of(text);
        let at_home = |key: &Weak<Key>| key.strong_count() > 0;
        if let Some(known) = self.known.get_if(&digest, now, |known| at_home(&known.key)) {
            return Step::Now(Ok(known.identity));
        }
        let refused = self.refused.get_if(&digest, now, |one| at_home(&one.key));
        if let Some(refused) = refused {
            return Step::Now(Err(refused.reason.into()));
        }
        let fresh = match self.read(text, digest) {
            Ok(fresh) => fresh,
            Err(error) => return Step::Now(Err(error)),
        };
        let found = self.keys.at_hand(&fresh.token);
        if !matches!(found, Found::Key(_)) && self.keys.may_come() {
            return Step::Wait(Box::pin(async move {
                let found = self.keys.wait_for(&fresh.token).await;
                self.settle(&fresh, found, clock::since_epoch())
            }));
        }
        Step::Now(self.settle(&fresh, found, now))
    }

    fn read(&self, text: &[u8], digest: Digest) -> Result<Fresh, Error> {
        let options = ParseOptions::new(self.rules.dialect);
        let token = Token::parse_with(text, &options).map_err(malformed)?;
        let (own, wanted) = (token.algorithm(), self.rules.algorithm);
        if own != wanted {
            let told = format!("the token names {own}, not {wanted}");
            return Err(Error::new(Reason::AlgorithmMismatch, told));
        }
        Ok(Fresh {
            digest,
            length: text.len(),
            token,
        })
    }

    /// Decides about a token whose key was looked for.
    fn settle(&self, fresh: &Fresh, found: Found, now: Duration) -> Result<Arc<Identity>, Error> {
        let key = match found {
            Found::Key(key) => key,
            Found::Unknown => return Err(Reason::KeyUnknown.into()),
            Found::Unavailable => {
                return Err(Error::from(Reason::JwksUnavailable).retry_after(1));
            }
        };
        let outcome = self.examine(&fresh.token, &key, now);
        let key = Arc::downgrade(&key);
        match outcome {
            Ok((identity, until)) => {
                let identity = Arc::new(identity);
                let known = Known {
                    identity: Arc::clone(&identity),
                    key,
                };
                self.known.put(fresh.digest, known, until, fresh.length);
                Ok(identity)
            }
            Err(error) => {
                if is_final(error.reason) {
                    let reason = error.reason;
                    let refused = Refused { reason, key };
                    let until = now.saturating_add(REFUSED_FOR);
                    self.refused.put(fresh.digest, refused, until, 1);
                }
                Err(error)
            }
        }
    }

    /// Signature, claims, and who that is.
    fn examine(
        &self,
        token: &Token,
        key: &Key,
        now: Duration,
    ) -> Result<(Identity, Duration), Error> {
        if !token.verify(key) {
            return Err(Reason::SignatureInvalid.into());
        }
        let claims = token.claims().map_err(malformed)?;
        let until = self.rules.check(&claims, now)?;
        let identity = self.naming.identity(Proof::Jwt, claims, &self.mint)?;
        Ok((identity, until))
    }
}

pub(super) fn malformed(why: Malformed) -> Error {
    Error::new(Reason::TokenMalformed, format!("no token: {why}"))
}

/// Whether a token that was refused for this is refused the next time, too.
fn is_final(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SignatureInvalid
            | Reason::TokenMalformed
            | Reason::TokenExpired
            | Reason::ExpiryMissing
            | Reason::IssuerMismatch
            | Reason::AudienceMismatch
    )
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
