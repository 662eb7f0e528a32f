//! Values of the expression language. What comes from a request or an answer is borrowed as it stands;
//! nothing is converted before an expression touches it.

use super::fault::{Budget, Fault};
use super::scope::FieldMap;
use super::time;
use crate::body::{Array, Object, Record, Value};
use chrono::{DateTime, FixedOffset};
use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

/// Levels that two values may be nested for a comparison.
const DEEPEST: u32 = 100;

/// A value of an expression.
#[derive(Clone, Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    Time(DateTime<FixedOffset>),
    /// Nanoseconds.
    Span(i64),
    /// A type, by its name.
    Type(&'static str),
    /// A list that the expression made.
    List(Arc<[Val<'a>]>),
    /// A map that the expression made; each key once.
    Map(Arc<[(Val<'a>, Val<'a>)]>),
    Array(&'a Array, Numbers),
    Object(&'a Object, Numbers),
    Record(&'a Record, Numbers),
    /// Fields or query parameters by name.
    Fields(&'a FieldMap),
    /// The values of one field.
    Strings(&'a [String]),
    /// Path parameters.
    Params(&'a [(String, String)]),
}

/// What a number of the data is to an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Its text: KrakenD's decoders keep literals, and its expressions see them as strings.
    Text,
    /// A double: the claims of a token.
    Double,
}

/// Text that is borrowed or shared.
#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'a> Val<'a> {
    /// A text of the expression itself.
    pub(super) fn shared(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A text that is there already.
    pub(super) const fn text(text: &'a str) -> Self {
        Self::String(Text::Borrowed(text))
    }

    /// A value of a body or token.
    pub(super) fn of(value: &'a Value, numbers: Numbers) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(boolean) => Self::Bool(*boolean),
            Value::Number(digits) => match numbers {
                Numbers::Text => Self::text(digits),
                Numbers::Double => Self::Double(digits.parse().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::text(text),
            Value::Bytes(bytes) => Self::shared(String::from_utf8_lossy(bytes).into_owned()),
            Value::Array(array) => Self::Array(array, numbers),
            Value::Object(object) => Self::Object(object, numbers),
            Value::Record(record) => Self::Record(record, numbers),
        }
    }

    /// The name of its type.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Time(_) => time::TIMESTAMP,
            Self::Span(_) => time::DURATION,
            Self::Type(_) => "type",
            Self::List(_) | Self::Array(..) | Self::Strings(_) => "list",
            Self::Map(_)
            | Self::Object(..)
            | Self::Record(..)
            | Self::Fields(_)
            | Self::Params(_) => "map",
        }
    }

    /// Whether it is a list.
    pub(super) const fn is_list(&self) -> bool {
        matches!(self, Self::List(_) | Self::Array(..) | Self::Strings(_))
    }

    /// Elements of a list or entries of a map; `None` for anything else.
    pub(super) fn len(&self) -> Option<usize> {
        Some(match self {
            Self::List(items) => items.len(),
            Self::Array(array, _) => array.len(),
            Self::Strings(strings) => strings.len(),
            Self::Map(entries) => entries.len(),
            Self::Object(object, _) => object.len(),
            Self::Record(record, _) => record.members().len(),
            Self::Fields(fields) => fields.len(),
            Self::Params(params) => params.len(),
            _ => return None,
        })
    }

    /// An element of a list, or a key of a map.
    pub(super) fn item(&self, at: usize) -> Option<Val<'a>> {
        Some(match self {
            Self::List(items) => items.get(at)?.clone(),
            Self::Array(array, numbers) => Self::of(array.get(at)?, *numbers),
            Self::Strings(strings) => Self::text(strings.get(at)?),
            Self::Map(entries) => entries.get(at)?.0.clone(),
            Self::Object(object, _) => Self::text(&object.members().get(at)?.0),
            Self::Record(record, _) => Self::text(&record.members().get(at)?.0),
            Self::Fields(fields) => Self::text(fields.name(at)?),
            Self::Params(params) => Self::text(&params.get(at)?.0),
            _ => return None,
        })
    }

    /// The value of a key that is a text; the outer `None` says that this is no map.
    pub(super) fn field(&self, name: &str) -> Option<Option<Val<'a>>> {
        Some(match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(key, _)| matches!(key, Self::String(key) if **key == *name))
                .map(|(_, value)| value.clone()),
            Self::Object(object, numbers) => object.get(name).map(|v| Self::of(v, *numbers)),
            Self::Record(record, numbers) => record.get(name).map(|v| Self::of(v, *numbers)),
            Self::Fields(fields) => fields.get(name).map(Self::Strings),
            Self::Params(params) => params
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| Self::text(value)),
            _ => return None,
        })
    }

    /// The value of any key.
    pub(super) fn entry(&self, key: &Val<'a>) -> Result<Option<Val<'a>>, Fault> {
        match (key, self) {
            (Self::String(name), _) => self.field(name).ok_or(Fault::NO_OVERLOAD),
            (
                Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Double(_),
                Self::Map(entries),
            ) => Ok(entries
                .iter()
                .find(|(own, _)| equal_scalars(own, key))
                .map(|(_, value)| value.clone())),
            // The keys of all other maps are texts.
            (Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Double(_), _)
                if self.type_name() == "map" =>
            {
                Ok(None)
            }
            _ => Err(Fault::NO_OVERLOAD),
        }
    }

    /// `list[at]` and `map[key]`.
    pub(super) fn index(&self, at: &Val<'a>) -> Result<Val<'a>, Fault> {
        if !self.is_list() {
            return self.entry(at)?.ok_or(Fault::NO_KEY);
        }
        let at = match at {
            Self::Int(at) => usize::try_from(*at).ok(),
            Self::Uint(at) => usize::try_from(*at).ok(),
            Self::Double(at) => whole(*at).and_then(|at| usize::try_from(at).ok()),
            _ => return Err(Fault::NO_OVERLOAD),
        };
        at.and_then(|at| self.item(at)).ok_or(Fault::NO_INDEX)
    }

    /// `needle in self`.
    pub(super) fn contains(&self, needle: &Val<'a>, budget: &Budget) -> Result<bool, Fault> {
        if !self.is_list() {
            budget.charge(self.len().map_or(0, |len| len / 16))?;
            return Ok(self.entry(needle)?.is_some());
        }
        for at in 0..self.len().unwrap_or(0) {
            let Some(item) = self.item(at) else { break };
            if item.equals(needle, budget)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Equality over all types: numbers by value, what has different types is different.
    pub(super) fn equals(&self, other: &Val<'a>, budget: &Budget) -> Result<bool, Fault> {
        self.equals_at(other, budget, 0)
    }

    fn equals_at(&self, other: &Val<'a>, budget: &Budget, depth: u32) -> Result<bool, Fault> {
        budget.charge(1)?;
        if depth > DEEPEST {
            return Err(Fault::TOO_DEEP);
        }
        if let (Self::String(a), Self::String(b)) = (self, other) {
            budget.charge(a.len().min(b.len()) / 16)?;
            return Ok(**a == **b);
        }
        let (Some(len), Some(others)) = (self.len(), other.len()) else {
            return Ok(equal_scalars(self, other));
        };
        if len != others || self.is_list() != other.is_list() {
            return Ok(false);
        }
        for at in 0..len {
            let Some(item) = self.item(at) else { break };
            let pair = if self.is_list() {
                (Some(item), other.item(at))
            } else {
                (self.entry(&item)?, other.entry(&item)?)
            };
            let (Some(a), Some(b)) = pair else {
                return Ok(false);
            };
            if !a.equals_at(&b, budget, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Order of two values that have one.
    pub(super) fn compare(&self, other: &Val<'a>, budget: &Budget) -> Result<Ordering, Fault> {
        Ok(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => {
                budget.charge(a.len().min(b.len()) / 16)?;
                (**a).cmp(&**b)
            }
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Span(a), Self::Span(b)) => a.cmp(b),
            _ => {
                let (Some(a), Some(b)) = (Number::of(self), Number::of(other)) else {
                    return Err(Fault::NO_OVERLOAD);
                };
                return a.compare(b).ok_or(Fault::NAN);
            }
        })
    }
}

fn equal_scalars(a: &Val<'_>, b: &Val<'_>) -> bool {
    match (a, b) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::String(a), Val::String(b)) => **a == **b,
        (Val::Bytes(a), Val::Bytes(b)) => a == b,
        (Val::Time(a), Val::Time(b)) => a == b,
        (Val::Span(a), Val::Span(b)) => a == b,
        (Val::Type(a), Val::Type(b)) => a == b,
        _ => match (Number::of(a), Number::of(b)) {
            (Some(a), Some(b)) => a.compare(b) == Some(Ordering::Equal),
            _ => false,
        },
    }
}

/// A whole double as an integer.
pub(super) fn whole(double: f64) -> Option<i64> {
    let inside = double > -9_223_372_036_854_775_808.0 && double < 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "inside the range of i64")]
    (inside && double.fract() == 0.0).then_some(double as i64)
}

/// The three kinds of numbers, compared by value.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Double(f64),
}

impl Number {
    fn of(value: &Val<'_>) -> Option<Self> {
        match value {
            Val::Int(int) => Some(Self::Whole(i128::from(*int))),
            Val::Uint(uint) => Some(Self::Whole(i128::from(*uint))),
            Val::Double(double) => Some(Self::Double(*double)),
            _ => None,
        }
    }

    /// `None` when one is no number.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(&b),
            (Self::Whole(a), Self::Double(b)) => whole_and_double(a, b),
            (Self::Double(a), Self::Whole(b)) => whole_and_double(b, a).map(Ordering::reverse),
        }
    }
}

/// Exact, where a conversion to a double would round.
fn whole_and_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Every integer here has less than 66 bits.
    if double >= 36_893_488_147_419_103_232.0 {
        return Some(Ordering::Less);
    }
    if double <= -36_893_488_147_419_103_232.0 {
        return Some(Ordering::Greater);
    }
    let floor = double.floor();
    #[expect(clippy::cast_possible_truncation, reason = "checked right above")]
    let order = whole.cmp(&(floor as i128));
    Some(if order == Ordering::Equal && double > floor {
        Ordering::Less
    } else {
        order
    })
}
