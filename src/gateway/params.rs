//! Path parameters of one request, kept as ranges of the decoded path: nothing is copied and up to
//! eight of them need no memory of their own.

use std::ops::Range;

const INLINE: usize = 8;

/// The values of an endpoint's parameters, in the order of its path. Names are the endpoint's
/// business ([`crate::gateway::router::param_names`]): two endpoints may name one position
/// differently.
#[derive(Clone, Debug, Default)]
pub struct Params {
    inline: [(u32, u32); INLINE],
    spill: Vec<(u32, u32)>,
    len: usize,
    raw_tail: bool,
}

impl Params {
    /// How many values there are, a wildcard's tail included.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the last value is the tail of a `/*`, which is forwarded as it was sent.
    pub const fn raw_tail(&self) -> bool {
        self.raw_tail
    }

    /// Where a value stands in the decoded path.
    pub fn range(&self, index: usize) -> Option<Range<usize>> {
        if index >= self.len {
            return None;
        }
        let pair = match index.checked_sub(INLINE) {
            None => self.inline.get(index),
            Some(beyond) => self.spill.get(beyond),
        };
        pair.map(|&(start, end)| start as usize..end as usize)
    }

    /// A value, decoded; `path` is the path that was matched.
    pub fn get<'p>(&self, index: usize, path: &'p [u8]) -> Option<&'p [u8]> {
        path.get(self.range(index)?)
    }

    /// Forgets everything, so that the same value can serve the next request.
    pub fn clear(&mut self) {
        self.truncate(0);
        self.raw_tail = false;
    }

    pub(crate) fn set_raw_tail(&mut self, raw: bool) {
        self.raw_tail = raw;
    }

    pub(crate) fn push(&mut self, start: usize, end: usize) {
        // Paths are far below 4 GiB; a longer one would give empty values, not wrong ones.
        let pair = (
            u32::try_from(start).unwrap_or(0),
            u32::try_from(end).unwrap_or(0),
        );
        match self.inline.get_mut(self.len) {
            Some(slot) => *slot = pair,
            None => self.spill.push(pair),
        }
        self.len += 1;
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.spill.truncate(len.saturating_sub(INLINE));
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_any_number_of_values() {
        let path: Vec<u8> = (0..40).collect();
        let mut params = Params::default();
        for at in 0..20 {
            params.push(at, at + 2);
        }
        for at in 0..20 {
            assert_eq!(params.get(at, &path), path.get(at..at + 2));
        }
        params.truncate(9);
        assert_eq!(params.len(), 9);
        assert_eq!(params.range(9), None);
        params.push(30, 31);
        assert_eq!(params.get(9, &path), Some(&[30][..]));
        params.truncate(3);
        params.push(7, 8);
        assert_eq!(params.range(3), Some(7..8));
        params.clear();
        assert!(params.is_empty());
    }
}
