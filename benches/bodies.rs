//! Bodies of composed answers, beside `serde_json` where it does the same.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use hanzo_gateway::base::json::Lexer;
use hanzo_gateway::body::{Decoder, Merge, Part, Shape, Value, json};

/// One object of about 600 bytes: strings, numbers, a list, nesting.
fn item(id: usize) -> String {
    format!(
        r#"{{"id":{id},"sku":"A-{id:08}","name":"Hiking shoe \"Alp {id}\"","price":129.95,"currency":"EUR","available":true,"discount":null,"tags":["outdoor","shoes","leather","waterproof"],"dimensions":{{"width":12.5,"height":11,"depth":32.75,"weight":1180}},"stock":{{"north":42,"south":0,"online":1337}},"description":"A sturdy shoe for long walks over rough ground, with a sole that can be replaced and laces that stay tied.","images":[{{"url":"https://img.example.test/{id}/front.jpg","alt":"front"}},{{"url":"https://img.example.test/{id}/side.jpg","alt":"side"}}],"rating":{{"average":4.6,"count":218}}}}"#
    )
}

/// A list of such objects, 100 KiB.
fn list() -> String {
    let items: Vec<String> = (0..160).map(item).collect();
    format!("[{}]", items.join(","))
}

fn tokens(text: &str) -> usize {
    let mut lexer = Lexer::new(text.as_bytes());
    let mut count = 0;
    while let Ok(Some(token)) = lexer.next() {
        black_box(token);
        count += 1;
    }
    count
}

fn beside_serde(criterion: &mut Criterion) {
    for (name, text) in [("object", item(4711)), ("list", list())] {
        let mut group = criterion.benchmark_group(format!("json/{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("lex", |bencher| bencher.iter(|| tokens(black_box(&text))));
        group.bench_function("decode", |bencher| {
            bencher.iter(|| json::decode(black_box(text.as_bytes())).unwrap());
        });
        group.bench_function("decode by serde_json", |bencher| {
            bencher.iter(|| {
                serde_json::from_slice::<serde_json::Value>(black_box(text.as_bytes())).unwrap()
            });
        });
        let ours = json::decode(text.as_bytes()).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
        group.bench_function("encode", |bencher| {
            bencher.iter(|| json::to_vec(black_box(&ours)))
        });
        group.bench_function("encode by serde_json", |bencher| {
            bencher.iter(|| serde_json::to_vec(black_box(&theirs)).unwrap());
        });
        group.finish();
    }
}

fn shape(criterion: &mut Criterion) {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let allow = names(&["id", "name", "price", "stock.online", "rating.average"]);
    let deny = names(&["sku", "description", "dimensions.weight", "images"]);
    let data = Decoder::Json.decode(item(4711).as_bytes(), false).unwrap();
    for (name, shape) in [
        ("allow", Shape::compile("", &allow, &[], &[], "")),
        ("deny", Shape::compile("", &[], &deny, &[], "")),
    ] {
        criterion.bench_function(&format!("shape/{name}"), |bencher| {
            bencher.iter_batched(
                || data.clone(),
                |data| shape.apply(data),
                BatchSize::SmallInput,
            );
        });
    }
}

fn merge(criterion: &mut Criterion) {
    let part = |group: &str| {
        let shape = Shape::compile("", &[], &[], &[], group);
        shape.apply(Decoder::Json.decode(item(4711).as_bytes(), false).unwrap())
    };
    let parts = [part("first"), part("second"), part("")];
    criterion.bench_function("merge/three parts", |bencher| {
        bencher.iter_batched(
            || parts.clone(),
            |parts| {
                let mut merge: Merge<()> = Merge::new(3);
                for data in parts {
                    merge.push(Ok(Part {
                        data,
                        complete: true,
                    }));
                }
                merge.finish()
            },
            BatchSize::SmallInput,
        );
    });
    // The whole of it: three bodies in, one body out.
    let text = item(4711);
    criterion.bench_function("merge/three bodies to one", |bencher| {
        bencher.iter(|| {
            let mut merge: Merge<()> = Merge::new(3);
            for group in ["a", "b", "c"] {
                let data = Decoder::Json
                    .decode(black_box(text.as_bytes()), false)
                    .unwrap();
                let data = Shape::compile("", &[], &[], &[], group).apply(data);
                merge.push(Ok(Part {
                    data,
                    complete: true,
                }));
            }
            json::to_vec(&merge.finish().data.map_or(Value::Null, Value::Object))
        });
    });
}

pub(crate) fn all(criterion: &mut Criterion) {
    beside_serde(criterion);
    shape(criterion);
    merge(criterion);
}
