//! What a token costs: reading it, finding its key, checking the signature, reading the claims; and all of that in
//! one go, which is what a token costs that was not seen before.

use criterion::Criterion;
use hanzo_gateway::base::Dialect;
use hanzo_gateway::body::{Object, Value, json};
use hanzo_gateway::identity::jose::{Algorithm, KeyIds, KeySet, Signer, Token, numeric_date};
use hanzo_gateway::identity::jwks::{Lookup, Source};
use std::hint::black_box;

/// The key of RFC 7520 section 3.4.
const RSA: &str = r#""kty":"RSA","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB","d":"bWUC9B-EFRIo8kpGfh0ZuyGPvMNKvYWNtB_ikiH9k20eT-O1q_I78eiZkpXxXQ0UTEs2LsNRS-8uJbvQ-A1irkwMSMkK1J3XTGgdrhCku9gRldY7sNA_AKZGh-Q661_42rINLRCe8W-nZ34ui_qOfkLnK9QWDDqpaIsA-bMwWWSDFu2MUBYwkHTMEzLYGqOe04noqeq1hExBTHBOBdkMXiuFhUq1BU6l-DqEiWxqg82sXt2h-LMnT3046AOYJoRioz75tSUQfGCshWTBnP5uDjd18kKhyv07lhfSJdrPdM5Plyl21hsFf4L_mHCuoFau7gdsPfHPxxjVOcOpBrQzwQ","p":"3Slxg_DwTXJcb6095RoXygQCAZ5RnAvZlno1yhHtnUex_fp7AZ_9nRaO7HX_-SFfGQeutao2TDjDAWU4Vupk8rw9JR0AzZ0N2fvuIAmr_WCsmGpeNqQnev1T7IyEsnh8UMt-n5CafhkikzhEsrmndH6LxOrvRJlsPp6Zv8bUq0k","q":"uKE2dh-cTf6ERF4k4e_jy78GfPYUIaUyoSSJuBzp3Cubk3OCqs6grT8bR_cu0Dm1MZwWmtdqDyI95HrUeq3MP15vMMON8lHTeZu2lmKvwqW7anV5UzhM1iZ7z4yMkuUwFWoBvyY898EXvRD-hdqRxHlSqAZ192zB3pVFJ0s7pFc","dp":"B8PVvXkvJrj2L-GYQ7v3y9r6Kw5g9SahXBwsWUzp19TVlgI-YV85q1NIb1rxQtD-IsXXR3-TanevuRPRt5OBOdiMGQp8pbt26gljYfKU_E9xn-RULHz0-ed9E9gXLKD4VGngpz-PfQ_q29pk5xWHoJp009Qf1HvChixRX59ehik","dq":"CLDmDGduhylc9o7r84rEUVn7pzQ6PF83Y-iBZx5NT-TpnOZKF1pErAMVeKzFEl41DlHHqqBLSM0W1sOFbwTxYWZDm6sI6og5iTbwQGIC3gnJKbi_7k_vJgGHwHxgPaX2PnvP-zyEkDERuf-ry4c_Z11Cq9AqC2yeL6kdKT1cYF8","qi":"3PiqvXQN0zwMeE-sBvZgi289XP9XCQF3VWqPzMKnIgQp7_Tugo6-NZBKCQsMf3HaEGBjTVJs_jcK8-TRXvaKe-7ZMaQj8VfBdYkssbu0NKDDhjJ-GtiseaDVWt7dcH0cfwxgFUHpQh7FoCrjFJ6h6ZEpMF6xmujs4qMpPz8aaI4""#;
/// The key of RFC 7515 appendix A.3.
const P256: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI""#;
/// The key of RFC 8037 appendix A.1.
const ED25519: &str = r#""kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
/// The key of RFC 7515 appendix A.1.
const OCT: &str = r#""kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow""#;

/// Claims as an identity service writes them.
const CLAIMS: &[u8] = br#"{"aud":["https://api.hanzo.ai","https://api.lux.network"],"exp":4102444800,"iat":1700000000,"iss":"https://iam.hanzo.ai","jti":"0123456789abcdef0123456789abcdef","nbf":1700000000,"org":"hanzo","scope":"openid profile api kms:read","sub":"somebody","tier":"developer"}"#;

const CASES: [(Algorithm, &str); 4] = [
    (Algorithm::Rs256, RSA),
    (Algorithm::Es256, P256),
    (Algorithm::EdDsa, ED25519),
    (Algorithm::Hs256, OCT),
];

fn jwk(key: &str, name: &str) -> String {
    format!(r#"{{{key},"kid":"{name}"}}"#)
}

fn object(text: &str) -> Object {
    json::decode(text.as_bytes())
        .unwrap()
        .into_object()
        .unwrap()
}

/// A token, and a source with its key among others.
fn pair(algorithm: Algorithm, key: &str) -> (String, Source) {
    let jwk = jwk(key, "this-one");
    let signer = Signer::new(algorithm, &object(&jwk), Dialect::Native).unwrap();
    let mut header = Object::with("kid", Value::string("this-one"));
    header.insert("typ", Value::string("JWT"));
    let token = signer.sign_compact(&header, CLAIMS).unwrap();
    let others = (0..8).map(|at| self::jwk(OCT, &format!("other-{at}")));
    let keys: Vec<String> = others.chain([jwk]).collect();
    let set = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let set = KeySet::parse(set.as_bytes(), Dialect::Native).unwrap();
    (token, Source::fixed(set))
}

/// Everything about a token that was never seen before.
fn fresh(text: &str, source: &Source) -> Option<i64> {
    let token = Token::parse(text.as_bytes()).ok()?;
    let Lookup::Found(key) = source.find(&token, KeyIds::Kid) else {
        return None;
    };
    let claims = token.verify(&key).then(|| token.claims().ok()).flatten()?;
    numeric_date(&claims, "exp").ok()?
}

/// Every bench of this subject.
pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tokens");
    for (algorithm, key) in CASES {
        let (text, source) = pair(algorithm, key);
        let token = Token::parse(text.as_bytes()).unwrap();
        let Lookup::Found(key) = source.find(&token, KeyIds::Kid) else {
            continue;
        };
        assert!(fresh(&text, &source).is_some());
        group.bench_function(format!("verify {algorithm}"), |bencher| {
            bencher.iter(|| black_box(&token).verify(&key));
        });
        group.bench_function(format!("fresh {algorithm}"), |bencher| {
            bencher.iter(|| fresh(black_box(&text), &source));
        });
    }
    let (text, source) = pair(Algorithm::Rs256, RSA);
    let token = Token::parse(text.as_bytes()).unwrap();
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Token::parse(black_box(text.as_bytes())));
    });
    group.bench_function("claims", |bencher| {
        bencher.iter(|| black_box(&token).claims())
    });
    group.bench_function("find the key", |bencher| {
        bencher.iter(|| source.find(black_box(&token), KeyIds::Kid));
    });
    group.finish();
}
