//! API keys that stand in the file, in clear or hashed, each with roles (reference/krakend-components section 12.1).
//!
//! Keys are hashed when the file is compiled and looked up under a digest that is keyed by the process: nothing here
//! holds a key, and how long a look-up takes tells nothing about the keys that there are.

use super::digests::{self, Digest};
use crate::body::{Object, Value};
use crate::gateway::identity::{Identity, Minted, Proof};
use aws_lc_rs::{constant_time, digest};
use http::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How keys are written in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// As clients send them.
    #[default]
    Plain,
    /// FNV-1 or FNV-1a of 128 bits, in hexadecimal digits. No cryptographic hash.
    Fnv128,
    /// SHA-1, in hexadecimal digits.
    Sha1,
    /// SHA-256, in hexadecimal digits.
    Sha256,
}

impl Written {
    /// The words of the file.
    pub const WORDS: &'static [&'static str] = &["plain", "fnv128", "sha256", "sha1"];

    /// By its word.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "plain" => Self::Plain,
            "fnv128" => Self::Fnv128,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            _ => return None,
        })
    }

    /// How many hexadecimal digits a key has in the file; `None` for keys in clear.
    pub const fn digits(self) -> Option<usize> {
        match self {
            Self::Plain => None,
            Self::Fnv128 => Some(32),
            Self::Sha1 => Some(40),
            Self::Sha256 => Some(64),
        }
    }
}

/// All keys of a file.
#[derive(Default)]
pub struct StaticKeys {
    written: Written,
    salt: Box<[u8]>,
    holders: HashMap<Digest, Holder>,
}

/// Who has a key.
pub struct Holder {
    roles: Box<[Box<str>]>,
    /// Who they are for backends, by the role that let them in, and last without one.
    made: Box<[OnceLock<Arc<Identity>>]>,
}

/// Why a key of the file is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// Nothing, or only white space, which no client can send.
    Empty,
    /// Not the hexadecimal digits of its hash.
    NotHex,
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.holders.len())
    }
}

impl StaticKeys {
    /// A table without keys. The salt stands before a key when it is hashed; keys in clear have none.
    pub fn new(written: Written, salt: &str) -> Self {
        Self {
            written,
            salt: salt.as_bytes().into(),
            holders: HashMap::new(),
        }
    }

    /// Takes a key as the file has it; `Ok(true)` when it stood there before, and then its new roles count.
    ///
    /// # Errors
    /// Why it is none.
    pub fn add(&mut self, key: &str, roles: Vec<String>) -> Result<bool, BadKey> {
        let key = key.trim();
        if key.is_empty() {
            return Err(BadKey::Empty);
        }
        let index = match self.written.digits() {
            None => index(&digests::sha256(key.as_bytes())),
            Some(digits) => {
                let bytes = (key.len() == digits).then(|| digests::unhex(key)).flatten();
                index(&bytes.ok_or(BadKey::NotHex)?)
            }
        };
        let made = (0..=roles.len()).map(|_| OnceLock::new()).collect();
        let roles = roles.into_iter().map(Into::into).collect();
        Ok(self.holders.insert(index, Holder { roles, made }).is_some())
    }

    /// Whether there are no keys at all.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// Whose key a client shows.
    pub fn find(&self, shown: &[u8]) -> Option<&Holder> {
        if self.written != Written::Fnv128 {
            return self.at(&self.hashed(shown));
        }
        let salted = [&self.salt, shown].concat();
        let found = self.at(&digests::fnv128(&salted, false));
        found.or_else(|| self.at(&digests::fnv128(&salted, true)))
    }

    fn at(&self, hash: &[u8]) -> Option<&Holder> {
        let wanted = index(hash);
        let (found, holder) = self.holders.get_key_value(&wanted)?;
        constant_time::verify_slices_are_equal(found, &wanted).ok()?;
        Some(holder)
    }

    fn hashed(&self, shown: &[u8]) -> Vec<u8> {
        let algorithm = match self.written {
            Written::Plain => return digests::sha256(shown).to_vec(),
            Written::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            _ => &digest::SHA256,
        };
        let mut context = digest::Context::new(algorithm);
        context.update(&self.salt);
        context.update(shown);
        context.finish().as_ref().to_vec()
    }
}

/// Under what a hash is found.
fn index(hash: &[u8]) -> Digest {
    digests::keyed(&[b"static key", hash])
}

impl Holder {
    /// The first of the holder's roles that is wanted: its number, or one beyond the last when none is wanted. `None`
    /// when the holder has none of those.
    pub fn role(&self, wanted: &[Box<str>]) -> Option<usize> {
        if wanted.is_empty() {
            return Some(self.roles.len());
        }
        self.roles.iter().position(|role| wanted.contains(role))
    }

    /// Who it is for backends, let in by that role; `field` is to tell them the role. Made once.
    pub fn identity(
        &self,
        role: usize,
        shown: &[u8],
        field: Option<&HeaderName>,
    ) -> Option<Arc<Identity>> {
        let made = self.made.get(role)?;
        let make = || {
            let name = self.roles.get(role).map_or("ANY", |role| role);
            Arc::new(self.make(name, shown, field))
        };
        Some(Arc::clone(made.get_or_init(make)))
    }

    fn make(&self, role: &str, shown: &[u8], field: Option<&HeaderName>) -> Identity {
        let roles: Vec<Value> = self.roles.iter().map(|role| Value::string(role)).collect();
        let mut claims = Object::default();
        claims.insert("roles", Value::Array(roles.into()));
        let minted = field.map(|name| Minted {
            name: name.clone(),
            values: HeaderValue::from_str(role).into_iter().collect(),
            unlisted: true,
        });
        Identity {
            proof: Some(Proof::ApiKey),
            key: Some(digests::sha256(shown)),
            claims,
            minted: minted.into_iter().collect(),
            ..Identity::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(written: Written, salt: &str, keys: &[(&str, &[&str])]) -> StaticKeys {
        let mut table = StaticKeys::new(written, salt);
        for (key, roles) in keys {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            table.add(key, roles).unwrap();
        }
        table
    }

    fn wanted(roles: &[&str]) -> Vec<Box<str>> {
        roles.iter().map(|role| (*role).into()).collect()
    }

    #[test]
    fn a_key_is_found_however_the_file_writes_it() {
        for (written, salt, key) in [
            (Written::Plain, "ignored", "secret"),
            (
                Written::Sha256,
                "",
                "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
            ),
            (
                Written::Sha1,
                "",
                "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4",
            ),
        ] {
            let table = table(written, salt, &[(key, &["a"])]);
            assert!(table.find(b"secret").is_some(), "{written:?}");
            assert!(table.find(b"secrets").is_none());
            assert!(table.find(b"").is_none());
            let as_written = written == Written::Plain;
            assert_eq!(table.find(key.as_bytes()).is_some(), as_written);
        }
    }

    #[test]
    fn the_salt_stands_before_the_key() {
        let hash = digest::digest(&digest::SHA256, b"pepper-secret");
        let written = digests::hex(hash.as_ref());
        let table = table(Written::Sha256, "pepper-", &[(&written, &[])]);
        assert!(table.find(b"secret").is_some());
        assert!(table.find(b"pepper-secret").is_none());
    }

    #[test]
    fn both_kinds_of_fnv_are_found() {
        for a in [false, true] {
            let written = digests::hex(&digests::fnv128(b"saltsecret", a));
            let table = table(Written::Fnv128, "salt", &[(&written, &[])]);
            assert!(table.find(b"secret").is_some());
            assert!(table.find(b"other").is_none());
        }
    }

    #[test]
    fn the_first_role_of_the_key_that_is_wanted_counts() {
        let table = table(Written::Plain, "", &[("k", &["a", "b"])]);
        let holder = table.find(b"k").unwrap();
        assert_eq!(holder.role(&wanted(&["c", "b", "a"])), Some(0));
        assert_eq!(holder.role(&wanted(&["c", "b"])), Some(1));
        assert_eq!(holder.role(&wanted(&["c"])), None);
        assert_eq!(holder.role(&[]), Some(2));
        let field = HeaderName::from_static("x-role");
        let told = |role| holder.identity(role, b"k", Some(&field)).unwrap();
        assert_eq!(told(1).minted[0].values[0], "b");
        assert_eq!(told(2).minted[0].values[0], "ANY");
        assert_eq!(told(0).key, Some(digests::sha256(b"k")));
        assert!(Arc::ptr_eq(&told(1), &told(1)));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let mut table = StaticKeys::new(Written::Sha1, "");
        assert_eq!(table.add(" ", vec![]), Err(BadKey::Empty));
        assert_eq!(table.add("secret", vec![]), Err(BadKey::NotHex));
        assert_eq!(table.add(&"g".repeat(40), vec![]), Err(BadKey::NotHex));
        assert_eq!(table.add(&"a".repeat(40), vec![]), Ok(false));
        assert_eq!(table.add(&"A".repeat(40), vec![]), Ok(true));
    }

    #[test]
    fn nothing_of_a_key_is_shown() {
        let table = table(Written::Plain, "", &[("visible?", &[])]);
        assert_eq!(format!("{table:?}"), "1 keys");
    }
}
