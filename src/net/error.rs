//! What an exchange with a backend can die of, in the words of Go's `net` and `net/http` where
//! KrakenD's users know them (`return_error_msg`, log lines).

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use http::Method;

use crate::base::{Error, Reason};

/// A failed exchange with a backend: one reason, and a text that may hold addresses and so belongs
/// into the log, or into the body only where the krakend dialect shows error texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NetError {
    /// The one reason.
    pub reason: Reason,
    /// Go's text where there is one.
    pub text: Cow<'static, str>,
}

impl NetError {
    /// An error with its reason and text.
    pub fn new(reason: Reason, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }

    /// The deadline passed while connecting.
    pub fn connect_deadline() -> Self {
        Self::new(Reason::ConnectTimeout, DEADLINE)
    }

    /// The deadline passed while waiting for the answer or its body.
    pub fn deadline() -> Self {
        Self::new(Reason::BackendTimeout, DEADLINE)
    }

    /// The connection ended before the first byte of an answer.
    pub fn eof() -> Self {
        Self::new(Reason::BackendReset, "EOF")
    }

    /// The connection ended within an answer.
    pub fn unexpected_eof() -> Self {
        Self::new(Reason::BackendReset, "unexpected EOF")
    }

    /// The answer is no valid HTTP.
    pub fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::BackendInvalid, text)
    }

    /// The answer's body is over the limit of the reader.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            Reason::BackendTooLarge,
            format!("response body over {limit} bytes"),
        )
    }

    /// A failed `connect(2)`.
    pub fn dial(address: SocketAddr, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
            io::ErrorKind::TimedOut => Reason::ConnectTimeout,
            _ => Reason::ConnectFailed,
        };
        Self::new(
            reason,
            format!("dial tcp {address}: connect: {}", errno(error)),
        )
    }

    /// A name that could not be resolved; `what` is the resolver's finding.
    pub fn lookup(name: &str, what: &str) -> Self {
        Self::new(
            Reason::DnsFailed,
            format!("dial tcp: lookup {name}: {what}"),
        )
    }

    /// A failed read or write (`operation`) on an open connection.
    pub fn socket(
        operation: &'static str,
        local: Option<SocketAddr>,
        peer: SocketAddr,
        error: &io::Error,
    ) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::unexpected_eof();
        }
        let from = local.map_or_else(String::new, |local| format!("{local}->"));
        let text = format!(
            "{operation} tcp {from}{peer}: {operation}: {}",
            errno(error)
        );
        Self::new(Reason::BackendReset, text)
    }

    /// The error as Go's client shows it: `Get "http://h:1/x": text`.
    #[must_use]
    pub fn wrap(self, method: &Method, url: &str) -> Self {
        let mut text = String::with_capacity(url.len() + self.text.len() + 12);
        let name = method.as_str();
        let (first, rest) = name.split_at_checked(1).unwrap_or((name, ""));
        text.push_str(first);
        text.push_str(&rest.to_ascii_lowercase());
        text.push_str(" \"");
        text.push_str(url);
        text.push_str("\": ");
        text.push_str(&self.text);
        Self {
            reason: self.reason,
            text: text.into(),
        }
    }
}

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        Self::new(error.reason, error.text)
    }
}

const DEADLINE: &str = "context deadline exceeded";

/// The system's words for an error as Go prints them: lower case, without the number.
fn errno(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .split_once(" (os error")
        .map_or(text.as_str(), |(words, _)| words);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown error".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_connection_reads_as_in_go() {
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let error = NetError::dial(address, &io::Error::from_raw_os_error(111));
        assert_eq!(error.reason, Reason::ConnectRefused);
        let wrapped = error.wrap(&Method::GET, "http://h:1/x");
        assert_eq!(
            wrapped.text,
            "Get \"http://h:1/x\": dial tcp 127.0.0.1:1: connect: connection refused"
        );
    }

    #[test]
    fn reset_read_names_both_ends() {
        let (a, b) = (
            "127.0.0.1:5".parse().unwrap(),
            "127.0.0.1:6".parse().unwrap(),
        );
        let error = NetError::socket("read", Some(a), b, &io::Error::from_raw_os_error(104));
        assert_eq!(
            error.text,
            "read tcp 127.0.0.1:5->127.0.0.1:6: read: connection reset by peer"
        );
    }
}
