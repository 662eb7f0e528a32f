//! Command lines of `explain` and what becomes of them.

use super::*;
use crate::cli::args::{Args, Command, Input};
use clap::Parser;

fn parsed(line: &[&str]) -> Explain {
    let line = ["hanzo-gateway", "explain"].iter().chain(line);
    let Command::Explain(args) = Args::try_parse_from(line).unwrap().command else {
        unreachable!("`explain` was asked for")
    };
    args
}

fn asked(line: &[&str]) -> Result<Request, String> {
    request(&parsed(line))
}

#[test]
fn a_url_alone_is_a_get() {
    let request = asked(&["https://api.test:8443/a/b?c=d#e"]).unwrap();
    assert_eq!(request.method, Method::GET);
    assert_eq!(request.host, b"api.test:8443");
    assert_eq!(
        (request.path.as_slice(), request.query.as_deref()),
        (&b"/a/b"[..], Some(&b"c=d"[..]))
    );
    assert!(request.secure);
}

#[test]
fn fields_token_and_body_are_taken() {
    let line = [
        "post", "/x", "-H", "X-A:  1 ", "-H", "Host: gw", "--token", "t", "--data", "abc",
    ];
    let request = asked(&line).unwrap();
    assert_eq!(request.method, Method::POST);
    let fields: Vec<_> = request
        .fields
        .iter()
        .map(|(n, v)| format!("{n}={}", String::from_utf8_lossy(v)))
        .collect();
    assert_eq!(
        fields,
        [
            "Host=gw",
            "X-A=1",
            "Authorization=Bearer t",
            "Content-Length=3"
        ]
    );
    assert_eq!(request.body, BodySize::Known(3));
}

#[test]
fn what_is_no_request_is_a_mistake_of_the_command_line() {
    for line in [
        &["x"][..],
        &["GET", "ftp://a/"],
        &["G T", "/"],
        &["/", "-H", "nonsense"],
    ] {
        assert!(asked(line).is_err(), "{line:?}");
    }
    assert_eq!(explain(&parsed(&["x"]), false), USAGE);
}

#[test]
fn exit_codes_say_whether_it_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("krakend.json");
    let text = r#"{"version": 3, "endpoints": [{"endpoint": "/x",
        "backend": [{"url_pattern": "/y", "host": ["http://a"]}]}]}"#;
    std::fs::write(&path, text).unwrap();
    let run = |line: &[&str]| {
        let mut args = parsed(line);
        args.input = Input {
            config: Some(path.clone()),
            compat: None,
            lane: None,
            region: None,
        };
        explain(&args, false)
    };
    assert_eq!(run(&["/x"]), GOOD);
    assert_eq!(run(&["/x/", "--json"]), GOOD, "a redirect is an answer");
    assert_eq!(run(&["/nowhere"]), PROBLEMS);
    assert_eq!(run(&["POST", "/x", "--json"]), PROBLEMS);
}
