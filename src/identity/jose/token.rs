//! A signed token as it was sent: compact (RFC 7515 section 3.1) or in a JSON serialization with one signature
//! (section 3.2). What cannot be read in exactly one way is refused here, before anything looks at a key.
//!
//! As in KrakenD, both forms are taken. Differs from it: only the protected header counts (in its dialect the
//! unprotected one is merged in, as KrakenD does), the text is read exactly (there white space anywhere, padding
//! and spare bits are passed over), and its size has a bound.

use std::borrow::Cow;
use std::fmt;

use super::algorithm::Algorithm;
use super::encoding;
use super::key::Key;
use super::malformed::Malformed;
use super::strict;
use crate::base::Dialect;
use crate::body::{Object, Value};

/// Longest token in bytes, unless the caller says otherwise.
pub const MAX_TOKEN: usize = 16 * 1024;

/// How tokens are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Longest text in bytes.
    pub max_size: usize,
    /// How exactly. In the krakend dialect `kid`, `alg` and the like are taken from an unprotected header as well,
    /// white space is taken out first, base64url may be padded, and `crit` may be empty.
    pub dialect: Dialect,
}

impl ParseOptions {
    /// The bounds of a dialect.
    pub const fn new(dialect: Dialect) -> Self {
        Self {
            max_size: MAX_TOKEN,
            dialect,
        }
    }
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self::new(Dialect::Native)
    }
}

/// A token whose form is right and whose signature nobody has looked at yet.
#[derive(Clone)]
pub struct Token {
    algorithm: Algorithm,
    header: Object,
    signing_input: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Shows nothing that could be used as a credential.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("alg", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Reads a token as the native dialect does, of at most [`MAX_TOKEN`] bytes.
    ///
    /// # Errors
    /// Why the text is no token.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        Self::parse_with(text, &ParseOptions::default())
    }

    /// Reads a token.
    ///
    /// # Errors
    /// Why the text is no token.
    pub fn parse_with(text: &[u8], options: &ParseOptions) -> Result<Self, Malformed> {
        if text.len() > options.max_size {
            return Err(Malformed::TooLarge);
        }
        let text = match options.dialect {
            Dialect::Native => Cow::Borrowed(text),
            Dialect::Krakend => without_space(text),
        };
        if text.first() == Some(&b'{') {
            json(&text, options.dialect)
        } else {
            compact(&text, options.dialect)
        }
    }

    /// What the token says that it is signed with. Never `none`.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The header's members.
    pub fn header(&self) -> &Object {
        &self.header
    }

    /// The name of the key (`kid`).
    pub fn kid(&self) -> Option<&str> {
        self.text("kid")
    }

    /// The SHA-1 thumbprint of the key's certificate (`x5t`), as written.
    pub fn x5t(&self) -> Option<&str> {
        self.text("x5t")
    }

    /// The SHA-256 thumbprint of the key's certificate (`x5t#S256`), as written.
    pub fn x5t_s256(&self) -> Option<&str> {
        self.text("x5t#S256")
    }

    /// The media type of the whole (`typ`).
    pub fn typ(&self) -> Option<&str> {
        self.text("typ")
    }

    /// What is signed: header and payload as they were encoded.
    pub fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    /// The payload's bytes. Not to be believed before [`Token::verify`].
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signature's bytes.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The payload as claims. Not to be believed before [`Token::verify`].
    ///
    /// # Errors
    /// When it is no JSON object, holds a name twice at any depth or is nested too deeply.
    pub fn claims(&self) -> Result<Object, Malformed> {
        strict::object(&self.payload).map_err(Malformed::claims)
    }

    /// Whether the key made this signature with the algorithm that the token names and that the key is for.
    /// The caller has compared [`Token::algorithm`] with what it expects.
    pub fn verify(&self, key: &Key) -> bool {
        key.verify(self.algorithm, &self.signing_input, &self.signature)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }
}

/// `header.payload.signature`.
fn compact(text: &[u8], dialect: Dialect) -> Result<Token, Malformed> {
    let mut parts = text.split(|byte| *byte == b'.');
    let (Some(protected), Some(payload), Some(signature)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::Form);
    };
    match parts.count() {
        0 => {}
        2 => return Err(Malformed::Encrypted),
        _ => return Err(Malformed::Form),
    }
    let header = object(protected, dialect)?;
    token(
        Encoded {
            protected,
            payload,
            signature,
        },
        header,
        dialect,
    )
}

/// The parts of a token as they were written.
struct Encoded<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

/// `{"payload", "protected", "header", "signature"}`, or the last three in a list `signatures` of one.
fn json(text: &[u8], dialect: Dialect) -> Result<Token, Malformed> {
    let whole = strict::object(text).map_err(|fault| match Malformed::header(fault) {
        Malformed::Duplicate => Malformed::Duplicate,
        _ => Malformed::Form,
    })?;
    if whole.get("ciphertext").is_some() {
        return Err(Malformed::Encrypted);
    }
    let one = match whole.get("signatures") {
        None => &whole,
        Some(Value::Array(list)) => match list.as_slice() {
            [Value::Object(one)]
                if ["signature", "protected", "header"]
                    .iter()
                    .all(|name| whole.get(name).is_none()) =>
            {
                one
            }
            _ => return Err(Malformed::Form),
        },
        Some(_) => return Err(Malformed::Form),
    };
    let text = |object: &'_ Object, name: &str| match object.get(name) {
        Some(Value::String(text)) => Ok(Some(text.as_bytes().to_vec())),
        Some(_) => Err(Malformed::Form),
        None => Ok(None),
    };
    let (Some(payload), Some(signature)) = (text(&whole, "payload")?, text(one, "signature")?)
    else {
        return Err(Malformed::Form);
    };
    let protected = text(one, "protected")?.unwrap_or_default();
    let mut header = match protected.is_empty() {
        true => Object::new(),
        false => object(&protected, dialect)?,
    };
    let none = Object::new();
    let unprotected = match one.get("header") {
        None => &none,
        Some(Value::Object(unprotected)) => unprotected,
        Some(_) => return Err(Malformed::Header),
    };
    if unprotected
        .iter()
        .any(|(name, _)| header.get(name).is_some())
    {
        return Err(Malformed::Duplicate);
    }
    // Who may change them may not say what has to be understood.
    if unprotected.get("crit").is_some() || unprotected.get("b64").is_some() {
        return Err(Malformed::Critical);
    }
    if dialect == Dialect::Krakend {
        header.extend(unprotected.clone());
    }
    let parts = Encoded {
        protected: &protected,
        payload: &payload,
        signature: &signature,
    };
    token(parts, header, dialect)
}

/// The members of an encoded header.
fn object(encoded: &[u8], dialect: Dialect) -> Result<Object, Malformed> {
    let text = encoding::decode_in(encoded, dialect).ok_or(Malformed::Encoding)?;
    strict::object(&text).map_err(Malformed::header)
}

fn token(parts: Encoded<'_>, header: Object, dialect: Dialect) -> Result<Token, Malformed> {
    let algorithm = match header.get("alg") {
        Some(Value::String(word)) => Algorithm::of(word).ok_or(Malformed::Algorithm)?,
        _ => return Err(Malformed::Algorithm),
    };
    for name in ["kid", "x5t", "x5t#S256", "typ", "cty"] {
        if header
            .get(name)
            .is_some_and(|value| value.as_str().is_none())
        {
            return Err(Malformed::Header);
        }
    }
    critical(&header, dialect)?;
    let decode = |part| encoding::decode_in(part, dialect).ok_or(Malformed::Encoding);
    let (payload, signature) = (decode(parts.payload)?, decode(parts.signature)?);
    if signature.is_empty() {
        return Err(Malformed::Form);
    }
    let signing_input = match dialect {
        Dialect::Native => [parts.protected, parts.payload].join(&b'.'),
        // KrakenD's library checks the text that it would have written itself.
        Dialect::Krakend => {
            let mut canonical = encoding::encode(&decode(parts.protected)?);
            canonical.push('.');
            encoding::push(&payload, &mut canonical);
            canonical.into_bytes()
        }
    };
    Ok(Token {
        algorithm,
        header,
        signing_input,
        payload,
        signature,
    })
}

/// Of all extensions only `b64` is understood, and only `true` is taken.
fn critical(header: &Object, dialect: Dialect) -> Result<(), Malformed> {
    match header.get("b64") {
        None | Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(Malformed::Unencoded),
        Some(_) => return Err(Malformed::Header),
    }
    let names = match header.get("crit") {
        None => return Ok(()),
        Some(Value::Array(names)) => names,
        Some(_) => return Err(Malformed::Critical),
    };
    let understood = names
        .iter()
        .all(|name| name.as_str() == Some("b64") && header.get("b64").is_some());
    let fits = match dialect {
        Dialect::Native => names.len() == 1,
        Dialect::Krakend => true,
    };
    if understood && fits {
        Ok(())
    } else {
        Err(Malformed::Critical)
    }
}

fn without_space(text: &[u8]) -> Cow<'_, [u8]> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    if text.iter().any(is_space) {
        Cow::Owned(
            text.iter()
                .copied()
                .filter(|byte| !is_space(byte))
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}
