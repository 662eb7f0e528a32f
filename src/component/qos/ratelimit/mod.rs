//! `qos/ratelimit/*`: settings that several of them share.
//!
//! Differs from KrakenD (native): a limit that cannot be understood refuses the file; KrakenD drops it. Each limit is
//! exact ([`crate::traffic::limit::rate`]), refuses with 429 and a time to come back, and says on every answer how
//! it stands. A client is an IPv6 network of 64 bits and not one of its addresses, of which each
//! client has more than anybody could count.

pub mod proxy;
pub mod router;
pub mod service;
pub mod tiered;

mod limiter;
mod redis;
mod who;

use crate::base::{Code, Dialect};
use crate::config::settings::Settings;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Tells that CE does not read a component.
fn enterprise_only(settings: &mut Settings<'_>, name: &str) {
    let message = format!("{name} belongs to KrakenD's Enterprise edition");
    let hint = "it does nothing in this dialect; the native one serves it";
    settings.warn_hint("", Code::EnterpriseOnly, message, hint);
}

/// Settings of these components count together or not at all.
fn whole<T>(
    settings: &mut Settings<'_>,
    dialect: Dialect,
    read: impl FnOnce(&mut Settings<'_>) -> T,
) -> Option<T> {
    crate::component::whole(settings, dialect, "limit", read)
}

/// A rate: how many in `every`; 0 for no limit.
fn rate(s: &mut Settings<'_>, key: &str) -> f64 {
    let rate = s.float(key).unwrap_or(0.0);
    if !(0.0..=1e9).contains(&rate) {
        let message = format!("{key} is {rate}");
        let hint = "write a number above zero, or 0 for no limit";
        s.error_hint(key, Code::OutOfRange, message, hint);
    }
    rate
}

/// Native: a limit without a rate limits nobody, which whoever wrote it does not know. A rate of 0 is meant.
fn without_rate(s: &mut Settings<'_>, rates: &[(&str, &str)]) {
    for (rate, capacity) in rates {
        if s.has(capacity) && !s.has(rate) {
            let message = format!("{capacity} without {rate} limits nobody");
            let hint = format!("add \"{rate}\"");
            s.error_hint(capacity, Code::MissingKey, message, hint);
        }
    }
    let named = |(rate, capacity): &(&str, &str)| s.has(rate) || s.has(capacity);
    if !rates.iter().any(named) {
        let names: Vec<&str> = rates.iter().map(|(rate, _)| *rate).collect();
        let message = "this limit has no rate and limits nobody";
        let hint = format!("add \"{}\"", names.join("\" or \""));
        s.error_hint("", Code::MissingKey, message, hint);
    }
    if s.has("strategy") && !s.has("client_max_rate") {
        let message = "strategy without client_max_rate: clients are not told from one another";
        let hint = "add \"client_max_rate\", or leave strategy out";
        s.warn_hint("strategy", Code::BadValue, message, hint);
    }
}

/// `every`: what is no time or too short is a second.
fn every(s: &mut Settings<'_>, dialect: Dialect, least: Duration) -> Duration {
    let Some(value) = s.value("every") else {
        return SECOND;
    };
    if dialect == Dialect::Krakend {
        let text = value.as_str().unwrap_or_default();
        let nanos = crate::config::duration::parse(text).unwrap_or(0);
        let span = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        if span >= least && !span.is_zero() {
            return span;
        }
    } else {
        match s.duration("every") {
            Some(span) if span >= least && !span.is_zero() => return span,
            // Told already.
            None => return SECOND,
            Some(_) => {}
        }
    }
    let message = "every is shorter than a second, or no time, and counts as 1s";
    s.warn("every", Code::OutOfRange, message);
    SECOND
}

/// The size of a bucket where the file names none: the rate of a second, at least one.
fn capacity(s: &mut Settings<'_>, key: &str, default: f64) -> u64 {
    let written = s.unsigned(key).unwrap_or(0);
    if written > 0 {
        return written;
    }
    // A conversion of floats saturates.
    (default as u64).max(1)
}
