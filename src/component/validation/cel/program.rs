//! A compiled expression: names are resolved, constants are values, patterns are compiled.

use super::eval::Eval;
use super::fault::{Budget, Fault, STEPS};
use super::functions::Function;
use super::scope::Scope;
use super::types::Ty;
use super::value::Val;
use regex::Regex;

/// A variable of KrakenD's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Now,
    Method,
    Path,
    Params,
    Headers,
    Query,
    Completed,
    Status,
    AnswerHeaders,
    Data,
    Jwt,
    /// What a policy is about.
    Value,
}

impl Variable {
    /// Name and variable.
    pub(super) const ALL: [(&'static str, Self); 11] = [
        ("now", Self::Now),
        ("req_method", Self::Method),
        ("req_path", Self::Path),
        ("req_params", Self::Params),
        ("req_headers", Self::Headers),
        ("req_querystring", Self::Query),
        ("resp_completed", Self::Completed),
        ("resp_metadata_status", Self::Status),
        ("resp_metadata_headers", Self::AnswerHeaders),
        ("resp_data", Self::Data),
        ("JWT", Self::Jwt),
    ];

    /// A variable by its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(own, _)| *own == name);
        found.map(|(_, variable)| *variable)
    }

    /// Its declared type.
    pub(super) fn ty(self) -> Ty {
        match self {
            Self::Now | Self::Method | Self::Path | Self::Value => Ty::String,
            Self::Params => Ty::map(Ty::String),
            Self::Headers | Self::Query | Self::AnswerHeaders => Ty::map(Ty::list(Ty::String)),
            Self::Completed => Ty::Bool,
            Self::Status => Ty::Int,
            Self::Data | Self::Jwt => Ty::map(Ty::Dyn),
        }
    }
}

/// Which variables an expression looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `req_*`.
    pub request: bool,
    /// `resp_*`.
    pub answer: bool,
    /// `JWT`.
    pub token: bool,
}

impl Uses {
    pub(super) fn add(&mut self, variable: Variable) {
        match variable {
            Variable::Now | Variable::Value => {}
            Variable::Method
            | Variable::Path
            | Variable::Params
            | Variable::Headers
            | Variable::Query => self.request = true,
            Variable::Completed | Variable::Status | Variable::AnswerHeaders | Variable::Data => {
                self.answer = true
            }
            Variable::Jwt => self.token = true,
        }
    }
}

/// Operators on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equals,
    Differs,
    Less,
    LessEquals,
    Greater,
    GreaterEquals,
    In,
    Index,
    And,
    Or,
}

/// A macro that walks over a list or the keys of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// A part of a compiled expression.
#[derive(Debug)]
pub(super) enum Node {
    Const(Val<'static>),
    Variable(Variable),
    /// A variable of a macro, by its level.
    Local(usize),
    Select(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    Not(Box<Node>),
    Negate(Box<Node>),
    If(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Call(&'static Function, Vec<Node>),
    /// `matches` with a pattern that stands in the expression.
    Matches(Box<Node>, Regex),
    Walk(Box<WalkNode>),
}

/// A macro with its parts.
#[derive(Debug)]
pub(super) struct WalkNode {
    pub(super) walk: Walk,
    pub(super) range: Node,
    /// What each element must fulfil; `None` for `map` without a condition.
    pub(super) test: Option<Node>,
    /// What `map` makes of an element.
    pub(super) make: Option<Node>,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    pub(super) node: Node,
    /// The type of its result, as far as it is known.
    pub(super) ty: Ty,
    /// Which variables it looks at.
    pub uses: Uses,
}

impl Program {
    /// Whether the expression holds.
    ///
    /// # Errors
    /// When it has no value or one that is no bool: both refuse what is checked.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, Fault> {
        match self.evaluate(scope, &Budget::new(STEPS))? {
            Val::Bool(holds) => Ok(holds),
            _ => Err(Fault("the result is no bool")),
        }
    }

    pub(super) fn evaluate<'a>(
        &'a self,
        scope: &'a Scope<'a>,
        budget: &'a Budget,
    ) -> Result<Val<'a>, Fault> {
        let value = Eval::new(scope, budget).run(&self.node)?;
        // A branch may have swallowed the error, never the fact.
        if budget.is_spent() {
            return Err(Fault::EXHAUSTED);
        }
        Ok(value)
    }
}
