//! What happens to a request head before a backend sees it.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use criterion::Criterion;
use hanzo_gateway::base::{Dialect, Report};
use hanzo_gateway::compile::{Shared, compile};
use hanzo_gateway::config::{Format, LoadOptions, load};
use hanzo_gateway::gateway::client_ip::ClientAddr;
use hanzo_gateway::gateway::ctx::Ctx;
use hanzo_gateway::gateway::head::{BodySize, Head};
use hanzo_gateway::gateway::headers::{Added, Fields, ForwardRules, StripSet, forward_headers};
use hanzo_gateway::gateway::http1::check_head;
use hanzo_gateway::gateway::limits::Limits;
use hanzo_gateway::gateway::request_id;
use hanzo_gateway::gateway::snapshot::Gateway;
use hanzo_gateway::gateway::stage::{Edits, Flow, HeadStage, Step};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const MINIMAL: &str = "GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n";

const BROWSER: &str = "GET /api/v1/items/4711?fields=id,name&lang=en HTTP/1.1\r\n\
Host: shop.example.test\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
Accept: application/json, text/plain, */*\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: cors\r\n\
Sec-Fetch-Dest: empty\r\n\
Referer: https://shop.example.test/catalogue/shoes?page=2\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ\r\n\
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\r\n";

/// A head with the fields of [`BROWSER`].
struct Browser {
    method: Method,
    headers: HeaderMap,
}

impl Browser {
    fn new() -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in BROWSER
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
        {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        Self {
            method: Method::GET,
            headers,
        }
    }
}

impl Head for Browser {
    fn method(&self) -> &Method {
        &self.method
    }
    fn path(&self) -> &[u8] {
        b"/api/v1/items/4711"
    }
    fn query(&self) -> Option<&[u8]> {
        Some(b"fields=id,name&lang=en")
    }
    fn host(&self) -> &[u8] {
        b"shop.example.test"
    }
    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }
    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.headers {
            each(name.as_str(), value.as_bytes());
        }
    }
    fn peer(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
    }
    fn secure(&self) -> bool {
        true
    }
    fn version(&self) -> &'static str {
        "1.1"
    }
    fn body(&self) -> BodySize {
        BodySize::None
    }
}

/// A stage that looks at one field and never waits.
struct Look(HeaderName);

impl HeadStage for Look {
    fn name(&self) -> &'static str {
        "look"
    }

    fn on_request<'a>(
        &'a self,
        head: &'a dyn Head,
        _: &'a mut Edits,
        ctx: &'a mut Ctx,
    ) -> Step<'a> {
        ctx.completed = head.header(&self.0).is_some();
        Step::NEXT
    }
}

fn gateway() -> Arc<Gateway> {
    let text = r#"{"version":3,"endpoints":[{"endpoint":"/x","backend":[{"host":["http://h.test"],"url_pattern":"/"}]}]}"#;
    let mut report = Report::default();
    let options = LoadOptions::default();
    let document = load::parse("bench", text, Format::Json, &options, &mut report).unwrap();
    let shared = Shared::new(1).unwrap();
    Arc::new(
        compile(&document, Dialect::Native, &shared, &mut report)
            .unwrap()
            .gateway,
    )
}

fn stages(criterion: &mut Criterion) {
    let names = [
        "authorization",
        "cookie",
        "origin",
        "accept",
        "user-agent",
        "x-api-key",
    ];
    let stages =
        names.map(|name| Box::new(Look(HeaderName::from_static(name))) as Box<dyn HeadStage>);
    let (head, mut ctx) = (Browser::new(), Ctx::new(gateway()));
    criterion.bench_function("heads/six stages", |bencher| {
        bencher.iter(|| {
            let mut edits = Edits::default();
            for stage in black_box(&stages) {
                let step = stage.on_request(black_box(&head), &mut edits, &mut ctx);
                assert!(matches!(step, Step::Now(Ok(Flow::Next))));
            }
            edits
        });
    });
}

fn forwarding(criterion: &mut Criterion) {
    let (head, peer) = (Browser::new(), IpAddr::from([192, 0, 2, 1]));
    let client = ClientAddr {
        ip: peer,
        peer,
        trusted: false,
    };
    let strip = Arc::new(StripSet::new(["X-User-ID", "X-Org-ID", "X-Tenant"]));
    let listed = ["Authorization", "Accept", "Content-Type"].map(str::to_owned);
    let added = Added {
        request_id: "req_1",
        minted: &[],
    };
    for (name, input) in [("all", &["*".to_owned()][..]), ("three listed", &listed)] {
        let rules = ForwardRules::compile(Dialect::Native, input, &[], Arc::clone(&strip), false);
        criterion.bench_function(&format!("heads/forward {name}"), |bencher| {
            bencher.iter(|| {
                let mut out = Fields::with_capacity(32);
                forward_headers(&rules, black_box(&head), &client, added, &mut out);
                out
            });
        });
    }
}

pub(crate) fn all(criterion: &mut Criterion) {
    stages(criterion);
    forwarding(criterion);
    let limits = Limits::default();
    for (name, head) in [("minimal", MINIMAL), ("browser", BROWSER)] {
        criterion.bench_function(&format!("heads/check {name}"), |bencher| {
            bencher.iter(|| {
                check_head(black_box(head.as_bytes()), &limits)
                    .unwrap()
                    .unwrap()
            });
        });
    }
    criterion.bench_function("heads/request id made", |bencher| {
        bencher.iter(|| request_id::request_id(black_box(None)));
    });
    criterion.bench_function("heads/request id kept", |bencher| {
        bencher.iter(|| request_id::request_id(black_box(Some(b"req_0123456789abcdef"))));
    });
}
