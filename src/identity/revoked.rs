//! What was revoked: a bloom filter of three bit sets that rotate, position for position the one of KrakenD
//! (reference/krakend-components section 1.3). It never forgets a revocation early and takes a good token for a
//! revoked one about as seldom as was asked for.
//!
//! Differs from KrakenD: reading and adding take no lock, and hashes are not shared between requests, so that
//! checks that run at the same time do not spoil each other. The sets take memory as they fill.

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use md5::{Digest, Md5};
use std::f64::consts::LN_2;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Bits of the largest set: one gibibyte of memory when it is full.
const MOST_BITS: u64 = 1 << 33;
/// Words of a piece of memory that a set takes when its first bit is set.
const PIECE: usize = 512;
const PIECE_BITS: u64 = PIECE as u64 * 64;

/// Which hashes give an element its positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hashes {
    /// Two halves of one FNV-1 digest, combined as often as needed.
    Optimal,
    /// Up to five hashes of different kinds.
    Default,
}

/// What a filter is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How many elements it holds at one time.
    pub elements: u64,
    /// How likely it takes something else for one of them.
    pub mistake: f64,
    /// How elements are hashed.
    pub hashes: Hashes,
    /// How often its sets rotate: a revocation holds once to twice as long.
    pub period: Duration,
}

impl Shape {
    /// Bits of a set.
    ///
    /// # Errors
    /// What is wrong with the numbers.
    pub fn bits(&self) -> Result<u64, &'static str> {
        if self.elements == 0 {
            return Err("a filter for no elements holds none");
        }
        if !(self.mistake > 0.0 && self.mistake < 1.0) {
            return Err("a probability is above 0 and below 1");
        }
        if self.period.is_zero() {
            return Err("revocations would end as soon as they are made");
        }
        // In this order and form KrakenD computes it.
        let bits = -(self.elements as f64 * self.mistake.ln()) / 2_f64.powf(LN_2).ln();
        let bits = bits.ceil();
        if bits > MOST_BITS as f64 {
            return Err(
                "a filter of that size takes more than a gibibyte for each of its three sets",
            );
        }
        Ok((bits as u64).max(1))
    }

    fn positions(&self, bits: u64) -> u64 {
        (LN_2 * bits as f64 / self.elements as f64).ceil() as u64
    }
}

/// Bits, in pieces that are there once one of their bits is set.
struct Bits(Box<[OnceLock<Box<[AtomicU64]>>]>);

impl Bits {
    fn new(bits: u64) -> Self {
        let pieces = bits.div_ceil(PIECE_BITS);
        Self((0..pieces).map(|_| OnceLock::new()).collect())
    }

    fn piece(&self, at: u64) -> Option<&OnceLock<Box<[AtomicU64]>>> {
        self.0.get(usize::try_from(at / PIECE_BITS).ok()?)
    }

    fn word(piece: &[AtomicU64], at: u64) -> Option<(&AtomicU64, u64)> {
        let word = usize::try_from(at % PIECE_BITS / 64).ok()?;
        Some((piece.get(word)?, 1 << (at % 64)))
    }

    fn set(&self, at: u64) {
        let fresh = || (0..PIECE).map(|_| AtomicU64::new(0)).collect();
        let piece = self.piece(at).map(|piece| piece.get_or_init(fresh));
        if let Some((word, bit)) = piece.and_then(|piece| Self::word(piece, at)) {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    fn has(&self, at: u64) -> bool {
        let piece = self.piece(at).and_then(OnceLock::get);
        let found = piece.and_then(|piece| Self::word(piece, at));
        found.is_some_and(|(word, bit)| word.load(Ordering::Acquire) & bit != 0)
    }
}

struct Sets {
    previous: Arc<Bits>,
    current: Arc<Bits>,
    next: Arc<Bits>,
}

/// Elements that were revoked not long ago.
pub struct Filter {
    shape: Shape,
    bits: u64,
    positions: u64,
    sets: ArcSwap<Sets>,
    /// When the sets rotate next.
    due: Mutex<Instant>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Filter {
    /// An empty filter.
    ///
    /// # Errors
    /// What is wrong with the shape.
    pub fn new(shape: Shape) -> Result<Self, &'static str> {
        let bits = shape.bits()?;
        let now = Instant::now();
        let fresh = || Arc::new(Bits::new(bits));
        Ok(Self {
            shape,
            bits,
            positions: shape.positions(bits),
            sets: ArcSwap::from_pointee(Sets {
                previous: fresh(),
                current: fresh(),
                next: fresh(),
            }),
            due: Mutex::new(now.checked_add(shape.period).unwrap_or(now)),
        })
    }

    /// What it was made for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether nothing was added lately.
    pub fn is_empty(&self) -> bool {
        let sets = self.sets.load();
        let mut all = [&sets.previous, &sets.current, &sets.next].into_iter();
        all.all(|bits| bits.0.iter().all(|piece| piece.get().is_none()))
    }

    /// Revokes an element.
    pub fn add(&self, element: &[u8]) {
        let sets = self.sets.load();
        self.each(&[element], |at| {
            sets.current.set(at);
            sets.next.set(at);
            true
        });
    }

    /// Whether an element was revoked; it is told in parts that belong together.
    pub fn has(&self, parts: &[&[u8]]) -> bool {
        let sets = self.sets.load();
        let (mut previous, mut current) = (true, true);
        self.each(parts, |at| {
            previous = previous && sets.previous.has(at);
            current = current && sets.current.has(at);
            previous || current
        });
        previous || current
    }

    /// Lets what is older than a period fade, if it is time; tells whether it was.
    pub fn rotate_if_due(&self, now: Instant) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if now < *due {
            return false;
        }
        // One that slept for long forgets all at once, not one period after the other.
        let rounds = now.duration_since(*due).as_nanos() / self.shape.period.as_nanos().max(1);
        for _ in 0..=rounds.min(2) {
            self.rotate();
        }
        *due = now.checked_add(self.shape.period).unwrap_or(now);
        true
    }

    fn rotate(&self) {
        let old = self.sets.load();
        self.sets.store(Arc::new(Sets {
            previous: Arc::clone(&old.current),
            current: Arc::clone(&old.next),
            next: Arc::new(Bits::new(self.bits)),
        }));
    }

    /// Calls for each position of an element until told to stop.
    fn each(&self, parts: &[&[u8]], mut visit: impl FnMut(u64) -> bool) {
        match self.shape.hashes {
            Hashes::Optimal => {
                let (first, step) = halves(fnv128(parts));
                let mut at = first;
                for _ in 0..self.positions {
                    if !visit(at % self.bits) {
                        return;
                    }
                    at = at.wrapping_add(step);
                }
            }
            Hashes::Default => {
                let kinds = usize::try_from(self.positions).unwrap_or(usize::MAX);
                for hash in DEFAULT.iter().take(kinds) {
                    let (first, second) = hash(parts);
                    let both = std::iter::once(first).chain(second);
                    for at in both {
                        if !visit(at % self.bits) {
                            return;
                        }
                    }
                }
            }
        }
    }
}

/// A hash gives one position or two, eight bytes each; what is left over counts for nothing.
type Hash = fn(&[&[u8]]) -> (u64, Option<u64>);

const DEFAULT: [Hash; 5] = [
    |parts| {
        let mut hash = Md5::new();
        parts.iter().for_each(|part| hash.update(part));
        two(&hash.finalize())
    },
    |parts| (crc64(parts).swap_bytes(), None),
    |parts| {
        let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        parts.iter().for_each(|part| hash.update(part));
        two(hash.finish().as_ref())
    },
    |parts| (fnv64(parts).swap_bytes(), None),
    |parts| {
        let (first, second) = halves(fnv128(parts));
        (first, Some(second))
    },
];

/// The first two positions in a digest.
fn two(digest: &[u8]) -> (u64, Option<u64>) {
    let (first, rest) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let second = rest.first_chunk().copied().map(u64::from_le_bytes);
    (u64::from_le_bytes(*first), second)
}

/// A digest of sixteen bytes, each half read with its last byte first.
fn halves(digest: u128) -> (u64, u64) {
    let (high, low) = ((digest >> 64) as u64, digest as u64);
    (high.swap_bytes(), low.swap_bytes())
}

fn bytes<'p>(parts: &'p [&'p [u8]]) -> impl Iterator<Item = u8> + 'p {
    parts.iter().flat_map(|part| part.iter().copied())
}

/// FNV-1 in 128 bits.
fn fnv128(parts: &[&[u8]]) -> u128 {
    const PRIME: u128 = (1 << 88) + 0x13b;
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    bytes(parts).fold(start, |hash: u128, byte| {
        hash.wrapping_mul(PRIME) ^ u128::from(byte)
    })
}

/// FNV-1 in 64 bits.
fn fnv64(parts: &[&[u8]]) -> u64 {
    const PRIME: u64 = (1 << 40) + 0x1b3;
    let start = 0xcbf2_9ce4_8422_2325;
    bytes(parts).fold(start, |hash: u64, byte| {
        hash.wrapping_mul(PRIME) ^ u64::from(byte)
    })
}

/// CRC-64 of ECMA-182, reflected, as Go's `hash/crc64` has it.
fn crc64(parts: &[&[u8]]) -> u64 {
    const POLYNOMIAL: u64 = 0xc96c_5795_d787_0f42;
    let step = |crc: u64, byte: u8| {
        (0..8).fold(crc ^ u64::from(byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    };
    !bytes(parts).fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(hashes: Hashes) -> Shape {
        Shape {
            elements: 1000,
            mistake: 0.001,
            hashes,
            period: Duration::from_secs(60),
        }
    }

    fn filter(hashes: Hashes) -> Filter {
        Filter::new(shape(hashes)).unwrap()
    }

    fn positions(filter: &Filter, element: &str) -> Vec<u64> {
        let mut all = Vec::new();
        filter.each(&[element.as_bytes()], |at| {
            all.push(at);
            true
        });
        all
    }

    /// What Go's standard library says of the same texts, read as eight bytes with the last one first.
    #[test]
    fn hashes_are_those_of_gos_library() {
        let abc: &[&[u8]] = &[b"jti", b"-", b"abc"];
        let mail: &[&[u8]] = &[b"sub-user@", b"example.com"];
        assert_eq!(
            halves(fnv128(&[])),
            (0x4201_bb07_2e27_626c, 0x8dc5_9562_7521_b862)
        );
        assert_eq!(
            halves(fnv128(abc)),
            (0x8cf7_4f34_385e_90b8, 0xa398_049f_dd64_fa11)
        );
        assert_eq!(
            halves(fnv128(mail)),
            (0x79cb_2cc8_2f4a_f87a, 0x505f_de4e_bf0b_0130)
        );
        let [md5, crc64, sha1, fnv64, fnv128] = DEFAULT;
        assert_eq!(
            md5(abc),
            (0x6dbb_6caf_ab47_def1, Some(0x2616_385c_4b22_219d))
        );
        assert_eq!(crc64(abc), (0x123c_4542_c33f_0472, None));
        assert_eq!(crc64(mail), (0x944e_4f01_c22e_c909, None));
        assert_eq!(
            sha1(abc),
            (0x0913_4b18_203f_43b4, Some(0xd7cf_27ea_fcb8_e549))
        );
        assert_eq!(fnv64(abc), (0xdbf5_9e8e_009e_bfcf, None));
        assert_eq!(fnv64(mail), (0x000a_e4e4_3ea7_48a9, None));
        assert_eq!(
            fnv128(abc),
            (0x8cf7_4f34_385e_90b8, Some(0xa398_049f_dd64_fa11))
        );
    }

    #[test]
    fn sizes_are_those_of_the_formula() {
        for (elements, mistake, bits, positions) in [
            (10_000_000, 0.000_000_1, 335_477_044, 24),
            (1000, 0.001, 14_378, 10),
            (2, 0.5, 3, 2),
            (1, 0.999_999_9, 1, 1),
        ] {
            let shape = Shape {
                elements,
                mistake,
                ..shape(Hashes::Optimal)
            };
            assert_eq!(shape.bits(), Ok(bits));
            assert_eq!(shape.positions(bits), positions);
        }
    }

    #[test]
    fn numbers_that_make_no_filter_are_told() {
        let good = shape(Hashes::Optimal);
        let long = Shape {
            elements: 1 << 40,
            ..good
        };
        let none = Shape {
            elements: 0,
            ..good
        };
        let short = Shape {
            period: Duration::ZERO,
            ..good
        };
        let sure = [0.0, 1.0, -1.0, f64::NAN, 2.0].map(|mistake| Shape { mistake, ..good });
        for shape in [long, none, short].into_iter().chain(sure) {
            assert!(Filter::new(shape).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn an_element_has_its_positions_whatever_its_parts() {
        let optimal = filter(Hashes::Optimal);
        let (first, step) = (0x8cf7_4f34_385e_90b8_u64, 0xa398_049f_dd64_fa11_u64);
        let wanted: Vec<u64> = (0..10)
            .map(|i: u64| first.wrapping_add(step.wrapping_mul(i)) % 14_378)
            .collect();
        assert_eq!(positions(&optimal, "jti-abc"), wanted);
        assert_eq!(positions(&filter(Hashes::Default), "jti-abc").len(), 8);
    }

    #[test]
    fn what_was_added_is_found_and_little_else() {
        for hashes in [Hashes::Optimal, Hashes::Default] {
            let filter = filter(hashes);
            for number in 0..1000 {
                filter.add(format!("jti-{number}").as_bytes());
            }
            let has = |text: String| filter.has(&[b"jti", b"-", text.as_bytes()]);
            assert!((0..1000).all(|number| has(number.to_string())));
            let mistaken = (1000..101_000)
                .filter(|number| has(number.to_string()))
                .count();
            assert!(mistaken < 300, "{mistaken} of 100000 with {hashes:?}");
        }
    }

    #[test]
    fn a_revocation_holds_for_one_to_two_periods() {
        let filter = filter(Hashes::Optimal);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let has = |text: &str| filter.has(&[text.as_bytes()]);
        filter.add(b"early");
        assert!(!filter.rotate_if_due(at(59)));
        filter.add(b"late");
        assert!(filter.rotate_if_due(at(61)));
        assert!(has("early") && has("late"));
        assert!(!filter.rotate_if_due(at(61)));
        assert!(filter.rotate_if_due(at(122)));
        assert!(has("early"));
        assert!(filter.rotate_if_due(at(183)));
        assert!(!has("early") && !has("late"));
        filter.add(b"again");
        assert!(filter.rotate_if_due(at(10_000)));
        assert!(!has("again"));
    }

    #[test]
    fn an_empty_filter_takes_little_memory() {
        let shape = Shape {
            elements: 10_000_000,
            mistake: 0.000_000_1,
            ..shape(Hashes::Optimal)
        };
        let filter = Filter::new(shape).unwrap();
        filter.add(b"jti-1");
        let sets = filter.sets.load();
        let taken = sets
            .current
            .0
            .iter()
            .filter(|piece| piece.get().is_some())
            .count();
        assert!((1..=24).contains(&taken), "{taken}");
    }
}
