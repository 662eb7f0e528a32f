//! What certificates say to backends, who of them is let in, and what is refused of a file.

use super::*;
use crate::base::Severity;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use serde_json::json;
use std::fs;
use tempfile::TempDir;

fn read(all: &serde_json::Value, own: Option<&serde_json::Value>) -> (Option<Lock>, Report) {
    let mut report = Report::default();
    let mut draft = ServiceDraft::default();
    let mut settings = Settings::new(all, "/s", &mut report);
    service(&mut settings, &mut draft, Dialect::Native).unwrap();
    let offer = draft.offers.get::<Offer>().unwrap();
    let mut rules_ = offer.rules.clone();
    if let Some(own) = own {
        let mut settings = Settings::new(own, "/e", &mut report);
        let own = rules(&mut settings);
        rules_ = Rules {
            headers: own.headers.or(rules_.headers),
            require: own.require.or(rules_.require),
            allow: own.allow.or(rules_.allow),
        };
    }
    let lock = Lock::new(rules_, Arc::clone(&offer.revoked), Dialect::Native);
    ((report.errors() == 0).then_some(lock), report)
}

fn lock(all: serde_json::Value) -> Lock {
    let (lock, report) = read(&all, None);
    lock.unwrap_or_else(|| panic!("{:?}", report.problems))
}

fn client() -> Certificate {
    let mut params = CertificateParams::new(vec!["Client.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "client");
    params
        .subject_alt_names
        .push(SanType::URI("spiffe://hanzo.ai/gw".try_into().unwrap()));
    params
        .subject_alt_names
        .push(SanType::IpAddress([10, 1, 2, 3].into()));
    params.serial_number = Some(SerialNumber::from_slice(&[7]));
    let key = KeyPair::generate().unwrap();
    Certificate::parse(params.self_signed(&key).unwrap().der()).unwrap()
}

fn reason(lock: &Lock, certificate: Option<&Certificate>) -> Option<Reason> {
    lock.judge(certificate, 0).err().map(|error| error.reason)
}

#[test]
fn what_a_certificate_says_goes_to_backends() {
    let lock = lock(json!({"headers": {
        "subject": "X-Subject", "san_dns": "X-DNS", "san_email": "X-Mail", "san_ip": "X-IP", "serial": "X-Serial",
    }}));
    let who = lock.judge(Some(&client()), 0).unwrap().unwrap();
    let told: Vec<String> = who
        .minted
        .iter()
        .map(|m| format!("{}={:?}", m.name, m.values))
        .collect();
    assert_eq!(
        told,
        [
            r#"x-dns=["Client.test"]"#,
            "x-mail=[]",
            r#"x-ip=["10.1.2.3"]"#,
            r#"x-serial=["07"]"#,
            r#"x-subject=["CN=client"]"#,
        ]
    );
    assert_eq!(who.subject.as_deref(), Some("spiffe://hanzo.ai/gw"));
    assert_eq!(
        who.claim_text("san_dns", Dialect::Native).as_deref(),
        Some("Client.test")
    );
}

#[test]
fn without_a_certificate_only_those_come_in_who_need_none() {
    assert_eq!(
        reason(&lock(json!({})), None),
        Some(Reason::CertificateInvalid)
    );
    assert_eq!(reason(&lock(json!({"require": false})), None), None);
    let (open, _) = read(&json!({}), Some(&json!({"require": false})));
    assert_eq!(reason(&open.unwrap(), None), None);
    let (closed, _) = read(&json!({"require": false}), Some(&json!({"require": true})));
    assert!(reason(&closed.unwrap(), None).is_some());
}

#[test]
fn one_pattern_that_fits_is_enough() {
    let client = client();
    for (allow, is) in [
        (json!({"san_dns": ["*.TEST"]}), true),
        (json!({"san_dns": ["*.other"]}), false),
        (
            json!({"san_dns": ["*.other"], "san_uri": ["spiffe://hanzo.ai/*"]}),
            true,
        ),
        (json!({"san_uri": ["spiffe://hanzo.ai"]}), false),
        (json!({"san_ip": ["10.0.0.0/8"]}), true),
        (json!({"san_ip": ["10.1.2.4"]}), false),
        (json!({"subject": ["CN=client"]}), true),
        (json!({"common_name": ["clien"]}), false),
        (json!({"serial": ["07"]}), true),
        (
            json!({"fingerprint": [client.fingerprint_text().to_uppercase()]}),
            true,
        ),
        (json!({"fingerprint": ["00".repeat(32)]}), false),
    ] {
        let found = reason(&lock(json!({"allow": allow})), Some(&client));
        assert_eq!(found.is_none(), is, "{allow}");
    }
}

#[test]
fn a_certificate_that_ended_during_the_connection_is_no_good() {
    let (lock, client) = (lock(json!({})), client());
    assert!(lock.judge(Some(&client), client.not_after).is_ok());
    assert!(lock.judge(Some(&client), client.not_after + 1).is_err());
}

#[test]
fn what_is_judged_is_remembered_by_the_certificate() {
    let (lock, client) = (lock(json!({})), client());
    let first = lock.judge(Some(&client), 0).unwrap().unwrap();
    let second = lock.judge(Some(&client), 0).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

/// An authority, a certificate of its with serial number 7, and a list that takes some back.
fn revoking(folder: &TempDir, name: &str, serials: &[u64], until: i32) -> Certificate {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    let issuer = Issuer::new(params, KeyPair::generate().unwrap());
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).unwrap();
    fs::write(
        folder.path().join(format!("{name}.pem")),
        list.pem().unwrap(),
    )
    .unwrap();
    fs::write(folder.path().join(format!("{name}.der")), list.der()).unwrap();
    let mut own = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    own.serial_number = Some(SerialNumber::from(7));
    let key = KeyPair::generate().unwrap();
    Certificate::parse(own.signed_by(&key, &issuer).unwrap().der()).unwrap()
}

#[test]
fn revoked_certificates_are_no_good() {
    let folder = TempDir::new().unwrap();
    let path = |file: &str| folder.path().join(file);
    let gone = revoking(&folder, "gone", &[3, 7], 4000);
    let good = revoking(&folder, "good", &[3, 8], 4000);
    for kind in ["pem", "der"] {
        let files = json!([path(&format!("gone.{kind}")), path(&format!("good.{kind}"))]);
        let lock = lock(json!({ "crls": files }));
        assert_eq!(reason(&lock, Some(&gone)), Some(Reason::CertificateInvalid));
        assert_eq!(reason(&lock, Some(&good)), None);
    }
}

#[test]
fn lists_that_are_old_or_none_are_told() {
    let folder = TempDir::new().unwrap();
    let path = |file: &str| folder.path().join(file);
    let gone = revoking(&folder, "old", &[7], 2021);
    let (found, report) = read(&json!({"crls": [path("old.pem")]}), None);
    assert_eq!((report.errors(), report.warnings()), (0, 1));
    assert!(reason(&found.unwrap(), Some(&gone)).is_some());
    fs::write(path("none.pem"), "nothing").unwrap();
    fs::write(path("cut.der"), [0x30, 0x80]).unwrap();
    let files = json!([path("none.pem"), path("cut.der"), path("not.there")]);
    let (_, report) = read(&json!({ "crls": files }), None);
    let places: Vec<_> = report.problems.iter().map(|p| p.pointer.as_str()).collect();
    assert_eq!(places, ["/s/crls/0", "/s/crls/1", "/s/crls/2"]);
    assert_eq!(report.errors(), 3);
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for (block, place) in [
        (json!({"headers": {"name": "X-A"}}), "/s/headers/name"),
        (json!({"headers": {"subject": "X A"}}), "/s/headers/subject"),
        (json!({"headers": ["subject"]}), "/s/headers"),
        (json!({"allow": {}}), "/s/allow"),
        (json!({"allow": {"san_dns": []}}), "/s/allow"),
        (json!({"allow": {"dns": ["a"]}}), "/s/allow/dns"),
        (json!({"allow": {"san_ip": ["a"]}}), "/s/allow/san_ip/0"),
        (json!({"allow": {"san_dns": [" "]}}), "/s/allow/san_dns/0"),
        (
            json!({"allow": {"fingerprint": ["ab"]}}),
            "/s/allow/fingerprint/0",
        ),
        (json!({"allow": "a"}), "/s/allow"),
        (json!({"require": []}), "/s/require"),
    ] {
        let (_, report) = read(&block, None);
        let errors = report
            .problems
            .iter()
            .filter(|p| p.severity == Severity::Error);
        let places: Vec<_> = errors.map(|p| p.pointer.as_str()).collect();
        assert_eq!(places, [place], "{block}");
        assert!(report.problems.iter().all(|p| p.hint.is_some()), "{block}");
    }
}
