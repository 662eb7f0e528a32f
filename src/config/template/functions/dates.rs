//! sprig's dates: Go's layouts (`2006-01-02 15:04:05`) on UTC.
//!
//! The only zones are UTC and `Local`, which is UTC here: containers have no other. A named zone is an error
//! and not a silent wrong hour.

use super::layout::{format, parse};
use super::{Entry, Failure, Given, Host, any, give, text};
use crate::config::template::value::Value;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "now",
        params: "",
        call: |host, _| Ok(Value::Time(host.world.now.0, host.world.now.1)),
    },
    Entry {
        name: "date",
        params: "SA",
        call: |host, a| in_zone(host, text(a, 0), any(a, 1), "Local"),
    },
    Entry {
        name: "dateInZone",
        params: "SAS",
        call: |host, a| in_zone(host, text(a, 0), any(a, 1), text(a, 2)),
    },
    Entry {
        name: "date_in_zone",
        params: "SAS",
        call: |host, a| in_zone(host, text(a, 0), any(a, 1), text(a, 2)),
    },
    Entry {
        name: "htmlDate",
        params: "A",
        call: |host, a| in_zone(host, "2006-01-02", any(a, 0), "Local"),
    },
    Entry {
        name: "htmlDateInZone",
        params: "AS",
        call: |host, a| in_zone(host, "2006-01-02", any(a, 0), text(a, 1)),
    },
    Entry {
        name: "dateModify",
        params: "ST",
        call: modify,
    },
    Entry {
        name: "date_modify",
        params: "ST",
        call: modify,
    },
    Entry {
        name: "mustDateModify",
        params: "ST",
        call: must_modify,
    },
    Entry {
        name: "must_date_modify",
        params: "ST",
        call: must_modify,
    },
    Entry {
        name: "ago",
        params: "A",
        call: ago,
    },
    Entry {
        name: "duration",
        params: "A",
        call: duration,
    },
    Entry {
        name: "durationRound",
        params: "A",
        call: duration_round,
    },
    Entry {
        name: "toDate",
        params: "SS",
        call: |_, a| {
            Ok(parse(text(a, 0), text(a, 1))
                .map_or(Value::Time(ZERO, 0), |(s, n)| Value::Time(s, n)))
        },
    },
    Entry {
        name: "mustToDate",
        params: "SS",
        call: must_to_date,
    },
    Entry {
        name: "unixEpoch",
        params: "T",
        call: |_, a| give(stamp(any(a, 0)).0.to_string()),
    },
];

/// Go's zero time: the first of January of the year 1.
const ZERO: i64 = -62_135_596_800;

fn stamp(value: &Value) -> (i64, u32) {
    match value {
        Value::Time(seconds, nanos) => (*seconds, *nanos),
        _ => (0, 0),
    }
}

fn in_zone(host: &mut Host<'_>, layout: &str, date: &Value, zone: &str) -> Given {
    if !matches!(zone, "" | "UTC" | "Local" | "Etc/UTC" | "GMT") {
        let failure = Failure::from(format!("time zone {zone:?} is not known here"));
        return Err(failure.hint("the only zone is UTC"));
    }
    let (seconds, nanos) = match date {
        Value::Time(seconds, nanos) => (*seconds, *nanos),
        Value::Int(seconds, _) => (*seconds, 0),
        _ => host.world.now,
    };
    give(format(layout, seconds, nanos))
}

/// As `%v` prints it.
pub(crate) fn shown(seconds: i64, nanos: u32) -> String {
    format("2006-01-02 15:04:05.999999999 -0700 MST", seconds, nanos)
}

/// As JSON encodes it.
pub(crate) fn rfc3339(seconds: i64, nanos: u32) -> String {
    format("2006-01-02T15:04:05.999999999Z07:00", seconds, nanos)
}

fn must_to_date(_: &mut Host<'_>, args: &[Value]) -> Given {
    let (layout, text) = (text(args, 0), text(args, 1));
    match parse(layout, text) {
        Some((seconds, nanos)) => Ok(Value::Time(seconds, nanos)),
        None => Err(
            Failure::from(format!("parsing time {text:?} as {layout:?}: cannot parse"))
                .hint("a layout is written with Go's moment: 2006-01-02 15:04:05"),
        ),
    }
}

fn moved(args: &[Value]) -> Option<Value> {
    let nanos = crate::config::duration::parse(text(args, 0)).ok()?;
    let (seconds, rest) = stamp(any(args, 1));
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(rest) + i128::from(nanos);
    Some(Value::Time(
        i64::try_from(total.div_euclid(1_000_000_000)).ok()?,
        u32::try_from(total.rem_euclid(1_000_000_000)).ok()?,
    ))
}

fn modify(_: &mut Host<'_>, args: &[Value]) -> Given {
    Ok(moved(args).unwrap_or_else(|| any(args, 1).clone()))
}

fn must_modify(_: &mut Host<'_>, args: &[Value]) -> Given {
    moved(args).ok_or_else(|| format!("time: invalid duration {:?}", text(args, 0)).into())
}

fn ago(host: &mut Host<'_>, args: &[Value]) -> Given {
    let now = host.world.now;
    let (seconds, nanos) = match any(args, 0) {
        Value::Time(seconds, nanos) => (*seconds, *nanos),
        Value::Int(seconds, _) => (*seconds, 0),
        _ => now,
    };
    // Rounded to seconds, half away from zero.
    let apart = (now.0 - seconds) as f64 + (f64::from(now.1) - f64::from(nanos)) / 1e9;
    give(in_words(apart.round() as i64))
}

/// Go's `Duration.String` of whole seconds.
fn in_words(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let size = seconds.unsigned_abs();
    let (hours, minutes, rest) = (size / 3600, size / 60 % 60, size % 60);
    if hours > 0 {
        format!("{sign}{hours}h{minutes}m{rest}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m{rest}s")
    } else {
        format!("{sign}{rest}s")
    }
}

fn duration(_: &mut Host<'_>, args: &[Value]) -> Given {
    use crate::config::template::value::Width;
    let seconds = match any(args, 0) {
        Value::Text(text, _) => text.parse().unwrap_or(0),
        Value::Int(number, Width::Int64) => *number,
        // As sprig: an `int` or a float is 0.
        _ => 0,
    };
    give(in_words(seconds))
}

fn duration_round(host: &mut Host<'_>, args: &[Value]) -> Given {
    use crate::config::template::value::Width;
    let nanos: i128 = match any(args, 0) {
        Value::Text(text, _) => crate::config::duration::parse(text).map_or(0, i128::from),
        Value::Int(number, Width::Int64) => i128::from(*number),
        Value::Time(seconds, rest) => {
            let now = host.world.now;
            (i128::from(now.0) - i128::from(*seconds)) * 1_000_000_000 + i128::from(now.1)
                - i128::from(*rest)
        }
        _ => 0,
    };
    let size = nanos.unsigned_abs();
    let second = 1_000_000_000_u128;
    let units = [
        (second * 3600 * 24 * 365, "y"),
        (second * 3600 * 24 * 30, "mo"),
        (second * 3600 * 24, "d"),
        (second * 3600, "h"),
        (second * 60, "m"),
        (second, "s"),
    ];
    let found = units.iter().find(|(unit, _)| size > *unit);
    give(found.map_or_else(
        || "0s".to_owned(),
        |(unit, letter)| format!("{}{letter}", size / unit),
    ))
}
