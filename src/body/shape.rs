//! What one backend's data looks like before it is merged: `target`, then `allow` or `deny`, then
//! `mapping`, then `group`. Paths are split when the configuration is compiled.
//!
//! As in KrakenD the filters enter objects only, never arrays or records, and `allow` wins over `deny`.
//! KrakenD applies `mapping` in random order; here the order is the one given to [`Shape::compile`].

use super::Data;
use super::value::{Object, Value};

/// The compiled shape of a backend's data.
#[derive(Default)]
pub struct Shape {
    target: Vec<Box<str>>,
    filter: Filter,
    mapping: Vec<(Box<str>, Box<str>)>,
    group: Option<Box<str>>,
}

#[derive(Default)]
enum Filter {
    #[default]
    Nothing,
    Allow(Tree),
    Deny(Tree),
}

/// Listed names, sorted; `None` ends a path, `Some` goes on below.
#[derive(Default)]
struct Tree(Vec<(Box<str>, Option<Tree>)>);

impl Shape {
    /// Compiles the five settings of a backend; empty ones do nothing. `mapping` gives pairs of old and
    /// new name, of which only the part of the new name before its first dot counts.
    pub fn compile(
        target: &str,
        allow: &[String],
        deny: &[String],
        mapping: &[(String, String)],
        group: &str,
    ) -> Self {
        let filter = if !allow.is_empty() {
            Filter::Allow(Tree::of(allow, Precedence::Later))
        } else if !deny.is_empty() {
            Filter::Deny(Tree::of(deny, Precedence::Shorter))
        } else {
            Filter::Nothing
        };
        Self {
            target: if target.is_empty() {
                Vec::new()
            } else {
                target.split('.').map(Into::into).collect()
            },
            filter,
            mapping: mapping
                .iter()
                .map(|(from, to)| {
                    (
                        from.as_str().into(),
                        to.split('.').next().unwrap_or_default().into(),
                    )
                })
                .collect(),
            group: (!group.is_empty()).then(|| group.into()),
        }
    }

    /// Whether [`Shape::apply`] changes nothing.
    pub fn is_identity(&self) -> bool {
        self.target.is_empty()
            && matches!(self.filter, Filter::Nothing)
            && self.mapping.is_empty()
            && self.group.is_none()
    }

    /// The shaped data. Filters and mapping leave empty or absent data alone, the group does not.
    pub fn apply(&self, data: Data) -> Data {
        let mut data = self.narrow(data);
        if let Some(object) = data.as_mut().filter(|object| !object.is_empty()) {
            match &self.filter {
                Filter::Nothing => {}
                Filter::Allow(tree) => tree.keep(object),
                Filter::Deny(tree) => tree.strike(object),
            }
            self.rename(object);
        }
        self.enclose(data)
    }

    /// Only `target` and `group`, for backends whose flatmap replaces the filters: `change` runs between.
    pub fn apply_around(&self, data: Data, change: impl FnOnce(Data) -> Data) -> Data {
        self.enclose(change(self.narrow(data)))
    }

    fn narrow(&self, data: Data) -> Data {
        if self.target.is_empty() {
            return data;
        }
        let mut object = data.unwrap_or_default();
        for step in &self.target {
            match object.remove(step) {
                Some(Value::Object(inner)) => object = inner,
                _ => return Some(Object::new()),
            }
        }
        Some(object)
    }

    /// KrakenD sets the new name first and deletes the old one then, so a name mapped to itself goes.
    fn rename(&self, object: &mut Object) {
        for (from, to) in &self.mapping {
            if let Some(value) = object.remove(from)
                && from != to
            {
                object.insert(to, value);
            }
        }
    }

    fn enclose(&self, data: Data) -> Data {
        let Some(group) = &self.group else {
            return data;
        };
        Some(Object::with(group, data.map_or(Value::Null, Value::Object)))
    }
}

/// Which of two paths counts when one is the beginning of the other.
#[derive(Clone, Copy, PartialEq)]
enum Precedence {
    Later,
    Shorter,
}

impl Tree {
    fn of(paths: &[String], precedence: Precedence) -> Self {
        let mut tree = Self::default();
        for path in paths {
            tree.add(path, precedence);
        }
        tree
    }

    fn add(&mut self, path: &str, precedence: Precedence) {
        let mut tree = self;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            let at = match tree.0.binary_search_by(|entry| entry.0.as_ref().cmp(step)) {
                Ok(at)
                    if tree.0.get(at).is_some_and(|entry| entry.1.is_none())
                        && precedence == Precedence::Shorter =>
                {
                    return;
                }
                Ok(at) => at,
                Err(at) => {
                    tree.0.insert(at, (step.into(), Some(Self::default())));
                    at
                }
            };
            let Some((_, below)) = tree.0.get_mut(at) else {
                return;
            };
            if steps.peek().is_none() {
                *below = None;
                return;
            }
            tree = below.get_or_insert_default();
        }
    }

    fn get(&self, name: &str) -> Option<&Option<Tree>> {
        let at = self
            .0
            .binary_search_by(|entry| entry.0.as_ref().cmp(name))
            .ok()?;
        self.0.get(at).map(|entry| &entry.1)
    }

    /// Keeps what is listed; what is left empty on the way to a listed name goes as well.
    fn keep(&self, object: &mut Object) {
        object.retain(|name, value| match (self.get(name), value) {
            (None, _) => false,
            (Some(None), _) => true,
            (Some(Some(below)), Value::Object(inner)) => {
                below.keep(inner);
                !inner.is_empty()
            }
            (Some(Some(_)), _) => false,
        });
    }

    /// Removes what is listed; what is left empty stays.
    fn strike(&self, object: &mut Object) {
        for (name, below) in &self.0 {
            match below {
                None => drop(object.remove(name)),
                Some(below) => {
                    if let Some(Value::Object(inner)) = object.get_mut(name) {
                        below.strike(inner);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::Decoder;
    use super::super::json;
    use super::*;

    fn shape(json_text: &str, shape: &Shape) -> String {
        let data = Decoder::Json
            .decode(json_text.as_bytes(), json_text.starts_with('['))
            .unwrap();
        let value = shape.apply(data).map_or(Value::Null, Value::Object);
        String::from_utf8(json::to_vec(&value)).unwrap()
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    fn allow(list: &[&str]) -> Shape {
        Shape::compile("", &strings(list), &[], &[], "")
    }

    fn deny(list: &[&str]) -> Shape {
        Shape::compile("", &[], &strings(list), &[], "")
    }

    const DATA: &str = r#"{"a":{"b":1,"c":2},"d":3}"#;

    #[test]
    fn allows_listed_paths_only() {
        assert_eq!(shape(DATA, &allow(&["a.b"])), r#"{"a":{"b":1}}"#);
        assert_eq!(shape(DATA, &allow(&["a.b", "a"])), r#"{"a":{"b":1,"c":2}}"#);
        assert_eq!(shape(DATA, &allow(&["a", "a.b"])), r#"{"a":{"b":1}}"#);
        assert_eq!(shape(DATA, &allow(&["a.x"])), "{}");
        assert_eq!(shape(r#"{"a":[{"b":1}]}"#, &allow(&["a.b"])), "{}");
        assert_eq!(shape(r#"{"a":{}}"#, &allow(&["a.b"])), "{}");
        assert_eq!(shape(r#"{"a":{}}"#, &allow(&["a"])), r#"{"a":{}}"#);
    }

    #[test]
    fn denies_listed_paths_and_keeps_empty_objects() {
        assert_eq!(shape(r#"{"a":{"b":1}}"#, &deny(&["a.b"])), r#"{"a":{}}"#);
        assert_eq!(
            shape(r#"{"a":[{"b":1}]}"#, &deny(&["a.b"])),
            r#"{"a":[{"b":1}]}"#
        );
        assert_eq!(shape(DATA, &deny(&["a", "a.b"])), r#"{"d":3}"#);
        assert_eq!(shape(DATA, &deny(&["a.b", "a"])), r#"{"d":3}"#);
    }

    #[test]
    fn prefers_allow_to_deny() {
        assert_eq!(
            shape(
                DATA,
                &Shape::compile("", &strings(&["d"]), &strings(&["d"]), &[], "")
            ),
            r#"{"d":3}"#
        );
    }

    #[test]
    fn maps_top_level_names_only() {
        let map = |from: &str, to: &str| {
            Shape::compile("", &[], &[], &[(from.to_owned(), to.to_owned())], "")
        };
        assert_eq!(shape(r#"{"a":1}"#, &map("a", "x.y")), r#"{"x":1}"#);
        assert_eq!(
            shape(r#"{"a":{"b":1}}"#, &map("a.b", "x")),
            r#"{"a":{"b":1}}"#
        );
        assert_eq!(shape(r#"{"a":1,"b":2}"#, &map("a", "b")), r#"{"b":1}"#);
        assert_eq!(shape(r#"{"a":1}"#, &map("ghost", "b")), r#"{"a":1}"#);
    }

    #[test]
    fn descends_to_the_target() {
        let target = |path| Shape::compile(path, &[], &[], &[], "");
        assert_eq!(
            shape(r#"{"a":{"b":{"c":1}}}"#, &target("a.b")),
            r#"{"c":1}"#
        );
        assert_eq!(shape(r#"{"a":[1]}"#, &target("a")), "{}");
        assert_eq!(shape(r#"{"a":1}"#, &target("ghost")), "{}");
        assert_eq!(shape("null", &target("a")), "{}");
    }

    #[test]
    fn groups_even_what_is_empty_or_absent() {
        let group = Shape::compile("", &[], &[], &[], "g");
        assert_eq!(shape("{}", &group), r#"{"g":{}}"#);
        assert_eq!(shape("null", &group), r#"{"g":null}"#);
        let both = Shape::compile("", &[], &[], &[("collection".into(), "l".into())], "g");
        assert_eq!(shape("[1]", &both), r#"{"g":{"l":[1]}}"#);
    }

    #[test]
    fn applies_all_settings_in_their_order() {
        let deep = r#"{"data":{"a":{"b":{"c":{"d":1,"e":2},"f":3},"g":4},"h":5},"meta":{"page":1,"data":{"inner":true}},"extra":"z"}"#;
        let all = Shape::compile(
            "data",
            &strings(&["h", "a.g"]),
            &[],
            &[("h".into(), "H".into())],
            "grp",
        );
        assert_eq!(shape(deep, &all), r#"{"grp":{"H":5,"a":{"g":4}}}"#);
        assert_eq!(
            shape(deep, &allow(&["data.a.b.c", "meta.data.inner"])),
            r#"{"data":{"a":{"b":{"c":{"d":1,"e":2}}}},"meta":{"data":{"inner":true}}}"#
        );
    }

    #[test]
    fn never_reaches_into_a_collection() {
        assert_eq!(shape(r#"[{"id":1}]"#, &allow(&["id"])), "{}");
        assert_eq!(
            shape(r#"[{"id":1}]"#, &deny(&["collection.id"])),
            r#"{"collection":[{"id":1}]}"#
        );
    }
}
