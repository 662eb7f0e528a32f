//! Endpoint paths and url patterns: which are refused, which parameters they have, and whether a
//! backend uses only parameters that its endpoint has.
//!
//! Beyond KrakenD, `/path/*` is allowed in the native dialect (KrakenD panics on it), and what only
//! its router refuses by a panic is found here already.

use crate::base::{Code, Dialect, Problem};
use std::collections::BTreeSet;

/// An endpoint path taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The path with each recognised `{name}` as `:name`; from a colon a parameter runs to the next
    /// slash, and a last segment `*` takes all that follows.
    pub path: String,
    /// Names of the recognised parameters, sorted, each once.
    pub params: Vec<String>,
}

/// The path with exactly the leading slash it needs; the rest stays as written.
pub fn clean(path: &str) -> String {
    format!("/{}", path.strip_prefix('/').unwrap_or(path))
}

/// Whether KrakenD refuses an endpoint path (with its leading slash): something follows a `*`, or a
/// segment is `__debug`, `__echo` or `__health`.
pub fn is_forbidden(path: &str) -> bool {
    let star = path.find('*').is_some_and(|at| at + 1 < path.len());
    star || path
        .split('/')
        .skip(1)
        .any(|segment| matches!(segment, "__debug" | "__echo" | "__health"))
}

/// Finds the parameters of an endpoint path. With `disable_rest`, `{name}` may stand anywhere and
/// the name may also hold `.`, `:` and `/`; otherwise only directly behind a slash.
pub fn route(endpoint: &str, disable_rest: bool) -> Route {
    let name = if disable_rest {
        is_loose as fn(u8) -> bool
    } else {
        is_strict
    };
    let recognised = |(at, _): &(usize, &str)| {
        disable_rest || endpoint.as_bytes().get(at.wrapping_sub(1)) == Some(&b'/')
    };
    let params: BTreeSet<&str> = braces(endpoint, name)
        .into_iter()
        .filter(recognised)
        .map(|(_, name)| name)
        .collect();
    // KrakenD replaces every `{name}` in front of the query once the name is recognised anywhere.
    let query = endpoint.find('?').unwrap_or(endpoint.len());
    let (mut path, mut copied) = (String::with_capacity(endpoint.len()), 0);
    for (at, name) in braces(endpoint, name) {
        if at < query && params.contains(name) {
            path.push_str(endpoint.get(copied..at).unwrap_or_default());
            path.push(':');
            path.push_str(name);
            copied = at + name.len() + 2;
        }
    }
    path.push_str(endpoint.get(copied..).unwrap_or_default());
    Route {
        path,
        params: params.into_iter().map(str::to_owned).collect(),
    }
}

/// Names of the placeholders of a url pattern, path and query, sorted, each once.
pub fn placeholders(url_pattern: &str) -> Vec<String> {
    let names: BTreeSet<&str> = braces(url_pattern, is_loose)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Whether a placeholder needs no parameter of the endpoint: a field of an earlier sequential
/// answer (`resp0_id`) or a claim of the token (`JWT.sub`).
pub fn is_free(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("resp") {
        let field = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        return field.len() < rest.len()
            && field
                .strip_prefix('_')
                .is_some_and(|field| !field.is_empty());
    }
    match name.strip_prefix("JWT.") {
        Some(claim) => !claim.is_empty() && claim.bytes().all(is_loose),
        None => name.is_empty(),
    }
}

/// What the router would not take in a path whose parameters are written with colons.
pub fn router_problem(route: &str, dialect: Dialect) -> Option<String> {
    let segments: Vec<&str> = route.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let escaped = segment.replace("\\:", "");
        let Some(at) = escaped.find([':', '*']) else {
            continue;
        };
        let wildcard = escaped.get(at..).unwrap_or_default();
        if wildcard.matches([':', '*']).count() > 1 {
            return Some(format!(
                "only one wildcard per path segment is allowed, has: '{wildcard}' in path '{route}'"
            ));
        }
        let catch_all = escaped == "*" && index + 1 == segments.len() && dialect == Dialect::Native;
        if wildcard.len() < 2 && !catch_all {
            return Some(format!(
                "wildcards must be named with a non-empty name in path '{route}'"
            ));
        }
    }
    None
}

/// Checks that a backend uses no parameter that its endpoint does not have. `endpoint` is
/// `METHOD path` for the message.
///
/// # Errors
/// The finding in KrakenD's words, at the backend's `url_pattern`.
pub fn check_placeholders(
    names: &[String],
    params: &[String],
    endpoint: &str,
    backend: usize,
    pointer: &str,
) -> Result<(), Problem> {
    let has = |name: &String| params.binary_search(name).is_ok();
    let lists = || {
        format!(
            "input: [{}], output: [{}]",
            params.join(" "),
            names.join(" ")
        )
    };
    // KrakenD's count leaves out the last name; the other check finds it.
    let counted = names.split_last().map_or(0, |(_, rest)| {
        rest.iter().filter(|name| !is_free(name)).count()
    });
    if counted > params.len() {
        let message = format!(
            "input and output params do not match. endpoint: {endpoint}, backend: {backend}. {}",
            lists()
        );
        return Err(Problem::error(Code::ParamCount, pointer, message).hint(param_hint(params)));
    }
    match names.iter().find(|name| !is_free(name) && !has(name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "undefined output param '{name}'! endpoint: {endpoint}, backend: {backend}. {}",
                lists()
            );
            Err(Problem::error(Code::UndefinedParam, pointer, message).hint(param_hint(params)))
        }
    }
}

fn param_hint(params: &[String]) -> String {
    if params.is_empty() {
        return "the endpoint has no parameters; write {name} as a whole segment of its path"
            .to_owned();
    }
    format!(
        "use one of {{{}}}, or add the parameter to the endpoint's path",
        params.join("}, {")
    )
}

/// All `{name}` of a text with the offset of the brace, left to right.
fn braces(text: &str, is_name: fn(u8) -> bool) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(open) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == b'{'))
    {
        let start = at + open + 1;
        let length = bytes
            .iter()
            .skip(start)
            .take_while(|&&b| is_name(b))
            .count();
        at = start + length;
        if length > 0 && bytes.get(at) == Some(&b'}') {
            found.extend(text.get(start..at).map(|name| (start - 1, name)));
        }
    }
    found
}

fn is_strict(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_loose(byte: u8) -> bool {
    is_strict(byte) || matches!(byte, b'.' | b':' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str, disable_rest: bool) -> (String, String) {
        let route = route(endpoint, disable_rest);
        (route.path, route.params.join(","))
    }

    #[test]
    fn ensures_the_leading_slash_and_nothing_else() {
        for (path, clean_path) in [
            ("", "/"),
            ("a", "/a"),
            ("/a", "/a"),
            ("//a", "//a"),
            ("/a//b/", "/a//b/"),
        ] {
            assert_eq!(clean(path), clean_path);
        }
    }

    #[test]
    fn refuses_reserved_paths_and_stars_inside() {
        for path in [
            "/__debug",
            "/__debug/x",
            "/foo/__health",
            "/x/__debug/y",
            "/__echo/",
            "/w/*rest",
            "/a*b",
            "/**",
            "/*/",
        ] {
            assert!(is_forbidden(path), "{path}");
        }
        for path in [
            "/",
            "/foo/*",
            "/a*",
            "/__stats",
            "/__catchall",
            "/__debugger",
            "/x__debug",
            "/__health2/x",
        ] {
            assert!(!is_forbidden(path), "{path}");
        }
    }

    #[test]
    fn strict_params_stand_right_behind_a_slash() {
        for (endpoint, path, params) in [
            ("/u/{id}", "/u/:id", "id"),
            ("/v1/{id}.json", "/v1/:id.json", "id"),
            ("/a/pre{x}", "/a/pre{x}", ""),
            ("/{x}/pre{x}", "/:x/pre:x", "x"),
            ("/{b}/{a}/{b}", "/:b/:a/:b", "a,b"),
            ("/{a.b}", "/{a.b}", ""),
            ("/{}", "/{}", ""),
            ("/{a", "/{a", ""),
            ("/{ä}/{{a}}", "/{ä}/{{a}}", ""),
            ("/{a}?x={a}", "/:a?x={a}", "a"),
            ("/:lit", "/:lit", ""),
        ] {
            assert_eq!(
                of(endpoint, false),
                (path.to_owned(), params.to_owned()),
                "{endpoint}"
            );
        }
    }

    #[test]
    fn loose_params_stand_anywhere() {
        for (endpoint, path, params) in [
            ("/a/pre{x}", "/a/pre:x", "x"),
            ("/a/{x}-{y}", "/a/:x-:y", "x,y"),
            ("/{a.b:c}", "/:a.b:c", "a.b:c"),
            ("/{{a}}", "/{:a}", "a"),
        ] {
            assert_eq!(
                of(endpoint, true),
                (path.to_owned(), params.to_owned()),
                "{endpoint}"
            );
        }
    }

    #[test]
    fn finds_placeholders_in_path_and_query() {
        assert_eq!(
            placeholders("/x/{b}/{a}?q={b}&z={JWT.http://e.com/c}"),
            ["JWT.http://e.com/c", "a", "b"]
        );
        assert_eq!(placeholders("/x/{}/{ a}/{a b}"), Vec::<String>::new());
    }

    #[test]
    fn knows_which_placeholders_are_free() {
        for name in [
            "resp0_id",
            "resp12_a.b",
            "JWT.sub",
            "JWT.http://x/y",
            "resp0_aJWT.sub",
            "",
        ] {
            assert!(is_free(name), "{name}");
        }
        for name in [
            "resp0", "resp0_", "resp_x", "JWT.", "JWT", "id", "xresp0_a", "JWT.a b",
        ] {
            assert!(!is_free(name), "{name}");
        }
    }

    fn check(pattern: &str, params: &[&str]) -> Option<(Code, String)> {
        let params: Vec<String> = params.iter().map(|&p| p.to_owned()).collect();
        let checked = check_placeholders(&placeholders(pattern), &params, "GET /e/:a", 1, "/p");
        checked.err().map(|problem| (problem.code, problem.message))
    }

    #[test]
    fn checks_what_backends_use() {
        assert_eq!(check("/{a}/{a}", &["a"]), None);
        assert_eq!(check("/{a}/{resp0_x}/{JWT.sub}", &["a", "b"]), None);
        assert_eq!(
            check("/{c}", &["a"]).unwrap(),
            (
                Code::UndefinedParam,
                "undefined output param 'c'! endpoint: GET /e/:a, backend: 1. input: [a], output: [c]".to_owned()
            )
        );
        assert_eq!(
            check("/{d}/{c}", &[]).unwrap(),
            (
                Code::ParamCount,
                "input and output params do not match. endpoint: GET /e/:a, backend: 1. input: [], output: [c d]"
                    .to_owned()
            )
        );
        // The last name is not counted, so one name too many is reported as undefined.
        assert_eq!(check("/{a}/{c}", &["a"]).unwrap().0, Code::UndefinedParam);
        assert_eq!(check("/{resp0}", &["a"]).unwrap().0, Code::UndefinedParam);
    }

    #[test]
    fn finds_what_the_router_would_not_take() {
        let krakend = |route| router_problem(route, Dialect::Krakend);
        assert_eq!(
            krakend("/foo/*").unwrap(),
            "wildcards must be named with a non-empty name in path '/foo/*'"
        );
        assert_eq!(
            krakend("/a/:x-:y/z").unwrap(),
            "only one wildcard per path segment is allowed, has: ':x-:y' in path '/a/:x-:y/z'"
        );
        assert!(krakend("/a/:").is_some());
        for route in ["/", "/a/:x", "/a/pre:x/b", "/a\\:b", "/v1/:id.json"] {
            assert_eq!(krakend(route), None, "{route}");
        }
        for route in ["/foo/*", "/*"] {
            assert_eq!(router_problem(route, Dialect::Native), None, "{route}");
        }
        assert!(router_problem("/a*", Dialect::Native).is_some());
    }

    #[test]
    fn reads_long_paths_in_one_pass() {
        let many: String = (0..50_000).map(|n| format!("/{{p{n}}}")).collect();
        assert_eq!(route(&many, false).params.len(), 50_000);
        assert!(route(&"{".repeat(1_000_000), true).params.is_empty());
    }
}
