//! Scripts of a configuration: what they change, what they may cost, and what they cannot reach.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, eventually};

fn backend(origin: &Origin) -> Value {
    json!({"url_pattern": "/up", "host": [origin.url()]})
}

fn lua_backend(origin: &Origin, settings: Value) -> Value {
    let mut backend = backend(origin);
    backend["extra_config"] = json!({"modifier/lua-backend": settings});
    backend
}

/// An endpoint with a script at one of its places.
fn endpoint(path: &str, namespace: &str, settings: Value, backends: &[Value]) -> Value {
    json!({
        "endpoint": path,
        "timeout": "10s",
        "input_headers": ["*"],
        "input_query_strings": ["*"],
        "extra_config": {namespace: settings},
        "backend": backends,
    })
}

fn both(config: &Value, check: impl Fn(&Gateway, bool)) {
    check(&Gateway::native(config.clone()), true);
    check(&Gateway::krakend(config.clone()), false);
}

/// A document whose krakend dialect shows the texts of errors.
fn shown(endpoints: &[Value]) -> Value {
    json!({"extra_config": {"router": {"return_error_msg": true}}, "endpoints": endpoints})
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status(), answer.text())
}

#[test]
fn an_endpoint_script_rewrites_what_is_forwarded() {
    let origin = Origin::json("{}");
    let pre = "local c = ctx.load()
        c:headers('X-Lua', 'set-' .. c:headers('X-In'))
        c:query('q', 'from-' .. c:params('id'))
        c:params('id', 'changed')";
    let mut endpoint = endpoint("/e/{id}", "modifier/lua-endpoint", json!({"pre": pre}), &[]);
    endpoint["backend"] = json!([{"url_pattern": "/up/{id}", "host": [origin.url()]}]);
    both(&json!({"endpoints": [endpoint]}), |gateway, _| {
        let mut client = gateway.client();
        let answer = client
            .send("GET /e/7?q=1 HTTP/1.1\r\nHost: h\r\nX-In: abc\r\n\r\n")
            .answer();
        assert_eq!(answer.status(), 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.target(), "/up/changed?q=from-7");
        assert_eq!(request.header("x-lua"), Some("set-abc"));
    });
}

#[test]
fn an_endpoint_script_reads_and_replaces_the_body() {
    let origin = Origin::json("{}");
    let pre = "local c = ctx.load() c:body(c:body() .. '!' .. c:method())";
    let mut endpoint = endpoint(
        "/e",
        "modifier/lua-endpoint",
        json!({"pre": pre}),
        &[json!({"url_pattern": "/up", "method": "POST", "host": [origin.url()]})],
    );
    endpoint["method"] = json!("POST");
    both(&json!({"endpoints": [endpoint]}), |gateway, _| {
        let mut client = gateway.client();
        let answer = client
            .send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
            .answer();
        assert_eq!(answer.status(), 200);
        assert_eq!(origin.requests().pop().unwrap().text(), "hello!POST");
    });
}

#[test]
fn a_script_of_the_service_sees_every_request() {
    let origin = Origin::json("{}");
    let config = json!({
        "extra_config": {"modifier/lua-endpoint": {
            "pre": "local c = ctx.load() if c:headers('X-Bad') ~= '' then custom_error('no', 418) end c:headers('X-All', '1')",
        }},
        "endpoints": [{"endpoint": "/x", "input_headers": ["X-All"], "backend": [backend(&origin)]}],
    });
    both(&config, |gateway, native| {
        assert_eq!(gateway.get("/x").status(), 200);
        assert_eq!(origin.requests().pop().unwrap().header("x-all"), Some("1"));
        let mut client = gateway.client();
        let refused = client
            .send("GET /x HTTP/1.1\r\nHost: h\r\nX-Bad: 1\r\n\r\n")
            .answer();
        // KrakenD ignores the status here.
        assert_eq!(refused.status(), 500);
        assert_eq!(refused.text().is_empty(), !native);
        assert_eq!(refused.header("x-krakend"), None);
    });
}

#[test]
fn a_proxy_script_changes_request_and_data() {
    let origin = Origin::json(r#"{"name":"Ada","email":"a@b.test","n":1.0}"#);
    let settings = json!({
        "pre": "local r = request.load() r:params('Id', '9') r:headers('X-P', '1') kept = r:method()",
        "post": "local r = response.load() local d = r:data()
            d:set('caught', select(2, pcall(error, 'e')))
            d:set('added', 5) d:set('name', d:get('name') .. '!') d:del('email') d:set('kept', kept)
            r:headers('X-From-Lua', 'yes')",
    });
    let mut endpoint = endpoint("/p/{id}", "modifier/lua-proxy", settings, &[]);
    endpoint["backend"] = json!([{"url_pattern": "/up/{id}", "host": [origin.url()]}]);
    both(&json!({"endpoints": [endpoint]}), |gateway, _| {
        let answer = gateway.get("/p/7");
        assert_eq!(
            answer.text(),
            r#"{"added":5,"caught":"e","kept":"GET","n":1.0,"name":"Ada!"}"#
        );
        assert_eq!(answer.header("x-from-lua"), Some("yes"));
        let request = origin.requests().pop().unwrap();
        assert_eq!(
            (request.target(), request.header("x-p")),
            ("/up/9", Some("1"))
        );
    });
}

#[test]
fn a_backend_script_changes_the_call_and_its_data() {
    let origin = Origin::json(r#"{"a":{"b":1},"l":[1,2]}"#);
    let settings = json!({
        "pre": "local r = request.load() r:url(r:url() .. '?l=1') r:headers('X-B', '2') r:method('PUT') r:body('sent')",
        "post": "local d = response.load():data() d:set('b', d:get('a'):get('b')) d:set('n', d:get('l'):len())",
    });
    let config =
        json!({"endpoints": [{"endpoint": "/b", "backend": [lua_backend(&origin, settings)]}]});
    both(&config, |gateway, _| {
        assert_eq!(
            gateway.get("/b").text(),
            r#"{"a":{"b":1},"b":1,"l":[1,2],"n":2}"#
        );
        let request = origin.requests().pop().unwrap();
        assert_eq!((request.method(), request.target()), ("PUT", "/up?l=1"));
        assert_eq!(
            (request.header("x-b"), request.text().as_str()),
            (Some("2"), "sent")
        );
    });
}

#[test]
fn skip_next_asks_no_backend() {
    let origin = Origin::json("{}");
    let settings = json!({"skip_next": true, "post": "response.load():data():set('own', true)"});
    let config =
        json!({"endpoints": [{"endpoint": "/s", "backend": [lua_backend(&origin, settings)]}]});
    both(&config, |gateway, _| {
        assert_eq!(
            told(&gateway.get("/s")),
            (200, r#"{"own":true}"#.to_owned())
        );
    });
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn a_no_op_answer_is_rewritten_whole() {
    let origin = Origin::serve(|exchange| exchange.answer(201, &[("X-Up", "1")], "plain"));
    let settings = json!({
        "post": "local r = response.load() r:body(r:body():upper()) r:statusCode(r:statusCode() + 1)
            r:headers('X-New', 'n') r:headers('X-Up', nil) r:headers('Content-Length', nil)",
        "allow_open_libs": true,
    });
    let mut endpoint = endpoint("/n", "modifier/lua-proxy", settings, &[]);
    endpoint["output_encoding"] = json!("no-op");
    endpoint["backend"] =
        json!([{"url_pattern": "/up", "encoding": "no-op", "host": [origin.url()]}]);
    both(&json!({"endpoints": [endpoint]}), |gateway, _| {
        let answer = gateway.get("/n");
        assert_eq!(told(&answer), (202, "PLAIN".to_owned()));
        assert_eq!(
            (answer.header("x-new"), answer.header("x-up")),
            (Some("n"), None)
        );
    });
}

#[test]
fn errors_are_answered_by_where_they_are_raised() {
    let origin = Origin::json("{}");
    let at = |path: &str, namespace: &str, settings: Value| {
        endpoint(path, namespace, settings, &[backend(&origin)])
    };
    let config = shown(&[
        at(
            "/e",
            "modifier/lua-endpoint",
            json!({"pre": "custom_error('x', 418, 'a/b')"}),
        ),
        at("/et", "modifier/lua-endpoint", json!({"pre": "error('x')"})),
        at(
            "/p",
            "modifier/lua-proxy",
            json!({"pre": "custom_error('x', 418)"}),
        ),
        at(
            "/pj",
            "modifier/lua-proxy",
            json!({"post": "custom_error('{\"a\":1}', 451, 'application/json')"}),
        ),
        at(
            "/plain",
            "modifier/lua-proxy",
            json!({"pre": "custom_error('nothing')"}),
        ),
        json!({"endpoint": "/b", "backend": [lua_backend(&origin, json!({"pre": "custom_error('early', 400)"}))]}),
        json!({"endpoint": "/rt", "backend": [lua_backend(&origin, json!({"post": "\nerror('boom')"}))]}),
        json!({"endpoint": "/two", "backend": [
            lua_backend(&origin, json!({"pre": "custom_error('early', 400)"})),
            lua_backend(&origin, json!({"pre": "custom_error('late', 401)"})),
        ]}),
    ]);
    both(&config, |gateway, native| {
        if native {
            for (path, status) in [
                ("/e", 418),
                ("/et", 500),
                ("/p", 418),
                ("/pj", 451),
                ("/plain", 500),
                ("/b", 400),
                ("/rt", 500),
            ] {
                let answer = gateway.get(path);
                assert_eq!(answer.status(), status, "{path}");
                assert_eq!(answer.json()["status"], status, "{path}");
                assert!(!answer.text().contains("boom"), "{path}");
            }
            return;
        }
        let own = gateway.get("/e");
        assert_eq!(told(&own), (418, String::new()));
        assert_eq!(own.header("content-type"), Some("a/b"));
        assert_eq!(
            (own.header("x-krakend"), own.header("x-krakend-completed")),
            (None, None)
        );
        assert_eq!(told(&gateway.get("/et")), (500, String::new()));
        let typed = gateway.get("/pj");
        assert_eq!(told(&typed), (451, r#"{"a":1}"#.to_owned()));
        assert_eq!(typed.header("content-type"), Some("application/json"));
        for (path, status, text) in [
            ("/p", 418, "x"),
            ("/plain", 500, "nothing"),
            ("/b", 400, "early"),
            ("/rt", 500, "boom (post-script:L2)"),
        ] {
            let answer = gateway.get(path);
            assert_eq!(told(&answer), (status, text.to_owned()), "{path}");
            assert_eq!(
                answer.header("x-krakend-completed"),
                Some("false"),
                "{path}"
            );
        }
        assert_eq!(gateway.get("/two").status(), 500);
    });
}

#[test]
fn a_script_calls_out_through_the_gateway() {
    let other = Origin::serve(|exchange| {
        let fields = [("X-A", "1"), ("X-A", "2"), ("Content-Type", "text/x")];
        exchange.answer(203, &fields, "from there");
    });
    let origin = Origin::json("{}");
    let post = format!(
        "local r = http_response.new('{0}/h?x=1', 'POST', 'sent', {{['X-One'] = 'a', ['X-Two'] = {{'b', 'c'}}}})
        local d = response.load():data()
        d:set('status', r:statusCode()) d:set('a', r:headers('x-a')) d:set('n', r:headerList('X-A'):len())
        d:set('body', r:body()) d:set('again', r:body()) r:close()
        local g = http_response.new('{0}/plain')
        d:set('get', g:statusCode())
        d:set('ok', pcall(http_response.new, '{0}/', 'GET'))
        d:set('dead', pcall(http_response.new, 'http://127.0.0.1:1/'))
        d:set('bad', pcall(http_response.new, 'no url'))",
        other.url()
    );
    let endpoint = endpoint(
        "/x",
        "modifier/lua-proxy",
        json!({"post": post}),
        &[backend(&origin)],
    );
    both(&json!({"endpoints": [endpoint]}), |gateway, native| {
        assert_eq!(
            gateway.get("/x").json(),
            json!({"status": 203, "a": "1", "n": 2, "body": "from there", "again": "", "get": 203, "ok": false, "dead": false, "bad": false})
        );
        let requests = other.requests();
        let sent = &requests[requests.len() - 2];
        assert_eq!(
            (sent.method(), sent.target(), sent.text().as_str()),
            ("POST", "/h?x=1", "sent")
        );
        assert_eq!(sent.header("x-one"), Some("a"));
        let agent = sent.header("user-agent").unwrap().to_owned();
        assert_eq!(agent.starts_with("KrakenD Version"), !native, "{agent}");
    });
}

#[test]
fn an_endless_script_costs_one_request_its_timeout_and_nothing_else() {
    let origin = Origin::json(r#"{"a":1}"#);
    let at = |path: &str, namespace: &str, settings: Value| {
        let mut one = endpoint(path, namespace, settings, &[backend(&origin)]);
        one["timeout"] = json!("700ms");
        one
    };
    let spin = "while true do pcall(function() while true do end end) end";
    let quick = json!({"post": "response.load():data():set('b', 2)"});
    let config = json!({"endpoints": [
        at("/head", "modifier/lua-endpoint", json!({"pre": spin})),
        at("/pre", "modifier/lua-proxy", json!({"pre": spin})),
        at("/post", "modifier/lua-proxy", json!({"post": spin})),
        at("/own", "modifier/lua-proxy", json!({"pre": spin, "timeout": "100ms"})),
        at("/c", "modifier/lua-proxy", json!({"pre": "string.rep('a', 50000):find(string.rep('a*', 20) .. 'b')", "allow_open_libs": true})),
        endpoint("/quick", "modifier/lua-proxy", quick, &[backend(&origin)]),
        {"endpoint": "/plain", "backend": [backend(&origin)]},
    ]});
    both(&config, |gateway, _| {
        std::thread::scope(|scope| {
            let slow: Vec<_> = ["/head", "/pre", "/post", "/c"]
                .into_iter()
                .map(|path| {
                    scope.spawn(move || (path, Instant::now(), gateway.get(path), Instant::now()))
                })
                .collect();
            for _ in 0..20 {
                assert_eq!(gateway.get("/plain").status(), 200);
                assert_eq!(gateway.get("/quick").json(), json!({"a": 1, "b": 2}));
            }
            for run in slow {
                let (path, began, answer, ended) = run.join().unwrap();
                assert_eq!(answer.status(), 500, "{path}");
                assert!(ended - began >= Duration::from_millis(650), "{path}");
            }
        });
        assert_eq!(gateway.get("/own").status(), 500);
        assert_eq!(gateway.get("/plain").status(), 200);
    });
}

#[test]
fn a_greedy_script_fails_alone() {
    let origin = Origin::json("{}");
    let settings = json!({
        "allow_open_libs": true,
        "max_memory": "4MB",
        "post": "local s = 'x' while true do s = s .. s end",
    });
    let config = shown(&[
        endpoint(
            "/greedy",
            "modifier/lua-proxy",
            settings,
            &[backend(&origin)],
        ),
        json!({"endpoint": "/plain", "backend": [backend(&origin)]}),
    ]);
    both(&config, |gateway, native| {
        let answer = gateway.get("/greedy");
        assert_eq!(answer.status(), 500);
        if !native {
            assert!(
                answer.text().starts_with("not enough memory"),
                "{}",
                answer.text()
            );
        }
        assert_eq!(gateway.get("/plain").status(), 200);
    });
}

#[test]
fn requests_and_components_share_nothing() {
    let origin = Origin::json("{}");
    let count = "count = (count or 0) + 1 table.mine = (table.mine or 0) + 1
        package.loaded.mine = (package.loaded.mine or 0) + 1";
    let post = "local d = response.load():data()
        d:set('n', count) d:set('t', table.mine) d:set('p', package.loaded.mine)";
    let outer = json!({"pre": count, "post": post});
    let mut endpoint = endpoint("/x", "modifier/lua-proxy", outer, &[]);
    endpoint["backend"] = json!([lua_backend(&origin, json!({"pre": count}))]);
    both(&json!({"endpoints": [endpoint]}), |gateway, _| {
        for _ in 0..5 {
            assert_eq!(gateway.get("/x").json(), json!({"n": 1, "t": 1, "p": 1}));
        }
    });
}

#[test]
fn a_source_that_is_not_there_fails_requests_until_it_is() {
    let origin = Origin::json(r#"{"a":1}"#);
    let script = json!({"sources": ["late.lua"]});
    let config = json!({"endpoints": [
        endpoint("/x", "modifier/lua-proxy", script, &[backend(&origin)]),
        {"endpoint": "/y", "backend": [backend(&origin)]},
    ]});
    both(&config, |gateway, _| {
        assert_eq!(gateway.get("/x").status(), 500);
        assert_eq!(gateway.get("/y").status(), 200);
        assert!(gateway.stderr().contains("late.lua cannot be read"));
        std::fs::write(gateway.folder().join("late.lua"), "x = 1").expect("a file");
        assert_eq!(gateway.get("/x").status(), 200);
    });
}

#[test]
fn what_cannot_run_is_refused_with_its_place() {
    let origin = Origin::json("{}");
    let config = |settings: Value| json!({"endpoints": [endpoint("/x", "modifier/lua-proxy", settings, &[backend(&origin)])]});
    let good = "function f() end\n";
    for (settings, parts) in [
        (
            json!({"sources": ["good.lua", "bad.lua"]}),
            ["bad.lua:2: ", "sources/1"],
        ),
        (
            json!({"pre": "x = = 1"}),
            ["pre-script:1: ", "modifier~1lua-proxy/pre"],
        ),
        (
            json!({"post": "\n\nfor"}),
            ["post-script:3: ", "modifier~1lua-proxy/post"],
        ),
        (
            json!({"sources": ["good.lua"], "md5": {"good.lua": "00"}}),
            ["the MD5 of good.lua is ", "sources/0"],
        ),
        (
            json!({"pre": "x = 1", "md5": {"other.lua": "00"}}),
            ["other.lua", "md5"],
        ),
        (
            json!({"pre": "x = 1", "max_memory": "lots"}),
            ["no size", "max_memory"],
        ),
        (
            json!({"pre": 1, "sources": {"a": 1}}),
            ["sources", "sources"],
        ),
    ] {
        let setup = Gateway::setup()
            .file("good.lua", good)
            .file("bad.lua", "x = 1\ny = = 2\n");
        let output = setup.refused(config(settings.clone()));
        let text = format!("{}{}", output.stdout, output.stderr);
        for part in parts {
            assert!(text.contains(part), "{settings}: {part}: {text}");
        }
    }
}

#[test]
fn live_sources_are_read_again_and_others_at_reload() {
    let origin = Origin::json("{}");
    let post = |word: &str| format!("function put() response.load():data():set('w', '{word}') end");
    let config = json!({"endpoints": [
        endpoint("/live", "modifier/lua-proxy", json!({"sources": ["a.lua"], "post": "put()", "live": true}), &[backend(&origin)]),
        endpoint("/fixed", "modifier/lua-proxy", json!({"sources": ["a.lua"], "post": "put()"}), &[backend(&origin)]),
    ]});
    let gateway = Gateway::setup().file("a.lua", &post("one")).native(config);
    let word = |path: &str| gateway.get(path).json()["w"].clone();
    assert_eq!(
        (word("/live"), word("/fixed")),
        (json!("one"), json!("one"))
    );
    std::fs::write(gateway.folder().join("a.lua"), post("two")).unwrap();
    assert_eq!(
        (word("/live"), word("/fixed")),
        (json!("two"), json!("one"))
    );
    gateway.signal("HUP");
    eventually("the reload", || (word("/fixed") == "two").then_some(()));
    std::fs::write(gateway.folder().join("a.lua"), "x = = 1").unwrap();
    assert_eq!(gateway.get("/live").status(), 500);
    gateway.signal("HUP");
    gateway.log_line("reload refused");
    assert_eq!(word("/fixed"), "two");
}

#[test]
fn what_a_script_prints_is_logged() {
    let origin = Origin::json("{}");
    let settings = json!({"pre": "print('seen', 1, nil, true)"});
    let config =
        json!({"endpoints": [endpoint("/x", "modifier/lua-proxy", settings, &[backend(&origin)])]});
    let gateway = Gateway::native(config);
    assert_eq!(gateway.get("/x").status(), 200);
    let line = gateway.log_line("seen");
    assert!(
        line.contains("[ENDPOINT: /x][Lua] seen\\t1\\tnil\\ttrue"),
        "{line}"
    );
}
