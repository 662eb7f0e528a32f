//! Fields that tell backends who calls, made of claims (`propagate_claims`, reference/krakend-components
//! section 1.1).
//!
//! As in KrakenD a claim that is missing gives an empty value, which takes the place of what the client sent. Differs
//! from it: fields that frame a message or that the gateway says itself cannot be minted, and natively a claim with
//! a line end or another control character in it refuses the token instead of being changed on the way.

use std::collections::HashSet;

use http::header::{self, HeaderName, HeaderValue};

use super::claims::ClaimPath;
use crate::base::reply::{X_GATEWAY_REGION, X_GATEWAY_VERSION, X_REQUEST_ID};
use crate::base::{Dialect, Error, Reason};
use crate::body::{Object, Value};
use crate::gateway::headers::{
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_FORWARDED_VIA, hop_by_hop,
};
use crate::gateway::identity::{Minted, claim_text};

/// What stands for a claim that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absent {
    /// An empty value, as in KrakenD.
    Empty,
    /// Nothing; the client's own field is taken away all the same.
    Nothing,
}

/// One claim and its field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MintRule {
    /// Where the claim is.
    pub claim: ClaimPath,
    /// The field.
    pub name: HeaderName,
    /// What stands for it when it is missing.
    pub absent: Absent,
    /// Backends get the field although `input_headers` does not list it.
    pub unlisted: bool,
}

/// All fields that are made of one token's claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mint {
    rules: Box<[MintRule]>,
    /// A list becomes several values.
    keep_lists: bool,
    krakend: bool,
}

impl Mint {
    /// Of several rules for one field the last one counts.
    pub fn new(mut rules: Vec<MintRule>, keep_lists: bool, dialect: Dialect) -> Self {
        let mut seen = HashSet::new();
        rules.reverse();
        rules.retain(|rule| seen.insert(rule.name.clone()));
        rules.reverse();
        Self {
            rules: rules.into(),
            keep_lists,
            krakend: dialect == Dialect::Krakend,
        }
    }

    /// These rules and those of another mint, which count where both make the same field.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let rules = self.rules.iter().chain(&other.rules).cloned().collect();
        let dialect = match self.krakend {
            true => Dialect::Krakend,
            false => Dialect::Native,
        };
        Self::new(rules, self.keep_lists, dialect)
    }

    /// The fields that may be made.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.rules.iter().map(|rule| &rule.name)
    }

    /// The fields of these claims.
    ///
    /// # Errors
    /// [`Reason::TokenMalformed`] when a claim is no text that a field can hold (native).
    pub fn of(&self, claims: &Object) -> Result<Box<[Minted]>, Error> {
        let one = |rule: &MintRule| {
            Ok(Minted {
                name: rule.name.clone(),
                values: self.values(rule, claims)?,
                unlisted: rule.unlisted,
            })
        };
        self.rules.iter().map(one).collect()
    }

    fn values(&self, rule: &MintRule, claims: &Object) -> Result<Box<[HeaderValue]>, Error> {
        match (rule.claim.find(claims), rule.absent) {
            (Some(Value::Array(items)), _) if self.keep_lists => {
                items.iter().map(|item| self.value(item)).collect()
            }
            (Some(claim), _) => Ok(Box::from([self.value(claim)?])),
            (None, Absent::Empty) => Ok(Box::from([HeaderValue::from_static("")])),
            (None, Absent::Nothing) => Ok(Box::default()),
        }
    }

    fn value(&self, claim: &Value) -> Result<HeaderValue, Error> {
        let dialect = match self.krakend {
            true => Dialect::Krakend,
            false => Dialect::Native,
        };
        let mut text = claim_text(claim, dialect);
        if self.krakend {
            // Go's server puts spaces for line ends; for the others, which it refuses to send, so do we.
            let control = |c: char| c.is_ascii_control() && c != '\t';
            if text.contains(control) {
                text = text.replace(control, " ").into();
            }
        }
        HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            let told = "a claim that backends are told holds a control character";
            Error::new(Reason::TokenMalformed, told)
        })
    }
}

/// The name of a field that claims may be told in.
///
/// # Errors
/// Why it may not be.
pub fn field_name(text: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| "it is no name of a field")?;
    let framing = [header::HOST, header::CONTENT_LENGTH];
    if framing.contains(&name) || hop_by_hop(&name) {
        return Err("it frames the message or belongs to the connection");
    }
    let ours = [
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        X_FORWARDED_VIA,
        X_REQUEST_ID,
        X_GATEWAY_REGION,
        X_GATEWAY_VERSION,
        header::VIA,
        header::USER_AGENT,
        header::ACCEPT_ENCODING,
    ];
    if ours.contains(&name) {
        return Err("the gateway says something else in it");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json;

    fn rule(claim: &str, name: &str) -> MintRule {
        MintRule {
            claim: ClaimPath::dotted_unless_url(claim),
            name: field_name(name).unwrap(),
            absent: Absent::Empty,
            unlisted: false,
        }
    }

    const CLAIMS: &str = r#"{"s":"a b","n":5,"f":1.5,"almost":4.9999999,"zero":-0.0,"big":12345678901,"huge":9007199254740993,
        "ok":true,"nil":null,"list":["a",1,1.5,12345678901,true,null,["x",2]],"none":[],"a":{"b":[1,"x"]},
        "obj":{"k":1.0,"h":"<&>"},"http://x.y/z":"url","line":"a\r\nX-Admin: 1","nul":"a\u0000b","utf":"é"}"#;

    fn minted(claim: &str, keep_lists: bool, dialect: Dialect) -> Result<Vec<Vec<u8>>, Error> {
        let claims = json::decode(CLAIMS.as_bytes())
            .unwrap()
            .into_object()
            .unwrap();
        let mint = Mint::new(vec![rule(claim, "X-A")], keep_lists, dialect);
        let fields = mint.of(&claims)?;
        let values = fields[0].values.iter();
        Ok(values.map(|value| value.as_bytes().to_vec()).collect())
    }

    fn one(claim: &str, dialect: Dialect) -> String {
        let values = minted(claim, false, dialect).unwrap();
        assert_eq!(values.len(), 1, "{claim}");
        String::from_utf8(values[0].clone()).unwrap()
    }

    #[test]
    fn claims_are_told_as_text() {
        for (claim, text) in [
            ("s", "a b"),
            ("n", "5"),
            ("f", "1.500000"),
            ("almost", "5"),
            ("zero", "0"),
            ("big", "12345678901"),
            ("ok", "true"),
            ("nil", "null"),
            ("none", ""),
            ("a.b", "1,x"),
            ("missing", ""),
            ("a.b.c", ""),
            ("s.x", ""),
            ("http://x.y/z", "url"),
            ("utf", "é"),
        ] {
            for dialect in [Dialect::Krakend, Dialect::Native] {
                assert_eq!(one(claim, dialect), text, "{claim} {dialect:?}");
            }
        }
    }

    #[test]
    fn numbers_are_go_floats_in_krakends_dialect_and_exact_here() {
        assert_eq!(one("huge", Dialect::Krakend), "9007199254740992");
        assert_eq!(one("huge", Dialect::Native), "9007199254740993");
        let list = "a,1,1.5,1.2345678901e+10,true,<nil>,[x 2]";
        assert_eq!(one("list", Dialect::Krakend), list);
        let list = "a,1,1.5,12345678901,true,<nil>,[x 2]";
        assert_eq!(one("list", Dialect::Native), list);
        let object = r#"{"h":"\u003c\u0026\u003e","k":1}"#;
        assert_eq!(one("obj", Dialect::Krakend), object);
    }

    #[test]
    fn lists_may_stay_lists() {
        let values = |claim| minted(claim, true, Dialect::Krakend).unwrap();
        assert_eq!(values("a.b"), [b"1".to_vec(), b"x".to_vec()]);
        assert_eq!(values("none"), Vec::<Vec<u8>>::new());
        assert_eq!(values("missing"), [b"".to_vec()]);
        assert_eq!(values("s"), [b"a b".to_vec()]);
    }

    #[test]
    fn no_claim_ends_a_line() {
        for claim in ["line", "nul"] {
            let error = minted(claim, false, Dialect::Native).unwrap_err();
            assert_eq!(error.reason, Reason::TokenMalformed, "{claim}");
        }
        assert_eq!(one("line", Dialect::Krakend), "a  X-Admin: 1");
        assert_eq!(one("nul", Dialect::Krakend), "a b");
    }

    #[test]
    fn a_missing_claim_may_leave_nothing_behind() {
        let rule = MintRule {
            absent: Absent::Nothing,
            ..rule("missing", "X-A")
        };
        let mint = Mint::new(vec![rule], false, Dialect::Native);
        let fields = mint.of(&Object::new()).unwrap();
        assert!(fields[0].values.is_empty());
    }

    #[test]
    fn the_last_rule_of_a_field_counts() {
        let rules = vec![rule("s", "X-A"), rule("n", "X-B"), rule("n", "x-a")];
        let mint = Mint::new(rules, false, Dialect::Native);
        let names: Vec<_> = mint.names().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-b", "x-a"]);
        assert_eq!(mint.rules[1].claim, ClaimPath::flat("n"));
    }

    #[test]
    fn of_two_mints_the_later_one_counts() {
        let first = Mint::new(
            vec![rule("s", "X-A"), rule("s", "X-B")],
            true,
            Dialect::Native,
        );
        let both = first.and(&Mint::new(vec![rule("n", "X-A")], false, Dialect::Native));
        let rules = [rule("s", "X-B"), rule("n", "X-A")];
        assert_eq!(both, Mint::new(rules.into(), true, Dialect::Native));
    }

    #[test]
    fn framing_and_our_own_words_cannot_be_minted() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "Upgrade",
            "Trailer",
            "Keep-Alive",
            "Proxy-Connection",
            "Expect",
            "HTTP2-Settings",
            "X-Forwarded-For",
            "X-Request-ID",
            "Via",
            "X Y",
            "X:Y",
            "X\r\nY",
            "",
            "é",
        ] {
            assert!(field_name(name).is_err(), "{name:?}");
        }
        for name in ["X-User-ID", "Authorization", "x_user", "Cookie"] {
            assert!(field_name(name).is_ok(), "{name:?}");
        }
    }
}
