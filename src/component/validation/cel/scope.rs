//! What an expression can see: the variables of a request, of an answer, of a token. Each is made when an
//! expression asks for it, and once for all expressions of a phase.

use super::program::Variable;
use super::time;
use super::value::{Numbers, Val};
use crate::base::field::canonical;
use crate::body::Object;
use crate::gateway::message::{Answer, Request};
use crate::gateway::query;
use http::HeaderMap;
use std::cell::OnceCell;

static NO_DATA: Object = Object::new();

/// The variables of one phase of one request.
#[derive(Default)]
pub struct Scope<'a> {
    /// `req_*`, where the phase has them.
    pub request: Option<&'a Request>,
    /// `resp_*`, where the phase has them.
    pub answer: Option<&'a Answer>,
    /// `JWT`, where the phase has it.
    pub claims: Option<&'a Object>,
    /// `value`, where the phase has it.
    pub value: Option<&'a str>,
    made: Made,
}

#[derive(Default)]
struct Made {
    headers: OnceCell<FieldMap>,
    query: OnceCell<FieldMap>,
    answer_headers: OnceCell<FieldMap>,
    now: OnceCell<String>,
}

impl<'a> Scope<'a> {
    /// Before anything is asked.
    pub fn before(request: &'a Request) -> Self {
        Self {
            request: Some(request),
            ..Self::default()
        }
    }

    /// After the answer came; `request` where expressions may look at both.
    pub fn after(request: Option<&'a Request>, answer: &'a Answer) -> Self {
        Self {
            request,
            answer: Some(answer),
            ..Self::default()
        }
    }

    /// The claims of a token.
    pub fn token(claims: &'a Object) -> Self {
        Self {
            claims: Some(claims),
            ..Self::default()
        }
    }

    /// A value that a policy is about, and the claims of a token if there is one.
    pub fn policy(value: &'a str, claims: Option<&'a Object>) -> Self {
        Self {
            claims,
            value: Some(value),
            ..Self::default()
        }
    }

    /// A variable; `None` where this phase has none.
    pub(super) fn value(&'a self, variable: Variable) -> Option<Val<'a>> {
        Some(match variable {
            Variable::Now => Val::text(self.made.now.get_or_init(time::now)),
            Variable::Method => Val::text(self.request?.method.as_str()),
            Variable::Path => Val::text(&self.request?.path),
            Variable::Params => Val::Params(&self.request?.params),
            Variable::Headers => {
                let fields = self.request?.headers.iter();
                Val::Fields(self.made.headers.get_or_init(|| {
                    FieldMap::new(
                        fields.map(|(name, value)| {
                            (canonical(name.as_str()), lossy(value.as_bytes()))
                        }),
                    )
                }))
            }
            Variable::Query => {
                let raw = self.request?.query.as_bytes();
                Val::Fields(self.made.query.get_or_init(|| {
                    FieldMap::new(
                        query::pairs(raw).map(|(name, value)| (lossy(&name), lossy(&value))),
                    )
                }))
            }
            Variable::Completed => Val::Bool(self.answer?.complete),
            Variable::Status => Val::Int(i64::from(self.answer?.status)),
            Variable::AnswerHeaders => {
                let fields: &HeaderMap = &self.answer?.headers;
                Val::Fields(self.made.answer_headers.get_or_init(|| {
                    FieldMap::new(
                        fields.iter().map(|(name, value)| {
                            (canonical(name.as_str()), lossy(value.as_bytes()))
                        }),
                    )
                }))
            }
            Variable::Data => {
                let data = self.answer?.data.as_ref().unwrap_or(&NO_DATA);
                Val::Object(data, Numbers::Text)
            }
            Variable::Jwt => Val::Object(self.claims?, Numbers::Double),
            Variable::Value => Val::text(self.value?),
        })
    }
}

/// Names with their values, sorted by name.
#[derive(Debug, Default)]
pub(super) struct FieldMap(Vec<(String, Vec<String>)>);

impl FieldMap {
    fn new(pairs: impl Iterator<Item = (String, String)>) -> Self {
        let mut pairs: Vec<_> = pairs.collect();
        // Stable: the values of a name keep their order.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let mut fields: Vec<(String, Vec<String>)> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            match fields.last_mut() {
                Some((last, values)) if *last == name => values.push(value),
                _ => fields.push((name, vec![value])),
            }
        }
        Self(fields)
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A name.
    pub(super) fn name(&self, at: usize) -> Option<&str> {
        self.0.get(at).map(|(name, _)| name.as_str())
    }

    /// The values of a name.
    pub(super) fn get(&self, name: &str) -> Option<&[String]> {
        let at = self.0.binary_search_by(|(own, _)| own.as_str().cmp(name));
        self.0.get(at.ok()?).map(|(_, values)| values.as_slice())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
