//! The model of `flatmap_filter`, sentence by sentence: data, operations, result.

use proptest::prelude::*;
use serde_json::json;

use super::super::value::{Object, Record};
use super::super::{Decoder, json as text};
use super::*;

fn data(body: &str) -> Data {
    Decoder::Json.decode(body.as_bytes(), false).unwrap()
}

fn print(data: Data) -> String {
    let value = data.map_or(Value::Null, Value::Object);
    String::from_utf8(text::to_vec(&value)).unwrap()
}

fn compile(ops: &serde_json::Value) -> Flatmap {
    Flatmap::compile(ops).0.unwrap()
}

/// Operations as `kind path path; kind path`.
fn script(script: &str) -> Flatmap {
    let ops: Vec<_> = script
        .split("; ")
        .map(|op| {
            let mut words = op.split(' ');
            let kind = words.next().unwrap();
            json!({"type": kind, "args": words.collect::<Vec<_>>()})
        })
        .collect();
    compile(&json!(ops))
}

fn run(body: &str, ops: &str) -> String {
    print(script(ops).apply(data(body)))
}

/// Rows of data, operations, result.
fn table(rows: &[(&str, &str, &str)]) {
    for (body, ops, expected) in rows {
        assert_eq!(run(body, ops), *expected, "{ops} on {body}");
    }
}

#[test]
fn deletes_paths_and_leaves_null_where_all_children_went() {
    table(&[
        (r#"{"a":{"b":1,"c":2}}"#, "del a.b", r#"{"a":{"c":2}}"#),
        (r#"{"a":{"b":1,"c":2}}"#, "del a.b a.c", r#"{"a":null}"#),
        (
            r#"{"a":{"b":1,"c":2}}"#,
            "del a.b; del a.c",
            r#"{"a":null}"#,
        ),
        (r#"{"a":{"b":1,"c":2}}"#, "del a.*", r#"{"a":null}"#),
        (r#"{"a":[1,2]}"#, "del a.*", r#"{"a":null}"#),
        (r#"{"a":[1]}"#, "del a.0", r#"{"a":null}"#),
        (r#"{"a":{"b":{"c":1}}}"#, "del a.b.c", r#"{"a":{"b":null}}"#),
        (r#"{"a":1}"#, "del ghost a.b.c ghost.* a.*", r#"{"a":1}"#),
        (r#"{"a":1,"":2}"#, "del ", r#"{"a":1}"#),
    ]);
}

#[test]
fn keeps_what_was_empty_from_the_start() {
    table(&[
        (
            r#"{"a":{},"b":[]}"#,
            "del a.* b.* a.x b.0",
            r#"{"a":{},"b":[]}"#,
        ),
        (r#"{"a":{},"x":1}"#, "move x a.y; del a.y", r#"{"a":{}}"#),
        (
            r#"{"a":{"e":{},"k":1}}"#,
            "move a.k a.e.k; del a.e.k",
            r#"{"a":{"e":{}}}"#,
        ),
        (
            r#"{"a":{"s":5,"k":1}}"#,
            "move a.k a.s.k; del a.s.k",
            r#"{"a":{"s":5}}"#,
        ),
    ]);
}

#[test]
fn makes_null_of_a_wiped_answer_and_leaves_null_and_empty_ones() {
    table(&[
        (r#"{"a":1}"#, "del *", "null"),
        (r#"{"a":1,"b":2}"#, "del a b", "null"),
        ("{}", "del *; move a b", "{}"),
        ("null", "del *; move a b; append a b", "null"),
    ]);
}

#[test]
fn goes_through_every_child_at_a_star() {
    table(&[
        (
            r#"{"a":[{"s":1,"k":2},{"s":3},4,{"k":5}]}"#,
            "del a.*.s",
            r#"{"a":[{"k":2},null,4,{"k":5}]}"#,
        ),
        (
            r#"{"a":{"x":{"s":1,"k":1},"y":{"s":2,"k":2}}}"#,
            "del a.*.s",
            r#"{"a":{"x":{"k":1},"y":{"k":2}}}"#,
        ),
        (
            r#"{"r":[{"c":[{"x":1,"y":2},{"x":3,"y":4}]},{"c":[{"x":5,"y":6}]}]}"#,
            "del r.*.c.*.y; move r.*.c.*.x r.*.c.*.z",
            r#"{"r":[{"c":[{"z":1},{"z":3}]},{"c":[{"z":5}]}]}"#,
        ),
        (
            r#"{"a":{"b":1},"c":{"b":2},"d":3}"#,
            "del *.b",
            r#"{"a":null,"c":null,"d":3}"#,
        ),
    ]);
}

#[test]
fn numbers_lists_once_and_closes_their_gaps_at_the_end() {
    table(&[
        (
            r#"{"c":[{"i":0},{"i":1},{"i":2}]}"#,
            "del c.1",
            r#"{"c":[{"i":0},{"i":2}]}"#,
        ),
        (r#"{"c":[0,1,2,3]}"#, "del c.0; del c.1", r#"{"c":[2,3]}"#),
        (
            r#"{"c":[0,1,2,3]}"#,
            "del c.0 c.0 c.9 c.01 c.-1",
            r#"{"c":[1,2,3]}"#,
        ),
        (
            r#"{"c":{"0":"a","1":"b","01":"c"}}"#,
            "del c.0",
            r#"{"c":{"01":"c","1":"b"}}"#,
        ),
        (r#"{"c":[[1,2],[3,4]]}"#, "del c.*.0", r#"{"c":[[2],[4]]}"#),
    ]);
}

#[test]
fn renames_the_last_step_when_both_paths_have_one_length() {
    table(&[
        (
            r#"{"c":[{"i":0,"p":"x"}]}"#,
            "move c.*.p c.*.u",
            r#"{"c":[{"i":0,"u":"x"}]}"#,
        ),
        (r#"{"a":{"b":1}}"#, "move a.b z.k", r#"{"a":{"k":1}}"#),
        (r#"{"a":{"b":1}}"#, "move a.b x.c", r#"{"a":{"c":1}}"#),
        (r#"{"a":1}"#, "move a a", r#"{"a":1}"#),
        (r#"{"a":1}"#, "move ghost b", r#"{"a":1}"#),
        (r#"{"a":[1,2]}"#, "move a.0 a.x; del a.x", r#"{"a":[2]}"#),
        (r#"{"a":[1,2]}"#, "move a.0 a.9", r#"{"a":[1,2]}"#),
        (r#"{"a":{"b":1}}"#, "move a.b a.*", r#"{"a":{"*":1}}"#),
    ]);
}

#[test]
fn lets_the_moved_member_win_where_names_meet() {
    table(&[
        (r#"{"a":1,"b":2}"#, "move a b", r#"{"b":1}"#),
        (r#"{"a":1,"b":2}"#, "move b a", r#"{"a":2}"#),
        (
            r#"{"a":{"k":1},"k":0}"#,
            "move a.k k",
            r#"{"a":null,"k":1}"#,
        ),
        (r#"{"a":1,"x":{"y":2}}"#, "move a x.y", r#"{"x":{"y":1}}"#),
        // Both stay until the end, and the older one is found first.
        (
            r#"{"a":{"k":1},"k":0}"#,
            "move a.k k; del k",
            r#"{"a":null,"k":1}"#,
        ),
        (r#"{"a":1,"b":2}"#, "move a b; del b", r#"{"b":1}"#),
    ]);
}

#[test]
fn takes_a_star_at_the_end_of_a_source_for_a_name() {
    table(&[
        (
            r#"{"a":{"*":1,"b":2}}"#,
            "move a.* a.c",
            r#"{"a":{"b":2,"c":1}}"#,
        ),
        (r#"{"a":{"b":2}}"#, "move a.* z", r#"{"a":{"b":2}}"#),
    ]);
}

#[test]
fn promotes_to_a_shorter_path() {
    table(&[
        (r#"{"a":{"b":1}}"#, "move a.b z", r#"{"a":null,"z":1}"#),
        (
            r#"{"results":[{"id":1,"v":{"k":"a"}},{"id":2,"v":{"k":"b"}}],"total":2}"#,
            "move results.*.v.k results.*.k; del results.*.v",
            r#"{"results":[{"id":1,"k":"a"},{"id":2,"k":"b"}],"total":2}"#,
        ),
        (
            r#"{"comments":[{"by":"bob","id":1},{"by":"eve","id":2}]}"#,
            "move comments.0.by first; del comments.1",
            r#"{"comments":[{"id":1}],"first":"bob"}"#,
        ),
        // Into a list it becomes an element.
        (
            r#"{"a":{"b":{"c":1}},"l":[0]}"#,
            "move a.b.c l.x",
            r#"{"a":{"b":null},"l":[0,1]}"#,
        ),
        // What does not exist on the way ends the walk.
        (
            r#"{"a":{"b":{"c":1},"d":2}}"#,
            "move a.b.c ghost.k",
            r#"{"a":{"b":null,"d":2},"k":1}"#,
        ),
        (
            r#"{"a":{"b":{"c":{"d":1}},"x":{"y":2}}}"#,
            "move a.b.c.d a.ghost.k",
            r#"{"a":{"b":{"c":null},"k":1,"x":{"y":2}}}"#,
        ),
        // Of several that get one name the last one stays.
        (
            r#"{"a":[{"k":1},{"k":2}]}"#,
            "move a.*.k k",
            r#"{"a":[null,null],"k":2}"#,
        ),
        // A scalar on the way is replaced.
        (
            r#"{"a":{"b":{"c":1}},"s":5}"#,
            "move a.b.c s.k",
            r#"{"a":{"b":null},"s":{"k":1}}"#,
        ),
        // A star takes the label found at its depth, also where the source has a name.
        (
            r#"{"a":{"b":{"c":{"d":1}}}}"#,
            "move a.b.c.d *.*.k",
            r#"{"a":{"b":{"c":null,"k":1}}}"#,
        ),
        (
            r#"{"m":{"x":{"v":{"k":1}},"y":{"v":{"k":2}}}}"#,
            "move m.*.v.k m.*.k",
            r#"{"m":{"x":{"k":1,"v":null},"y":{"k":2,"v":null}}}"#,
        ),
        (
            r#"{"r":[{"c":[{"v":{"k":1}},{"v":{"k":2}}]},{"c":[{"v":{"k":3}}]}]}"#,
            "move r.*.c.*.v.k r.*.c.*.k; del r.*.c.*.v",
            r#"{"r":[{"c":[{"k":1},{"k":2}]},{"c":[{"k":3}]}]}"#,
        ),
    ]);
}

#[test]
fn finds_its_place_among_many_elements_that_lost_some() {
    let body = |id: usize| format!(r#"{{"id":{id},"v":{{"k":{id}}}}}"#);
    let all: Vec<_> = (0..200).map(body).collect();
    let expected: Vec<_> = (1..200)
        .map(|id| format!(r#"{{"id":{id},"k":{id},"v":null}}"#))
        .collect();
    let ops = "del c.0; move c.*.v.k c.*.k";
    let list = format!(r#"{{"c":[{}]}}"#, all.join(","));
    assert_eq!(
        run(&list, ops),
        format!(r#"{{"c":[{}]}}"#, expected.join(","))
    );
    let members: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(id, body)| format!(r#""k{id}":{body}"#))
        .collect();
    let object = format!(r#"{{"c":{{{}}}}}"#, members.join(","));
    let moved = run(&object, "move c.*.v.k c.*.k; move c.k7.k id");
    assert!(
        moved.contains(r#""k199":{"id":199,"k":199,"v":null}"#),
        "{moved}"
    );
    assert!(moved.ends_with(r#""id":7}"#), "{moved}");
}

#[test]
fn embeds_into_a_longer_path_from_its_own_parent() {
    table(&[
        (r#"{"a":1}"#, "move a x.y", r#"{"x":{"y":1}}"#),
        (
            r#"{"a":{"b":1}}"#,
            "move a.b x.y.z",
            r#"{"a":{"y":{"z":1}}}"#,
        ),
        (
            r#"{"a":1,"x":{"k":2}}"#,
            "move a x.y",
            r#"{"x":{"k":2,"y":1}}"#,
        ),
        (r#"{"a":1,"x":[2]}"#, "move a x.y", r#"{"x":[2,1]}"#),
        (r#"{"a":1,"x":[]}"#, "move a x.y", r#"{"x":[1]}"#),
        (
            r#"{"a":1,"x":[{"k":2}]}"#,
            "move a x.0.y",
            r#"{"x":[{"k":2,"y":1}]}"#,
        ),
        (r#"{"a":{"b":1}}"#, "move a x.a", r#"{"x":{"a":{"b":1}}}"#),
        (r#"{"a":1}"#, "move a a.a", r#"{"a":{"a":1}}"#),
        (r#"{"a":1}"#, "move a x.*.y", r#"{"x":{"*":{"y":1}}}"#),
        (
            r#"{"b":{"f":{"c":{"d":4}},"l":{"c":{"d":5},"m":6}}}"#,
            "move b.*.c b.*.c.b.x",
            r#"{"b":{"f":{"c":{"b":{"x":{"d":4}}}},"l":{"c":{"b":{"x":{"d":5}}},"m":6}}}"#,
        ),
        (r#"{"a":{"b":1}}"#, "move a.b.c x.y.z.w", r#"{"a":{"b":1}}"#),
    ]);
}

#[test]
fn appends_one_list_to_another() {
    table(&[
        (r#"{"a":[1],"b":[2,3]}"#, "append a b", r#"{"b":[2,3,1]}"#),
        (r#"{"a":[],"b":[2]}"#, "append a b", r#"{"b":[2]}"#),
        (r#"{"a":[1],"b":[]}"#, "append a b", r#"{"b":[1]}"#),
        (r#"{"a":[],"b":[]}"#, "append a b", r#"{"b":[]}"#),
        (
            r#"{"a":{"i":[{"k":1}]},"b":{"i":[{"k":2}],"x":0}}"#,
            "append b.i a.i",
            r#"{"a":{"i":[{"k":1},{"k":2}]},"b":{"x":0}}"#,
        ),
        (
            r#"{"a":[1],"b":[2,3]}"#,
            "append a b; del b.2",
            r#"{"b":[2,3]}"#,
        ),
        (
            r#"{"a":[1],"b":[2,3]}"#,
            "del b.0; append a b; del b.1",
            r#"{"b":[3]}"#,
        ),
        (
            r#"{"a":[1],"b":[2],"c":[3]}"#,
            "append b a; append c a",
            r#"{"a":[1,2,3]}"#,
        ),
    ]);
}

#[test]
fn appends_nothing_unless_both_are_lists() {
    table(&[
        (
            r#"{"arr":[1,2],"id":1}"#,
            "append arr arr2",
            r#"{"arr":[1,2],"id":1}"#,
        ),
        (r#"{"a":[1],"b":{}}"#, "append a b", r#"{"a":[1],"b":{}}"#),
        (
            r#"{"a":{"k":1},"b":[1]}"#,
            "append a b",
            r#"{"a":{"k":1},"b":[1]}"#,
        ),
        (
            r#"{"a":null,"b":[1]}"#,
            "append a b; append b a; append b ghost.x",
            r#"{"a":null,"b":[1]}"#,
        ),
        (
            r#"{"a":[1],"b":[2]}"#,
            "del b.0; append a b",
            r#"{"a":[1],"b":null}"#,
        ),
    ]);
}

#[test]
fn appends_lists_that_contain_one_another() {
    table(&[
        (r#"{"a":[1,2],"b":3}"#, "append a a", r#"{"b":3}"#),
        (r#"{"a":[[1],2]}"#, "append a.0 a", r#"{"a":[2,1]}"#),
        (r#"{"a":[[1],2]}"#, "append a.0 a; del a.2", r#"{"a":[2]}"#),
        (r#"{"a":[[1]]}"#, "append a.0 a", r#"{"a":[1]}"#),
        (r#"{"a":[[]]}"#, "append a.0 a", r#"{"a":null}"#),
        (r#"{"a":[[1],2],"b":0}"#, "append a a.0", r#"{"b":0}"#),
    ]);
}

#[test]
fn appends_what_stars_find_as_one_list() {
    table(&[
        (
            r#"{"a":[{"n":1},{"m":2},{"n":3}],"l":[0]}"#,
            "append a.*.n l",
            r#"{"a":[null,{"m":2},null],"l":[0,1,null,3]}"#,
        ),
        (
            r#"{"a":{"x":1,"y":[2]},"l":[0]}"#,
            "append a.* l",
            r#"{"a":null,"l":[0,1,[2]]}"#,
        ),
        (
            r#"{"a":[{"b":[{"c":1},{"c":2}]},{"b":[]}],"l":[]}"#,
            "append a.*.b.*.c l",
            r#"{"a":[{"b":[null,null]},{"b":[]}],"l":[[1,2],null]}"#,
        ),
        // What arrives where the source is looked for goes with the source.
        (
            r#"{"a":[],"b":[[7]]}"#,
            "append *.* a",
            r#"{"a":[],"b":null}"#,
        ),
        (
            r#"{"a":[9],"c":{"x":1}}"#,
            "append a c.*",
            r#"{"c":{"*":[1,9],"x":1}}"#,
        ),
        (
            r#"{"a":[9],"c":[{"t":[1]},{"t":[2]}]}"#,
            "append a c.*.t",
            r#"{"c":[{"t":[1]},{"t":[2]},{"t":[[1],[2],9]}]}"#,
        ),
    ]);
}

#[test]
fn treats_records_as_leaves() {
    let record = |name: &str| Value::Record(Record::from(vec![(name.into(), Value::Bool(true))]));
    let data = || {
        Some(Object::from_members(vec![
            (
                "items".into(),
                Value::Array(vec![record("t"), record("u")].into()),
            ),
            ("l".into(), Value::Array(Vec::new().into())),
            ("one".into(), record("t")),
        ]))
    };
    let untouched = print(data());
    for ops in [
        "del items.0 items.* items.*.t one.t one.*",
        "append items l; append l items",
    ] {
        assert_eq!(print(script(ops).apply(data())), untouched);
    }
    assert_eq!(
        print(script("move one o; del items").apply(data())),
        r#"{"l":[],"o":{"t":true}}"#
    );
}

#[test]
fn keeps_numbers_as_they_were_written() {
    table(&[(
        r#"{"a":{"n":1.50,"big":12345678901234567890}}"#,
        "move a.n n; move a.big b.big",
        r#"{"a":{"big":12345678901234567890},"n":1.50}"#,
    )]);
}

#[test]
fn replaces_filters_only_with_a_typed_operation() {
    for ops in [
        json!([]),
        json!(null),
        json!({}),
        json!([1, {}, {"type": 1}, null]),
    ] {
        assert!(Flatmap::compile(&ops).0.is_none(), "{ops}");
    }
    let (flatmap, warnings) = Flatmap::compile(&json!([{"type": "sort"}]));
    assert!(flatmap.unwrap().is_empty());
    assert_eq!(warnings, [r#"operation 0: unknown type "sort", ignored"#]);
}

#[test]
fn warns_about_what_does_nothing() {
    let ops = json!([
        {"type": "move", "args": ["a"]},
        {"type": "append"},
        {"type": "del", "args": []},
        {"type": "del", "args": ["a", 7]},
        {"type": "move", "args": ["b", null]},
        {"type": "move", "args": ["b", "c", "d"]},
        "move",
        {"type": "append", "args": ["x", "c.*"]},
    ]);
    let (flatmap, warnings) = Flatmap::compile(&ops);
    assert_eq!(
        warnings,
        [
            "operation 0: move needs two arguments, ignored",
            "operation 1: append needs two arguments, ignored",
            "operation 2: del needs an argument, ignored",
            "operation 3: argument 7 is not a string, ignored",
            "operation 4: argument null is not a string, ignored",
            "operation 5: move takes two arguments, the rest is ignored",
            "operation 6: no type, ignored",
            "operation 7: append writes to a member named *, not to what * matches",
        ]
    );
    let flatmap = flatmap.unwrap();
    assert_eq!(flatmap.len(), 3);
    assert_eq!(print(flatmap.apply(data(r#"{"a":1,"b":2}"#))), r#"{"c":2}"#);
}

#[test]
fn bounds_how_often_an_answer_can_double() {
    let op = json!({"type": "append", "args": ["x", "c.*"]});
    let (flatmap, warnings) = Flatmap::compile(&json!(vec![op; 40]));
    assert_eq!(flatmap.unwrap().len(), MAX_DOUBLING);
    assert!(warnings.iter().any(|w| w.contains("too many appends")));
}

#[test]
fn handles_deep_data_without_the_call_stack() {
    let depth = 9_990;
    let body = format!(
        r#"{{"a":{}1{}}}"#,
        r#"{"k":["#.repeat(depth / 2),
        "]}".repeat(depth / 2)
    );
    let steps = ".k.0".repeat(depth / 2 - 1);
    let ops = format!("move a.k b; move b.0 b.0.c.d; append b b.0; move a{steps} x; del b{steps}");
    let moved = script(&ops).apply(data(&body));
    assert!(moved.is_some());
    let deep = format!(
        "move a{} {}",
        ".k.0".repeat(depth / 2),
        "x.".repeat(2 * depth) + "y"
    );
    assert!(print(script(&deep).apply(data(&body))).len() > 5 * depth);
    let clone = script("append l.*.k m").apply(data(&format!(
        r#"{{"l":[{{"k":{}{}}}],"m":[]}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    )));
    assert!(print(clone).len() > 2 * depth);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!({})),
        Just(json!([])),
        (0..9).prop_map(|n| json!(n))
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            proptest::collection::btree_map("[abk01*]", inner, 0..4)
                .prop_map(|members| json!(members)),
        ]
    })
}

fn any_object() -> impl Strategy<Value = String> {
    proptest::collection::btree_map("[abk01*]", any_json(), 0..5)
        .prop_map(|members| json!(members).to_string())
}

fn any_ops() -> impl Strategy<Value = serde_json::Value> {
    let path = proptest::collection::vec("[abk01*]", 1..5).prop_map(|steps| steps.join("."));
    let op = (
        proptest::sample::select(vec!["move", "append", "del", "none"]),
        proptest::collection::vec(path, 0..4),
    )
        .prop_map(|(kind, args)| json!({"type": kind, "args": args}));
    proptest::collection::vec(op, 1..6).prop_map(|ops| json!(ops))
}

proptest! {
    #[test]
    fn survives_any_operations_on_any_data(body in any_object(), ops in any_ops()) {
        let after = compile(&ops).apply(data(&body));
        let printed = print(after.clone());
        prop_assert!(serde_json::from_str::<serde_json::Value>(&printed).is_ok());
        prop_assert_eq!(print(data(&printed)), printed);
    }

    #[test]
    fn changes_nothing_where_nothing_matches(body in any_object()) {
        let ops = "del zz.a a.zz.* *.zz; move zz q; move a.zz.b a.c; move a.zz a.b.c.d; append zz a; append a zz; none";
        prop_assert_eq!(run(&body, ops), print(data(&body)));
    }

    #[test]
    fn moves_there_and_back(body in any_object()) {
        prop_assert_eq!(run(&body, "move *.a *.zz; move *.zz *.a"), print(data(&body)));
        prop_assert_eq!(run(&body, "move *.a *.zz.yy; move *.zz.yy *.a; del *.zz"), run(&body, "none"));
    }
}
