//! sprig's semantic versions: a version with its parts, and constraints as Masterminds' library has them
//! (`>=1.2, <2 || ~3.1 || ^0.4 || 1.x || 1 - 2`).

use super::{Entry, Failure, Given, text};
use crate::config::template::value::{Object, Value};
use regex::Regex;
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::LazyLock;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "semver",
        params: "S",
        call: |_, a| parsed(text(a, 0)),
    },
    Entry {
        name: "semverCompare",
        params: "SS",
        call: |_, a| Ok(Value::Bool(compare(text(a, 0), text(a, 1))?)),
    },
];

/// A version; a part that a constraint leaves open (`1.x`) is 0 there and named by `Constraint`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    pre: String,
    meta: String,
}

const VERSION: &str = r"v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?(?:-([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?(?:\+([0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?";
const PART: &str = r"v?([0-9xX*]+)(\.[0-9xX*]+)?(\.[0-9xX*]+)?(-[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*)?(?:\+[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*)?";
const OPERATORS: &str = r"(>=|=>|<=|=<|!=|~>|=|>|<|~|\^)?";

#[expect(
    clippy::unwrap_used,
    reason = "the expressions are constants, and a test compiles them"
)]
static WHOLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(&format!("^{VERSION}$")).unwrap());
#[expect(
    clippy::unwrap_used,
    reason = "the expressions are constants, and a test compiles them"
)]
static ONE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(r"^\s*{OPERATORS}\s*{PART}\s*,?")).unwrap());
#[expect(
    clippy::unwrap_used,
    reason = "the expressions are constants, and a test compiles them"
)]
static RANGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\S+)\s+-\s+(\S+)").unwrap());

fn version(text: &str) -> Option<Version> {
    let found = WHOLE.captures(text)?;
    let part = |index: usize| found.get(index).map_or("", |part| part.as_str());
    let number = |index: usize| match part(index).trim_start_matches('.') {
        "" => Some(0),
        digits => digits.parse().ok(),
    };
    Some(Version {
        numbers: [number(1)?, number(2)?, number(3)?],
        pre: part(4).to_owned(),
        meta: part(5).to_owned(),
    })
}

fn invalid(text: &str) -> Failure {
    Failure::from("Invalid Semantic Version")
        .hint(format!("{text:?} is none; write for example 1.2.3"))
}

fn parsed(text: &str) -> Given {
    let found = version(text).ok_or_else(|| invalid(text))?;
    let [major, minor, patch] = found.numbers;
    let mut shown = format!("{major}.{minor}.{patch}");
    for (mark, part) in [('-', &found.pre), ('+', &found.meta)] {
        if !part.is_empty() {
            shown.push(mark);
            shown.push_str(part);
        }
    }
    let number = |n: u64| Value::int64(i64::try_from(n).unwrap_or(i64::MAX));
    Ok(Value::Object(Rc::new(Object {
        type_name: "*semver.Version",
        fields: vec![
            ("Major", number(major)),
            ("Minor", number(minor)),
            ("Patch", number(patch)),
            ("Prerelease", Value::text(found.pre)),
            ("Metadata", Value::text(found.meta)),
            ("Original", Value::text(text)),
            ("String", Value::text(shown.clone())),
        ],
        shown,
    })))
}

fn order(a: &Version, b: &Version) -> Ordering {
    a.numbers
        .cmp(&b.numbers)
        .then_with(|| match (a.pre.is_empty(), b.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => before_release(&a.pre, &b.pre),
        })
}

fn before_release(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (one, other) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => (one, other),
        };
        let found = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => one.cmp(other),
        };
        if found != Ordering::Equal {
            return found;
        }
    }
}

/// One condition.
struct Constraint {
    operator: String,
    version: Version,
    /// Any part is open; the minor, the patch is.
    open: bool,
    minor_open: bool,
    patch_open: bool,
}

fn constraint(found: &regex::Captures<'_>) -> Option<Constraint> {
    let part = |index: usize| {
        found
            .get(index)
            .map_or("", |part| part.as_str().trim_start_matches('.'))
    };
    let open = |text: &str| matches!(text, "" | "x" | "X" | "*");
    let (major, minor, patch) = (part(2), part(3), part(4));
    let pre = part(5).trim_start_matches('-').to_owned();
    let (mut minor_open, mut patch_open) = (false, false);
    let numbers = if open(major) {
        [0, 0, 0]
    } else if open(minor) {
        minor_open = true;
        [major.parse().ok()?, 0, 0]
    } else if open(patch) {
        patch_open = true;
        [major.parse().ok()?, minor.parse().ok()?, 0]
    } else {
        [
            major.parse().ok()?,
            minor.parse().ok()?,
            patch.parse().ok()?,
        ]
    };
    Some(Constraint {
        operator: part(1).to_owned(),
        open: open(major) || minor_open || patch_open,
        version: Version {
            numbers,
            pre,
            meta: String::new(),
        },
        minor_open,
        patch_open,
    })
}

impl Constraint {
    fn holds(&self, version: &Version) -> bool {
        let ([major, minor, patch], [own_major, own_minor, own_patch]) =
            (version.numbers, self.version.numbers);
        let unasked = !version.pre.is_empty() && self.version.pre.is_empty();
        let compared = order(version, &self.version);
        if unasked && (self.operator != "!=" || self.open) {
            return false;
        }
        match self.operator.as_str() {
            "!=" if self.open => {
                if own_major != major || own_minor != minor && !self.minor_open {
                    true
                } else if self.minor_open {
                    false
                } else if own_patch != patch && !self.patch_open {
                    true
                } else if self.patch_open {
                    (!version.pre.is_empty() || !self.version.pre.is_empty())
                        && version.pre != self.version.pre
                } else {
                    compared != Ordering::Equal
                }
            }
            "!=" => compared != Ordering::Equal,
            ">" if self.open => {
                major > own_major
                    || major == own_major
                        && !self.minor_open
                        && if self.patch_open {
                            minor > own_minor
                        } else {
                            compared == Ordering::Greater
                        }
            }
            ">" => compared == Ordering::Greater,
            "<" => compared == Ordering::Less,
            ">=" | "=>" => compared != Ordering::Less,
            "<=" | "=<" if self.open => {
                !(major > own_major || major == own_major && minor > own_minor && !self.minor_open)
            }
            "<=" | "=<" => compared != Ordering::Greater,
            "~" | "~>" => self.tilde(version, compared),
            "^" => {
                if compared == Ordering::Less {
                    false
                } else if own_major > 0 || self.minor_open {
                    major == own_major
                } else if major > 0 {
                    false
                } else if own_minor > 0 || self.patch_open {
                    minor == own_minor
                } else {
                    minor == 0 && patch == own_patch
                }
            }
            _ if self.open => self.tilde(version, compared),
            _ => compared == Ordering::Equal,
        }
    }

    fn tilde(&self, version: &Version, compared: Ordering) -> bool {
        if compared == Ordering::Less {
            return false;
        }
        let ([major, minor, _], [own_major, own_minor, _]) =
            (version.numbers, self.version.numbers);
        if self.version.numbers == [0, 0, 0] && !self.minor_open && !self.patch_open {
            return true;
        }
        major == own_major && (minor == own_minor || self.minor_open)
    }
}

fn compare(constraints: &str, text: &str) -> Result<bool, Failure> {
    let found = version(text).ok_or_else(|| invalid(text))?;
    let rewritten = RANGE.replace_all(constraints, ">=$1 <=$2");
    let mut any_holds = false;
    for alternative in rewritten.split("||") {
        let mut rest = alternative;
        let mut all_hold = true;
        let mut seen = false;
        while !rest.trim().is_empty() || !seen {
            let improper = || Failure::from(format!("improper constraint: {alternative}"));
            let captures = ONE.captures(rest).ok_or_else(improper)?;
            let length = captures.get(0).map_or(0, |all| all.end());
            all_hold &= constraint(&captures).ok_or_else(improper)?.holds(&found);
            rest = rest.get(length..).unwrap_or_default();
            seen = true;
        }
        any_holds |= all_hold;
    }
    Ok(any_holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expressions_compile() {
        assert!(WHOLE.is_match("1.2.3-a+b") && ONE.is_match(">=1") && RANGE.is_match("1 - 2"));
    }
}
