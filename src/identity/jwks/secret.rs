//! Enciphered files of keys (`secret_url`, `cypher_key`): the keeper behind the URL opens the data key, the data key
//! opens the file.
//!
//! As in KrakenD, the file is AES-256-GCM with its nonce in front, under the hexadecimal MD5 of the data key; the
//! keeper of `base64key://` is a NaCl secretbox. Keepers in a cloud are not there: a file that needs one is refused.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use md5::{Digest, Md5};

use super::options::SourceError;
use super::secretbox;

/// Bytes of the nonce of AES-GCM.
const NONCE: usize = 12;

/// Opens files of one data key.
pub struct Keeper(LessSafeKey);

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    /// Opens the data key (`cypher_key`, base64) with the keeper of a URL.
    ///
    /// # Errors
    /// When the URL's keeper is not there or does not open the data key. The texts hold nothing of either.
    pub fn new(secret_url: &str, cypher_key: &str) -> Result<Self, SourceError> {
        let url = |text: &str| SourceError::new("secret_url", text);
        let (scheme, rest) = secret_url
            .split_once("://")
            .ok_or_else(|| url("it names no keeper"))?;
        if scheme != "base64key" {
            let known = ["awskms", "azurekeyvault", "gcpkms", "hashivault"];
            return Err(match known.iter().find(|known| **known == scheme) {
                Some(known) => url(&format!(
                    "keeper \"{known}\" is not supported, base64key is"
                )),
                None => url("an unknown keeper; base64key is supported"),
            });
        }
        let key = rest.split(['?', '#']).next().unwrap_or_default();
        let key = URL_SAFE.decode(key).or_else(|_| STANDARD.decode(key));
        let key: [u8; 32] = key
            .ok()
            .and_then(|key| key.try_into().ok())
            .ok_or_else(|| url("a key of base64key has 32 bytes in base64"))?;
        let cypher = |text: &str| SourceError::new("cypher_key", text);
        let sealed = STANDARD
            .decode(cypher_key)
            .map_err(|_| cypher("it is no base64"))?;
        let data = secretbox::open(&key, &sealed)
            .ok_or_else(|| cypher("the keeper of secret_url does not open it"))?;
        Self::of(&data).ok_or_else(|| cypher("it cannot be used"))
    }

    fn of(data_key: &[u8]) -> Option<Self> {
        let sum = Md5::digest(data_key);
        let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = UnboundKey::new(&AES_256_GCM, hex.as_bytes()).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// The text of a file; `None` when it was enciphered with another key or changed since.
    pub(super) fn open(&self, file: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = file.split_at_checked(NONCE)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let length = self
            .0
            .open_in_place(nonce, Aad::empty(), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Dialect;
    use crate::identity::jose::KeySet;

    /// Key, data key and file as KrakenD's libraries make them: secretbox, MD5 and AES-GCM of Go.
    const URL: &str = "base64key://AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09o=";
    const CYPHER: &str =
        "BRAbJjE8R1JdaHN+iZSfqrXAy9bh7PcCccfUYixoYLEPGTAV1inBOM48LzrHUQ0TFcLXcMwB5U4eK3iQ0Q==";
    const FILE: &str = "AQIDBAUGBwgJCgsMH/gP53V/EkWMtzQVs1bwra3raJGjgUtejOOX5Tu3x5+PyXWamIIp/ctTU6QkKPtWX/P7b8E83ecFdP1Z2WDtP2ADVCDIrYUgAkGAaDPn0VVraPTBwrrk1D62aiIlw7apH94dmNnRuoAWGtXz2rvfVCN09Mk=";

    #[test]
    fn opens_files_as_krakend_makes_them() {
        let keeper = Keeper::new(URL, CYPHER).unwrap();
        let file = STANDARD.decode(FILE).unwrap();
        let set = KeySet::parse(&keeper.open(&file).unwrap(), Dialect::Native).unwrap();
        assert_eq!(set.keys()[0].kid(), "a");
        let mut changed = file.clone();
        changed[20] ^= 1;
        assert_eq!(keeper.open(&changed), None);
        assert_eq!(keeper.open(&file[..10]), None);
        assert_eq!(Keeper::of(b"another data key").unwrap().open(&file), None);
    }

    #[test]
    fn what_cannot_be_opened_names_its_setting() {
        let other = format!("base64key://{}", STANDARD.encode([1; 32]));
        for (url, cypher, setting) in [
            ("", CYPHER, "secret_url"),
            ("hashivault://key", CYPHER, "secret_url"),
            ("awskms://key", CYPHER, "secret_url"),
            ("x://key", CYPHER, "secret_url"),
            ("base64key://", CYPHER, "secret_url"),
            ("base64key://AAAA", CYPHER, "secret_url"),
            (other.as_str(), CYPHER, "cypher_key"),
            (URL, "!", "cypher_key"),
            (URL, "AAAA", "cypher_key"),
        ] {
            let error = Keeper::new(url, cypher).unwrap_err();
            assert_eq!(error.setting, setting, "{url}");
            assert!(!error.text.contains("AQgPF"), "{error}");
        }
    }
}
