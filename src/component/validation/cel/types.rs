//! Types as far as they are known before anything runs.

use super::time;
use std::fmt;

/// The type of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ty {
    /// Known only when it runs.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Type,
    List(Box<Ty>),
    Map(Box<Ty>, Box<Ty>),
}

/// A type of a signature: lists and maps of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dyn,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Type,
    List,
    Map,
}

impl Ty {
    /// A list of these.
    pub(super) fn list(of: Ty) -> Self {
        Self::List(Box::new(of))
    }

    /// A map from texts to these.
    pub(super) fn map(to: Ty) -> Self {
        Self::Map(Box::new(Self::String), Box::new(to))
    }

    /// Whether a value of this type may be one of another.
    pub(super) fn fits(&self, other: &Ty) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::List(a), Self::List(b)) => a.fits(b),
            (Self::Map(ak, av), Self::Map(bk, bv)) => ak.fits(bk) && av.fits(bv),
            _ => self == other,
        }
    }

    /// Whether two values can be compared: the same type, or two numbers.
    pub(super) fn meets(&self, other: &Ty) -> bool {
        self.fits(other) || (self.is_number() && other.is_number())
    }

    /// Whether it is a number.
    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether values of this type have an order.
    pub(super) const fn is_ordered(&self) -> bool {
        !matches!(
            self,
            Self::Null | Self::Type | Self::List(_) | Self::Map(..)
        )
    }

    /// What two branches have in common.
    pub(super) fn joined(self, other: &Ty) -> Ty {
        if self == *other { self } else { Self::Dyn }
    }

    /// Whether a parameter of a signature takes it.
    pub(super) const fn is(&self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Dyn, _)
                | (_, Kind::Dyn)
                | (Self::Bool, Kind::Bool)
                | (Self::Int, Kind::Int)
                | (Self::Uint, Kind::Uint)
                | (Self::Double, Kind::Double)
                | (Self::String, Kind::String)
                | (Self::Bytes, Kind::Bytes)
                | (Self::Timestamp, Kind::Timestamp)
                | (Self::Duration, Kind::Duration)
                | (Self::Type, Kind::Type)
                | (Self::List(_), Kind::List)
                | (Self::Map(..), Kind::Map)
        )
    }

    /// The type of a signature's result.
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Dyn => Self::Dyn,
            Kind::Bool => Self::Bool,
            Kind::Int => Self::Int,
            Kind::Uint => Self::Uint,
            Kind::Double => Self::Double,
            Kind::String => Self::String,
            Kind::Bytes => Self::Bytes,
            Kind::Timestamp => Self::Timestamp,
            Kind::Duration => Self::Duration,
            Kind::Type => Self::Type,
            Kind::List => Self::list(Self::Dyn),
            Kind::Map => Self::Map(Box::new(Self::Dyn), Box::new(Self::Dyn)),
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dyn => "dyn",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => time::TIMESTAMP,
            Self::Duration => time::DURATION,
            Self::Type => "type",
            Self::List(of) => return write!(f, "list({of})"),
            Self::Map(key, value) => return write!(f, "map({key}, {value})"),
        })
    }
}
