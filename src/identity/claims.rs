//! Where a claim is: by its name, or along a dotted path through nested objects (reference/krakend-components
//! section 1.1).

use crate::body::{Object, Value};

/// The place of a claim, cut into steps once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    above: Box<[Box<str>]>,
    last: Box<str>,
}

impl ClaimPath {
    /// A claim of the first level, whatever its name looks like.
    pub fn flat(name: &str) -> Self {
        Self {
            above: Box::default(),
            last: name.into(),
        }
    }

    /// Each dot leads one object further in.
    pub fn dotted(path: &str) -> Self {
        match path.rsplit_once('.') {
            None => Self::flat(path),
            Some((above, last)) => Self {
                above: above.split('.').map(Into::into).collect(),
                last: last.into(),
            },
        }
    }

    /// As [`ClaimPath::dotted`], but names that begin with `http` are flat: issuers use addresses as names of their
    /// own claims, and those have dots.
    pub fn dotted_unless_url(path: &str) -> Self {
        if path.starts_with("http") {
            Self::flat(path)
        } else {
            Self::dotted(path)
        }
    }

    /// The claim, if it is there.
    pub fn find<'c>(&self, claims: &'c Object) -> Option<&'c Value> {
        let mut object = claims;
        for step in &self.above {
            object = object.get(step)?.as_object()?;
        }
        object.get(&self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::json;

    fn find(path: &ClaimPath) -> Option<String> {
        let claims =
            r#"{"a":{"b":{"c":"deep"},"n":1},"a.b":"dotted","https://x.y/z":"url","http.x":"web"}"#;
        let claims = json::decode(claims.as_bytes())
            .unwrap()
            .into_object()
            .unwrap();
        path.find(&claims)
            .map(|value| String::from_utf8(json::to_vec(value)).unwrap())
    }

    #[test]
    fn a_flat_name_may_have_dots() {
        assert_eq!(find(&ClaimPath::flat("a.b")).as_deref(), Some("\"dotted\""));
        assert_eq!(find(&ClaimPath::flat("a.n")), None);
    }

    #[test]
    fn dots_lead_into_objects_and_nowhere_else() {
        assert_eq!(
            find(&ClaimPath::dotted("a.b.c")).as_deref(),
            Some("\"deep\"")
        );
        for path in ["a.b.c.d", "a.n.x", "x.y", "a.", ".a", "", "https://x.y/z"] {
            assert_eq!(find(&ClaimPath::dotted(path)), None, "{path:?}");
        }
    }

    #[test]
    fn addresses_are_names() {
        let found = find(&ClaimPath::dotted_unless_url("https://x.y/z"));
        assert_eq!(found.as_deref(), Some("\"url\""));
        let found = find(&ClaimPath::dotted_unless_url("http.x"));
        assert_eq!(found.as_deref(), Some("\"web\""));
        let found = find(&ClaimPath::dotted_unless_url("a.n"));
        assert_eq!(found.as_deref(), Some("1"));
    }
}
