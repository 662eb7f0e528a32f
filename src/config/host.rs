//! Hosts of backends, cleaned exactly as KrakenD does it: the text is searched for one thing that
//! looks like `scheme://host:port/`, and whatever stands around it is dropped.

/// The cleaned host (`http://` unless `https://` was written, no trailing slash), or `None` when
/// not exactly one part of the text looks like a host. `http://[::1]` gives `http://1`: KrakenD's
/// search does not know IPv6, so such hosts need `disable_host_sanitize`.
pub fn sanitize(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut found = None;
    let mut at = 0;
    while at < bytes.len() {
        let Some(host) = match_at(bytes, at) else {
            at += 1;
            continue;
        };
        if found.is_some() {
            return None;
        }
        at = host.end;
        let name = text.get(host.name..host.name_end)?;
        found = Some(format!(
            "{}{name}",
            if host.scheme == 8 {
                "https://"
            } else {
                "http://"
            }
        ));
    }
    found
}

struct Match {
    /// Length of the scheme as written.
    scheme: usize,
    /// Where host and port stand.
    name: usize,
    name_end: usize,
    /// Where the search goes on.
    end: usize,
}

/// What looks like a host at this very place.
fn match_at(bytes: &[u8], at: usize) -> Option<Match> {
    let rest = bytes.get(at..)?;
    let scheme = [&b"https://"[..], b"http://"]
        .into_iter()
        .find(|scheme| {
            rest.starts_with(scheme) && rest.get(scheme.len()).is_some_and(|&b| is_name(b))
        })
        .map_or(0, <[u8]>::len);
    let length = rest
        .iter()
        .skip(scheme)
        .take_while(|&&b| is_name(b))
        .count();
    if length == 0 {
        return None;
    }
    let name = at + scheme;
    let mut name_end = name + length;
    if bytes.get(name_end) == Some(&b':') {
        let digits = bytes
            .iter()
            .skip(name_end + 1)
            .take(6)
            .take_while(|b| b.is_ascii_digit())
            .count();
        if digits >= 2 {
            name_end += 1 + digits;
        }
    }
    let end = name_end + usize::from(bytes.get(name_end) == Some(&b'/'));
    Some(Match {
        scheme,
        name,
        name_end,
        end,
    })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_what_is_one_host() {
        for (text, clean) in [
            ("api.example.com", "http://api.example.com"),
            ("https://a:8443/", "https://a:8443"),
            ("http://a", "http://a"),
            ("a:80", "http://a:80"),
            ("[::1]", "http://1"),
            (" a ", "http://a"),
            ("my_svc-1.ns:8080", "http://my_svc-1.ns:8080"),
            ("https://", "http://https"),
            ("ä.b", "http://.b"),
            ("//h", "http://h"),
        ] {
            assert_eq!(sanitize(text).as_deref(), Some(clean), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_none_or_several() {
        for text in [
            "",
            "http://a/path",
            "http://u:p@a",
            "amqp://h:5672",
            "ftp://a",
            "h:8",
            "[::1]:8080",
            "unix:/x",
            "HTTP://a",
            "a:1234567",
            "a,b",
            "/",
            "http://a b",
        ] {
            assert_eq!(sanitize(text), None, "{text}");
        }
    }

    #[test]
    fn reads_long_texts_in_one_pass() {
        assert_eq!(sanitize(&"http://".repeat(100_000)), None);
        assert_eq!(sanitize(&":".repeat(1_000_000)), None);
    }
}
