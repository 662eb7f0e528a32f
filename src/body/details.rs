//! What `return_error_details` shows of a failed backend: an object with one record. KrakenD prints a Go
//! struct there, so its three members keep their order and stay out of the reach of the filters.

use super::value::{Object, Record, Value};

/// `{"error_<name>": {"http_status_code", "http_body", "http_body_encoding"}}`; an empty body or content
/// type is left out.
pub fn error_details(name: &str, status: u16, body: &[u8], content_type: &str) -> Object {
    let mut members: Vec<(Box<str>, Value)> = vec![(
        "http_status_code".into(),
        Value::Number(status.to_string().into()),
    )];
    if !body.is_empty() {
        members.push(("http_body".into(), text(body)));
    }
    if !content_type.is_empty() {
        members.push(("http_body_encoding".into(), Value::string(content_type)));
    }
    Object::with(
        &format!("error_{name}"),
        Value::Record(Record::from(members)),
    )
}

/// Bytes as a string value, whether they are UTF-8 or not.
pub(super) fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::string(text),
        Err(_) => Value::Bytes(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, json};
    use super::*;

    fn print(object: Object) -> String {
        String::from_utf8(json::to_vec(&Value::Object(object))).unwrap()
    }

    #[test]
    fn prints_the_members_in_their_own_order() {
        let details = error_details("first", 404, b"{\"note\":\"x\"}\n", "application/json");
        assert_eq!(
            print(details),
            r#"{"error_first":{"http_status_code":404,"http_body":"{\"note\":\"x\"}\n","http_body_encoding":"application/json"}}"#
        );
    }

    #[test]
    fn leaves_out_what_is_empty() {
        assert_eq!(
            print(error_details("t", 500, b"", "")),
            r#"{"error_t":{"http_status_code":500}}"#
        );
    }

    #[test]
    fn stays_opaque_to_filters() {
        let shape = Shape::compile("", &["error_t.http_status_code".to_owned()], &[], &[], "");
        assert_eq!(
            shape.apply(Some(error_details("t", 500, b"", ""))),
            Some(Object::new())
        );
    }
}
