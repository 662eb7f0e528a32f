//! Tests of `reply.rs`.

use super::*;

fn native() -> ErrorShape {
    ErrorShape::default()
}

fn krakend(return_error_msg: bool) -> ErrorShape {
    ErrorShape {
        dialect: Dialect::Krakend,
        return_error_msg,
        ..ErrorShape::default()
    }
}

fn field<'a>(reply: &'a Reply, name: &HeaderName) -> Option<&'a str> {
    let mut values = reply.headers.iter().filter(|(n, _)| n == name);
    let value = values.next().map(|(_, v)| v.to_str().unwrap());
    assert!(values.next().is_none(), "{name} twice");
    value
}

#[test]
fn every_reason_has_the_native_form() {
    for &reason in Reason::ALL {
        let asked = Asked {
            request_id: "req_1",
            accept: None,
        };
        let reply = native().reply(&Error::new(reason, "10.0.0.1 secret"), asked);
        assert_eq!(reply.status, reason.status(), "{reason:?}");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["status"], reason.status());
        assert_eq!(body["error"], reason.code());
        assert_eq!(body["request_id"], "req_1");
        assert!(!body["message"].as_str().unwrap().is_empty());
        assert!(
            !body.to_string().contains("secret"),
            "{reason:?} leaks its text"
        );
        assert_eq!(
            field(&reply, &header::CONTENT_TYPE),
            Some("application/json")
        );
        assert_eq!(field(&reply, &header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(field(&reply, &X_REQUEST_ID), Some("req_1"));
        let retry = matches!(reason.status(), 429 | 503);
        assert_eq!(
            field(&reply, &header::RETRY_AFTER),
            retry.then_some("1"),
            "{reason:?}"
        );
        assert_eq!(body.get("retry_after").is_some(), retry, "{reason:?}");
        if !reason.proxy_status().is_empty() {
            let value = field(&reply, &PROXY_STATUS).unwrap();
            assert!(value.contains(reason.word()), "{value}");
        }
    }
}

#[test]
fn every_reason_has_the_form_of_krakend() {
    for &reason in Reason::ALL {
        for shown in [false, true] {
            let reply = krakend(shown).reply(&Error::new(reason, "the text"), Asked::default());
            let status = match reason {
                Reason::NoRoute => 404,
                Reason::MethodNotAllowed => 405,
                Reason::BotDetected | Reason::RolesMissing | Reason::ScopesMissing => 403,
                Reason::JwksUnavailable
                | Reason::KeyServiceUnavailable
                | Reason::IntrospectionUnavailable => 401,
                reason if reason.status() == 401 => 401,
                Reason::BadParamEncoding | Reason::BadBody | Reason::SigningFailed => 400,
                Reason::ConnectionLimit | Reason::Draining | Reason::Overloaded => 503,
                // A limit of all clients together is told as our weakness, and one of a client's as its own.
                Reason::GlobalRateExceeded | Reason::EndpointRateExceeded => 503,
                reason if reason.is_rate_limit() => 429,
                reason if refused_by_server(reason) => reason.status(),
                _ => 500,
            };
            assert_eq!(reply.status, status, "{reason:?}");
            let says_little = [Reason::BadParamEncoding, Reason::SigningFailed].contains(&reason);
            let by_server = refused_by_server(reason) || aborted(reason) || says_little;
            assert_eq!(
                field(&reply, &X_KRAKEND).is_some(),
                !by_server,
                "{reason:?}"
            );
            let pipe = !by_server && !matches!(status, 404 | 405);
            if pipe {
                assert_eq!(
                    reply.body.as_ref(),
                    if shown { &b"the text"[..] } else { b"" }
                );
                assert_eq!(field(&reply, &X_KRAKEND_COMPLETED), Some("false"));
            }
        }
    }
}

#[test]
fn what_is_refused_in_front_of_the_pipe_says_nothing_of_krakend() {
    for (reason, status, body) in [
        (Reason::BotDetected, 403, ""),
        (Reason::HostNotAllowed, 500, "Bad Host\n"),
    ] {
        let reply = krakend(true).reply(&reason.into(), Asked::default());
        assert_eq!(
            (reply.status, reply.body.as_ref()),
            (status, body.as_bytes())
        );
        assert_eq!(field(&reply, &X_KRAKEND_COMPLETED), None);
        let reply = native().reply(&reason.into(), Asked::default());
        assert_eq!(field(&reply, &X_KRAKEND_COMPLETED), None);
    }
}

#[test]
fn a_challenge_says_no_more_than_whether_something_came() {
    let missing = native().reply(&Reason::CredentialsMissing.into(), Asked::default());
    assert_eq!(field(&missing, &header::WWW_AUTHENTICATE), Some("Bearer"));
    for reason in [
        Reason::TokenExpired,
        Reason::SignatureInvalid,
        Reason::ApiKeyInvalid,
    ] {
        let asked = Asked {
            request_id: "r",
            accept: Some(b"application/problem+json"),
        };
        let reply = native().reply(&Error::new(reason, "exp was 12"), asked);
        let value = field(&reply, &header::WWW_AUTHENTICATE);
        assert_eq!(value, Some("Bearer error=\"invalid_token\""), "{reason:?}");
        assert_eq!(field(&reply, &PROXY_STATUS), None);
        let body = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(
            !body.contains(reason.word()) && !body.contains("exp was"),
            "{body}"
        );
    }
    let basic = Error::from(Reason::PasswordInvalid).challenging(Challenge::Basic);
    let reply = native().reply(&basic, Asked::default());
    let value = field(&reply, &header::WWW_AUTHENTICATE).unwrap();
    assert!(value.starts_with("Basic realm="), "{value}");
}

#[test]
fn the_dialect_of_krakend_challenges_nobody() {
    for reason in [Reason::CredentialsMissing, Reason::TokenExpired] {
        let reply = krakend(true).reply(&reason.into(), Asked::default());
        assert_eq!((reply.status, reply.body.len()), (401, 0));
        assert_eq!(field(&reply, &header::WWW_AUTHENTICATE), None);
    }
}

#[test]
fn redirects_carry_a_page_that_no_address_can_break() {
    let reply = Reply::redirect(301, "https://a/'<b>\"&", true);
    let page = "<a href=\"https://a/&#39;&lt;b&gt;&#34;&amp;\">Moved Permanently</a>.\n\n";
    assert_eq!(reply.body.as_ref(), page.as_bytes());
    assert!(Reply::redirect(307, "/a", false).body.is_empty());
}

#[test]
fn problem_json_adds_the_members_of_rfc_9457() {
    let asked = Asked {
        request_id: "r",
        accept: Some(b"text/html, application/problem+json;q=0.9"),
    };
    let reply = native().reply(&Reason::BackendTimeout.into(), asked);
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(
        field(&reply, &header::CONTENT_TYPE),
        Some("application/problem+json")
    );
    assert_eq!(body["status"], 504);
    assert_eq!(body["title"], "Gateway Timeout");
    assert_eq!(body["instance"], "urn:request:r");
    assert!(body["type"].as_str().unwrap().ends_with("#backend_timeout"));
}

#[test]
fn an_exposed_error_keeps_its_status_and_type() {
    let error =
        Error::new(Reason::BackendStatus, "<b>no</b>").exposing(418, Some("text/x-tea".to_owned()));
    let reply = krakend(true).reply(&error, Asked::default());
    assert_eq!(
        (reply.status, reply.body.as_ref()),
        (418, &b"<b>no</b>"[..])
    );
    assert_eq!(field(&reply, &header::CONTENT_TYPE), Some("text/x-tea"));
    assert!(
        krakend(false)
            .reply(&error, Asked::default())
            .body
            .is_empty()
    );
    let body: serde_json::Value =
        serde_json::from_slice(&native().reply(&error, Asked::default()).body).unwrap();
    assert_eq!(
        (&body["status"], &body["error"]),
        (&418.into(), &"bad_request".into())
    );
}

#[test]
fn bodies_of_404_and_405_can_be_configured() {
    let shape = ErrorShape {
        body_404: Some(Bytes::from_static(b"{\"a\":1}")),
        ..krakend(false)
    };
    let reply = shape.reply(&Reason::NoRoute.into(), Asked::default());
    assert_eq!(reply.body.as_ref(), b"{\"a\":1}");
    assert_eq!(
        field(&reply, &header::CONTENT_TYPE),
        Some("application/json; charset=utf-8")
    );
    let error = Error::from(Reason::MethodNotAllowed).allowing("GET, POST");
    let reply = shape.reply(&error, Asked::default());
    assert_eq!(field(&reply, &header::ALLOW), Some("GET, POST"));
    assert_eq!(reply.body.as_ref(), b"405 method not allowed");
}

#[test]
fn json_strings_are_escaped_character_by_character() {
    let plain = |text: &str| {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\0'..' ' | '\x7f' => out.push_str(&format!("\\u{:04x}", c as u32)),
                c => out.push(c),
            }
        }
        out
    };
    let all: String = ('\0'..'\u{180}').chain(['€', '\u{2028}', '𝄞']).collect();
    let spread: String = all.chars().flat_map(|c| ['x', c, 'é']).collect();
    for text in [
        "",
        "a",
        "\"",
        "a\"",
        "\"a",
        "clean é run",
        "\\\\",
        &all,
        &spread,
    ] {
        let mut out = String::from("kept ");
        escape_json(&mut out, text);
        assert_eq!(out, format!("kept {}", plain(text)));
    }
}

#[test]
fn error_texts_are_sniffed_as_go_does() {
    for (text, kind) in [
        ("plain", "text/plain; charset=utf-8"),
        ("<html><p>", "text/html; charset=utf-8"),
        ("  <!DOCTYPE HTML>", "text/html; charset=utf-8"),
        ("<bold>", "text/plain; charset=utf-8"),
        ("<?xml version", "text/xml; charset=utf-8"),
    ] {
        assert_eq!(sniffed(text.as_bytes()), kind, "{text}");
    }
}
