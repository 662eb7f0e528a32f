//! AWS's published examples, and the places where credentials may be.

use super::chain::{document, setting};
use super::sts::element;
use super::*;
use http::header::CONTENT_TYPE;
use std::collections::HashMap;
use std::time::UNIX_EPOCH;

/// 2015-08-30T12:36:00Z, and the keys of the documentation's examples.
fn example(
    method: &str,
    url: &str,
    service: &str,
    fields: &[(HeaderName, HeaderValue)],
    body: &[u8],
) -> String {
    let request = Signable {
        method,
        url,
        fields,
        body,
    };
    let scope = Scope {
        region: "us-east-1",
        service,
    };
    let keys = Credentials::new(
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        None,
        None,
        "test",
    );
    let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let fields = signature(&request, scope, &keys, now).unwrap();
    let get = |name: &str| {
        fields
            .iter()
            .find(|(own, _)| own.as_str() == name)
            .map(|(_, value)| value)
    };
    assert_eq!(get("x-amz-date").unwrap(), "20150830T123600Z");
    assert!(get("authorization").unwrap().is_sensitive());
    get("authorization").unwrap().to_str().unwrap().to_owned()
}

#[test]
fn the_example_of_the_documentation_has_its_signature() {
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    let fields = [
        (CONTENT_TYPE, kind),
        (http::header::ACCEPT, HeaderValue::from_static("any")),
    ];
    let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
    assert_eq!(
        example("GET", url, "iam", &fields, b""),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

#[test]
fn cases_of_the_published_suite_have_their_signatures() {
    let signature = |method: &str, url: &str, fields: &[(HeaderName, HeaderValue)], body: &str| {
        let field = example(method, url, "service", fields, body.as_bytes());
        field.rsplit_once('=').unwrap().1.to_owned()
    };
    // get-vanilla, get-vanilla-query-order-key-case, post-vanilla, post-x-www-form-urlencoded
    let home = "https://example.amazonaws.com/";
    assert_eq!(
        signature("GET", home, &[], ""),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
    let query = "https://example.amazonaws.com/?Param2=value2&Param1=value1";
    assert_eq!(
        signature("GET", query, &[], ""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
    );
    assert_eq!(
        signature("POST", home, &[], ""),
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    );
    let form = [(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    )];
    assert_eq!(
        signature("POST", home, &form, "Param1=value1"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    );
}

#[test]
fn a_store_of_objects_is_told_the_bodys_digest_and_its_path_is_left_alone() {
    let request = Signable {
        method: "PUT",
        url: "https://b.s3.amazonaws.com/a%20b/../c",
        fields: &[],
        body: b"x",
    };
    let scope = Scope {
        region: "us-east-1",
        service: "s3",
    };
    let keys = Credentials::new("AKID", "secret", Some("session".into()), None, "test");
    let fields = signature(&request, scope, &keys, UNIX_EPOCH).unwrap();
    let get = |name: &str| {
        fields
            .iter()
            .find(|(own, _)| own.as_str() == name)
            .map(|(_, v)| v.to_str().unwrap())
    };
    let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert_eq!(get("x-amz-content-sha256"), Some(digest));
    assert_eq!(get("x-amz-security-token"), Some("session"));
    let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
    assert!(get("authorization").unwrap().contains(signed));
}

#[test]
fn hosts_are_as_written() {
    for (url, wanted) in [
        ("https://a.example:443/x", "a.example:443"),
        ("http://a?x", "a"),
        ("https://[::1]:80", "[::1]:80"),
    ] {
        assert_eq!(host(url), wanted);
    }
}

#[test]
fn keys_of_a_profile_are_found_in_their_section() {
    let text = "# c\n[default]\naws_access_key_id = A\n;aws_secret_access_key = no\naws_secret_access_key=B=\n\n[profile  x]\naws_access_key_id=C\n";
    assert_eq!(setting(text, "default", "aws_access_key_id"), Some("A"));
    assert_eq!(
        setting(text, "default", "aws_secret_access_key"),
        Some("B=")
    );
    assert_eq!(setting(text, "profile x", "AWS_ACCESS_KEY_ID"), Some("C"));
    assert_eq!(setting(text, "x", "aws_access_key_id"), None);
    assert_eq!(setting(text, "default", "aws_session_token"), None);
}

#[test]
fn answers_are_read_and_never_repeated() {
    let good = r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"B","Token":"C","Expiration":"2999-01-01T00:00:00Z"}"#;
    let fresh = document(good).unwrap();
    assert_eq!(
        (fresh.value.access_key_id(), fresh.value.session_token()),
        ("A", Some("C"))
    );
    assert!(fresh.life.unwrap() > Duration::from_secs(1 << 30));
    for bad in [
        "S3CRET",
        "{}",
        r#"{"AccessKeyId":"S3CRET"}"#,
        r#"{"AccessKeyId":"S3CRET","SecretAccessKey":"S3CRET","Expiration":"S3CRET"}"#,
    ] {
        assert!(!document(bad).unwrap_err().text.contains("S3CRET"));
    }
    assert_eq!(
        element("<a><Code>Denied</Code></a>", "Code"),
        Some("Denied")
    );
    assert_eq!(element("<Code>Denied", "Code"), None);
}

fn account(variables: &[(&str, &str)], role: Option<&str>) -> Account {
    let variables: HashMap<String, String> = variables
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    let source = Source {
        client: Arc::new(Client::new(crate::net::ClientOptions::default())),
        resolver: Resolver::new(),
        environment: Arc::new(move |name| variables.get(name).cloned()),
        role: role.map(str::to_owned),
        region: "us-east-1".into(),
    };
    Account::new(source, Arc::default())
}

#[tokio::test]
async fn the_environment_comes_first_and_then_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    std::fs::write(
        &path,
        "[other]\naws_access_key_id=F\naws_secret_access_key=G\n",
    )
    .unwrap();
    let file = [
        ("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap()),
        ("AWS_PROFILE", "other"),
    ];
    let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "S")];
    let key = async |variables: &[(&str, &str)]| {
        let found = account(variables, None)
            .credentials(Deadline::NEVER)
            .await
            .unwrap();
        found.access_key_id().to_owned()
    };
    assert_eq!(key(&[file, keys].concat()).await, "E");
    assert_eq!(key(&file).await, "F");
    let nothing = account(&[("AWS_EC2_METADATA_DISABLED", "true")], None);
    assert!(nothing.credentials(Deadline::NEVER).await.is_err());
}
