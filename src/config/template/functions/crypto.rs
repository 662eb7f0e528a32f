//! sprig's sums, secrets and identifiers. Keys, certificates and password hashes stand in `refused`.

use super::convert::{base64, unbase64};
use super::{Entry, Failure, Given, Host, give, int, text};
use crate::config::template::value::Value;
use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest;
use aws_lc_rs::iv::FixedLength;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "sha1sum",
        params: "S",
        call: |_, a| give(hex(&digest::SHA1_FOR_LEGACY_USE_ONLY, a)),
    },
    Entry {
        name: "sha256sum",
        params: "S",
        call: |_, a| give(hex(&digest::SHA256, a)),
    },
    Entry {
        name: "adler32sum",
        params: "S",
        call: |_, a| give(adler32(text(a, 0).as_bytes()).to_string()),
    },
    Entry {
        name: "randBytes",
        params: "I",
        call: rand_bytes,
    },
    Entry {
        name: "uuidv4",
        params: "",
        call: uuid,
    },
    Entry {
        name: "encryptAES",
        params: "SS",
        call: encrypt,
    },
    Entry {
        name: "decryptAES",
        params: "SS",
        call: decrypt,
    },
];

fn hex(algorithm: &'static digest::Algorithm, args: &[Value]) -> String {
    let sum = digest::digest(algorithm, text(args, 0).as_bytes());
    sum.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for &byte in bytes {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    (b << 16) | a
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.map_err(|_| Failure::from("no randomness from the system"))?;
    Ok(bytes)
}

fn rand_bytes(host: &mut Host<'_>, args: &[Value]) -> Given {
    let Ok(count) = usize::try_from(int(args, 0)) else {
        return Err("a negative number of bytes".into());
    };
    host.charge(count as u64 * 2)?;
    let mut bytes = vec![0; count];
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    filled.map_err(|_| Failure::from("no randomness from the system"))?;
    give(base64(&bytes))
}

fn uuid(_: &mut Host<'_>, _: &[Value]) -> Given {
    let number = u128::from_be_bytes(random::<16>()?);
    // Version 4, variant 10 (RFC 9562).
    let number = number & !(0xf << 76) | 0x4 << 76;
    let number = number & !(0x3 << 62) | 0x2 << 62;
    let text = format!("{number:032x}");
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    give(format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    ))
}

/// sprig's key: the password's first 32 bytes, filled up with zeros.
fn key(args: &[Value]) -> Result<UnboundCipherKey, Failure> {
    let mut key = [0; 32];
    for (slot, byte) in key.iter_mut().zip(text(args, 0).bytes()) {
        *slot = byte;
    }
    UnboundCipherKey::new(&AES_256, &key).map_err(|_| Failure::from("the key cannot be used"))
}

fn encrypt(_: &mut Host<'_>, args: &[Value]) -> Given {
    let failed = |_| Failure::from("the text cannot be encrypted");
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key(args)?).map_err(failed)?;
    let iv = random::<16>()?;
    let mut data = text(args, 1).as_bytes().to_vec();
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(&mut data, context).map_err(failed)?;
    let mut all = iv.to_vec();
    all.append(&mut data);
    give(base64(&all))
}

fn decrypt(_: &mut Host<'_>, args: &[Value]) -> Given {
    let failed = || Failure::from("the text cannot be decrypted with this password");
    let all = unbase64(text(args, 1)).ok_or_else(failed)?;
    let (iv, data) = all.split_first_chunk::<16>().ok_or_else(failed)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key(args)?).map_err(|_| failed())?;
    let context = DecryptionContext::Iv128(FixedLength::from(*iv));
    let mut data = data.to_vec();
    let plain = key.decrypt(&mut data, context).map_err(|_| failed())?;
    give(String::from_utf8_lossy(plain).into_owned())
}
