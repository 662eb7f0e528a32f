//! Which endpoint a request meets. Works on the decoded path, as KrakenD's router (gin) does: one
//! tree per method, fixed text beats a parameter, a dead end goes back to the parameter; then
//! redirects, then 405, then 404.
//!
//! Differs from KrakenD: always goes back from a dead end (gin sometimes forgets to and then
//! answers 404, or crashes while it looks for a redirect); a redirect never leads to another host
//! (`//host/`) and, in the native dialect, only to a path that matches. The native dialect also
//! allows different parameter names at one position, `/x/*` and `/__catchall`.

mod build;
mod compact;
mod tree;

#[cfg(test)]
mod tests;

pub use build::param_names;

use crate::base::Dialect;
use crate::gateway::params::Params;
use crate::gateway::path::{clean, encode};
use http::Method;
use std::borrow::Cow;
use tree::{Target, Tree};

/// One endpoint's claim on requests.
#[derive(Clone, Debug)]
pub struct Route {
    /// The only method that it serves.
    pub method: Method,
    /// The path with `{param}`s; may end in `/*` (native), or in `/*name` for built-in endpoints of
    /// both dialects; `/__catchall` (native) takes what no other route of its method wants.
    pub pattern: String,
    /// What [`Found::Endpoint`] tells.
    pub endpoint: u32,
}

/// How the router decides; the flags of `extra_config.router`, said positively.
#[derive(Clone, Copy, Debug)]
pub struct RouterOptions {
    /// Whose rules.
    pub dialect: Dialect,
    /// Service-level `disable_rest`: parameters anywhere in the path.
    pub disable_rest: bool,
    /// Redirect to the path with, or without, its trailing slash.
    pub redirect_trailing_slash: bool,
    /// Redirect to the cleaned path in the right case.
    pub redirect_fixed_path: bool,
    /// Match the cleaned path; see [`Router::prepare`].
    pub remove_extra_slash: bool,
    /// Answer 405 instead of 404 when another method matches.
    pub handle_method_not_allowed: bool,
    /// Answer `OPTIONS` on every path.
    pub auto_options: bool,
    /// Let `GET` endpoints answer `HEAD`.
    pub head_on_get: bool,
}

impl RouterOptions {
    /// The defaults of a dialect.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            disable_rest: false,
            redirect_trailing_slash: true,
            redirect_fixed_path: true,
            remove_extra_slash: false,
            handle_method_not_allowed: true,
            auto_options: false,
            head_on_get: dialect == Dialect::Native,
        }
    }
}

/// Two routes that cannot both stand; `first` and `second` are the same when one is wrong by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The endpoint that was there.
    pub first: u32,
    /// The endpoint that came later.
    pub second: u32,
    /// What is wrong; gin's words in the krakend dialect.
    pub text: String,
}

/// What a request meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'r> {
    /// An endpoint.
    Endpoint {
        /// [`Route::endpoint`].
        id: u32,
        /// Whether this is a `HEAD` request that a `GET` endpoint answers without the body.
        head_of_get: bool,
    },
    /// A redirect to the right spelling.
    Redirect {
        /// 301 for `GET` (and a `HEAD` that `GET` answers), 307 for others.
        code: u16,
        /// The right path, encoded; the query is not in it, see [`location_with_query`].
        location: String,
        /// Whether only the trailing slash was wrong (then KrakenD heeds `X-Forwarded-Prefix`, see
        /// [`prefixed_location`]).
        slash: bool,
    },
    /// The automatic answer to `OPTIONS`.
    AutoOptions {
        /// Value of `Allow`.
        allow: &'r str,
    },
    /// Only other methods have this path.
    MethodNotAllowed {
        /// Value of `Allow`.
        allow: String,
    },
    /// No endpoint has this path.
    NotFound,
}

/// The compiled routes of a configuration.
#[derive(Debug)]
pub struct Router {
    options: RouterOptions,
    /// In the order in which the first route of each method came.
    trees: Vec<Tree>,
    /// Values of `Allow` for the automatic `OPTIONS`.
    allows: Vec<String>,
}

impl Router {
    /// Compiles routes; their order decides the order of `Allow` in the krakend dialect.
    ///
    /// # Errors
    /// Every conflict, not only the first.
    pub fn build(routes: Vec<Route>, options: RouterOptions) -> Result<Self, Vec<Conflict>> {
        build::build(&routes, options)
    }

    /// The path to match for a decoded path: the same, unless `remove_extra_slash` cleans it.
    /// Parameters are ranges of what this returns.
    pub fn prepare<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        if self.options.remove_extra_slash {
            clean(path)
        } else {
            Cow::Borrowed(path)
        }
    }

    /// Decides a request. `path` is decoded (and [`prepare`](Self::prepare)d); `params` is cleared
    /// and filled.
    pub fn find(&self, method: &Method, path: &[u8], params: &mut Params) -> Found<'_> {
        params.clear();
        let own = self.tree(method);
        if let Some(target) = own.and_then(|tree| tree.find(path, params)) {
            return self.found(target, false);
        }
        let get = self.tree_for_head(method);
        if let Some(target) = get.and_then(|tree| tree.find(path, params)) {
            return self.found(target, true);
        }
        self.not_found(method, path, [own, get])
    }

    /// All that can happen when no route matches; allocates as it likes.
    fn not_found(&self, method: &Method, path: &[u8], trees: [Option<&Tree>; 2]) -> Found<'_> {
        if method != Method::CONNECT && path != b"/" {
            for (tree, as_get) in trees.into_iter().zip([method == Method::GET, true]) {
                if let Some(redirect) = tree.and_then(|tree| self.redirect(tree, path, as_get)) {
                    return redirect;
                }
            }
        }
        if self.options.handle_method_not_allowed
            && let Some(allow) = self.allow(method, path)
        {
            return Found::MethodNotAllowed { allow };
        }
        for (tree, head_of_get) in trees.into_iter().zip([false, true]) {
            if let Some(id) = tree.and_then(|tree| tree.catchall) {
                return Found::Endpoint { id, head_of_get };
            }
        }
        Found::NotFound
    }

    fn found(&self, target: Target, head_of_get: bool) -> Found<'_> {
        match target {
            Target::Endpoint(id) => Found::Endpoint { id, head_of_get },
            Target::Options(index) => Found::AutoOptions {
                allow: self.allows.get(index as usize).map_or("", String::as_str),
            },
        }
    }

    fn tree(&self, method: &Method) -> Option<&Tree> {
        self.trees.iter().find(|tree| tree.method == *method)
    }

    fn tree_for_head(&self, method: &Method) -> Option<&Tree> {
        if self.options.head_on_get && *method == Method::HEAD {
            self.tree(&Method::GET)
        } else {
            None
        }
    }

    fn redirect(&self, tree: &Tree, path: &[u8], as_get: bool) -> Option<Found<'_>> {
        let (target, slash) = self.correct(tree, path)?;
        let safe = presentable(&target);
        // What had to be cleaned may have become another path, one that nobody serves.
        if self.options.dialect == Dialect::Native
            && *safe != *target
            && tree.find(&safe, &mut Params::default()).is_none()
        {
            return None;
        }
        let code = if as_get { 301 } else { 307 };
        Some(Found::Redirect {
            code,
            location: encode(&safe),
            slash,
        })
    }

    /// The path that was meant, and whether only the slash was wrong.
    fn correct(&self, tree: &Tree, path: &[u8]) -> Option<(Vec<u8>, bool)> {
        if self.options.redirect_trailing_slash {
            let toggled = toggle_slash(path);
            if toggled
                .as_deref()
                .is_some_and(|p| tree.find(p, &mut Params::default()).is_some())
            {
                return toggled.map(|path| (path, true));
            }
            if self.options.dialect == Dialect::Krakend
                && let Some(without) = path.strip_suffix(b"/")
                && tree.stops_at_param(without)
            {
                return Some((without.to_vec(), true));
            }
        }
        if !self.options.redirect_fixed_path {
            return None;
        }
        let cleaned = clean(path);
        let fixed = tree
            .find_any_case(&cleaned)
            .or_else(|| toggle_slash(&cleaned).and_then(|toggled| tree.find_any_case(&toggled)))?;
        // A path may be clean and right and still lead nowhere; never send a client in a circle.
        (fixed != path).then_some((fixed, false))
    }

    fn allow(&self, method: &Method, path: &[u8]) -> Option<String> {
        let mut scratch = Params::default();
        let methods: Vec<&str> = self
            .trees
            .iter()
            .filter(|tree| tree.method != *method)
            .filter(|tree| tree.find(path, &mut scratch).is_some())
            .map(|tree| tree.method.as_str())
            .collect();
        if methods.is_empty() {
            return None;
        }
        Some(build::allow_value(methods, &self.options))
    }
}

/// The path with a trailing slash if it has none, and without if it has one.
fn toggle_slash(path: &[u8]) -> Option<Vec<u8>> {
    match path {
        [] | [b'/'] => None,
        [without @ .., b'/'] => Some(without.to_vec()),
        path => Some([path, b"/"].concat()),
    }
}

/// A decoded path as it may stand in `Location`: cleaned, so that it never starts with `//`.
fn presentable(path: &[u8]) -> Cow<'_, [u8]> {
    let mut cleaned = clean(path);
    // Go's path.Clean keeps only a slash that was really written at the end.
    if !path.ends_with(b"/") && cleaned.len() > 1 && cleaned.ends_with(b"/") {
        cleaned.to_mut().pop();
    }
    cleaned
}

/// A redirect's target with the query of the request; bytes that cannot stand in a field are
/// encoded.
pub fn location_with_query(mut location: String, query: Option<&[u8]>) -> String {
    use crate::gateway::path::push_escaped;
    let Some(query) = query else { return location };
    location.push('?');
    for &byte in query {
        if byte.is_ascii_graphic() {
            location.push(char::from(byte));
        } else {
            push_escaped(&mut location, byte);
        }
    }
    location
}

/// A slash redirect's target under the client's `X-Forwarded-Prefix`, of which KrakenD keeps
/// letters, digits, `-` and `/`. Only for the krakend dialect: the field is the client's to choose.
pub fn prefixed_location(target: &str, prefix: &[u8]) -> String {
    let safe = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/');
    if prefix.is_empty() {
        return target.to_owned();
    }
    let mut whole: Vec<u8> = clean(prefix).iter().copied().filter(safe).collect();
    whole.push(b'/');
    whole.extend_from_slice(target.as_bytes());
    let cleaned = clean(&whole);
    String::from_utf8_lossy(&cleaned).into_owned()
}
