//! `cookie.Modifier`: a cookie of the configuration, written as Go's `net/http` writes one.

use super::{Inbound, Outbound};
use crate::base::field::is_token;
use http::HeaderValue;
use http::header::{COOKIE, SET_COOKIE};
use std::net::Ipv4Addr;

/// A cookie in both of its written forms.
#[derive(Debug)]
pub(super) struct Cookie {
    /// `name=value`, for requests.
    pair: Vec<u8>,
    /// The whole line, for answers.
    line: HeaderValue,
}

/// A cookie as configured.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) path: String,
    pub(super) domain: String,
    /// Already as a date of HTTP.
    pub(super) expires: Option<String>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) max_age: i64,
}

impl Cookie {
    pub(super) fn new(cookie: &Written) -> Self {
        let value = value(&cookie.value);
        let name = cookie.name.replace(['\r', '\n'], "-");
        Self {
            pair: format!("{name}={value}").into_bytes(),
            line: HeaderValue::from_str(&line(cookie, &value))
                .unwrap_or(HeaderValue::from_static("")),
        }
    }

    pub(super) fn send(&self, to: &mut Outbound<'_>) {
        let before = to.request.header(&COOKIE).filter(|own| !own.is_empty());
        let all = match before {
            Some(before) => [before.as_bytes(), b"; ", &self.pair].concat(),
            None => self.pair.clone(),
        };
        if let Ok(value) = HeaderValue::from_bytes(&all) {
            to.put(&COOKIE, value);
        }
    }

    pub(super) fn answer(&self, from: &mut Inbound<'_>) {
        from.answer.headers.append(SET_COOKIE, self.line.clone());
    }
}

/// The line of `Set-Cookie`; empty for a name that is none.
fn line(cookie: &Written, value: &str) -> String {
    if !is_name(&cookie.name) {
        return String::new();
    }
    let mut line = format!("{}={value}", cookie.name);
    if !cookie.path.is_empty() {
        line.push_str("; Path=");
        line.extend(cookie.path.chars().filter(|c| printable(*c) && *c != ';'));
    }
    if is_domain(&cookie.domain) {
        line.push_str("; Domain=");
        line.push_str(cookie.domain.strip_prefix('.').unwrap_or(&cookie.domain));
    }
    if let Some(expires) = &cookie.expires {
        line.push_str("; Expires=");
        line.push_str(expires);
    }
    match cookie.max_age {
        0 => {}
        age if age > 0 => line.push_str(&format!("; Max-Age={age}")),
        _ => line.push_str("; Max-Age=0"),
    }
    if cookie.http_only {
        line.push_str("; HttpOnly");
    }
    if cookie.secure {
        line.push_str("; Secure");
    }
    line
}

/// Whether a cookie can have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token)
}

fn printable(c: char) -> bool {
    (' '..='~').contains(&c)
}

/// A value without what may not stand in one, in quotes when it holds a blank or a comma.
fn value(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter(|c| printable(*c) && !matches!(c, '"' | ';' | '\\'))
        .collect();
    if kept.contains([' ', ',']) {
        format!("\"{kept}\"")
    } else {
        kept
    }
}

fn is_domain(text: &str) -> bool {
    is_domain_name(text) || text.parse::<Ipv4Addr>().is_ok()
}

/// Labels of letters, digits and inner hyphens, with a letter somewhere.
fn is_domain_name(text: &str) -> bool {
    if text.is_empty() || text.len() > 255 {
        return false;
    }
    let name = text.strip_prefix('.').unwrap_or(text);
    // A dot at the end is fine, as it is for Go.
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label) && name.bytes().any(|b| b.is_ascii_alphabetic())
}

/// An RFC 3339 time as a date of HTTP; `None` when it is none. The inner `None` stands for a year that no
/// cookie may have.
#[expect(
    clippy::option_option,
    reason = "no time and no usable time are different"
)]
pub(super) fn http_date(text: &str) -> Option<Option<String>> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let all = digits.bytes().all(|b| b.is_ascii_digit());
        all.then(|| digits.parse().ok())?
    };
    let sign = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    if !(sign(4, b'-') && sign(7, b'-') && sign(10, b'T') && sign(13, b':') && sign(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let rest = text.get(19..)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit())?;
            fraction.get(end..).filter(|_| end > 0)?
        }
        None => rest,
    };
    let offset = offset(rest)?;
    if !(1..=12).contains(&month) || day < 1 || day > length(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let local = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((year >= 1601).then(|| date(local - offset)))
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number = |text: &str, most: i64| -> Option<i64> {
        let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        let number = plain.then(|| text.parse().ok())??;
        (number <= most).then_some(number)
    };
    Some(sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

fn length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `Mon, 02 Jan 2006 15:04:05 GMT` for seconds since 1970.
fn date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (number, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = number + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = year + era * 400 + i64::from(month < 2);
    let word = |words: &[&'static str], at: i64| -> &'static str {
        let at = usize::try_from(at).unwrap_or_default();
        words.get(at).copied().unwrap_or_default()
    };
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        word(&DAYS, number.rem_euclid(7)),
        word(&MONTHS, month),
        clock / 3600,
        clock / 60 % 60,
        clock % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_writes_them() {
        for (text, written) in [
            ("2026-11-22T10:20:32Z", "Sun, 22 Nov 2026 10:20:32 GMT"),
            ("2024-02-29T23:30:00-01:00", "Fri, 01 Mar 2024 00:30:00 GMT"),
            ("1970-01-01T00:00:00.5Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("1601-01-01T00:00:00Z", "Mon, 01 Jan 1601 00:00:00 GMT"),
            ("2000-12-31T23:59:59+05:30", "Sun, 31 Dec 2000 18:29:59 GMT"),
        ] {
            assert_eq!(http_date(text), Some(Some(written.to_owned())), "{text}");
        }
        assert_eq!(http_date("1600-12-31T00:00:00Z"), Some(None));
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22 10:20:32Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "é026-01-01T00:00:00Z",
        ] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn lines_are_gos() {
        let cookie = |name: &str, value: &str| Written {
            name: name.to_owned(),
            value: value.to_owned(),
            ..Written::default()
        };
        let full = Written {
            path: "/a;b".into(),
            domain: ".example.com".into(),
            expires: Some("E".into()),
            secure: true,
            http_only: true,
            max_age: 3,
            ..cookie("a", "b")
        };
        for (cookie, wanted) in [
            (cookie("a", "b"), "a=b"),
            (cookie("a", "b c"), "a=\"b c\""),
            (cookie("a", "b\"c;d\\e\u{e9}"), "a=bcde"),
            (cookie("a", "x,y"), "a=\"x,y\""),
            (cookie("a b", "x"), ""),
            (
                full,
                "a=b; Path=/ab; Domain=example.com; Expires=E; Max-Age=3; HttpOnly; Secure",
            ),
            (
                Written {
                    max_age: -1,
                    domain: "bad_domain.com".into(),
                    ..cookie("a", "")
                },
                "a=; Max-Age=0",
            ),
            (
                Written {
                    domain: "127.0.0.1".into(),
                    ..cookie("a", "")
                },
                "a=; Domain=127.0.0.1",
            ),
        ] {
            assert_eq!(line(&cookie, &value(&cookie.value)), wanted);
        }
    }
}
