//! Who the client is, when other proxies may stand between it and us.
//!
//! KrakenD trusts every proxy unless told otherwise, so any client may choose its address; that is
//! the krakend dialect. The native dialect trusts the addresses in `router.trusted_proxies` alone.

use crate::base::Dialect;
use crate::gateway::head::Head;
use http::HeaderName;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr {
    /// The client, as far as it is known.
    pub ip: IpAddr,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whether the other end is a trusted proxy.
    pub trusted: bool,
}

/// The settings of `extra_config.router` that decide; `None` and empty mean not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientIpSettings<'a> {
    /// `forwarded_by_client_ip`.
    pub forwarded_by_client_ip: Option<bool>,
    /// `trusted_proxies`: addresses and networks.
    pub trusted_proxies: Option<&'a [String]>,
    /// `remote_ip_headers`.
    pub remote_ip_headers: &'a [String],
    /// `app_engine`.
    pub app_engine: bool,
}

const APP_ENGINE: HeaderName = HeaderName::from_static("x-appengine-remote-addr");

/// The compiled rules.
#[derive(Clone, Debug)]
pub struct ClientIpRules {
    dialect: Dialect,
    trusted: Trusted,
    forwarded: bool,
    headers: Box<[HeaderName]>,
    app_engine: bool,
}

#[derive(Clone, Debug)]
enum Trusted {
    Everybody,
    These(Box<[IpNet]>),
}

impl ClientIpRules {
    /// Compiles the settings. Also gives the entries of `trusted_proxies` that are no address and
    /// no network: KrakenD silently stops reading at the first, and so does the krakend dialect;
    /// the native dialect skips them, and the caller must refuse the file.
    pub fn compile(dialect: Dialect, settings: ClientIpSettings<'_>) -> (Self, Vec<String>) {
        let mut bad = Vec::new();
        let trusted = match (settings.trusted_proxies, dialect) {
            (None, Dialect::Krakend) => Trusted::Everybody,
            (entries, _) => {
                let mut nets = Vec::new();
                for entry in entries.unwrap_or_default() {
                    match parse_net(entry) {
                        Some(net) if bad.is_empty() || dialect == Dialect::Native => nets.push(net),
                        Some(_) => {}
                        None => bad.push(entry.clone()),
                    }
                }
                Trusted::These(nets.into())
            }
        };
        let headers = if settings.remote_ip_headers.is_empty() {
            Box::from([
                HeaderName::from_static("x-forwarded-for"),
                HeaderName::from_static("x-real-ip"),
            ])
        } else {
            let names = settings.remote_ip_headers.iter();
            names
                .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
                .collect()
        };
        let rules = Self {
            dialect,
            trusted,
            forwarded: settings.forwarded_by_client_ip.unwrap_or(true),
            headers,
            app_engine: settings.app_engine,
        };
        (rules, bad)
    }

    /// Who sent a request.
    pub fn resolve(&self, head: &dyn Head) -> ClientAddr {
        let peer = head.peer().to_canonical();
        let trusted = self.trusts(peer);
        let own = ClientAddr {
            ip: peer,
            peer,
            trusted,
        };
        // Off App Engine the field is the client's to choose: native believes trusted peers only.
        if self.app_engine
            && (trusted || self.dialect == Dialect::Krakend)
            && let Some(ip) = head.header(&APP_ENGINE).and_then(parse_ip)
        {
            return ClientAddr { ip, ..own };
        }
        if !trusted || !self.forwarded {
            return own;
        }
        let found = self
            .headers
            .iter()
            .find_map(|name| self.forwarded(head, name, parse_ip));
        found.map_or(own, |ip| ClientAddr { ip, ..own })
    }

    /// The address that a trusted proxy names in a field of its own, with or without a port. In a list it is the
    /// rightmost that is not trusted: what stands left of it the client may have written.
    pub fn named(&self, head: &dyn Head, name: &HeaderName) -> Option<IpAddr> {
        if !self.trusts(head.peer().to_canonical()) {
            return None;
        }
        self.forwarded(head, name, parse_address)
    }

    /// Whether an address is that of a proxy which the file names.
    pub fn is_proxy(&self, ip: IpAddr) -> bool {
        matches!(self.trusted, Trusted::These(_)) && self.trusts(ip)
    }

    fn trusts(&self, ip: IpAddr) -> bool {
        match &self.trusted {
            Trusted::Everybody => true,
            Trusted::These(nets) => nets.iter().any(|net| net.contains(&ip)),
        }
    }

    /// What one field says. Read from the right, the first address that is not trusted counts, or
    /// the leftmost; anything that is no address on the way spoils the field. Done in one pass from
    /// the left, in which each item overrules those before it.
    fn forwarded(
        &self,
        head: &dyn Head,
        name: &HeaderName,
        parse: fn(&[u8]) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        // A cheap look before walking all fields.
        head.header(name)?;
        let mut first = true;
        let mut answer = None;
        head.each(&mut |field, value| {
            if !field.eq_ignore_ascii_case(name.as_str()) {
                return;
            }
            for item in value.split(|&b| b == b',') {
                match parse(item) {
                    None => answer = None,
                    Some(ip) if first || !self.trusts(ip) => answer = Some(ip),
                    Some(_) => {}
                }
                first = false;
            }
        });
        answer
    }
}

fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = text.trim_ascii();
    // The longest address has 45 characters; do not read on in anything longer.
    if text.len() > 45 {
        return None;
    }
    std::str::from_utf8(text)
        .ok()?
        .parse::<IpAddr>()
        .ok()
        .map(|ip| ip.to_canonical())
}

/// An address, with or without a port.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let with_port = || {
        // An IPv6 address of the greatest length in brackets, a colon, five digits.
        let text = text.trim_ascii();
        let text = std::str::from_utf8(text.get(..text.len().min(54))?).ok()?;
        let address: SocketAddr = text.parse().ok()?;
        Some(address.ip().to_canonical())
    };
    parse_ip(text).or_else(with_port)
}

fn parse_net(entry: &str) -> Option<IpNet> {
    let entry = entry.trim();
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Some(IpNet::from(ip.to_canonical()));
    }
    entry.parse::<IpNet>().ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plain::Plain;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|&i| i.to_owned()).collect()
    }

    fn ip(rules: &ClientIpRules, peer: &str, fields: &[(&str, &str)]) -> String {
        let head = Plain::get("/").peer_at(peer).fields(fields);
        rules.resolve(&head).ip.to_string()
    }

    fn rules(dialect: Dialect, trusted: Option<&[&str]>, headers: &[&str]) -> ClientIpRules {
        let trusted = trusted.map(list);
        let headers = list(headers);
        let settings = ClientIpSettings {
            trusted_proxies: trusted.as_deref(),
            remote_ip_headers: &headers,
            ..ClientIpSettings::default()
        };
        ClientIpRules::compile(dialect, settings).0
    }

    #[test]
    fn krakend_takes_the_leftmost_address_by_default() {
        let rules = rules(Dialect::Krakend, None, &[]);
        assert_eq!(
            ip(
                &rules,
                "127.0.0.1",
                &[("X-Forwarded-For", "9.9.9.9, 8.8.8.8")]
            ),
            "9.9.9.9"
        );
        assert_eq!(
            ip(&rules, "127.0.0.1", &[("x-real-ip", "7.7.7.7")]),
            "7.7.7.7"
        );
        let spoilt = [
            ("X-Forwarded-For", "9.9.9.9, junk"),
            ("X-Real-Ip", "7.7.7.7"),
        ];
        assert_eq!(ip(&rules, "127.0.0.1", &spoilt), "7.7.7.7");
        assert_eq!(
            ip(&rules, "127.0.0.1", &[("X-Forwarded-For", "")]),
            "127.0.0.1"
        );
        assert_eq!(ip(&rules, "::ffff:1.2.3.4", &[]), "1.2.3.4");
    }

    #[test]
    fn answers_as_recorded_with_a_trusted_proxy_and_an_own_header() {
        let rules = rules(Dialect::Krakend, Some(&["127.0.0.1/32"]), &["X-Real"]);
        assert_eq!(ip(&rules, "127.0.0.1", &[("X-Real", "5.6.7.8")]), "5.6.7.8");
        assert_eq!(
            ip(&rules, "127.0.0.1", &[("X-Forwarded-For", "5.6.7.8")]),
            "127.0.0.1"
        );
        assert_eq!(ip(&rules, "127.0.0.1", &[("X-Real", "bad")]), "127.0.0.1");
        assert_eq!(ip(&rules, "127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(ip(&rules, "1.1.1.1", &[("X-Real", "5.6.7.8")]), "1.1.1.1");
    }

    #[test]
    fn native_trusts_nobody_by_default() {
        let rules = rules(Dialect::Native, None, &[]);
        assert_eq!(
            ip(&rules, "10.0.0.1", &[("X-Forwarded-For", "9.9.9.9")]),
            "10.0.0.1"
        );
    }

    #[test]
    fn native_takes_the_rightmost_untrusted_address() {
        let rules = rules(Dialect::Native, Some(&["10.0.0.0/8", "fd00::/8"]), &[]);
        for (sent, client) in [
            ("6.6.6.6, 5.5.5.5, 10.1.1.1", "5.5.5.5"),
            ("6.6.6.6", "6.6.6.6"),
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("junk, 5.5.5.5, fd00::7", "5.5.5.5"),
            ("5.5.5.5, junk", "10.0.0.1"),
            ("5.5.5.5:80", "10.0.0.1"),
            (" 2001:DB8::1 ", "2001:db8::1"),
        ] {
            assert_eq!(
                ip(&rules, "10.0.0.1", &[("X-Forwarded-For", sent)]),
                client,
                "{sent}"
            );
        }
        let two = [
            ("X-Forwarded-For", "6.6.6.6"),
            ("x-forwarded-for", "5.5.5.5, 10.1.1.1"),
        ];
        assert_eq!(ip(&rules, "::ffff:10.0.0.1", &two), "5.5.5.5");
    }

    #[test]
    fn a_field_of_a_trusted_proxys_is_read_from_the_right_too() {
        let rules = rules(Dialect::Native, Some(&["10.0.0.0/8"]), &[]);
        let name = HeaderName::from_static("x-real");
        let named = |peer: &str, sent: &str| {
            let head = Plain::get("/").peer_at(peer).fields(&[("X-Real", sent)]);
            rules.named(&head, &name).map(|ip| ip.to_string())
        };
        for (sent, found) in [
            ("5.5.5.5", Some("5.5.5.5")),
            ("6.6.6.6, 5.5.5.5", Some("5.5.5.5")),
            ("6.6.6.6, 5.5.5.5:4711, 10.1.1.1", Some("5.5.5.5")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("5.5.5.5, junk", None),
            ("", None),
        ] {
            assert_eq!(named("10.0.0.1", sent).as_deref(), found, "{sent}");
        }
        assert_eq!(named("10.0.0.1", &"9".repeat(9_000)), None);
        assert_eq!(named("1.1.1.1", "5.5.5.5"), None);
    }

    #[test]
    fn bad_entries_cut_the_list_in_krakend_and_are_reported() {
        let entries = list(&["10.0.0.1", "x", "10.0.0.2"]);
        for (dialect, trusts_last) in [(Dialect::Krakend, false), (Dialect::Native, true)] {
            let settings = ClientIpSettings {
                trusted_proxies: Some(&entries),
                ..ClientIpSettings::default()
            };
            let (rules, bad) = ClientIpRules::compile(dialect, settings);
            assert_eq!(bad, ["x"]);
            let last = Plain::get("/").peer_at("10.0.0.2");
            assert_eq!(rules.resolve(&last).trusted, trusts_last);
        }
    }

    #[test]
    fn app_engine_is_believed_from_trusted_peers_only_in_native() {
        let trusted = list(&["10.0.0.1"]);
        let settings = ClientIpSettings {
            trusted_proxies: Some(&trusted),
            app_engine: true,
            ..ClientIpSettings::default()
        };
        let sent = [("X-Appengine-Remote-Addr", "3.3.3.3")];
        let (native, _) = ClientIpRules::compile(Dialect::Native, settings);
        let (krakend, _) = ClientIpRules::compile(Dialect::Krakend, settings);
        assert_eq!(ip(&native, "1.1.1.1", &sent), "1.1.1.1");
        assert_eq!(ip(&native, "10.0.0.1", &sent), "3.3.3.3");
        assert_eq!(ip(&krakend, "1.1.1.1", &sent), "3.3.3.3");
    }
}
