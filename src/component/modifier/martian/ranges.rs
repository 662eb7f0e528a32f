//! `Range`: which part of a body is asked for, and the answer that gives it. The native dialect follows RFC
//! 9110 section 14; the krakend dialect reads the field as martian does, and fails where that panics.

use super::fault;
use crate::base::{Dialect, Error};
use crate::gateway::path::go_quote;
use bytes::Bytes;
use http::HeaderValue;

/// More ranges than this are not served one by one.
const MAX_RANGES: usize = 32;
/// Ranges may overlap; together they are no longer than this.
const MAX_TOTAL: u64 = 64 << 20;

/// What is asked for; first and last byte, both inside the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Whole,
    /// Nothing that is there.
    Unsatisfiable,
    Parts(Vec<(u64, u64)>),
}

/// A body that answers, with what its head says about it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) status: Option<u16>,
    pub(super) range: Option<HeaderValue>,
    /// Instead of the body's own.
    pub(super) content_type: Option<HeaderValue>,
    pub(super) body: Bytes,
}

impl Asked {
    /// Reads the value of `Range` for a body of this size.
    pub(super) fn parse(range: &[u8], size: u64, dialect: Dialect) -> Result<Self, Error> {
        let asked = match dialect {
            Dialect::Native => native(range, size),
            Dialect::Krakend => martian(range, size)?,
        };
        let Self::Parts(parts) = &asked else {
            return Ok(asked);
        };
        let total: u64 = parts.iter().map(|(first, last)| last - first + 1).sum();
        if parts.len() <= MAX_RANGES && total <= MAX_TOTAL {
            return Ok(asked);
        }
        match dialect {
            // A server may ignore the field.
            Dialect::Native => Ok(Self::Whole),
            Dialect::Krakend => Err(fault("too many ranges")),
        }
    }

    /// The answer out of a body that is at hand.
    pub(super) fn of(
        &self,
        body: &Bytes,
        size: u64,
        content_type: &HeaderValue,
        boundary: &str,
        dialect: Dialect,
    ) -> Result<Part, Error> {
        match self {
            Self::Whole => Ok(Part::whole(body.clone())),
            Self::Unsatisfiable => Ok(Part::unsatisfiable(size, dialect)),
            Self::Parts(parts) => {
                let cut = parts.iter().map(|&(first, last)| {
                    let span = usize::try_from(first).ok().zip(usize::try_from(last).ok());
                    let bytes = span
                        .filter(|(first, last)| first <= last && *last < body.len())
                        .map(|(first, last)| body.slice(first..=last));
                    bytes.map(|bytes| (first, last, bytes))
                });
                let cut: Option<Vec<_>> = cut.collect();
                let cut = cut.ok_or_else(|| fault("range outside the body"))?;
                Ok(Part::cut(&cut, size, content_type, boundary))
            }
        }
    }
}

impl Part {
    pub(super) fn whole(body: Bytes) -> Self {
        Self {
            status: None,
            range: None,
            content_type: None,
            body,
        }
    }

    pub(super) fn unsatisfiable(size: u64, dialect: Dialect) -> Self {
        let native = dialect == Dialect::Native;
        let range = native.then(|| HeaderValue::from_str(&format!("bytes */{size}")).ok());
        Self {
            status: Some(416),
            range: range.flatten(),
            content_type: None,
            body: Bytes::new(),
        }
    }

    /// One part as it is, several as `multipart/byteranges`, written as Go's `mime/multipart` does.
    pub(super) fn cut(
        parts: &[(u64, u64, Bytes)],
        size: u64,
        content_type: &HeaderValue,
        boundary: &str,
    ) -> Self {
        let range = |first: u64, last: u64| format!("bytes {first}-{last}/{size}");
        if let [(first, last, bytes)] = parts {
            return Self {
                status: Some(206),
                range: HeaderValue::from_str(&range(*first, *last)).ok(),
                content_type: None,
                body: bytes.clone(),
            };
        }
        let mut body = Vec::new();
        for (index, (first, last, bytes)) in parts.iter().enumerate() {
            if index > 0 {
                body.extend_from_slice(b"\r\n");
            }
            let range = range(*first, *last);
            let head = format!("--{boundary}\r\nContent-Range: {range}\r\nContent-Type: ");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content_type.as_bytes());
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(bytes);
        }
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        Self {
            status: Some(206),
            range: None,
            content_type: HeaderValue::from_str(&content_type).ok(),
            body: body.into(),
        }
    }
}

/// RFC 9110: what cannot be read is ignored, ends are cut to the body.
fn native(range: &[u8], size: u64) -> Asked {
    let read = || -> Option<Vec<(u64, u64)>> {
        let text = std::str::from_utf8(range).ok()?;
        let (unit, specs) = text.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let mut parts = Vec::new();
        for spec in specs.split(',').take(MAX_RANGES + 1) {
            let (first, last) = spec.trim().split_once('-')?;
            parts.extend(match (first, last) {
                ("", suffix) => {
                    let length = digits(suffix)?.min(size);
                    (length > 0).then(|| (size - length, size - 1))
                }
                (first, "") => {
                    let first = digits(first)?;
                    (first < size).then(|| (first, size - 1))
                }
                (first, last) => {
                    let (first, last) = (digits(first)?, digits(last)?);
                    if first > last {
                        return None;
                    }
                    (first < size).then(|| (first, last.min(size - 1)))
                }
            });
        }
        Some(parts)
    };
    match read() {
        None => Asked::Whole,
        Some(parts) if parts.is_empty() => Asked::Unsatisfiable,
        Some(parts) => Asked::Parts(parts),
    }
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More digits than fit are more bytes than there are.
    all.then(|| text.parse().unwrap_or(u64::MAX))
}

/// martian's reading, step by step; what goes past the end is an error where Go panics.
fn martian(range: &[u8], size: u64) -> Result<Asked, Error> {
    let text = String::from_utf8_lossy(range).to_lowercase();
    let specs = text.trim_start_matches(|c| "bytes=".contains(c));
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let mut parts = Vec::new();
    for spec in specs.split(',').take(MAX_RANGES + 1) {
        let spec = match spec.strip_suffix('-') {
            Some(_) => format!("{spec}{}", size - 1),
            None => spec.to_owned(),
        };
        let mut ends = spec.split('-');
        let (Some(first), Some(last), None) = (ends.next(), ends.next(), ends.next()) else {
            return Ok(Asked::Unsatisfiable);
        };
        let (first, last) = (atoi(first)?, atoi(last)?);
        if first > last {
            return Ok(Asked::Unsatisfiable);
        }
        if last >= size || first < 0 {
            return Err(fault("slice bounds out of range"));
        }
        let unsigned = |number: i64| u64::try_from(number).unwrap_or_default();
        parts.push((unsigned(first), unsigned(last)));
    }
    Ok(Asked::Parts(parts))
}

fn atoi(text: &str) -> Result<i64, Error> {
    let text = text.trim();
    text.parse().map_err(|_| {
        let quoted = go_quote(text.as_bytes());
        fault(format!("strconv.Atoi: parsing {quoted}: invalid syntax"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(range: &str, size: u64, dialect: Dialect) -> Result<Asked, String> {
        Asked::parse(range.as_bytes(), size, dialect).map_err(|error| error.text.into_owned())
    }

    #[test]
    fn native_reads_as_the_rfc_says() {
        use Asked::{Parts, Unsatisfiable, Whole};
        for (range, asked) in [
            ("bytes=0-4", Parts(vec![(0, 4)])),
            ("bytes=4-", Parts(vec![(4, 9)])),
            ("bytes=-3", Parts(vec![(7, 9)])),
            ("bytes=-30", Parts(vec![(0, 9)])),
            ("bytes=5-99999999999999999999", Parts(vec![(5, 9)])),
            ("BYTES=0-0, 9-9", Parts(vec![(0, 0), (9, 9)])),
            ("bytes=10-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=10-,0-0", Parts(vec![(0, 0)])),
            ("bytes=4-2", Whole),
            ("bytes=a-b", Whole),
            ("lines=1-2", Whole),
            ("bytes", Whole),
            ("bytes=", Whole),
        ] {
            assert_eq!(read(range, 10, Dialect::Native), Ok(asked), "{range}");
        }
        let many = format!("bytes={}", "0-1,".repeat(100) + "0-1");
        assert_eq!(read(&many, 10, Dialect::Native), Ok(Whole));
        assert_eq!(read("bytes=0-", 0, Dialect::Native), Ok(Unsatisfiable));
    }

    #[test]
    fn krakend_reads_as_martian_does() {
        use Asked::{Parts, Unsatisfiable};
        for (range, asked) in [
            ("bytes=0-4", Ok(Parts(vec![(0, 4)]))),
            ("0-4", Ok(Parts(vec![(0, 4)]))),
            ("bytes=4-", Ok(Parts(vec![(4, 9)]))),
            ("bytes=0-0, 9-9", Ok(Parts(vec![(0, 0), (9, 9)]))),
            ("bytes=4-2", Ok(Unsatisfiable)),
            ("bytes=1-2-3", Ok(Unsatisfiable)),
            ("bytes=5", Ok(Unsatisfiable)),
            (
                "bytes=-5",
                Err("strconv.Atoi: parsing \"\": invalid syntax".to_owned()),
            ),
            ("bytes=0-10", Err("slice bounds out of range".to_owned())),
        ] {
            assert_eq!(read(range, 10, Dialect::Krakend), asked, "{range}");
        }
        let many = "0-1,".repeat(100) + "0-1";
        assert!(read(&many, 10, Dialect::Krakend).is_err());
    }

    #[test]
    fn several_parts_are_written_as_go_writes_them() {
        let body = Bytes::from_static(b"0123456789");
        let text = HeaderValue::from_static("text/plain");
        let asked = Asked::Parts(vec![(0, 1), (8, 9)]);
        let part = asked.of(&body, 10, &text, "B", Dialect::Native).unwrap();
        assert_eq!(
            part.body,
            "--B\r\nContent-Range: bytes 0-1/10\r\nContent-Type: text/plain\r\n\r\n01\r\n--B\r\nContent-Range: bytes 8-9/10\r\nContent-Type: text/plain\r\n\r\n89\r\n--B--\r\n"
        );
        assert_eq!(
            part.content_type.unwrap(),
            "multipart/byteranges; boundary=B"
        );
        assert_eq!((part.status, part.range), (Some(206), None));
    }
}
