//! sprig's dates: Go's layouts (`2006-01-02 15:04:05`) on UTC.
//!
//! The only zones are UTC and `Local`, which is UTC here: containers have no other. A named zone is an error
//! and not a silent wrong hour.

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

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

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

/// A moment in UTC, taken apart.
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    weekday: usize,
    year_day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        // Years from March on, in eras of 400 years (Howard Hinnant's algorithm).
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month: u32::try_from(month).unwrap_or(1),
            day: u32::try_from(doy - (153 * mp + 2) / 5 + 1).unwrap_or(1),
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or_default(),
            year_day: days - days_of(year, 1, 1) + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    fn month_name(&self) -> &'static str {
        MONTHS
            .get(self.month as usize - 1)
            .copied()
            .unwrap_or_default()
    }

    fn day_name(&self) -> &'static str {
        DAYS.get(self.weekday).copied().unwrap_or_default()
    }
}

/// Days since 1970 of a date.
fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let month = i64::from(month);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// The pieces of a layout that mean something, longer ones first where they begin alike.
const PIECES: &[&str] = &[
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "PM",
    "pm",
    "_2006",
    "_2",
    "__2",
    "1",
    "2",
    "3",
    "4",
    "5",
];

/// The next piece of a layout: the text before it, the piece, the rest.
fn next_piece(layout: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in layout.char_indices() {
        let (before, rest) = layout.split_at(at);
        if let Some(fraction) = fraction(rest) {
            let (piece, after) = rest.split_at(fraction);
            return Some((before, piece, after));
        }
        let found = PIECES
            .iter()
            .filter(|piece| rest.starts_with(**piece))
            .max_by_key(|p| p.len());
        if let Some(piece) = found {
            // "Jan" inside a word such as "January" is the longer one; in "Janet" it is text.
            let after = rest.get(piece.len()..).unwrap_or_default();
            if *piece == "Jan" && after.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue;
            }
            if *piece == "_2006" {
                return Some((layout.get(..=at).unwrap_or_default(), "2006", after));
            }
            return Some((before, piece, after));
        }
    }
    None
}

/// Length of `.000`, `,000`, `.999` and the like.
fn fraction(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    if !matches!(bytes.first(), Some(b'.' | b',')) {
        return None;
    }
    let digit = *bytes.get(1).filter(|b| matches!(b, b'0' | b'9'))?;
    let length = bytes.iter().skip(1).take_while(|&&b| b == digit).count() + 1;
    let after = bytes.get(length).is_some_and(u8::is_ascii_digit);
    (!after).then_some(length)
}

/// Go's `Time.Format` in UTC.
pub(crate) fn format(mut layout: &str, seconds: i64, nanos: u32) -> String {
    let civil = Civil::of(seconds);
    let mut out = String::new();
    while let Some((before, piece, after)) = next_piece(layout) {
        out.push_str(before);
        layout = after;
        let twelve = match civil.hour % 12 {
            0 => 12,
            hour => hour,
        };
        out.push_str(&match piece {
            "January" => civil.month_name().to_owned(),
            "Jan" => civil.month_name().chars().take(3).collect(),
            "Monday" => civil.day_name().to_owned(),
            "Mon" => civil.day_name().chars().take(3).collect(),
            "MST" => "UTC".to_owned(),
            "2006" => format!("{:04}", civil.year),
            "06" => format!("{:02}", civil.year.rem_euclid(100)),
            "01" => format!("{:02}", civil.month),
            "1" => civil.month.to_string(),
            "02" => format!("{:02}", civil.day),
            "2" => civil.day.to_string(),
            "_2" => format!("{:2}", civil.day),
            "002" => format!("{:03}", civil.year_day),
            "__2" => format!("{:3}", civil.year_day),
            "15" => format!("{:02}", civil.hour),
            "03" => format!("{twelve:02}"),
            "3" => twelve.to_string(),
            "04" => format!("{:02}", civil.minute),
            "4" => civil.minute.to_string(),
            "05" => format!("{:02}", civil.second),
            "5" => civil.second.to_string(),
            "PM" => (if civil.hour < 12 { "AM" } else { "PM" }).to_owned(),
            "pm" => (if civil.hour < 12 { "am" } else { "pm" }).to_owned(),
            "-07:00:00" => "+00:00:00".to_owned(),
            "-070000" => "+000000".to_owned(),
            "-07:00" => "+00:00".to_owned(),
            "-0700" => "+0000".to_owned(),
            "-07" => "+00".to_owned(),
            zone if zone.starts_with('Z') => "Z".to_owned(),
            fraction => {
                let digits = format!("{nanos:09}");
                let digits = digits
                    .get(..(fraction.len() - 1).min(9))
                    .unwrap_or_default();
                if fraction.ends_with('9') {
                    match digits.trim_end_matches('0') {
                        "" => String::new(),
                        kept => format!("{}{kept}", fraction.get(..1).unwrap_or_default()),
                    }
                } else {
                    format!("{}{digits}", fraction.get(..1).unwrap_or_default())
                }
            }
        });
    }
    out.push_str(layout);
    out
}

/// As `%v` prints it.
pub(crate) fn shown(seconds: i64, nanos: u32) -> String {
    format("2006-01-02 15:04:05.999999999 -0700 MST", seconds, nanos)
}

/// As JSON encodes it.
pub(crate) fn rfc3339(seconds: i64, nanos: u32) -> String {
    format("2006-01-02T15:04:05.999999999Z07:00", seconds, nanos)
}

/// Go's `time.Parse` in UTC.
fn parse(mut layout: &str, text: &str) -> Option<(i64, u32)> {
    let mut rest = text;
    let (mut year, mut month, mut day) = (0_i64, 1_u32, 1_u32);
    let (mut hour, mut minute, mut second, mut nanos) = (0_i64, 0_i64, 0_i64, 0_u32);
    let (mut afternoon, mut offset, mut year_day) = (None, 0_i64, None);
    while let Some((before, piece, after)) = next_piece(layout) {
        rest = rest.strip_prefix(before)?;
        layout = after;
        let mut number = |least: usize, most: usize| -> Option<i64> {
            let digits = rest
                .bytes()
                .take(most)
                .take_while(u8::is_ascii_digit)
                .count();
            let (digits, left) = rest
                .split_at_checked(digits)
                .filter(|(d, _)| d.len() >= least)?;
            rest = left;
            digits.parse().ok()
        };
        match piece {
            "2006" => year = number(4, 4)?,
            "06" => {
                let short = number(2, 2)?;
                year = if short >= 69 {
                    1900 + short
                } else {
                    2000 + short
                };
            }
            "01" => month = u32::try_from(number(2, 2)?).ok()?,
            "1" => month = u32::try_from(number(1, 2)?).ok()?,
            "02" => day = u32::try_from(number(2, 2)?).ok()?,
            "2" => day = u32::try_from(number(1, 2)?).ok()?,
            "_2" => {
                rest = rest.strip_prefix(' ').unwrap_or(rest);
                let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
                let (digits, left) = rest.split_at_checked(digits)?;
                (day, rest) = (digits.parse().ok()?, left);
            }
            "002" => year_day = Some(number(3, 3)?),
            "15" => hour = number(2, 2)?,
            "03" => hour = number(2, 2)?,
            "3" => hour = number(1, 2)?,
            "04" => minute = number(2, 2)?,
            "4" => minute = number(1, 2)?,
            "05" | "5" => {
                second = number(if piece == "05" { 2 } else { 1 }, 2)?;
                // A fraction is read even where the layout has none.
                if fraction(layout).is_none()
                    && let Some(after) = rest.strip_prefix(['.', ','])
                {
                    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                    let (digits, left) = after
                        .split_at_checked(digits)
                        .filter(|(d, _)| !d.is_empty())?;
                    nanos = format!("{digits:0<9}").get(..9)?.parse().ok()?;
                    rest = left;
                }
            }
            "January" | "Jan" | "Monday" | "Mon" => {
                let names: &[&str] = if piece.starts_with('J') {
                    &MONTHS
                } else {
                    &DAYS
                };
                let short = piece.len() == 3;
                let found = names.iter().position(|name| {
                    let name = if short {
                        name.get(..3).unwrap_or(name)
                    } else {
                        name
                    };
                    rest.get(..name.len())
                        .is_some_and(|begin| begin.eq_ignore_ascii_case(name))
                })?;
                let length = if short { 3 } else { names.get(found)?.len() };
                rest = rest.get(length..)?;
                if piece.starts_with('J') {
                    month = u32::try_from(found).ok()? + 1;
                }
            }
            "PM" | "pm" => {
                let mark = rest.get(..2)?;
                afternoon = Some(match mark.to_ascii_uppercase().as_str() {
                    "PM" => true,
                    "AM" => false,
                    _ => return None,
                });
                rest = rest.get(2..)?;
            }
            "MST" => {
                let length = rest
                    .bytes()
                    .take(5)
                    .take_while(u8::is_ascii_uppercase)
                    .count();
                if length < 3 {
                    return None;
                }
                rest = rest.get(length..)?;
            }
            zone if zone.starts_with(['-', 'Z']) => {
                if zone.starts_with('Z') && rest.starts_with('Z') {
                    rest = rest.get(1..)?;
                } else {
                    let sign = match rest.chars().next()? {
                        '+' => 1,
                        '-' => -1,
                        _ => return None,
                    };
                    let (mark, left) = rest.split_at_checked(zone.len())?;
                    let digits: String = mark.chars().filter(char::is_ascii_digit).collect();
                    let hours: i64 = digits.get(..2)?.parse().ok()?;
                    let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
                    offset = sign * (hours * 3600 + minutes * 60);
                    rest = left;
                }
            }
            piece if piece.starts_with(['.', ',']) => {
                let Some(after) = rest.strip_prefix(['.', ',']) else {
                    if piece.ends_with('9') {
                        continue;
                    }
                    return None;
                };
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, left) = after.split_at_checked(digits)?;
                nanos = format!("{digits:0<9}").get(..9)?.parse().ok()?;
                rest = left;
            }
            _ => return None,
        }
    }
    if rest != layout {
        return None;
    }
    if let Some(late) = afternoon {
        hour = hour % 12 + if late { 12 } else { 0 };
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    if !(1..=12).contains(&month)
        || day == 0
        || day > longest
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let days = match year_day {
        Some(number) => days_of(year, 1, 1) + number - 1,
        None => days_of(year, month, day),
    };
    Some((
        days * 86_400 + hour * 3600 + minute * 60 + second - offset,
        nanos,
    ))
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
