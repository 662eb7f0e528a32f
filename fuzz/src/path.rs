//! From a request line to the head for a backend: parameters lie inside the path, a redirect stays on
//! this host and leads somewhere, and nothing that a client sends breaks the request that goes out.

use hanzo_gateway::base::Dialect;
use hanzo_gateway::gateway::client_ip::{ClientIpRules, ClientIpSettings};
use hanzo_gateway::gateway::head::{BodySize, Head};
use hanzo_gateway::gateway::headers::{
    Added, Fields, ForwardRules, StripSet, forward_headers, hop_by_hop,
};
use hanzo_gateway::gateway::params::Params;
use hanzo_gateway::gateway::path::{decode, encode};
use hanzo_gateway::gateway::pattern::Pattern;
use hanzo_gateway::gateway::query::QueryFilter;
use hanzo_gateway::gateway::request_id::request_id;
use hanzo_gateway::gateway::router::{
    Found, Route, Router, RouterOptions, location_with_query, param_names, prefixed_location,
};
use http::{HeaderName, Method};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

const PATTERNS: [&str; 12] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/A/c",
    "/a/{x}",
    "/a/{x}/c",
    "/{x}/b/{y}",
    "/{x}/b/{y}/d",
    "/files/{x}.json",
    "/é/{x}",
    "/w/{x}/*",
];

struct Case {
    dialect: Dialect,
    router: Router,
    rules: Vec<ForwardRules>,
    client: ClientIpRules,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let dialects = [Dialect::Native, Dialect::Krakend];
    let all = dialects
        .into_iter()
        .flat_map(|dialect| [(dialect, false), (dialect, true)]);
    all.map(|(dialect, cleans)| case(dialect, cleans)).collect()
});

fn case(dialect: Dialect, cleans: bool) -> Case {
    let wild = |p: &&str| dialect == Dialect::Native || !p.ends_with('*');
    let mut routes = Vec::new();
    for (endpoint, pattern) in (0..).zip(PATTERNS.into_iter().filter(wild)) {
        let methods = if endpoint % 3 == 0 {
            vec![Method::GET, Method::POST]
        } else {
            vec![Method::GET]
        };
        routes.extend(methods.into_iter().map(|method| Route {
            method,
            pattern: pattern.to_owned(),
            endpoint,
        }));
    }
    let options = RouterOptions {
        remove_extra_slash: cleans,
        ..RouterOptions::new(dialect)
    };
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let strip = Arc::new(StripSet::new(["X-User-ID", "X-Org-ID"]));
    let rules = [
        (list(&["*"]), vec![]),
        (vec![], vec![]),
        (list(&["*"]), list(&["Cookie", "Via"])),
    ]
    .into_iter()
    .map(|(endpoint, backend)| {
        ForwardRules::compile(dialect, &endpoint, &backend, Arc::clone(&strip), false)
    });
    let settings = ClientIpSettings {
        forwarded_by_client_ip: Some(true),
        ..Default::default()
    };
    Case {
        dialect,
        router: Router::build(routes, options).expect("the patterns do not clash"),
        rules: rules.collect(),
        client: ClientIpRules::compile(dialect, settings).0,
    }
}

/// A request as a text: the first byte chooses the method, then a line with the target, one with the
/// `url_pattern` of a backend, and the fields.
struct Request<'a> {
    method: Method,
    path: &'a [u8],
    query: Option<&'a [u8]>,
    url_pattern: &'a [u8],
    fields: Vec<(&'a str, &'a [u8])>,
    version: &'static str,
}

impl<'a> Request<'a> {
    fn read(input: &'a [u8]) -> Option<Self> {
        let (choice, text) = input.split_first()?;
        let mut lines = text.split(|&b| b == b'\n');
        let target = lines.next()?;
        let url_pattern = lines.next().unwrap_or(b"/x/{x}?y={y}");
        let mut halves = target.splitn(2, |&b| b == b'?');
        let (path, query) = (halves.next()?, halves.next());
        let field = |line: &'a [u8]| {
            let colon = line.iter().position(|&b| b == b':')?;
            let (name, value) = line.split_at(colon);
            let name = std::str::from_utf8(name).ok()?;
            HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, value.get(1..)?.trim_ascii()))
        };
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];
        Some(Self {
            method: methods[usize::from(*choice) % 4].clone(),
            path,
            query,
            url_pattern,
            fields: lines.filter_map(field).take(200).collect(),
            version: ["1.1", "2", "1.0"][usize::from(*choice / 4) % 3],
        })
    }
}

impl Head for Request<'_> {
    fn method(&self) -> &Method {
        &self.method
    }
    fn path(&self) -> &[u8] {
        self.path
    }
    fn query(&self) -> Option<&[u8]> {
        self.query
    }
    fn host(&self) -> &[u8] {
        b"gw.test"
    }
    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        fields
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_str()))
            .map(|(_, v)| *v)
    }
    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.fields {
            each(name, value);
        }
    }
    fn peer(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
    }
    fn secure(&self) -> bool {
        false
    }
    fn version(&self) -> &'static str {
        self.version
    }
    fn body(&self) -> BodySize {
        BodySize::None
    }
}

/// Routes a request and builds the head for a backend, in both dialects.
pub fn check(input: &[u8]) {
    let Some(request) = Request::read(input) else {
        return;
    };
    query(request.query.unwrap_or_default());
    for case in CASES.iter() {
        fields(case, &request);
        if let Ok(path) = decode(request.path) {
            assert_eq!(
                decode(encode(&path).as_bytes()).expect("what we encode"),
                path
            );
            route(case, &request, &path);
        }
    }
}

fn route(case: &Case, request: &Request<'_>, decoded: &[u8]) {
    let path = case.router.prepare(decoded);
    let mut params = Params::default();
    match case.router.find(&request.method, &path, &mut params) {
        Found::Endpoint { id, .. } => {
            for index in 0..params.len() {
                assert!(
                    params.get(index, &path).is_some(),
                    "parameter {index} of {path:?}"
                );
            }
            let wildcard = PATTERNS[id as usize].ends_with("/*");
            target(request, &path, &params, PATTERNS[id as usize], wildcard);
        }
        Found::Redirect {
            code,
            location,
            slash,
        } => {
            assert!(code == 301 || code == 307);
            assert!(
                location.starts_with('/') && !location.starts_with("//"),
                "{location}"
            );
            assert!(location.bytes().all(|b| b.is_ascii_graphic()), "{location}");
            let again = decode(location.as_bytes()).expect("a location that we encoded");
            let found =
                case.router
                    .find(&request.method, &case.router.prepare(&again), &mut params);
            if case.dialect == Dialect::Native {
                assert!(
                    matches!(found, Found::Endpoint { .. }),
                    "{path:?} to {location}: {found:?}"
                );
            }
            if slash {
                let prefix = request.header(&HeaderName::from_static("x-forwarded-prefix"));
                let moved = prefixed_location(&location, prefix.unwrap_or_default());
                assert!(
                    moved.starts_with('/') && !moved.starts_with("//"),
                    "{moved}"
                );
            }
            let whole = location_with_query(location, request.query);
            assert!(whole.bytes().all(|b| b.is_ascii_graphic()), "{whole}");
        }
        Found::MethodNotAllowed { allow } => assert!(!allow.is_empty()),
        Found::AutoOptions { .. } | Found::NotFound => {}
    }
}

fn target(request: &Request<'_>, path: &[u8], params: &Params, pattern: &str, wildcard: bool) {
    let Ok(url_pattern) = std::str::from_utf8(request.url_pattern) else {
        return;
    };
    let names = param_names(pattern, false);
    let compiled = Pattern::compile(url_pattern, &names, wildcard);
    assert!(compiled.display().starts_with('/'));
    let filled = compiled.fill(params, path, request.path, &|_| Some("ü \r\n".into()));
    if let Ok(target) = filled {
        assert!(target.is_empty() || target.starts_with('/'), "{target}");
        assert!(target.bytes().all(|b| b.is_ascii_graphic()), "{target:?}");
    }
}

fn query(raw: &[u8]) {
    let listed = QueryFilter::compile(&["a".to_owned(), "b c".to_owned()], &[]);
    for filter in [QueryFilter::All, listed] {
        if let Some(sent) = filter.apply(raw) {
            assert!(sent.bytes().all(|b| b.is_ascii_graphic()), "{sent:?}");
            assert_eq!(
                filter.apply(sent.as_bytes()).as_ref(),
                Some(&sent),
                "not stable"
            );
        }
    }
}

fn fields(case: &Case, request: &Request<'_>) {
    let client = case.client.resolve(request);
    let id = request_id(request.header(&HeaderName::from_static("x-request-id")));
    assert!((1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
    let added = Added {
        request_id: &id,
        minted: &[],
    };
    for rules in &case.rules {
        let mut out = Fields::new();
        forward_headers(rules, request, &client, added, &mut out);
        for (name, value) in &out {
            assert!(
                !value
                    .as_bytes()
                    .iter()
                    .any(|b| matches!(b, b'\r' | b'\n' | 0)),
                "{name}"
            );
            if case.dialect == Dialect::Native {
                assert!(!hop_by_hop(name), "{name}");
                assert!(name != "x-user-id" && name != "x_user_id" && name != "x-org-id");
            }
        }
    }
}
