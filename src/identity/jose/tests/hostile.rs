//! Tokens that try to get by: other algorithms, other texts, other numbers.

use super::*;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PAYLOAD: &str = r#"{"sub":"joe"}"#;

fn good(algorithm: Algorithm) -> String {
    signer(algorithm)
        .sign_compact(&header("k"), PAYLOAD.as_bytes())
        .unwrap()
}

fn parts(token: &str) -> [String; 3] {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

fn taken(token: &str, key: &Key) -> bool {
    Token::parse(token.as_bytes()).is_ok_and(|token| token.verify(key))
}

fn refusal(token: &str) -> Malformed {
    Token::parse(token.as_bytes()).unwrap_err()
}

fn with_header(header: &str) -> String {
    mac(b"secret", header, PAYLOAD)
}

/// The RSA key as everybody can know it: DER and PEM of both kinds, the JWK's text, its modulus.
fn public_bytes() -> Vec<Vec<u8>> {
    let jwk = object(&format!("{{{RSA}}}"));
    let member = |name: &str| public::bytes(&jwk, name, Dialect::Native).unwrap();
    let (n, e) = (member("n"), member("e"));
    let components = PublicKeyComponents { n: n.clone(), e };
    let key = components
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .unwrap();
    let der: PublicKeyX509Der<'_> = key.as_der().unwrap();
    let der = der.as_ref().to_vec();
    let lines: Vec<String> = STANDARD
        .encode(&der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
        lines.join("\n")
    );
    vec![
        der[24..].to_vec(),
        der,
        pem.clone().into_bytes(),
        format!("{pem}\n").into_bytes(),
        format!("{{{RSA}}}").into_bytes(),
        n,
        Vec::new(),
    ]
}

#[test]
fn a_public_key_is_no_secret() {
    let key = key(Algorithm::Rs256);
    for secret in public_bytes() {
        let token = mac(&secret, r#"{"alg":"HS256","kid":"k"}"#, PAYLOAD);
        assert!(!taken(&token, &key));
    }
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let jwk = object(&format!("{{{}}}", private(algorithm)));
        let x = public::bytes(&jwk, "x", Dialect::Native).unwrap();
        let token = mac(&x, r#"{"alg":"HS256","kid":"k"}"#, PAYLOAD);
        assert!(!taken(&token, &self::key(algorithm)));
    }
}

#[test]
fn a_key_is_for_its_own_kind_only() {
    let token = Token::parse(good(Algorithm::Hs256).as_bytes()).unwrap();
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        assert!(key.is_for(algorithm));
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| !key.is_for(*other))
        {
            assert!(!verify(
                other,
                &key,
                token.signing_input(),
                token.signature()
            ));
        }
    }
    assert!(!key(Algorithm::Es256).is_for(Algorithm::Es384));
    assert!(!key(Algorithm::Rs256).is_for(Algorithm::Hs256));
}

#[test]
fn a_token_brings_no_key_of_its_own() {
    let mine = fresh("P-256");
    let signer = Signer::new(
        Algorithm::Es256,
        &object(&format!("{{{mine}}}")),
        Dialect::Native,
    )
    .unwrap();
    let mut header = header("k");
    header.insert("jwk", Value::Object(object(&format!("{{{mine}}}"))));
    header.insert("jku", Value::string("https://attacker.example/jwks"));
    let token = signer.sign_compact(&header, PAYLOAD.as_bytes()).unwrap();
    assert!(!taken(&token, &key(Algorithm::Es256)));
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let claims = encoding::encode(PAYLOAD.as_bytes());
    for alg in [
        r#""none""#,
        r#""None""#,
        r#""NONE""#,
        r#""nOnE""#,
        r#""none ""#,
        r#""""#,
        "null",
        "0",
        "[]",
        r#"["HS256"]"#,
        r#""hs256""#,
        r#""HS256\u0000""#,
    ] {
        let header = encoding::encode(format!(r#"{{"alg":{alg}}}"#).as_bytes());
        for signature in ["", "AA", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"] {
            let token = format!("{header}.{claims}.{signature}");
            assert_eq!(refusal(&token), Malformed::Algorithm, "{alg}");
        }
    }
    assert_eq!(
        refusal(&with_header(r#"{"typ":"JWT"}"#)),
        Malformed::Algorithm
    );
}

#[test]
fn a_token_has_three_parts_and_no_less_in_them() {
    let token = good(Algorithm::Hs256);
    let [head, payload, signature] = parts(&token);
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        payload.clone(),
        format!("{head}.{payload}"),
        format!("{head}.{signature}"),
        format!("{payload}.{signature}"),
        format!("{head}.{payload}."),
        format!(".{payload}.{signature}"),
        format!(".{payload}."),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{token}..{signature}"),
        format!("{head}..{payload}.{signature}"),
        "{".to_owned(),
        "{}".to_owned(),
    ] {
        assert!(Token::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    // Nothing is a payload; it is just not the one that was signed.
    assert!(!taken(
        &format!("{head}..{signature}"),
        &key(Algorithm::Hs256)
    ));
    assert_eq!(
        refusal(&format!("{head}.AA.{payload}.AA.{signature}")),
        Malformed::Encrypted
    );
}

#[test]
fn base64url_is_written_in_one_way() {
    let token = good(Algorithm::Hs256);
    let [head, payload, signature] = parts(&token);
    assert!(taken(&token, &key(Algorithm::Hs256)));
    let join = |head: &str, payload: &str, signature: &str| format!("{head}.{payload}.{signature}");
    let spoil: [fn(&str) -> String; 9] = [
        |part| format!("{part}="),
        |part| format!("{part}=="),
        |part| format!("{part} "),
        |part| format!("    {part}"),
        |part| format!("{part}\n"),
        |part| format!("?{part}"),
        |part| format!("{part}####"),
        |part| format!("{}%3D{}", &part[..4], &part[4..]),
        |part| part.replacen(|c: char| c.is_ascii_alphanumeric(), "+", 1),
    ];
    for spoil in spoil {
        for bad in [
            join(&spoil(&head), &payload, &signature),
            join(&head, &spoil(&payload), &signature),
            join(&head, &payload, &spoil(&signature)),
        ] {
            assert_eq!(refusal(&bad), Malformed::Encoding, "{bad}");
        }
    }
}

#[test]
fn spare_bits_are_zero() {
    // A MAC of 32 bytes leaves two spare bits in its last letter: three more letters would mean the same.
    let token = good(Algorithm::Hs256);
    let (start, last) = token.split_at(token.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    assert_eq!(at % 4, 0);
    for letter in &alphabet.as_bytes()[at + 1..at + 4] {
        let other = format!("{start}{}", char::from(*letter));
        assert_eq!(refusal(&other), Malformed::Encoding);
        let krakend = Token::parse_with(other.as_bytes(), &ParseOptions::new(Dialect::Krakend));
        assert!(krakend.unwrap().verify(&key(Algorithm::Hs256)));
    }
}

#[test]
fn the_krakend_dialect_takes_white_space_out_first() {
    let token = good(Algorithm::Hs256);
    let spaced = format!(" {}\r\n\t{} ", &token[..20], &token[20..]);
    let read = Token::parse_with(spaced.as_bytes(), &ParseOptions::new(Dialect::Krakend));
    assert!(read.unwrap().verify(&key(Algorithm::Hs256)));
    assert!(Token::parse(spaced.as_bytes()).is_err());
}

#[test]
fn cut_and_empty_signatures_are_none() {
    for algorithm in Algorithm::ALL {
        let (token, key) = (good(algorithm), key(algorithm));
        assert!(taken(&token, &key), "{algorithm}");
        let [head, payload, signature] = parts(&token);
        let bytes = encoding::decode(signature.as_bytes()).unwrap();
        let longer = [bytes.as_slice(), &[0]].concat();
        let before = [&[0], bytes.as_slice()].concat();
        let zeros = vec![0; bytes.len()];
        let ones = vec![0xff; bytes.len()];
        let half = &bytes[..bytes.len() / 2];
        for bad in [
            &bytes[..bytes.len() - 1],
            &bytes[..1],
            half,
            &bytes[1..],
            &longer,
            &before,
            &zeros,
            &ones,
            &[0],
            &[],
        ] {
            let token = format!("{head}.{payload}.{}", encoding::encode(bad));
            assert!(!taken(&token, &key), "{algorithm} {}", bad.len());
        }
    }
}

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn number(last: u8) -> [u8; 32] {
    let mut number = [0; 32];
    number[31] = last;
    number
}

#[test]
fn numbers_at_the_edge_are_no_ecdsa_signature() {
    let [head, payload, _] = parts(&good(Algorithm::Es256));
    let key = key(Algorithm::Es256);
    let mut below = ORDER;
    below[31] -= 1;
    let edges = [number(0), number(1), below, ORDER, [0xff; 32]];
    for r in edges {
        for s in edges {
            let signature = encoding::encode(&[r, s].concat());
            assert!(!taken(&format!("{head}.{payload}.{signature}"), &key));
        }
    }
}

/// The same number, `ORDER` added, in 33 bytes.
fn with_order(number: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut sum: Vec<u8> = number
        .iter()
        .zip(ORDER)
        .rev()
        .map(|(a, b)| {
            let total = u16::from(*a) + u16::from(b) + carry;
            carry = total >> 8;
            (total & 0xff) as u8
        })
        .collect();
    sum.push(carry as u8);
    sum.reverse();
    sum
}

fn der_integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap();
    let digits = &number[start..];
    let sign: &[u8] = if digits[0] > 0x7f { &[0] } else { &[] };
    [&[2, (digits.len() + sign.len()) as u8], sign, digits].concat()
}

#[test]
fn an_ecdsa_signature_is_two_numbers_of_the_curves_size() {
    let [head, payload, signature] = parts(&good(Algorithm::Es256));
    let key = key(Algorithm::Es256);
    let bytes = encoding::decode(signature.as_bytes()).unwrap();
    let (r, s) = bytes.split_at(32);
    let der = [der_integer(r), der_integer(s)].concat();
    let der = [&[0x30, der.len() as u8][..], &der].concat();
    let wide = |number: &[u8], zeros: usize| [&vec![0; zeros], number].concat();
    for bad in [
        der,
        [wide(r, 1), wide(s, 1)].concat(),
        [wide(r, 224), wide(s, 224)].concat(),
        [r, &[0], s, &[0]].concat(),
        [with_order(r), wide(s, 1)].concat(),
        [wide(r, 1), with_order(s)].concat(),
        [s, r].concat(),
        [r, r].concat(),
    ] {
        assert!(!taken(
            &format!("{head}.{payload}.{}", encoding::encode(&bad)),
            &key
        ));
    }
}

#[test]
fn headers_say_everything_once() {
    for bad in [
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","x":{"a":1,"a":2}}"#,
    ] {
        assert_eq!(refusal(&with_header(bad)), Malformed::Duplicate, "{bad}");
    }
    for bad in [
        "",
        "null",
        "[]",
        r#""HS256""#,
        r#"[{"alg":"HS256"}]"#,
        r#"{"alg":"HS256"}{"alg":"none"}"#,
        r#"{"alg":"HS256"} x"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","kid":["a"]}"#,
        r#"{"alg":"HS256","typ":{}}"#,
        r#"{"alg":"HS256","x5t":null}"#,
        r#"{"alg":"HS256","b64":"false"}"#,
        "{\"alg\":\"HS256\",}",
    ] {
        assert_eq!(refusal(&with_header(bad)), Malformed::Header, "{bad}");
    }
    let broken = format!(
        "{}.e30.AA",
        encoding::encode(b"{\"alg\":\"HS256\",\"kid\":\"\xff\"}")
    );
    assert_eq!(refusal(&broken), Malformed::Header);
    assert!(Token::parse(with_header("\t{ \"alg\" :\r\n\"HS256\" } ").as_bytes()).is_ok());
}

#[test]
fn what_must_be_understood_is_understood() {
    for bad in [
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":["alg"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":"b64","b64":true}"#,
        r#"{"alg":"HS256","crit":["b64"]}"#,
        r#"{"alg":"HS256","crit":["b64","b64"],"b64":true}"#,
        r#"{"alg":"HS256","crit":["b64","x"],"b64":true,"x":1}"#,
        r#"{"alg":"HS256","crit":[null]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","crit":["http://example.invalid/UNDEFINED"],"http://example.invalid/UNDEFINED":true}"#,
    ] {
        assert_eq!(refusal(&with_header(bad)), Malformed::Critical, "{bad}");
    }
    assert!(
        Token::parse(with_header(r#"{"alg":"HS256","crit":["b64"],"b64":true}"#).as_bytes())
            .is_ok()
    );
    for bad in [
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","b64":false}"#,
    ] {
        assert_eq!(refusal(&with_header(bad)), Malformed::Unencoded, "{bad}");
    }
}

#[test]
fn claims_say_everything_once() {
    let claims = |payload: &str| {
        let token = mac(b"s", r#"{"alg":"HS256"}"#, payload);
        Token::parse(token.as_bytes()).unwrap().claims().map(drop)
    };
    for bad in [r#"{"sub":"a","sub":"b"}"#, r#"{"a":[{"x":1,"\u0078":2}]}"#] {
        assert_eq!(claims(bad), Err(Malformed::Duplicate), "{bad}");
    }
    for bad in [
        "",
        "foo",
        "null",
        "1",
        r#""a""#,
        "[]",
        r#"[{"sub":"a"}]"#,
        r#"{"sub":"a"}}"#,
        "{\"sub\":\"a\"}\0",
    ] {
        assert_eq!(claims(bad), Err(Malformed::Claims), "{bad}");
    }
    let deep = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    assert_eq!(claims(&deep), Err(Malformed::Claims));
    assert_eq!(claims("{}"), Ok(()));
}

#[test]
fn json_serializations_say_everything_once() {
    let [head, payload, signature] = parts(&good(Algorithm::Hs256));
    let flat = |rest: &str| {
        format!(r#"{{"payload":"{payload}","protected":"{head}","signature":"{signature}"{rest}}}"#)
    };
    assert!(taken(&flat(""), &key(Algorithm::Hs256)));
    assert!(taken(
        &flat(r#","unknown":{"a":[1]}"#),
        &key(Algorithm::Hs256)
    ));
    for (rest, why) in [
        (r#","payload":"AA""#, Malformed::Duplicate),
        (r#","header":{"alg":"none"}"#, Malformed::Duplicate),
        (r#","header":{"kid":"k"}"#, Malformed::Duplicate),
        (r#","header":{"crit":["x"],"x":1}"#, Malformed::Critical),
        (r#","header":{"b64":false}"#, Malformed::Critical),
        (r#","header":[]"#, Malformed::Header),
        (r#","signatures":[]"#, Malformed::Form),
        (r#","signatures":[{"signature":"AA"}]"#, Malformed::Form),
        (r#","ciphertext":"AA""#, Malformed::Encrypted),
        ("}", Malformed::Form),
    ] {
        assert_eq!(refusal(&flat(rest)), why, "{rest}");
    }
    for bad in [
        format!(r#"{{"payload":"{payload}","protected":"{head}"}}"#),
        format!(r#"{{"protected":"{head}","signature":"{signature}"}}"#),
        format!(r#"{{"payload":1,"protected":"{head}","signature":"{signature}"}}"#),
        format!(
            r#"{{"payload":"{payload}","signatures":{{"protected":"{head}","signature":"{signature}"}}}}"#
        ),
        format!(
            r#"{{"payload":"{payload}","signatures":[{{"protected":"{head}","signature":"{signature}"}}"#
        ),
    ] {
        assert_eq!(refusal(&bad), Malformed::Form, "{bad}");
    }
}

#[test]
fn size_has_a_bound_before_anything_is_read() {
    let options = ParseOptions {
        max_size: 100,
        dialect: Dialect::Native,
    };
    assert_eq!(
        Token::parse_with(&[b'{'; 101], &options).unwrap_err(),
        Malformed::TooLarge
    );
    let long = mac(
        b"s",
        r#"{"alg":"HS256"}"#,
        &format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_TOKEN)),
    );
    assert_eq!(refusal(&long), Malformed::TooLarge);
    let dots = ".".repeat(MAX_TOKEN);
    assert!(Token::parse(dots.as_bytes()).is_err());
    let brackets = format!(r#"{{"payload":{}"#, "[".repeat(MAX_TOKEN - 20));
    assert_eq!(refusal(&brackets), Malformed::Form);
}

#[test]
fn what_is_printed_is_no_credential() {
    let token = good(Algorithm::Hs256);
    let shown = format!(
        "{:?} {:?} {:?}",
        Token::parse(token.as_bytes()).unwrap(),
        key(Algorithm::Hs256),
        signer(Algorithm::Hs256)
    );
    for secret in [&token[..20], "AyM1", "joe", &token[token.len() - 20..]] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
