//! The `tls` and `client_tls` sections as written. KrakenD reports a broken section only in its log
//! while it ends; here it refuses the file. The files themselves are read when the gateway is built.

use super::document::{ClientTls, Tls};
use super::keys;
use super::settings::Settings;
use crate::base::Code;

const VERSIONS: &[&str] = &["SSL3.0", "TLS10", "TLS11", "TLS12", "TLS13"];

/// The listener's section, if there is one.
pub(super) fn listener(s: &mut Settings<'_>) -> Option<Tls> {
    let mut s = s.object("tls")?;
    s.known(keys::TLS);
    let mut tls = Tls {
        disabled: s.bool_or("disabled", false),
        min_version: version(&mut s, "min_version"),
        max_version: version(&mut s, "max_version"),
        curve_preferences: ids(&mut s, "curve_preferences"),
        cipher_suites: ids(&mut s, "cipher_suites"),
        enable_mtls: s.bool_or("enable_mtls", false),
        ca_certs: s.list_of_strings("ca_certs"),
        disable_system_ca_pool: s.bool_or("disable_system_ca_pool", false),
        keys: Vec::new(),
    };
    s.bool("prefer_server_cipher_suites");
    let disabled = tls.disabled;
    tls.keys = s.objects("keys", |s| {
        s.known(keys::TLS_KEY);
        pair(s, "public_key", disabled)
    });
    if s.has("public_key") || s.has("private_key") {
        let key = if s.has("public_key") {
            "public_key"
        } else {
            "private_key"
        };
        let hint = "write \"keys\": [{\"public_key\": \"cert.pem\", \"private_key\": \"key.pem\"}]";
        s.warn_hint(
            key,
            Code::Deprecated,
            "a single key pair beside \"keys\" is deprecated",
            hint,
        );
        let pair = pair(&mut s, "public_key", disabled);
        tls.keys.push(pair);
    }
    if tls.keys.is_empty() && !disabled {
        let hint = "add \"keys\": [{\"public_key\": \"cert.pem\", \"private_key\": \"key.pem\"}], or \"disabled\": true";
        s.error_hint("", Code::BadTls, "public key not defined", hint);
    }
    Some(tls)
}

/// The section for connections to backends, if there is one: the service's, or a backend's own.
pub fn client(s: &mut Settings<'_>) -> Option<ClientTls> {
    let mut s = s.object("client_tls")?;
    s.known(keys::CLIENT_TLS);
    Some(ClientTls {
        allow_insecure_connections: s.bool_or("allow_insecure_connections", false),
        ca_certs: s.list_of_strings("ca_certs"),
        disable_system_ca_pool: s.bool_or("disable_system_ca_pool", false),
        client_certs: s.objects("client_certs", |s| {
            s.known(keys::CLIENT_CERT);
            let pair = (
                s.string_or("certificate", ""),
                s.string_or("private_key", ""),
            );
            if pair.0.is_empty() || pair.1.is_empty() {
                let message =
                    "\"certificate\" and \"private_key\" belong together, this entry is ignored";
                s.warn("", Code::BadTls, message);
            }
            pair
        }),
        min_version: version(&mut s, "min_version"),
        max_version: version(&mut s, "max_version"),
        curve_preferences: ids(&mut s, "curve_preferences"),
        cipher_suites: ids(&mut s, "cipher_suites"),
    })
}

fn pair(s: &mut Settings<'_>, public: &str, disabled: bool) -> (String, String) {
    let pair = (s.string_or(public, ""), s.string_or("private_key", ""));
    if !disabled && pair.0.is_empty() {
        s.error("", Code::BadTls, "public key not defined");
    } else if !disabled && pair.1.is_empty() {
        s.error("", Code::BadTls, "private key not defined");
    }
    pair
}

fn version(s: &mut Settings<'_>, key: &str) -> String {
    let version = s.string_or(key, "");
    if !version.is_empty() && !VERSIONS.contains(&version.as_str()) {
        let shown = super::json::shortened(&version);
        let message = format!("unknown version \"{shown}\", the default is used");
        s.warn_hint(
            key,
            Code::BadTls,
            message,
            format!("write one of \"{}\"", VERSIONS.join("\", \"")),
        );
    }
    version
}

fn ids(s: &mut Settings<'_>, key: &str) -> Vec<u64> {
    let mut ids = Vec::new();
    for id in s.list_of_ints(key) {
        match u16::try_from(id) {
            Ok(id) => ids.push(u64::from(id)),
            Err(_) => s.error(
                key,
                Code::OutOfRange,
                format!("{id} is no id of the IANA registry (0 to 65535)"),
            ),
        }
    }
    ids
}
