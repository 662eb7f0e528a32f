//! The dates of feeds, in the forms that occur: RFC 822 and 1123 with all their variations, RFC 3339, and
//! `asctime`. gofeed tries about a hundred fixed layouts; this reads the words of a date one by one.
//! Names of zones other than UTC, EST, MST and HST count as UTC, as they do for Go without that zone's data.

/// A moment as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since 1970 of the clock that was read, without its offset.
    local: i64,
    nanos: u32,
    /// Seconds east of UTC.
    offset: i64,
}

impl Moment {
    /// The same moment in UTC.
    pub(super) fn utc(self) -> Self {
        Self {
            local: self.local - self.offset,
            nanos: self.nanos,
            offset: 0,
        }
    }

    /// As Go prints a time in JSON: RFC 3339 with as many digits of the second as needed.
    pub(super) fn rfc3339(self) -> String {
        let (days, seconds) = (self.local.div_euclid(86_400), self.local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            text.push('.');
            text.push_str(digits.trim_end_matches('0'));
        }
        if self.offset == 0 {
            text.push('Z');
        } else {
            let minutes = self.offset.abs() / 60;
            let sign = if self.offset < 0 { '-' } else { '+' };
            text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
        }
        text
    }
}

/// The moment that a text names, if it is a date.
pub(super) fn parse(text: &str) -> Option<Moment> {
    let text = text.trim();
    if text.len() > 100 || !text.is_ascii() {
        return None;
    }
    iso(text).or_else(|| iso_date(text)).or_else(|| words(text))
}

/// `2006-01-02`, midnight UTC.
pub(super) fn iso_date(text: &str) -> Option<Moment> {
    let mut parts = text.split('-');
    let (year, month, day) = (
        digits(parts.next()?, 4)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    if parts.next().is_some() {
        return None;
    }
    Some(Moment {
        local: days(year, month, day)? * 86_400,
        nanos: 0,
        offset: 0,
    })
}

/// `2006-01-02T15:04:05.999Z` and its relatives; after a space instead of the `T` the zone may be missing.
pub(super) fn iso(text: &str) -> Option<Moment> {
    let date = iso_date(text.get(..10)?)?;
    let rest = text.get(10..)?;
    let spaced = rest.starts_with(' ');
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(rest.len());
    let (seconds, nanos) = clock(rest.get(..end)?)?;
    let zone = rest.get(end..)?.trim();
    let offset = match zone {
        "" if spaced => 0,
        "Z" | "z" => 0,
        zone => numeric_zone(zone)?,
    };
    Some(Moment {
        local: date.local + seconds,
        nanos,
        offset,
    })
}

/// A date in words: `Mon, 02 Jan 2006 15:04:05 -0700`, `Jan 2 15:04:05 2006` and so on.
fn words(text: &str) -> Option<Moment> {
    let (mut day, mut month, mut year, mut time, mut offset) = (None, None, None, None, None);
    let mut afternoon = None;
    for word in text
        .split([' ', ',', '\t', '\n'])
        .filter(|word| !word.is_empty())
    {
        let byte = word.bytes().next()?;
        if word.contains(':') && byte.is_ascii_digit() {
            time = Some(clock(word)?);
        } else if matches!(byte, b'+' | b'-') {
            offset = Some(numeric_zone(word)?);
        } else if byte.is_ascii_digit() {
            let number: i64 = word
                .trim_end_matches(|c: char| c.is_ascii_alphabetic())
                .parse()
                .ok()?;
            match (word.len(), day) {
                (..=2, None) => day = Some(number),
                (4, _) => year = Some(number),
                (2, Some(_)) if year.is_none() => {
                    year = Some(if number >= 69 {
                        1900 + number
                    } else {
                        2000 + number
                    })
                }
                _ => return None,
            }
        } else if matches!(word, "AM" | "am" | "PM" | "pm") {
            afternoon = Some(byte.eq_ignore_ascii_case(&b'p'));
        } else if let (None, Some(number)) = (month, month_of(word)) {
            month = Some(number);
        } else if !is_weekday(word) && offset.is_none() {
            offset = Some(named_zone(word)?);
        }
    }
    let (mut seconds, nanos) = time.unwrap_or((0, 0));
    if let Some(afternoon) = afternoon {
        seconds = seconds % 43_200 + if afternoon { 43_200 } else { 0 };
    }
    Some(Moment {
        local: days(year?, month?, day?)? * 86_400 + seconds,
        nanos,
        offset: offset.unwrap_or(0),
    })
}

/// Seconds of the day and nanoseconds of `15:04`, `15:04:05` or `15:04:05.999`.
fn clock(text: &str) -> Option<(i64, u32)> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = text.split(':');
    let mut next = |most: i64| -> Option<Option<i64>> {
        let Some(part) = parts.next() else {
            return Some(None);
        };
        let number: i64 = part
            .parse()
            .ok()
            .filter(|_| part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()))?;
        (number <= most).then_some(Some(number))
    };
    let (hour, minute, second) = (next(23)??, next(59)??, next(60)?.unwrap_or(0));
    if parts.next().is_some() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction))
        .parse()
        .ok()?;
    Some((hour * 3600 + minute * 60 + second, nanos))
}

/// `+0100`, `-05:00`, `+01`.
fn numeric_zone(word: &str) -> Option<i64> {
    let sign = match word.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let number = word.get(1..)?.replace(':', "");
    let value: i64 = number
        .parse()
        .ok()
        .filter(|_| number.bytes().all(|b| b.is_ascii_digit()))?;
    let (hours, minutes) = match number.len() {
        1 | 2 => (value, 0),
        3 | 4 => (value / 100, value % 100),
        _ => return None,
    };
    (hours <= 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn named_zone(word: &str) -> Option<i64> {
    let word = word.trim_matches(['(', ')']);
    match word {
        "EST" => Some(-5 * 3600),
        "MST" => Some(-7 * 3600),
        "HST" => Some(-10 * 3600),
        _ => (word.len() <= 5 && word.bytes().all(|b| b.is_ascii_alphabetic())).then_some(0),
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

fn month_of(word: &str) -> Option<i64> {
    let at = MONTHS.iter().position(|name| abbreviates(word, name))?;
    i64::try_from(at + 1).ok()
}

fn is_weekday(word: &str) -> bool {
    WEEKDAYS.iter().any(|name| abbreviates(word, name))
}

fn abbreviates(word: &str, name: &str) -> bool {
    let word = word.trim_end_matches('.');
    word.len() >= 3
        && name
            .get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
}

fn digits(text: &str, length: usize) -> Option<i64> {
    text.parse()
        .ok()
        .filter(|_| text.len() == length && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Days since 1970 of a date of the Gregorian calendar; `None` when there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day at their end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468)
}

/// The date of a day since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    (era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<String> {
        parse(text).map(|moment| moment.utc().rfc3339())
    }

    #[test]
    fn reads_the_dates_of_feeds() {
        for (text, expected) in [
            ("Mon, 02 Jan 2023 10:00:00 +0000", "2023-01-02T10:00:00Z"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02T22:04:05Z"),
            ("Mon, 2 Jan 2006 15:04:05 GMT", "2006-01-02T15:04:05Z"),
            ("02 Jan 06 15:04 EST", "2006-01-02T20:04:00Z"),
            ("Monday, January 2, 2006 03:04 PM", "2006-01-02T15:04:00Z"),
            ("Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"),
            ("2003-12-13T18:30:02.25+01:00", "2003-12-13T17:30:02.25Z"),
            ("2003-12-13T18:30:02Z", "2003-12-13T18:30:02Z"),
            ("2003-12-13", "2003-12-13T00:00:00Z"),
            ("2004-02-29 00:00:01", "2004-02-29T00:00:01Z"),
            ("29 Feb 2000 23:59:59 +0000", "2000-02-29T23:59:59Z"),
        ] {
            assert_eq!(utc(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "soon",
            "2023-02-30",
            "Mon, 32 Jan 2023 10:00:00 GMT",
            "99",
            "é",
            "+",
            "1:2:3:4",
            "2023-01-01T",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
    }

    #[test]
    fn keeps_the_offset_unless_asked_for_utc() {
        assert_eq!(
            parse("2010-02-07T14:04:00-05:00").unwrap().rfc3339(),
            "2010-02-07T14:04:00-05:00"
        );
    }

    #[test]
    fn days_and_dates_are_inverse() {
        for day in (-800_000..800_000).step_by(37) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
    }
}
