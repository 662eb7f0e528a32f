//! Go's layouts: a moment written by example, `2006-01-02 15:04:05`; in UTC.

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
pub(super) fn format(mut layout: &str, seconds: i64, nanos: u32) -> String {
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

/// Go's `time.Parse` in UTC.
pub(super) fn parse(mut layout: &str, text: &str) -> Option<(i64, u32)> {
    let mut reader = Reader {
        rest: text,
        year: 0,
        month: 1,
        day: 1,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        afternoon: None,
        offset: 0,
    };
    while let Some((before, piece, after)) = next_piece(layout) {
        reader.rest = reader.rest.strip_prefix(before)?;
        layout = after;
        reader.piece(piece, layout)?;
    }
    (reader.rest == layout).then(|| reader.moment())?
}

/// A text on its way to a moment.
struct Reader<'t> {
    rest: &'t str,
    year: i64,
    month: u32,
    day: u32,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    afternoon: Option<bool>,
    /// Seconds east of UTC.
    offset: i64,
}

impl Reader<'_> {
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.rest.bytes().take(most);
        let digits = digits.take_while(u8::is_ascii_digit).count();
        let (digits, left) = self.rest.split_at_checked(digits)?;
        self.rest = left;
        digits.parse().ok().filter(|_| digits.len() >= least)
    }

    fn small(&mut self, least: usize) -> Option<u32> {
        self.number(least, 2).and_then(|n| u32::try_from(n).ok())
    }

    fn piece(&mut self, piece: &str, layout: &str) -> Option<()> {
        match piece {
            "2006" => self.year = self.number(4, 4)?,
            "06" => {
                let short = self.number(2, 2)?;
                self.year = if short >= 69 {
                    1900 + short
                } else {
                    2000 + short
                };
            }
            "01" => self.month = self.small(2)?,
            "1" => self.month = self.small(1)?,
            "02" => self.day = self.small(2)?,
            "2" => self.day = self.small(1)?,
            "_2" => {
                self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                self.day = self.small(1)?;
            }
            "002" => self.year_day = Some(self.number(3, 3)?),
            "15" | "03" => self.hour = self.number(2, 2)?,
            "3" => self.hour = self.number(1, 2)?,
            "04" => self.minute = self.number(2, 2)?,
            "4" => self.minute = self.number(1, 2)?,
            "05" | "5" => {
                self.second = self.number(piece.len(), 2)?;
                // A fraction is read even where the layout has none.
                if fraction(layout).is_none() && self.rest.starts_with(['.', ',']) {
                    self.fraction()?;
                }
            }
            "January" | "Jan" => {
                let found = self.name(&MONTHS, piece.len() == 3)?;
                self.month = u32::try_from(found).ok()? + 1;
            }
            "Monday" | "Mon" => {
                self.name(&DAYS, piece.len() == 3)?;
            }
            "PM" | "pm" => self.half()?,
            "MST" => {
                let letters = self.rest.bytes().take(5);
                let letters = letters.take_while(u8::is_ascii_uppercase).count();
                self.rest = self.rest.get(letters..).filter(|_| letters >= 3)?;
            }
            zone if zone.starts_with(['-', 'Z']) => self.zone(zone)?,
            part if part.starts_with(['.', ',']) => {
                if self.rest.starts_with(['.', ',']) {
                    self.fraction()?;
                } else if !part.ends_with('9') {
                    return None;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// A point and digits.
    fn fraction(&mut self) -> Option<()> {
        let after = self.rest.get(1..)?;
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, left) = after.split_at_checked(digits)?;
        let digits = format!("{digits:0<9}");
        self.nanos = digits.get(..9)?.parse().ok()?;
        self.rest = left;
        Some(())
    }

    /// Which of the names stands here, in any case.
    fn name(&mut self, names: &[&str], short: bool) -> Option<usize> {
        for (index, name) in names.iter().enumerate() {
            let name = if short { name.get(..3)? } else { name };
            let begin = self.rest.get(..name.len());
            if begin.is_some_and(|begin| begin.eq_ignore_ascii_case(name)) {
                self.rest = self.rest.get(name.len()..)?;
                return Some(index);
            }
        }
        None
    }

    fn half(&mut self) -> Option<()> {
        let (mark, left) = self.rest.split_at_checked(2)?;
        self.afternoon = Some(match mark.to_ascii_uppercase().as_str() {
            "PM" => true,
            "AM" => false,
            _ => return None,
        });
        self.rest = left;
        Some(())
    }

    fn zone(&mut self, zone: &str) -> Option<()> {
        if zone.starts_with('Z')
            && let Some(left) = self.rest.strip_prefix('Z')
        {
            self.rest = left;
            return Some(());
        }
        let (mark, left) = self.rest.split_at_checked(zone.len())?;
        let sign = match mark.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let digits: String = mark.chars().filter(char::is_ascii_digit).collect();
        let hours: i64 = digits.get(..2)?.parse().ok()?;
        let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
        self.offset = sign * (hours * 3600 + minutes * 60);
        self.rest = left;
        Some(())
    }

    fn moment(self) -> Option<(i64, u32)> {
        let hour = match self.afternoon {
            Some(late) => self.hour % 12 + if late { 12 } else { 0 },
            None => self.hour,
        };
        let year = self.year;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        let in_day = hour < 24 && self.minute < 60 && self.second < 60;
        if self.day == 0 || self.day > longest || !in_day {
            return None;
        }
        let days = match self.year_day {
            Some(number) => days_of(year, 1, 1) + number - 1,
            None => days_of(year, self.month, self.day),
        };
        let seconds = days * 86_400 + hour * 3600 + self.minute * 60 + self.second;
        Some((seconds - self.offset, self.nanos))
    }
}
