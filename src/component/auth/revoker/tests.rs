//! Settings, what they refuse, and what outlives a change of them.

use super::*;
use crate::base::Report;
use crate::component::Env;
use crate::gateway::kept::Kept;
use serde_json::json;

type Found = Vec<(Severity, Code)>;

fn built(value: &serde_json::Value, env: &Env, dialect: Dialect) -> (ServiceDraft, Found) {
    let mut draft = ServiceDraft {
        env: env.clone(),
        ..ServiceDraft::default()
    };
    let mut report = Report::default();
    let mut settings = Settings::new(value, "/x", &mut report);
    if let Err(problem) = build(&mut settings, &mut draft, dialect) {
        report.push(problem);
    }
    let found = report
        .problems
        .iter()
        .map(|p| (p.severity, p.code))
        .collect();
    (draft, found)
}

fn settings() -> serde_json::Value {
    json!({"N": 1000, "P": 0.0001, "hash_name": "optimal", "TTL": 60, "port": 1, "token_keys": ["jti", "num"]})
}

fn claims(text: &str) -> Object {
    let decoded = crate::body::json::decode(text.as_bytes()).unwrap();
    decoded.into_object().unwrap()
}

#[test]
fn good_settings_make_a_say_about_claims_and_a_task() {
    for dialect in [Dialect::Native, Dialect::Krakend] {
        let (draft, found) = built(&settings(), &Env::default(), dialect);
        assert_eq!(
            (draft.claims.len(), draft.tasks.len(), found),
            (1, 1, vec![])
        );
    }
}

#[test]
fn what_cannot_be_understood_refuses_the_file_in_native_and_is_off_in_krakend() {
    for (key, value, code) in [
        ("N", json!(0), Code::OutOfRange),
        ("N", json!(null), Code::BadValue),
        ("N", json!([]), Code::WrongType),
        ("P", json!(1.5), Code::OutOfRange),
        ("TTL", json!(0), Code::OutOfRange),
        ("hash_name", json!("md5"), Code::BadValue),
        ("port", json!(70_000), Code::OutOfRange),
        ("port", json!(null), Code::MissingKey),
        ("token_keys", json!([]), Code::BadValue),
        ("listen_ip", json!("here"), Code::BadAddress),
        ("headers", json!(["a b"]), Code::BadValue),
        ("file", json!("/no/such/file"), Code::BadValue),
    ] {
        let mut wrong = settings();
        wrong[key] = value;
        let (_, found) = built(&wrong, &Env::default(), Dialect::Native);
        assert_eq!(found, [(Severity::Error, code)], "{key}");
        if key != "file" {
            let (draft, found) = built(&wrong, &Env::default(), Dialect::Krakend);
            assert_eq!(found, [(Severity::Warning, code)], "{key}");
            assert!(draft.claims.is_empty());
        }
    }
}

#[test]
fn a_revoke_server_that_will_never_push_here_leaves_the_service_unprotected() {
    let mut file = settings();
    file["revoke_server_ping_url"] = json!("https://revoker:8080/instances");
    let (_, found) = built(&file, &Env::default(), Dialect::Native);
    assert_eq!(found, [(Severity::Warning, Code::Unprotected)]);
}

#[test]
fn texts_count_and_in_native_numbers_too() {
    for (dialect, numbers) in [(Dialect::Native, true), (Dialect::Krakend, false)] {
        let env = Env::default();
        let (draft, _) = built(&settings(), &env, dialect);
        let admin = Admin::find(&env, shape_of(1000), doors_of(dialect)).unwrap();
        admin.revoke(b"jti-abc");
        admin.revoke(b"num-7");
        let check = |text: &str| draft.claims[0].check(&claims(text)).is_ok();
        assert!(check(r#"{"jti":"abd","num":8,"other":"abc"}"#));
        assert!(check(r#"{"jti":["abc"],"num":null}"#) && check("{}"));
        assert!(!check(r#"{"jti":"abc"}"#) && !check(r#"{"num":"7"}"#));
        assert_eq!(!check(r#"{"num":7}"#), numbers);
    }
}

fn shape_of(elements: u64) -> Shape {
    Shape {
        elements,
        mistake: 0.0001,
        hashes: Hashes::Optimal,
        period: Duration::from_secs(60),
    }
}

fn doors_of(dialect: Dialect) -> Doors {
    let ip = match dialect {
        Dialect::Native => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Dialect::Krakend => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Doors {
        port: Some(SocketAddr::new(ip, 1)),
        ..Doors::default()
    }
}

#[tokio::test]
async fn what_was_revoked_outlives_a_change_of_the_settings() {
    use crate::gateway::task::Task;
    let env = Env::default();
    let _: &Kept = &env.kept;
    let doors = || Doors::default();
    let first = Admin::find(&env, shape_of(1000), doors()).unwrap();
    first.revoke(b"jti-a");
    let runs = first.clone().run();
    // One look at the task tells that this is the one that runs.
    let _ = tokio::time::timeout(Duration::from_millis(1), runs).await;
    let same = Admin::find(&env, shape_of(1000), doors()).unwrap();
    assert!(Arc::ptr_eq(&first, &same));
    let second = Admin::find(&env, shape_of(2000), doors()).unwrap();
    drop((first, same));
    second.revoke(b"jti-b");
    let has = |text: &str| second.has(&[text.as_bytes()]);
    assert!(has("jti-a") && has("jti-b") && !has("jti-c"));
}
