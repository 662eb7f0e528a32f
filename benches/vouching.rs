//! What it costs to know who is calling when that is remembered: an API key, and a signed token by its whole way through
//! the chain. Goals: 2 µs and 3 µs.

use criterion::Criterion;
use hanzo_gateway::base::{Dialect, Reason};
use hanzo_gateway::body::{Object, Value};
use hanzo_gateway::gateway::head::BodySize;
use hanzo_gateway::gateway::identity::{Identity, Proof};
use hanzo_gateway::gateway::plain::Plain;
use hanzo_gateway::gateway::stage::Step;
use hanzo_gateway::identity::answers::Verdict;
use hanzo_gateway::identity::chain::{Chain, Methods, TokenDoor};
use hanzo_gateway::identity::collapse::Asking;
use hanzo_gateway::identity::jose::{Algorithm, KeyIds, KeySet, Signer};
use hanzo_gateway::identity::jwks::Source;
use hanzo_gateway::identity::vouching::{Patience, Said, Secret, Silence, Voucher, Vouching};
use hanzo_gateway::identity::{
    Access, Bearer, Digest, Mint, Naming, Rules, SourceKeys, Verifier, VerifierOptions,
};
use hanzo_gateway::net::Deadline;
use http::{Method, header};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECRET: &str = r#"{"kty":"oct","kid":"k","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
const CLAIMS: &[u8] = br#"{"aud":"https://api.hanzo.ai","exp":4102444800,"iss":"https://iam.hanzo.ai","org":"hanzo","scope":"openid profile api kms:read","sub":"somebody","tier":"developer"}"#;

/// Vouches for everybody.
struct Everybody;

impl Voucher for Everybody {
    fn proof(&self) -> Proof {
        Proof::ApiKey
    }

    fn unavailable(&self) -> Reason {
        Reason::KeyServiceUnavailable
    }

    fn ask(self: Arc<Self>, _: Secret, _: Digest, _: Deadline) -> Asking<Result<Said, Silence>> {
        Box::pin(std::future::ready(Ok(Said {
            verdict: Verdict::Good(Arc::new(Identity::default())),
            expires: None,
        })))
    }
}

fn settled(step: Step<'_, Arc<Identity>>) -> bool {
    matches!(step, Step::Now(Ok(_)))
}

fn keys(criterion: &mut Criterion) {
    let patience = Patience {
        good: Duration::from_secs(86_400),
        bad: Duration::from_secs(10),
        stale: Duration::from_secs(3600),
        timeout: Duration::from_secs(2),
    };
    let service = Vouching::new(Everybody, patience, Arc::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let all: Vec<_> = (0..10_000).map(|n| format!("sk-hanzo-{n:032x}")).collect();
    for key in &all {
        runtime
            .block_on(service.whose(key, FROM).outcome())
            .unwrap();
    }
    let mut next = all.iter().cycle();
    criterion.bench_function("vouching/remembered key, one of 10,000", |bencher| {
        bencher.iter(|| {
            let key = next.next().map_or("", String::as_str);
            assert!(settled(service.whose(black_box(key), FROM)));
        });
    });
}

fn request(token: &str) -> Plain {
    let fields = [
        ("Host", "api.hanzo.ai"),
        ("User-Agent", "somebody/1.0"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "gzip"),
        ("Content-Type", "application/json"),
        ("Authorization", token),
        ("X-Request-ID", "req_0123456789abcdef"),
        ("Connection", "keep-alive"),
    ];
    Plain {
        method: Method::GET,
        path: b"/v1/models".to_vec(),
        query: None,
        host: b"api.hanzo.ai".to_vec(),
        fields: fields
            .map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()))
            .into(),
        peer: FROM,
        secure: false,
        version: "1.1",
        body: BodySize::None,
    }
}

fn tokens(criterion: &mut Criterion) {
    let jwk = hanzo_gateway::body::json::decode(SECRET.as_bytes()).unwrap();
    let signer = Signer::new(
        Algorithm::Hs256,
        &jwk.into_object().unwrap(),
        Dialect::Native,
    );
    let header = Object::with("kid", Value::string("k"));
    let token = signer.unwrap().sign_compact(&header, CLAIMS).unwrap();
    let set = KeySet::parse(SECRET.as_bytes(), Dialect::Native).unwrap();
    let verifier = Verifier::new(VerifierOptions {
        rules: Rules::new(Algorithm::Hs256, Dialect::Native),
        keys: Arc::new(SourceKeys::new(Arc::new(Source::fixed(set)), KeyIds::Kid)),
        naming: Naming::default(),
        mint: Mint::default(),
    });
    let bearer = Bearer::new(header::AUTHORIZATION, "access_token", Dialect::Native);
    let chain = Chain {
        jwt: Some(TokenDoor {
            bearer: bearer.clone(),
            verifier: Arc::new(verifier),
            access: Access::default(),
        }),
        keys: None,
        opaque: None,
        bearer,
    };
    let head = request(&format!("Bearer {token}"));
    let now = Duration::from_secs(1_700_000_000);
    criterion.bench_function("vouching/remembered token, by the chain", |bencher| {
        bencher.iter(|| {
            let (_, step) = chain.who(black_box(&head), FROM, Methods::ALL, now);
            assert!(settled(step));
        });
    });
}

/// Every bench of this subject.
pub(crate) fn all(criterion: &mut Criterion) {
    keys(criterion);
    tokens(criterion);
}
