//! Nothing that a backend sends makes this room panic: mutated documents through every decoder, shape,
//! merge and output.

use super::{Data, Decoder, Merge, Output, Part, Shape, render};

const SEEDS: &[&str] = &[
    r#"{"a":{"b":[1,2.50,{"c":null}],"x":"y\u00e9\ud83d\ude00"},"t":true,"collection":[{"id":1}],"content":"z"}"#,
    r##"[{"-a":"1","#text":"t"},[],{},"s",1e21]"##,
    "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><!DOCTYPE a><a x=\"1\">t<b>&amp;&#65;</b><b/><![CDATA[q]]><!--c--></a>",
    "<rss version=\"2.0\" xmlns:dc=\"d\"><channel><title>T &amp; <![CDATA[U]]></title><item><link>l</link><pubDate>Mon, 02 Jan 2023 10:00:00 +0000</pubDate><dc:date>2003-12-13T18:30:02Z</dc:date><enclosure url=\"u\"/></item></channel></rss>",
    "<feed xml:lang=\"en\"><title type=\"xhtml\"><div>x</div></title><entry><link rel=\"self\" href=\"h\"/><updated>2003-12-13</updated><author><name>n</name></author></entry></feed>",
    r#"{"version":"1","icon":"i","items":[{"authors":[{"name":"a (b@c)"}],"attachments":[{"duration_in_seconds":5}],"date_modified":"2010"}]}"#,
    "a: |\n b\r\n\r\n- \u{2028}",
];

const DECODERS: [Decoder; 6] = [
    Decoder::Json,
    Decoder::SafeJson,
    Decoder::Xml,
    Decoder::Rss,
    Decoder::String,
    Decoder::NoOp,
];

const OUTPUTS: [Output; 5] = [
    Output::Json,
    Output::JsonCollection,
    Output::String,
    Output::Xml,
    Output::Yaml,
];

fn mutate(random: &mut fastrand::Rng, seed: &[u8]) -> Vec<u8> {
    let mut body = seed.to_vec();
    for _ in 0..random.usize(0..6) {
        let at = random.usize(0..=body.len());
        match random.usize(0..5) {
            0 => body.truncate(at),
            1 => body.insert(at, random.u8(..)),
            2 if at < body.len() => body[at] = random.u8(..),
            3 => {
                let piece = seed[random.usize(0..seed.len())..].to_vec();
                body.splice(at..at, piece);
            }
            _ if at < body.len() => drop(body.remove(at)),
            _ => {}
        }
    }
    body
}

#[test]
fn no_mutated_body_panics() {
    let mut random = fastrand::Rng::with_seed(42);
    let paths = [
        "a.b".to_owned(),
        "collection".to_owned(),
        "items.title".to_owned(),
    ];
    let shapes = [
        Shape::compile("a", &[], &paths, &[("b".into(), "c".into())], "g"),
        Shape::compile("", &paths, &[], &[], ""),
    ];
    for round in 0..4_000 {
        let body = mutate(&mut random, SEEDS[round % SEEDS.len()].as_bytes());
        let mut merge = Merge::new(DECODERS.len() * 2);
        for decoder in DECODERS {
            for is_collection in [false, true] {
                merge.push(decoder.decode(&body, is_collection).map(|data| Part {
                    data: shapes[round % 2].apply(data),
                    complete: true,
                }));
            }
        }
        let data: Data = merge.finish().data;
        for output in OUTPUTS {
            let rendered = render(output, Some(&data), None);
            if output == Output::Json {
                assert!(serde_json::from_slice::<serde_json::Value>(&rendered.body).is_ok());
            }
        }
        let _ = super::gzip::inflate(&body, 1 << 16);
    }
}

#[test]
fn no_depth_overflows_the_stack() {
    for (decoder, open, close) in [
        (Decoder::SafeJson, "[", "]"),
        (Decoder::SafeJson, "{\"a\":", "}"),
        (Decoder::Xml, "<a>", "</a>"),
        (Decoder::Rss, "<rss>", "</rss>"),
    ] {
        let body = format!("{}0{}", open.repeat(9_990), close.repeat(9_990));
        let Ok(data) = decoder.decode(body.as_bytes(), false) else {
            continue;
        };
        let copy = data.clone();
        assert!(copy == data);
        for output in OUTPUTS {
            render(output, Some(&data), None);
        }
    }
}
