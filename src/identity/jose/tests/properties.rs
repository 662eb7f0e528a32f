//! What must hold for any text and any token.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// Signers and keys, made once.
static PAIRS: LazyLock<HashMap<Algorithm, (Signer, Key)>> = LazyLock::new(|| {
    let pair = |algorithm| (algorithm, (signer(algorithm), key(algorithm)));
    Algorithm::ALL.into_iter().map(pair).collect()
});

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..256)) {
        for dialect in [Dialect::Native, Dialect::Krakend] {
            if let Ok(token) = Token::parse_with(&text, &ParseOptions::new(dialect)) {
                let _ = token.claims();
            }
            let _ = KeySet::parse(&text, dialect);
        }
    }

    #[test]
    fn no_text_that_looks_like_a_token_panics(
        header in r#"\{("(alg|kid|crit|b64|typ|x5t)":("HS256"|"none"|\[\]|\["b64"\]|true|1|null),?){0,4}\}"#,
        payload in r#"(\{"a":[0-9e.+-]{0,8}\}|[a-z"{}\[\],:]{0,20})"#,
        tail in r"[A-Za-z0-9_=.-]{0,40}",
    ) {
        let text = format!("{}.{}.{tail}", encoding::encode(header.as_bytes()), encoding::encode(payload.as_bytes()));
        for dialect in [Dialect::Native, Dialect::Krakend] {
            if let Ok(token) = Token::parse_with(text.as_bytes(), &ParseOptions::new(dialect)) {
                let _ = token.claims();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_signed_is_verified_in_both_forms_and_by_no_other_key(
        algorithm in any_algorithm(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        kid in "[a-zA-Z0-9\"\\\\é<]{0,12}",
    ) {
        let (signer, key) = &PAIRS[&algorithm];
        let compact = signer.sign_compact(&header(&kid), &payload).unwrap();
        let json = signer.sign_json(&header(&kid), &payload).unwrap();
        for text in [compact, json] {
            for dialect in [Dialect::Native, Dialect::Krakend] {
                let token = Token::parse_with(text.as_bytes(), &ParseOptions::new(dialect)).unwrap();
                prop_assert_eq!(token.algorithm(), algorithm);
                prop_assert_eq!(token.kid(), Some(kid.as_str()));
                prop_assert_eq!(token.payload(), payload.as_slice());
                prop_assert!(token.verify(key));
                for (other, (_, key)) in PAIRS.iter().filter(|(other, _)| **other != algorithm) {
                    prop_assert!(!key.verify(*other, token.signing_input(), token.signature()), "{other}");
                }
            }
        }
    }

    #[test]
    fn a_compact_text_that_is_read_natively_has_no_other_spelling_and_no_other_reading(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 0..4),
    ) {
        let (signer, _) = &PAIRS[&Algorithm::Hs256];
        let mut text = signer.sign_compact(&header("k"), br#"{"sub":"joe"}"#).unwrap().into_bytes();
        for (at, byte, kind) in edits {
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        prop_assume!(text.first() != Some(&b'{'));
        if let Ok(token) = Token::parse(&text) {
            let input = String::from_utf8(token.signing_input().to_vec()).unwrap();
            let again = format!("{input}.{}", encoding::encode(token.signature()));
            prop_assert_eq!(again.as_bytes(), text.as_slice());
            let payload = encoding::encode(token.payload());
            prop_assert_eq!(input.split_once('.').map(|parts| parts.1), Some(payload.as_str()));
            let krakend = Token::parse_with(&text, &ParseOptions::new(Dialect::Krakend)).unwrap();
            prop_assert_eq!(krakend.signing_input(), token.signing_input());
            prop_assert_eq!(krakend.payload(), token.payload());
            prop_assert_eq!(krakend.header(), token.header());
        }
    }

    #[test]
    fn no_token_with_a_flipped_bit_is_verified(
        algorithm in any_algorithm(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (signer, key) = &PAIRS[&algorithm];
        let token = signer.sign_compact(&header("k"), br#"{"sub":"joe","exp":1300819380}"#).unwrap();
        let mut bytes = token.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let taken = Token::parse(&bytes).is_ok_and(|token| token.verify(key));
        prop_assert!(!taken, "bit {bit} of byte {at} with {algorithm}");
    }
}
