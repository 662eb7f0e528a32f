//! Scripts from end to end, without a gateway: tables of a script and what must come of it.

use super::data::Arena;
use super::fault::Fault;
use super::run::Link;
use super::source::{self, Chunk, Lines};
use super::state::{HeadSubject, State, Subject};
use super::vm::{Scope, Vm};
use crate::body::{Value, json};
use crate::gateway::head::{BodySize, Head};
use crate::gateway::message::{Answer, AnswerBody, BodyRead, Request, Rewritten};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const MEMORY: usize = 8 << 20;

/// A client's request.
struct Client;

impl Head for Client {
    fn method(&self) -> &Method {
        &Method::POST
    }
    fn path(&self) -> &[u8] {
        b"/u/a%20b"
    }
    fn query(&self) -> Option<&[u8]> {
        Some(b"q=1&q=2&z=%2B")
    }
    fn host(&self) -> &[u8] {
        b"gw.test:8080"
    }
    fn header(&self, _: &HeaderName) -> Option<&[u8]> {
        None
    }
    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        each("x-one", b"1");
        each("X-Two", b"a");
        each("X-Two", b"b");
    }
    fn peer(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }
    fn secure(&self) -> bool {
        false
    }
    fn version(&self) -> &'static str {
        "1.1"
    }
    fn body(&self) -> BodySize {
        BodySize::Known(5)
    }
}

fn head() -> Subject {
    let mut own = Rewritten::of(&Client);
    own.body = BodyRead::Whole(Some(Bytes::from_static(b"hello")));
    Subject::Head(HeadSubject {
        own: Box::new(own),
        params: vec![("id".to_owned(), "a b".to_owned())],
        params_changed: false,
    })
}

fn field(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

fn request() -> Subject {
    Subject::Request(Box::new(Request {
        method: Method::GET,
        path: "/u/7".to_owned(),
        url: "http://up:1/u/7?k=v".to_owned(),
        query: "k=v".to_owned(),
        params: vec![("Id".to_owned(), "7".to_owned())],
        headers: vec![
            field("x-one", "1"),
            field("x-two", "a"),
            field("x-two", "b"),
        ],
        body: Some(Bytes::from_static(b"hello")),
    }))
}

fn answer(data: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.append("x-up", HeaderValue::from_static("one"));
    headers.append("x-up", HeaderValue::from_static("two"));
    Answer {
        data: json::decode(data.as_bytes()).unwrap().into_object(),
        complete: true,
        status: 201,
        headers,
        body: AnswerBody::Full(Bytes::from_static(b"raw")),
    }
}

/// A run: what it is about, and what it may use.
pub(super) struct Run {
    pub(super) scope: Scope,
    pub(super) open: bool,
    pub(super) memory: usize,
    pub(super) span: Duration,
    pub(super) subject: Subject,
    pub(super) answer: Option<Answer>,
}

impl Run {
    fn head() -> Self {
        Self {
            scope: Scope::Head,
            subject: head(),
            ..Self::pipe()
        }
    }

    pub(super) fn pipe() -> Self {
        Self {
            scope: Scope::Pipe,
            open: true,
            memory: MEMORY,
            span: Duration::from_secs(20),
            subject: request(),
            answer: None,
        }
    }

    pub(super) fn post(data: &str) -> Self {
        Self {
            answer: Some(answer(data)),
            ..Self::pipe()
        }
    }

    fn closed(self) -> Self {
        Self {
            open: false,
            ..self
        }
    }

    pub(super) fn run(self, text: &str) -> Result<State, Fault> {
        let chunk: Chunk = source::inline(text, false).map_err(|bad| Fault::new(bad.text))?;
        let responds = self.answer.is_some();
        let state = State {
            subject: self.subject,
            answer: self.answer.map(Box::new),
            root: None,
            arena: Arena::new(self.memory),
            fetched: Vec::new(),
            link: Link::alone(self.span),
            printed: 0,
        };
        let vm = Vm::new(self.scope, self.open, self.memory, state).unwrap();
        if responds {
            vm.with_response().unwrap();
        }
        vm.run(&chunk, &Lines::default())?;
        Ok(vm.take().unwrap())
    }

    pub(super) fn fault(self, text: &str) -> String {
        self.run(text).err().map_or_else(String::new, |f| f.text)
    }
}

/// Every line of Lua must hold.
pub(super) fn holds(run: fn() -> Run, lines: &[&str]) {
    for line in lines {
        if let Err(fault) = run().run(&format!("assert({line})")) {
            panic!("{line}: {}", fault.text);
        }
    }
}

fn own(state: State) -> HeadSubject {
    match state.subject {
        Subject::Head(head) => head,
        other => panic!("{other:?}"),
    }
}

fn changed(text: &str) -> Request {
    match Run::pipe().run(text).unwrap().subject {
        Subject::Request(request) => *request,
        other => panic!("{other:?}"),
    }
}

/// The data after a script over `d`.
fn data(before: &str, text: &str) -> String {
    let text = format!("local r = response.load(); local d = r:data(); {text}");
    let mut state = Run::post(before)
        .run(&text)
        .unwrap_or_else(|f| panic!("{text}: {}", f.text));
    let object = state.arena.close(state.root.unwrap()).unwrap();
    String::from_utf8(json::to_vec(&Value::Object(object))).unwrap()
}

#[test]
fn ctx_shows_what_the_client_sent() {
    holds(
        Run::head,
        &[
            "ctx.load():method() == 'POST'",
            "ctx.load():url() == '/u/a%20b?q=1&q=2&z=%2B'",
            "ctx.load():host() == 'gw.test:8080'",
            "ctx.load():query('q') == '1'",
            "ctx.load():query('z') == '+'",
            "ctx.load():query('none') == ''",
            "ctx.load():params('id') == 'a b'",
            "ctx.load():params('Id') == ''",
            "ctx.load():params():get('id') == 'a b'",
            "ctx.load():params():len() == 1",
            "ctx.load():headers('X-One') == '1'",
            "ctx.load():headers('x-one') == '1'",
            "ctx.load():headers('X-TWO') == 'a'",
            "ctx.load():headers('None') == ''",
            "ctx.load():headers('no name') == ''",
            "ctx.load():headers():len() == 2",
            "ctx.load():headers():get('X-Two'):get(1) == 'b'",
            "ctx.load():headerList('x-two'):len() == 2",
            "ctx.load():headerList('x-two'):get(0) == 'a'",
            "ctx.load():headerList('none'):len() == 0",
            "ctx.load():body() == 'hello'",
            "ctx.load():body() == 'hello' and ctx.load():body() == 'hello'",
            "request == nil and response == nil",
        ],
    );
}

#[test]
fn ctx_changes_the_clients_request() {
    let run = |text: &str| {
        own(Run::head()
            .run(&format!("local c = ctx.load(); {text}"))
            .unwrap())
    };
    assert_eq!(run("c:method('PUT')").own.method, Method::PUT);
    assert_eq!(run("c:host('other')").own.host, b"other");
    let url = run("c:url('/n?a=b')").own;
    assert_eq!(
        (url.path.as_slice(), url.query.as_deref()),
        (&b"/n"[..], Some(&b"a=b"[..]))
    );
    let query = |text| run(text).own.query.unwrap();
    assert_eq!(query("c:query('q', 'x y')"), b"q=x+y&z=%2B");
    assert_eq!(query("c:query('a', 1)"), b"a=1&q=1&q=2&z=%2B");
    let set = run("c:headers('x-two', 'n'); c:headers('x-one', nil)")
        .own
        .fields;
    assert_eq!(set, [field("x-two", "n")]);
    let list = "local l = luaList.new(); l:set(0, 'p'); l:set(1, 'q'); c:headerList('X-One', l)";
    let fields = run(list).own.fields;
    assert_eq!(fields[2..], [field("x-one", "p"), field("x-one", "q")]);
    let params = run("c:params('id', 'n'); c:params('new', 2)");
    assert!(params.params_changed);
    assert_eq!(
        params.params,
        [
            ("id".to_owned(), "n".to_owned()),
            ("new".to_owned(), "2".to_owned())
        ]
    );
    let body = BodyRead::Whole(Some(Bytes::from_static(b"other")));
    assert_eq!(run("c:body('other')").own.body, body);
    assert!(!run("c:params('id')").params_changed);
}

#[test]
fn what_cannot_be_sent_is_an_error_at_its_line() {
    for (text, part) in [
        (
            "ctx.load():headers('a b', 'x')",
            "header name \"a b\" not valid",
        ),
        ("ctx.load():headers('a', 'x\\ny')", "header value not valid"),
        ("ctx.load():method('')", "method \"\" not valid"),
        ("ctx.load():url('/%zz')", "url \"/%zz\" not valid"),
        ("ctx.load():host('a b')", "host not valid"),
        ("ctx.load():query()", "need arguments"),
        ("ctx.load():headerList()", "need arguments"),
        (
            "ctx.load():headerList('a', 'b')",
            "luaList expected, got string",
        ),
        ("ctx.load():headers('a', {})", "string expected, got table"),
        ("ctx.load():params(nil)", "string expected, got nil"),
        ("ctx.load():nothing()", "nothing"),
    ] {
        let fault = Run::head().fault(&format!("\n{text}"));
        assert!(fault.contains(part), "{text}: {fault}");
        assert!(fault.ends_with("(pre-script:L2)"), "{text}: {fault}");
    }
}

#[test]
fn request_shows_what_goes_to_the_backends() {
    holds(
        Run::pipe,
        &[
            "request.load():method() == 'GET'",
            "request.load():path() == '/u/7'",
            "request.load():query() == 'k=v'",
            "request.load():url() == 'http://up:1/u/7?k=v'",
            "request.load():params('Id') == '7'",
            "request.load():params('id') == ''",
            "request.load():params():get('Id') == '7'",
            "request.load():headers('x-one') == '1'",
            "request.load():headers('X-Two') == 'a'",
            "request.load():headers('none') == ''",
            "request.load():headers():get('X-One'):get(0) == '1'",
            "request.load():headers():keys():get(1) == 'X-Two'",
            "request.load():headerList('X-Two'):get(1) == 'b'",
            "request.load():body() == 'hello'",
            "ctx == nil and response == nil",
        ],
    );
}

#[test]
fn request_changes_what_goes_to_the_backends() {
    let run = |text: &str| changed(&format!("local r = request.load(); {text}"));
    assert_eq!(run("r:method('PATCH')").method, Method::PATCH);
    assert_eq!(run("r:path('/other')").path, "/other");
    assert_eq!(
        run("r:url(r:url() .. '&l=1')").url,
        "http://up:1/u/7?k=v&l=1"
    );
    assert_eq!(run("r:query('b=2&a=1')").query, "a=1&b=2");
    assert_eq!(run("r:query('?x=1')").query, "%3Fx=1");
    assert_eq!(
        run("r:params('Id', 8)").params,
        [("Id".to_owned(), "8".to_owned())]
    );
    assert_eq!(run("r:params('N', 'x')").params.len(), 2);
    assert_eq!(
        run("r:headers('x-new', 1.5)").headers[3],
        field("x-new", "1.5")
    );
    assert_eq!(
        run("r:headers('X-Two', nil)").headers,
        [field("x-one", "1")]
    );
    assert_eq!(run("r:headerList('X-Two', luaList.new())").headers.len(), 1);
    assert_eq!(run("r:body('new')").body, Some(Bytes::from_static(b"new")));
    assert_eq!(run("r:body(12)").body, Some(Bytes::from_static(b"12")));
}

#[test]
fn response_shows_the_answer() {
    holds(
        || Run::post("{}"),
        &[
            "response.load():isComplete() == true",
            "response.load():statusCode() == 201",
            "response.load():body() == 'raw'",
            "response.load():headers('X-Up') == 'one'",
            // As given, not as it ought to be spelled.
            "response.load():headers('x-up') == ''",
            "response.load():headers('X-UP') == ''",
            "response.load():headers():get('X-Up'):get(1) == 'two'",
            "response.load():headerList('X-Up'):len() == 2",
            "response.load():headerList('x-up'):len() == 0",
            "response.load():data():len() == 0",
            "request.load():method() == 'GET'",
        ],
    );
}

#[test]
fn response_changes_the_answer() {
    let run = |text: &str| {
        let text = format!("local r = response.load(); {text}");
        *Run::post("{}").run(&text).unwrap().answer.unwrap()
    };
    assert!(!run("r:isComplete(false)").complete);
    assert_eq!(run("r:statusCode(404)").status, 404);
    let headers = run("r:headers('x-new', 'v'); r:headers('x-up', nil)").headers;
    assert_eq!(headers.len(), 1);
    assert_eq!(headers["x-new"], "v");
    assert_eq!(
        run("r:headers('x-up', 'only')")
            .headers
            .get_all("x-up")
            .iter()
            .count(),
        1
    );
    let list = "local l = luaList.new(); l:set(0, '1'); l:set(1, '2'); l:set(2, '3'); r:headerList('x-up', l)";
    assert_eq!(run(list).headers.get_all("x-up").iter().count(), 3);
    match run("r:body('new')").body {
        AnswerBody::Full(bytes) => assert_eq!(bytes, "new"),
        other => panic!("{other:?}"),
    }
    for text in ["r:statusCode(42)", "r:statusCode(1e9)", "r:isComplete('x')"] {
        let text = format!("local r = response.load(); {text}");
        assert!(Run::post("{}").run(&text).is_err(), "{text}");
    }
}

#[test]
fn data_is_read_as_it_is() {
    holds(
        || {
            Run::post(
                r#"{"s":"t","n":1.50,"b":false,"z":null,"l":[1,[2],{"k":3},null],"o":{"p":{"q":"r"}}}"#,
            )
        },
        &[
            "response.load():data():get('s') == 't'",
            "response.load():data():get('n') == 1.5",
            "response.load():data():get('b') == false",
            "type(response.load():data():get('z')) == 'userdata'",
            "response.load():data():get('none') == nil",
            "select('#', response.load():data():get('none')) == 0",
            "response.load():data():keyExists('z')",
            "not response.load():data():keyExists('none')",
            "response.load():data():len() == 6",
            "response.load():data():keys():len() == 6",
            "response.load():data():keys():get(0) == 'b'",
            "response.load():data():get('l'):len() == 4",
            "response.load():data():get('l'):get(0) == 1",
            "response.load():data():get('l'):get(1):get(0) == 2",
            "response.load():data():get('l'):get(2):get('k') == 3",
            "type(response.load():data():get('l'):get(3)) == 'userdata'",
            "select('#', response.load():data():get('l'):get(4)) == 0",
            "select('#', response.load():data():get('l'):get(-1)) == 0",
            "response.load():data():get('o'):get('p'):get('q') == 'r'",
        ],
    );
}

#[test]
fn data_is_written_as_krakend_writes_it() {
    for (before, text, after) in [
        ("{}", "d:set('a', 'x')", r#"{"a":"x"}"#),
        ("{}", "d:set('a', 5)", r#"{"a":5}"#),
        ("{}", "d:set('a', 5.25)", r#"{"a":5.25}"#),
        ("{}", "d:set('a', 1e21)", r#"{"a":1e+21}"#),
        ("{}", "d:set('a', true)", r#"{"a":true}"#),
        ("{}", "d:set(1, 'x')", r#"{"1":"x"}"#),
        (r#"{"a":1}"#, "d:set('a', nil)", r#"{"a":1}"#),
        (r#"{"a":1}"#, "d:set('a', print)", r#"{"a":1}"#),
        (r#"{"a":1}"#, "d:set('a', luaNil.new())", r#"{"a":null}"#),
        (
            r#"{"a":1,"b":2}"#,
            "d:del('a'); d:del('none')",
            r#"{"b":2}"#,
        ),
        // At the top of set() a table is an object, whatever its keys.
        ("{}", "d:set('p', {'a', 'b'})", r#"{"p":{"1":"a","2":"b"}}"#),
        ("{}", "d:set('p', {})", r#"{"p":{}}"#),
        ("{}", "d:set('p', {x = {}})", r#"{"p":{"x":null}}"#),
        (
            "{}",
            "d:set('p', {x = {1, 2.5, 'z'}})",
            r#"{"p":{"x":[1,2.5,"z"]}}"#,
        ),
        (
            "{}",
            "d:set('p', {x = {{1}, {a = 2}}})",
            r#"{"p":{"x":[[1],{"a":2}]}}"#,
        ),
        (
            "{}",
            "d:set('p', {x = {[3] = 'c', [1] = 'a'}})",
            r#"{"p":{"x":["a","c"]}}"#,
        ),
        (
            "{}",
            "d:set('p', {x = {a = 1, [1] = 2}})",
            r#"{"p":{"x":{"1":2,"a":1}}}"#,
        ),
        (
            "{}",
            "d:set('p', {x = luaNil.new()})",
            r#"{"p":{"x":null}}"#,
        ),
        (
            "{}",
            "local t = luaTable.new(); t:set('k', 1); d:set('t', t)",
            r#"{"t":{"k":1}}"#,
        ),
        (
            "{}",
            "local t = luaTable.new(); d:set('t', t); t:set('k', 1)",
            r#"{"t":{"k":1}}"#,
        ),
        (
            "{}",
            "local l = luaList.new(); l:set(2, 'c'); d:set('l', l)",
            r#"{"l":[null,null,"c"]}"#,
        ),
        (
            "{}",
            "local l = luaList.new(); l:set(-1, 'c'); d:set('l', l)",
            r#"{"l":[]}"#,
        ),
        (
            "{}",
            "local l = luaList.new(); l:set(0, {1}); d:set('l', l)",
            r#"{"l":[{"1":1}]}"#,
        ),
        (r#"{"l":[1,2,3]}"#, "d:get('l'):del(1)", r#"{"l":[1,3]}"#),
        (
            r#"{"l":[1,2,3]}"#,
            "d:get('l'):del(7); d:get('l'):del(-1)",
            r#"{"l":[1,2,3]}"#,
        ),
        (
            r#"{"l":[1]}"#,
            "d:get('l'):set(0, 'x'); d:get('l'):set(1, 'y')",
            r#"{"l":["x","y"]}"#,
        ),
        (
            r#"{"o":{"a":1}}"#,
            "d:get('o'):set('b', d:get('o'):get('a'))",
            r#"{"o":{"a":1,"b":1}}"#,
        ),
        (
            r#"{"o":{"a":[1]},"n":1.0}"#,
            "d:set('c', d:get('o'))",
            r#"{"c":{"a":[1]},"n":1.0,"o":{"a":[1]}}"#,
        ),
        (
            r#"{"n":1.0,"b":12345678901234567890}"#,
            "d:set('m', d:get('n'))",
            r#"{"b":12345678901234567890,"m":1,"n":1.0}"#,
        ),
        (
            r#"{"a":"b"}"#,
            "d:set('c', d:get('a') .. '!')",
            r#"{"a":"b","c":"b!"}"#,
        ),
        (r#"{"a":1}"#, "", r#"{"a":1}"#),
    ] {
        assert_eq!(data(before, text), after, "{text}");
    }
}

#[test]
fn data_that_json_cannot_say_is_refused() {
    for text in [
        "d:set('a', 0/0)",
        "d:set('a', 1/0)",
        "d:set()",
        "d:set('a')",
        "d:get()",
        "d:del()",
        "d:get('l'):set(0)",
        "d:get('l'):get('x')",
        "local t = {}; t.t = t; d:set('a', t)",
        "local t = {}; t[1] = t; d:set('a', {x = t})",
    ] {
        let text = format!("local d = response.load():data(); {text}");
        assert!(Run::post(r#"{"l":[]}"#).run(&text).is_err(), "{text}");
    }
}

#[test]
fn without_open_libraries_there_is_little() {
    holds(
        || Run::pipe().closed(),
        &[
            "string == nil and math == nil and os == nil and io == nil",
            "debug == nil and coroutine == nil and ffi == nil and jit == nil and bit == nil",
            "table.concat({1, 2}, ',') == '1,2'",
            "type(package) == 'table' and type(require) == 'function'",
            "package.loaded.coroutine == nil and package.loaded.string == nil",
            "not pcall(function() return ('a'):upper() end)",
            "newproxy == nil",
            "tostring(12) == '12'",
            "tonumber('0x10') == 16",
            "select(2, pcall(error, 'x')) == 'x'",
        ],
    );
}

#[test]
fn open_libraries_are_there() {
    holds(
        Run::pipe,
        &[
            "('a'):upper() == 'A'",
            "string.format('%d-%s', 3, 'x') == '3-x'",
            "math.floor(2.5) == 2 and math.random() < 1",
            "type(os.time()) == 'number' and type(os.date()) == 'string'",
            "os.getenv('NO_SUCH_VARIABLE_HERE') == nil",
            "io.open('/nowhere/at/all') == nil",
            "type(debug.traceback()) == 'string'",
            "debug.getinfo(1).currentline == 1",
            "debug.sethook == nil and debug.setupvalue == nil",
            "coroutine.wrap(function() coroutine.yield(5) end)() == 5",
            "select(2, coroutine.resume(coroutine.create(function() error('x', 0) end))) == 'x'",
            "string.dump == nil and ffi == nil and jit == nil",
            "not pcall(os.exit)",
            "io.read() == nil",
            "loadstring('return 5')() == 5",
            "loadstring('x =') == nil",
            "loadstring('\\27LJ\\2\\0') == nil",
            "select(2, loadstring('x =', '=c')):find('^c:1:') ~= nil",
            "load('return 6')() == 6",
            "(function() local n = 0; return load(function() n = n + 1; return ({'return ', '7'})[n] end)() end)() == 7",
            "loadfile('/nowhere/at/all') == nil",
            "not pcall(dofile, '/nowhere/at/all')",
            "tostring(1e15) == '1000000000000000'",
            "tostring(nil) == 'nil' and tostring(true) == 'true'",
            "(function() for i = 1, 3 do goto next ::next:: end return true end)()",
            "getmetatable(request.load()) == false",
        ],
    );
}

#[test]
fn errors_are_told_in_krakends_words() {
    for (text, told) in [
        ("error('boom')", "boom (pre-script:L1)"),
        ("\n\nerror('boom')", "boom (pre-script:L3)"),
        ("error('boom', 0)", "boom"),
        ("custom_error('nope')", "nope"),
        (
            "local function f() error('deep') end\nf()",
            "deep (pre-script:L1)",
        ),
        ("assert(false, 'not so')", "not so (pre-script:L1)"),
        ("assert(nil)", "assertion failed! (pre-script:L1)"),
    ] {
        assert_eq!(Run::pipe().fault(text), told, "{text}");
    }
    let fault = Run::pipe().closed().fault("local x = string.len('abc')");
    assert!(fault.ends_with("(pre-script:L1)"), "{fault}");
    assert!(!Run::pipe().fault("error({})").is_empty());
    assert!(!Run::pipe().fault("error()").is_empty());
}

#[test]
fn custom_errors_carry_status_and_type() {
    for (text, told, status, content_type) in [
        ("custom_error('nope', 418)", "nope", Some(418), None),
        (
            "custom_error('{}', 451, 'application/json')",
            "{}",
            Some(451),
            Some("application/json"),
        ),
        ("custom_error('nope')", "nope", None, None),
        ("custom_error('nope', '404')", "nope", Some(404), None),
        ("custom_error('nope', 7)", "nope", Some(500), None),
        (
            "pcall(custom_error, 'gone', 400) error('x', 0)",
            "x",
            None,
            None,
        ),
        (
            "local ok, e = pcall(custom_error, 'kept', 400) error(e, 0)",
            "kept",
            Some(400),
            None,
        ),
        (
            "local function f() custom_error('deep', 409) end f()",
            "deep",
            Some(409),
            None,
        ),
    ] {
        let fault = Run::pipe().run(text).unwrap_err();
        assert_eq!(
            (fault.text.as_str(), fault.status),
            (told, status),
            "{text}"
        );
        assert_eq!(fault.content_type.as_deref(), content_type, "{text}");
    }
}

#[test]
fn caught_errors_of_our_functions_are_text() {
    holds(
        Run::pipe,
        &[
            "select(2, pcall(function() request.load():method('') end)) == 'pre-script:1: method \"\" not valid'",
            "type(select(2, xpcall(function() request.load():method('') end, function(e) return e end))) == 'string'",
        ],
    );
}
