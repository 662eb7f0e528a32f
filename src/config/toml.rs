//! TOML into a generic value and its marks. Dates become texts.

use super::json::{MAX_DEPTH, looks_like_template, shortened};
use super::source::{Children, Mark, offset, place_in};
use crate::base::{Code, Problem};
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

/// Reads one TOML document.
///
/// # Errors
/// Every syntax error at its place; at least one.
pub(super) fn read(text: &str) -> Result<(Value, Mark), Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors
            .iter()
            .take(20)
            .map(|error| explain(text, error))
            .collect());
    }
    let (value, children) =
        convert_table(text, table.get_ref(), 1).map_err(|problem| vec![*problem])?;
    Ok((
        value,
        Mark {
            value: 0,
            key: None,
            children,
        },
    ))
}

fn explain(text: &str, error: &Error) -> Problem {
    let message = error.message().lines().next().unwrap_or_default();
    let problem = Problem::error(Code::Syntax, "", format!("toml: {message}"));
    let Some(span) = error.span() else {
        return problem;
    };
    let (line, column) = place_in(text, span.start);
    let problem = problem.at(line, column);
    if looks_like_template(text.as_bytes(), span.end.min(text.len())) {
        return problem.hint("this looks like a template; set FC_ENABLE=1 to render it first");
    }
    problem
}

fn convert_table(
    text: &str,
    table: &DeTable<'_>,
    depth: usize,
) -> Result<(Value, Children), Box<Problem>> {
    let (mut map, mut marks) = (Map::new(), Vec::new());
    for (key, value) in table {
        let (converted, mut mark) = convert(text, value, depth)?;
        mark.key = Some(offset(key.span().start));
        marks.push((Box::from(key.get_ref().as_ref()), mark));
        map.insert(key.get_ref().to_string(), converted);
    }
    Ok((Value::Object(map), Children::object(marks)))
}

/// Recursion is bounded by [`MAX_DEPTH`].
fn convert(
    text: &str,
    value: &Spanned<DeValue<'_>>,
    depth: usize,
) -> Result<(Value, Mark), Box<Problem>> {
    let start = value.span().start;
    let fail = |code, message| {
        let (line, column) = place_in(text, start);
        Err(Box::new(Problem::error(code, "", message).at(line, column)))
    };
    if depth > MAX_DEPTH {
        return fail(
            Code::TooDeep,
            format!("the document is nested deeper than {MAX_DEPTH} levels"),
        );
    }
    let mut children = Children::None;
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(bool) => Value::Bool(*bool),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(int) => int.into(),
            Err(_) => {
                return fail(
                    Code::OutOfRange,
                    format!("{} does not fit into 64 bits", shortened(integer.as_str())),
                );
            }
        },
        DeValue::Float(float) => match float
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(Number::from_f64)
        {
            Some(number) => Value::Number(number),
            None => return fail(Code::OutOfRange, "a number must be finite".to_owned()),
        },
        DeValue::Array(items) => {
            let (mut values, mut marks) = (Vec::new(), Vec::new());
            for item in items.iter() {
                let (value, mark) = convert(text, item, depth + 1)?;
                values.push(value);
                marks.push(mark);
            }
            children = Children::Array(marks);
            Value::Array(values)
        }
        DeValue::Table(table) => {
            let (value, marks) = convert_table(text, table, depth + 1)?;
            children = marks;
            value
        }
    };
    Ok((
        converted,
        Mark {
            value: offset(start),
            key: None,
            children,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Source;
    use serde_json::json;

    #[test]
    fn reads_values_with_their_places() {
        let text = "version = 3\nport = 0x1f90\nf = 1_0.5\nd = 2024-01-02\n[[endpoints]]\nendpoint = \"/x\"\nbackend = [{ url_pattern = \"/y\" }]\n[tls]\ndisabled = true\n";
        let (value, mark) = read(text).unwrap();
        assert_eq!(
            value,
            json!({"version": 3, "port": 8080, "f": 10.5, "d": "2024-01-02", "tls": {"disabled": true},
                "endpoints": [{"endpoint": "/x", "backend": [{"url_pattern": "/y"}]}]})
        );
        let source = Source::plain("", text).with_marks(mark);
        assert_eq!(source.locate("/version"), Some((1, 11)));
        assert_eq!(source.locate_key("/endpoints/0/endpoint"), Some((6, 1)));
        assert_eq!(
            source.locate("/endpoints/0/backend/0/url_pattern"),
            Some((7, 28))
        );
        assert_eq!(source.locate("/tls/disabled"), Some((9, 12)));
    }

    #[test]
    fn explains_syntax_errors() {
        let problems = read("a = 1\nb = x y\nc = 1\n").unwrap_err();
        assert_eq!(problems[0].position.unwrap().0, 2);
        assert!(read("a = 1\na = 2\n").is_err());
        assert!(
            read("a = {{ x }}\n").unwrap_err()[0]
                .hint
                .as_ref()
                .unwrap()
                .contains("FC_ENABLE")
        );
        assert_eq!(read("a = inf\n").unwrap_err()[0].code, Code::OutOfRange);
        assert_eq!(
            read("a = 99999999999999999999\n").unwrap_err()[0].code,
            Code::OutOfRange
        );
    }

    #[test]
    fn bounds_the_depth() {
        assert!(read(&format!("a = {}", "[".repeat(100_000))).is_err());
        assert!(read(&format!("{}a = 1", "a.".repeat(100_000))).is_err());
        assert!(read(&format!("[{}a]\nx = 1", "a.".repeat(5_000))).is_err());
    }
}
