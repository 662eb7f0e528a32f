//! What a `Host` field or an `:authority` may look like (RFC 9110 section 7.2, RFC 3986 section
//! 3.2). Stricter than KrakenD, which lets Go's looser alphabet through: a host that two servers
//! read differently poisons caches and links.

use std::net::Ipv6Addr;

/// Whether a text is `host` or `host:port`; the empty text is not.
pub fn valid_host(host: &[u8]) -> bool {
    let after = match host.first() {
        None => return false,
        Some(b'[') => {
            let Some(end) = host.iter().position(|&b| b == b']') else {
                return false;
            };
            let inside = host.get(1..end).unwrap_or_default();
            let address = std::str::from_utf8(inside).map(str::parse::<Ipv6Addr>);
            if !matches!(address, Ok(Ok(_))) {
                return false;
            }
            host.get(end + 1..).unwrap_or_default()
        }
        Some(_) => {
            let end = host.iter().position(|&b| !in_name(b)).unwrap_or(host.len());
            if end == 0 {
                return false;
            }
            host.get(end..).unwrap_or_default()
        }
    };
    match after {
        [] => true,
        [b':', port @ ..] => {
            port.len() <= 5
                && port.iter().all(u8::is_ascii_digit)
                && port.iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0')) <= 65_535
        }
        _ => false,
    }
}

/// Whether an absolute target and `Host` name the same authority.
pub fn same_authority(target: &[u8], host: &[u8]) -> bool {
    target.eq_ignore_ascii_case(host)
}

/// Bytes of a registered name. The comma is left out: it joins repeated fields.
const fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_addresses() {
        for host in [
            "a",
            "gw.test",
            "API.test:8443",
            "1.2.3.4:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b.c",
            "a:",
            "xn--4ca.test",
        ] {
            assert!(valid_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for host in [
            "", ":80", "a b", "a/b", "a@b", "a,b", "a:b", "a:1:2", "a:99999", "a:123456", "[::1",
            "[zz]", "[::1]x", "a#", "a?b", "é", "a\\b", "\"a\"", "::1",
        ] {
            assert!(!valid_host(host.as_bytes()), "{host}");
        }
    }
}
