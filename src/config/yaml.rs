//! YAML into a generic value and its marks, without recursion. Scalars read as Go's library reads
//! them: only `true` and `false` are booleans, `010` is octal; equal keys are an error, aliases and
//! merge keys are expanded within bounds, only the first document of a stream counts.

use super::json::{MAX_DEPTH, looks_like_template, shortened};
use super::source::{Children, Mark, offset, place_in};
use super::weak;
use crate::base::{Code, Problem};
use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag, options};
use std::collections::HashMap;

/// Most values that aliases may stand for in one document.
const MAX_EXPANDED: usize = 1_000_000;

/// Reads the first document of a YAML text; an empty text is null.
///
/// # Errors
/// The syntax error at its place.
pub(super) fn read(text: &str) -> Result<(Value, Mark), Problem> {
    let mut reader = Reader {
        text,
        stack: Vec::new(),
        anchors: HashMap::new(),
        expanded: 0,
        root: None,
    };
    for event in Parser::new_from_str_with_options(text, options! { emit_comments: false }) {
        let (event, span) = event.map_err(|error| explain(text, &error))?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        let at = span.start.byte_offset().unwrap_or_default();
        reader.event(event, at).map_err(|problem| *problem)?;
    }
    Ok(reader
        .root
        .map(|node| (node.value, node.mark))
        .unwrap_or_default())
}

fn explain(text: &str, error: &ScanError) -> Problem {
    let (line, column) = (
        offset(error.marker().line()),
        offset(error.marker().col() + 1),
    );
    let problem =
        Problem::error(Code::Syntax, "", format!("yaml: {}", error.info())).at(line.max(1), column);
    advise(text, problem)
}

fn advise(text: &str, problem: Problem) -> Problem {
    let line = problem.position.map_or(1, |(line, _)| line) as usize;
    let written = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    if looks_like_template(written.as_bytes(), written.len()) {
        return problem.hint("this looks like a template; set FC_ENABLE=1 to render it first");
    }
    if written.trim_start_matches(' ').starts_with('\t') {
        return problem.hint("indent with spaces, YAML allows no tabs there");
    }
    problem
}

/// One finished value.
#[derive(Clone, Debug)]
struct Node {
    value: Value,
    mark: Mark,
    /// How many values it holds, and how deep they are nested.
    size: usize,
    height: usize,
}

/// A collection that is still open.
struct Frame {
    at: usize,
    anchor: usize,
    size: usize,
    height: usize,
    open: Open,
}

enum Open {
    Sequence(Vec<Value>, Vec<Mark>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    map: Map<String, Value>,
    marks: Vec<(Box<str>, Mark)>,
    /// The key whose value comes next: its text, its place, and whether it is `<<`.
    key: Option<(String, usize, bool)>,
    /// What `<<` brought, in order.
    merged: Vec<(Value, Mark)>,
}

struct Reader<'a> {
    text: &'a str,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    expanded: usize,
    root: Option<Node>,
}

type Done = Result<(), Box<Problem>>;

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, at: usize) -> Done {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !tag.as_deref().is_some_and(is_text);
                let merge = plain && text == "<<";
                let value = if plain {
                    resolve(&text)
                } else {
                    Value::String(text.into_owned())
                };
                let mark = Mark::scalar(offset(at));
                self.node(
                    Node {
                        value,
                        mark,
                        size: 1,
                        height: 0,
                    },
                    anchor,
                    at,
                    merge,
                )
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(at, anchor, Open::Sequence(Vec::new(), Vec::new()))
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(at, anchor, Open::Mapping(Mapping::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: usize, anchor: usize, open: Open) -> Done {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        self.stack.push(Frame {
            at,
            anchor,
            size: 1,
            height: 0,
            open,
        });
        Ok(())
    }

    fn close(&mut self) -> Done {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let (value, children) = match frame.open {
            Open::Sequence(values, marks) => (Value::Array(values), Children::Array(marks)),
            Open::Mapping(mapping) => mapping.finish(),
        };
        let mark = Mark {
            value: offset(frame.at),
            key: None,
            children,
        };
        let node = Node {
            value,
            mark,
            size: frame.size,
            height: frame.height + 1,
        };
        self.node(node, frame.anchor, frame.at, false)
    }

    fn alias(&mut self, anchor: usize, at: usize) -> Done {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(self.problem(
                Code::Syntax,
                at,
                "yaml: an alias inside its own anchor".to_owned(),
            ));
        };
        let (size, height) = (node.size, node.height);
        self.expanded = self.expanded.saturating_add(size);
        if self.expanded > MAX_EXPANDED {
            return Err(self.problem(
                Code::TooDeep,
                at,
                "yaml: the aliases stand for too many values".to_owned(),
            ));
        }
        if self.stack.len() + height > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        let node = node.clone();
        self.node(node, 0, at, false)
    }

    /// Puts a finished value where it belongs.
    fn node(&mut self, node: Node, anchor: usize, at: usize, merge: bool) -> Done {
        if anchor != 0 {
            self.expanded = self.expanded.saturating_add(node.size);
            if self.expanded > MAX_EXPANDED {
                return Err(self.problem(
                    Code::TooDeep,
                    at,
                    "yaml: the anchors hold too many values".to_owned(),
                ));
            }
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        frame.size = frame.size.saturating_add(node.size);
        frame.height = frame.height.max(node.height);
        let refused = match &mut frame.open {
            Open::Sequence(values, marks) => {
                values.push(node.value);
                marks.push(node.mark);
                None
            }
            Open::Mapping(mapping) => mapping.take(node, at, merge),
        };
        refused.map_or(Ok(()), |message| {
            Err(self.problem(Code::Syntax, at, message))
        })
    }

    fn too_deep(&self, at: usize) -> Box<Problem> {
        self.problem(
            Code::TooDeep,
            at,
            format!("the document is nested deeper than {MAX_DEPTH} levels"),
        )
    }

    fn problem(&self, code: Code, at: usize, message: String) -> Box<Problem> {
        let (line, column) = place_in(self.text, at);
        Box::new(advise(
            self.text,
            Problem::error(code, "", message).at(line, column),
        ))
    }
}

impl Mapping {
    /// Takes a key or a value by turns; the text says why not.
    fn take(&mut self, node: Node, at: usize, merge: bool) -> Option<String> {
        let Some((key, key_at, merge)) = self.key.take() else {
            let Ok(key) = weak::string(&node.value) else {
                return Some("yaml: a key must be a text".to_owned());
            };
            if !merge && self.map.contains_key(&key) {
                return Some(format!(
                    "yaml: mapping key \"{}\" already defined",
                    shortened(&key)
                ));
            }
            self.key = Some((key, at, merge));
            return None;
        };
        if merge {
            self.merged.push((node.value, node.mark));
            return None;
        }
        let mark = Mark {
            key: Some(offset(key_at)),
            ..node.mark
        };
        self.marks.push((key.clone().into_boxed_str(), mark));
        self.map.insert(key, node.value);
        None
    }

    /// Own members win over merged ones, earlier merged ones over later ones.
    fn finish(mut self) -> (Value, Children) {
        for (value, mark) in std::mem::take(&mut self.merged) {
            match (value, mark.children) {
                (Value::Object(map), Children::Object(marks)) => self.merge(map, marks),
                (Value::Array(values), Children::Array(marks)) => {
                    for (value, mark) in values.into_iter().zip(marks) {
                        if let (Value::Object(map), Children::Object(marks)) =
                            (value, mark.children)
                        {
                            self.merge(map, marks);
                        }
                    }
                }
                _ => {}
            }
        }
        (Value::Object(self.map), Children::object(self.marks))
    }

    fn merge(&mut self, map: Map<String, Value>, marks: Vec<(Box<str>, Mark)>) {
        self.marks.extend(
            marks
                .into_iter()
                .filter(|(key, _)| !self.map.contains_key(&**key)),
        );
        for (key, value) in map {
            self.map.entry(key).or_insert(value);
        }
    }
}

fn is_text(tag: &Tag) -> bool {
    tag.core_suffix() == Some("str")
}

/// What an unquoted word means.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::String(text.to_owned());
    }
    let plain = text.replace('_', "");
    if let Ok(int) = weak::go_int(&plain) {
        return int.into();
    }
    let decimal = plain
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    let float = plain
        .parse::<f64>()
        .ok()
        .filter(|_| decimal)
        .and_then(Number::from_f64);
    float.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Source;
    use serde_json::json;

    #[test]
    fn reads_values_with_their_places() {
        let text = "version: 3\nhost: [\"a\", b]\nendpoints:\n  - endpoint: /x\n    timeout: 2s\n    on: yes\n    n: 1.5\n    \"ä\": ~\n404: true\n";
        let (value, mark) = read(text).unwrap();
        assert_eq!(
            value,
            json!({"version": 3, "host": ["a", "b"], "404": true,
                "endpoints": [{"endpoint": "/x", "timeout": "2s", "on": "yes", "n": 1.5, "ä": null}]})
        );
        let source = Source::plain("", text).with_marks(mark);
        assert_eq!(source.locate("/version"), Some((1, 10)));
        assert_eq!(source.locate_key("/version"), Some((1, 1)));
        assert_eq!(source.locate("/host/1"), Some((2, 13)));
        assert_eq!(source.locate("/endpoints/0/timeout"), Some((5, 14)));
        assert_eq!(source.locate_key("/endpoints/0/timeout"), Some((5, 5)));
        assert_eq!(source.locate("/endpoints/0"), Some((4, 5)));
    }

    #[test]
    fn expands_aliases_and_merge_keys() {
        let (value, _) = read("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\nc: *x\n").unwrap();
        assert_eq!(
            value,
            json!({"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}, "c": {"k": 1, "l": 2}})
        );
    }

    #[test]
    fn explains_syntax_errors() {
        let problem = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert_eq!(problem.code, Code::Syntax);
        assert!(problem.position.is_some(), "{problem:?}");
        let problem = read("a: {{ env \"X\" }}\n").unwrap_err();
        assert!(
            problem.hint.unwrap().contains("FC_ENABLE"),
            "{}",
            problem.message
        );
        let problem = read("a:\n\tb: 1\n").unwrap_err();
        assert!(problem.position.is_some(), "{problem:?}");
        assert_eq!(read("a: 1\na: 2\n").unwrap_err().position.unwrap().0, 2);
    }

    #[test]
    fn words_mean_what_they_mean_to_go() {
        for (text, value) in [
            ("yes", json!("yes")),
            ("010", json!(8)),
            ("0x1f", json!(31)),
            ("1_000", json!(1000)),
            ("08", json!(8.0)),
            ("1e3", json!(1000.0)),
            ("-.5", json!(-0.5)),
            ("1.2.3", json!("1.2.3")),
            ("-", json!([null])),
            (".inf", json!(".inf")),
            ("!!str 5", json!("5")),
            ("'5'", json!("5")),
            ("2s", json!("2s")),
            ("TRUE", json!(true)),
            ("~", json!(null)),
        ] {
            assert_eq!(read(text).unwrap().0, value, "{text}");
        }
    }

    #[test]
    fn only_the_first_document_counts() {
        assert_eq!(read("a: 1\n---\na: 2\n").unwrap().0, json!({"a": 1}));
    }

    #[test]
    fn an_empty_file_is_an_empty_document() {
        assert_eq!(read("").unwrap().0, Value::Null);
        assert_eq!(read("# only\n").unwrap().0, Value::Null);
    }

    #[test]
    fn bounds_depth_and_aliases() {
        assert!(read(&"[".repeat(100_000)).is_err());
        let deep: String = (0..2_000)
            .map(|n| format!("{}a:\n", " ".repeat(n)))
            .collect();
        assert!(read(&deep).is_err());
        let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(read(&nested).is_ok());
        let mut chain = "a0: &a0 [1]\n".to_owned();
        for n in 1..1_000 {
            chain.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
        }
        assert_eq!(read(&chain).unwrap_err().code, Code::TooDeep);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let alias = format!("*a{}", n - 1);
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![alias; 10].join(",")));
        }
        assert!(read(&bomb).is_err());
    }
}
