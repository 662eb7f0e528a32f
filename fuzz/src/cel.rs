//! Any expression on any data: refused or compiled, and then a result or a fault, soon.

use hanzo_gateway::body::json::decode;
use hanzo_gateway::component::validation::cel::{Program, Scope};
use hanzo_gateway::gateway::message::{Answer, Request};

/// The first line is data, the rest an expression.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (data, source) = text.split_once('\n').unwrap_or(("{}", text));
    let Ok(program) = Program::compile(source) else {
        return;
    };
    let request = Request {
        method: http::Method::GET,
        path: "/a/7".to_owned(),
        url: String::new(),
        query: "a=1&a=2".to_owned(),
        params: vec![("Id".to_owned(), "7".to_owned())],
        headers: vec![(http::header::ACCEPT, http::HeaderValue::from_static("*/*"))],
        body: None,
    };
    let data = decode(data.as_bytes())
        .ok()
        .and_then(|value| value.into_object());
    let answer = Answer {
        data,
        ..Answer::default()
    };
    let first = program.holds(&Scope::after(Some(&request), &answer));
    let again = program.holds(&Scope::after(Some(&request), &answer));
    // `now` moves on; everything else gives the same answer twice.
    assert!(first == again || source.contains("now"), "{source}");
}
