//! The examples of RFC 7515 appendix A, RFC 7520 section 4 and RFC 8037 appendix A.

use super::*;

/// Header and payload of most of RFC 7515's examples, behind a header of their own.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// The payload of RFC 7520.
const FRODO: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
const BILBO: &str = r#""kid":"bilbo.baggins@hobbiton.example","use":"sig""#;
const SECRET: &str = r#""kty":"oct","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037","use":"sig","alg":"HS256","k":"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg""#;

/// Whether a token is signed with a key of a set that is found by its name.
fn holds(token: &str, keys: &[&str], dialect: Dialect) -> bool {
    let token = Token::parse_with(token.as_bytes(), &ParseOptions::new(dialect)).unwrap();
    let set = KeySet::parse(text_of(keys).as_bytes(), dialect).unwrap();
    set.find(&token, KeyIds::Kid)
        .is_some_and(|key| token.verify(key))
}

#[test]
fn rfc7515_a1_hs256() {
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    assert!(holds(&token, &[OCT], Dialect::Native));
    let token = Token::parse(token.as_bytes()).unwrap();
    assert_eq!(
        (token.algorithm(), token.typ(), token.kid()),
        (Algorithm::Hs256, Some("JWT"), None)
    );
    let claims = token.claims().unwrap();
    assert_eq!(claims.get("iss").and_then(Value::as_str), Some("joe"));
    assert_eq!(numeric_date(&claims, "exp"), Ok(Some(1_300_819_380)));
    assert!(matches!(
        claims.get("http://example.com/is_root"),
        Some(Value::Bool(true))
    ));
}

#[test]
fn rfc7515_a2_rs256() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let key = format!(r#""kty":"RSA","n":"{n}","e":"AQAB""#);
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    assert!(holds(
        &format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{signature}"),
        &[&key],
        Dialect::Native
    ));
}

const P256: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
const JOE_ES256: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

#[test]
fn rfc7515_a3_es256() {
    let token = format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{JOE_ES256}");
    assert!(holds(&token, &[P256], Dialect::Native));
}

#[test]
fn rfc7515_a4_es512() {
    let key = r#""kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2""#;
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    assert!(holds(token, &[key], Dialect::Native));
    let token = Token::parse(token.as_bytes()).unwrap();
    assert_eq!(token.payload(), b"Payload");
    assert_eq!(token.claims().unwrap_err(), Malformed::Claims);
}

#[test]
fn rfc7515_a5_a_token_without_signature_is_none() {
    let token = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    for dialect in [Dialect::Native, Dialect::Krakend] {
        let read = Token::parse_with(token.as_bytes(), &ParseOptions::new(dialect));
        assert_eq!(read.unwrap_err(), Malformed::Algorithm);
    }
}

#[test]
fn rfc7515_a6_of_several_signatures_none_counts() {
    let one = format!(
        r#"{{"protected":"eyJhbGciOiJFUzI1NiJ9","header":{{"kid":"e9bc097a"}},"signature":"{JOE_ES256}"}}"#
    );
    let whole = |signatures: &[&str]| {
        format!(
            r#"{{"payload":"{JOE}","signatures":[{}]}}"#,
            signatures.join(",")
        )
    };
    let key = format!(r#"{P256},"kid":"e9bc097a""#);
    assert!(holds(&whole(&[&one]), &[&key], Dialect::Krakend));
    for signatures in [&[][..], &[one.as_str(), &one]] {
        let read = Token::parse(whole(signatures).as_bytes());
        assert_eq!(read.unwrap_err(), Malformed::Form);
    }
}

const BILBO_RS256: (&str, &str) = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
    "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
);

#[test]
fn rfc7520_4_1_rs256_in_all_serializations() {
    let ((protected, signature), key) = (BILBO_RS256, format!("{RSA},{BILBO}"));
    for token in [
        format!("{protected}.{FRODO}.{signature}"),
        format!(r#"{{"payload":"{FRODO}","protected":"{protected}","signature":"{signature}"}}"#),
        format!(
            r#"{{"payload":"{FRODO}","signatures":[{{"protected":"{protected}","signature":"{signature}"}}]}}"#
        ),
    ] {
        assert!(holds(&token, &[&key], Dialect::Native), "{token}");
        assert!(holds(&token, &[&key], Dialect::Krakend), "{token}");
    }
}

#[test]
fn rfc7520_4_1_and_4_4_can_be_made_again() {
    let payload = encoding::decode(FRODO.as_bytes()).unwrap();
    let (protected, signature) = BILBO_RS256;
    let made =
        signer(Algorithm::Rs256).sign_compact(&header("bilbo.baggins@hobbiton.example"), &payload);
    assert_eq!(made.unwrap(), format!("{protected}.{FRODO}.{signature}"));
    let signer = Signer::new(
        Algorithm::Hs256,
        &object(&format!("{{{SECRET}}}")),
        Dialect::Native,
    );
    let made = signer
        .unwrap()
        .sign_json(&header("018c0ae5-4d9b-471b-bfd6-eef314bc7037"), &payload);
    let protected =
        "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9";
    assert_eq!(
        made.unwrap(),
        format!(
            r#"{{"payload":"{FRODO}","protected":"{protected}","signature":"s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"}}"#
        )
    );
}

#[test]
fn rfc7520_4_2_ps384() {
    let protected = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
    let signature = "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
    let token = format!("{protected}.{FRODO}.{signature}");
    assert!(holds(&token, &[&format!("{RSA},{BILBO}")], Dialect::Native));
}

#[test]
fn rfc7520_4_3_es512() {
    let protected = "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
    let signature = "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2";
    let token = format!("{protected}.{FRODO}.{signature}");
    assert!(holds(
        &token,
        &[&format!("{P521},{BILBO}")],
        Dialect::Native
    ));
    // One name, two kinds of key: the token's algorithm decides, wherever they stand.
    let (rsa, ec) = (format!("{RSA},{BILBO}"), format!("{P521},{BILBO}"));
    let (protected, signature) = BILBO_RS256;
    let other = format!("{protected}.{FRODO}.{signature}");
    for keys in [[rsa.as_str(), &ec], [ec.as_str(), &rsa]] {
        assert!(holds(&token, &keys, Dialect::Native) && holds(&other, &keys, Dialect::Native));
    }
}

#[test]
fn rfc7520_4_5_detached_content_is_refused() {
    let token = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9..s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";
    assert!(!holds(token, &[SECRET], Dialect::Native));
}

#[test]
fn rfc7520_4_6_and_4_7_unprotected_members_count_in_the_krakend_dialect_only() {
    let kid = "018c0ae5-4d9b-471b-bfd6-eef314bc7037";
    let some = format!(
        r#"{{"payload":"{FRODO}","protected":"eyJhbGciOiJIUzI1NiJ9","header":{{"kid":"{kid}"}},"signature":"bWUSVaxorn7bEF1djytBd0kHv70Ly5pvbomzMWSOr20"}}"#
    );
    let all = format!(
        r#"{{"payload":"{FRODO}","signatures":[{{"header":{{"alg":"HS256","kid":"{kid}"}},"signature":"xuLifqLGiblpv9zBpuZczWhNj1gARaLV3UxvxhJxZuk"}}]}}"#
    );
    assert!(holds(&some, &[SECRET], Dialect::Krakend));
    assert!(holds(&all, &[SECRET], Dialect::Krakend));
    assert!(!holds(&some, &[SECRET], Dialect::Native));
    assert_eq!(Token::parse(some.as_bytes()).unwrap().kid(), None);
    assert_eq!(
        Token::parse(all.as_bytes()).unwrap_err(),
        Malformed::Algorithm
    );
}

#[test]
fn rfc8037_a4_and_a5_eddsa() {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(holds(token, &[ED25519], Dialect::Native));
    let made = signer(Algorithm::EdDsa).sign_compact(&Object::new(), b"Example of Ed25519 signing");
    assert_eq!(made.unwrap(), token);
}
