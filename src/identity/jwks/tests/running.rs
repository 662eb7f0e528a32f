//! The task and the requests beside it.

use super::*;
use futures_util::FutureExt;
use tokio::sync::Notify;

fn start(source: &Arc<Source>) {
    tokio::spawn(Arc::clone(source).run());
}

async fn ready(world: &World, issuer: &Issuer) -> Arc<Source> {
    let source = world.source(issuer);
    start(&source);
    until(|| source.is_available()).await;
    source
}

#[tokio::test]
async fn keys_are_fetched_at_the_start() {
    let (world, issuer) = (
        World::new(),
        Issuer::new(Says::Keys(jwks(&["a", "b"]))).await,
    );
    let source = ready(&world, &issuer).await;
    assert!(is_found(&source.find(&token("a"), KeyIds::Kid)));
    assert!(matches!(
        source.find(&token("x"), KeyIds::Kid),
        Lookup::Unknown
    ));
    let Lookup::Found(key) = source.find(&token("b"), KeyIds::Kid) else {
        panic!("b is there");
    };
    assert!(token("b").verify(&key));
    assert!(
        world
            .metrics
            .render()
            .contains("hanzo_gateway_jwks_fetches_total{result=\"ok\"} 1")
    );
}

#[tokio::test]
async fn a_request_waits_for_the_first_fetch_that_is_under_way() {
    let go_on = Arc::new(Notify::new());
    let (world, issuer) = (
        World::new(),
        Issuer::new(Says::Hangs(Arc::clone(&go_on))).await,
    );
    let source = world.source(&issuer);
    start(&source);
    assert!(matches!(
        source.find(&token("a"), KeyIds::Kid),
        Lookup::Unavailable
    ));
    let waiting = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.wait_for(&token("a"), KeyIds::Kid).await }
    });
    until(|| issuer.hits() == 1).await;
    issuer.says(Says::Keys(jwks(&["a"])));
    go_on.notify_one();
    assert!(is_found(&waiting.await.unwrap()));
}

#[tokio::test]
async fn a_new_key_is_found_with_one_fetch_for_all_who_ask() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let source = ready(&world, &issuer).await;
    issuer.says(Says::Keys(jwks(&["a", "b"])));
    let asking = (0..50).map(|_| {
        let source = Arc::clone(&source);
        tokio::spawn(async move { source.wait_for(&token("b"), KeyIds::Kid).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert!(is_found(&asked.await.unwrap()));
    }
    assert_eq!(issuer.hits(), 2);
    // The next unknown one comes too soon after.
    issuer.says(Says::Keys(jwks(&["a", "b", "c"])));
    assert!(matches!(
        source.wait_for(&token("c"), KeyIds::Kid).await,
        Lookup::Unknown
    ));
    assert_eq!(issuer.hits(), 2);
}

#[tokio::test]
async fn a_fetch_that_fails_costs_no_key() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let source = ready(&world, &issuer).await;
    for (at, bad) in [
        Says::Answer(500, String::new(), jwks(&["b"])),
        Says::Answer(200, String::new(), "<html>".to_owned()),
        Says::Keys(r#"{"keys":[{"kty":"x"}]}"#.to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.says(bad);
        let remote = source.remote.as_ref().unwrap();
        let pause = source.fetch(remote, &mut 0).await;
        assert!(pause < Duration::from_secs(2));
        assert_eq!(issuer.hits(), at + 2);
        assert!(is_found(&source.wait_for(&token("a"), KeyIds::Kid).await));
        assert!(matches!(
            source.find(&token("b"), KeyIds::Kid),
            Lookup::Unknown
        ));
    }
}

#[tokio::test]
async fn nobody_with_a_known_key_waits_for_an_issuer_that_hangs() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let source = ready(&world, &issuer).await;
    issuer.says(Says::Hangs(Arc::default()));
    let unknown = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.wait_for(&token("b"), KeyIds::Kid).await }
    });
    until(|| issuer.hits() == 2).await;
    let at_once = source.wait_for(&token("a"), KeyIds::Kid).now_or_never();
    assert!(is_found(&at_once.unwrap()));
    // Who named another one waits for a while and is told that there is none.
    assert!(matches!(unknown.await.unwrap(), Lookup::Unknown));
}

#[tokio::test]
async fn an_issuer_that_comes_late_is_found() {
    let (world, issuer) = (
        World::new(),
        Issuer::new(Says::Answer(503, String::new(), String::new())).await,
    );
    let source = world.source(&issuer);
    start(&source);
    assert!(matches!(
        source.wait_for(&token("a"), KeyIds::Kid).await,
        Lookup::Unavailable
    ));
    let text = world.metrics.render();
    assert!(
        text.contains("hanzo_gateway_jwks_fetches_total{result=\"failed\"}"),
        "{text}"
    );
    issuer.says(Says::Keys(jwks(&["a"])));
    until(|| source.is_available()).await;
    assert!(is_found(&source.find(&token("a"), KeyIds::Kid)));
}

#[tokio::test]
async fn the_same_options_mean_the_same_source() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let (one, same) = (world.source(&issuer), world.source(&issuer));
    assert!(Arc::ptr_eq(&one, &same));
    let other = SourceOptions {
        cache_duration: Duration::from_secs(1),
        ..plain(&issuer)
    };
    let other = Source::kept(&other, &world.env()).unwrap();
    assert!(!Arc::ptr_eq(&one, &other));
    drop((one, same));
    assert!(world.source(&issuer).keys().is_none());
}

#[tokio::test]
async fn a_new_setting_of_time_costs_no_key() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let before = ready(&world, &issuer).await;
    let changed = SourceOptions {
        cache_duration: Duration::from_secs(77),
        failed_key_cooldown: Some(Duration::from_secs(5)),
        ..plain(&issuer)
    };
    let after = Source::kept(&changed, &world.env()).unwrap();
    drop(before);
    assert!(is_found(&after.find(&token("a"), KeyIds::Kid)));
    // What says whom to believe is another matter.
    let stricter = SourceOptions {
        url: format!("https://127.0.0.1:{}/jwks", issuer.port()),
        disable_security: false,
        ..changed
    };
    let other = Source::kept(&stricter, &world.env()).unwrap();
    assert!(!other.is_available());
}

#[tokio::test]
async fn while_keys_rotate_nobody_is_refused() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let source = ready(&world, &issuer).await;
    let going = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let callers = ["a", "a", "b", "b"].map(|kid| {
        let (source, going) = (Arc::clone(&source), Arc::clone(&going));
        tokio::spawn(async move {
            let token = token(kid);
            let mut refused = 0;
            while going.load(std::sync::atomic::Ordering::SeqCst) {
                refused += usize::from(!is_found(&source.wait_for(&token, KeyIds::Kid).await));
                tokio::task::yield_now().await;
            }
            refused
        })
    });
    // The issuer publishes before it signs; callers with new tokens may be there before the gateway asked.
    issuer.says(Says::Keys(jwks(&["a", "b"])));
    until(|| is_found(&source.find(&token("b"), KeyIds::Kid))).await;
    going.store(false, std::sync::atomic::Ordering::SeqCst);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 0);
    }
    assert_eq!(issuer.hits(), 2);
}

#[tokio::test]
async fn keys_that_did_not_change_stay_the_same_objects() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let source = ready(&world, &issuer).await;
    let before = source.keys().unwrap();
    source.fetch(source.remote.as_ref().unwrap(), &mut 0).await;
    assert_eq!(issuer.hits(), 2);
    assert!(Arc::ptr_eq(&before, &source.keys().unwrap()));
}

#[tokio::test]
async fn a_key_that_comes_leaves_the_others_what_they_are() {
    let (world, issuer) = (World::new(), Issuer::new(Says::Keys(jwks(&["a"]))).await);
    let source = ready(&world, &issuer).await;
    let Lookup::Found(before) = source.find(&token("a"), KeyIds::Kid) else {
        panic!("a is there");
    };
    issuer.says(Says::Keys(jwks(&["b", "a"])));
    assert!(is_found(&source.wait_for(&token("b"), KeyIds::Kid).await));
    let Lookup::Found(after) = source.find(&token("a"), KeyIds::Kid) else {
        panic!("a is still there");
    };
    assert!(Arc::ptr_eq(&before, &after));
    // One that goes is nobody's any more.
    issuer.says(Says::Keys(jwks(&["b"])));
    source.fetch(source.remote.as_ref().unwrap(), &mut 0).await;
    drop(after);
    assert_eq!(Arc::strong_count(&before), 1);
}

#[tokio::test]
async fn keys_of_a_file_are_there_at_once_and_never_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, jwks(&["a"])).unwrap();
    let path = path.to_str().unwrap();
    let source = Source::file(path, None, Dialect::Native).unwrap();
    assert!(!source.is_remote());
    assert!(is_found(&source.wait_for(&token("a"), KeyIds::Kid).await));
    assert!(matches!(
        source.wait_for(&token("b"), KeyIds::Kid).await,
        Lookup::Unknown
    ));
    source.run().await;
    for (text, why) in [("[]", "no \"keys\""), (r#"{"keys":[]}"#, "no usable key")] {
        std::fs::write(path, text).unwrap();
        let error = Source::file(path, None, Dialect::Native).unwrap_err();
        assert_eq!(error.setting, "jwk_local_path");
        assert!(error.text.contains(why), "{error}");
    }
    let error = Source::file("/nonexistent/keys.json", None, Dialect::Native).unwrap_err();
    assert!(
        error.text.starts_with("/nonexistent/keys.json: "),
        "{error}"
    );
}

#[test]
fn keys_are_fetched_again_before_they_are_too_old() {
    let within = |cache: u64, age: Option<u64>, low: f64, high: f64| {
        for _ in 0..100 {
            let pause = refresh_after(Duration::from_secs(cache), age.map(Duration::from_secs));
            assert!((low..=high).contains(&pause.as_secs_f64()), "{pause:?}");
        }
    };
    within(3600, None, 2_736.0, 3_024.0);
    within(3600, Some(100), 76.0, 84.0);
    within(100, Some(3600), 76.0, 84.0);
    within(3600, Some(0), 7.6, 8.4);
    within(1, None, 7.6, 8.4);
}

#[test]
fn pauses_after_failures_double_up_to_a_minute() {
    let seconds = |failures| pause_after(failures).as_secs_f64().round();
    assert_eq!(seconds(1), 1.0);
    assert_eq!(seconds(2), 2.0);
    assert!((14.0..=18.0).contains(&seconds(5)));
    for failures in [7, 8, 100, u32::MAX] {
        assert!((57.0..=63.0).contains(&seconds(failures)));
    }
}
