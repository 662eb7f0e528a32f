//! Tokens against keys as a whole: the examples of the RFCs, hostile tokens, and what must hold for any.

mod hostile;
mod keys;
mod padding;
mod properties;
mod rfc;

use super::*;
use crate::base::Dialect;
use crate::body::{Object, Value, json};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
};
use std::sync::LazyLock;

/// The RSA key of RFC 7520 section 3.4, without its name.
pub(super) const RSA: &str = r#""kty":"RSA","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB""#;
/// Its private half.
pub(super) const RSA_PRIVATE: &str = r#""d":"bWUC9B-EFRIo8kpGfh0ZuyGPvMNKvYWNtB_ikiH9k20eT-O1q_I78eiZkpXxXQ0UTEs2LsNRS-8uJbvQ-A1irkwMSMkK1J3XTGgdrhCku9gRldY7sNA_AKZGh-Q661_42rINLRCe8W-nZ34ui_qOfkLnK9QWDDqpaIsA-bMwWWSDFu2MUBYwkHTMEzLYGqOe04noqeq1hExBTHBOBdkMXiuFhUq1BU6l-DqEiWxqg82sXt2h-LMnT3046AOYJoRioz75tSUQfGCshWTBnP5uDjd18kKhyv07lhfSJdrPdM5Plyl21hsFf4L_mHCuoFau7gdsPfHPxxjVOcOpBrQzwQ","p":"3Slxg_DwTXJcb6095RoXygQCAZ5RnAvZlno1yhHtnUex_fp7AZ_9nRaO7HX_-SFfGQeutao2TDjDAWU4Vupk8rw9JR0AzZ0N2fvuIAmr_WCsmGpeNqQnev1T7IyEsnh8UMt-n5CafhkikzhEsrmndH6LxOrvRJlsPp6Zv8bUq0k","q":"uKE2dh-cTf6ERF4k4e_jy78GfPYUIaUyoSSJuBzp3Cubk3OCqs6grT8bR_cu0Dm1MZwWmtdqDyI95HrUeq3MP15vMMON8lHTeZu2lmKvwqW7anV5UzhM1iZ7z4yMkuUwFWoBvyY898EXvRD-hdqRxHlSqAZ192zB3pVFJ0s7pFc","dp":"B8PVvXkvJrj2L-GYQ7v3y9r6Kw5g9SahXBwsWUzp19TVlgI-YV85q1NIb1rxQtD-IsXXR3-TanevuRPRt5OBOdiMGQp8pbt26gljYfKU_E9xn-RULHz0-ed9E9gXLKD4VGngpz-PfQ_q29pk5xWHoJp009Qf1HvChixRX59ehik","dq":"CLDmDGduhylc9o7r84rEUVn7pzQ6PF83Y-iBZx5NT-TpnOZKF1pErAMVeKzFEl41DlHHqqBLSM0W1sOFbwTxYWZDm6sI6og5iTbwQGIC3gnJKbi_7k_vJgGHwHxgPaX2PnvP-zyEkDERuf-ry4c_Z11Cq9AqC2yeL6kdKT1cYF8","qi":"3PiqvXQN0zwMeE-sBvZgi289XP9XCQF3VWqPzMKnIgQp7_Tugo6-NZBKCQsMf3HaEGBjTVJs_jcK8-TRXvaKe-7ZMaQj8VfBdYkssbu0NKDDhjJ-GtiseaDVWt7dcH0cfwxgFUHpQh7FoCrjFJ6h6ZEpMF6xmujs4qMpPz8aaI4""#;
/// The P-521 key of RFC 7520 section 3.2, without its name.
pub(super) const P521: &str = r#""kty":"EC","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1""#;
/// Its private half.
pub(super) const P521_PRIVATE: &str = r#""d":"AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJt""#;
/// The key of RFC 8037 appendix A.1.
pub(super) const ED25519: &str = r#""kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
/// A secret that is long enough for every digest.
pub(super) const OCT: &str = r#""kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow""#;

pub(super) fn object(text: &str) -> Object {
    json::decode(text.as_bytes())
        .unwrap()
        .into_object()
        .unwrap()
}

/// A set of keys that is read natively.
pub(super) fn set(keys: &[&str]) -> KeySet {
    KeySet::parse(text_of(keys).as_bytes(), Dialect::Native).unwrap()
}

pub(super) fn text_of(keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("{{{key}}}")).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// A key that is made when the tests run.
fn fresh(curve: &str) -> String {
    let algorithm = match curve {
        "P-256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
        _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
    };
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    let (x, y) = point.split_at(point.len() / 2);
    let secret = pair.private_key().as_be_bytes().unwrap();
    format!(
        r#""kty":"EC","crv":"{curve}","x":"{}","y":"{}","d":"{}""#,
        encoding::encode(x),
        encoding::encode(y),
        encoding::encode(secret.as_ref())
    )
}

/// A private key for each algorithm, without braces.
pub(super) fn private(algorithm: Algorithm) -> String {
    static P256: LazyLock<String> = LazyLock::new(|| fresh("P-256"));
    static P384: LazyLock<String> = LazyLock::new(|| fresh("P-384"));
    match algorithm {
        Algorithm::Es256 => P256.clone(),
        Algorithm::Es384 => P384.clone(),
        Algorithm::Es512 => format!("{P521},{P521_PRIVATE}"),
        Algorithm::EdDsa => ED25519.to_owned(),
        algorithm if algorithm.is_symmetric() => OCT.to_owned(),
        _ => format!("{RSA},{RSA_PRIVATE}"),
    }
}

pub(super) fn signer(algorithm: Algorithm) -> Signer {
    let jwk = object(&format!("{{{}}}", private(algorithm)));
    Signer::new(algorithm, &jwk, Dialect::Native).unwrap()
}

/// The key that checks what [`signer`] makes.
pub(super) fn key(algorithm: Algorithm) -> Key {
    let jwk = object(&format!("{{{}}}", private(algorithm)));
    Key::from_jwk(&jwk, Dialect::Native).unwrap()
}

/// A header with a name of the key.
pub(super) fn header(kid: &str) -> Object {
    Object::with("kid", Value::string(kid))
}

/// A token of texts, with a signature that fits as far as the secret is concerned.
pub(super) fn mac(secret: &[u8], header: &str, payload: &str) -> String {
    let input = format!(
        "{}.{}",
        encoding::encode(header.as_bytes()),
        encoding::encode(payload.as_bytes())
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
    format!("{input}.{}", encoding::encode(tag.as_ref()))
}
