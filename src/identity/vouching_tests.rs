//! A service that does as it is told.

use super::*;
use crate::body::Object;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const PATIENCE: Patience = Patience {
    good: Duration::from_secs(300),
    bad: Duration::from_secs(10),
    stale: Duration::from_secs(3600),
    timeout: Duration::from_secs(2),
};

/// How the service behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Bad,
    Out,
    Odd,
    Hangs,
}

/// Answers in its mood, once it is let go.
struct Scripted {
    mood: watch::Receiver<Mood>,
    asked: Arc<AtomicU32>,
    expires: Option<Duration>,
}

struct Script {
    mood: watch::Sender<Mood>,
    asked: Arc<AtomicU32>,
}

impl Script {
    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn feels(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

impl Voucher for Scripted {
    fn proof(&self) -> Proof {
        Proof::ApiKey
    }

    fn unavailable(&self) -> Reason {
        Reason::KeyServiceUnavailable
    }

    fn ask(
        self: Arc<Self>,
        secret: Secret,
        key: Digest,
        _: Deadline,
    ) -> Asking<Result<Said, Silence>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            // Somebody else has a turn before the answer is there.
            tokio::task::yield_now().await;
            let said = |verdict| {
                Ok(Said {
                    verdict,
                    expires: self.expires,
                })
            };
            let mood = *self.mood.borrow();
            match mood {
                Mood::Good => said(Verdict::Good(Arc::new(Identity {
                    subject: Some(secret.reveal().into()),
                    key: Some(key),
                    claims: Object::new(),
                    ..Identity::default()
                }))),
                Mood::Bad => said(Verdict::Bad(Reason::ApiKeyInvalid)),
                Mood::Out => Err(Silence::Outage("down".to_owned())),
                Mood::Odd => Err(Silence::Failed("odd".to_owned())),
                Mood::Hangs => {
                    let mut mood = self.mood.clone();
                    let _ = mood.wait_for(|mood| *mood != Mood::Hangs).await;
                    Err(Silence::Outage("woken".to_owned()))
                }
            }
        })
    }
}

fn service_with(
    patience: Patience,
    expires: Option<Duration>,
    memory: &Arc<Remembrance>,
) -> (Arc<Vouching<Scripted>>, Script) {
    let (sender, mood) = watch::channel(Mood::Good);
    let asked = Arc::new(AtomicU32::new(0));
    let script = Script {
        mood: sender,
        asked: Arc::clone(&asked),
    };
    let voucher = Scripted {
        mood,
        asked,
        expires,
    };
    (Vouching::new(voucher, patience, Arc::clone(memory)), script)
}

fn service(patience: Patience) -> (Arc<Vouching<Scripted>>, Script) {
    service_with(patience, None, &Arc::default())
}

async fn ask(service: &Arc<Vouching<Scripted>>, key: &str) -> Result<String, Reason> {
    let found = service.whose(key, FROM).outcome().await;
    found
        .map(|who| who.subject.as_deref().unwrap_or_default().to_owned())
        .map_err(|error| error.reason)
}

/// Whether it is decided at once, and how.
fn at_once(service: &Arc<Vouching<Scripted>>, key: &str) -> Option<Result<(), Reason>> {
    match service.whose(key, FROM) {
        Step::Now(found) => Some(found.map(|_| ()).map_err(|error| error.reason)),
        Step::Wait(_) => None,
    }
}

#[tokio::test]
async fn who_is_remembered_is_not_asked_about() {
    let (service, script) = service(PATIENCE);
    assert_eq!(ask(&service, "k1").await.as_deref(), Ok("k1"));
    assert_eq!(at_once(&service, "k1"), Some(Ok(())));
    assert_eq!(script.asked(), 1);
    assert_eq!(at_once(&service, "k2"), None);
}

#[tokio::test]
async fn a_refusal_is_remembered_for_its_own_time() {
    let patience = Patience {
        bad: Duration::ZERO,
        ..PATIENCE
    };
    for (patience, asked) in [(PATIENCE, 1), (patience, 3)] {
        let (service, script) = service(patience);
        script.feels(Mood::Bad);
        for _ in 0..3 {
            assert_eq!(ask(&service, "k").await, Err(Reason::ApiKeyInvalid));
        }
        assert_eq!(script.asked(), asked);
    }
}

#[tokio::test]
async fn a_crowd_with_one_key_is_one_question() {
    let (service, script) = service(PATIENCE);
    let all = (0..100).map(|_| ask(&service, "k"));
    let found = futures_util::future::join_all(all).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(script.asked(), 1);
}

#[tokio::test]
async fn during_an_outage_the_remembered_go_on_and_strangers_are_told() {
    let patience = Patience {
        good: Duration::ZERO,
        ..PATIENCE
    };
    let (service, script) = service(patience);
    assert!(ask(&service, "known").await.is_ok());
    script.feels(Mood::Out);
    for _ in 0..3 {
        assert_eq!(ask(&service, "known").await.as_deref(), Ok("known"));
        let stranger = ask(&service, "stranger").await;
        assert_eq!(stranger, Err(Reason::KeyServiceUnavailable));
    }
    let known = at_once(&service, "known");
    assert_eq!(known, Some(Ok(())), "the outage is known");
    let asked = script.asked();
    let Step::Now(Err(error)) = service.whose("stranger", FROM) else {
        panic!("nobody can be asked");
    };
    assert!(error.retry_after.is_some_and(|seconds| seconds >= 1));
    assert_eq!(script.asked(), asked, "strangers are not asked about");
}

#[tokio::test]
async fn one_question_tries_whether_it_is_back() {
    let (service, script) = service(PATIENCE);
    script.feels(Mood::Out);
    for _ in 0..OUT {
        let _ = ask(&service, "stranger").await;
    }
    assert_eq!(
        at_once(&service, "a"),
        Some(Err(Reason::KeyServiceUnavailable))
    );
    service.health().retry = Some(Instant::now());
    script.feels(Mood::Good);
    let first = service.whose("a", FROM);
    assert!(matches!(first, Step::Wait(_)));
    assert_eq!(
        at_once(&service, "b"),
        Some(Err(Reason::KeyServiceUnavailable))
    );
    assert!(first.outcome().await.is_ok());
    assert!(ask(&service, "b").await.is_ok());
}

#[tokio::test]
async fn a_question_that_fails_alone_stops_nobody_else() {
    let (service, script) = service(PATIENCE);
    script.feels(Mood::Odd);
    for number in 0..20 {
        let found = ask(&service, &format!("k{number}")).await;
        assert_eq!(found, Err(Reason::KeyServiceUnavailable));
    }
    script.feels(Mood::Good);
    assert!(ask(&service, "other").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_costs_a_stranger_the_timeout_and_no_more() {
    let (service, script) = service(PATIENCE);
    script.feels(Mood::Hangs);
    let before = tokio::time::Instant::now();
    assert_eq!(ask(&service, "k").await, Err(Reason::KeyServiceUnavailable));
    assert_eq!(before.elapsed(), PATIENCE.timeout);
}

#[tokio::test]
async fn nobody_is_held_longer_than_the_credential_lives() {
    let patience = Patience {
        good: Duration::ZERO,
        ..PATIENCE
    };
    let soon = clock::since_epoch();
    let (service, script) = service_with(patience, Some(soon), &Arc::default());
    assert!(ask(&service, "k").await.is_ok());
    script.feels(Mood::Out);
    assert_eq!(ask(&service, "k").await, Err(Reason::KeyServiceUnavailable));
}

/// Remembers the key `k` as good since a time that is nearly over.
fn nearly_over(memory: &Remembrance) {
    let now = Instant::now();
    let begun = now.checked_sub(Duration::from_secs(250)).unwrap();
    let terms = Terms {
        fresh: PATIENCE.good,
        stale: PATIENCE.stale,
    };
    let known = Known::new(Verdict::Good(Arc::default()), terms, begun);
    memory.answers.put(digest_of(b"k"), Arc::new(known), now);
}

#[tokio::test]
async fn what_is_in_use_is_renewed_and_nobody_waits() {
    let memory = Arc::default();
    let (service, script) = service_with(PATIENCE, None, &memory);
    let mut task = tokio::task::JoinSet::new();
    task.spawn(Arc::clone(&service).run());
    nearly_over(&memory);
    assert_eq!(at_once(&service, "k"), Some(Ok(())));
    assert_eq!(at_once(&service, "k"), Some(Ok(())));
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(script.asked(), 1);
}

#[tokio::test]
async fn a_renewal_that_says_no_ends_it() {
    let memory = Arc::default();
    let (service, script) = service_with(PATIENCE, None, &memory);
    let mut task = tokio::task::JoinSet::new();
    task.spawn(Arc::clone(&service).run());
    nearly_over(&memory);
    script.feels(Mood::Bad);
    assert_eq!(at_once(&service, "k"), Some(Ok(())));
    for _ in 0..1000 {
        if at_once(&service, "k") == Some(Err(Reason::ApiKeyInvalid)) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it was never ended");
}

#[tokio::test]
async fn what_is_remembered_outlives_the_one_who_asked() {
    let memory = Arc::default();
    let (service, _) = service_with(PATIENCE, None, &memory);
    assert!(ask(&service, "k").await.is_ok());
    let (next, script) = service_with(PATIENCE, None, &memory);
    assert_eq!(at_once(&next, "k"), Some(Ok(())));
    assert_eq!(script.asked(), 0);
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let (service, script) = service(PATIENCE);
    script.feels(Mood::Hangs);
    let mut waiting = Vec::new();
    let mut refused = 0;
    for number in 0..2 * MOST_OF_ONE {
        match service.whose(&format!("k{number}"), FROM) {
            Step::Now(found) => {
                let reason = found.unwrap_err().reason;
                assert_eq!(reason, Reason::KeyServiceUnavailable);
                refused += 1;
            }
            Step::Wait(later) => waiting.push(later),
        }
    }
    assert_eq!(refused, MOST_OF_ONE);
    let other = IpAddr::from([192, 0, 2, 1]);
    assert!(matches!(service.whose("mine", other), Step::Wait(_)));
    drop(waiting);
    assert!(service.crowd.lock().unwrap().by.is_empty());
}

#[test]
fn a_network_of_ipv6_is_one_client() {
    let one: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
    let same: IpAddr = "2001:db8:1:2:ffff::".parse().unwrap();
    let other: IpAddr = "2001:db8:1:3::".parse().unwrap();
    assert_eq!(network(one), network(same));
    assert_ne!(network(one), network(other));
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(network(mapped), IpAddr::from([192, 0, 2, 1]));
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", Secret::new("hush")), "Secret");
}
