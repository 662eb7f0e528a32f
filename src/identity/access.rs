//! What somebody who proved who they are must be allowed besides: roles and scopes, looked up in what their token or
//! key says (reference/krakend-components section 1.1).
//!
//! Differs from KrakenD: an element of a list that is no text allows nothing; there it ends the request with 500.

use super::claims::ClaimPath;
use crate::base::{Error, Reason};
use crate::body::{Object, Value};

/// How many of the words are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// One of them.
    Any,
    /// Every one.
    All,
}

/// Words that a claim must have: elements of a list, or parts of a text between single spaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Demand {
    claim: ClaimPath,
    words: Box<[Box<str>]>,
    needed: Match,
}

impl Demand {
    /// A demand for words; `None` without any.
    pub fn new<S: AsRef<str>>(claim: ClaimPath, words: &[S], needed: Match) -> Option<Self> {
        let words: Box<[Box<str>]> = words.iter().map(|word| word.as_ref().into()).collect();
        (!words.is_empty()).then_some(Self {
            claim,
            words,
            needed,
        })
    }

    /// What is demanded, and whether the claims have it, as a sentence.
    fn told(&self, what: &str, claims: &Object) -> String {
        let of = match self.needed {
            Match::Any => "one of",
            Match::All => "all of",
        };
        let stands = if self.is_met(claims) {
            "the caller has that"
        } else {
            "the caller has not"
        };
        format!("{what}: {of} {} is needed; {stands}", self.words.join(", "))
    }

    /// Whether the claims have what is demanded.
    pub fn is_met(&self, claims: &Object) -> bool {
        let Some(value) = self.claim.find(claims) else {
            return false;
        };
        match self.needed {
            Match::Any => self.words.iter().any(|word| has(value, word)),
            Match::All => self.words.iter().all(|word| has(value, word)),
        }
    }
}

fn has(value: &Value, word: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(word)),
        Value::String(text) => text.split(' ').any(|part| part == word),
        _ => false,
    }
}

/// All that is demanded of a caller at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// Roles.
    pub roles: Option<Demand>,
    /// Scopes.
    pub scopes: Option<Demand>,
}

impl Access {
    /// Whether everybody is welcome who proved who they are.
    pub const fn is_open(&self) -> bool {
        self.roles.is_none() && self.scopes.is_none()
    }

    /// What is demanded and how that stands with these claims, a sentence each.
    pub fn told(&self, claims: &Object) -> Vec<String> {
        let all = [(&self.roles, "roles"), (&self.scopes, "scopes")];
        let told =
            |(demand, what): (&Option<Demand>, &str)| Some(demand.as_ref()?.told(what, claims));
        all.into_iter().filter_map(told).collect()
    }

    /// Whether somebody with these claims may come in.
    ///
    /// # Errors
    /// [`Reason::RolesMissing`] or [`Reason::ScopesMissing`].
    pub fn check(&self, claims: &Object) -> Result<(), Error> {
        let lacks = |demand: &Option<Demand>| demand.as_ref().is_some_and(|d| !d.is_met(claims));
        if lacks(&self.roles) {
            return Err(Reason::RolesMissing.into());
        }
        if lacks(&self.scopes) {
            return Err(Reason::ScopesMissing.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json;

    fn met(claims: &str, path: ClaimPath, words: &[&str], needed: Match) -> bool {
        let claims = json::decode(claims.as_bytes())
            .unwrap()
            .into_object()
            .unwrap();
        Demand::new(path, words, needed).unwrap().is_met(&claims)
    }

    #[test]
    fn one_role_of_a_list_or_a_text_is_enough() {
        let roles = || ClaimPath::flat("roles");
        for (claims, allowed) in [
            (r#"{"roles":["admin","dev"]}"#, true),
            (r#"{"roles":["dev"]}"#, false),
            (r#"{"roles":[]}"#, false),
            (r#"{"roles":"x admin"}"#, true),
            (r#"{"roles":"admin"}"#, true),
            (r#"{"roles":"admin,dev"}"#, false),
            (r#"{"roles":"x  root y"}"#, true),
            (r#"{"roles":"administrator"}"#, false),
            (r#"{"roles":"ADMIN"}"#, false),
            (r#"{"roles":""}"#, false),
            (r#"{"roles":{"admin":true}}"#, false),
            (r#"{}"#, false),
        ] {
            assert_eq!(
                met(claims, roles(), &["admin", "root"], Match::Any),
                allowed,
                "{claims}"
            );
        }
    }

    #[test]
    fn what_is_no_text_allows_nothing_and_breaks_nothing() {
        let roles = || ClaimPath::flat("roles");
        for (claims, allowed) in [
            (r#"{"roles":[5,null,{"a":1},["5"],true]}"#, false),
            (r#"{"roles":[5,"5"]}"#, true),
            (r#"{"roles":5}"#, false),
            (r#"{"roles":null}"#, false),
        ] {
            assert_eq!(
                met(claims, roles(), &["5"], Match::Any),
                allowed,
                "{claims}"
            );
        }
    }

    #[test]
    fn all_scopes_are_more_than_any() {
        let scope = || ClaimPath::dotted("token.scope");
        let claims = r#"{"token":{"scope":"read write"}}"#;
        assert!(met(claims, scope(), &["write", "none"], Match::Any));
        assert!(!met(claims, scope(), &["write", "none"], Match::All));
        assert!(met(claims, scope(), &["write", "read"], Match::All));
        let list = r#"{"token":{"scope":["read","write"]}}"#;
        assert!(met(list, scope(), &["write", "read"], Match::All));
    }

    #[test]
    fn roles_are_looked_at_before_scopes() {
        let demand = |name: &str| Demand::new(ClaimPath::flat(name), &["x"], Match::Any);
        let mut access = Access {
            roles: demand("roles"),
            scopes: demand("scope"),
        };
        let claims = Object::new();
        let reason = |access: &Access| access.check(&claims).unwrap_err().reason;
        assert_eq!(reason(&access), Reason::RolesMissing);
        access.roles = None;
        assert_eq!(reason(&access), Reason::ScopesMissing);
        access.scopes = None;
        assert!(access.is_open() && access.check(&claims).is_ok());
    }
}
