//! Sets of keys: what is passed over and why, and what a token's key is found by.

use super::*;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn why(key: &str, dialect: Dialect) -> Option<&'static str> {
    Key::from_jwk(&object(&format!("{{{key}}}")), dialect).err()
}

/// A modulus of a length with a member for it.
fn rsa(modulus: &[u8], exponent: &str) -> String {
    format!(
        r#""kty":"RSA","n":"{}","e":"{exponent}""#,
        encoding::encode(modulus)
    )
}

fn modulus(bits: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(9);
    let mut bytes: Vec<u8> = (0..bits / 8).map(|_| random.u8(..)).collect();
    bytes[0] |= 0x80;
    bytes[bits / 8 - 1] |= 1;
    bytes
}

/// 65537 often enough multiplied with itself to have 2048 bits and more.
fn roca() -> Vec<u8> {
    let mut number = vec![1_u8];
    while number.len() <= 256 {
        let mut carry = 0_u32;
        let shifted = [number.as_slice(), &[0, 0]].concat();
        let mut sum: Vec<u8> = (0..shifted.len())
            .rev()
            .map(|at| {
                let low = at.checked_sub(2).map_or(0, |at| u32::from(number[at]));
                let total = u32::from(shifted[at]) + low + carry;
                carry = total >> 8;
                (total & 0xff) as u8
            })
            .collect();
        sum.extend((carry > 0).then_some(carry as u8));
        sum.reverse();
        number = sum;
    }
    number
}

#[test]
fn one_bad_key_spoils_nothing() {
    let set = set(&[
        r#""kty":"AKP","alg":"ML-DSA-44","pub":"AA""#,
        &format!(r#"{RSA},"kid":"a""#),
        r#""kty":"EC","crv":"secp256k1","x":"AA","y":"AA""#,
        r#""kid":"nothing""#,
        &format!(r#"{ED25519},"kid":"b""#),
        r#""kty":"OKP","crv":"X25519","x":"AA""#,
        r#""kty":"oct","k":"!""#,
    ]);
    let kids: Vec<&str> = set.keys().iter().map(|key| key.kid()).collect();
    assert_eq!(kids, ["a", "b"]);
    let skipped: Vec<String> = set.skipped().iter().map(Skipped::to_string).collect();
    assert_eq!(
        skipped,
        [
            "key 0: kty",
            "key 2: crv",
            "key 3: kty",
            "key 5: crv",
            "key 6: encoding"
        ]
    );
}

#[test]
fn a_set_without_a_usable_key_is_none() {
    let parse = |text: &str| KeySet::parse(text.as_bytes(), Dialect::Native).map(drop);
    assert_eq!(parse(r#"{"keys":[]}"#), Err(SetError::Empty(Vec::new())));
    let error = parse(r#"{"keys":[{"kty":"x"},1]}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the key set has no usable key (key 0: kty, key 1: form)"
    );
    assert_eq!(parse("<html>"), Err(SetError::Syntax));
    for form in ["[]", "{}", r#"{"keys":{}}"#, r#"{"error":"x"}"#, "null"] {
        assert_eq!(parse(form), Err(SetError::Form), "{form}");
    }
    let many = format!(r#"{{"keys":[{}0]}}"#, "0,".repeat(MAX_KEYS));
    assert_eq!(parse(&many), Err(SetError::TooMany));
    assert_eq!(parse(&" ".repeat(MAX_SET + 1)), Err(SetError::TooLarge));
}

#[test]
fn a_single_key_is_a_set_of_one() {
    let set = KeySet::parse(format!("{{{OCT}}}").as_bytes(), Dialect::Native).unwrap();
    assert_eq!(set.keys().len(), 1);
}

#[test]
fn the_native_dialect_asks_for_strong_keys() {
    let natively = |key: &str| why(key, Dialect::Native);
    assert_eq!(natively(&rsa(&modulus(2040), "AQAB")), Some("size"));
    assert_eq!(natively(&rsa(&modulus(1024), "AQAB")), Some("size"));
    assert_eq!(natively(&rsa(&modulus(8200), "AQAB")), Some("size"));
    assert_eq!(natively(&rsa(&modulus(2048), "AQAB")), None);
    assert_eq!(
        natively(&rsa(
            &[&[0, 0], modulus(2048).as_slice()].concat(),
            "AAEAAQ"
        )),
        None
    );
    for exponent in ["AQ", "Ag", "AQAA", "", "AA", "AQAAAAAAAQ"] {
        assert_eq!(
            natively(&rsa(&modulus(2048), exponent)),
            Some("exponent"),
            "{exponent}"
        );
    }
    let mut even = modulus(2048);
    even[255] &= 0xfe;
    assert_eq!(natively(&rsa(&even, "AQAB")), Some("exponent"));
    assert_eq!(natively(&rsa(&roca(), "AQAB")), Some("roca"));
    assert_eq!(why(&rsa(&roca(), "AQAB"), Dialect::Krakend), None);
    assert_eq!(natively(r#""kty":"oct","k":"""#), Some("size"));
}

#[test]
fn secrets_are_as_long_as_the_digest_natively() {
    let oct = |length: usize, rest: &str| {
        let secret = encoding::encode(&vec![7; length]);
        format!(r#""kty":"oct","k":"{secret}"{rest}"#)
    };
    for (length, count) in [
        (31, 0),
        (32, 1),
        (47, 1),
        (48, 2),
        (63, 2),
        (64, 3),
        (200, 3),
    ] {
        let key = Key::from_jwk(
            &object(&format!("{{{}}}", oct(length, ""))),
            Dialect::Native,
        );
        assert_eq!(
            key.map_or(0, |key| key.algorithms().count()),
            count,
            "{length}"
        );
    }
    assert_eq!(
        why(&oct(47, r#","alg":"HS384""#), Dialect::Native),
        Some("size")
    );
    let krakend = Key::from_jwk(&object(&format!("{{{}}}", oct(1, ""))), Dialect::Krakend).unwrap();
    assert_eq!(krakend.algorithms().count(), 3);
}

#[test]
fn short_rsa_keys_serve_the_krakend_dialect() {
    let key = Key::from_jwk(
        &object(&format!("{{{}}}", rsa(&modulus(1024), "Aw"))),
        Dialect::Krakend,
    )
    .unwrap();
    let algorithms: Vec<Algorithm> = key.algorithms().collect();
    assert_eq!(algorithms, [Algorithm::Rs256, Algorithm::Rs512]);
}

#[test]
fn what_a_key_says_about_its_use_holds_natively() {
    for (rest, reason) in [
        (r#""use":"enc""#, "use"),
        (r#""use":1"#, "use"),
        (r#""key_ops":["encrypt"]"#, "key_ops"),
        (r#""key_ops":["sign"]"#, "key_ops"),
        (r#""key_ops":"verify""#, "key_ops"),
        (r#""alg":"RSA-OAEP""#, "alg"),
        (r#""alg":"RSA1_5","use":"sig""#, "alg"),
        (r#""alg":"ES256""#, "alg"),
        (r#""alg":"HS256""#, "alg"),
        (r#""alg":["RS256"]"#, "alg"),
        (r#""kid":7"#, "kid"),
    ] {
        assert_eq!(
            why(&format!("{RSA},{rest}"), Dialect::Native),
            Some(reason),
            "{rest}"
        );
        let krakend = (reason == "kid").then_some("kid");
        assert_eq!(
            why(&format!("{RSA},{rest}"), Dialect::Krakend),
            krakend,
            "{rest}"
        );
    }
    let good = format!(r#"{RSA},"use":"sig","key_ops":["verify","sign"],"alg":"PS384""#);
    let key = Key::from_jwk(&object(&format!("{{{good}}}")), Dialect::Native).unwrap();
    assert_eq!(key.algorithms().collect::<Vec<_>>(), [Algorithm::Ps384]);
    let misspelt = format!(r#"{P521},"alg":"ES521""#);
    let key = Key::from_jwk(&object(&format!("{{{misspelt}}}")), Dialect::Native).unwrap();
    assert!(key.is_for(Algorithm::Es512));
    for alg in ["ES521", "ES224", "ES384"] {
        let key = format!(r#"{},"alg":"{alg}""#, private(Algorithm::Es256));
        assert_eq!(why(&key, Dialect::Native), Some("alg"), "{alg}");
    }
}

#[test]
fn points_are_on_their_curve() {
    let jwk = object(&format!("{{{}}}", private(Algorithm::Es256)));
    let mut y = public::bytes(&jwk, "y", Dialect::Native).unwrap();
    y[31] ^= 1;
    let mut off = jwk.clone();
    off.insert("y", Value::string(&encoding::encode(&y)));
    let mut other = jwk.clone();
    other.insert("crv", Value::string("P-384"));
    let mut kind = jwk.clone();
    kind.insert("kty", Value::string("RSA"));
    let mut short = jwk.clone();
    short.insert("y", Value::string(&encoding::encode(&y[1..])));
    for (key, reason) in [
        (off, "point"),
        (other, "coordinates"),
        (kind, "member"),
        (short, "coordinates"),
    ] {
        for dialect in [Dialect::Native, Dialect::Krakend] {
            assert_eq!(Key::from_jwk(&key, dialect).err(), Some(reason));
        }
    }
}

fn token(header: &str) -> Token {
    Token::parse(mac(b"s", header, "{}").as_bytes()).unwrap()
}

#[test]
fn keys_that_stay_are_the_same_objects() {
    let (a, b, c) = (
        format!(r#"{OCT},"kid":"a""#),
        format!(r#"{ED25519},"kid":"b""#),
        format!(r#"{RSA},"kid":"c""#),
    );
    let before = set(&[&a, &b]);
    // Another order of keys and of members, and a key that is called otherwise.
    let turned = r#""kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kty":"OKP","crv":"Ed25519""#;
    let text = text_of(&[&c, turned, &a.replace(r#""a""#, r#""A""#)]);
    let after = KeySet::following(text.as_bytes(), Dialect::Native, &before).unwrap();
    let same =
        |old: usize, new: usize| std::sync::Arc::ptr_eq(&before.keys()[old], &after.keys()[new]);
    assert!(same(1, 1));
    assert!(!same(0, 2));
    assert_eq!(after.keys().len(), 3);
}

#[test]
fn of_equal_names_the_last_one_counts() {
    let other = encoding::encode(&[1; 64]);
    let keys = [
        format!(r#"{OCT},"kid":"a""#),
        format!(r#""kty":"oct","k":"{other}","kid":"a""#),
        format!(r#"{ED25519},"kid":"a""#),
    ];
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let set = set(&keys);
    let found = set
        .find(&token(r#"{"alg":"HS256","kid":"a"}"#), KeyIds::Kid)
        .unwrap();
    assert!(std::sync::Arc::ptr_eq(found, &set.keys()[1]));
    let found = set
        .find(&token(r#"{"alg":"ES256","kid":"a"}"#), KeyIds::Kid)
        .unwrap();
    assert!(!found.is_for(Algorithm::Es256));
}

#[test]
fn names_follow_the_strategy() {
    let (sha1, sha256) = (encoding::encode(&[1; 20]), encoding::encode(&[2; 32]));
    let set = set(&[&format!(
        r#"{ED25519},"kid":"a","x5t":"{sha1}","x5t#S256":"{sha256}""#
    )]);
    let found = |header: &str, ids| set.find(&token(header), ids).is_some();
    for (rest, strategies) in [
        (r#""kid":"a""#.to_owned(), &[KeyIds::Kid][..]),
        (format!(r#""x5t":"{sha1}""#), &[KeyIds::X5t]),
        (format!(r#""x5t#S256":"{sha256}""#), &[KeyIds::X5tS256]),
        (
            format!(r#""kid":"a","x5t":"{sha1}""#),
            &[KeyIds::Kid, KeyIds::X5t, KeyIds::KidX5t],
        ),
        (format!(r#""kid":"{sha1}""#), &[KeyIds::X5t]),
        (format!(r#""kid":"{sha256}""#), &[KeyIds::X5tS256]),
        (format!(r#""kid":"a{sha1}""#), &[KeyIds::KidX5t]),
        (r#""kid":"A""#.to_owned(), &[]),
        (r#""kid":"""#.to_owned(), &[]),
    ] {
        for ids in KeyIds::ALL {
            let header = format!(r#"{{"alg":"EdDSA",{rest}}}"#);
            assert_eq!(
                found(&header, ids),
                strategies.contains(&ids),
                "{header} {ids:?}"
            );
        }
    }
    for (word, ids) in [
        ("kid", KeyIds::Kid),
        ("x5t", KeyIds::X5t),
        ("x5t#S256", KeyIds::X5tS256),
        ("kid_x5t", KeyIds::KidX5t),
    ] {
        assert_eq!(KeyIds::of(word), Some(ids));
    }
    assert_eq!(KeyIds::of("KID"), None);
}

#[test]
fn a_key_without_a_name_serves_tokens_without_one() {
    let set = set(&[ED25519]);
    assert!(
        set.find(&token(r#"{"alg":"EdDSA"}"#), KeyIds::Kid)
            .is_some()
    );
    assert!(
        set.find(&token(r#"{"alg":"EdDSA","kid":"x"}"#), KeyIds::Kid)
            .is_none()
    );
}

/// A certificate with the members of its key.
fn certified() -> (Vec<u8>, String) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let (x, y) = pair.public_key_raw()[1..].split_at(32);
    let (x, y) = (encoding::encode(x), encoding::encode(y));
    (
        certificate.der().to_vec(),
        format!(r#""kty":"EC","crv":"P-256","x":"{x}","y":"{y}""#),
    )
}

#[test]
fn thumbprints_come_from_the_certificate_or_agree_with_it() {
    let (der, key) = certified();
    let x5c = format!(r#""x5c":["{}"]"#, STANDARD.encode(&der));
    let sum = |algorithm| digest(algorithm, &der).as_ref().to_vec();
    let (sha1, sha256) = (sum(&SHA1_FOR_LEGACY_USE_ONLY), sum(&SHA256));
    let hex: String = sha1.iter().map(|byte| format!("{byte:02X}")).collect();
    for stated in [
        String::new(),
        format!(r#","x5t":"{}""#, encoding::encode(&sha1)),
        format!(r#","x5t":"{}""#, encoding::encode(hex.as_bytes())),
        format!(r#","x5t#S256":"{}""#, encoding::encode(&sha256)),
    ] {
        let jwk = object(&format!("{{{key},{x5c}{stated}}}"));
        let read = Key::from_jwk(&jwk, Dialect::Native).unwrap();
        assert_eq!(read.id(KeyIds::X5t), encoding::encode(&sha1).as_str());
        assert_eq!(read.id(KeyIds::X5tS256), encoding::encode(&sha256).as_str());
    }
    let other = encoding::encode(&[9; 20]);
    for (rest, reason) in [
        (format!(r#"{x5c},"x5t":"{other}""#), "x5t"),
        (r#""x5t":"AAAA""#.to_owned(), "x5t"),
        (r#""x5t":1"#.to_owned(), "x5t"),
        (r#""x5t":"!""#.to_owned(), "x5t"),
        (r#""x5c":["!"]"#.to_owned(), "x5c"),
        (r#""x5c":["AAAA"]"#.to_owned(), "x5c"),
        (r#""x5c":"AAAA""#.to_owned(), "x5c"),
        (r#""x5c":[1]"#.to_owned(), "x5c"),
    ] {
        assert_eq!(
            why(&format!("{key},{rest}"), Dialect::Native),
            Some(reason),
            "{rest}"
        );
    }
    assert_eq!(
        why(&format!("{ED25519},{x5c}"), Dialect::Native),
        Some("x5c")
    );
    assert_eq!(
        why(&format!("{},{x5c}", fresh("P-256")), Dialect::Native),
        Some("x5c")
    );
}

#[test]
fn a_signer_is_a_private_key_for_its_algorithm() {
    let of = |algorithm, key: &str| {
        Signer::new(algorithm, &object(&format!("{{{key}}}")), Dialect::Native).map(drop)
    };
    let fails = |algorithm, why| Err(SignError::Key(algorithm, why));
    assert_eq!(of(Algorithm::Rs256, RSA), fails(Algorithm::Rs256, "member"));
    assert_eq!(
        of(Algorithm::Es512, P521),
        fails(Algorithm::Es512, "member")
    );
    assert_eq!(
        of(Algorithm::Es256, &private(Algorithm::Es512)),
        fails(Algorithm::Es256, "kty")
    );
    assert_eq!(
        of(Algorithm::Hs256, &private(Algorithm::Rs256)),
        fails(Algorithm::Hs256, "kty")
    );
    assert_eq!(of(Algorithm::Rs256, OCT), fails(Algorithm::Rs256, "kty"));
    assert_eq!(
        of(Algorithm::Hs512, r#""kty":"oct","k":"AAAA""#),
        fails(Algorithm::Hs512, "size")
    );
    let rs256 = private(Algorithm::Rs256);
    assert_eq!(
        of(Algorithm::Rs256, &format!(r#"{rs256},"alg":"RS384""#)),
        fails(Algorithm::Rs256, "alg")
    );
    assert_eq!(
        of(Algorithm::Rs256, &format!(r#"{rs256},"use":"enc""#)),
        fails(Algorithm::Rs256, "use")
    );
    assert_eq!(
        of(
            Algorithm::Rs256,
            &format!(r#"{rs256},"key_ops":["verify"]"#)
        ),
        fails(Algorithm::Rs256, "key_ops")
    );
    assert_eq!(
        of(Algorithm::Rs256, &format!(r#"{rs256},"oth":[]"#)),
        fails(Algorithm::Rs256, "oth")
    );
    let swapped = rs256
        .replace(r#""p":"#, r#""P":"#)
        .replace(r#""q":"#, r#""p":"#)
        .replace(r#""P":"#, r#""q":"#);
    assert_eq!(
        of(Algorithm::Rs256, &swapped),
        fails(Algorithm::Rs256, "components")
    );
    let strange = format!(
        "{P521},{}",
        r#""d":"AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJu""#
    );
    assert_eq!(
        of(Algorithm::Es512, &strange),
        fails(Algorithm::Es512, "components")
    );
}

#[test]
fn a_signer_is_found_by_its_name() {
    let text = text_of(&[
        &format!(r#"{OCT},"kid":"a""#),
        &format!(r#"{ED25519},"kid":"b""#),
    ]);
    let of = |algorithm, kid| {
        Signer::from_set(algorithm, text.as_bytes(), kid, Dialect::Krakend).map(|s| s.algorithm())
    };
    assert_eq!(of(Algorithm::EdDsa, "b"), Ok(Algorithm::EdDsa));
    assert_eq!(of(Algorithm::Hs384, "a"), Ok(Algorithm::Hs384));
    assert_eq!(
        of(Algorithm::EdDsa, "a"),
        Err(SignError::Key(Algorithm::EdDsa, "kty"))
    );
    assert_eq!(
        of(Algorithm::EdDsa, "c"),
        Err(SignError::NoKey("c".to_owned()))
    );
    let broken = Signer::from_set(Algorithm::EdDsa, b"x", "a", Dialect::Native).map(drop);
    assert_eq!(broken, Err(SignError::Set(SetError::Syntax)));
}
