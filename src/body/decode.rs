//! Backend encodings: from the bytes of a body to its data. Error texts are Go's, because users see them
//! with `return_error_msg` and search for them.
//!
//! `fast-json` and `yaml` belong to the Enterprise edition; as in KrakenD CE every unknown name is `json`.

use super::value::{Object, Value};
use super::{Data, details, feed, json, xml};
use crate::base::json::{ErrorKind, SyntaxError};

/// How a backend's body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decoder {
    /// An object, or a list with `is_collection`.
    #[default]
    Json,
    /// Any JSON value.
    SafeJson,
    /// XML; see the mapping in the module of that name.
    Xml,
    /// RSS, Atom and JSON feeds.
    Rss,
    /// The body as one string.
    String,
    /// The body is not read.
    NoOp,
}

/// Why a body could not be decoded; prints Go's text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There was nothing but white space.
    #[error("EOF")]
    Empty,
    /// The body stopped inside a value.
    #[error("unexpected EOF")]
    Truncated,
    /// A character that may not stand there, or too much nesting.
    #[error("{0}")]
    Syntax(SyntaxError),
    /// Valid JSON of the wrong type.
    #[error("json: cannot unmarshal {found} into Go value of type {}", if *.collection { "[]interface {}" } else { "map[string]interface {}" })]
    Mismatch {
        /// Go's word for what was found.
        found: &'static str,
        /// Whether a list was wanted.
        collection: bool,
    },
    /// The body is no well-formed XML, or no feed.
    #[error("{0}")]
    Markup(String),
}

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> Self {
        match error.kind {
            ErrorKind::UnexpectedEnd { empty: true } => Self::Empty,
            ErrorKind::UnexpectedEnd { empty: false } => Self::Truncated,
            _ => Self::Syntax(error),
        }
    }
}

impl Decoder {
    /// The decoder of that name in any case, or `None` for names that KrakenD CE does not know either; they mean
    /// [`Decoder::Json`], and the caller may warn.
    pub fn known(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "" | "json" => Self::Json,
            "safejson" => Self::SafeJson,
            "xml" => Self::Xml,
            "rss" => Self::Rss,
            "string" => Self::String,
            "no-op" => Self::NoOp,
            _ => return None,
        })
    }

    /// The decoder of that name; unknown names are `json`.
    pub fn parse(name: &str) -> Self {
        Self::known(name).unwrap_or_default()
    }

    /// The data of a body. `is_collection` is the backend's setting of that name.
    ///
    /// # Errors
    /// When the body is not of this encoding, or its value is of the wrong type.
    pub fn decode(self, body: &[u8], is_collection: bool) -> Result<Data, DecodeError> {
        match self {
            Self::Json if is_collection => collection(json::decode(body)?).map(Some),
            Self::Json => match json::decode(body)? {
                Value::Object(object) => Ok(Some(object)),
                Value::Null => Ok(None),
                other => Err(mismatch(&other, false)),
            },
            Self::SafeJson => Ok(Some(match json::decode(body)? {
                Value::Object(object) => object,
                list @ Value::Array(_) => Object::with("collection", list),
                other => Object::with("content", other),
            })),
            Self::Xml => {
                let root = xml::decode(body)?;
                Ok(Some(if is_collection {
                    Object::with("collection", Value::Object(root))
                } else {
                    root
                }))
            }
            Self::Rss => feed::decode(body).map(Some),
            Self::String => Ok(Some(Object::with("content", details::text(body)))),
            Self::NoOp => Ok(Some(Object::new())),
        }
    }
}

fn collection(value: Value) -> Result<Object, DecodeError> {
    match value {
        Value::Array(_) | Value::Null => Ok(Object::with("collection", value)),
        other => Err(mismatch(&other, true)),
    }
}

fn mismatch(value: &Value, collection: bool) -> DecodeError {
    let found = match value {
        Value::Array(_) => "array",
        Value::Object(_) | Value::Record(_) => "object",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::String(_) | Value::Bytes(_) | Value::Null => "string",
    };
    DecodeError::Mismatch { found, collection }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str, is_collection: bool) -> String {
        print(Decoder::Json.decode(body.as_bytes(), is_collection))
    }

    fn print(result: Result<Data, DecodeError>) -> String {
        match result {
            Ok(data) => format!("{:?}", data.map_or(Value::Null, Value::Object)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn reads_an_object_or_null() {
        assert_eq!(
            json("{\"b\":1,\"a\":2,\"b\":3} {\"c\":1}", false),
            "{\"a\":2,\"b\":3}"
        );
        assert_eq!(json(" null", false), "null");
    }

    #[test]
    fn speaks_the_words_of_go() {
        for (body, error) in [
            ("", "EOF"),
            (" \n", "EOF"),
            ("{\"a\": 1, \"b\": ", "unexpected EOF"),
            ("[1,", "unexpected EOF"),
            (
                "[1]",
                "json: cannot unmarshal array into Go value of type map[string]interface {}",
            ),
            (
                "42",
                "json: cannot unmarshal number into Go value of type map[string]interface {}",
            ),
            (
                "\"x\"",
                "json: cannot unmarshal string into Go value of type map[string]interface {}",
            ),
            (
                "true",
                "json: cannot unmarshal bool into Go value of type map[string]interface {}",
            ),
            (
                "<html>",
                "invalid character '<' looking for beginning of value",
            ),
        ] {
            assert_eq!(json(body, false), error, "{body:?}");
        }
        assert_eq!(
            json("{}", true),
            "json: cannot unmarshal object into Go value of type []interface {}"
        );
    }

    #[test]
    fn wraps_collections() {
        assert_eq!(json("[1,2]", true), "{\"collection\":[1,2]}");
        assert_eq!(json("[]", true), "{\"collection\":[]}");
        assert_eq!(json("null", true), "{\"collection\":null}");
    }

    #[test]
    fn reads_anything_with_safejson() {
        let safe = |body: &str| print(Decoder::SafeJson.decode(body.as_bytes(), true));
        assert_eq!(safe("{\"a\":1}"), "{\"a\":1}");
        assert_eq!(safe("[{\"id\":1}]"), "{\"collection\":[{\"id\":1}]}");
        assert_eq!(safe("1.50"), "{\"content\":1.50}");
        assert_eq!(safe("null"), "{\"content\":null}");
    }

    #[test]
    fn keeps_the_bytes_of_a_string() {
        assert_eq!(
            print(Decoder::String.decode(b"<b>\n", false)),
            "{\"content\":\"\\u003cb\\u003e\\n\"}"
        );
        assert_eq!(
            print(Decoder::String.decode(b"\xff", false)),
            "{\"content\":\"\\ufffd\"}"
        );
        assert_eq!(
            print(Decoder::String.decode(b"", false)),
            "{\"content\":\"\"}"
        );
    }

    #[test]
    fn wraps_xml_as_a_collection() {
        assert_eq!(
            print(Decoder::Xml.decode(b"<a>x</a>", true)),
            "{\"collection\":{\"a\":\"x\"}}"
        );
    }

    #[test]
    fn treats_unknown_names_as_json() {
        assert_eq!(Decoder::parse("fast-json"), Decoder::Json);
        assert_eq!(Decoder::known("yaml"), None);
        assert_eq!(Decoder::parse("no-op"), Decoder::NoOp);
        assert_eq!(Decoder::parse("XML"), Decoder::Xml);
        assert_eq!(print(Decoder::NoOp.decode(b"junk", false)), "{}");
    }
}
