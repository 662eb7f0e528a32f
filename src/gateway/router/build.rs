//! From `endpoint` texts to trees, and every reason why that may fail. The texts go through the
//! form that gin reads (`{id}` → `:id`), because its rules decide what `{id}.json` means.

use super::tree::{Segment, Target, Tree};
use super::{Conflict, Route, Router, RouterOptions};
use crate::base::Dialect;
use http::Method;
use std::collections::HashMap;

/// Patterns with more segments are refused: the look-up descends once per segment.
const MAX_SEGMENTS: usize = 256;

/// The names of an endpoint's parameters as the router sees them, in order: `/{id}.json` has the
/// one parameter `id.json`. A wildcard has no name here.
pub fn param_names(pattern: &str, disable_rest: bool) -> Vec<String> {
    let gin = gin_path(pattern, disable_rest);
    let segments = gin.strip_prefix('/').unwrap_or(&gin).split('/');
    segments
        .filter_map(|segment| {
            let at = segment.find([':', '*'])?;
            segment.get(at..)?.strip_prefix(':').map(str::to_owned)
        })
        .collect()
}

/// The `{names}` that KrakenD recognises in an endpoint's path.
fn declared(pattern: &str, disable_rest: bool) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        let after = after.strip_prefix('{').unwrap_or(after);
        rest = after;
        let Some((name, _)) = after.split_once('}') else {
            break;
        };
        let at_start = before.ends_with('/');
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let free = |b: u8| plain(b) || matches!(b, b'.' | b':' | b'/');
        let valid = if disable_rest {
            name.bytes().all(free)
        } else {
            at_start && name.bytes().all(plain)
        };
        if valid && !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The path in gin's syntax. A recognised name is replaced wherever it stands before a `?`.
fn gin_path(pattern: &str, disable_rest: bool) -> String {
    let (path, query) = match pattern.find('?') {
        Some(at) => pattern.split_at(at),
        None => (pattern, ""),
    };
    let mut path = path.to_owned();
    for name in declared(pattern, disable_rest) {
        path = path.replace(&format!("{{{name}}}"), &format!(":{name}"));
    }
    path + query
}

/// Reads gin's syntax; the error is gin's sentence.
fn segments(gin: &str, dialect: Dialect) -> Result<Vec<Segment>, String> {
    let Some(rest) = gin.strip_prefix('/') else {
        return Err("path must begin with '/'".to_owned());
    };
    let count = rest.split('/').count();
    if count > MAX_SEGMENTS {
        return Err(format!("more than {MAX_SEGMENTS} segments in path '{gin}'"));
    }
    let mut segments = Vec::with_capacity(count);
    for (index, text) in rest.split('/').enumerate() {
        let Some(at) = text.find([':', '*']) else {
            segments.push(Segment::Static(text.into()));
            continue;
        };
        let (prefix, wild) = text.split_at(at);
        let name = wild.get(1..).unwrap_or_default();
        if name.contains([':', '*']) {
            return Err(format!(
                "only one wildcard per path segment is allowed, has: '{wild}' in path '{gin}'"
            ));
        }
        let tail = wild.starts_with('*');
        if name.is_empty() && !(tail && dialect == Dialect::Native) {
            return Err(format!(
                "wildcards must be named with a non-empty name in path '{gin}'"
            ));
        }
        if tail && index + 1 != count {
            return Err(format!(
                "catch-all routes are only allowed at the end of the path in path '{gin}'"
            ));
        }
        if tail && !prefix.is_empty() {
            return Err(format!("no / before catch-all in path '{gin}'"));
        }
        segments.push(match tail {
            true => Segment::Tail((!name.is_empty()).then(|| name.to_owned())),
            false => Segment::Param {
                prefix: prefix.into(),
                name: name.to_owned(),
            },
        });
    }
    Ok(segments)
}

/// Where a parameter stands: method, and the path up to it without names.
type Position = (Method, String);

#[derive(Default)]
struct Builder {
    trees: Vec<Tree>,
    conflicts: Vec<Conflict>,
    /// The name that a position got first, and from whom.
    names: HashMap<Position, (String, u32)>,
    /// Every distinct path in order, and its methods.
    paths: Vec<(Vec<Segment>, Vec<Method>)>,
    by_shape: HashMap<String, usize>,
}

pub(super) fn build(routes: &[Route], options: RouterOptions) -> Result<Router, Vec<Conflict>> {
    let mut builder = Builder::default();
    for route in routes {
        if let Err((first, text)) = builder.add(route, routes, &options) {
            builder.conflicts.push(Conflict {
                first,
                second: route.endpoint,
                text,
            });
        }
    }
    if !builder.conflicts.is_empty() {
        return Err(builder.conflicts);
    }
    let mut allows = Vec::new();
    if options.auto_options {
        for (segments, methods) in std::mem::take(&mut builder.paths) {
            let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            names.sort_unstable();
            let index = u32::try_from(allows.len()).unwrap_or(u32::MAX);
            allows.push(allow_value(names, &options));
            // An endpoint's own OPTIONS stays.
            builder
                .tree(&Method::OPTIONS)
                .insert(&segments, Target::Options(index));
        }
    }
    builder.trees.iter_mut().for_each(Tree::seal);
    Ok(Router {
        options,
        trees: builder.trees,
        allows,
    })
}

impl Builder {
    fn tree(&mut self, method: &Method) -> &mut Tree {
        let index = match self.trees.iter().position(|tree| tree.method == *method) {
            Some(index) => index,
            None => {
                self.trees.push(Tree::new(method.clone()));
                self.trees.len() - 1
            }
        };
        &mut self.trees[index]
    }

    fn add(
        &mut self,
        route: &Route,
        routes: &[Route],
        options: &RouterOptions,
    ) -> Result<(), (u32, String)> {
        let id = route.endpoint;
        if options.dialect == Dialect::Native && route.pattern == "/__catchall" {
            let slot = &mut self.tree(&route.method).catchall;
            return match *slot {
                Some(first) => Err((first, taken(route, routes, first))),
                None => {
                    *slot = Some(id);
                    Ok(())
                }
            };
        }
        let gin = gin_path(&route.pattern, options.disable_rest);
        let segments = segments(&gin, options.dialect).map_err(|text| (id, text))?;
        if options.dialect == Dialect::Krakend {
            self.check_names(route, &segments, &gin)?;
        }
        if let Some(Target::Endpoint(first)) = self
            .tree(&route.method)
            .insert(&segments, Target::Endpoint(id))
        {
            let text = match options.dialect {
                Dialect::Krakend => format!("handlers are already registered for path '{gin}'"),
                Dialect::Native => taken(route, routes, first),
            };
            return Err((first, text));
        }
        let index = *self
            .by_shape
            .entry(shape(&segments))
            .or_insert(self.paths.len());
        if index == self.paths.len() {
            self.paths.push((segments, Vec::new()));
        }
        if let Some((_, methods)) = self.paths.get_mut(index) {
            methods.push(route.method.clone());
        }
        Ok(())
    }

    /// gin knows one name for each position of a tree.
    fn check_names(
        &mut self,
        route: &Route,
        segments: &[Segment],
        gin: &str,
    ) -> Result<(), (u32, String)> {
        let mut written = String::new();
        let mut nameless = String::new();
        for segment in segments {
            written.push('/');
            nameless.push('/');
            match segment {
                Segment::Static(text) => {
                    let text = String::from_utf8_lossy(text);
                    written.push_str(&text);
                    nameless.push_str(&text);
                }
                Segment::Param { prefix, name } => {
                    let prefix = String::from_utf8_lossy(prefix);
                    written.push_str(&prefix);
                    nameless.push_str(&prefix);
                    nameless.push(':');
                    let position = (route.method.clone(), nameless.clone());
                    let (known, first) = self
                        .names
                        .entry(position)
                        .or_insert_with(|| (name.clone(), route.endpoint));
                    if known != name {
                        let text = format!(
                            "':{name}' in new path '{gin}' conflicts with existing wildcard \
                             ':{known}' in existing prefix '{written}:{known}'"
                        );
                        return Err((*first, text));
                    }
                    written.push(':');
                    written.push_str(name);
                }
                Segment::Tail(_) => {}
            }
        }
        Ok(())
    }
}

/// A path without the names of its parameters: equal shapes match the same requests.
fn shape(segments: &[Segment]) -> String {
    let mut shape = String::new();
    for segment in segments {
        shape.push('/');
        match segment {
            Segment::Static(text) => shape.push_str(&String::from_utf8_lossy(text)),
            Segment::Param { prefix, .. } => {
                shape.push_str(&String::from_utf8_lossy(prefix));
                shape.push(':');
            }
            Segment::Tail(_) => shape.push('*'),
        }
    }
    shape
}

fn taken(route: &Route, routes: &[Route], first: u32) -> String {
    let other = routes
        .iter()
        .find(|r| r.endpoint == first && r.method == route.method);
    let other = other.map_or("another endpoint", |r| r.pattern.as_str());
    format!(
        "{method} {pattern} claims the same requests as {method} {other}",
        method = route.method,
        pattern = route.pattern,
    )
}

/// The value of `Allow`: as given in the krakend dialect, sorted and with `HEAD` in the native one.
pub(super) fn allow_value(mut methods: Vec<&str>, options: &RouterOptions) -> String {
    if options.dialect == Dialect::Native {
        if options.head_on_get && methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.dedup();
    }
    methods.join(", ")
}
