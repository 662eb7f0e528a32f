//! The functions of the standard library: what they take, what they give, what they do. KrakenD adds
//! none, so neither do we.

use super::convert;
use super::fault::{Budget, Fault};
use super::time::{self, Part};
use super::types::Kind::{self, *};
use super::value::Val;
use regex::RegexBuilder;

/// A function; one entry serves all its overloads.
#[derive(Debug)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    /// How it may be written.
    pub(super) style: Style,
    /// Parameters and result of each overload; the receiver is the first parameter.
    pub(super) overloads: &'static [(&'static [Kind], Kind)],
    /// What it does.
    pub(super) call: Call,
}

/// What a function does.
pub(super) type Call = for<'a> fn(&[Val<'a>], &Budget) -> Result<Val<'a>, Fault>;

/// How a function may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
    /// Either.
    Both,
}

impl Function {
    /// A function by its name, if it may be written so.
    pub(super) fn find(name: &str, member: bool) -> Option<&'static Self> {
        let fits = |style| match style {
            Style::Both => true,
            Style::Member => member,
            Style::Global => !member,
        };
        FUNCTIONS
            .iter()
            .find(|function| function.name == name && fits(function.style))
    }
}

const fn of(
    name: &'static str,
    style: Style,
    overloads: &'static [(&'static [Kind], Kind)],
    call: Call,
) -> Function {
    Function {
        name,
        style,
        overloads,
        call,
    }
}

const TEXTS: &[(&[Kind], Kind)] = &[(&[String, String], Bool)];
const DATE: &[(&[Kind], Kind)] = &[(&[Timestamp], Int), (&[Timestamp, String], Int)];
const CLOCK: &[(&[Kind], Kind)] = &[
    (&[Timestamp], Int),
    (&[Timestamp, String], Int),
    (&[Duration], Int),
];

/// Every function.
pub(super) static FUNCTIONS: &[Function] = &[
    of(
        "size",
        Style::Both,
        &[
            (&[String], Int),
            (&[Bytes], Int),
            (&[List], Int),
            (&[Map], Int),
        ],
        size,
    ),
    of("contains", Style::Member, TEXTS, |a, b| {
        texts(a, b, |text, part| text.contains(part))
    }),
    of("startsWith", Style::Member, TEXTS, |a, b| {
        texts(a, b, |text, part| text.starts_with(part))
    }),
    of("endsWith", Style::Member, TEXTS, |a, b| {
        texts(a, b, |text, part| text.ends_with(part))
    }),
    of(MATCHES, Style::Both, TEXTS, matches),
    of("type", Style::Global, &[(&[Dyn], Type)], |a, _| {
        one(a).map(|value| Val::Type(value.type_name()))
    }),
    of("dyn", Style::Global, &[(&[Dyn], Dyn)], |a, _| {
        one(a).cloned()
    }),
    of(
        "bool",
        Style::Global,
        &[(&[Bool], Bool), (&[String], Bool)],
        |a, _| convert::to_bool(one(a)?),
    ),
    of(
        "int",
        Style::Global,
        &[
            (&[Int], Int),
            (&[Uint], Int),
            (&[Double], Int),
            (&[String], Int),
            (&[Timestamp], Int),
            (&[Duration], Int),
        ],
        |a, _| convert::to_int(one(a)?),
    ),
    of(
        "uint",
        Style::Global,
        &[
            (&[Uint], Uint),
            (&[Int], Uint),
            (&[Double], Uint),
            (&[String], Uint),
        ],
        |a, _| convert::to_uint(one(a)?),
    ),
    of(
        "double",
        Style::Global,
        &[
            (&[Double], Double),
            (&[Int], Double),
            (&[Uint], Double),
            (&[String], Double),
        ],
        |a, _| convert::to_double(one(a)?),
    ),
    of(
        "string",
        Style::Global,
        &[
            (&[String], String),
            (&[Bool], String),
            (&[Int], String),
            (&[Uint], String),
            (&[Double], String),
            (&[Bytes], String),
            (&[Timestamp], String),
            (&[Duration], String),
        ],
        |a, budget| convert::to_string(one(a)?, budget),
    ),
    of(
        "bytes",
        Style::Global,
        &[(&[Bytes], Bytes), (&[String], Bytes)],
        |a, budget| convert::to_bytes(one(a)?, budget),
    ),
    of(
        "timestamp",
        Style::Global,
        &[
            (&[Timestamp], Timestamp),
            (&[String], Timestamp),
            (&[Int], Timestamp),
        ],
        |a, _| match one(a)? {
            Val::Time(time) => Ok(Val::Time(*time)),
            Val::String(text) => time::parse(text).map(Val::Time),
            Val::Int(seconds) => time::from_seconds(*seconds).map(Val::Time),
            _ => Err(Fault::NO_OVERLOAD),
        },
    ),
    of(
        "duration",
        Style::Global,
        &[
            (&[Duration], Duration),
            (&[String], Duration),
            (&[Int], Duration),
        ],
        |a, _| match one(a)? {
            Val::Span(nanos) | Val::Int(nanos) => Ok(Val::Span(*nanos)),
            Val::String(text) => time::parse_span(text).map(Val::Span),
            _ => Err(Fault::NO_OVERLOAD),
        },
    ),
    of("getFullYear", Style::Member, DATE, |a, _| {
        part(Part::Year, a)
    }),
    of("getMonth", Style::Member, DATE, |a, _| part(Part::Month, a)),
    of("getDayOfYear", Style::Member, DATE, |a, _| {
        part(Part::YearDay, a)
    }),
    of("getDayOfMonth", Style::Member, DATE, |a, _| {
        part(Part::MonthDay, a)
    }),
    of("getDate", Style::Member, DATE, |a, _| part(Part::Date, a)),
    of("getDayOfWeek", Style::Member, DATE, |a, _| {
        part(Part::WeekDay, a)
    }),
    of("getHours", Style::Member, CLOCK, |a, _| {
        part(Part::Hours, a)
    }),
    of("getMinutes", Style::Member, CLOCK, |a, _| {
        part(Part::Minutes, a)
    }),
    of("getSeconds", Style::Member, CLOCK, |a, _| {
        part(Part::Seconds, a)
    }),
    of("getMilliseconds", Style::Member, CLOCK, |a, _| {
        part(Part::Millis, a)
    }),
];

/// The function whose pattern is compiled beforehand where it can be.
pub(super) const MATCHES: &str = "matches";

/// Bytes of a pattern that stands in the expression, and of one that a request brings.
const PATTERN: usize = 1 << 20;
const FOREIGN_PATTERN: usize = 1 << 16;

fn one<'v, 'a>(arguments: &'v [Val<'a>]) -> Result<&'v Val<'a>, Fault> {
    match arguments {
        [one] => Ok(one),
        _ => Err(Fault::NO_OVERLOAD),
    }
}

fn texts<'a>(
    arguments: &[Val<'a>],
    budget: &Budget,
    test: fn(&str, &str) -> bool,
) -> Result<Val<'a>, Fault> {
    match arguments {
        [Val::String(text), Val::String(part)] => {
            budget.charge((text.len() + part.len()) / 16)?;
            Ok(Val::Bool(test(text, part)))
        }
        _ => Err(Fault::NO_OVERLOAD),
    }
}

fn size<'a>(arguments: &[Val<'a>], budget: &Budget) -> Result<Val<'a>, Fault> {
    let count = match one(arguments)? {
        Val::String(text) => {
            budget.charge(text.len() / 16)?;
            text.chars().count()
        }
        Val::Bytes(bytes) => bytes.len(),
        other => other.len().ok_or(Fault::NO_OVERLOAD)?,
    };
    i64::try_from(count)
        .map(Val::Int)
        .map_err(|_| Fault::OVERFLOW)
}

/// A pattern of the expression itself.
pub(super) fn pattern(text: &str) -> Result<regex::Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(PATTERN).build()
}

fn matches<'a>(arguments: &[Val<'a>], budget: &Budget) -> Result<Val<'a>, Fault> {
    let [Val::String(text), Val::String(pattern)] = arguments else {
        return Err(Fault::NO_OVERLOAD);
    };
    budget.charge(10_000 + pattern.len() * 64)?;
    budget.charge(text.len())?;
    let pattern = RegexBuilder::new(pattern)
        .size_limit(FOREIGN_PATTERN)
        .dfa_size_limit(FOREIGN_PATTERN)
        .nest_limit(32)
        .build()
        .map_err(|_| Fault("bad pattern"))?;
    Ok(Val::Bool(pattern.is_match(text)))
}

fn part<'a>(part: Part, arguments: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    match arguments {
        [of] => time::part(part, of, None),
        [of, Val::String(zone)] => time::part(part, of, Some(zone)),
        _ => Err(Fault::NO_OVERLOAD),
    }
}
