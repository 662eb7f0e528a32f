//! Every key of the document by level, and what to say about keys that are none of them. KrakenD
//! ignores unknown keys without a word.

use crate::base::problem::pointer_join;
use crate::base::{Code, Problem, Report};
use serde_json::{Map, Value};

/// Keys of the whole document.
pub const SERVICE: &[&str] = &[
    "version",
    "name",
    "port",
    "listen_ip",
    "host",
    "timeout",
    "cache_ttl",
    "output_encoding",
    "endpoints",
    "async_agent",
    "extra_config",
    "debug_endpoint",
    "echo_endpoint",
    "disable_rest",
    "sequential_start",
    "plugin",
    "tls",
    "client_tls",
    "allow_insecure_connections",
    "use_h2c",
    "read_timeout",
    "write_timeout",
    "idle_timeout",
    "read_header_timeout",
    "max_header_bytes",
    "max_shutdown_wait_time",
    "disable_keep_alives",
    "disable_compression",
    "max_idle_connections",
    "max_idle_connections_per_host",
    "idle_connection_timeout",
    "response_header_timeout",
    "expect_continue_timeout",
    "dialer_timeout",
    "dialer_fallback_delay",
    "dialer_keep_alive",
    "dns_cache_ttl",
];

/// Keys of an endpoint.
pub const ENDPOINT: &[&str] = &[
    "endpoint",
    "method",
    "backend",
    "timeout",
    "cache_ttl",
    "output_encoding",
    "concurrent_calls",
    "input_headers",
    "input_query_strings",
    "extra_config",
];

/// Keys of a backend.
pub const BACKEND: &[&str] = &[
    "url_pattern",
    "host",
    "disable_host_sanitize",
    "method",
    "encoding",
    "is_collection",
    "target",
    "allow",
    "deny",
    "mapping",
    "group",
    "sd",
    "sd_scheme",
    "input_headers",
    "input_query_strings",
    "extra_config",
];

/// Keys of an async agent.
pub const AGENT: &[&str] = &[
    "name",
    "connection",
    "consumer",
    "encoding",
    "backend",
    "extra_config",
];
/// Keys of an agent's `consumer`.
pub const CONSUMER: &[&str] = &["timeout", "workers", "topic", "max_rate"];
/// Keys of an agent's `connection`.
pub const CONNECTION: &[&str] = &["max_retries", "backoff_strategy", "health_interval"];
/// Keys of `plugin`.
pub const PLUGIN: &[&str] = &["folder", "pattern"];

/// Keys of `tls`.
pub const TLS: &[&str] = &[
    "disabled",
    "keys",
    "public_key",
    "private_key",
    "min_version",
    "max_version",
    "curve_preferences",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "enable_mtls",
    "ca_certs",
    "disable_system_ca_pool",
];
/// Keys of an element of `tls.keys`.
pub const TLS_KEY: &[&str] = &["public_key", "private_key"];

/// Keys of `client_tls`.
pub const CLIENT_TLS: &[&str] = &[
    "allow_insecure_connections",
    "ca_certs",
    "disable_system_ca_pool",
    "client_certs",
    "min_version",
    "max_version",
    "curve_preferences",
    "cipher_suites",
];
/// Keys of an element of `client_tls.client_certs`.
pub const CLIENT_CERT: &[&str] = &["certificate", "private_key"];

/// Spellings of version 2 of the format, which nothing reads any more.
const VERSION_2: &[(&str, &str)] = &[
    ("headers_to_pass", "input_headers"),
    ("querystring_params", "input_query_strings"),
    ("whitelist", "allow"),
    ("blacklist", "deny"),
];

/// Suggestions cost a comparison with every known key; a report this long needs no more of them.
const SUGGESTIONS: usize = 200;

/// Whether a key is a comment by its first character.
pub fn is_comment(key: &str) -> bool {
    key.starts_with(['@', '$', '_', '#'])
}

/// A member by its exact name, else by a name that differs only in case, with the spelling found.
pub fn lookup<'a>(map: &'a Map<String, Value>, key: &str) -> Option<(&'a str, &'a Value)> {
    let found = map
        .get_key_value(key)
        .or_else(|| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)));
    found.map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
thread_local! {
    /// What [`warn_unknown`] was told, for the test that holds the field tables to the code: pointer
    /// and keys.
    pub(crate) static ASKED: std::cell::RefCell<Vec<(String, Vec<String>)>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Warns of each key that nothing reads.
pub fn warn_unknown(map: &Map<String, Value>, known: &[&str], pointer: &str, report: &mut Report) {
    #[cfg(test)]
    ASKED.with(|asked| {
        let keys = known.iter().map(|&key| key.to_owned()).collect();
        asked.borrow_mut().push((pointer.to_owned(), keys));
    });
    let used: Vec<Option<&str>> = known
        .iter()
        .map(|name| lookup(map, name).map(|(found, _)| found))
        .collect();
    for key in map.keys() {
        if known.contains(&key.as_str()) || is_comment(key) {
            continue;
        }
        let place = pointer_join(pointer, key);
        let shown = super::json::shortened(key);
        if let Some((name, used)) = known
            .iter()
            .zip(&used)
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
        {
            if *used != Some(key) {
                let message =
                    format!("key \"{shown}\" is ignored, another spelling of \"{name}\" is used");
                report.push(
                    Problem::warning(Code::UnknownKey, place, message)
                        .hint("remove one of the two"),
                );
            }
            continue;
        }
        let problem = Problem::warning(
            Code::UnknownKey,
            place,
            format!("unknown key \"{shown}\", it is ignored"),
        );
        report.push(match advice(key, known, report.problems.len()) {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }
}

fn advice(key: &str, known: &[&str], findings: usize) -> Option<String> {
    let renamed = VERSION_2
        .iter()
        .find(|(old, new)| *old == key && known.contains(new));
    if let Some((_, new)) = renamed {
        return Some(format!(
            "since version 3 of the format this key is \"{new}\""
        ));
    }
    if findings >= SUGGESTIONS {
        return None;
    }
    nearest(key, known).map(|name| format!("did you mean \"{name}\"?"))
}

/// The candidate that differs least from a word, if it differs little enough to be meant.
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let allowed = (word.len() / 3).clamp(1, 3);
    let ranked = candidates
        .iter()
        .map(|name| (distance(&word, &name.replace('-', "_")), *name));
    ranked
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            left = (above + 1)
                .min(left + 1)
                .min(diagonal + usize::from(x != y));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn warned(value: Value, known: &[&str]) -> Vec<(String, Option<String>)> {
        let mut report = Report::default();
        warn_unknown(value.as_object().unwrap(), known, "/x", &mut report);
        report
            .problems
            .into_iter()
            .map(|p| (p.pointer, p.hint))
            .collect()
    }

    #[test]
    fn measures_how_words_differ() {
        assert_eq!(distance("timeout", "timeout"), 0);
        assert_eq!(distance("tiemout", "timeout"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("time_out", SERVICE), Some("timeout"));
        assert_eq!(
            nearest("output-encoding", ENDPOINT),
            Some("output_encoding")
        );
        assert_eq!(nearest("qos", SERVICE), None);
    }

    #[test]
    fn names_what_was_meant() {
        let found = warned(
            json!({"backends": [], "method": "GET", "querystring_params": []}),
            ENDPOINT,
        );
        assert_eq!(
            found[0],
            (
                "/x/backends".to_owned(),
                Some("did you mean \"backend\"?".to_owned())
            )
        );
        assert!(
            found[1]
                .1
                .as_ref()
                .unwrap()
                .contains("\"input_query_strings\"")
        );
        assert!(
            warned(json!({"whitelist": []}), BACKEND)[0]
                .1
                .as_ref()
                .unwrap()
                .contains("\"allow\"")
        );
    }

    #[test]
    fn comments_are_no_unknown_keys() {
        assert_eq!(
            warned(
                json!({"$schema": 1, "@comment": 1, "_x": 1, "#y": 1}),
                SERVICE
            ),
            []
        );
    }

    #[test]
    fn another_case_is_the_same_key_unless_the_exact_one_is_there() {
        assert_eq!(warned(json!({"Method": "GET"}), ENDPOINT), []);
        assert_eq!(
            warned(
                json!({"METHOD": "a", "Method": "b", "method": "c"}),
                ENDPOINT
            )
            .len(),
            2
        );
        assert_eq!(
            warned(json!({"METHOD": "a", "Method": "b"}), ENDPOINT).len(),
            1
        );
    }
}
