//! Whether the listener asks clients for certificates, and whether what `hanzo/mtls` wants to know of them can be
//! believed: the block says whom to let in, `tls` says who vouches for them, and one without the other guards nothing.

use crate::base::{Code, Problem, Report};
use crate::config::{Document, Namespace, keys};

const NAME: &str = "hanzo/mtls";

/// Whether any endpoint wants to know the certificates of clients.
pub fn asks(document: &Document, report: &mut Report) -> bool {
    let service = document.service.extra_config.get(NAME);
    let endpoints = document.service.endpoints.iter();
    let own = endpoints
        .filter(|endpoint| !endpoint.skipped)
        .filter_map(|endpoint| endpoint.extra_config.get(NAME));
    let all: Vec<&Namespace> = service.into_iter().chain(own).collect();
    let Some(first) = all.first() else {
        return false;
    };
    let mut fault = |message: &str, hint: &str| {
        let problem = Problem::error(Code::BadTls, first.pointer.as_str(), message);
        report.push(problem.hint(hint));
    };
    let tls = document.service.tls.as_ref().filter(|tls| !tls.disabled);
    let Some(tls) = tls else {
        fault(
            "certificates of clients are seen only where this gateway speaks TLS",
            "add \"tls\" with \"keys\" and \"ca_certs\", or take this out",
        );
        return false;
    };
    if tls.ca_certs.is_empty() && (!tls.enable_mtls || tls.disable_system_ca_pool) {
        fault(
            "nobody vouches for clients",
            "name the authorities of their certificates in \"ca_certs\" of \"tls\"",
        );
    }
    let everybody = tls.enable_mtls && !tls.disable_system_ca_pool;
    let open = match service {
        Some(service) => !allows(service),
        None => !all.iter().all(|one| allows(one)),
    };
    if everybody && open {
        fault(
            "everybody with a certificate of any public authority would be let in",
            "set \"disable_system_ca_pool\": true in \"tls\", or say in \"allow\" who is meant",
        );
    }
    true
}

fn allows(namespace: &Namespace) -> bool {
    let map = namespace.value.as_object();
    let allow = map.and_then(|map| keys::lookup(map, "allow"));
    allow.is_some_and(|(_, value)| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::Tls;
    use crate::config::{Endpoint, Extra};
    use serde_json::{Value, json};

    fn extra(value: Option<Value>, pointer: &str) -> Extra {
        let one = value.map(|value| Namespace {
            name: NAME.to_owned(),
            pointer: pointer.to_owned(),
            value,
        });
        Extra(one.into_iter().collect())
    }

    fn found(service: Option<Value>, own: Option<Value>, tls: Option<Tls>) -> (bool, Vec<String>) {
        let mut document = Document::default();
        document.service.extra_config = extra(service, "/s");
        document.service.tls = tls;
        document.service.endpoints.push(Endpoint {
            extra_config: extra(own, "/e"),
            ..Endpoint::default()
        });
        let mut report = Report::default();
        let asks = asks(&document, &mut report);
        let all = report.problems.into_iter();
        (
            asks,
            all.map(|p| format!("{} {}", p.pointer, p.message))
                .collect(),
        )
    }

    fn tls(enable_mtls: bool, own_only: bool, ca: &[&str]) -> Option<Tls> {
        Some(Tls {
            enable_mtls,
            disable_system_ca_pool: own_only,
            ca_certs: ca.iter().map(|file| (*file).to_owned()).collect(),
            ..Tls::default()
        })
    }

    #[test]
    fn nothing_is_asked_where_nobody_wants_to_know() {
        assert_eq!(found(None, None, None), (false, vec![]));
        assert!(!found(None, None, tls(false, false, &["ca"])).0);
    }

    #[test]
    fn a_block_makes_the_listener_ask() {
        let both = [(Some(json!({})), None), (None, Some(json!({})))];
        for (service, own) in both {
            assert_eq!(
                found(service, own, tls(false, false, &["ca"])),
                (true, vec![])
            );
        }
    }

    #[test]
    fn a_block_that_nobody_can_serve_is_refused() {
        let off = Tls {
            disabled: true,
            ..tls(true, true, &["ca"]).unwrap()
        };
        for (tls, words) in [
            (None, "speaks TLS"),
            (Some(off), "speaks TLS"),
            (tls(false, false, &[]), "nobody vouches"),
            (tls(true, true, &[]), "nobody vouches"),
            (tls(true, false, &["ca"]), "public authority"),
        ] {
            let (_, problems) = found(None, Some(json!({})), tls);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].starts_with("/e ") && problems[0].contains(words),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn public_authorities_are_good_enough_for_those_who_are_named() {
        let allow = json!({"allow": {"san_dns": ["a"]}});
        for (service, own, is) in [
            (Some(allow.clone()), None, true),
            (Some(allow.clone()), Some(json!({})), true),
            (Some(json!({})), Some(allow.clone()), false),
            (None, Some(allow), true),
        ] {
            let (_, problems) = found(service, own, tls(true, false, &[]));
            assert_eq!(problems.is_empty(), is, "{problems:?}");
        }
    }
}
