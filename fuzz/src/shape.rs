//! From the bytes of a backend to the bytes for a client: no panic whatever the body, and the JSON
//! that comes out is JSON which reads back as the same data.

use hanzo_gateway::body::{
    Data, Decoder, Merge, Output, Part, Shape, error_details, gzip, json, render,
};
use std::sync::LazyLock;

const DECODERS: [Decoder; 6] = [
    Decoder::Json,
    Decoder::SafeJson,
    Decoder::Xml,
    Decoder::Rss,
    Decoder::String,
    Decoder::NoOp,
];

const OUTPUTS: [Output; 7] = [
    Output::Json,
    Output::JsonCollection,
    Output::Negotiate,
    Output::String,
    Output::Xml,
    Output::Yaml,
    Output::NoOp,
];

/// Most bytes that a packed body may become.
const INFLATED: usize = 1 << 20;

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let map = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect::<Vec<_>>()
    };
    vec![
        Shape::default(),
        Shape::compile(
            "",
            &list(&["a", "b.c", "collection", "content"]),
            &[],
            &[],
            "",
        ),
        Shape::compile("", &[], &list(&["a", "b.c", "x.y.z"]), &[], "g"),
        Shape::compile(
            "a",
            &[],
            &[],
            &map(&[("b", "a"), ("c", "c"), ("x", "y.z")]),
            "",
        ),
    ]
});

/// The first byte chooses decoder, shape and whether a list is expected; the rest is the body.
pub fn check(input: &[u8]) {
    let Some((choice, body)) = input.split_first() else {
        return;
    };
    let choice = usize::from(*choice);
    let shape = &SHAPES[choice / 6 % 4];
    if let Ok(plain) = gzip::inflate(body, INFLATED) {
        assert!(plain.len() <= INFLATED);
    }
    let details = error_details("name", 418, body, "text/plain");
    writes(&Some(details));
    let Ok(data) = DECODERS[choice % 6].decode(body, choice & 0x80 != 0) else {
        return;
    };
    let copy = data.clone();
    assert!(copy == data, "a copy differs");
    let shaped = shape.apply(data);
    writes(&shaped);
    let mut merge: Merge<&str> = Merge::new(2);
    merge.push(Ok(Part {
        data: shaped,
        complete: true,
    }));
    merge.push(Ok(Part {
        data: copy,
        complete: true,
    }));
    let merged = merge.finish();
    assert!(!merged.complete || merged.arrived == 2);
    writes(&merged.data);
}

fn writes(data: &Data) {
    for output in OUTPUTS {
        let written = render(output, Some(data), Some(b"application/xml"));
        if matches!(output, Output::Json | Output::JsonCollection) {
            let again = json::decode(&written.body).expect("what we wrote is JSON");
            // Records keep their own order and broken text is escaped; after one more round all is
            // sorted and whole.
            let sorted = json::to_vec(&again);
            assert!(
                json::decode(&sorted) == Ok(again),
                "it reads back as the same"
            );
        }
        if !matches!(output, Output::String) {
            assert!(std::str::from_utf8(&written.body).is_ok(), "{output:?}");
        }
    }
}
