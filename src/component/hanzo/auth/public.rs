//! Paths that need no credentials: entries of `public`, where a final `*` stands for the rest.
//!
//! An entry is held against the pattern of an endpoint when the file is compiled, so that whatever a client writes, the
//! endpoint that serves it decides. Where an endpoint has parameters or a wildcard and an entry names only some
//! of what meets it, the path of each request decides, and only one that says the same to every reader counts:
//! without `%`, `\`, `;`, double slashes and dots for segments. Any other path there needs credentials.

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    text: Box<str>,
    /// It ended with `*`.
    open: bool,
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(written: &str) -> Result<Self, &'static str> {
        let (text, open) = match written.strip_suffix('*') {
            Some(text) => (text, true),
            None => (written, false),
        };
        if !text.starts_with('/') {
            return Err("it does not begin with a slash");
        }
        if text == "/" && open {
            return Err("it leaves every endpoint open");
        }
        if text.contains('*') {
            return Err("only its last character may be a *");
        }
        if !is_plain(text.as_bytes()) {
            return Err("it can be read in more than one way");
        }
        Ok(Self {
            text: text.into(),
            open,
        })
    }

    /// Whether it names all that meets an endpoint.
    pub(super) fn covers(&self, pattern: &str) -> bool {
        if self.open {
            pattern.starts_with(&*self.text)
        } else {
            pattern == &*self.text
        }
    }

    /// Whether it may name some of what meets an endpoint.
    pub(super) fn meets(&self, pattern: &str) -> bool {
        let fixed = pattern.find(['{', '*']);
        let fixed = fixed.and_then(|at| pattern.get(..at));
        fixed.is_some_and(|fixed| self.text.starts_with(fixed))
    }

    /// Whether it names a path as a client wrote it.
    pub(super) fn names(&self, path: &[u8]) -> bool {
        let named = if self.open {
            path.starts_with(self.text.as_bytes())
        } else {
            path == self.text.as_bytes()
        };
        named && is_plain(path)
    }
}

/// Whether every reader reads the same in a path.
fn is_plain(path: &[u8]) -> bool {
    let odd =
        |byte: &u8| !byte.is_ascii_graphic() || matches!(byte, b'%' | b'\\' | b';' | b'?' | b'#');
    let mut segments = path.split(|byte| *byte == b'/').skip(1);
    let last = path.ends_with(b"/");
    let count = path.iter().filter(|byte| **byte == b'/').count();
    let mut at = 0;
    let bad = |segment: &[u8]| {
        at += 1;
        matches!(segment, b"." | b"..") || (segment.is_empty() && !(last && at == count))
    };
    !path.iter().any(odd) && !segments.any(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry::parse(text).unwrap()
    }

    #[test]
    fn an_entry_names_an_endpoint_or_all_that_begin_so() {
        assert!(entry("/v1/login").covers("/v1/login"));
        assert!(!entry("/v1/login").covers("/v1/login/x"));
        assert!(!entry("/v1/login").covers("/V1/login"));
        let all = entry("/v1/.well-known/*");
        for pattern in [
            "/v1/.well-known/jwks",
            "/v1/.well-known/{name}",
            "/v1/.well-known/*",
        ] {
            assert!(all.covers(pattern), "{pattern}");
        }
        for pattern in ["/v1/.well-known", "/v1/{any}/x", "/v1/*"] {
            assert!(!all.covers(pattern), "{pattern}");
        }
    }

    #[test]
    fn wider_endpoints_are_met_by_narrower_entries() {
        for (pattern, meets) in [
            ("/v1/auth/*", true),
            ("/v1/auth/{action}", true),
            ("/v1/{service}/login", true),
            ("/v1/auth/login", false),
            ("/v1/other/{x}", false),
        ] {
            assert_eq!(entry("/v1/auth/login").meets(pattern), meets, "{pattern}");
        }
    }

    #[test]
    fn only_a_path_that_everybody_reads_alike_is_named() {
        let one = entry("/v1/auth/login");
        assert!(one.names(b"/v1/auth/login"));
        for path in [
            "/v1/auth/login/",
            "/v1/auth/Login",
            "/v1/auth/logi%6e",
            "/v1/auth//login",
            "/v1/auth/login;x",
            "/v1/auth/./login",
        ] {
            assert!(!one.names(path.as_bytes()), "{path}");
        }
        let all = entry("/v1/open/*");
        for path in ["/v1/open/", "/v1/open/a", "/v1/open/a/b/", "/v1/open/..a"] {
            assert!(all.names(path.as_bytes()), "{path}");
        }
        for path in [
            "/v1/open",
            "/v1/open/../admin",
            "/v1/open/..",
            "/v1/open/.",
            "/v1/open/%2e%2e/admin",
            "/v1/open/a%2fb",
            "/v1/open/..\\admin",
            "/v1/open//a",
            "/v1/open/a//",
            "/v1/open/..;/admin",
            "/v1/Open/a",
        ] {
            assert!(!all.names(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_leaves_doors_open_by_mistake_is_told() {
        for text in [
            "", "v1", "*", "/*", "/v1/*/x", "/v1/%2e", "/a//b", "/a/../b", "/a b",
        ] {
            assert!(Entry::parse(text).is_err(), "{text}");
        }
        assert!(Entry::parse("/").is_ok());
        assert!(Entry::parse("/v1/{user}/avatar").is_ok());
    }
}
