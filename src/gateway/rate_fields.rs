//! What a client is told about its limits: `X-RateLimit-Limit`, `-Remaining` and `-Reset` (contract section 9) and the
//! structured fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers. KrakenD CE tells nothing.
//!
//! A request may meet several limits. The one that has the least left, relative to its size, is told; one that
//! refuses always is. Policies of all of them are listed. Limits record how they stand as numbers, and these become
//! text once, when the answer goes.

use crate::base::field::same;
use crate::gateway::stage::Edit;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;

/// The size of the bucket.
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// What is left in it.
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// Seconds until it is full.
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// All limits of the route.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How the told one stands.
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Nanoseconds of one.
const SECOND: u64 = 1_000_000_000;

/// How a bucket stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The size of the bucket in tokens.
    pub limit: u64,
    /// Whole tokens that are there.
    pub remaining: u64,
    /// Nanoseconds until it is full.
    pub reset: u64,
}

/// Whether one limit has less left than another, relative to their sizes.
pub fn is_tighter(one: &Standing, than: &Standing) -> bool {
    let share = |a: &Standing, b: &Standing| u128::from(a.remaining) * u128::from(b.limit);
    share(one, than) < share(than, one)
}

/// One limit as clients know it, with all that does not change ready.
#[derive(Clone, Debug)]
pub struct Label(Arc<Words>);

#[derive(Debug)]
struct Words {
    quota: Box<str>,
    /// `"name";r=`
    head: Box<str>,
    /// `"name";q=10;w=60`
    item: Box<str>,
    /// Of the lines of a head what stands in front of what remains,
    first: Box<str>,
    /// and what stands there the second time.
    second: Box<str>,
}

impl Label {
    /// A limit of this word, one of ours and so a token: so many requests in so many seconds.
    pub fn new(word: &str, quota: u64, window: u64) -> Self {
        Self(Arc::new(Words {
            first: format!("X-Ratelimit-Limit: {quota}\r\nX-Ratelimit-Remaining: ").into(),
            second: format!("\r\nRatelimit: \"{word}\";r=").into(),
            quota: quota.to_string().into(),
            head: format!("\"{word}\";r=").into(),
            item: format!("\"{word}\";q={quota};w={window}").into(),
        }))
    }
}

/// What limits allow, in the words of `RateLimit-Policy`: a whole line of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies(Arc<str>);

/// What stands around the value of such a line.
const LINE: (&str, &str) = ("Ratelimit-Policy: ", "\r\n");

impl Policies {
    /// That of several limits; `None` for none.
    pub fn of<'l>(labels: impl IntoIterator<Item = &'l Label>) -> Option<Self> {
        let items: Vec<&str> = labels.into_iter().map(|label| &*label.0.item).collect();
        if items.is_empty() {
            return None;
        }
        let line = format!("{}{}{}", LINE.0, items.join(", "), LINE.1);
        Some(Self(line.into()))
    }

    fn value(&self) -> &str {
        let value = self.0.strip_prefix(LINE.0).unwrap_or_default();
        value.strip_suffix(LINE.1).unwrap_or_default()
    }
}

/// What of the policies that were told already stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before<'p> {
    /// These are told besides.
    Beside,
    /// This one was told, and is part of the new one.
    Told(&'p Policies),
}

/// What an answer will say of limits.
#[derive(Clone, Debug, Default)]
pub struct RateFields {
    told: Option<(Label, Standing)>,
    policy: Option<Policies>,
    /// Policies beside it.
    others: Vec<Policies>,
    /// Whether the edits of the answer hold it, or what it was before.
    settled: bool,
}

impl RateFields {
    /// Records that a request met limits: their policies, and how one stands, if none told so far is tighter.
    pub fn passed(
        &mut self,
        (label, standing): (&Label, &Standing),
        policy: Option<&Policies>,
        before: Before<'_>,
    ) {
        self.add(policy, before);
        if self
            .told
            .as_ref()
            .is_none_or(|(_, told)| is_tighter(standing, told))
        {
            self.told = Some((label.clone(), *standing));
        }
    }

    /// Records that a limit refused.
    pub fn refused(
        &mut self,
        (label, standing): (&Label, &Standing),
        policy: Option<&Policies>,
        before: Before<'_>,
    ) {
        self.add(policy, before);
        self.told = Some((label.clone(), *standing));
    }

    fn add(&mut self, policy: Option<&Policies>, before: Before<'_>) {
        let Some(policy) = policy else { return };
        if let Before::Told(own) = before
            && let Some(told) = self.policies_mut().find(|told| *told == own)
        {
            *told = policy.clone();
        } else if self.policy.is_none() {
            self.policy = Some(policy.clone());
        } else {
            self.others.push(policy.clone());
        }
    }

    fn policies_mut(&mut self) -> impl Iterator<Item = &mut Policies> {
        self.policy.iter_mut().chain(&mut self.others)
    }

    fn policies(&self) -> impl Iterator<Item = &Policies> {
        self.policy.iter().chain(&self.others)
    }

    /// Whether nothing waits for being written.
    pub fn is_empty(&self) -> bool {
        self.settled || self.told.is_none() && self.policy.is_none()
    }

    /// Whether a backend's field of this name, in any case, gives way to what is told here.
    pub fn clears(&self, name: &str) -> bool {
        // Few fields have such a length and first letter.
        matches!(name.len(), 9 | 16 | 17 | 21)
            && matches!(name.as_bytes().first(), Some(b'x' | b'X' | b'r' | b'R'))
            && self.replaces(name)
    }

    fn replaces(&self, name: &str) -> bool {
        let is = |one: &HeaderName| same(one.as_str().as_bytes(), name.as_bytes());
        self.told.is_some() && [LIMIT, REMAINING, RESET, RATELIMIT].iter().any(is)
            || self.policy.is_some() && is(&POLICY)
    }

    /// Appends it to a head on the wire.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        for policy in self.policies() {
            out.extend_from_slice(policy.0.as_bytes());
        }
        let Some((label, standing)) = &self.told else {
            return;
        };
        let (mut left, mut wait) = (itoa::Buffer::new(), itoa::Buffer::new());
        let left = left.format(standing.remaining);
        let wait = wait.format(standing.reset.div_ceil(SECOND));
        let Words { first, second, .. } = &*label.0;
        for part in [
            first,
            left,
            "\r\nX-Ratelimit-Reset: ",
            wait,
            second,
            left,
            ";t=",
            wait,
            "\r\n",
        ] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Makes edits of it, in the place of those of before.
    pub fn settle(&mut self, edits: &mut Vec<Edit>) {
        if self.told.is_none() && self.policy.is_none() {
            return;
        }
        if std::mem::replace(&mut self.settled, true) {
            edits.retain(|edit| {
                !matches!(edit, Edit::Set(name, _) | Edit::Append(name, _) if self.replaces(name.as_str()))
            });
        }
        let mut add = |edit: fn(HeaderName, HeaderValue) -> Edit, name, value: &str| {
            edits.extend(HeaderValue::from_str(value).map(|value| edit(name, value)));
        };
        for (at, policy) in self.policies().enumerate() {
            let edit = if at == 0 { Edit::Set } else { Edit::Append };
            add(edit, POLICY, policy.value());
        }
        let Some((label, standing)) = &self.told else {
            return;
        };
        let Standing { remaining, .. } = standing;
        let reset = standing.reset.div_ceil(SECOND);
        let Words { quota, head, .. } = &*label.0;
        add(Edit::Set, LIMIT, quota);
        add(Edit::Set, REMAINING, &remaining.to_string());
        add(Edit::Set, RESET, &reset.to_string());
        add(
            Edit::Set,
            RATELIMIT,
            &format!("{head}{remaining};t={reset}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::stage::Edits;

    fn standing(limit: u64, remaining: u64, seconds: u64) -> Standing {
        Standing {
            limit,
            remaining,
            reset: seconds * SECOND - SECOND / 2,
        }
    }

    fn lines(fields: &RateFields) -> Vec<String> {
        let mut edits = Edits {
            limits: fields.clone(),
            ..Edits::default()
        };
        let mut out = vec![(LIMIT, HeaderValue::from_static("of the backend"))];
        // However often it is settled.
        edits.settle();
        edits.settle();
        Edits::apply(&edits.answer, &mut out);
        let line = |(n, v): &(HeaderName, HeaderValue)| format!("{n}: {}", v.to_str().unwrap());
        let mut lines: Vec<_> = out.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn minute() -> Label {
        Label::new("minute", 10, 10)
    }

    fn day(limit: u64) -> Label {
        Label::new("day", limit, 86_400)
    }

    #[test]
    fn one_limit_is_told_in_both_spellings() {
        let mut fields = RateFields::default();
        let (minute, day) = (minute(), day(1_000));
        let policy = Policies::of([&minute, &day]);
        let seen = standing(10, 9, 1);
        fields.passed((&minute, &seen), policy.as_ref(), Before::Beside);
        let told = [
            "ratelimit-policy: \"minute\";q=10;w=10, \"day\";q=1000;w=86400",
            "ratelimit: \"minute\";r=9;t=1",
            "x-ratelimit-limit: 10",
            "x-ratelimit-remaining: 9",
            "x-ratelimit-reset: 1",
        ];
        assert_eq!(lines(&fields), told);
        let mut head = Vec::new();
        fields.append_to(&mut head);
        let head = String::from_utf8(head).unwrap();
        let mut written = Vec::new();
        for line in head.strip_suffix("\r\n").unwrap().split("\r\n") {
            let (name, value) = line.split_once(": ").unwrap();
            assert!(fields.clears(name));
            assert_eq!(crate::base::field::canonical(name), name);
            written.push(format!("{}: {value}", name.to_ascii_lowercase()));
        }
        written.sort();
        assert_eq!(written, told);
        assert!(!fields.clears("x-request-id"));
        assert!(!RateFields::default().clears(LIMIT.as_str()));
    }

    #[test]
    fn of_several_the_tightest_is_told_and_all_policies() {
        let (minute, day) = (minute(), day(1_000));
        for turned in [false, true] {
            let mut fields = RateFields::default();
            let mut all = [
                (&minute, standing(10, 5, 5)),
                (&day, standing(1_000, 400, 9)),
            ];
            if turned {
                all.reverse();
            }
            for (label, seen) in &all {
                let policy = Policies::of([*label]);
                fields.passed((*label, seen), policy.as_ref(), Before::Beside);
            }
            let lines = lines(&fields);
            assert!(lines.contains(&"x-ratelimit-limit: 1000".to_owned()));
            assert!(lines.contains(&"ratelimit: \"day\";r=400;t=9".to_owned()));
            assert_eq!(lines.len(), 6, "{lines:?}");
        }
    }

    #[test]
    fn policies_that_are_included_are_told_once() {
        let (minute, all) = (minute(), day(50_000));
        let mut fields = RateFields::default();
        let seen = (&all, &standing(50_000, 49_999, 1));
        let first = Policies::of([&all]).unwrap();
        fields.passed(seen, Some(&first), Before::Beside);
        let both = Policies::of([&all, &minute]);
        let seen = (&minute, &standing(10, 9, 1));
        fields.passed(seen, both.as_ref(), Before::Told(&first));
        let lines = lines(&fields);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[0].ends_with("\"minute\";q=10;w=10"), "{lines:?}");
    }

    #[test]
    fn a_limit_that_refuses_is_told_whatever_the_others_say() {
        let (minute, day) = (minute(), day(1_000));
        let mut fields = RateFields::default();
        fields.passed((&day, &standing(1_000, 0, 9)), None, Before::Beside);
        fields.refused((&minute, &standing(10, 3, 7)), None, Before::Beside);
        let lines = lines(&fields);
        assert!(
            lines.contains(&"x-ratelimit-remaining: 3".to_owned()),
            "{lines:?}"
        );
    }

    #[test]
    fn what_is_told_later_takes_the_place_of_what_was_settled() {
        let (minute, day) = (minute(), day(1_000));
        let mut edits = Edits::default();
        let policies = [Policies::of([&minute]), Policies::of([&day])];
        let mut told = [(&minute, standing(10, 5, 5)), (&day, standing(1_000, 1, 9))].into_iter();
        for policy in &policies {
            let (label, seen) = told.next().unwrap();
            edits
                .limits
                .passed((label, &seen), policy.as_ref(), Before::Beside);
            edits.settle();
        }
        let mut once = RateFields::default();
        once.passed(
            (&minute, &standing(10, 5, 5)),
            policies[0].as_ref(),
            Before::Beside,
        );
        once.passed(
            (&day, &standing(1_000, 1, 9)),
            policies[1].as_ref(),
            Before::Beside,
        );
        let mut expected = Vec::new();
        once.settle(&mut expected);
        assert_eq!(edits.answer, expected);
    }
}
