//! What fits a schema, what does not and why, and which schemas are none.

use super::*;
use crate::base::Report;
use serde_json::json;

fn text(schema: &Value, body: &str) -> String {
    let schema = Schema::compile(schema)
        .map_err(|broken| broken.message)
        .unwrap();
    match schema.check(body.as_bytes()) {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            assert_eq!(error.exposed.map(|exposed| exposed.status), Some(400));
            error.text.into_owned()
        }
    }
}

fn fits(schema: &Value, body: &str) -> bool {
    text(schema, body) == "ok"
}

#[test]
fn a_body_that_fits_passes_and_one_that_does_not_is_told_where() {
    let schema = json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"], "minimum": 18}},
    });
    assert_eq!(text(&schema, r#"{"name":"a","age":18}"#), "ok");
    assert_eq!(
        text(&schema, r#"{"name":1}"#),
        "- at '/name': got number, want string"
    );
    assert_eq!(text(&schema, "{}"), "- at '': missing property 'name'");
    assert_eq!(text(&schema, "[]"), "- at '': got array, want object");
    assert_eq!(
        text(&schema, r#"{"name":"a","age":17}"#),
        "- at '/age': minimum: got 17, want 18"
    );
    assert_eq!(
        text(&schema, r#"{"name":"a","x":1}"#),
        "- at '': additional properties 'x' not allowed"
    );
}

#[test]
fn an_empty_body_never_fits() {
    assert_eq!(text(&json!({}), ""), "could not validate an empty body");
    assert_eq!(text(&json!({}), " "), "unexpected end of JSON input");
}

#[test]
fn a_body_that_is_no_single_document_never_fits() {
    for body in ["{", "1 2", "{}x", "nul", "[1,]", "\"\u{1}\""] {
        assert!(!fits(&json!({}), body), "{body}");
    }
    assert!(fits(&json!({}), " {} \n"));
}

#[test]
fn drafts_differ_as_their_texts_say() {
    let draft = |uri: &str| format!("http://json-schema.org/{uri}/schema#");
    let four = json!({"$schema": draft("draft-04"), "minimum": 3, "exclusiveMinimum": true});
    assert!(!fits(&four, "3") && fits(&four, "4"));
    let six = json!({"$schema": draft("draft-06"), "exclusiveMinimum": 3, "const": 4});
    assert!(!fits(&six, "3") && fits(&six, "4.0"));
    // A list under `items` is positional until 2019-09, and no schema from 2020-12 on.
    let seven = json!({"$schema": draft("draft-07"), "items": [{"type": "string"}]});
    assert!(!fits(&seven, "[1]") && fits(&seven, "[\"a\",1]"));
    let modern = json!({"prefixItems": [{"type": "string"}], "items": false});
    assert!(!fits(&modern, "[1]") && !fits(&modern, "[\"a\",1]") && fits(&modern, "[\"a\"]"));
    let dependent = json!({
        "$schema": "https://json-schema.org/draft/2019-09/schema", "dependentRequired": {"a": ["b"]},
    });
    assert!(!fits(&dependent, r#"{"a":1}"#) && fits(&dependent, r#"{"a":1,"b":1}"#));
}

#[test]
fn formats_are_asserted_up_to_draft_7_only() {
    let email = |schema: &str| json!({"$schema": schema, "format": "email"});
    for old in ["draft-04", "draft-06", "draft-07"] {
        assert!(!fits(
            &email(&format!("http://json-schema.org/{old}/schema#")),
            "\"x\""
        ));
    }
    for new in ["2019-09", "2020-12"] {
        let uri = format!("https://json-schema.org/draft/{new}/schema");
        assert!(fits(&email(&uri), "\"x\""));
    }
    assert!(fits(&json!({"format": "date"}), "\"x\""));
}

#[test]
fn numbers_are_exact_whatever_their_size() {
    let most = json!({"maximum": 9_007_199_254_740_992_u64});
    assert!(fits(&most, "9007199254740992") && !fits(&most, "9007199254740993"));
    assert!(!fits(&most, "9007199254740992.0000000001"));
    assert!(!fits(&json!({"maximum": 10}), "1e400"));
    assert!(fits(&json!({"type": "integer"}), "1.0") && !fits(&json!({"type": "integer"}), "1.5"));
    assert!(fits(&json!({"multipleOf": 0.01}), "19.99"));
    assert!(!fits(&json!({"const": 1}), "1.00000000000000000001"));
    assert!(!fits(&json!({"uniqueItems": true}), "[1,1.0]"));
    assert!(fits(
        &json!({"uniqueItems": true}),
        "[10000000000000000001,10000000000000000002]"
    ));
}

#[test]
fn depth_is_bounded_without_touching_the_call_stack() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let list = json!({"type": "array"});
    assert!(fits(&list, &deep(9_999)));
    assert!(!fits(&list, &deep(100_000)));
    let tree = json!({"type": "array", "items": {"$ref": "#"}});
    assert!(fits(&tree, &deep(DEEPEST)));
    assert_eq!(
        text(&tree, &deep(DEEPEST + 1)),
        "nested deeper than 128 levels"
    );
    let unique = json!({"uniqueItems": true, "const": [[[]]]});
    assert!(!fits(&unique, &deep(9_999)));
}

#[test]
fn a_pattern_that_looks_back_for_ever_is_cut_short() {
    let schema = json!({"pattern": r"^(?=(a+)+b$).*\1$"});
    assert!(!fits(&schema, &format!("\"{}\"", "a".repeat(4000))));
    let plain = json!({"pattern": "^(a+)+$"});
    assert!(!fits(&plain, &format!("\"{}!\"", "a".repeat(100_000))));
}

fn problems(schema: &Value, dialect: Dialect) -> (usize, Vec<Problem>) {
    let mut report = Report::default();
    let mut draft = EndpointDraft::default();
    let mut settings = Settings::new(schema, "/x", &mut report);
    build(&mut settings, &mut draft, dialect).unwrap();
    (draft.pipe.len(), report.problems)
}

#[test]
fn a_broken_schema_refuses_the_file_at_its_place() {
    for (schema, place) in [
        (json!({"type": "objekt"}), "/x/type"),
        (
            json!({"properties": {"a": {"minimum": "3"}}}),
            "/x/properties/a/minimum",
        ),
        (
            json!({"properties": {"a": {"pattern": "("}}}),
            "/x/properties/a/pattern",
        ),
        (
            json!({"items": {"$ref": "https://h.test/s.json"}}),
            "/x/items/$ref",
        ),
        (json!({"items": {"$ref": "other.json#/a"}}), "/x/items/$ref"),
        (json!({"items": {"$ref": "#/$defs/gone"}}), "/x/items/$ref"),
        (json!({"$schema": "https://h.test/mine"}), "/x/$schema"),
        (json!([1]), "/x"),
        (json!("s"), "/x"),
    ] {
        let (stages, found) = problems(&schema, Dialect::Native);
        let found: Vec<_> = found
            .iter()
            .map(|p| (p.severity, p.pointer.as_str()))
            .collect();
        assert_eq!(stages, 0, "{schema}");
        assert_eq!(found, [(crate::base::Severity::Error, place)], "{schema}");
        let (stages, found) = problems(&schema, Dialect::Krakend);
        assert_eq!((stages, found.len()), (0, 1), "{schema}");
        assert_eq!(found[0].severity, crate::base::Severity::Warning);
    }
}

#[test]
fn a_schema_may_refer_to_its_own_parts() {
    let schema = json!({
        "$id": "https://h.test/root", "$defs": {"n": {"type": "number"}},
        "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "https://h.test/root#/$defs/n"}},
    });
    assert!(fits(&schema, r#"{"a":1,"b":2}"#) && !fits(&schema, r#"{"b":"2"}"#));
    assert_eq!(problems(&json!(true), Dialect::Native).0, 1);
}
