//! `backend/http/client` – options of the HTTP client: redirects, and how connections are made.
//!
//! Differs from KrakenD CE: it reads `send_body_on_redirect` only; the keys of the Enterprise edition work
//! here too. A TLS setting that cannot be kept refuses the file: a backend is not called with less.

use crate::base::problem::Severity;
use crate::base::{Code, Dialect, Problem};
use crate::component::BackendDraft;
use crate::component::Component;
use crate::config::document::ClientTls;
use crate::config::settings::Settings;
use crate::config::tls;
use crate::net::{ProxyAddress, Tls, TlsOptions, TlsVersion};

/// The table line.
pub const COMPONENT: Component = Component {
    backend: Some(build),
    ..Component::named("backend/http/client")
};

fn build(
    s: &mut Settings<'_>,
    backend: &mut BackendDraft,
    dialect: Dialect,
) -> Result<(), Problem> {
    s.known(&[
        "send_body_on_redirect",
        "no_redirect",
        "proxy_address",
        "client_tls",
    ]);
    backend.send_body_on_redirect = lenient(s, |s| s.bool_or("send_body_on_redirect", false));
    backend.no_redirect = s.bool_or("no_redirect", false);
    backend.proxy = proxy(s);
    backend.tls = own_tls(s, dialect);
    Ok(())
}

fn proxy(s: &mut Settings<'_>) -> Option<ProxyAddress> {
    let text = s.string("proxy_address")?;
    match ProxyAddress::parse(&text) {
        Ok(address) => Some(address),
        Err(why) => {
            let message = format!("this proxy cannot be used: {why}");
            let hint = "write for example \"http://proxy.example:3128\", with user:password@ if it asks for them";
            s.error_hint("proxy_address", Code::BadValue, message, hint);
            None
        }
    }
}

/// Reads what locks nothing: KrakenD starts on a wrong value, and so does this.
fn lenient<T>(s: &mut Settings<'_>, read: impl FnOnce(&mut Settings<'_>) -> T) -> T {
    let before = s.report().problems.len();
    let value = read(s);
    for problem in s.report().problems.iter_mut().skip(before) {
        if problem.severity == Severity::Error {
            problem.severity = Severity::Warning;
            problem.message.push_str("; the setting is ignored");
        }
    }
    value
}

/// `client_tls`: the settings with their files read.
fn own_tls(s: &mut Settings<'_>, dialect: Dialect) -> Option<Tls> {
    let before = s.report().problems.len();
    let written = tls::client(s)?;
    strict(s, before);
    if written.client_certs.len() > 1 {
        let pointer = format!("{}/client_certs", s.pointer_of("client_tls"));
        let message = "only the first client certificate is used";
        s.report()
            .push(Problem::warning(Code::NotYet, pointer, message));
    }
    if matches!(written.max_version.as_str(), "SSL3.0" | "TLS10" | "TLS11") {
        let pointer = format!("{}/max_version", s.pointer_of("client_tls"));
        let message = format!("{} is not spoken here", written.max_version);
        let problem = Problem::error(Code::BadTls, pointer, message);
        s.report()
            .push(problem.hint("write \"TLS12\" or \"TLS13\", or leave it out"));
    }
    if s.report().problems.iter().skip(before).any(is_error) {
        return None;
    }
    match Tls::new(&tls_options(&written, dialect), dialect == Dialect::Native) {
        Ok(tls) => Some(tls),
        Err(text) => {
            let hint = "check the files and numbers that it names";
            s.error_hint("client_tls", Code::BadTls, text, hint);
            None
        }
    }
}

/// What the service's own section may get wrong with a warning is an error here: no file that KrakenD CE
/// starts on relies on it.
fn strict(s: &mut Settings<'_>, before: usize) {
    for problem in s.report().problems.iter_mut().skip(before) {
        if problem.code == Code::BadTls {
            problem.severity = Severity::Error;
            problem.message = problem
                .message
                .replace(", the default is used", "")
                .replace(", this entry is ignored", "");
            problem
                .hint
                .get_or_insert_with(|| "write both files, or leave the entry out".to_owned());
        }
    }
}

fn is_error(problem: &Problem) -> bool {
    problem.severity == Severity::Error
}

/// The settings of a `client_tls` section, the service's or a backend's own.
pub fn tls_options(written: &ClientTls, dialect: Dialect) -> TlsOptions {
    let ids = |ids: &[u64]| {
        ids.iter()
            .filter_map(|&id| u16::try_from(id).ok())
            .collect()
    };
    TlsOptions {
        insecure: written.allow_insecure_connections,
        ca_certs: written.ca_certs.clone(),
        disable_system_ca_pool: written.disable_system_ca_pool,
        client_cert: written.client_certs.first().cloned(),
        // In KrakenD the mere presence of the section raises the minimum to 1.3.
        min_version: match (written.min_version.as_str(), dialect) {
            ("TLS13", _) | ("", Dialect::Krakend) => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        },
        max_version: (written.max_version == "TLS12").then_some(TlsVersion::Tls12),
        cipher_suites: ids(&written.cipher_suites),
        groups: ids(&written.curve_preferences),
        pins: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Report;
    use serde_json::{Value, json};

    fn read(settings: &Value, dialect: Dialect) -> (BackendDraft, Report) {
        let (mut report, mut draft) = (Report::default(), BackendDraft::default());
        let mut s = Settings::new(settings, "/c", &mut report);
        build(&mut s, &mut draft, dialect).unwrap();
        (draft, report)
    }

    /// Pointers of the errors.
    fn errors(settings: &Value) -> Vec<String> {
        let of = |dialect| {
            let (_, report) = read(settings, dialect);
            let errors = report.problems.into_iter().filter(is_error);
            errors
                .map(|problem| {
                    assert!(problem.hint.is_some(), "{problem:?}");
                    problem.pointer
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Dialect::Native), of(Dialect::Krakend), "{settings}");
        of(Dialect::Native)
    }

    #[test]
    fn nothing_written_changes_nothing() {
        let (draft, report) = read(&json!({}), Dialect::Native);
        assert!(!draft.no_redirect && !draft.send_body_on_redirect);
        assert!(draft.tls.is_none() && draft.proxy.is_none() && report.problems.is_empty());
    }

    #[test]
    fn each_section_of_tls_is_a_set_up_of_its_own() {
        for dialect in [Dialect::Native, Dialect::Krakend] {
            let settings =
                json!({"no_redirect": true, "client_tls": {"allow_insecure_connections": true}});
            let number = || {
                let (draft, report) = read(&settings, dialect);
                assert!(
                    draft.no_redirect && report.problems.is_empty(),
                    "{report:?}"
                );
                draft.tls.unwrap().setup()
            };
            assert_ne!(number(), number());
        }
    }

    #[test]
    fn tls_settings_that_cannot_be_kept_refuse_the_file() {
        let pair = |certificate: &str, key: &str| json!([{"certificate": certificate, "private_key": key}]);
        for (tls, pointer) in [
            (json!("yes"), "/c/client_tls"),
            (json!({"min_version": "TLS9"}), "/c/client_tls/min_version"),
            (json!({"max_version": "TLS11"}), "/c/client_tls/max_version"),
            (
                json!({"min_version": "TLS13", "max_version": "TLS12"}),
                "/c/client_tls",
            ),
            (json!({"ca_certs": ["/no/such.pem"]}), "/c/client_tls"),
            (json!({"curve_preferences": [1]}), "/c/client_tls"),
            (
                json!({"client_certs": pair("/no/such.pem", "")}),
                "/c/client_tls/client_certs/0",
            ),
            (
                json!({"client_certs": pair("/no/such.pem", "/no/such.key")}),
                "/c/client_tls",
            ),
        ] {
            assert_eq!(errors(&json!({"client_tls": tls})), [pointer], "{tls}");
        }
    }

    #[test]
    fn a_wrong_value_in_what_locks_nothing_is_a_warning() {
        let (draft, report) = read(&json!({"send_body_on_redirect": {}}), Dialect::Native);
        assert!(!draft.send_body_on_redirect);
        assert_eq!(report.problems.len(), 1);
        assert!(!report.has_errors());
    }

    #[test]
    fn a_proxy_that_cannot_be_used_refuses_the_file_without_showing_its_password() {
        let (draft, report) = read(
            &json!({"proxy_address": "http://u:p@proxy:3128"}),
            Dialect::Krakend,
        );
        assert!(draft.proxy.is_some() && report.problems.is_empty());
        for bad in [
            json!("socks5://u:secret@proxy:1"),
            json!("proxy:3128"),
            json!({"a": 1}),
            json!(""),
        ] {
            let settings = json!({"proxy_address": bad});
            assert_eq!(errors(&settings), ["/c/proxy_address"], "{bad}");
            let (_, report) = read(&settings, Dialect::Native);
            assert!(!report.problems[0].message.contains("secret"));
        }
    }
}
