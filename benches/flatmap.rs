//! `flatmap_filter` on a list of objects, beside the filter that does the nearest to it.

use criterion::{BatchSize, Criterion, Throughput};
use hanzo_gateway::body::{Data, Decoder, Flatmap, Shape};
use serde_json::json;

fn list(elements: usize) -> Data {
    let items: Vec<String> = (0..elements)
        .map(|id| {
            format!(
                r#"{{"id":{id},"name":"Shoe {id}","secret":"s{id}","v":{{"k":{id}.50,"unit":"EUR"}},"tags":["a","b"]}}"#
            )
        })
        .collect();
    let body = format!(
        r#"{{"items":[{}],"more":[1,2],"total":3}}"#,
        items.join(",")
    );
    Decoder::Json.decode(body.as_bytes(), false).unwrap()
}

fn compile(kind: &str, args: &[&str]) -> Flatmap {
    let (flatmap, warnings) = Flatmap::compile(&json!([{"type": kind, "args": args}]));
    assert!(warnings.is_empty());
    flatmap.unwrap()
}

pub(crate) fn all(criterion: &mut Criterion) {
    // Ten times the elements must cost ten times the time, give or take the cache.
    for elements in [100, 10_000, 100_000] {
        let data = list(elements);
        let mut group = criterion.benchmark_group(format!("flatmap/{elements} elements"));
        group.throughput(Throughput::Elements(elements as u64));
        if elements > 1_000 {
            group.sample_size(10);
        }
        for (name, flatmap) in [
            ("rename the list", compile("move", &["items", "paths"])),
            (
                "rename",
                compile("move", &["items.*.name", "items.*.title"]),
            ),
            ("delete", compile("del", &["items.*.secret"])),
            ("promote", compile("move", &["items.*.v.k", "items.*.k"])),
            ("embed", compile("move", &["items.*.id", "items.*.v.x.id"])),
            ("append", compile("append", &["items", "more"])),
            (
                "append by a star",
                compile("append", &["items.*.id", "more"]),
            ),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    || data.clone(),
                    |data| flatmap.apply(data),
                    BatchSize::LargeInput,
                );
            });
        }
        let deny = Shape::compile("", &[], &["more".to_owned()], &[], "");
        group.bench_function("deny a member, for comparison", |bencher| {
            bencher.iter_batched(
                || data.clone(),
                |data| deny.apply(data),
                BatchSize::LargeInput,
            );
        });
        group.finish();
    }
}
