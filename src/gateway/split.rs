//! Which of several backends answers a request, instead of all of them: shares for canaries and A/B tests, requests
//! that always meet one of them, callers that stay where they are.
//!
//! Each backend is compiled as an endpoint of its own that no path leads to; the choice is made once, when a request
//! enters. A caller's place is where its key is wished for most (weighted rendezvous): when weights change, only as
//! many callers move as the change is large. KrakenD has nothing like it.

use crate::gateway::affinity::{hashed_cookie, hashed_header};
use crate::gateway::head::Head;
use crate::net::balance::{hash, wish};
use http::header::{HeaderName, HeaderValue};

/// What keeps a caller at one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// A header field; who does not send it is sent anywhere.
    Header(HeaderName),
    /// A cookie; who does not send it gets one.
    Cookie(Box<str>),
}

/// Requests that always meet one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// A field that they have.
    pub header: HeaderName,
    /// Its value; any without one.
    pub value: Option<Box<str>>,
}

/// One of the backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its endpoint, by index.
    pub endpoint: usize,
    /// What tells it from the others, over reloads too.
    pub hash: u64,
    /// Its share.
    pub weight: u32,
    /// Who always meets it.
    pub when: Option<When>,
}

/// The parts of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The parts, in file order.
    pub parts: Box<[Part]>,
    /// What keeps a caller where it is.
    pub sticky: Option<Sticky>,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Choice {
    /// The endpoint.
    pub endpoint: usize,
    /// The cookie that its caller is given.
    pub cookie: Option<HeaderValue>,
}

impl When {
    fn holds(&self, head: &dyn Head) -> bool {
        match (head.header(&self.header), &self.value) {
            (Some(found), Some(value)) => found.trim_ascii() == value.as_bytes(),
            (found, None) => found.is_some(),
            (None, Some(_)) => false,
        }
    }
}

impl Split {
    /// Where a request goes; `None` only without parts.
    pub fn choose(&self, head: &dyn Head) -> Option<Choice> {
        if let Some(part) = self.meant(head) {
            return Some(Choice {
                endpoint: part.endpoint,
                cookie: None,
            });
        }
        let (key, cookie) = match (self.known(head), &self.sticky) {
            (Some(key), _) => (key, None),
            (None, Some(Sticky::Cookie(name))) => {
                let value = format!("{:016x}", fastrand::u64(..));
                // What was given over TLS is for TLS alone (RFC 6265 section 4.1.2.5).
                let secure = if head.secure() { "; Secure" } else { "" };
                let field = format!(
                    "{name}={value}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}"
                );
                (hash(value.as_bytes()), HeaderValue::try_from(field).ok())
            }
            (None, _) => (fastrand::u64(..), None),
        };
        let endpoint = self.home(key)?.endpoint;
        Some(Choice { endpoint, cookie })
    }

    /// The part that a request always meets, if there is one.
    pub fn meant(&self, head: &dyn Head) -> Option<&Part> {
        let meant = |part: &&Part| part.when.as_ref().is_some_and(|when| when.holds(head));
        self.parts.iter().find(meant)
    }

    /// The key of a request whose caller stays where it is.
    pub fn known(&self, head: &dyn Head) -> Option<u64> {
        match self.sticky.as_ref()? {
            Sticky::Header(name) => hashed_header(head, name),
            Sticky::Cookie(name) => hashed_cookie(head, name),
        }
    }

    /// The part that a key belongs to.
    pub fn home(&self, key: u64) -> Option<&Part> {
        let wish = |part: &Part| wish(key, part.hash, part.weight);
        self.parts.iter().max_by(|a, b| wish(a).total_cmp(&wish(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plain::Plain;

    fn split(weights: &[u32]) -> Split {
        let part = |(at, weight): (usize, &u32)| Part {
            endpoint: at,
            hash: hash(&[at as u8]),
            weight: *weight,
            when: None,
        };
        Split {
            parts: weights.iter().enumerate().map(part).collect(),
            sticky: None,
        }
    }

    #[test]
    fn the_cookie_of_a_caller_over_tls_is_for_tls_alone() {
        let mut split = split(&[1, 1]);
        split.sticky = Some(Sticky::Cookie("group".into()));
        for secure in [false, true] {
            let mut head = Plain::get("/");
            head.secure = secure;
            let given = split.choose(&head).unwrap().cookie.unwrap();
            let text = given.to_str().unwrap();
            assert!(text.starts_with("group=") && text.contains("; HttpOnly"));
            assert_eq!(text.ends_with("; Secure"), secure, "{text}");
        }
    }

    fn homes(split: &Split) -> Vec<usize> {
        let key = |caller: u64| hash(&caller.to_le_bytes());
        let homes = (0..10_000).map(|caller| split.home(key(caller)).unwrap().endpoint);
        homes.collect()
    }

    #[test]
    fn shares_are_kept_and_a_weight_of_zero_is_none() {
        let found = homes(&split(&[90, 10, 0]));
        let second = found.iter().filter(|home| **home == 1).count();
        assert!((850..1_150).contains(&second), "{second}");
        assert!(!found.contains(&2));
    }

    #[test]
    fn a_change_of_weights_moves_no_more_callers_than_it_must() {
        let (before, after) = (homes(&split(&[90, 10])), homes(&split(&[80, 20])));
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b);
        let moved: Vec<_> = moved.collect();
        assert!(moved.iter().all(|(from, to)| (**from, **to) == (0, 1)));
        // A tenth of all is the least.
        assert!((850..1_150).contains(&moved.len()), "{}", moved.len());
    }
}
