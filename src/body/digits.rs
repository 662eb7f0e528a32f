//! The text of a number. Most are short, and a list of a thousand prices should not cost a thousand
//! allocations: up to 22 characters fit where a value has room for a list anyway.

use std::fmt;
use std::ops::Deref;

const INLINE: usize = 22;

/// The text of a number as it was written; always a valid JSON number.
#[derive(Clone)]
pub struct Digits(Repr);

#[derive(Clone)]
enum Repr {
    Short(u8, [u8; INLINE]),
    Long(Box<str>),
}

// No larger than the list that a value may be instead.
const _: () = assert!(size_of::<Digits>() == size_of::<Vec<u8>>());

impl Digits {
    /// The bytes of the text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Repr::Long(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for Digits {
    #[inline]
    fn from(text: &str) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(text.as_bytes());
                Self(Repr::Short(length, bytes))
            }
            _ => Self(Repr::Long(text.into())),
        }
    }
}

impl From<String> for Digits {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // Made of a whole text, so it is one again.
            Repr::Short(..) => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Repr::Long(text) => text,
        }
    }
}

impl PartialEq for Digits {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_text_of_any_length() {
        for text in [
            "",
            "0",
            "-1.5e10",
            "1234567",
            "12345678",
            "1234567890123456789012",
            "0.123456789012345678901",
        ] {
            let digits = Digits::from(text);
            assert_eq!((&*digits, digits.as_bytes()), (text, text.as_bytes()));
            assert!(digits == digits.clone());
        }
        assert!(Digits::from("1") != Digits::from("1.0"));
    }
}
