//! Opening a NaCl secretbox (XSalsa20 and Poly1305), in which KrakenD's `base64key` keeper puts data keys. The
//! cryptography of the house has neither; both are short, and this opens one small box when a file is read.

use aws_lc_rs::constant_time::verify_slices_are_equal;

const NONCE: usize = 24;
const TAG: usize = 16;

/// The message of a box that begins with its nonce; `None` when the key is another one or the box was changed.
pub(super) fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let (tag, cipher) = sealed.split_first_chunk::<TAG>()?;
    let (first, rest) = nonce.split_first_chunk::<16>()?;
    let subkey = hsalsa20(key, first);
    let mut stream = Stream::new(&subkey, rest.first_chunk()?);
    let one_time: [u8; 32] = stream.take();
    verify_slices_are_equal(&poly1305(&one_time, cipher), tag).ok()?;
    Some(cipher.iter().map(|byte| byte ^ stream.byte()).collect())
}

/// "expand 32-byte k".
const SIGMA: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn bytes<const N: usize>(words: &[u32]) -> [u8; N] {
    let mut out = [0; N];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    out
}

/// Key and input in the places that Salsa20 gives them.
fn state(key: &[u8; 32], input: &[u8; 16]) -> [u32; 16] {
    let ([a, b, c, d, e, f, g, h], [w, x, y, z]) = (words(key), words(input));
    let [s0, s1, s2, s3] = SIGMA;
    [s0, a, b, c, d, s1, w, x, y, z, s2, e, f, g, h, s3]
}

/// Twenty rounds over the sixteen words.
fn rounds(mut x: [u32; 16]) -> [u32; 16] {
    /// Columns, then rows.
    const QUARTERS: [[usize; 4]; 8] = [
        [0, 4, 8, 12],
        [5, 9, 13, 1],
        [10, 14, 2, 6],
        [15, 3, 7, 11],
        [0, 1, 2, 3],
        [5, 6, 7, 4],
        [10, 11, 8, 9],
        [15, 12, 13, 14],
    ];
    for _ in 0..10 {
        for [a, b, c, d] in QUARTERS {
            x[b] ^= x[a].wrapping_add(x[d]).rotate_left(7);
            x[c] ^= x[b].wrapping_add(x[a]).rotate_left(9);
            x[d] ^= x[c].wrapping_add(x[b]).rotate_left(13);
            x[a] ^= x[d].wrapping_add(x[c]).rotate_left(18);
        }
    }
    x
}

fn hsalsa20(key: &[u8; 32], input: &[u8; 16]) -> [u8; 32] {
    let x = rounds(state(key, input));
    bytes(&[x[0], x[5], x[10], x[15], x[6], x[7], x[8], x[9]])
}

/// The bytes of Salsa20, one after the other.
struct Stream {
    key: [u8; 32],
    nonce: [u8; 8],
    counter: u64,
    block: [u8; 64],
    at: usize,
}

impl Stream {
    fn new(key: &[u8; 32], nonce: &[u8; 8]) -> Self {
        Self {
            key: *key,
            nonce: *nonce,
            counter: 0,
            block: [0; 64],
            at: 64,
        }
    }

    fn byte(&mut self) -> u8 {
        if self.at == 64 {
            let mut input = [0; 16];
            let (nonce, counter) = input.split_at_mut(8);
            nonce.copy_from_slice(&self.nonce);
            counter.copy_from_slice(&self.counter.to_le_bytes());
            let begin = state(&self.key, &input);
            let mut sum = rounds(begin);
            for (word, begin) in sum.iter_mut().zip(begin) {
                *word = word.wrapping_add(begin);
            }
            self.block = bytes(&sum);
            self.counter += 1;
            self.at = 0;
        }
        let byte = self.block.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        byte
    }

    fn take(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.byte())
    }
}

/// 26 bits: five of them hold a number below 2^130, and the product of two fits 64 bits with room to add.
const MASK: u64 = (1 << 26) - 1;

/// A number of up to 17 bytes, little-endian.
fn limbs(bytes: &[u8]) -> [u64; 5] {
    let mut wide = [0; 24];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    let (words, _) = wide.as_chunks::<8>();
    let [a, b, c] = [0, 1, 2].map(|at| words.get(at).map_or(0, |word| u64::from_le_bytes(*word)));
    [
        a & MASK,
        (a >> 26) & MASK,
        ((a >> 52) | (b << 12)) & MASK,
        (b >> 14) & MASK,
        (b >> 40) | (c << 24),
    ]
}

/// RFC 8439 section 2.5.
fn poly1305(key: &[u8; 32], message: &[u8]) -> [u8; TAG] {
    let (r, s) = key.split_at(16);
    let mut clamped = [0; 16];
    clamped.copy_from_slice(r);
    for at in [3, 7, 11, 15] {
        clamped[at] &= 15;
    }
    for at in [4, 8, 12] {
        clamped[at] &= 252;
    }
    let r = limbs(&clamped);
    let mut sum = [0; 5];
    for chunk in message.chunks(16) {
        let mut block = [0; 17];
        for (to, from) in block.iter_mut().zip(chunk.iter().chain(&[1])) {
            *to = *from;
        }
        for (sum, limb) in sum.iter_mut().zip(limbs(&block)) {
            *sum += limb;
        }
        sum = product(sum, r);
    }
    let whole = reduced(sum);
    let mut low = [0; 16];
    low.copy_from_slice(s);
    let added = whole.wrapping_add(u128::from_le_bytes(low));
    added.to_le_bytes()
}

/// The product modulo 2^130 - 5, with limbs of little more than 26 bits.
fn product(a: [u64; 5], b: [u64; 5]) -> [u64; 5] {
    let mut wide = [0_u64; 5];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            // What goes beyond 2^130 comes back five times.
            let times = if i + j >= 5 { 5 } else { 1 };
            wide[(i + j) % 5] += x * y * times;
        }
    }
    carried(wide)
}

fn carried(mut limbs: [u64; 5]) -> [u64; 5] {
    let mut carry = 0;
    for limb in &mut limbs {
        *limb += carry;
        carry = *limb >> 26;
        *limb &= MASK;
    }
    limbs[0] += carry * 5;
    limbs[1] += limbs[0] >> 26;
    limbs[0] &= MASK;
    limbs
}

/// The low 128 bits of the number below 2^130 - 5.
fn reduced(limbs: [u64; 5]) -> u128 {
    let limbs = carried(carried(limbs));
    // Adding five reaches 2^130 when it is not below.
    let mut more = limbs;
    more[0] += 5;
    let mut carry = 0;
    for limb in &mut more {
        *limb += carry;
        carry = *limb >> 26;
        *limb &= MASK;
    }
    let chosen = if carry > 0 { more } else { limbs };
    let wide = chosen.map(u128::from);
    wide[0] | wide[1] << 26 | wide[2] << 52 | wide[3] << 78 | wide[4] << 104
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of so many bytes in boxes that Go's `nacl/secretbox` made.
    const BOXES: [(usize, &str); 13] = [
        (0, "354ffdd6d68e54e627a1a59a43655159"),
        (1, "e3949657805bf5d130a3dc039258782fab"),
        (
            15,
            "54d7de511012778c94a0248858e07351a541726da46a3500422920ce13d145",
        ),
        (
            16,
            "902c40ac06749000dcfeb18dcf092366ba40716ca36b36014d2823cf14d046bd",
        ),
        (
            17,
            "7d9dd559896c5e8c5fc0e4096157e187bb437063a26837064c2b22f015d347ba8b",
        ),
        (
            31,
            "15ea524e118021f7f038e55541c549beb571621db45a0510b23910fe03a1558c85b202f281cfc543107a861c11307f",
        ),
        (
            32,
            "eec0e903528bc61f928476de7bd7a6c38a70611cb35b0611bd3813ff04a0568d9ab301f386cec6421f7b851d16317c4d",
        ),
        (
            33,
            "8701a80dc75a039a2a689686351114818b736013b2580716bc3b12e005a3578a9bb000fc87cdc7451e7884e217327d4ab0",
        ),
        (
            63,
            "b8f0ecc4b638bb68958aa917d3bcc5249511023d94bae5f09219709e6381756c655222d2e1afa563309a66fc31101f2cae4891d4ca8563cc5f263c38109f4c5f975f9e0bc89f627d30545abcf8b36a",
        ),
        (
            64,
            "7434b9c22bf2d84726cc8947e51a8534ea10013c93bbe6f19d18739f6480766d7a5321d3e6aea6623f9b65fd36111c2d914992d5cd8460cd50273f39179e4f5e885e9d0acf9e617c3f5559bdffb269a5",
        ),
        (
            65,
            "1603bd6798f562d0b3d12eb4113ec8c8eb13003392b8e7f69c1b72806583776a7b5020dce7ada7653e9864c237121d2a904a93dacc8761ca51243e26169d4e59895d9c05ce9d607b3e5658c2feb168a2e9",
        ),
        (
            100,
            "75cc92a4f4d27a092f11c7fd760292cdce2c25d07f9fdad5f97457a3b8649a495e0f45bfca8a7a86dbb741a14a75300975b576f9e1e01ca9740bdbc5cbba633aec02b926237abd581b393de1c3968541cc85f5158638c9f7a3e1deaa0f4b0aadc99f751514796578813ef75d3795817076a09770",
        ),
        (
            300,
            "dcc80416c6bc9a3745a98e389e0a356286641d08875712eda10c1feb70bc628196471dc792c2b25e236f89e9020d6841bd7d8e21d9a854d12c33130d03625b72a44ae11efbb27580236175a98bae5d89044dcd4dfe7081cf7b191662471372e58157adedccb12d20f966bf95ff6d59b83ee8ef288955e22d3f92a04346cfb8ed6856a73ebd5f50bf026c6db7d6d7b763f02391b49226fe37fa5e3c66dceba9ca412b2f0cb65347267084f71c060ac73871510eb9f4d53ba3a12db78676c4f035bb271992d98ad633c1099344487241ff894c8f64260cde00e918a624184e9f71487844f1d8d19376d2550902629e9f57bb2c65a2c5cd57e39a99670849677b9f4e3290ec4163b541ab1f3c91bedcadeb8ebf54a4b23e0c3f65040123642a6ca10d1bfb97a8474ad9f0644376630c7e9e33950c611b8eaad877f2b67e",
        ),
    ];

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().as_chunks::<2>().0;
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.iter().map(|pair| byte(pair).unwrap()).collect()
    }

    fn key() -> [u8; 32] {
        std::array::from_fn(|at| (at * 7 + 1) as u8)
    }

    fn sealed(text: &str) -> Vec<u8> {
        let nonce: [u8; NONCE] = std::array::from_fn(|at| (at * 11 + 5) as u8);
        [&nonce[..], &hex(text)].concat()
    }

    #[test]
    fn opens_the_boxes_of_another_implementation() {
        for (length, text) in BOXES {
            let message: Vec<u8> = (0..length).map(|at| (at * 13 + length) as u8).collect();
            assert_eq!(open(&key(), &sealed(text)), Some(message), "{length}");
        }
    }

    #[test]
    fn opens_nothing_that_was_changed() {
        let (_, text) = BOXES[5];
        let whole = sealed(text);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert_eq!(open(&key(), &changed), None, "{at}");
        }
        for length in 0..whole.len() {
            assert_eq!(open(&key(), &whole[..length]), None, "{length}");
        }
        let mut other = key();
        other[31] ^= 1;
        assert_eq!(open(&other, &whole), None);
    }

    #[test]
    fn sums_that_wrap_around_are_right() {
        // RFC 8439 appendix A.3, test vectors 7, 8, 9 and 11.
        let key = |r: &str| -> [u8; 32] {
            let mut key = [0; 32];
            let r = hex(r);
            key[..r.len()].copy_from_slice(&r);
            key
        };
        let (ff, zero) = ("ff".repeat(16), "00".repeat(15));
        let two = format!("02{zero}");
        let one = format!("01{zero}");
        for (r, message, tag) in [
            (&two, ff.clone(), format!("03{zero}")),
            (
                &one,
                format!("{ff}f0{}11{zero}", "ff".repeat(15)),
                format!("05{zero}"),
            ),
            (
                &one,
                format!("{ff}fb{}{}", "fe".repeat(15), "01".repeat(16)),
                format!("00{zero}"),
            ),
            (
                &two,
                format!("fd{}", "ff".repeat(15)),
                format!("fa{}", "ff".repeat(15)),
            ),
        ] {
            assert_eq!(poly1305(&key(r), &hex(&message)).to_vec(), hex(&tag));
        }
    }
}
