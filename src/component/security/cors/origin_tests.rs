//! Origins against lists, and against a naive matcher.

use super::*;
use proptest::prelude::*;
use regex::Regex;
use std::sync::LazyLock;

fn native(entries: &[&str]) -> Origins {
    let (wild, exact): (Vec<&&str>, Vec<&&str>) = entries.iter().partition(|e| e.contains('*'));
    let patterns = wild.iter().map(|entry| Pattern::parse(entry).unwrap());
    Origins::native(
        exact.iter().map(|entry| (**entry).to_owned()).collect(),
        patterns.collect(),
    )
}

fn takes(origins: &Origins, origin: &str) -> bool {
    let answer = origins.answer(origin.as_bytes());
    if let Some(value) = &answer {
        assert_eq!(value.as_bytes(), origin.as_bytes(), "the answer names it");
    }
    answer.is_some()
}

#[test]
fn a_listed_origin_is_taken_in_any_case_and_nothing_near_it() {
    let origins = native(&[
        "https://a.test",
        "https://b.test:8443",
        "http://[::1]:80",
        "null",
    ]);
    for origin in [
        "https://a.test",
        "HTTPS://A.test",
        "https://b.test:8443",
        "null",
    ] {
        assert!(takes(&origins, origin), "{origin}");
    }
    for origin in [
        "http://a.test",
        "https://a.test:443",
        "https://a.test/",
        "https://a.test.evil",
        "https://xa.test",
        "https://b.test",
        "",
        "*",
    ] {
        assert!(!takes(&origins, origin), "{origin}");
    }
}

#[test]
fn a_wildcard_stands_for_labels_and_nothing_else() {
    let origins = native(&["https://*.hanzo.ai"]);
    for origin in [
        "https://a.hanzo.ai",
        "https://A-b.Hanzo.AI",
        "https://a.b.hanzo.ai",
    ] {
        assert!(takes(&origins, origin), "{origin}");
    }
    for origin in [
        "https://hanzo.ai",
        "https://.hanzo.ai",
        "https://a..hanzo.ai",
        "https://evil.com/.hanzo.ai",
        "https://evil.com?.hanzo.ai",
        "https://evil.com#.hanzo.ai",
        "https://evil.com\\.hanzo.ai",
        "https://a.b.evilhanzo.ai",
        "https://evilhanzo.ai",
        "https://evil.com:80.hanzo.ai",
        "https://user@a.hanzo.ai",
        "https://a.hanzo.ai.evil.com",
        "https://a.hanzo.ai:8443",
        "https://a.hanzo.ai:",
        "https://a.hanzo.ai/",
        "http://a.hanzo.ai",
        "https://[::1].hanzo.ai",
        "https://é.hanzo.ai",
        "https:// a.hanzo.ai",
        "https://a.hanzo.ai, https://b.hanzo.ai",
        "null",
    ] {
        assert!(!takes(&origins, origin), "{origin}");
    }
}

#[test]
fn a_wildcard_port_stands_for_digits() {
    let origins = native(&["http://localhost:*"]);
    for origin in [
        "http://localhost:3000",
        "http://localhost",
        "http://LOCALHOST:1",
    ] {
        assert!(takes(&origins, origin), "{origin}");
    }
    for origin in [
        "https://localhost:3000",
        "http://localhost:",
        "http://localhost:a",
        "http://localhost:123456",
        "http://localhost:80@evil.com",
        "http://localhost:80.evil.com",
        "http://localhost.evil.com:80",
        "http://localhost.evil.com",
    ] {
        assert!(!takes(&origins, origin), "{origin}");
    }
}

#[test]
fn a_part_of_a_label_stays_in_it() {
    let origins = native(&["https://pr-*.preview.test", "https://*-eu.a.test:*"]);
    for origin in ["https://pr-17.preview.test", "https://x-eu.a.test:1"] {
        assert!(takes(&origins, origin), "{origin}");
    }
    for origin in [
        "https://pr-.preview.test",
        "https://pr-1.evil.preview.test",
        "https://xpr-1.preview.test",
        "https://y.x-eu.a.test",
    ] {
        assert!(!takes(&origins, origin), "{origin}");
    }
}

#[test]
fn entries_whose_meaning_is_not_clear_are_refused() {
    for (entry, why) in [
        ("*.hanzo.ai", Unclear::Scheme),
        ("*://hanzo.ai", Unclear::Wildcard),
        ("http*://hanzo.ai", Unclear::Wildcard),
        ("https://*.*.ai", Unclear::Wildcard),
        ("https://a.*.ai", Unclear::Wildcard),
        ("https://hanzo.*", Unclear::Wildcard),
        ("https://hanzo*", Unclear::Wildcard),
        ("https://**.hanzo.ai", Unclear::Wildcard),
        ("https://*.hanzo.ai/", Unclear::Path),
        ("https://*@hanzo.ai", Unclear::Path),
        ("https://*.", Unclear::Host),
        ("https://*..ai", Unclear::Host),
        ("https://*.é.ai", Unclear::Host),
        ("https://a:8*", Unclear::Port),
        ("https://a:*0", Unclear::Port),
    ] {
        assert_eq!(Pattern::parse(entry), Err(why), "{entry}");
    }
}

#[test]
fn origins_that_no_browser_sends_are_told() {
    for (entry, why) in [
        ("https://a.test", None),
        ("http://localhost:3000", None),
        ("http://[::1]:3000", None),
        ("chrome-extension://abcdef", None),
        ("null", None),
        ("a.test", Some(Unclear::Scheme)),
        ("https://a.test/", Some(Unclear::Path)),
        ("https://a.test:443", Some(Unclear::Port)),
        ("http://a.test:80", Some(Unclear::Port)),
        ("https://bücher.test", Some(Unclear::Host)),
        ("https://", Some(Unclear::Host)),
    ] {
        assert_eq!(check(entry).err(), why, "{entry}");
    }
}

#[test]
fn krakends_wildcard_takes_anything() {
    let entries = ["HTTPS://*.sub.test", "https://ok.test"];
    let origins = Origins::krakend(entries.iter().map(|e| (*e).to_owned()));
    for origin in [
        "https://a.sub.test",
        "https://evil.com/.sub.test",
        "https://.sub.test",
        "https://OK.test",
    ] {
        assert!(takes(&origins, origin), "{origin}");
    }
    assert!(!takes(&origins, "https://sub.test"));
    let all = Origins::krakend(["a", "*"].iter().map(|e| (*e).to_owned()));
    assert_eq!(all.answer(b"x").unwrap(), "*");
}

/// The same as a regular expression, without a thought for speed.
fn naive(entry: &str) -> Regex {
    let (scheme, rest) = entry.split_once("://").unwrap();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let host = match host.strip_prefix("*.") {
        Some(rest) => format!(r"([a-z0-9_-]+\.)+{}", regex::escape(rest)),
        None if host == "*" => r"([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])".to_owned(),
        None => regex::escape(host).replace(r"\*", "[a-z0-9_-]+"),
    };
    let port = match port {
        None => String::new(),
        Some("*") => "(:[0-9]{1,5})?".to_owned(),
        Some(port) => format!(":{port}"),
    };
    Regex::new(&format!("(?i-u)^{scheme}://{host}{port}$")).unwrap()
}

const ENTRIES: [&str; 6] = [
    "https://*.b.c",
    "http://b:*",
    "https://a*.b.c",
    "https://*a.b.c:1",
    "http://*",
    "http://*.b:*",
];

/// Each entry as it is matched and as it is meant.
static BOTH: LazyLock<Vec<(&str, Origins, Regex)>> = LazyLock::new(|| {
    let both = ENTRIES.map(|entry| (entry, native(&[entry]), naive(entry)));
    both.into()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_a_naive_matcher(
        pieces in proptest::collection::vec("http|https|://|a|b|c|B|\\.|:|1|/|@|-|\\[|\\]|\\?|é|\\*", 1..12),
        start in prop::sample::select(vec!["", "http://", "https://", "https://a", "https://a.b"]),
        end in prop::sample::select(vec!["", ".b.c", ".b", "b", "a.b.c:1", ":12"]),
    ) {
        let origin = format!("{start}{}{end}", pieces.concat());
        for (entry, origins, naive) in BOTH.iter() {
            prop_assert_eq!(
                origins.answer(origin.as_bytes()).is_some(),
                naive.is_match(&origin),
                "{} {}", entry, origin
            );
        }
    }

    #[test]
    fn no_bytes_make_it_stumble(origin in proptest::collection::vec(any::<u8>(), 0..64)) {
        for (_, origins, _) in BOTH.iter() {
            origins.answer(&origin);
        }
    }
}
