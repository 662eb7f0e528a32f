//! What a certificate says, word by word, and patterns for it.

use crate::base::problem::pointer_join;
use crate::base::{Code, Problem};
use crate::config::settings::Settings;
use crate::net::Certificate;
use ipnet::IpNet;
use std::net::IpAddr;

/// One thing that a certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Subject,
    CommonName,
    Issuer,
    Serial,
    Fingerprint,
    Dns,
    Uri,
    Email,
    Ip,
}

impl Fact {
    pub(super) const ALL: [Self; 9] = [
        Self::Subject,
        Self::CommonName,
        Self::Issuer,
        Self::Serial,
        Self::Fingerprint,
        Self::Dns,
        Self::Uri,
        Self::Email,
        Self::Ip,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::CommonName => "common_name",
            Self::Issuer => "issuer",
            Self::Serial => "serial",
            Self::Fingerprint => "fingerprint",
            Self::Dns => "san_dns",
            Self::Uri => "san_uri",
            Self::Email => "san_email",
            Self::Ip => "san_ip",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| fact.word() == word)
    }

    pub(super) fn words() -> String {
        Self::ALL.map(Self::word).join(", ")
    }

    /// What the certificate says of it; several values only among its alternative names.
    pub(super) fn of_certificate(self, certificate: &Certificate) -> Vec<String> {
        match self {
            Self::Subject => vec![certificate.subject.clone()],
            Self::CommonName => certificate.common_name.iter().cloned().collect(),
            Self::Issuer => vec![certificate.issuer.clone()],
            Self::Serial => vec![certificate.serial_text()],
            Self::Fingerprint => vec![certificate.fingerprint_text()],
            Self::Dns => certificate.dns.clone(),
            Self::Uri => certificate.uri.clone(),
            Self::Email => certificate.email.clone(),
            Self::Ip => certificate.ip.iter().map(ToString::to_string).collect(),
        }
    }

    /// What ends a run that `*` stands for.
    const fn separator(self) -> u8 {
        match self {
            Self::Dns => b'.',
            Self::Uri => b'/',
            Self::Email => b'@',
            _ => b',',
        }
    }
}

/// Patterns of which a certificate has to fit one.
#[derive(Debug, Default)]
pub(super) struct Allowed(Vec<(Fact, Pattern)>);

#[derive(Debug)]
enum Pattern {
    Text(Vec<Piece>),
    Net(IpNet),
}

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    /// `*`: any run without a separator.
    Part,
    /// `**`: any run.
    Rest,
}

/// Reads `allow`.
pub(super) fn allowed(s: &mut Settings<'_>) -> Option<Allowed> {
    s.value("allow")?;
    let place = s.pointer_of("allow");
    let mut own = s.object("allow")?;
    let mut all = Allowed::default();
    let words: Vec<String> = own.entries().map(|(word, _)| word.to_owned()).collect();
    for word in words {
        let Some(fact) = Fact::of(&word) else {
            let problem = Problem::error(
                Code::BadValue,
                pointer_join(&place, &word),
                "a certificate says no such thing",
            );
            let hint = format!("use one of {}", Fact::words());
            own.report().push(problem.hint(hint));
            continue;
        };
        for (at, text) in own.located_strings(&word) {
            match pattern(fact, &text) {
                Ok(pattern) => all.0.push((fact, pattern)),
                Err((message, hint)) => {
                    let problem = Problem::error(Code::BadValue, at, message);
                    own.report().push(problem.hint(hint));
                }
            }
        }
    }
    if all.0.is_empty() && own.report().errors() == 0 {
        let message = "nobody is allowed";
        let hint = "name some, or take \"allow\" out to let in every certificate that is verified";
        s.error_hint("allow", Code::BadValue, message, hint);
    }
    Some(all)
}

fn pattern(fact: Fact, text: &str) -> Result<Pattern, (&'static str, &'static str)> {
    let text = text.trim();
    if text.is_empty() {
        return Err(("an empty pattern fits nobody", "take it out"));
    }
    match fact {
        Fact::Ip => {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            let net = text.parse::<IpNet>().or(address);
            let hint = "write for example \"10.0.0.0/8\" or \"192.0.2.1\"";
            net.map(Pattern::Net)
                .map_err(|_| ("this is neither an address nor a network", hint))
        }
        Fact::Fingerprint => {
            let digits: String = text.chars().filter(|c| *c != ':').collect();
            let digits = digits.to_ascii_lowercase();
            if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                let hint = "write what `openssl x509 -fingerprint -sha256` prints";
                return Err(("this is no SHA-256 of a certificate", hint));
            }
            Ok(Pattern::Text(digits.bytes().map(Piece::Byte).collect()))
        }
        Fact::Serial => Ok(Pattern::Text(pieces(&text.to_ascii_lowercase()))),
        Fact::Dns => Ok(Pattern::Text(pieces(&text.to_ascii_lowercase()))),
        _ => Ok(Pattern::Text(pieces(text))),
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::new();
    for byte in text.bytes() {
        match (byte, all.last()) {
            (b'*', Some(Piece::Part | Piece::Rest)) => {
                all.pop();
                all.push(Piece::Rest);
            }
            (b'*', _) => all.push(Piece::Part),
            (byte, _) => all.push(Piece::Byte(byte)),
        }
    }
    all
}

/// Whether all of a text fits. Each byte is compared with each piece once at most.
fn fits(pieces: &[Piece], text: &[u8], separator: u8) -> bool {
    // `ends[n]`: the text so far can be what the first n pieces stand for.
    let mut ends = vec![false; pieces.len() + 1];
    open(&mut ends, pieces, |ends| ends[0] = true);
    for byte in text {
        let mut next = vec![false; pieces.len() + 1];
        open(&mut next, pieces, |next| {
            for (at, piece) in pieces.iter().enumerate() {
                let before = ends.get(at).copied().unwrap_or_default();
                let inside = ends.get(at + 1).copied().unwrap_or_default();
                let here = match piece {
                    Piece::Byte(own) => before && own == byte,
                    Piece::Part => inside && *byte != separator,
                    Piece::Rest => inside,
                };
                if let Some(end) = next.get_mut(at + 1) {
                    *end |= here;
                }
            }
        });
        ends = next;
    }
    ends.last().copied().unwrap_or_default()
}

/// Fills the places in, and then those behind pieces that may stand for nothing.
fn open(ends: &mut Vec<bool>, pieces: &[Piece], fill: impl FnOnce(&mut Vec<bool>)) {
    fill(ends);
    for (at, piece) in pieces.iter().enumerate() {
        if !matches!(piece, Piece::Byte(_))
            && ends.get(at).copied().unwrap_or_default()
            && let Some(end) = ends.get_mut(at + 1)
        {
            *end = true;
        }
    }
}

impl Allowed {
    /// Whether a certificate fits one of the patterns.
    pub(super) fn matches(&self, certificate: &Certificate) -> bool {
        self.0.iter().any(|(fact, pattern)| match pattern {
            Pattern::Net(net) => certificate.ip.iter().any(|ip| net.contains(ip)),
            Pattern::Text(pieces) => {
                let all = fact.of_certificate(certificate);
                all.iter().any(|text| {
                    let text = match fact {
                        Fact::Dns => text.to_ascii_lowercase(),
                        _ => text.clone(),
                    };
                    fits(pieces, text.as_bytes(), fact.separator())
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part_and_two_for_all() {
        for (pattern, text, separator, is) in [
            ("a.test", "a.test", b'.', true),
            ("a.test", "aa.test", b'.', false),
            ("*.test", "a.test", b'.', true),
            ("*.test", "a.b.test", b'.', false),
            ("**.test", "a.b.test", b'.', true),
            ("*.test", ".test", b'.', true),
            ("*", "", b'.', true),
            ("spiffe://h/ns/*/sa/gw", "spiffe://h/ns/a/sa/gw", b'/', true),
            (
                "spiffe://h/ns/*/sa/gw",
                "spiffe://h/ns/a/b/sa/gw",
                b'/',
                false,
            ),
            ("spiffe://h/**", "spiffe://h/a/b", b'/', true),
            ("spiffe://h/**", "spiffe://x/h/a", b'/', false),
            ("a*b*c", "aXbYc", b'.', true),
            ("a*b*c", "aXcYb", b'.', false),
            ("**a**", "bab", b'.', true),
        ] {
            let found = fits(&pieces(pattern), text.as_bytes(), separator);
            assert_eq!(found, is, "{pattern} {text}");
        }
    }

    #[test]
    fn a_long_text_costs_no_more_than_its_length_times_the_patterns() {
        let pattern = "*a".repeat(64);
        let text = "a".repeat(20_000) + "b";
        assert!(!fits(&pieces(&pattern), text.as_bytes(), b'.'));
    }

    #[test]
    fn each_fact_has_a_word_of_its_own() {
        for fact in Fact::ALL {
            assert_eq!(Fact::of(fact.word()), Some(fact));
        }
        assert_eq!(Fact::of("Subject"), None);
    }
}
