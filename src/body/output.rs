//! From merged data to the body for the client. Content types are KrakenD's to the letter.
//!
//! `fast-json` is an Enterprise name: as every unknown one it falls back to the renderer named like the
//! encoding of the only backend, and to JSON otherwise. The body of `no-op` is streamed elsewhere.

use super::value::{Object, Value};
use super::{Data, json, xml_output, yaml};

/// How an endpoint's answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Output {
    /// The data as JSON.
    #[default]
    Json,
    /// The value of `collection` as JSON.
    JsonCollection,
    /// JSON, XML or YAML, as the client accepts.
    Negotiate,
    /// The text of `content`.
    String,
    /// XML.
    Xml,
    /// YAML.
    Yaml,
    /// Whatever the backend sent; nothing is rendered here.
    NoOp,
}

/// A body and its `Content-Type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The body.
    pub body: Vec<u8>,
    /// The media type; empty for `no-op`.
    pub content_type: &'static str,
}

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml";
const YAML: &str = "application/yaml; charset=utf-8";

impl Output {
    /// The renderer of that name; `None` when there is none.
    pub fn known(name: &str) -> Option<Self> {
        Some(match name {
            "" | "json" => Self::Json,
            "json-collection" => Self::JsonCollection,
            "negotiate" => Self::Negotiate,
            "string" => Self::String,
            "xml" => Self::Xml,
            "yaml" => Self::Yaml,
            "no-op" => Self::NoOp,
            _ => return None,
        })
    }

    /// The renderer of an endpoint. `only_backend` is the encoding of its backend if it has exactly one:
    /// an unknown name means the renderer of that name.
    pub fn parse(name: &str, only_backend: Option<&str>) -> Self {
        Self::known(name)
            .or_else(|| only_backend.and_then(Self::known))
            .unwrap_or_default()
    }

    /// The renderer that an `Accept` header asks [`Output::Negotiate`] for. Weights are ignored; the
    /// order of the list decides.
    pub fn negotiate(accept: Option<&[u8]>) -> Self {
        const OFFERS: [(&[u8], Output); 4] = [
            (b"application/json", Output::Json),
            (b"text/plain", Output::Yaml),
            (b"application/xml", Output::Xml),
            (b"application/x-yaml", Output::Yaml),
        ];
        let accepted = accept.unwrap_or_default().split(|&b| b == b',');
        accepted
            .map(|range| {
                range
                    .split(|&b| b == b';')
                    .next()
                    .unwrap_or_default()
                    .trim_ascii()
            })
            .filter(|range| !range.is_empty())
            .find_map(|range| OFFERS.iter().find(|(offer, _)| accepts(range, offer)))
            .map_or(Self::Json, |offer| offer.1)
    }
}

/// Whether the range is the beginning of the offer, or has a `*` where they first differ.
fn accepts(range: &[u8], offer: &[u8]) -> bool {
    let same = range.iter().zip(offer).take_while(|(a, b)| a == b).count();
    match range.get(same) {
        None => true,
        Some(&byte) => byte == b'*' && same < offer.len(),
    }
}

/// The body for the client. `data` is `None` when there is no answer at all, which is not the same as
/// data that is `null`; `accept` is the client's header, read by [`Output::Negotiate`] only.
pub fn render(output: Output, data: Option<&Data>, accept: Option<&[u8]>) -> Rendered {
    let (body, content_type) = match output {
        Output::Negotiate => return render(Output::negotiate(accept), data, None),
        Output::Json => (json_body(data), JSON),
        Output::JsonCollection => (collection(data), JSON),
        Output::String => (content(data), TEXT),
        Output::Xml => match data {
            Some(data) => (xml_output::encode(data), XML),
            None => (Vec::new(), "application/xml; charset=utf-8"),
        },
        Output::Yaml => (yaml::encode(data.unwrap_or(&Some(Object::new()))), YAML),
        Output::NoOp => (Vec::new(), ""),
    };
    Rendered { body, content_type }
}

fn json_body(data: Option<&Data>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    match data {
        None => out.extend_from_slice(b"{}"),
        Some(None) => out.extend_from_slice(b"null"),
        Some(Some(object)) => json::encode_object(object, &mut out),
    }
    out
}

fn member<'a>(data: Option<&'a Data>, name: &str) -> Option<&'a Value> {
    data?.as_ref()?.get(name)
}

fn collection(data: Option<&Data>) -> Vec<u8> {
    member(data, "collection").map_or_else(|| b"[]".to_vec(), json::to_vec)
}

fn content(data: Option<&Data>) -> Vec<u8> {
    match member(data, "content") {
        Some(Value::String(text)) => text.as_bytes().to_vec(),
        Some(Value::Bytes(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::Decoder;
    use super::*;

    fn show(output: Output, text: &str, accept: Option<&str>) -> (String, &'static str) {
        let data = Decoder::Json.decode(text.as_bytes(), false).unwrap();
        let rendered = render(output, Some(&data), accept.map(str::as_bytes));
        (
            String::from_utf8(rendered.body).unwrap(),
            rendered.content_type,
        )
    }

    #[test]
    fn renders_each_output_with_its_type() {
        let data = r#"{"b":"<","a":1}"#;
        assert_eq!(
            show(Output::Json, data, None),
            (r#"{"a":1,"b":"\u003c"}"#.into(), JSON)
        );
        assert_eq!(
            show(Output::JsonCollection, data, None),
            ("[]".into(), JSON)
        );
        assert_eq!(
            show(Output::JsonCollection, r#"{"collection":[1]}"#, None),
            ("[1]".into(), JSON)
        );
        assert_eq!(show(Output::String, data, None), (String::new(), TEXT));
        assert_eq!(
            show(Output::String, r#"{"content":"<x>"}"#, None),
            ("<x>".into(), TEXT)
        );
        assert_eq!(
            show(Output::Xml, data, None),
            ("<doc><a>1</a><b>&lt;</b></doc>".into(), XML)
        );
        assert_eq!(
            show(Output::Yaml, data, None),
            ("a: \"1\"\nb: <\n".into(), YAML)
        );
        assert_eq!(show(Output::NoOp, data, None), (String::new(), ""));
    }

    #[test]
    fn tells_absent_null_and_empty_apart() {
        let body = |output, data: Option<&Data>| {
            String::from_utf8(render(output, data, None).body).unwrap()
        };
        assert_eq!(body(Output::Json, None), "{}");
        assert_eq!(body(Output::Json, Some(&None)), "null");
        assert_eq!(body(Output::Json, Some(&Some(Object::new()))), "{}");
        assert_eq!(body(Output::JsonCollection, None), "[]");
        assert_eq!(body(Output::Yaml, None), "{}\n");
        assert_eq!(
            render(Output::Xml, None, None).content_type,
            "application/xml; charset=utf-8"
        );
    }

    #[test]
    fn gives_back_the_bytes_of_a_string() {
        let data = Decoder::String.decode(b"a\xffb", false).unwrap();
        assert_eq!(render(Output::String, Some(&data), None).body, b"a\xffb");
    }

    #[test]
    fn negotiates_by_the_order_of_the_list() {
        for (accept, output) in [
            (None, Output::Json),
            (Some(""), Output::Json),
            (Some("application/json"), Output::Json),
            (Some("application/json; charset=utf-8"), Output::Json),
            (Some("application/xml"), Output::Xml),
            (Some("text/plain"), Output::Yaml),
            (Some("text/*"), Output::Yaml),
            (Some("application/x-yaml"), Output::Yaml),
            (Some("text/html"), Output::Json),
            (Some("text/xml"), Output::Json),
            (Some("application/yaml"), Output::Json),
            (Some("*/*"), Output::Json),
            (Some("application/*"), Output::Json),
            (Some("application/xml;q=0.5, application/json"), Output::Xml),
            (Some("text/html, application/xml"), Output::Xml),
        ] {
            assert_eq!(
                Output::negotiate(accept.map(str::as_bytes)),
                output,
                "{accept:?}"
            );
        }
        assert_eq!(
            show(Output::Negotiate, r#"{"a":1}"#, Some("application/xml")).1,
            XML
        );
    }

    #[test]
    fn falls_back_to_the_encoding_of_the_only_backend() {
        assert_eq!(Output::parse("fast-json", None), Output::Json);
        assert_eq!(Output::parse("bogus", Some("xml")), Output::Xml);
        assert_eq!(Output::parse("bogus", Some("rss")), Output::Json);
        assert_eq!(Output::parse("json", Some("xml")), Output::Json);
    }
}
