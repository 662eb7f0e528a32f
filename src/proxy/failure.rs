//! Pingora's errors in our words: which reason a failed phase has, whose fault it was.

use crate::base::{Error, Reason};
use crate::proxy::upload::is_invalid_data;
use pingora::{ErrorSource, ErrorType};

/// An error for Pingora that stands for one of ours; ours waits in the context.
pub fn stand_in(error: &Error) -> Box<pingora::Error> {
    pingora::Error::new(ErrorType::HTTPStatus(error.reason.status()))
}

/// What an error of Pingora's own means.
pub fn translate(error: &pingora::Error) -> Error {
    let reason = match error.esource() {
        ErrorSource::Downstream if is_invalid_data(error) => Reason::BadChunk,
        ErrorSource::Downstream => downstream(error.etype()),
        ErrorSource::Upstream => upstream(error.etype()),
        ErrorSource::Internal | ErrorSource::Unset => match error.etype() {
            ErrorType::HTTPStatus(408) => Reason::BodyTimeout,
            ErrorType::HTTPStatus(413) => Reason::BodyTooLarge,
            _ => Reason::Internal,
        },
    };
    Error::new(reason, error.to_string())
}

fn downstream(kind: &ErrorType) -> Reason {
    match kind {
        ErrorType::ReadTimedout => Reason::BodyTimeout,
        ErrorType::InvalidHTTPHeader => Reason::MalformedRequest,
        ErrorType::HTTPStatus(413) => Reason::BodyTooLarge,
        ErrorType::HTTPStatus(400) => Reason::MalformedRequest,
        ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::WriteTimedout
        | ErrorType::ConnectionClosed
        | ErrorType::H2Error => Reason::ClientGone,
        _ => Reason::BadBody,
    }
}

fn upstream(kind: &ErrorType) -> Reason {
    match kind {
        ErrorType::ConnectTimedout => Reason::ConnectTimeout,
        ErrorType::ConnectRefused => Reason::ConnectRefused,
        ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::BindError
        | ErrorType::AcceptError
        | ErrorType::SocketError => Reason::ConnectFailed,
        ErrorType::TLSWantX509Lookup
        | ErrorType::TLSHandshakeFailure
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError => Reason::TlsFailed,
        ErrorType::TLSHandshakeTimedout => Reason::ConnectTimeout,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Reason::BackendTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 | ErrorType::H1Error => {
            Reason::BackendInvalid
        }
        _ => Reason::BackendReset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backends_fault_is_never_told_as_the_clients() {
        for kind in [
            ErrorType::ConnectTimedout,
            ErrorType::ConnectRefused,
            ErrorType::ReadTimedout,
            ErrorType::InvalidHTTPHeader,
            ErrorType::ConnectionClosed,
            ErrorType::TLSHandshakeFailure,
            ErrorType::Custom("x"),
        ] {
            let error = pingora::Error::new_up(kind);
            assert!(translate(&error).reason.status() >= 502, "{error}");
        }
    }

    #[test]
    fn a_gone_client_is_no_fault_of_a_backend() {
        let error = pingora::Error::new_down(ErrorType::WriteError);
        assert_eq!(translate(&error).reason, Reason::ClientGone);
    }
}
