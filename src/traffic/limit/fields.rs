//! What a client is told about its limits: `X-RateLimit-Limit`, `-Remaining` and `-Reset` (contract section 9) and the
//! structured fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers. KrakenD CE tells nothing.
//!
//! A request may meet several limits. The one that has the least left, relative to its size, is told; one that
//! refuses always is. Policies of all of them are listed.

use super::plan::is_tighter;
use super::rate::{Rate, Standing};
use crate::gateway::stage::{Edit, Edits};
use bytes::{BufMut, BytesMut};
use http::{HeaderName, HeaderValue};

/// The size of the bucket.
pub const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// What is left in it.
pub const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Seconds until it is full.
pub const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// All limits of the route.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How the told one stands.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

const SECOND: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;

/// One limit as clients know it, with all that does not change ready.
#[derive(Clone, Debug)]
pub struct Label {
    limit: HeaderValue,
    /// `"name";r=`
    head: Box<[u8]>,
    item: String,
}

impl Label {
    /// A bucket under this word of ours.
    pub fn bucket(word: &str, rate: &Rate) -> Self {
        let window = rate.time_to_full().div_ceil(SECOND).max(1);
        Self::new(word, rate.burst(), window)
    }

    /// A day's allowance.
    pub fn daily(limit: u64) -> Self {
        Self::new("day", limit, DAY_SECONDS)
    }

    fn new(word: &str, quota: u64, window: u64) -> Self {
        Self {
            limit: HeaderValue::from(quota),
            head: format!("\"{word}\";r=").into_bytes().into(),
            item: format!("\"{word}\";q={quota};w={window}"),
        }
    }

    /// How it stands, for `RateLimit`.
    fn state(&self, remaining: u64, reset: u64) -> HeaderValue {
        let mut out = BytesMut::with_capacity(self.head.len() + 24);
        out.put_slice(&self.head);
        let mut digits = itoa::Buffer::new();
        out.put_slice(digits.format(remaining).as_bytes());
        out.put_slice(b";t=");
        out.put_slice(digits.format(reset).as_bytes());
        HeaderValue::from_maybe_shared(out.freeze()).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The policies of several limits in one field; `None` for none.
pub fn policy<'l>(labels: impl IntoIterator<Item = &'l Label>) -> Option<HeaderValue> {
    let items: Vec<&str> = labels.into_iter().map(|l| l.item.as_str()).collect();
    if items.is_empty() {
        return None;
    }
    HeaderValue::from_str(&items.join(", ")).ok()
}

/// What of the policies that were told already stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before<'p> {
    /// These are told besides.
    Beside,
    /// This one was told, and is part of the new one.
    Told(&'p HeaderValue),
}

/// Records that a request met limits: their policies, and how one stands, if none told so far is tighter.
pub fn passed(
    edits: &mut Edits,
    (label, standing): (&Label, &Standing),
    policy: Option<&HeaderValue>,
    before: Before<'_>,
) {
    let fresh = tell_policy(edits, policy, before);
    if fresh || told(edits).is_none_or(|told| is_tighter(standing, &told)) {
        tell(edits, label, standing, fresh);
    }
}

/// Records that a limit refused.
pub fn refused(
    edits: &mut Edits,
    (label, standing): (&Label, &Standing),
    policy: Option<&HeaderValue>,
    before: Before<'_>,
) {
    let fresh = tell_policy(edits, policy, before);
    tell(edits, label, standing, fresh);
}

/// Whether nothing about limits was told before.
fn tell_policy(edits: &mut Edits, policy: Option<&HeaderValue>, before: Before<'_>) -> bool {
    let fresh = !edits.answer.iter().any(|edit| sets(edit, &POLICY));
    let Some(policy) = policy else {
        return fresh;
    };
    if fresh {
        edits.answer.push(Edit::Set(POLICY, policy.clone()));
        return true;
    }
    let own = |edit: &&mut Edit| matches!((&**edit, before), (Edit::Set(name, told) | Edit::Append(name, told), Before::Told(own)) if *name == POLICY && told == own);
    match edits.answer.iter_mut().find(own) {
        Some(Edit::Set(_, told) | Edit::Append(_, told)) => *told = policy.clone(),
        _ => edits.answer.push(Edit::Append(POLICY, policy.clone())),
    }
    false
}

fn tell(edits: &mut Edits, label: &Label, standing: &Standing, fresh: bool) {
    let reset = standing.reset.div_ceil(SECOND);
    let values = [
        (LIMIT, label.limit.clone()),
        (REMAINING, number(standing.remaining)),
        (RESET, number(reset)),
        (RATELIMIT, label.state(standing.remaining, reset)),
    ];
    for (name, value) in values {
        if !fresh
            && let Some(Edit::Set(_, old)) = edits.answer.iter_mut().find(|edit| sets(edit, &name))
        {
            *old = value;
            continue;
        }
        edits.answer.push(Edit::Set(name, value));
    }
}

fn sets(edit: &Edit, name: &HeaderName) -> bool {
    matches!(edit, Edit::Set(own, _) if own == name)
}

/// What was told before this.
fn told(edits: &Edits) -> Option<Standing> {
    let find = |name: &HeaderName| {
        edits.answer.iter().find_map(|edit| match edit {
            Edit::Set(own, value) if own == name => value.to_str().ok()?.parse().ok(),
            _ => None,
        })
    };
    Some(Standing {
        limit: find(&LIMIT)?,
        remaining: find(&REMAINING)?,
        reset: 0,
    })
}

/// Small numbers need no memory of their own.
fn number(number: u64) -> HeaderValue {
    const WIDTH: usize = 3;
    const COUNT: usize = 1_000;
    static DIGITS: [u8; WIDTH * COUNT] = {
        let mut all = [b'0'; WIDTH * COUNT];
        let mut n = 0;
        while n < COUNT {
            all[n * WIDTH] = b'0' + (n / 100) as u8;
            all[n * WIDTH + 1] = b'0' + (n / 10 % 10) as u8;
            all[n * WIDTH + 2] = b'0' + (n % 10) as u8;
            n += 1;
        }
        all
    };
    let skip = match number {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    let start = usize::try_from(number).unwrap_or(COUNT).min(COUNT) * WIDTH;
    DIGITS
        .get(start + skip..start + WIDTH)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .map_or_else(|| HeaderValue::from(number), HeaderValue::from_static)
}

/// Nanoseconds as whole seconds for `Retry-After`, at least one.
pub fn retry_after(wait: u64) -> u32 {
    u32::try_from(wait.div_ceil(SECOND))
        .unwrap_or(u32::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn standing(limit: u64, remaining: u64, seconds: u64) -> Standing {
        Standing {
            limit,
            remaining,
            reset: seconds * SECOND - SECOND / 2,
        }
    }

    fn lines(edits: &Edits) -> Vec<String> {
        let mut fields = vec![(LIMIT, HeaderValue::from_static("of the backend"))];
        Edits::apply(&edits.answer, &mut fields);
        let line = |(n, v): &(HeaderName, HeaderValue)| format!("{n}: {}", v.to_str().unwrap());
        let mut lines: Vec<_> = fields.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn minute() -> Label {
        let rate = Rate::new(60.0, Duration::from_secs(60), 10).unwrap();
        Label::bucket("minute", &rate)
    }

    #[test]
    fn one_limit_is_told_in_both_spellings() {
        let mut edits = Edits::default();
        let (minute, day) = (minute(), Label::daily(1_000));
        let policy = policy([&minute, &day]);
        let seen = standing(10, 9, 1);
        passed(
            &mut edits,
            (&minute, &seen),
            policy.as_ref(),
            Before::Beside,
        );
        let told = [
            "ratelimit-policy: \"minute\";q=10;w=10, \"day\";q=1000;w=86400",
            "ratelimit: \"minute\";r=9;t=1",
            "x-ratelimit-limit: 10",
            "x-ratelimit-remaining: 9",
            "x-ratelimit-reset: 1",
        ];
        assert_eq!(lines(&edits), told);
    }

    #[test]
    fn of_several_the_tightest_is_told_and_all_policies() {
        let (minute, day) = (minute(), Label::daily(1_000));
        for turned in [false, true] {
            let mut edits = Edits::default();
            let mut all = [
                (&minute, standing(10, 5, 5)),
                (&day, standing(1_000, 400, 9)),
            ];
            if turned {
                all.reverse();
            }
            for (label, seen) in &all {
                passed(
                    &mut edits,
                    (*label, seen),
                    policy([*label]).as_ref(),
                    Before::Beside,
                );
            }
            let lines = lines(&edits);
            assert!(lines.contains(&"x-ratelimit-limit: 1000".to_owned()));
            assert!(lines.contains(&"ratelimit: \"day\";r=400;t=9".to_owned()));
            assert_eq!(lines.len(), 6, "{lines:?}");
        }
    }

    #[test]
    fn policies_that_are_included_are_told_once() {
        let (minute, all) = (minute(), Label::daily(50_000));
        let mut edits = Edits::default();
        let seen = (&all, &standing(50_000, 49_999, 1));
        let first = policy([&all]).unwrap();
        passed(&mut edits, seen, Some(&first), Before::Beside);
        let both = policy([&all, &minute]);
        let seen = (&minute, &standing(10, 9, 1));
        passed(&mut edits, seen, both.as_ref(), Before::Told(&first));
        let lines = lines(&edits);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[0].ends_with("\"minute\";q=10;w=10"), "{lines:?}");
    }

    #[test]
    fn a_limit_that_refuses_is_told_whatever_the_others_say() {
        let (minute, day) = (minute(), Label::daily(1_000));
        let mut edits = Edits::default();
        passed(
            &mut edits,
            (&day, &standing(1_000, 0, 9)),
            None,
            Before::Beside,
        );
        refused(
            &mut edits,
            (&minute, &standing(10, 3, 7)),
            None,
            Before::Beside,
        );
        let lines = lines(&edits);
        assert!(
            lines.contains(&"x-ratelimit-remaining: 3".to_owned()),
            "{lines:?}"
        );
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for n in (0..1_100).chain([9_999, u64::MAX]) {
            assert_eq!(number(n).to_str().unwrap(), n.to_string());
        }
        for (wait, seconds) in [
            (0, 1),
            (1, 1),
            (SECOND, 1),
            (SECOND + 1, 2),
            (u64::MAX, u32::MAX),
        ] {
            let least = retry_after(wait);
            assert!(least == seconds || wait == u64::MAX && least > 1_000_000);
        }
    }
}
