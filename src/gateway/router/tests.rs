//! Tests of the router: the reference's rules, KrakenD's recorded answers, hostile paths, and a
//! naive matcher to agree with.

use super::*;
use crate::gateway::path::decode;
use std::time::Instant;

const DIALECTS: [Dialect; 2] = [Dialect::Native, Dialect::Krakend];

fn routes(list: &[(&str, &str)]) -> Vec<Route> {
    list.iter()
        .enumerate()
        .map(|(index, (method, pattern))| Route {
            method: method.parse().unwrap(),
            pattern: (*pattern).to_owned(),
            endpoint: index as u32,
        })
        .collect()
}

fn router(dialect: Dialect, list: &[(&str, &str)]) -> Router {
    Router::build(routes(list), RouterOptions::new(dialect)).unwrap()
}

fn conflicts(dialect: Dialect, list: &[(&str, &str)]) -> Vec<(u32, u32, String)> {
    let conflicts = Router::build(routes(list), RouterOptions::new(dialect)).unwrap_err();
    conflicts
        .into_iter()
        .map(|c| (c.first, c.second, c.text))
        .collect()
}

/// The decision as a short text: `E0 a b` (values), `301 /x`, `405 GET`, `options GET`, `404`.
fn ask(router: &Router, method: &str, raw: &str) -> String {
    let decoded = decode(raw.as_bytes()).unwrap();
    let path = router.prepare(&decoded);
    let mut params = Params::default();
    match router.find(&method.parse().unwrap(), &path, &mut params) {
        Found::Endpoint { id, head_of_get } => {
            let mut text = format!("E{id}");
            for index in 0..params.len() {
                let value = params.get(index, &path).unwrap();
                text += &format!(" {}", String::from_utf8_lossy(value));
            }
            if head_of_get { text + " (head)" } else { text }
        }
        Found::Redirect { code, location, .. } => format!("{code} {location}"),
        Found::AutoOptions { allow } => format!("options {allow}"),
        Found::MethodNotAllowed { allow } => format!("405 {allow}"),
        Found::NotFound => "404".to_owned(),
    }
}

fn expect(router: &Router, cases: &[(&str, &str, &str)]) {
    for (method, path, answer) in cases {
        assert_eq!(ask(router, method, path), *answer, "{method} {path}");
    }
}

#[test]
fn fixed_text_beats_a_parameter_and_dead_ends_go_back() {
    let list = [
        ("GET", "/a/{x}"),
        ("GET", "/a/fixed"),
        ("GET", "/a/{x}/b"),
        ("GET", "/a/{x}/b/{y}"),
    ];
    for dialect in DIALECTS {
        expect(
            &router(dialect, &list),
            &[
                ("GET", "/a/1", "E0 1"),
                ("GET", "/a/fixed", "E1"),
                ("GET", "/a/fixed/b", "E2 fixed"),
                ("GET", "/a/2/b", "E2 2"),
                ("GET", "/a/2/b/3", "E3 2 3"),
                ("GET", "/a", "404"),
                ("GET", "/a/", "404"),
                ("GET", "/a/2/c", "404"),
                ("GET", "/a/fixe", "E0 fixe"),
                ("GET", "/a/fixedd", "E0 fixedd"),
                ("GET", "/a//b", "E2 "),
            ],
        );
    }
}

#[test]
fn goes_back_from_deep_dead_ends() {
    let list = [("GET", "/a/b/{x}"), ("GET", "/a/{y}/c/d")];
    expect(
        &router(Dialect::Native, &list),
        &[
            ("GET", "/a/b/c/d", "E1 b"),
            ("GET", "/a/b/c", "E0 c"),
            ("GET", "/a/b/c/e", "404"),
        ],
    );
}

#[test]
fn another_methods_fixed_path_hides_no_parameter() {
    let list = [("GET", "/u/{id}"), ("POST", "/u/me")];
    for dialect in DIALECTS {
        expect(
            &router(dialect, &list),
            &[
                ("GET", "/u/me", "E0 me"),
                ("POST", "/u/me", "E1"),
                (
                    "POST",
                    "/u/x",
                    if dialect == Dialect::Krakend {
                        "405 GET"
                    } else {
                        "405 GET, HEAD"
                    },
                ),
            ],
        );
    }
}

#[test]
fn matches_the_decoded_path() {
    let router = router(Dialect::Krakend, &[("GET", "/p/{x}"), ("GET", "/é/{x}/y")]);
    expect(
        &router,
        &[
            ("GET", "/p/a%20b", "E0 a b"),
            ("GET", "/p/a%2Fb", "404"),
            ("GET", "/p/a%252Fb", "E0 a%2Fb"),
            ("GET", "/p/caf%C3%A9", "E0 café"),
            ("GET", "/p/a+b", "E0 a+b"),
            ("GET", "/p/..", "E0 .."),
            ("GET", "/%C3%A9/1/y", "E1 1"),
            ("GET", "/%C3%89/Q/Y", "301 /%C3%A9/Q/y"),
        ],
    );
}

#[test]
fn redirects_as_recorded() {
    let list = [("GET", "/dir/"), ("GET", "/file"), ("GET", "/par/{x}")];
    for dialect in DIALECTS {
        expect(
            &router(dialect, &list),
            &[
                ("GET", "/dir", "301 /dir/"),
                ("GET", "/dir/", "E0"),
                ("GET", "/file/", "301 /file"),
                ("GET", "/FILE", "301 /file"),
                ("GET", "//file", "301 /file"),
                ("GET", "/./file", "301 /file"),
                ("GET", "/x/../file", "301 /file"),
                ("GET", "/par/1/", "301 /par/1"),
                ("POST", "/file/", "404"),
                ("GET", "/PAR/AbC", "301 /par/AbC"),
                ("GET", "/DIR", "301 /dir/"),
                ("GET", "/Par/%3F%20/", "301 /par/%3F%20"),
                ("CONNECT", "/file/", "404"),
            ],
        );
    }
}

#[test]
fn krakend_drops_a_slash_after_a_parameter_even_in_vain() {
    let list = [
        ("GET", "/u/{id}/posts"),
        ("GET", "/v/{a}/{b}"),
        ("GET", "/s/t/u"),
    ];
    expect(
        &router(Dialect::Krakend, &list),
        &[
            ("GET", "/u/1/", "301 /u/1"),
            ("GET", "/u/1", "404"),
            ("GET", "/v/1/", "301 /v/1"),
            ("GET", "/v/1/2/", "301 /v/1/2"),
            ("GET", "/s/t/", "404"),
            ("GET", "/u/1/x/", "404"),
        ],
    );
    expect(
        &router(Dialect::Native, &list),
        &[("GET", "/u/1/", "404"), ("GET", "/v/1/", "404")],
    );
}

#[test]
fn other_methods_are_redirected_with_307() {
    let list = [("GET", "/u/{id}"), ("POST", "/u/{id}")];
    expect(
        &router(Dialect::Krakend, &list),
        &[
            ("GET", "/U/1", "301 /u/1"),
            ("POST", "/U/1", "307 /u/1"),
            ("GET", "/u/1/", "301 /u/1"),
            ("HEAD", "/u/1", "405 GET, POST"),
            ("HEAD", "/u/1/", "404"),
        ],
    );
    expect(
        &router(Dialect::Native, &list),
        &[
            ("HEAD", "/u/1", "E0 1 (head)"),
            ("HEAD", "/u/1/", "301 /u/1"),
        ],
    );
}

#[test]
fn never_redirects_to_another_host() {
    let router = router(Dialect::Native, &[("GET", "/{a}/b"), ("GET", "/c/{x}/{y}")]);
    expect(
        &router,
        &[
            ("GET", "//evil.test/b/", "301 /evil.test/b"),
            ("GET", "//b", "E0 "),
            ("GET", "/c//evil/1/", "301 /c/evil/1"),
        ],
    );
}

#[test]
fn native_redirects_never_lead_to_404() {
    let list = [
        ("GET", "/{a}/b"),
        ("GET", "/c/{x}/{y}"),
        ("GET", "/w/{x}/*"),
    ];
    expect(
        &router(Dialect::Native, &list),
        &[
            ("GET", "//b/", "404"),
            ("GET", "/c//evil/", "404"),
            ("GET", "/w/.", "404"),
            ("GET", "/w/1", "301 /w/1/"),
        ],
    );
}

#[test]
fn slash_and_case_have_their_own_switches() {
    let list = [("GET", "/file"), ("GET", "/d/")];
    let build = |slash, fixed| {
        let options = RouterOptions {
            redirect_trailing_slash: slash,
            redirect_fixed_path: fixed,
            ..RouterOptions::new(Dialect::Krakend)
        };
        Router::build(routes(&list), options).unwrap()
    };
    let kind = |router: &Router, path: &[u8]| match router.find(
        &Method::GET,
        path,
        &mut Params::default(),
    ) {
        Found::Redirect { slash, .. } => Some(slash),
        _ => None,
    };
    assert_eq!(kind(&build(true, true), b"/file/"), Some(true));
    assert_eq!(kind(&build(false, true), b"/file/"), Some(false));
    assert_eq!(kind(&build(false, false), b"/file/"), None);
    assert_eq!(kind(&build(true, false), b"/FILE"), None);
    assert_eq!(kind(&build(true, false), b"/d"), Some(true));
}

#[test]
fn errors_as_recorded() {
    let list = [("GET", "/x"), ("POST", "/y")];
    let router = router(Dialect::Krakend, &list);
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PROPFIND"] {
        assert_eq!(ask(&router, method, "/x"), "405 GET");
    }
    expect(
        &router,
        &[
            ("GET", "/nope", "404"),
            ("GET", "/y", "405 POST"),
            ("HEAD", "/nope", "404"),
            ("GET", "/", "404"),
            ("OPTIONS", "*", "404"),
            ("GET", "", "404"),
        ],
    );
    let options = RouterOptions {
        handle_method_not_allowed: false,
        ..RouterOptions::new(Dialect::Krakend)
    };
    let silent = Router::build(routes(&list), options).unwrap();
    assert_eq!(ask(&silent, "PUT", "/x"), "404");
}

#[test]
fn answers_options_as_recorded() {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let list = methods.map(|method| (method, "/m"));
    let options = |dialect| RouterOptions {
        auto_options: true,
        ..RouterOptions::new(dialect)
    };
    let krakend = Router::build(routes(&list), options(Dialect::Krakend)).unwrap();
    expect(
        &krakend,
        &[
            ("OPTIONS", "/m", "options DELETE, GET, PATCH, POST, PUT"),
            ("HEAD", "/m", "405 GET, POST, PUT, PATCH, DELETE, OPTIONS"),
            ("OPTIONS", "/other", "404"),
            ("OPTIONS", "/m/", "307 /m"),
            ("PUT", "/m", "E2"),
        ],
    );
    let native = Router::build(routes(&list), options(Dialect::Native)).unwrap();
    expect(
        &native,
        &[
            (
                "OPTIONS",
                "/m",
                "options DELETE, GET, HEAD, PATCH, POST, PUT",
            ),
            (
                "TRACE",
                "/m",
                "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
            ),
        ],
    );
}

#[test]
fn an_endpoints_own_options_stays() {
    let list = [("OPTIONS", "/o/{x}"), ("GET", "/o/{x}"), ("GET", "/p/{y}")];
    let options = RouterOptions {
        auto_options: true,
        ..RouterOptions::new(Dialect::Native)
    };
    let router = Router::build(routes(&list), options).unwrap();
    expect(
        &router,
        &[
            ("OPTIONS", "/o/1", "E0 1"),
            ("OPTIONS", "/p/1", "options GET, HEAD"),
        ],
    );
}

#[test]
fn removes_extra_slashes_before_matching() {
    let options = RouterOptions {
        remove_extra_slash: true,
        ..RouterOptions::new(Dialect::Krakend)
    };
    let router = Router::build(routes(&[("GET", "/a/{x}/b")]), options).unwrap();
    expect(
        &router,
        &[("GET", "//a///1/./b", "E0 1"), ("GET", "/a//b", "404")],
    );
}

#[test]
fn reads_parameters_as_gin_does() {
    let rest = |pattern| param_names(pattern, false);
    assert_eq!(rest("/a/{x}/b/{y-z_1}"), ["x", "y-z_1"]);
    assert_eq!(rest("/v1/{id}.json"), ["id.json"]);
    assert_eq!(rest("/a/pre{x}/{a.b}/{}/{a"), [""; 0]);
    assert_eq!(rest("/{x}/pre{x}?{y}"), ["x", "x?{y}"]);
    assert_eq!(rest("/a/{x}/*"), ["x"]);
    assert_eq!(param_names("/a/pre{x}/{b.c}", true), ["x", "b.c"]);
    let strict = router(
        Dialect::Krakend,
        &[("GET", "/a/pre{x}"), ("GET", "/j/{id}.json")],
    );
    expect(
        &strict,
        &[
            ("GET", "/a/pre%7Bx%7D", "E0"),
            ("GET", "/a/pre1", "404"),
            ("GET", "/j/1.json", "E1 1.json"),
            ("GET", "/j/1", "E1 1"),
        ],
    );
}

#[test]
fn disable_rest_allows_prefixes_longest_first() {
    let list = [
        ("GET", "/a/{x}"),
        ("GET", "/a/p{x}"),
        ("GET", "/a/pre{x}"),
        ("GET", "/a/prefix"),
        ("GET", "/a/pre{x}/y"),
    ];
    let options = RouterOptions {
        disable_rest: true,
        ..RouterOptions::new(Dialect::Krakend)
    };
    let router = Router::build(routes(&list), options).unwrap();
    expect(
        &router,
        &[
            ("GET", "/a/prefix", "E3"),
            ("GET", "/a/prefixes", "E2 fixes"),
            ("GET", "/a/pre", "E1 re"),
            ("GET", "/a/p", "E0 p"),
            ("GET", "/a/q", "E0 q"),
            ("GET", "/a/pre/y", "E4 "),
            ("GET", "/A/PREx/Y", "301 /a/prex/y"),
        ],
    );
}

#[test]
fn krakend_conflicts_speak_gins_words_and_all_are_told() {
    let list = [
        ("GET", "/c/{one}"),
        ("GET", "/c/{two}/x"),
        ("GET", "/a/{x}"),
        ("GET", "/a/{x}"),
        ("POST", "/c/{two}/x"),
        ("GET", "/foo/*"),
        ("GET", "/b/:"),
        ("GET", "/w/*rest/x"),
        ("GET", "/d/:x-:y"),
        ("GET", "/e/x*y"),
    ];
    assert_eq!(conflicts(Dialect::Krakend, &list), [
        (0, 1, "':two' in new path '/c/:two/x' conflicts with existing wildcard ':one' in existing \
            prefix '/c/:one'".to_owned()),
        (2, 3, "handlers are already registered for path '/a/:x'".to_owned()),
        (5, 5, "wildcards must be named with a non-empty name in path '/foo/*'".to_owned()),
        (6, 6, "wildcards must be named with a non-empty name in path '/b/:'".to_owned()),
        (7, 7, "catch-all routes are only allowed at the end of the path in path '/w/*rest/x'"
            .to_owned()),
        (8, 8, "only one wildcard per path segment is allowed, has: ':x-:y' in path '/d/:x-:y'"
            .to_owned()),
        (9, 9, "no / before catch-all in path '/e/x*y'".to_owned()),
    ]);
}

#[test]
fn native_allows_different_names_but_not_the_same_requests() {
    let list = [
        ("GET", "/c/{one}"),
        ("GET", "/c/{two}/x"),
        ("GET", "/c/{three}"),
    ];
    assert_eq!(
        conflicts(Dialect::Native, &list),
        [(
            0,
            2,
            "GET /c/{three} claims the same requests as GET /c/{one}".to_owned()
        )],
    );
    let router = router(Dialect::Native, &list[..2]);
    expect(
        &router,
        &[
            ("GET", "/c/1", "E0 1"),
            ("GET", "/c/1/x", "E1 1"),
            ("GET", "/c/1/y", "404"),
        ],
    );
    assert_eq!(
        conflicts(Dialect::Native, &[("GET", "/__catchall"); 2]).len(),
        1
    );
    assert_eq!(conflicts(Dialect::Native, &[("GET", "/w/*"); 2]).len(), 1);
}

#[test]
fn wildcards_take_what_is_below_and_nothing_better_wants() {
    let list = [
        ("GET", "/w/*"),
        ("GET", "/w/{x}/y"),
        ("GET", "/w/z"),
        ("GET", "/{a}/b/*"),
    ];
    let router = router(Dialect::Native, &list);
    expect(
        &router,
        &[
            ("GET", "/w/1", "E0 1"),
            ("GET", "/w/1/2//3", "E0 1/2//3"),
            ("GET", "/w/", "E0 "),
            ("GET", "/w/1/y", "E1 1"),
            ("GET", "/w/z", "E2"),
            ("GET", "/w", "301 /w/"),
            ("GET", "/W/Q/r", "301 /w/Q/r"),
            ("GET", "/q/b/c", "E3 q c"),
            ("GET", "/w/b/c", "E0 b/c"),
        ],
    );
    let mut params = Params::default();
    router.find(&Method::GET, b"/w/1/y", &mut params);
    assert!(!params.raw_tail());
    router.find(&Method::GET, b"/w/1/2", &mut params);
    assert!(params.raw_tail());
}

#[test]
fn built_in_wildcards_work_in_both_dialects() {
    for dialect in DIALECTS {
        let router = router(
            dialect,
            &[("GET", "/__debug/*param"), ("DELETE", "/__debug/*param")],
        );
        expect(
            &router,
            &[
                ("GET", "/__debug", "301 /__debug/"),
                ("DELETE", "/__debug", "307 /__debug/"),
                ("GET", "/__debug/any/thing", "E0 any/thing"),
                ("GET", "/__debug/", "E0 "),
            ],
        );
        let mut params = Params::default();
        router.find(&Method::GET, b"/__debug/x", &mut params);
        assert!(!params.raw_tail());
    }
}

#[test]
fn the_catchall_comes_last() {
    let list = [
        ("GET", "/__catchall"),
        ("GET", "/a"),
        ("POST", "/b"),
        ("POST", "/__catchall"),
    ];
    expect(
        &router(Dialect::Native, &list),
        &[
            ("GET", "/nope", "E0"),
            ("HEAD", "/nope", "E0 (head)"),
            ("GET", "/a/", "301 /a"),
            ("GET", "/b", "405 POST"),
            ("POST", "/zz", "E3"),
            ("PUT", "/zz", "404"),
        ],
    );
    expect(
        &router(Dialect::Krakend, &list),
        &[("GET", "/nope", "404"), ("GET", "/__catchall", "E0")],
    );
}

#[test]
fn puts_query_and_prefix_into_locations() {
    assert_eq!(
        location_with_query("/file".to_owned(), Some(b"a=b")),
        "/file?a=b"
    );
    assert_eq!(
        location_with_query("/file".to_owned(), Some(b"a=\r\n\xff")),
        "/file?a=%0D%0A%FF"
    );
    assert_eq!(location_with_query("/file".to_owned(), None), "/file");
    assert_eq!(prefixed_location("/dir/", b"/api/v1"), "/api/v1/dir/");
    assert_eq!(
        prefixed_location("/dir/", b"//evil.test/"),
        "/eviltest/dir/"
    );
    assert_eq!(prefixed_location("/dir", b""), "/dir");
}

#[test]
fn forty_nested_forks_stay_fast() {
    // Every route leaves the common path at another depth, on the fixed and on the parameter side.
    let mut list = Vec::new();
    for depth in 0..40 {
        for fork in ["a", "{p}"] {
            let mut pattern = String::new();
            for level in 0..40 {
                pattern += if level < depth {
                    "/a"
                } else if level == depth {
                    "/"
                } else {
                    "/{p}"
                };
                if level == depth {
                    pattern += fork;
                }
            }
            list.push(("GET", pattern + &format!("/end{depth}{}", fork.len())));
        }
    }
    let list: Vec<(&str, &str)> = list.iter().map(|(m, p)| (*m, p.as_str())).collect();
    for dialect in DIALECTS {
        let router = router(dialect, &list);
        let hostile = [
            "/a".repeat(40),
            "/a".repeat(41),
            "/A".repeat(41),
            "/a".repeat(4000),
            "/".repeat(8192),
            "/%41".repeat(2000),
            format!("{}/x", "/a".repeat(40)),
        ];
        let start = Instant::now();
        for path in &hostile {
            for _ in 0..20 {
                assert!(!ask(&router, "GET", path).starts_with('E'));
            }
        }
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
        let last = format!("{}/end393", "/a".repeat(40));
        assert!(ask(&router, "GET", &last).starts_with("E79 a"));
    }
}

#[test]
fn refuses_patterns_of_absurd_depth() {
    let deep = "/{x}".repeat(300);
    assert_eq!(conflicts(Dialect::Native, &[("GET", &deep)]).len(), 1);
}

/// What matches, found by comparing with every route; among several the best at the first segment
/// in which they differ.
fn naive(routes: &[Vec<&str>], path: &str) -> Option<usize> {
    let parts: Vec<&str> = path[1..].split('/').collect();
    let fits = |route: &Vec<&str>| {
        let tail = route.last() == Some(&"*");
        let fixed = route.len() - usize::from(tail);
        (if tail {
            parts.len() > fixed
        } else {
            parts.len() == fixed
        }) && route[..fixed]
            .iter()
            .zip(&parts)
            .enumerate()
            .all(|(at, (segment, part))| match *segment {
                "{x}" => at + 1 < parts.len() || !part.is_empty(),
                text => text == *part,
            })
    };
    let rank = |route: &Vec<&str>| -> Vec<u8> {
        route
            .iter()
            .map(|s| match *s {
                "*" => 2,
                "{x}" => 1,
                _ => 0,
            })
            .collect()
    };
    (0..routes.len())
        .filter(|&i| fits(&routes[i]))
        .min_by_key(|&i| rank(&routes[i]))
}

proptest::proptest! {
    #[test]
    fn agrees_with_a_naive_matcher(
        routes in proptest::collection::hash_set(
            (proptest::collection::vec(
                proptest::sample::select(vec!["a", "b", "aa", "{x}"]), 1..5),
             proptest::bool::weighted(0.2)),
            1..25),
        paths in proptest::collection::vec(
            proptest::collection::vec(
                proptest::sample::select(vec!["a", "b", "aa", "", "c"]), 1..6),
            20),
    ) {
        let routes: Vec<Vec<&str>> = routes.into_iter().map(|(mut route, tail)| {
            if tail { route.push("*"); }
            route
        }).collect();
        let texts: Vec<String> = routes.iter().map(|r| format!("/{}", r.join("/"))).collect();
        let list: Vec<(&str, &str)> = texts.iter().map(|text| ("GET", text.as_str())).collect();
        let router = router(Dialect::Native, &list);
        for path in paths {
            let path = format!("/{}", path.join("/"));
            let found = match router.find(&Method::GET, path.as_bytes(), &mut Params::default()) {
                Found::Endpoint { id, .. } => Some(id as usize),
                _ => None,
            };
            proptest::prop_assert_eq!(found, naive(&routes, &path), "{} in {:?}", path, texts);
        }
    }

    #[test]
    fn redirects_lead_to_something(path in "(/[aAbB.]{0,2}){1,5}/?") {
        let list = [("GET", "/a/{x}/b"), ("GET", "/b/"), ("GET", "/a"), ("GET", "/b/a/*")];
        let router = router(Dialect::Native, &list);
        let answer = ask(&router, "GET", &path);
        if let Some(location) = answer.strip_prefix("301 ") {
            proptest::prop_assert!(!location.starts_with("//"));
            proptest::prop_assert_ne!(location, path.as_str());
        }
    }
}
