//! The language itself, against what cel-go says of each expression, and the bounds of an evaluation.

use super::super::fault::{Budget, STEPS};
use super::super::value::Val;
use super::super::{compile, time};
use super::*;

const DATA: &str = r#"{"id":7,"f":1.50,"name":"Ada","ok":true,"nil":null,"tags":["x","y"],
    "nums":[1,2,3],"o":{"k":"v","deep":{"er":[{"n":"z"}]}},"empty":[],"required":true}"#;

fn show(value: &Val<'_>) -> String {
    match value {
        Val::Null => "null".to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Uint(value) => format!("{value}u"),
        Val::Double(value) => format!("{value:?}"),
        Val::String(value) => format!("'{}'", &**value),
        Val::Bytes(value) => format!("b{value:?}"),
        Val::Time(value) => time::text(value),
        Val::Span(value) => time::span_text(*value),
        Val::Type(value) => (*value).to_owned(),
        list if list.is_list() => {
            let items = (0..list.len().unwrap()).map(|at| show(&list.item(at).unwrap()));
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        map => {
            let pairs = (0..map.len().unwrap()).map(|at| {
                let key = map.item(at).unwrap();
                format!(
                    "{}:{}",
                    show(&key),
                    show(&map.entry(&key).unwrap().unwrap())
                )
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
    }
}

/// The value of an expression on the request and the answer above, or `error: …`, or `refused: …`.
fn value(source: &str) -> String {
    let program = match Program::compile(source) {
        Ok(program) => program,
        Err(broken) => return format!("refused: {}", broken.message),
    };
    let (request, answer) = (request(), answer(DATA));
    let scope = Scope::after(Some(&request), &answer);
    let budget = Budget::new(STEPS);
    match program.evaluate(&scope, &budget) {
        Ok(value) => show(&value),
        Err(fault) => format!("error: {}", fault.0),
    }
}

fn table(rows: &[(&str, &str)]) {
    for (source, expected) in rows {
        let got = value(source);
        let same = match expected.strip_suffix('…') {
            Some(start) => got.starts_with(start),
            None => got == *expected,
        };
        assert!(same, "{source}\n  is       {got}\n  expected {expected}");
    }
}

#[test]
fn literals_and_arithmetic() {
    table(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("-7 % 3", "-1"),
        ("7u - 2u", "5u"),
        ("2u - 7u", "error: overflow"),
        ("7.0 / 2.0", "3.5"),
        ("1.0 / 0.0", "inf"),
        ("1 / 0", "error: division by zero"),
        ("1 % 0", "error: division by zero"),
        ("1u / 0u", "error: division by zero"),
        ("9223372036854775807 + 1", "error: overflow"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-(-9223372036854775807 - 1)", "error: overflow"),
        ("(-9223372036854775807 - 1) / -1", "error: overflow"),
        ("18446744073709551615u + 1u", "error: overflow"),
        ("0x1F", "31"),
        ("0xFFu", "255u"),
        ("1e3", "1000.0"),
        ("'a' + \"b\"", "'ab'"),
        ("b'ab' + b'c'", "b[97, 98, 99]"),
        ("[1] + [2, 3]", "[1,2,3]"),
        ("r'a\\n'", "'a\\n'"),
        ("'\\u00e9'", "'é'"),
        ("'''a'b'''", "'a'b'"),
        ("null", "null"),
        ("true ? 1 : 2", "1"),
        ("false ? 1 / 0 : 2", "2"),
        ("{'a': 1, 'b': 2}.b", "2"),
        ("{'a': 1}['b']", "error: no such key"),
        ("{1: 'x'}[1u]", "'x'"),
        ("{'a': 1, 'a': 2}", "error: repeated key"),
        ("{1.5: 2}", "error: unsupported key type"),
        ("[1, 2][1]", "2"),
        ("[1, 2][2]", "error: index out of range"),
        ("[1, 2][-1]", "error: index out of range"),
        ("[1, 2][dyn(1.0)]", "2"),
        ("[1, 2][dyn('a')]", "error: no such overload"),
        ("dyn(1) + dyn(1.0)", "error: no such overload"),
        ("-dyn('a')", "error: no such overload"),
        ("!true", "false"),
        ("!dyn(1)", "error: no such overload"),
        (
            "5.0 % 2.0",
            "refused: '%' cannot be applied to (double, double)",
        ),
    ]);
}

#[test]
fn equality_and_order_over_types() {
    table(&[
        ("1 == 1", "true"),
        ("1 == 1.0", "true"),
        ("1u == 1", "true"),
        ("dyn(1) == dyn('1')", "false"),
        ("dyn(null) == dyn(false)", "false"),
        ("1 != 2", "true"),
        ("[1, 2] == [1, 2]", "true"),
        ("[dyn(1), 2] == [1.0, 2u]", "true"),
        ("{'a': 1} == {'a': 1}", "true"),
        ("{'a': dyn(1)} == {'a': 1.0}", "true"),
        ("{'a': 1} == {'b': 1}", "false"),
        ("double('NaN') == double('NaN')", "false"),
        ("double('NaN') < 1.0", "error: NaN values cannot be ordered"),
        ("1 < 2", "true"),
        ("1 < 1.5", "true"),
        ("2u > 1", "true"),
        ("-1 < 0u", "true"),
        ("9223372036854775807 < 9223372036854775808.0", "true"),
        ("18446744073709551615u < 18446744073709551616.0", "true"),
        ("9007199254740993 == 9007199254740992.0", "false"),
        ("'a' < 'b'", "true"),
        ("'B' < 'a'", "true"),
        ("b'a' <= b'a'", "true"),
        ("false < true", "true"),
        ("dyn('a') < dyn(1)", "error: no such overload"),
        (
            "'a' == 1",
            "refused: '==' cannot be applied to (string, int)",
        ),
        ("'a' < 1", "refused: '<' cannot be applied to (string, int)"),
        (
            "[1] < [2]",
            "refused: '<' cannot be applied to (list(int), list(int))",
        ),
        ("1 in [1, 2]", "true"),
        ("dyn(1.0) in [1, 2]", "true"),
        ("3 in [1, 2]", "false"),
        ("'a' in {'a': 1}", "true"),
        ("'b' in {'a': 1}", "false"),
        (
            "'a' in [1]",
            "refused: 'in' cannot be applied to (string, list(int))",
        ),
        ("1 in 2", "refused: 'in' cannot be applied to (int, int)"),
        ("1 in dyn(2)", "error: no such overload"),
    ]);
}

#[test]
fn one_side_that_decides_makes_the_error_of_the_other_irrelevant() {
    table(&[
        ("true || 1 / 0 == 1", "true"),
        ("1 / 0 == 1 || true", "true"),
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 && true", "error: division by zero"),
        ("false || 1 / 0 == 1", "error: division by zero"),
        ("true && dyn('a')", "error: no such overload"),
        ("dyn('a') || true", "true"),
        ("dyn(1) ? 1 : 2", "error: no such overload"),
        ("1 && true", "refused: '&&' cannot be applied to (int)"),
        ("1 ? 2 : 3", "refused: '?:' cannot be applied to (int)"),
        (
            "true ? 1 : 'a'",
            "refused: '?:' cannot be applied to (bool, int, string)",
        ),
    ]);
}

#[test]
fn macros() {
    table(&[
        ("[1, 2, 3].all(x, x > 0)", "true"),
        ("[1, 2, 3].all(x, x > 1)", "false"),
        ("[].all(x, x > 1)", "true"),
        ("[1, 0].all(x, 1 / x == 1)", "error: division by zero"),
        ("[0, 2].all(x, 1 / x == 1)", "false"),
        ("[1, 2].exists(x, x == 2)", "true"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
        ("[0, 2].exists(x, 1 / x == 1)", "error: division by zero"),
        ("[].exists(x, true)", "false"),
        ("[1, 2, 2].exists_one(x, x == 2)", "false"),
        ("[1, 2].exists_one(x, x == 2)", "true"),
        ("[1, 2].existsOne(x, x == 2)", "true"),
        (
            "[0, 1].exists_one(x, 1 / x == 1)",
            "error: division by zero",
        ),
        ("[1, 2, 3].map(x, x * 2)", "[2,4,6]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4,6]"),
        ("[1, 2, 3].filter(x, x > 1)", "[2,3]"),
        ("{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])", "true"),
        ("{'a': 1}.map(k, k + '!')", "['a!']"),
        ("[[1], [2, 3]].map(l, l.map(x, x + size(l)))", "[[2],[4,5]]"),
        ("[1, 2].map(x, [3].map(x, x))", "[[3],[3]]"),
        ("[1].map(x, x) + [2].map(y, y)", "[1,2]"),
        ("has({'a': 1}.a)", "true"),
        ("has({'a': 1}.b)", "false"),
        ("has(dyn(1).a)", "error: no such overload"),
        (
            "has(req_headers)",
            "refused: invalid argument to has() macro",
        ),
        ("[1].all(x)", "refused: undeclared reference to 'all'"),
        (
            "[1].all(x.y, true)",
            "refused: the first argument of all() is no name",
        ),
        ("1.all(x, true)", "refused: …"),
        (
            "[1].all(x, x)",
            "refused: 'the macro' cannot be applied to (int)",
        ),
        ("[1].all(x, y > 0)", "refused: undeclared reference to 'y'"),
        (
            "[1].all(x, true) && x",
            "refused: undeclared reference to 'x'",
        ),
    ]);
}

#[test]
fn conversions() {
    table(&[
        ("int('42')", "42"),
        ("int('-42')", "-42"),
        ("int('+42')", "42"),
        ("int(' 42')", "error: type conversion error"),
        ("int('4.2')", "error: type conversion error"),
        ("int('9223372036854775808')", "error: type conversion error"),
        ("int(1.9)", "1"),
        ("int(-1.9)", "-1"),
        ("int(1e19)", "error: overflow"),
        ("int(double('NaN'))", "error: overflow"),
        ("int(7u)", "7"),
        ("int(18446744073709551615u)", "error: overflow"),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "60"),
        ("int(duration('1s'))", "1000000000"),
        ("uint('7')", "7u"),
        ("uint(-1)", "error: overflow"),
        ("uint(1.5)", "1u"),
        ("uint('+7')", "error: type conversion error"),
        ("double('1.5')", "1.5"),
        ("double(3)", "3.0"),
        ("double('1e999')", "error: overflow"),
        ("double('x')", "error: type conversion error"),
        ("string(1)", "'1'"),
        ("string(1u)", "'1'"),
        ("string(1.5)", "'1.5'"),
        ("string(1.0)", "'1'"),
        ("string(1e6)", "'1e+06'"),
        ("string(0.00001)", "'1e-05'"),
        ("string(123456.0)", "'123456'"),
        ("string(true)", "'true'"),
        ("string(b'abc')", "'abc'"),
        ("string(b'\\xff')", "error: type conversion error"),
        (
            "string(timestamp('2020-01-02T03:04:05.600Z'))",
            "'2020-01-02T03:04:05.6Z'",
        ),
        ("string(duration('1h1.5s'))", "'3601.5s'"),
        ("bytes('é')", "b[195, 169]"),
        ("bool('true')", "true"),
        ("bool('T')", "true"),
        ("bool('yes')", "error: type conversion error"),
        ("type(1)", "int"),
        ("type(1) == int", "true"),
        ("type('a') == string", "true"),
        ("type([]) == list", "true"),
        ("type({}) == map", "true"),
        ("type(null) == null_type", "true"),
        ("type(type(1)) == type", "true"),
        ("type(timestamp(0)) == google.protobuf.Timestamp", "true"),
        ("type(1.0) == type(1)", "false"),
        ("dyn(1)", "1"),
        ("int(true)", "refused: 'int' cannot be applied to (bool)"),
        ("int(dyn(true))", "error: no such overload"),
        ("int()", "refused: 'int' cannot be applied to ()"),
        (
            "int(1, 2)",
            "refused: 'int' cannot be applied to (int, int)",
        ),
    ]);
}

#[test]
fn texts() {
    table(&[
        ("size('héllo')", "5"),
        ("'héllo'.size()", "5"),
        ("size(b'abc')", "3"),
        ("size([1, 2])", "2"),
        ("{'a': 1}.size()", "1"),
        ("'hello'.contains('ell')", "true"),
        ("'hello'.startsWith('he')", "true"),
        ("'hello'.endsWith('lo')", "true"),
        ("'hello'.endsWith('he')", "false"),
        ("'hello'.matches('l+o$')", "true"),
        ("matches('hello', '^h')", "true"),
        ("'hello'.matches('^l')", "false"),
        ("'hello'.matches('h' + 'e')", "true"),
        ("'hello'.matches('(' + '')", "error: bad pattern"),
        (
            "'hello'.matches('(')",
            "refused: bad pattern: unclosed group",
        ),
        (
            "'hello'.matches('(?=a)')",
            "refused: bad pattern: look-around…",
        ),
        (
            "contains('a', 'b')",
            "refused: undeclared reference to 'contains'",
        ),
        (
            "'a'.contains(1)",
            "refused: 'contains' cannot be applied to (string, int)",
        ),
        (
            "'a'.lowerAscii()",
            "refused: undeclared reference to 'lowerAscii'",
        ),
        ("size(1)", "refused: 'size' cannot be applied to (int)"),
        ("1.size()", "refused: …"),
    ]);
}

#[test]
fn times() {
    table(&[
        ("timestamp('2009-02-13T23:31:30Z').getFullYear()", "2009"),
        ("timestamp('2009-02-13T23:31:30Z').getMonth()", "1"),
        ("timestamp('2009-02-13T23:31:30Z').getDate()", "13"),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfMonth()", "12"),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfYear()", "43"),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfWeek()", "5"),
        ("timestamp('2009-02-13T23:31:30Z').getHours()", "23"),
        ("timestamp('2009-02-13T23:31:30Z').getMinutes()", "31"),
        ("timestamp('2009-02-13T23:31:30Z').getSeconds()", "30"),
        (
            "timestamp('2009-02-13T23:31:30.250Z').getMilliseconds()",
            "250",
        ),
        ("timestamp('2009-02-13T23:31:30Z').getHours('+01:30')", "1"),
        ("timestamp('2009-02-13T23:31:30Z').getHours('-02:00')", "21"),
        (
            "timestamp('2009-02-13T23:31:30Z').getDate('Australia/Sydney')",
            "14",
        ),
        (
            "timestamp('2009-07-13T12:00:00Z').getHours('Europe/Rome')",
            "14",
        ),
        ("timestamp('2009-07-13T12:00:00+02:00').getHours()", "10"),
        (
            "timestamp('2009-07-13T12:00:00Z').getHours('Nowhere/Land')",
            "error: type conversion error",
        ),
        (
            "timestamp('2009-07-13T12:00:00Z').getHours('+99:00')",
            "error: type conversion error",
        ),
        ("timestamp('yesterday')", "error: type conversion error"),
        ("timestamp(0)", "1970-01-01T00:00:00Z"),
        ("timestamp(253402300800)", "error: overflow"),
        (
            "timestamp('2009-02-13T23:00:00Z') + duration('1h')",
            "2009-02-14T00:00:00Z",
        ),
        (
            "duration('1h') + timestamp('2009-02-13T23:00:00Z')",
            "2009-02-14T00:00:00Z",
        ),
        (
            "timestamp('2009-02-13T23:00:00Z') - duration('1s')",
            "2009-02-13T22:59:59Z",
        ),
        (
            "timestamp('2009-02-13T23:00:00Z') - timestamp('2009-02-13T22:00:00Z')",
            "3600s",
        ),
        (
            "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
            "error: overflow",
        ),
        (
            "timestamp('2009-02-13T23:00:00Z') < timestamp('2010-02-13T23:00:00Z')",
            "true",
        ),
        (
            "timestamp('2009-02-13T23:00:00Z') == timestamp('2009-02-14T00:00:00+01:00')",
            "true",
        ),
        ("duration('1h') > duration('59m')", "true"),
        ("duration('90m').getHours()", "1"),
        ("duration('90m').getMinutes()", "90"),
        ("duration('1m1s').getSeconds()", "61"),
        ("duration('1.5s').getMilliseconds()", "1500"),
        ("duration('1h') + duration('30m')", "5400s"),
        ("duration('1h') - duration('30m')", "1800s"),
        ("-duration('1h')", "-3600s"),
        ("duration('1day')", "error: type conversion error"),
        (
            "duration('300000h') + duration('2500000h')",
            "error: overflow",
        ),
        ("duration('1h').getFullYear()", "refused: …"),
        ("timestamp(now) > timestamp('2020-01-01T00:00:00Z')", "true"),
    ]);
}

#[test]
fn variables_have_krakends_names_and_types() {
    table(&[
        ("req_method", "'POST'"),
        ("req_path", "'/a/7'"),
        ("req_params.Id", "'7'"),
        ("int(req_params.Id) % 2 == 1", "true"),
        ("req_params.Nope", "error: no such key"),
        ("has(req_params.Nope)", "false"),
        ("req_headers['X-Header']", "['something','b']"),
        ("'something' in req_headers['X-Header']", "true"),
        ("'X-Header' in req_headers", "true"),
        ("'x-header' in req_headers", "false"),
        ("req_headers.map(k, k)", "['Accept','X-Header']"),
        ("size(req_headers)", "2"),
        ("req_querystring.a", "['1','2']"),
        ("req_querystring['b'][0]", "'x y'"),
        ("'c' in req_querystring", "false"),
        ("resp_completed", "true"),
        ("resp_metadata_status", "201"),
        (
            "resp_metadata_status >= 200 && resp_metadata_status < 300",
            "true",
        ),
        ("resp_metadata_headers['Content-Type'][0]", "'text/plain'"),
        // Numbers are the text that the decoder kept.
        ("resp_data.id", "'7'"),
        ("resp_data.id == '7'", "true"),
        ("resp_data.id == 7.0", "false"),
        ("resp_data.id > 3", "error: no such overload"),
        ("int(resp_data.id) > 3", "true"),
        ("double(resp_data.f)", "1.5"),
        ("resp_data.f", "'1.50'"),
        ("resp_data.ok", "true"),
        ("resp_data.nil == null", "true"),
        (
            "resp_data.name == 'Ada' && size(resp_data.tags) == 2",
            "true",
        ),
        ("resp_data.o.deep.er[0].n", "'z'"),
        ("has(resp_data.o.k)", "true"),
        ("has(resp_data.o.x)", "false"),
        ("has(resp_data.x.y)", "error: no such key"),
        ("'x' in resp_data.tags", "true"),
        ("resp_data.tags == ['x', 'y']", "true"),
        ("['x', 'y'] == resp_data.tags", "true"),
        (
            "resp_data.o == {'k': 'v', 'deep': {'er': [{'n': 'z'}]}}",
            "true",
        ),
        ("{'k': resp_data.o}.k == resp_data.o", "true"),
        ("resp_data.nums.map(n, int(n))", "[1,2,3]"),
        ("resp_data.nums.all(n, int(n) > 0)", "true"),
        ("resp_data.tags + ['z']", "['x','y','z']"),
        ("resp_data.name.startsWith('A')", "true"),
        ("resp_data.tags[5]", "error: index out of range"),
        (
            "resp_data[1]",
            "refused: '[]' cannot be applied to (map(string, dyn), int)",
        ),
        ("resp_data[dyn(1)]", "error: no such key"),
        ("resp_data['name']", "'Ada'"),
        ("type(resp_data) == map", "true"),
        ("req_method.x", "refused: a string has no field 'x'"),
        (
            "req_method == 1",
            "refused: '==' cannot be applied to (string, int)",
        ),
        ("req_body", "refused: undeclared reference to 'req_body'"),
        ("JWT.sub", "error: no such attribute"),
    ]);
}

#[test]
fn an_expression_that_is_none_says_where() {
    for (source, at) in [
        ("req_method == ", (1, 15)),
        ("req_method === 'GET'", (1, 14)),
        ("true &&\n  nope", (2, 3)),
        ("true &&\n  req_path == 1", (2, 12)),
        ("a.?b", (1, 2)),
        ("'é' + nope", (1, 7)),
    ] {
        let broken = Program::compile(source).unwrap_err();
        assert_eq!(broken.at, at, "{source}: {}", broken.message);
        assert!(!broken.hint.is_empty());
    }
}

#[test]
fn numbers_of_tokens_are_doubles() {
    let claims = decode(br#"{"n":5,"roles":["a","b"],"sub":"x"}"#)
        .unwrap()
        .into_object()
        .unwrap();
    for (source, expected) in [
        ("JWT.n > 3", true),
        ("JWT.n == 5", true),
        ("size(JWT.roles) > 1", true),
        ("'a' in JWT.roles && JWT.sub == 'x'", true),
        ("JWT.sub == 'z'", false),
    ] {
        let program = Program::compile(source).unwrap();
        assert_eq!(
            program.holds(&Scope::token(&claims)),
            Ok(expected),
            "{source}"
        );
        assert!(program.uses.token);
    }
}

#[test]
fn work_is_bounded_whatever_the_data() {
    let items = vec!["1"; 5_000].join(",");
    let answer = answer(&format!(
        r#"{{"l":[{items}],"s":"{}"}}"#,
        "a".repeat(1_000_000)
    ));
    for source in [
        "resp_data.l.all(a, resp_data.l.all(b, resp_data.l.all(c, a == b)))",
        "!resp_data.l.exists(a, resp_data.l.exists(b, resp_data.l.exists(c, a != b)))",
        "resp_data.l.all(a, resp_data.l == resp_data.l)",
        "resp_data.l.all(a, resp_data.s.contains('b') || true)",
        "resp_data.l.all(a, size(resp_data.s + a) > 0)",
        "resp_data.l.all(a, size(resp_data.s) > 0)",
        "resp_data.l.all(a, resp_data.s.matches(a) || true)",
        "resp_data.l.all(a, resp_data.s.matches('^(a|b)*c') || true)",
        "resp_data.l.map(a, resp_data.l + resp_data.l) == []",
    ] {
        let program = Program::compile(source).unwrap();
        let (scope, budget) = (Scope::after(None, &answer), Budget::new(STEPS / 20));
        let result = program.evaluate(&scope, &budget).err();
        assert_eq!(result, Some(Fault::EXHAUSTED), "{source}");
    }
    let fine = Program::compile("resp_data.l.all(a, a == '1') && size(resp_data.s) > 9").unwrap();
    assert_eq!(fine.holds(&Scope::after(None, &answer)), Ok(true));
}

#[test]
fn values_nested_without_end_are_refused_not_followed() {
    let deep = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    let answer = answer(&format!(r#"{{"a":{deep},"b":{deep}}}"#));
    let scope = Scope::after(None, &answer);
    let program = Program::compile("resp_data.a == resp_data.b").unwrap();
    assert_eq!(program.holds(&scope), Err(Fault::TOO_DEEP));
}

#[test]
fn expressions_without_end_are_refused_not_followed() {
    let nested = format!("{}true{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(Program::compile(&nested).is_err());
    let chain = vec!["1"; 2_000].join("+");
    assert!(Program::compile(&format!("{chain} == 1")).is_err());
    let list = vec!["'a'"; 2_000].join(",");
    assert!(Program::compile(&format!("req_path in [{list}]")).is_ok());
    let choice = vec!["req_path == 'a'"; 150].join(" || ");
    assert!(Program::compile(&choice).is_ok());
    assert!(Program::compile(&" ".repeat(40_000)).is_err());
    // Whatever makes the parser or its tree deep, as long as an expression may be.
    for (first, again) in [
        ("1", "+1"),
        ("a", ".b"),
        ("a", "[0]"),
        ("a", ".b()"),
        ("!", "!"),
        ("-", "-"),
        ("true", "?1:true"),
        ("", "["),
        ("", "{1:"),
        ("", "f("),
    ] {
        let count = (compile::LONGEST - 10) / again.len();
        let source = format!("{first}{}", again.repeat(count));
        assert!(Program::compile(&source).is_err(), "{first}{again}…");
    }
    // A chain of choices is balanced by the parser.
    let choices = "||true".repeat(compile::LONGEST / 7);
    assert!(Program::compile(&format!("true{choices}")).is_ok());
}

/// Words that are strung together at random, most of them where they belong.
const WORDS: [&str; 40] = [
    "req_method",
    "req_headers",
    "resp_data",
    "resp_data.l",
    ".all(x, ",
    ".map(x, ",
    ".filter(x, ",
    ".exists_one(x, ",
    "x",
    ")",
    "(",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "1",
    "2u",
    "1.5",
    "'a'",
    "b'a'",
    "null",
    "true",
    " == ",
    " < ",
    " in ",
    " + ",
    " - ",
    " / ",
    " % ",
    " && ",
    " || ",
    "!",
    "?",
    "has(",
    ".size()",
    "timestamp(",
    "duration('1h')",
    ".matches('a*')",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    #[test]
    fn any_string_of_words_is_refused_or_has_an_end(
        words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 1..12)
    ) {
        let (request, answer) = (request(), answer(r#"{"l":[1,"a",[],{"b":null}]}"#));
        if let Ok(program) = Program::compile(&words.concat()) {
            let _ = program.holds(&Scope::after(Some(&request), &answer));
        }
    }
}
