//! Modifiers as they run: a tree of groups and filters with what they do at its leaves. Each knows for which
//! of the two directions it is.

use super::{
    Asked, BodyOp, Cookie, Field, Head as _, HeaderOp, Inbound, Outbound, UrlMatch, UrlOp, fault,
    names,
};
use crate::base::{Dialect, Error};
use crate::gateway::message::{Answer, Request};
use crate::gateway::stage::Go;
use http::{HeaderName, HeaderValue};
use regex::bytes::Regex;

/// One modifier with the directions that its scope leaves it.
#[derive(Debug)]
pub(super) struct Modifier {
    /// Whether it changes requests.
    pub(super) request: bool,
    /// Whether it changes answers.
    pub(super) response: bool,
    pub(super) op: Op,
}

/// What a modifier does.
#[derive(Debug)]
pub(super) enum Op {
    /// `fifo.Group` and `priority.Group`, in running order.
    Group {
        children: Vec<Modifier>,
        /// Goes on after an error, and fails with all of them in the end.
        aggregate: bool,
    },
    /// Every filter.
    Filter {
        condition: Condition,
        then: Box<Modifier>,
        otherwise: Option<Box<Modifier>>,
    },
    Header(HeaderOp),
    /// `header.Id`
    Id(HeaderName),
    Body(BodyOp),
    Cookie(Cookie),
    Url(UrlOp),
    /// `stash.Modifier`
    Stash(HeaderName),
    Status(u16),
    /// `static.Modifier`, by its number.
    Static(usize),
    /// Verifiers: what they would record nobody reads.
    Nothing,
    /// Fails each request, as Go's client does with a field that cannot be sent.
    Broken(String),
}

/// What a filter asks.
#[derive(Debug)]
pub(super) enum Condition {
    /// A field of the message at hand is exactly this.
    Header(Field, HeaderValue),
    /// The first of these fields of the request matches, in both directions.
    HeaderRegex(HeaderName, Regex),
    /// A cookie; any value when it is empty.
    Cookie {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    Url(UrlMatch),
    UrlRegex(Regex),
    Port(i64),
    /// A parameter of the query; any value when it is empty.
    Query {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// A field that cannot exist.
    Never,
}

impl Modifier {
    /// Changes a request from its first to its last modifier.
    pub(super) fn before(&self, request: &mut Request, dialect: Dialect) -> Result<Go, Error> {
        let mut outbound = Outbound::new(request, dialect);
        self.send(&mut outbound)?;
        if !outbound.finish()? {
            return Ok(Go::Next);
        }
        Ok(Go::Answer(Box::new(Answer {
            complete: true,
            status: 200,
            ..Answer::default()
        })))
    }

    fn send(&self, to: &mut Outbound<'_>) -> Result<(), Error> {
        if !self.request {
            return Ok(());
        }
        match &self.op {
            Op::Group {
                children,
                aggregate,
            } => each(children, *aggregate, |child| child.send(to)),
            Op::Filter {
                condition,
                then,
                otherwise,
            } => match (condition.sends(to), otherwise) {
                (true, _) => then.send(to),
                (false, Some(otherwise)) => otherwise.send(to),
                (false, None) => Ok(()),
            },
            Op::Header(op) => op.apply(to),
            Op::Id(name) => {
                to.identify(name);
                Ok(())
            }
            Op::Body(op) => {
                op.send(to);
                Ok(())
            }
            Op::Cookie(cookie) => {
                cookie.send(to);
                Ok(())
            }
            Op::Url(op) => {
                op.apply(to);
                Ok(())
            }
            Op::Stash(name) => to.stash(name),
            Op::Static(_) => {
                to.skip();
                Ok(())
            }
            Op::Status(_) | Op::Nothing => Ok(()),
            Op::Broken(text) => Err(fault(text.clone())),
        }
    }

    /// Changes an answer.
    pub(super) fn answer(&self, from: &mut Inbound<'_>) -> Result<(), Error> {
        if !self.response {
            return Ok(());
        }
        match &self.op {
            Op::Group {
                children,
                aggregate,
            } => each(children, *aggregate, |child| child.answer(from)),
            Op::Filter {
                condition,
                then,
                otherwise,
            } => match (condition.answers(from), otherwise) {
                (true, _) => then.answer(from),
                (false, Some(otherwise)) => otherwise.answer(from),
                (false, None) => Ok(()),
            },
            Op::Header(op) => op.apply(from),
            Op::Body(op) => op.answer(from),
            Op::Cookie(cookie) => {
                cookie.answer(from);
                Ok(())
            }
            Op::Stash(name) => {
                from.unstash(name);
                Ok(())
            }
            Op::Status(status) => {
                from.answer.status = *status;
                Ok(())
            }
            Op::Static(index) => from.serve(*index),
            Op::Id(_) | Op::Url(_) | Op::Nothing | Op::Broken(_) => Ok(()),
        }
    }
}

/// Runs children in order.
fn each(
    children: &[Modifier],
    aggregate: bool,
    mut run: impl FnMut(&Modifier) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut failed: Option<Error> = None;
    for child in children {
        let Err(error) = run(child) else { continue };
        if !aggregate {
            return Err(error);
        }
        failed = Some(match failed {
            None => error,
            Some(before) => fault(format!("{}\n{}", before.text, error.text)),
        });
    }
    failed.map_or(Ok(()), Err)
}

impl Condition {
    fn sends(&self, to: &Outbound<'_>) -> bool {
        match self {
            Self::Header(field, value) => to.any(field, value),
            Self::Cookie { name, value } => {
                names::sent_cookies(&to.request.headers).any(|cookie| cookie.is(name, value))
            }
            other => other.of(to.request),
        }
    }

    fn answers(&self, from: &Inbound<'_>) -> bool {
        match self {
            Self::Header(field, value) => from.any(field, value),
            Self::Cookie { name, value } => {
                names::set_cookies(&from.answer.headers).any(|cookie| cookie.is(name, value))
            }
            other => other.of(from.request),
        }
    }

    /// Those that ask about the request whatever the direction.
    fn of(&self, request: &Request) -> bool {
        match self {
            Self::HeaderRegex(name, regex) => request
                .header(name)
                .is_some_and(|value| !value.is_empty() && regex.is_match(value.as_bytes())),
            Self::Url(wanted) => wanted.is(&request.url),
            Self::UrlRegex(regex) => regex.is_match(request.url.as_bytes()),
            Self::Port(port) => super::url::port(&request.url) == Some(*port),
            Self::Query { name, value } => super::url::has_pair(&request.url, name, value),
            Self::Header(..) | Self::Cookie { .. } | Self::Never => false,
        }
    }
}

/// How a body of the configuration or a file answers a `Range`.
pub(super) fn asked(request: &Request, size: u64, dialect: Dialect) -> Result<Asked, Error> {
    match request.header(&http::header::RANGE) {
        Some(range) if !range.is_empty() => Asked::parse(range.as_bytes(), size, dialect),
        _ => Ok(Asked::Whole),
    }
}
