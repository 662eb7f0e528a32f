//! The text of a value of an earlier answer, for the slots `{resp0_user.id}` of sequential backends.
//!
//! As in KrakenD the search is forgiving: where a step on the way is missing or leads to no object, the
//! last step is looked up in the object reached so far, so that `zz.id` finds `id` where there is no `zz`.
//! Unlike there, a text has a limit: it ends up in a URL.

use super::Data;
use super::text::write_go_text;
use super::value::Value;

/// The longest text of a slot, in bytes.
pub const MAX_SLOT_TEXT: usize = 64 * 1024;

/// The text of the value at a dotted path: strings bare, numbers as written, the elements of a list with
/// commas between them, `<nil>` for null, and what is inside of those as Go's `%v` prints it
/// (`[a b]`, `map[k:v]`). `None` when there is no such value or its text is longer than
/// [`MAX_SLOT_TEXT`]; the slot then stays unfilled.
pub fn slot_text(data: &Data, path: &str) -> Option<String> {
    let mut object = data.as_ref()?;
    let last = match path.rsplit_once('.') {
        None => path,
        Some((above, last)) => {
            for step in above.split('.') {
                match object.get(step) {
                    Some(Value::Object(inner)) => object = inner,
                    _ => break,
                }
            }
            last
        }
    };
    let mut text = String::new();
    let whole = match object.get(last)? {
        Value::Array(items) => items.iter().enumerate().all(|(at, item)| {
            if at > 0 {
                text.push(',');
            }
            write_go_text(item, &mut text, MAX_SLOT_TEXT)
        }),
        value => write_go_text(value, &mut text, MAX_SLOT_TEXT),
    };
    whole.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::value::{Object, Record};
    use super::super::{Decoder, Value};
    use super::*;

    fn data(body: &str) -> Data {
        Decoder::Json.decode(body.as_bytes(), false).unwrap()
    }

    fn text(body: &str, path: &str) -> Option<String> {
        slot_text(&data(body), path)
    }

    const BODY: &str = r#"{"id":7,"tags":["a","b"],"o":{"k":"v","p":{"q":1e5}},"n":null,"f":1.50,"t":true,"e":[],"eo":{},"s":"","big":12345678901234567890}"#;

    #[test]
    fn prints_each_kind_of_value() {
        for (path, expected) in [
            ("id", "7"),
            ("f", "1.50"),
            ("big", "12345678901234567890"),
            ("tags", "a,b"),
            ("t", "true"),
            ("n", "<nil>"),
            ("e", ""),
            ("s", ""),
            ("eo", "map[]"),
            ("o", "map[k:v p:map[q:1e5]]"),
            ("o.k", "v"),
            ("o.p.q", "1e5"),
        ] {
            assert_eq!(text(BODY, path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn prints_what_is_inside_of_a_list_as_go_does() {
        let body = r#"{"l":[[1,"x"],{"b":[true],"a":null},null,[],{},"y z"]}"#;
        assert_eq!(
            text(body, "l").as_deref(),
            Some("[1 x],map[a:<nil> b:[true]],<nil>,[],map[],y z")
        );
    }

    #[test]
    fn finds_nothing_where_the_last_step_is_missing() {
        for path in ["zz", "o.zz", "tags.zz", "", "id.zz", "."] {
            assert_eq!(text(BODY, path), None, "{path}");
        }
        assert_eq!(slot_text(&None, "id"), None);
        assert_eq!(text("{}", "id"), None);
    }

    #[test]
    fn goes_on_with_the_last_step_at_the_level_reached() {
        for (path, expected) in [
            ("zz.id", "7"),
            ("tags.id", "7"),
            ("id.f", "1.50"),
            ("zz.o.id", "7"),
            ("o.zz.k", "v"),
            ("o.k.k", "v"),
            ("o.zz.yy.xx.k", "v"),
            ("n.id", "7"),
        ] {
            assert_eq!(text(BODY, path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(text(BODY, "o.zz.id"), None);
        assert_eq!(text(BODY, "tags.0"), None);
    }

    #[test]
    fn takes_names_as_they_are() {
        assert_eq!(text(r#"{"":{"":"x"}}"#, ".").as_deref(), Some("x"));
        assert_eq!(text(r#"{"a.b":1}"#, "a.b"), None);
        assert_eq!(text(r#"{"b":2,"a":{"*":1}}"#, "a.*").as_deref(), Some("1"));
    }

    #[test]
    fn does_not_look_into_records() {
        let record = Record::from(vec![("k".into(), Value::string("v"))]);
        let data = Some(Object::with("error_x", Value::Record(record)));
        assert_eq!(slot_text(&data, "error_x.k"), None);
        assert_eq!(slot_text(&data, "error_x").as_deref(), Some("{v}"));
    }

    #[test]
    fn leaves_texts_beyond_the_limit_out() {
        let string = |length: usize| Some(Object::with("s", Value::string(&"x".repeat(length))));
        let length = |data: &Data| slot_text(data, "s").map(|text| text.len());
        assert_eq!(length(&string(MAX_SLOT_TEXT)), Some(MAX_SLOT_TEXT));
        assert_eq!(length(&string(MAX_SLOT_TEXT + 1)), None);
        let list = |count: usize| Some(Object::with("s", vec_of(count)));
        assert_eq!(length(&list(MAX_SLOT_TEXT / 2)), Some(MAX_SLOT_TEXT - 1));
        assert_eq!(length(&list(MAX_SLOT_TEXT / 2 + 1)), None);
        // A list of empty strings is nothing but commas.
        let commas = |count: usize| format!(r#"{{"s":[{}""]}}"#, r#""","#.repeat(count));
        assert_eq!(length(&data(&commas(MAX_SLOT_TEXT))), Some(MAX_SLOT_TEXT));
        assert_eq!(length(&data(&commas(MAX_SLOT_TEXT + 1))), None);
    }

    fn vec_of(count: usize) -> Value {
        Value::Array((0..count).map(|_| Value::string("x")).collect())
    }

    #[test]
    fn handles_any_depth() {
        let deep = |open: &str, close: &str| {
            let body = format!(r#"{{"s":{}1{}}}"#, open.repeat(9_990), close.repeat(9_990));
            text(&body, "s").map(|text| text.len())
        };
        assert_eq!(deep("[", "]"), Some(2 * 9_989 + 1));
        assert_eq!(deep(r#"{"k":"#, "}"), None);
    }
}
