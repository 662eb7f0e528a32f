//! JSON objects that are the same for every reader: valid UTF-8, no name twice at any depth, nothing behind the
//! end, no nesting beyond a bound. Two readers that disagree about a header or a claim are how a signature gets
//! bypassed (RFC 7515 section 4, RFC 8725 section 2.4).

use crate::base::json::{Lexer, Token};
use crate::body::value::Member;
use crate::body::{Object, Value};

/// How deep headers and claims may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// Why a text is no object that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No JSON, or no UTF-8.
    Syntax,
    /// JSON, but no object.
    NoObject,
    /// A name occurs twice in one object.
    Duplicate,
    /// Nested too deeply.
    TooDeep,
}

enum Open {
    Array(Vec<Value>),
    Object(Vec<Member>, Option<Box<str>>),
}

/// Reads an object.
pub(super) fn object(text: &[u8]) -> Result<Object, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Syntax)?;
    let mut lexer = Lexer::new(text.as_bytes());
    let mut open: Vec<Open> = Vec::new();
    while let Some(token) = lexer.next().map_err(|_| Fault::Syntax)? {
        let value = match token {
            Token::ObjectStart => {
                push(&mut open, Open::Object(Vec::new(), None))?;
                continue;
            }
            Token::ArrayStart if open.is_empty() => return Err(Fault::NoObject),
            Token::ArrayStart => {
                push(&mut open, Open::Array(Vec::new()))?;
                continue;
            }
            Token::Key(name) => {
                if let Some(Open::Object(_, key)) = open.last_mut() {
                    *key = Some(name.into());
                }
                continue;
            }
            Token::ObjectEnd | Token::ArrayEnd => close(open.pop())?,
            Token::String(text) => Value::String(text.into()),
            Token::Number(text) => Value::Number(text.into()),
            Token::Bool(value) => Value::Bool(value),
            Token::Null => Value::Null,
        };
        match (open.last_mut(), value) {
            (Some(Open::Array(items)), value) => items.push(value),
            (Some(Open::Object(members, key)), value) => {
                members.push((key.take().unwrap_or_default(), value));
            }
            (None, Value::Object(object)) => {
                lexer.finish().map_err(|_| Fault::Syntax)?;
                return Ok(object);
            }
            (None, _) => return Err(Fault::NoObject),
        }
    }
    Err(Fault::Syntax)
}

fn push(open: &mut Vec<Open>, container: Open) -> Result<(), Fault> {
    if open.len() >= MAX_DEPTH {
        return Err(Fault::TooDeep);
    }
    open.push(container);
    Ok(())
}

fn close(container: Option<Open>) -> Result<Value, Fault> {
    match container {
        Some(Open::Array(items)) => Ok(Value::Array(items.into())),
        Some(Open::Object(members, _)) => {
            let written = members.len();
            let object = Object::from_members(members);
            if object.len() != written {
                return Err(Fault::Duplicate);
            }
            Ok(Value::Object(object))
        }
        None => Err(Fault::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_every_reader_reads_alike() {
        let text = r#" {"b":[1.50,{"a":null},[]],"a":{"x":"\u00e9","y":true}} "#;
        assert_eq!(
            format!("{:?}", object(text.as_bytes()).unwrap()),
            r#"{"a":{"x":"é","y":true},"b":[1.50,{"a":null},[]]}"#
        );
    }

    #[test]
    fn refuses_names_that_occur_twice_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"y":[{"a":1,"b":2,"a":3}]}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(Fault::Duplicate), "{text}");
        }
        assert!(object(br#"{"a":{"a":{"a":1}},"b":[{"c":1},{"c":2}]}"#).is_ok());
    }

    #[test]
    fn refuses_what_is_no_object_or_no_json() {
        for (text, fault) in [
            (&b"[]"[..], Fault::NoObject),
            (b"[{}]", Fault::NoObject),
            (b"1", Fault::NoObject),
            (b"null", Fault::NoObject),
            (b"\"{}\"", Fault::NoObject),
            (b"", Fault::Syntax),
            (b"{", Fault::Syntax),
            (b"{} {}", Fault::Syntax),
            (b"{}\0", Fault::Syntax),
            (b"\xef\xbb\xbf{}", Fault::Syntax),
            (b"{\"a\":\"\xff\"}", Fault::Syntax),
            (b"{'a':1}", Fault::Syntax),
            (b"{\"a\":NaN}", Fault::Syntax),
            (b"{\"a\":1,}", Fault::Syntax),
        ] {
            assert_eq!(
                object(text),
                Err(fault),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |depth: usize| {
            let text = format!(
                "{}{}{}",
                r#"{"a":"#.repeat(depth - 1),
                "{}",
                "}".repeat(depth - 1)
            );
            object(text.as_bytes()).map(drop)
        };
        assert_eq!(nested(MAX_DEPTH), Ok(()));
        assert_eq!(nested(MAX_DEPTH + 1), Err(Fault::TooDeep));
        let lists = format!(r#"{{"a":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(object(lists.as_bytes()).map(drop), Err(Fault::TooDeep));
    }
}
