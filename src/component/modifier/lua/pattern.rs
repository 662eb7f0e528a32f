//! `string.find`, `match`, `gmatch` and `gsub`, as Lua 5.1 has them, but on a clock: the library's own can
//! be kept busy for ever by a few bytes of text, and nothing interrupts it there.

use super::run::Meter;
use super::state::State;
use mlua::{Function, IntoLua, Lua, LuaString, MultiValue, Table, Value};
use std::sync::Arc;

/// Groups of one pattern.
const MAX_GROUPS: usize = 32;
/// Nesting of one match, which only the pattern's own length drives.
const MAX_DEPTH: usize = 200;
/// Steps between two looks at the clock.
const STRIDE: u32 = 4096;

/// The four functions by name.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 4)?;
    table.raw_set(
        "find",
        lua.create_function(|lua, args: MultiValue| search(lua, &args, true))?,
    )?;
    table.raw_set(
        "match",
        lua.create_function(|lua, args: MultiValue| search(lua, &args, false))?,
    )?;
    table.raw_set("gmatch", lua.create_function(gmatch)?)?;
    table.raw_set("gsub", lua.create_function(gsub)?)?;
    Ok(table)
}

/// What a group matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// Opened, not closed yet.
    Open(usize),
    /// From here to there.
    Span(usize, usize),
    /// `()`: the place itself.
    Place(usize),
}

/// One match of a pattern against a text.
struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    groups: Vec<Group>,
    depth: usize,
    steps: u32,
    meter: &'a Meter,
}

type Found = Result<Option<usize>, String>;

impl<'a> Matcher<'a> {
    fn new(text: &'a [u8], pattern: &'a [u8], meter: &'a Meter) -> Self {
        Self {
            text,
            pattern,
            groups: Vec::new(),
            depth: 0,
            steps: 0,
            meter,
        }
    }

    fn at(&self, p: usize) -> Option<u8> {
        self.pattern.get(p).copied()
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps.is_multiple_of(STRIDE) && self.meter.over() {
            return Err("out of time".to_owned());
        }
        Ok(())
    }

    /// The end of a match that begins at `s`, of the pattern from `p` on.
    fn run(&mut self, s: usize, p: usize) -> Found {
        if self.depth >= MAX_DEPTH {
            return Err("pattern too complex".to_owned());
        }
        self.depth += 1;
        let found = self.walk(s, p);
        self.depth -= 1;
        found
    }

    fn walk(&mut self, mut s: usize, mut p: usize) -> Found {
        loop {
            self.step()?;
            match self.at(p) {
                None => return Ok(Some(s)),
                Some(b'(') if self.at(p + 1) == Some(b')') => {
                    return self.open(s, p + 2, Group::Place(s));
                }
                Some(b'(') => return self.open(s, p + 1, Group::Open(s)),
                Some(b')') => return self.close(s, p + 1),
                Some(b'$') if p + 1 == self.pattern.len() => {
                    return Ok((s == self.text.len()).then_some(s));
                }
                Some(b'%') => match self.at(p + 1) {
                    Some(b'b') => match self.balance(s, p + 2)? {
                        Some(end) => {
                            (s, p) = (end, p + 4);
                            continue;
                        }
                        None => return Ok(None),
                    },
                    Some(b'f') => {
                        p += 2;
                        if self.at(p) != Some(b'[') {
                            return Err("missing '[' after '%f' in pattern".to_owned());
                        }
                        let end = self.class_end(p)?;
                        let before = match s.checked_sub(1) {
                            Some(at) => self.text.get(at).copied().unwrap_or(0),
                            None => 0,
                        };
                        let here = self.text.get(s).copied().unwrap_or(0);
                        if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                            return Ok(None);
                        }
                        p = end;
                        continue;
                    }
                    Some(digit) if digit.is_ascii_digit() => match self.back(s, digit)? {
                        Some(end) => {
                            (s, p) = (end, p + 2);
                            continue;
                        }
                        None => return Ok(None),
                    },
                    _ => {}
                },
                Some(_) => {}
            }
            let end = self.class_end(p)?;
            let fits = self.fits(s, p, end);
            match self.at(end) {
                Some(b'?') => {
                    if fits && let Some(found) = self.run(s + 1, end + 1)? {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.most(s, p, end, 0),
                Some(b'+') if fits => return self.most(s, p, end, 1),
                Some(b'-') => return self.least(s, p, end),
                Some(b'+') => return Ok(None),
                _ if fits => (s, p) = (s + 1, end),
                _ => return Ok(None),
            }
        }
    }

    /// As many as there are, at least `least`, then the rest.
    fn most(&mut self, s: usize, p: usize, end: usize, least: usize) -> Found {
        let mut count = 0;
        while self.fits(s + count, p, end) {
            self.step()?;
            count += 1;
        }
        loop {
            if count < least {
                return Ok(None);
            }
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            match count.checked_sub(1) {
                Some(fewer) => count = fewer,
                None => return Ok(None),
            }
        }
    }

    /// As few as it takes for the rest.
    fn least(&mut self, mut s: usize, p: usize, end: usize) -> Found {
        loop {
            self.step()?;
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.fits(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, group: Group) -> Found {
        if self.groups.len() >= MAX_GROUPS {
            return Err("too many captures".to_owned());
        }
        self.groups.push(group);
        let level = self.groups.len();
        let found = self.run(s, p)?;
        if found.is_none() {
            self.groups.truncate(level - 1);
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Found {
        let open = |group: &Group| matches!(group, Group::Open(_));
        let Some(level) = self.groups.iter().rposition(open) else {
            return Err("invalid pattern capture".to_owned());
        };
        let Some(Group::Open(start)) = self.groups.get(level).copied() else {
            return Ok(None);
        };
        self.put(level, Group::Span(start, s));
        let found = self.run(s, p)?;
        if found.is_none() {
            self.put(level, Group::Open(start));
        }
        Ok(found)
    }

    fn put(&mut self, level: usize, group: Group) {
        if let Some(place) = self.groups.get_mut(level) {
            *place = group;
        }
    }

    /// `%bxy`.
    fn balance(&mut self, s: usize, p: usize) -> Found {
        let (Some(open), Some(close)) = (self.at(p), self.at(p + 1)) else {
            return Err("unbalanced pattern".to_owned());
        };
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut level = 1_usize;
        for (at, byte) in self.text.iter().enumerate().skip(s + 1) {
            if *byte == close {
                level -= 1;
                if level == 0 {
                    return Ok(Some(at + 1));
                }
            } else if *byte == open {
                level += 1;
            }
        }
        Ok(None)
    }

    /// `%1` … `%9`.
    fn back(&mut self, s: usize, digit: u8) -> Found {
        let level = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let Some(Group::Span(start, end)) = self.groups.get(level).copied() else {
            return Err("invalid capture index".to_owned());
        };
        let part = self.text.get(start..end).unwrap_or_default();
        let rest = self.text.get(s..).unwrap_or_default();
        Ok(rest.starts_with(part).then_some(s + part.len()))
    }

    /// Where the class that begins at `p` ends.
    fn class_end(&self, p: usize) -> Result<usize, String> {
        match self.at(p) {
            Some(b'%') if p + 1 >= self.pattern.len() => {
                Err("malformed pattern (ends with '%')".to_owned())
            }
            Some(b'%') => Ok(p + 2),
            Some(b'[') => {
                let mut at = p + 1;
                if self.at(at) == Some(b'^') {
                    at += 1;
                }
                // The first one of a set is never its end.
                loop {
                    match self.at(at) {
                        None => return Err("malformed pattern (missing ']')".to_owned()),
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.at(at) == Some(b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    fn fits(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(s) else {
            return false;
        };
        match self.at(p) {
            Some(b'.') => true,
            Some(b'%') => in_class(byte, self.at(p + 1).unwrap_or(0)),
            Some(b'[') => self.in_set(byte, p, end - 1),
            other => other == Some(byte),
        }
    }

    /// Whether a byte is in the set from `p` (its `[`) to `end` (its `]`).
    fn in_set(&self, byte: u8, p: usize, end: usize) -> bool {
        let negated = self.at(p + 1) == Some(b'^');
        let mut at = if negated { p + 2 } else { p + 1 };
        while at < end {
            let here = self.at(at).unwrap_or(0);
            if here == b'%' {
                if in_class(byte, self.at(at + 1).unwrap_or(0)) {
                    return !negated;
                }
                at += 2;
            } else if self.at(at + 1) == Some(b'-') && at + 2 < end {
                if (here..=self.at(at + 2).unwrap_or(0)).contains(&byte) {
                    return !negated;
                }
                at += 3;
            } else {
                if here == byte {
                    return !negated;
                }
                at += 1;
            }
        }
        negated
    }

    /// A group's value; the whole match for the first where there is none.
    fn group(&self, lua: &Lua, level: usize, s: usize, end: usize) -> mlua::Result<Value> {
        let part = |from: usize, to: usize| {
            let part = self.text.get(from..to).unwrap_or_default();
            lua.create_string(part).map(Value::String)
        };
        match self.groups.get(level) {
            None if level == 0 => part(s, end),
            None => Err(mlua::Error::runtime("invalid capture index")),
            Some(Group::Span(from, to)) => part(*from, *to),
            #[expect(clippy::cast_precision_loss, reason = "no text is that long")]
            Some(Group::Place(at)) => Ok(Value::Number((at + 1) as f64)),
            Some(Group::Open(_)) => Err(mlua::Error::runtime("unfinished capture")),
        }
    }

    /// Every group, or the whole match.
    fn all(&self, lua: &Lua, s: usize, end: usize, whole: bool) -> mlua::Result<Vec<Value>> {
        let count = match (self.groups.len(), whole) {
            (0, true) => 1,
            (count, _) => count,
        };
        (0..count)
            .map(|level| self.group(lua, level, s, end))
            .collect()
    }
}

fn in_class(byte: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | 0x09..=0x0d),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    found != class.is_ascii_uppercase()
}

fn clock(lua: &Lua) -> mlua::Result<Arc<Meter>> {
    lua.app_data_ref::<State>()
        .map(|state| state.link.meter.clone())
        .ok_or_else(|| mlua::Error::runtime("no request here"))
}

/// A text argument, counted from 0.
fn text(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<LuaString> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    let kind = value.type_name();
    match lua.coerce_string(value)? {
        Some(text) => Ok(text),
        None => {
            let at = at + 1;
            Err(mlua::Error::runtime(format!(
                "bad argument #{at} to '{name}' (string expected, got {kind})"
            )))
        }
    }
}

/// A number argument, if it is there.
fn number(lua: &Lua, args: &MultiValue, at: usize, name: &str) -> mlua::Result<Option<f64>> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    if value.is_nil() {
        return Ok(None);
    }
    let kind = value.type_name();
    let found = lua.coerce_number(value)?;
    if found.is_none() {
        let at = at + 1;
        return Err(mlua::Error::runtime(format!(
            "bad argument #{at} to '{name}' (number expected, got {kind})"
        )));
    }
    Ok(found)
}

/// Where a search begins; positions count from 1, negative ones from the end.
fn start(init: Option<f64>, len: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "saturates, and is clamped to the text"
    )]
    match init {
        None => 0,
        Some(init) if init < 0.0 => (len as f64 + init.trunc()).max(0.0) as usize,
        Some(init) => ((init.trunc() - 1.0).max(0.0) as usize).min(len),
    }
}

fn search(lua: &Lua, args: &MultiValue, find: bool) -> mlua::Result<MultiValue> {
    let name = if find { "find" } else { "match" };
    let (subject, pattern) = (text(lua, args, 0, name)?, text(lua, args, 1, name)?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let mut from = start(number(lua, args, 2, name)?, subject.len());
    let place = |at: usize| {
        #[expect(clippy::cast_precision_loss, reason = "no text is that long")]
        let at = at as f64;
        Value::Number(at)
    };
    let truth = |value: &Value| !matches!(value, Value::Nil | Value::Boolean(false));
    let plain =
        args.get(3).is_some_and(truth) || !pattern.iter().any(|b| b"^$*+?.([%-".contains(b));
    let meter = clock(lua)?;
    if find && plain {
        let rest = subject.get(from..).unwrap_or_default();
        let found = find_plain(rest, &pattern, &meter).map_err(mlua::Error::runtime)?;
        return Ok(match found {
            Some(at) => {
                let at = from + at;
                MultiValue::from_iter([place(at + 1), place(at + pattern.len())])
            }
            None => MultiValue::from_iter([Value::Nil]),
        });
    }
    let anchored = pattern.first() == Some(&b'^');
    let mut matcher = Matcher::new(&subject, &pattern, &meter);
    loop {
        matcher.groups.clear();
        let found = matcher.run(from, usize::from(anchored));
        if let Some(end) = found.map_err(mlua::Error::runtime)? {
            let mut values = Vec::new();
            if find {
                values.extend([place(from + 1), place(end)]);
            }
            values.extend(matcher.all(lua, from, end, !find)?);
            return Ok(MultiValue::from_vec(values));
        }
        from += 1;
        if anchored || from > subject.len() {
            return Ok(MultiValue::from_iter([Value::Nil]));
        }
    }
}

/// Where a text stands in another.
fn find_plain(text: &[u8], part: &[u8], meter: &Meter) -> Result<Option<usize>, String> {
    if part.is_empty() {
        return Ok(Some(0));
    }
    // A comparison costs the part's length at most, so the clock is asked once in so many bytes.
    let stride = ((1 << 20) / part.len()).max(1);
    for (at, window) in text.windows(part.len()).enumerate() {
        if window == part {
            return Ok(Some(at));
        }
        if at % stride == stride - 1 && meter.over() {
            return Err("out of time".to_owned());
        }
    }
    Ok(None)
}

fn gmatch(lua: &Lua, args: MultiValue) -> mlua::Result<Function> {
    let (subject, pattern) = (
        text(lua, &args, 0, "gmatch")?,
        text(lua, &args, 1, "gmatch")?,
    );
    let mut from = 0;
    lua.create_function_mut(move |lua, _: MultiValue| {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let meter = clock(lua)?;
        let mut matcher = Matcher::new(&subject, &pattern, &meter);
        while from <= subject.len() {
            matcher.groups.clear();
            let at = from;
            let found = matcher.run(at, 0).map_err(mlua::Error::runtime)?;
            from += 1;
            if let Some(end) = found {
                from = end + usize::from(end == at);
                return Ok(MultiValue::from_vec(matcher.all(lua, at, end, true)?));
            }
        }
        Ok(MultiValue::from_iter([Value::Nil]))
    })
}

fn gsub(lua: &Lua, args: MultiValue) -> mlua::Result<(LuaString, f64)> {
    let (subject, pattern) = (text(lua, &args, 0, "gsub")?, text(lua, &args, 1, "gsub")?);
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let with = args.get(2).cloned().unwrap_or(Value::Nil);
    let with = match with {
        Value::Table(_) | Value::Function(_) => with,
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            Value::String(text(lua, &args, 2, "gsub")?)
        }
        other => {
            return Err(mlua::Error::runtime(format!(
                "bad argument #3 to 'gsub' (string/function/table expected, got {})",
                other.type_name()
            )));
        }
    };
    let most = number(lua, &args, 3, "gsub")?.unwrap_or(f64::INFINITY);
    let limit = lua.app_data_ref::<State>().map_or(0, |s| s.arena.limit());
    let meter = clock(lua)?;
    let anchored = pattern.first() == Some(&b'^');
    let (mut at, mut count, mut out) = (0, 0.0, Vec::with_capacity(subject.len()));
    while count < most {
        let mut matcher = Matcher::new(&subject, &pattern, &meter);
        let found = matcher.run(at, usize::from(anchored));
        let found = found.map_err(mlua::Error::runtime)?;
        if let Some(end) = found {
            count += 1.0;
            replace(lua, &matcher, &with, at, end, &mut out)?;
            if out.len() > limit {
                return Err(mlua::Error::runtime("not enough memory"));
            }
        }
        match found {
            Some(end) if end > at => at = end,
            _ => match subject.get(at) {
                Some(byte) => {
                    out.push(*byte);
                    at += 1;
                }
                None => break,
            },
        }
        if anchored {
            break;
        }
    }
    out.extend_from_slice(subject.get(at..).unwrap_or_default());
    Ok((lua.create_string(out)?, count))
}

/// Appends what takes the place of a match.
fn replace(
    lua: &Lua,
    matcher: &Matcher<'_>,
    with: &Value,
    s: usize,
    end: usize,
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    let value = match with {
        Value::String(text) => return template(lua, matcher, &text.as_bytes(), s, end, out),
        Value::Table(table) => table.get(matcher.group(lua, 0, s, end)?)?,
        Value::Function(function) => {
            let groups = MultiValue::from_vec(matcher.all(lua, s, end, true)?);
            let results: MultiValue = function.call(groups)?;
            results.into_iter().next().unwrap_or(Value::Nil)
        }
        _ => Value::Nil,
    };
    match value {
        Value::Nil | Value::Boolean(false) => {
            out.extend_from_slice(matcher.text.get(s..end).unwrap_or_default());
        }
        value @ (Value::String(_) | Value::Integer(_) | Value::Number(_)) => {
            append(lua, value, out)?;
        }
        other => {
            let kind = other.type_name();
            let text = format!("invalid replacement value (a {kind})");
            return Err(mlua::Error::runtime(text));
        }
    }
    Ok(())
}

fn append(lua: &Lua, value: Value, out: &mut Vec<u8>) -> mlua::Result<()> {
    if let Some(text) = lua.coerce_string(value.into_lua(lua)?)? {
        out.extend_from_slice(&text.as_bytes());
    }
    Ok(())
}

/// A replacement text with `%0` … `%9`.
fn template(
    lua: &Lua,
    matcher: &Matcher<'_>,
    text: &[u8],
    s: usize,
    end: usize,
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'0') => out.extend_from_slice(matcher.text.get(s..end).unwrap_or_default()),
            Some(digit) if digit.is_ascii_digit() => {
                let value = matcher.group(lua, usize::from(digit - b'1'), s, end)?;
                append(lua, value, out)?;
            }
            Some(other) => out.push(*other),
            None => {}
        }
    }
    Ok(())
}
