//! Which lane serves a request: the fast one, on which nothing stands between the bytes and us, or Pingora's. The fast
//! lane takes what is on its list, and everything else goes to the other without being told apart; the
//! words here are for operators who wonder why. KrakenD has one lane.

use crate::base::field::connection_options;
use crate::gateway::head::Head;

/// Most fields of a head on the fast lane.
pub const MAX_FIELDS: usize = 64;
/// Largest head on the fast lane, in bytes.
pub const MAX_HEAD: usize = 64 << 10;

/// `hanzo/edge.lane`: whether there is a fast lane at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// Requests that may take it do.
    #[default]
    Auto,
    /// Pingora serves everything.
    Off,
}

impl Lane {
    /// The word of the setting.
    pub const fn word(self) -> &'static str {
        match self {
            Lane::Auto => "auto",
            Lane::Off => "off",
        }
    }

    /// The lane that a setting names.
    pub fn of(word: &str) -> Option<Self> {
        [Lane::Auto, Lane::Off]
            .into_iter()
            .find(|lane| lane.word() == word)
    }
}

/// Why a request does not take the fast lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slow {
    /// The file or the command line says so.
    Off,
    /// Redirects are followed and gzip is undone, which needs the answer's head as data.
    Krakend,
    /// A stage may rewrite the request or wants its body.
    Rewritten,
    /// Stages see the answer, and it passes on as it is.
    Staged,
    /// The backend is called over TLS, and HTTP/1.1 has not been agreed on with it.
    Http2Backend,
    /// Cleartext HTTP/2 to the backend.
    PlatformStreams,
    /// A proxy reads the heads of its requests.
    Proxied,
    /// The client speaks HTTP/2.
    Http2Client,
    /// The client speaks HTTP/1.0.
    Http10,
    /// The target is a URL, or `*`.
    AbsoluteTarget,
    /// `Upgrade` is there.
    Upgrade,
    /// `Expect` is there.
    Expect,
    /// `TE` is there.
    Te,
    /// `Connection` says more than whether it stays.
    Nominated,
    /// More fields than [`MAX_FIELDS`].
    TooManyFields,
    /// More bytes than [`MAX_HEAD`].
    HeadTooLarge,
}

impl Slow {
    /// Every reason, for tables and counters.
    pub const ALL: [Slow; 16] = [
        Slow::Off,
        Slow::Krakend,
        Slow::Rewritten,
        Slow::Staged,
        Slow::Http2Backend,
        Slow::PlatformStreams,
        Slow::Proxied,
        Slow::Http2Client,
        Slow::Http10,
        Slow::AbsoluteTarget,
        Slow::Upgrade,
        Slow::Expect,
        Slow::Te,
        Slow::Nominated,
        Slow::TooManyFields,
        Slow::HeadTooLarge,
    ];

    /// The word for machines.
    pub const fn word(self) -> &'static str {
        match self {
            Slow::Off => "off",
            Slow::Krakend => "krakend",
            Slow::Rewritten => "rewritten",
            Slow::Staged => "staged",
            Slow::Http2Backend => "http2_backend",
            Slow::PlatformStreams => "platform_streams",
            Slow::Proxied => "proxied",
            Slow::Http2Client => "http2_client",
            Slow::Http10 => "http10",
            Slow::AbsoluteTarget => "absolute_target",
            Slow::Upgrade => "upgrade",
            Slow::Expect => "expect",
            Slow::Te => "te",
            Slow::Nominated => "nominated",
            Slow::TooManyFields => "too_many_fields",
            Slow::HeadTooLarge => "head_too_large",
        }
    }

    /// One clause for people, to follow "because".
    pub const fn describe(self) -> &'static str {
        match self {
            Slow::Off => "the fast lane is switched off",
            Slow::Krakend => "in the krakend dialect each answer of a backend has to be understood",
            Slow::Rewritten => "a component of it may rewrite the whole request",
            Slow::Staged => "components of it see a body that passes on as it is",
            Slow::Http2Backend => {
                "the backend is called over TLS and did not choose HTTP/1.1 (so far)"
            }
            Slow::PlatformStreams => "the backend is called over HTTP/2",
            Slow::Proxied => "the backend is called through a proxy",
            Slow::Http2Client => "the client speaks HTTP/2",
            Slow::Http10 => "the client does not speak HTTP/1.1",
            Slow::AbsoluteTarget => "the target is not a path",
            Slow::Upgrade => "the client asks for another protocol (Upgrade)",
            Slow::Expect => "the client waits for 100 Continue (Expect)",
            Slow::Te => "the client says which transfer codings it takes (TE)",
            Slow::Nominated => "Connection names more than keep-alive or close",
            Slow::TooManyFields => "there are more than 64 fields",
            Slow::HeadTooLarge => "the head is larger than 64 KiB",
        }
    }
}

/// What of a head decides about its lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The version is HTTP/1.1.
    pub http11: bool,
    /// The target does not begin with `/`.
    pub absolute_target: bool,
    /// There is an `Upgrade` field.
    pub upgrade: bool,
    /// There is an `Expect` field.
    pub expect: bool,
    /// There is a `TE` field.
    pub te: bool,
    /// `Connection` holds a token other than `keep-alive` and `close`.
    pub nominates: bool,
    /// How many fields there are.
    pub fields: usize,
    /// Bytes of the head: request line, fields and the empty line.
    pub head_bytes: usize,
}

impl Facts {
    /// Looks through a head that was not read from a connection. The bytes are those that it would have
    /// there, with one space after each colon.
    pub fn of(head: &dyn Head) -> Self {
        let target = head.path().len() + head.query().map_or(0, |query| query.len() + 1);
        let mut facts = Self {
            http11: head.version() == "1.1",
            absolute_target: !head.path().starts_with(b"/"),
            head_bytes: head.method().as_str().len() + target + " HTTP/1.1\r\n\r\n".len() + 1,
            ..Self::default()
        };
        head.each(&mut |name, value| {
            facts.fields += 1;
            facts.head_bytes += name.len() + value.len() + ": \r\n".len();
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            facts.upgrade |= is("upgrade");
            facts.expect |= is("expect");
            facts.te |= is("te");
            facts.nominates |= is("connection") && nominates(value);
        });
        facts
    }

    /// Whether such a head may take the fast lane.
    ///
    /// # Errors
    /// The first reason why not.
    pub const fn check(&self) -> Result<(), Slow> {
        if !self.http11 {
            return Err(Slow::Http10);
        }
        if self.absolute_target {
            return Err(Slow::AbsoluteTarget);
        }
        if self.upgrade {
            return Err(Slow::Upgrade);
        }
        if self.expect {
            return Err(Slow::Expect);
        }
        if self.te {
            return Err(Slow::Te);
        }
        if self.nominates {
            return Err(Slow::Nominated);
        }
        if self.fields > MAX_FIELDS {
            return Err(Slow::TooManyFields);
        }
        if self.head_bytes > MAX_HEAD {
            return Err(Slow::HeadTooLarge);
        }
        Ok(())
    }
}

/// Whether a value of `Connection` holds more than the two words about the connection itself.
fn nominates(value: &[u8]) -> bool {
    connection_options(value).any(|option| option.name().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plain::Plain;
    use std::collections::HashSet;

    fn lane(request: &Plain) -> Result<(), Slow> {
        Facts::of(request).check()
    }

    fn with(fields: &[(&str, &str)]) -> Result<(), Slow> {
        lane(&Plain::get("/a?b=c").fields(fields))
    }

    #[test]
    fn an_everyday_head_is_fast() {
        assert_eq!(with(&[]), Ok(()));
        for connection in ["keep-alive", "Close", "close, Keep-Alive", "", " , close ,"] {
            let fields = [("Accept", "*/*"), ("connection", connection)];
            assert_eq!(with(&fields), Ok(()), "{connection:?}");
        }
    }

    #[test]
    fn fields_about_the_connection_are_slow() {
        for (name, value, slow) in [
            ("UPGRADE", "websocket", Slow::Upgrade),
            ("Upgrade", "", Slow::Upgrade),
            ("expect", "100-continue", Slow::Expect),
            ("Te", "trailers", Slow::Te),
            ("Connection", "upgrade", Slow::Nominated),
            ("Connection", "close, X-Own", Slow::Nominated),
            ("Connection", "close x", Slow::Nominated),
        ] {
            assert_eq!(with(&[(name, value)]), Err(slow), "{name}: {value}");
        }
    }

    #[test]
    fn a_second_connection_field_is_looked_at_too() {
        let fields = [("Connection", "close"), ("connection", "X-Own")];
        assert_eq!(with(&fields), Err(Slow::Nominated));
    }

    #[test]
    fn other_versions_and_targets_are_slow() {
        let mut old = Plain::get("/");
        old.version = "1.0";
        assert_eq!(lane(&old), Err(Slow::Http10));
        assert_eq!(lane(&Plain::get("*")), Err(Slow::AbsoluteTarget));
        assert_eq!(lane(&Plain::get("http://a/")), Err(Slow::AbsoluteTarget));
    }

    #[test]
    fn size_is_counted_to_the_byte() {
        let facts = Facts::of(&Plain::get("/a?b=c").fields(&[("Host", "h")]));
        let written = "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!((facts.fields, facts.head_bytes), (1, written.len()));
    }

    #[test]
    fn the_largest_head_is_fast_and_one_more_is_not() {
        let most = Facts {
            http11: true,
            fields: MAX_FIELDS,
            head_bytes: MAX_HEAD,
            ..Facts::default()
        };
        assert_eq!(most.check(), Ok(()));
        let more = Facts {
            fields: MAX_FIELDS + 1,
            ..most
        };
        assert_eq!(more.check(), Err(Slow::TooManyFields));
        let larger = Facts {
            head_bytes: MAX_HEAD + 1,
            ..most
        };
        assert_eq!(larger.check(), Err(Slow::HeadTooLarge));
    }

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let words: HashSet<_> = Slow::ALL.iter().map(|slow| slow.word()).collect();
        assert_eq!(words.len(), Slow::ALL.len());
        let snake = |word: &&str| {
            word.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        assert!(words.iter().all(snake), "{words:?}");
    }

    #[test]
    fn settings_have_one_word_each() {
        for lane in [Lane::Auto, Lane::Off] {
            assert_eq!(Lane::of(lane.word()), Some(lane));
        }
        assert_eq!(Lane::of("Off"), None);
    }
}
