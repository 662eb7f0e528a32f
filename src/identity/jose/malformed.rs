//! Why a text is no token. The words are for the log; clients are never told which it was.

use super::strict::Fault;

/// Why a text is no token that could be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.word())]
pub enum Malformed {
    /// Longer than the bound.
    TooLarge,
    /// Neither three parts with dots between them nor a JSON serialization with one signature.
    Form,
    /// An encrypted token (RFC 7516); the gateway has no keys for those.
    Encrypted,
    /// A part is no base64url.
    Encoding,
    /// The header is no JSON object, or a member of it has the wrong type.
    Header,
    /// A member stands twice in header or claims, or in the protected and the unprotected header.
    Duplicate,
    /// `alg` is missing, `none`, or nothing that is known.
    Algorithm,
    /// `crit` names an extension that is not understood, or is itself malformed (RFC 7515 section 4.1.11).
    Critical,
    /// `b64` is false: RFC 7797 section 7 forbids that for tokens.
    Unencoded,
    /// The payload is no JSON object, or a claim has a type that it may not have.
    Claims,
}

impl Malformed {
    /// The stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Form => "form",
            Self::Encrypted => "encrypted",
            Self::Encoding => "encoding",
            Self::Header => "header",
            Self::Duplicate => "duplicate_member",
            Self::Algorithm => "algorithm",
            Self::Critical => "crit",
            Self::Unencoded => "b64",
            Self::Claims => "claims",
        }
    }
}

impl Malformed {
    /// A fault of a header.
    pub(super) fn header(fault: Fault) -> Self {
        match fault {
            Fault::Duplicate => Self::Duplicate,
            Fault::Syntax | Fault::NoObject | Fault::TooDeep => Self::Header,
        }
    }

    /// A fault of claims.
    pub(super) fn claims(fault: Fault) -> Self {
        match fault {
            Fault::Duplicate => Self::Duplicate,
            Fault::Syntax | Fault::NoObject | Fault::TooDeep => Self::Claims,
        }
    }
}
