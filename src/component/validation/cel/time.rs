//! `timestamp` and `duration`: Go's grammar and limits, time zones by name or offset.

use super::fault::Fault;
use super::value::Val;
use crate::base::clock;
use crate::config::duration;
use chrono::{
    DateTime, Datelike, FixedOffset, Local, Offset, SecondsFormat, TimeDelta, TimeZone, Timelike,
    Utc,
};
use std::time::Duration;

/// The type's name.
pub(super) const TIMESTAMP: &str = "google.protobuf.Timestamp";
/// The type's name.
pub(super) const DURATION: &str = "google.protobuf.Duration";

/// Seconds of the first and the last moment that has a text of its own, years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A moment.
pub(super) type Time = DateTime<FixedOffset>;

/// `now`: local time as KrakenD writes it, to the millisecond, without zeros at its end.
pub(super) fn now() -> String {
    local(clock::since_epoch())
}

/// A moment, counted from the epoch, in that way.
pub(super) fn local(since: Duration) -> String {
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    let moment = Utc
        .timestamp_opt(seconds, since.subsec_nanos())
        .single()
        .unwrap_or_default()
        .with_timezone(&Local);
    let mut text = moment.format("%Y-%m-%dT%H:%M:%S").to_string();
    let millis = moment.nanosecond() / 1_000_000 % 1000;
    if millis > 0 {
        let digits = format!("{millis:03}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    let offset = moment.offset().fix().local_minus_utc();
    if offset == 0 {
        text.push('Z');
    } else {
        text.push_str(&moment.format("%:z").to_string());
    }
    text
}

/// `timestamp(string)`.
pub(super) fn parse(text: &str) -> Result<Time, Fault> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| Fault::CONVERSION)?;
    within(time)
}

/// `timestamp(int)`: seconds since the epoch.
pub(super) fn from_seconds(seconds: i64) -> Result<Time, Fault> {
    let time = DateTime::<Utc>::from_timestamp(seconds, 0).ok_or(Fault::OVERFLOW)?;
    within(time.fixed_offset())
}

fn within(time: Time) -> Result<Time, Fault> {
    if SECONDS.contains(&time.timestamp()) {
        Ok(time)
    } else {
        Err(Fault::OVERFLOW)
    }
}

/// `string(timestamp)`.
pub(super) fn text(time: &Time) -> String {
    let text = time
        .with_timezone(&Utc)
        .to_rfc3339_opts(SecondsFormat::Nanos, true);
    match text.split_once('.') {
        Some((seconds, fraction)) => {
            let digits = fraction.trim_end_matches('Z').trim_end_matches('0');
            if digits.is_empty() {
                format!("{seconds}Z")
            } else {
                format!("{seconds}.{digits}Z")
            }
        }
        None => text,
    }
}

/// `duration(string)`.
pub(super) fn parse_span(text: &str) -> Result<i64, Fault> {
    duration::parse(text).map_err(|_| Fault::CONVERSION)
}

/// `string(duration)`: seconds.
pub(super) fn span_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let (seconds, rest) = (size / 1_000_000_000, size % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let digits = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", digits.trim_end_matches('0'))
}

/// A moment later by nanoseconds.
pub(super) fn shifted(time: &Time, nanos: i64) -> Result<Time, Fault> {
    let moved = time
        .checked_add_signed(TimeDelta::nanoseconds(nanos))
        .ok_or(Fault::OVERFLOW)?;
    within(moved)
}

/// Nanoseconds from one moment to another.
pub(super) fn between(later: &Time, earlier: &Time) -> Result<i64, Fault> {
    later
        .signed_duration_since(earlier)
        .num_nanoseconds()
        .ok_or(Fault::OVERFLOW)
}

/// A part of a moment that an accessor gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Year,
    Month,
    YearDay,
    MonthDay,
    Date,
    WeekDay,
    Hours,
    Minutes,
    Seconds,
    Millis,
}

/// An accessor on a moment, in UTC or in a named zone, or on a duration.
pub(super) fn part<'a>(part: Part, of: &Val<'a>, zone: Option<&str>) -> Result<Val<'a>, Fault> {
    match of {
        Val::Time(time) => Ok(Val::Int(of_time(part, &zoned(time, zone)?))),
        Val::Span(nanos) if zone.is_none() => {
            let unit = match part {
                Part::Hours => 3_600_000_000_000,
                Part::Minutes => 60_000_000_000,
                Part::Seconds => 1_000_000_000,
                Part::Millis => 1_000_000,
                _ => return Err(Fault::NO_OVERLOAD),
            };
            Ok(Val::Int(nanos / unit))
        }
        _ => Err(Fault::NO_OVERLOAD),
    }
}

fn of_time(part: Part, time: &Time) -> i64 {
    match part {
        Part::Year => i64::from(time.year()),
        Part::Month => i64::from(time.month0()),
        Part::YearDay => i64::from(time.ordinal0()),
        Part::MonthDay => i64::from(time.day0()),
        Part::Date => i64::from(time.day()),
        Part::WeekDay => i64::from(time.weekday().num_days_from_sunday()),
        Part::Hours => i64::from(time.hour()),
        Part::Minutes => i64::from(time.minute()),
        Part::Seconds => i64::from(time.second()),
        Part::Millis => i64::from(time.timestamp_subsec_millis() % 1000),
    }
}

/// A moment in a zone: `Europe/Rome`, `+02:00`, `-9:30`; UTC without one.
fn zoned(time: &Time, zone: Option<&str>) -> Result<Time, Fault> {
    let Some(zone) = zone.filter(|zone| !zone.is_empty()) else {
        return Ok(time.with_timezone(&Utc).fixed_offset());
    };
    let Some((hours, minutes)) = zone.split_once(':') else {
        let zone: chrono_tz::Tz = zone.parse().map_err(|_| Fault::CONVERSION)?;
        return Ok(time.with_timezone(&zone).fixed_offset());
    };
    let hour: i32 = hours.parse().map_err(|_| Fault::CONVERSION)?;
    let minute: i32 = minutes.parse().map_err(|_| Fault::CONVERSION)?;
    if !(-23..=23).contains(&hour) || !(0..=59).contains(&minute) {
        return Err(Fault::CONVERSION);
    }
    let minute = if hours.starts_with('-') {
        -minute
    } else {
        minute
    };
    let offset = FixedOffset::east_opt(hour * 3600 + minute * 60).ok_or(Fault::CONVERSION)?;
    Ok(time.with_timezone(&offset))
}
