//! Fields as modifiers name them. `Host`, `Content-Length` and `Transfer-Encoding` are no fields in Go but
//! parts of the message, and modifiers act on those parts.

use crate::base::Error;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};

/// What a field's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The host that a request is for; answers have none.
    Host,
    /// The length of the body.
    Length,
    /// The framing of the body.
    Transfer,
    /// A field.
    Named(HeaderName),
}

impl From<HeaderName> for Field {
    fn from(name: HeaderName) -> Self {
        match name {
            HOST => Self::Host,
            CONTENT_LENGTH => Self::Length,
            TRANSFER_ENCODING => Self::Transfer,
            name => Self::Named(name),
        }
    }
}

/// What reading a name of the configuration came to.
#[derive(Debug)]
pub(super) enum Lookup {
    Field(Field),
    /// No field can have this name; what Go says when it is to be sent.
    Bad(String),
}

/// A message's head with its special parts.
pub(super) trait Head {
    /// The first value, empty when there is none.
    fn first(&self, field: &Field) -> HeaderValue;
    /// Whether any value is exactly this.
    fn any(&self, field: &Field, value: &HeaderValue) -> bool;
    /// Replaces every value by one.
    fn set(&mut self, field: &Field, value: HeaderValue) -> Result<(), Error>;
    /// Adds a value.
    fn add(&mut self, field: &Field, value: HeaderValue) -> Result<(), Error>;
    /// Takes every value away.
    fn remove(&mut self, field: &Field);
}

/// The modifiers that only touch fields.
#[derive(Debug)]
pub(super) enum HeaderOp {
    /// `header.Modifier`
    Set(Field, HeaderValue),
    /// `header.Append`
    Add(Field, HeaderValue),
    /// `header.Blacklist`
    Remove(Vec<Field>),
    /// `header.Copy`
    Copy { from: Field, to: Field },
}

impl HeaderOp {
    pub(super) fn apply(&self, head: &mut impl Head) -> Result<(), Error> {
        match self {
            Self::Set(field, value) => head.set(field, value.clone()),
            Self::Add(field, value) => head.add(field, value.clone()),
            Self::Remove(fields) => {
                for field in fields {
                    head.remove(field);
                }
                Ok(())
            }
            Self::Copy { from, to } => {
                let value = head.first(from);
                head.set(to, value)
            }
        }
    }
}
