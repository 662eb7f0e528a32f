//! How Go prints: `fmt.Sprint`, `fmt.Sprintf` and `strconv`, as far as templates can reach them.

use super::value::{MAX_DEPTH, Value, Width};
use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

/// Longest width or precision of a verb; Go's own bound is a million.
const MAX_WIDTH: usize = 10_000;

/// How much one rendering may print, in bytes: values share their parts, so that a small one may be endless
/// to print.
const MOST: usize = 256 << 20;

/// What a value inside another one counts besides its text.
const EACH: usize = 256;

thread_local! {
    /// What is left of it; each rendering has a thread of its own.
    static LEFT: Cell<usize> = const { Cell::new(MOST) };
}

/// Takes from what is left; false when there is nothing any more, and then nothing is printed.
fn spend(bytes: usize) -> bool {
    let left = LEFT.get().saturating_sub(bytes);
    LEFT.set(left);
    left > 0
}

/// Why what was printed cannot be used: it is not all there.
pub(crate) fn overspent() -> Option<String> {
    (LEFT.get() == 0).then(|| format!("the template prints more than {} MiB", MOST >> 20))
}

/// A float as `%v` prints it: its shortest digits, from 1e+06 on and below 1e-04 in e-notation.
pub(crate) fn float(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let (negative, digits, exponent) = shortest(value);
    let text = if (-4..6).contains(&exponent) {
        positional(&digits, exponent)
    } else {
        scientific(&digits, exponent, 2)
    };
    signed(negative, text)
}

/// A finite float as JSON encodes it: whole numbers below 1e+21 are written out.
pub(crate) fn json_float(value: f64) -> String {
    let (negative, digits, exponent) = shortest(value);
    let text = if (-6..21).contains(&exponent) {
        positional(&digits, exponent)
    } else {
        scientific(&digits, exponent, 1)
    };
    signed(negative, text)
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

fn signed(negative: bool, text: String) -> String {
    if negative { format!("-{text}") } else { text }
}

/// Sign, shortest digits without a point, exponent of the first one.
fn shortest(value: f64) -> (bool, String, i32) {
    let text = format!("{:e}", value.abs());
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = digits.replace('.', "");
    (
        value.is_sign_negative(),
        digits,
        exponent.parse().unwrap_or_default(),
    )
}

fn scientific(digits: &str, exponent: i32, least: usize) -> String {
    let (first, rest) = digits.split_at(1.min(digits.len()));
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    let exponent = exponent.unsigned_abs();
    format!("{first}{point}{rest}e{sign}{exponent:0least$}")
}

fn positional(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1).unsigned_abs() as usize);
        return format!("0.{zeros}{digits}");
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (before, after) = digits.split_at(whole);
    format!("{before}.{after}")
}

/// `%v`; bounded in depth, because a dictionary may hold itself.
pub(crate) fn show(value: &Value) -> String {
    let mut out = String::new();
    value_into(&mut out, value, 0, false);
    spend(out.len());
    out
}

/// What an action writes: `%v`, but `<no value>` for nothing.
pub(crate) fn action(value: &Value) -> String {
    match value {
        Value::Missing | Value::Nil => "<no value>".to_owned(),
        other => show(other),
    }
}

fn value_into(out: &mut String, value: &Value, depth: usize, go: bool) {
    if depth > MAX_DEPTH {
        out.push('…');
        return;
    }
    if !spend(EACH) {
        return;
    }
    match value {
        Value::Missing | Value::Nil if go && depth > 0 => out.push_str("interface {}(nil)"),
        Value::Missing | Value::Nil => out.push_str("<nil>"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value, Width::Uint8) if go => {
            let _ = write!(out, "{value:#x}");
        }
        Value::Int(value, _) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Text(text, _) if go => out.push_str(&quote(text)),
        Value::Text(text, _) => out.push_str(text),
        Value::Time(seconds, nanos) => {
            out.push_str(&super::functions::dates::shown(*seconds, *nanos));
        }
        Value::Object(object) => out.push_str(&object.shown),
        Value::List(items, _) => {
            out.push_str(&if go {
                format!("{}{{", value.type_name())
            } else {
                "[".to_owned()
            });
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(if go { ", " } else { " " });
                }
                value_into(out, item, depth + 1, go);
            }
            out.push(if go { '}' } else { ']' });
        }
        Value::Map(members, _) => {
            out.push_str(&if go {
                format!("{}{{", value.type_name())
            } else {
                "map[".to_owned()
            });
            for (at, (name, member)) in members.borrow().iter().enumerate() {
                if at > 0 {
                    out.push_str(if go { ", " } else { " " });
                }
                if go {
                    out.push_str(&quote(name));
                } else {
                    out.push_str(name);
                }
                out.push(':');
                value_into(out, member, depth + 1, go);
            }
            out.push(if go { '}' } else { ']' });
        }
    }
}

/// `fmt.Sprint`: a space between two neighbours of which neither is a string.
pub(crate) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    let mut text_before = true;
    for (at, value) in values.iter().enumerate() {
        let text = matches!(value, Value::Text(..));
        if at > 0 && !text && !text_before {
            out.push(' ');
        }
        out.push_str(&show(value));
        text_before = text;
    }
    out
}

/// `strconv.Quote`.
pub(crate) fn quote(text: &str) -> String {
    quote_with(text, '"', false)
}

fn quote_with(text: &str, mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            c if c == mark || c == '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
            c if !ascii && printable(c) => out.push(c),
            c if (c as u32) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push(mark);
    out
}

/// What Go prints as it is: everything but controls, spaces other than U+0020, and what is not assigned
/// (of which std knows what `escape_debug` escapes).
fn printable(c: char) -> bool {
    let hidden = c.is_control() || c.is_whitespace() && c != ' ';
    !hidden && (c.escape_debug().len() == 1 || matches!(c, '\'' | '"'))
}

/// One verb of a format.
#[derive(Clone, Copy, Default)]
struct Verb {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub(crate) fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let (mut next, mut reordered) = (0_usize, false);
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(&flag) = chars.peek() {
            match flag {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                '0' => verb.zero = true,
                _ => break,
            }
            chars.next();
        }
        let mut good = index(&mut chars, &mut next, &mut reordered, args.len());
        if chars.peek() == Some(&'*') {
            chars.next();
            verb.width = star(args, &mut next, &mut out, "WIDTH", &mut verb.minus);
        } else {
            verb.width = number(&mut chars);
        }
        if chars.peek() == Some(&'.') {
            chars.next();
            good &= index(&mut chars, &mut next, &mut reordered, args.len());
            if chars.peek() == Some(&'*') {
                chars.next();
                let mut negative = false;
                verb.precision =
                    star(args, &mut next, &mut out, "PREC", &mut negative).filter(|_| !negative);
            } else {
                verb.precision = Some(number(&mut chars).unwrap_or_default());
            }
        }
        good &= index(&mut chars, &mut next, &mut reordered, args.len());
        let Some(letter) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if letter == '%' {
            out.push('%');
        } else if !good {
            let _ = write!(out, "%!{letter}(BADINDEX)");
        } else if let Some(value) = args.get(next) {
            next += 1;
            out.push_str(&formatted(letter, verb, value, 0));
        } else {
            let _ = write!(out, "%!{letter}(MISSING)");
        }
    }
    if !reordered && next < args.len() {
        let extra: Vec<String> = args
            .iter()
            .skip(next)
            .map(|value| match value {
                Value::Missing | Value::Nil => "<nil>".to_owned(),
                other => format!("{}={}", other.type_name(), show(other)),
            })
            .collect();
        let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// `[n]`: which argument is next.
fn index(chars: &mut Chars<'_>, next: &mut usize, reordered: &mut bool, count: usize) -> bool {
    if chars.peek() != Some(&'[') {
        return true;
    }
    chars.next();
    *reordered = true;
    let found = number(chars);
    let closed = chars.peek() == Some(&']');
    if closed {
        chars.next();
    }
    match found {
        Some(n) if closed && n >= 1 && n <= count => {
            *next = n - 1;
            true
        }
        _ => false,
    }
}

fn number(chars: &mut Chars<'_>) -> Option<usize> {
    let mut found = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let so_far: usize = found.unwrap_or_default();
        found = Some((so_far * 10 + digit as usize).min(MAX_WIDTH));
    }
    found
}

fn star(
    args: &[Value],
    next: &mut usize,
    out: &mut String,
    what: &str,
    negative: &mut bool,
) -> Option<usize> {
    let value = args.get(*next);
    *next += 1;
    if let Some(Value::Int(number, _)) = value {
        *negative |= *number < 0;
        let size = usize::try_from(number.unsigned_abs()).unwrap_or(MAX_WIDTH);
        return Some(size.min(MAX_WIDTH));
    }
    let _ = write!(out, "%!(BAD{what})");
    None
}

fn formatted(letter: char, verb: Verb, value: &Value, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "…".to_owned();
    }
    if !spend(EACH + verb.width.unwrap_or_default()) {
        return String::new();
    }
    match (letter, value) {
        ('T', value) => return pad(value.type_name().to_owned(), verb, false),
        ('v', Value::Missing | Value::Nil) => return pad("<nil>".to_owned(), verb, false),
        (_, Value::Missing | Value::Nil) => return format!("%!{letter}(<nil>)"),
        ('v', value) if verb.sharp => {
            let mut out = String::new();
            value_into(&mut out, value, depth, true);
            return out;
        }
        _ => {}
    }
    match value {
        Value::List(items, _) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| element(letter, verb, item, depth))
                .collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(members, _) => {
            let members: Vec<String> = members
                .borrow()
                .iter()
                .map(|(name, member)| {
                    let name = formatted(letter, verb, &Value::text(Arc::clone(name)), depth + 1);
                    format!("{name}:{}", element(letter, verb, member, depth))
                })
                .collect();
            format!("map[{}]", members.join(" "))
        }
        Value::Bool(flag) if matches!(letter, 't' | 'v') => pad(flag.to_string(), verb, false),
        Value::Int(number, _) => integer(letter, verb, *number, value),
        Value::Float(number) => floating(letter, verb, *number, value),
        Value::Text(text, _) => string(letter, verb, text, value),
        Value::Time(..) | Value::Object(_) => {
            string(letter, verb, &show(value), &Value::text(show(value)))
        }
        _ => bad(letter, value),
    }
}

fn element(letter: char, verb: Verb, value: &Value, depth: usize) -> String {
    match value {
        Value::Missing | Value::Nil if letter == 'v' => pad("<nil>".to_owned(), verb, false),
        Value::Missing | Value::Nil => format!("%!{letter}(<nil>)"),
        other => formatted(letter, verb, other, depth + 1),
    }
}

fn bad(letter: char, value: &Value) -> String {
    format!("%!{letter}({}={})", value.type_name(), show(value))
}

fn pad(text: String, verb: Verb, number: bool) -> String {
    let have = text.chars().count();
    let Some(missing) = verb.width.and_then(|width| width.checked_sub(have)) else {
        return text;
    };
    if verb.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if !verb.zero {
        return format!("{}{text}", " ".repeat(missing));
    }
    let zeros = "0".repeat(missing);
    match text.chars().next() {
        Some(sign @ ('+' | '-' | ' ')) if number => {
            format!("{sign}{zeros}{}", text.get(1..).unwrap_or_default())
        }
        _ => format!("{zeros}{text}"),
    }
}

fn sign(negative: bool, verb: Verb) -> &'static str {
    match (negative, verb.plus, verb.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn integer(letter: char, verb: Verb, number: i64, value: &Value) -> String {
    let size = number.unsigned_abs();
    let (digits, prefix) = match letter {
        'v' | 'd' => (size.to_string(), ""),
        'b' => (format!("{size:b}"), if verb.sharp { "0b" } else { "" }),
        'o' => (format!("{size:o}"), if verb.sharp { "0" } else { "" }),
        'O' => (format!("{size:o}"), "0o"),
        'x' => (format!("{size:x}"), if verb.sharp { "0x" } else { "" }),
        'X' => (format!("{size:X}"), if verb.sharp { "0X" } else { "" }),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(number).ok().and_then(char::from_u32);
            let c = c.unwrap_or('\u{fffd}');
            return match letter {
                'c' => pad(c.to_string(), verb, false),
                'q' => pad(quote_with(&c.to_string(), '\'', verb.plus), verb, false),
                _ => pad(format!("U+{number:04X}"), verb, false),
            };
        }
        _ => return bad(letter, value),
    };
    let least = verb.precision.unwrap_or_default();
    let zeros = "0".repeat(least.saturating_sub(digits.len()));
    let text = format!("{}{prefix}{zeros}{digits}", sign(number < 0, verb));
    let verb = Verb {
        zero: verb.zero && verb.precision.is_none(),
        ..verb
    };
    pad(text, verb, true)
}

fn floating(letter: char, verb: Verb, number: f64, value: &Value) -> String {
    let size = number.abs();
    let text = match (letter, verb.precision) {
        ('v' | 'g' | 'G', None) => float(size),
        ('v' | 'g' | 'G', Some(precision)) => general(size, precision),
        ('f' | 'F', precision) => format!("{size:.*}", precision.unwrap_or(6)),
        ('e' | 'E', precision) => {
            let text = format!("{size:.*e}", precision.unwrap_or(6));
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or_default();
            let mark = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{mark}{:02}", exponent.unsigned_abs())
        }
        _ => return bad(letter, value),
    };
    let text = if let Some(special) = special(size) {
        special.trim_start_matches('+').to_owned()
    } else if letter.is_uppercase() {
        text.to_uppercase()
    } else {
        text
    };
    let text = format!("{}{text}", sign(number.is_sign_negative(), verb));
    let verb = Verb {
        zero: verb.zero && size.is_finite(),
        ..verb
    };
    pad(text, verb, true)
}

/// `%.Ng`.
fn general(size: f64, precision: usize) -> String {
    let digits = precision.max(1);
    let text = format!("{size:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let plain = mantissa.replace('.', "");
    let kept = plain.trim_end_matches('0');
    let kept = if kept.is_empty() { "0" } else { kept };
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        scientific(kept, exponent, 2)
    } else {
        positional(kept, exponent)
    }
}

fn string(letter: char, verb: Verb, text: &str, value: &Value) -> String {
    let cut: String = match verb.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text.to_owned(),
    };
    match letter {
        'v' | 's' => pad(cut, verb, false),
        'q' if verb.sharp
            && !cut.contains('`')
            && !cut.chars().any(|c| c.is_control() && c != '\t') =>
        {
            pad(format!("`{cut}`"), verb, false)
        }
        'q' => pad(quote_with(&cut, '"', verb.plus), verb, false),
        'x' | 'X' => {
            let most = verb.precision.unwrap_or(usize::MAX);
            let bytes = text.bytes().take(most);
            let parts: Vec<String> = bytes
                .map(|byte| match letter {
                    'x' => format!("{byte:02x}"),
                    _ => format!("{byte:02X}"),
                })
                .collect();
            let mark = match (verb.sharp, letter) {
                (false, _) => "",
                (true, 'x') => "0x",
                (true, _) => "0X",
            };
            let text = if verb.space {
                parts
                    .iter()
                    .map(|part| format!("{mark}{part}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            } else if parts.is_empty() {
                String::new()
            } else {
                format!("{mark}{}", parts.concat())
            };
            pad(text, verb, false)
        }
        _ => bad(letter, value),
    }
}
