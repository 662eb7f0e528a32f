//! Names and passwords (RFC 7617): bcrypt hashes, checked beside the worker threads and by few at a time.
//!
//! A right password is remembered for a moment under a digest keyed by the process, so that only the first of many
//! requests pays for bcrypt; a changed hash is another digest. A name that nobody has costs what a wrong password costs.

use super::digests::{self, Digest};
use crate::gateway::identity::Identity;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore};

/// How long a right password is not checked again.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many right passwords are remembered, in each part of the memory.
const ROOM: usize = 1024;
/// Parts of the memory, each with a lock of its own.
const PARTS: usize = 16;
/// How many requests may wait for their password to be checked.
const WAITING: usize = 256;
/// The highest cost of a hash: each step doubles the time, and this one takes seconds.
const MAX_COST: u32 = 16;

/// Users by name.
#[derive(Default)]
pub struct Passwords {
    users: HashMap<Box<str>, User>,
    /// What a name that nobody has is checked against: a hash of nothing at each user's cost.
    nobody: Vec<Box<str>>,
}

struct User {
    hash: Box<str>,
    identity: Arc<Identity>,
}

/// Why a hash cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHash {
    /// It is none of bcrypt's; what it looks like.
    Foreign(&'static str),
    /// It begins like one of bcrypt's and is broken.
    Broken,
    /// Checking it would take too long.
    TooCostly,
}

impl BadHash {
    /// What is wrong, in a few words that tell nothing of the hash.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Foreign(words) => words,
            Self::Broken => "it is a broken bcrypt hash",
            Self::TooCostly => "its cost is above 16, so that a login would take many seconds",
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.users.len())
    }
}

impl Passwords {
    /// Takes a user, in place of one of the same name.
    ///
    /// # Errors
    /// Why the hash cannot be used; the user is not taken then.
    pub fn add(&mut self, name: &str, hash: &str, identity: Identity) -> Result<(), BadHash> {
        let hash = hash.trim();
        let cost = cost(hash)?;
        let nobody = format!("$2b${cost:02}${}", "e".repeat(53));
        let user = User {
            hash: hash.into(),
            identity: Arc::new(identity),
        };
        if self.users.insert(name.into(), user).is_none() {
            self.nobody.push(nobody.into());
        }
        Ok(())
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether there is somebody of this name.
    pub fn has(&self, name: &str) -> bool {
        self.users.contains_key(name)
    }

    /// Checks a password here and now, however long it takes: for commands, never for requests.
    pub fn is_right(&self, name: &str, password: &[u8]) -> bool {
        let (hash, user) = self.asked(name);
        bcrypt::verify(password, hash).unwrap_or(false) && user.is_some()
    }

    /// The hash to check, and whether it is anybody's.
    fn asked(&self, name: &str) -> (&str, Option<&User>) {
        if let Some(user) = self.users.get(name) {
            return (&user.hash, Some(user));
        }
        // The same name meets the same cost each time, as it would if it were somebody's.
        let [a, b, c, d, ..] = digests::keyed(&[b"nobody", name.as_bytes()]);
        let at = u32::from_be_bytes([a, b, c, d]) as usize;
        let of = self.nobody.len().max(1);
        let hash = self.nobody.get(at % of).map_or(NOBODY, |hash| hash);
        (hash, None)
    }
}

/// What is checked where there are no users at all.
const NOBODY: &str = "$2b$10$eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

fn cost(hash: &str) -> Result<u32, BadHash> {
    if !hash.starts_with("$2") {
        return Err(BadHash::Foreign(foreign(hash)));
    }
    let parts: bcrypt::HashParts = hash.parse().map_err(|_| BadHash::Broken)?;
    match parts.get_cost() {
        0..=3 => Err(BadHash::Broken),
        cost @ 4..=MAX_COST => Ok(cost),
        _ => Err(BadHash::TooCostly),
    }
}

/// What htpasswd writes besides bcrypt. All of it is too fast to guard a password, or does not guard it at all.
fn foreign(hash: &str) -> &'static str {
    if hash.starts_with("{SHA}") {
        "it is an unsalted SHA-1, which is guessed in no time"
    } else if hash.starts_with("$apr1$") || hash.starts_with("$1$") {
        "it is a hash of MD5, which is guessed too fast"
    } else if hash.starts_with("$5$") || hash.starts_with("$6$") {
        "it is a hash of SHA-2 crypt, which KrakenD does not take either"
    } else if hash.len() == 13 {
        "it is a password in clear or a hash of crypt, which counts eight characters only"
    } else {
        "it is a password in clear, or a hash of a kind that is not known"
    }
}

/// What checking needs in the whole process: a memory, and few places to work at.
pub struct Checker {
    right: [Mutex<HashMap<Digest, Instant>>; PARTS],
    under_way: Mutex<HashMap<Digest, Arc<OnceCell<bool>>>>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Too many passwords wait to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checker")
    }
}

impl Default for Checker {
    /// One that takes half of the processors at most.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(1))
    }
}

impl Checker {
    /// One that checks so many passwords at a time.
    pub fn new(places: usize) -> Self {
        Self {
            right: std::array::from_fn(|_| Mutex::default()),
            under_way: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Who this is, if their password was right a moment ago. Takes microseconds.
    pub fn remembered<'p>(
        &self,
        all: &'p Passwords,
        (name, password): (&str, &[u8]),
        now: Instant,
    ) -> Option<&'p Arc<Identity>> {
        let user = all.users.get(name)?;
        let digest = digest(name, password, &user.hash);
        let until = *self.part(&digest).get(&digest)?;
        (now < until).then_some(&user.identity)
    }

    /// Who this is; `Ok(None)` for nobody, whatever is wrong. Requests with the same name and password wait for one check.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn check(
        &self,
        all: &Passwords,
        (name, password): (&str, &[u8]),
        now: Instant,
    ) -> Result<Option<Arc<Identity>>, Busy> {
        let (hash, user) = all.asked(name);
        let digest = digest(name, password, hash);
        let _waiting = Waiting::enter(&self.waiting)?;
        let shared = UnderWay {
            cell: Arc::clone(lock(&self.under_way).entry(digest).or_default()),
            all: &self.under_way,
            digest,
        };
        let right = *shared.cell.get_or_init(|| self.work(password, hash)).await;
        drop(shared);
        let Some(user) = user.filter(|_| right) else {
            return Ok(None);
        };
        self.remember(digest, now);
        Ok(Some(Arc::clone(&user.identity)))
    }

    /// Checks one password where it holds nobody up.
    async fn work(&self, password: &[u8], hash: &str) -> bool {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return false;
        };
        let (password, hash) = (Scrubbed(password.to_vec()), hash.to_owned());
        let work = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, although nobody may wait for it any more.
            let _place = place;
            bcrypt::verify(&password.0, &hash).unwrap_or(false)
        });
        work.await.unwrap_or(false)
    }

    fn remember(&self, digest: Digest, now: Instant) {
        let mut part = self.part(&digest);
        if part.len() >= ROOM {
            part.retain(|_, until| now < *until);
        }
        if part.len() >= ROOM {
            part.clear();
        }
        part.insert(digest, now + REMEMBERED);
    }

    fn part(&self, digest: &Digest) -> MutexGuard<'_, HashMap<Digest, Instant>> {
        let [first, ..] = digest;
        let part = self.right.get(usize::from(*first) % PARTS);
        lock(part.unwrap_or(&self.right[0]))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn digest(name: &str, password: &[u8], hash: &str) -> Digest {
    digests::keyed(&[b"password", name.as_bytes(), password, hash.as_bytes()])
}

/// A check that others may wait for too. The last who waits takes it away, however it ends.
struct UnderWay<'a> {
    cell: Arc<OnceCell<bool>>,
    all: &'a Mutex<HashMap<Digest, Arc<OnceCell<bool>>>>,
    digest: Digest,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut all = lock(self.all);
        // This one and the map's; others take theirs under the same lock.
        if Arc::strong_count(&self.cell) <= 2 {
            all.remove(&self.digest);
        }
    }
}

/// A password that is overwritten when it is no longer needed.
#[derive(PartialEq, Eq)]
pub struct Scrubbed(pub Vec<u8>);

impl Drop for Scrubbed {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self, Busy> {
        let place = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= WAITING {
            return Err(Busy);
        }
        Ok(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::identity::Proof;

    fn users(all: &[(&str, &str)]) -> Passwords {
        let mut users = Passwords::default();
        for (name, password) in all {
            let hash = bcrypt::hash(password, 4).unwrap();
            let identity = Identity {
                proof: Some(Proof::Basic),
                subject: Some((*name).into()),
                ..Identity::default()
            };
            users.add(name, &hash, identity).unwrap();
        }
        users
    }

    fn subject(found: Result<Option<Arc<Identity>>, Busy>) -> Option<String> {
        found
            .unwrap()
            .map(|who| who.subject.as_deref().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn a_right_password_is_checked_once_a_minute() {
        let (all, checker, now) = (users(&[("ann", "secret")]), Checker::new(1), Instant::now());
        let ann = ("ann", &b"secret"[..]);
        assert!(checker.remembered(&all, ann, now).is_none());
        assert_eq!(
            subject(checker.check(&all, ann, now).await).as_deref(),
            Some("ann")
        );
        assert!(checker.remembered(&all, ann, now).is_some());
        assert!(checker.remembered(&all, ("ann", b"secret2"), now).is_none());
        assert!(checker.remembered(&all, ("bob", b"secret"), now).is_none());
        assert!(checker.remembered(&all, ann, now + REMEMBERED).is_none());
        let changed = users(&[("ann", "secret")]);
        assert!(
            checker.remembered(&changed, ann, now).is_none(),
            "another hash"
        );
    }

    #[tokio::test]
    async fn wrong_passwords_and_strangers_are_nobody_and_not_remembered() {
        let (all, checker, now) = (users(&[("ann", "secret")]), Checker::new(1), Instant::now());
        for who in [
            ("ann", &b"Secret"[..]),
            ("ann", b""),
            ("bob", b"secret"),
            ("", b""),
        ] {
            let found = subject(checker.check(&all, who, now).await);
            assert!(found.is_none(), "{who:?}");
            assert!(checker.remembered(&all, who, now).is_none(), "{who:?}");
        }
        let none = Passwords::default();
        assert!(subject(checker.check(&none, ("a", b"b"), now).await).is_none());
        assert!(lock(&checker.under_way).is_empty());
    }

    #[test]
    fn a_stranger_meets_the_cost_of_some_user_and_always_the_same() {
        let mut all = users(&[("ann", "a")]);
        let costly = bcrypt::hash("b", 5).unwrap();
        all.add("bob", &costly, Identity::default()).unwrap();
        let mut seen = [0; 2];
        for n in 0..64 {
            let name = format!("stranger{n}");
            let (hash, user) = all.asked(&name);
            assert!(user.is_none());
            assert_eq!(hash, all.asked(&name).0);
            assert!(!bcrypt::verify("", hash).unwrap());
            seen[usize::from(hash.starts_with("$2b$05$"))] += 1;
        }
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    }

    #[tokio::test]
    async fn beyond_the_queue_nobody_waits() {
        let (all, checker, now) = (users(&[("ann", "a")]), Checker::new(1), Instant::now());
        checker.waiting.store(WAITING, Ordering::Relaxed);
        let asked = checker.check(&all, ("ann", b"a"), now).await;
        assert_eq!(asked.err(), Some(Busy));
        assert_eq!(checker.waiting.load(Ordering::Relaxed), WAITING);
    }

    #[tokio::test]
    async fn what_waits_for_the_same_password_is_answered_by_one_check() {
        let (all, checker, now) = (users(&[("ann", "a")]), Checker::new(1), Instant::now());
        let busy = Arc::clone(&checker.places).acquire_owned().await.unwrap();
        let many = (0..50).map(|_| checker.check(&all, ("ann", b"a"), now));
        let all_of_them = futures_util::future::join_all(many);
        let release = async {
            tokio::task::yield_now().await;
            assert_eq!(lock(&checker.under_way).len(), 1);
            drop(busy);
        };
        let (found, ()) = tokio::join!(all_of_them, release);
        assert_eq!(found.len(), 50);
        assert!(
            found
                .into_iter()
                .all(|one| subject(one).as_deref() == Some("ann"))
        );
        assert!(lock(&checker.under_way).is_empty());
    }

    #[tokio::test]
    async fn whoever_goes_away_leaves_nothing_behind() {
        let (all, checker, now) = (users(&[("ann", "a")]), Checker::new(1), Instant::now());
        let busy = Arc::clone(&checker.places).acquire_owned().await.unwrap();
        {
            let mut gone = std::pin::pin!(checker.check(&all, ("ann", b"x"), now));
            let polled = futures_util::poll!(gone.as_mut());
            assert!(polled.is_pending());
            assert_eq!(lock(&checker.under_way).len(), 1);
        }
        drop(busy);
        assert!(lock(&checker.under_way).is_empty());
        assert_eq!(checker.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_memory_has_an_end() {
        let (checker, now) = (Checker::new(1), Instant::now());
        for n in 0..(ROOM * PARTS * 3) {
            checker.remember(digests::keyed(&[&n.to_be_bytes()]), now);
        }
        let kept: usize = checker.right.iter().map(|part| lock(part).len()).sum();
        assert!(kept <= ROOM * PARTS);
    }

    #[test]
    fn only_bcrypt_is_taken() {
        let mut all = Passwords::default();
        let mut add = |hash: &str| all.add("a", hash, Identity::default());
        for hash in [
            "secret",
            "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "$apr1$zvfPkYkr$tuRmRcFJfhIrkjNeKX9Ej1",
            "$6$abc$def",
            "rqXexS6ZhobKA",
        ] {
            assert!(matches!(add(hash), Err(BadHash::Foreign(_))), "{hash}");
        }
        assert_eq!(add("$2y$10$short"), Err(BadHash::Broken));
        assert_eq!(
            add(&format!("$2y$17${}", "e".repeat(53))),
            Err(BadHash::TooCostly)
        );
        assert_eq!(
            add(&format!("$2y$03${}", "e".repeat(53))),
            Err(BadHash::Broken)
        );
        for version in ["2a", "2b", "2y"] {
            let hash = format!("${version}$05${}", "e".repeat(53));
            assert_eq!(add(&hash), Ok(()), "{version}");
        }
    }
}
