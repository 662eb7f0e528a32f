//! What it costs to know somebody again: finding the token of a request, its digest, and the look into the memory of
//! those who were verified.

use criterion::Criterion;
use hanzo_gateway::base::{Dialect, clock};
use hanzo_gateway::body::{Object, Value, json};
use hanzo_gateway::gateway::head::{BodySize, Head};
use hanzo_gateway::gateway::stage::Step;
use hanzo_gateway::identity::jose::{Algorithm, KeyIds, KeySet, Signer};
use hanzo_gateway::identity::jwks::Source;
use hanzo_gateway::identity::{
    Absent, Bearer, Bounds, ClaimPath, Memory, Mint, MintRule, Naming, Rules, SourceKeys, Verifier,
    VerifierOptions, digest_of,
};
use http::{HeaderName, HeaderValue, Method, header};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = r#"{"kty":"oct","kid":"k","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;

/// Claims as an identity service writes them, with room for what makes them longer.
fn claims(padding: usize) -> String {
    format!(
        r#"{{"aud":["https://api.hanzo.ai"],"exp":4102444800,"iat":1700000000,"iss":"https://iam.hanzo.ai","org":"hanzo","pad":"{}","scope":"openid profile api kms:read","sub":"somebody"}}"#,
        "x".repeat(padding)
    )
}

fn token(padding: usize) -> String {
    let key: Object = json::decode(KEY.as_bytes()).unwrap().into_object().unwrap();
    let signer = Signer::new(Algorithm::Hs256, &key, Dialect::Native).unwrap();
    let header = Object::with("kid", Value::string("k"));
    signer
        .sign_compact(&header, claims(padding).as_bytes())
        .unwrap()
}

fn verifier() -> Verifier {
    let set = KeySet::parse(KEY.as_bytes(), Dialect::Native).unwrap();
    let rule = |claim: &str, name: &'static str| MintRule {
        claim: ClaimPath::flat(claim),
        name: HeaderName::from_static(name),
        absent: Absent::Empty,
        unlisted: false,
    };
    let rules = vec![rule("sub", "x-user-id"), rule("org", "x-org-id")];
    Verifier::new(VerifierOptions {
        rules: Rules::new(Algorithm::Hs256, Dialect::Native),
        keys: Arc::new(SourceKeys::new(Arc::new(Source::fixed(set)), KeyIds::Kid)),
        naming: Naming::default(),
        mint: Mint::new(rules, false, Dialect::Native),
    })
}

/// A request with a token among a browser's fields.
struct Shown {
    method: Method,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Shown {
    fn new(token: &str) -> Self {
        let field = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        };
        Self {
            method: Method::GET,
            fields: vec![
                field("host", "api.example.test"),
                field("accept", "application/json"),
                field("accept-encoding", "gzip, deflate, br"),
                field("accept-language", "en-GB,en;q=0.9"),
                field("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
                field("origin", "https://app.example.test"),
                field("referer", "https://app.example.test/x"),
                field("authorization", &format!("Bearer {token}")),
            ],
        }
    }
}

impl Head for Shown {
    fn method(&self) -> &Method {
        &self.method
    }
    fn path(&self) -> &[u8] {
        b"/v1/chat/completions"
    }
    fn query(&self) -> Option<&[u8]> {
        None
    }
    fn host(&self) -> &[u8] {
        b"api.example.test"
    }
    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_bytes())
    }
    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.fields {
            each(name.as_str(), value.as_bytes());
        }
    }
    fn peer(&self) -> IpAddr {
        IpAddr::from([127, 0, 0, 1])
    }
    fn secure(&self) -> bool {
        false
    }
    fn version(&self) -> &'static str {
        "1.1"
    }
    fn body(&self) -> BodySize {
        BodySize::None
    }
}

/// Every bench of this subject.
pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("callers");
    for padding in [0, 400, 1200] {
        let token = token(padding);
        let length = token.len();
        group.bench_function(format!("digest of {length} bytes"), |bencher| {
            bencher.iter(|| digest_of(black_box(token.as_bytes())));
        });
        let verifier = verifier();
        let (head, bearer) = (
            Shown::new(&token),
            Bearer::new(header::AUTHORIZATION, "access_token", Dialect::Native),
        );
        let known = || {
            let text = bearer.find(black_box(&head)).ok()?;
            match verifier.verify(&text, clock::since_epoch()) {
                Step::Now(who) => who.ok(),
                Step::Wait(_) => None,
            }
        };
        assert!(known().is_some());
        group.bench_function(format!("known token of {length} bytes"), |bencher| {
            bencher.iter(known);
        });
    }
    let memory = Memory::new(Bounds {
        entries: 65_536,
        weight: 1 << 30,
    });
    let until = Duration::from_secs(10);
    let keys: Vec<_> = (0..50_000_u32)
        .map(|n| digest_of(&n.to_le_bytes()))
        .collect();
    for key in &keys {
        memory.put(*key, Arc::new(0_u64), until, 1);
    }
    let mut turn = keys.iter().cycle();
    group.bench_function("one of 50,000 remembered", |bencher| {
        bencher.iter(|| turn.next().and_then(|key| memory.get(key, Duration::ZERO)));
    });
    group.finish();
}
