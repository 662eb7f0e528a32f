//! Evaluation: a walk over the compiled expression. Errors are values to `&&`, `||`, `all` and `exists`:
//! one side that decides makes the other's error irrelevant.

use super::fault::{Budget, Fault};
use super::operators;
use super::program::{Node, Operator, Walk, WalkNode};
use super::scope::Scope;
use super::value::Val;
use std::cmp::Ordering;

/// One evaluation.
pub(super) struct Eval<'a> {
    scope: &'a Scope<'a>,
    budget: &'a Budget,
    /// Variables of the macros around, outermost first.
    locals: Vec<Val<'a>>,
}

type Evaluated<'a> = Result<Val<'a>, Fault>;

impl<'a> Eval<'a> {
    /// An evaluation that has not begun.
    pub(super) const fn new(scope: &'a Scope<'a>, budget: &'a Budget) -> Self {
        Self {
            scope,
            budget,
            locals: Vec::new(),
        }
    }

    /// The value of a part.
    pub(super) fn run(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.budget.charge(1)?;
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Variable(variable) => self.scope.value(*variable).ok_or(Fault::UNBOUND),
            Node::Local(level) => self.locals.get(*level).cloned().ok_or(Fault::UNBOUND),
            Node::Select(operand, field) => {
                let found = self.run(operand)?.field(field).ok_or(Fault::NO_OVERLOAD)?;
                found.ok_or(Fault::NO_KEY)
            }
            Node::Has(operand, field) => {
                let found = self.run(operand)?.field(field).ok_or(Fault::NO_OVERLOAD)?;
                Ok(Val::Bool(found.is_some()))
            }
            Node::Not(operand) => self.bool(operand).map(|value| Val::Bool(!value)),
            Node::Negate(operand) => operators::negate(&self.run(operand)?),
            Node::If(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                if self.bool(condition)? {
                    self.run(then)
                } else {
                    self.run(otherwise)
                }
            }
            Node::Binary(operator, sides) => self.binary(*operator, sides),
            Node::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.run(item)).collect();
                Ok(Val::List(items?.into()))
            }
            Node::Map(entries) => self.map(entries),
            Node::Call(function, arguments) => {
                let values: Result<Vec<_>, _> = arguments
                    .iter()
                    .map(|argument| self.run(argument))
                    .collect();
                (function.call)(&values?, self.budget)
            }
            Node::Matches(text, pattern) => match self.run(text)? {
                Val::String(text) => {
                    self.budget.charge(text.len() / 4)?;
                    Ok(Val::Bool(pattern.is_match(&text)))
                }
                _ => Err(Fault::NO_OVERLOAD),
            },
            Node::Walk(walk) => self.walk(walk),
        }
    }

    fn bool(&mut self, node: &'a Node) -> Result<bool, Fault> {
        match self.run(node)? {
            Val::Bool(value) => Ok(value),
            _ => Err(Fault::NO_OVERLOAD),
        }
    }

    fn binary(&mut self, operator: Operator, sides: &'a [Node; 2]) -> Evaluated<'a> {
        let [left, right] = sides;
        match operator {
            Operator::And => return self.decide(left, right, false),
            Operator::Or => return self.decide(left, right, true),
            _ => {}
        }
        let (left, right) = (self.run(left)?, self.run(right)?);
        let budget = self.budget;
        let order = |accept: fn(Ordering) -> bool| {
            let order = left.compare(&right, budget)?;
            Ok(Val::Bool(accept(order)))
        };
        match operator {
            Operator::Equals => left.equals(&right, budget).map(Val::Bool),
            Operator::Differs => left.equals(&right, budget).map(|same| Val::Bool(!same)),
            Operator::Less => order(Ordering::is_lt),
            Operator::LessEquals => order(Ordering::is_le),
            Operator::Greater => order(Ordering::is_gt),
            Operator::GreaterEquals => order(Ordering::is_ge),
            Operator::In => match right.len() {
                Some(_) => right.contains(&left, budget).map(Val::Bool),
                None => Err(Fault::NO_OVERLOAD),
            },
            Operator::Index => left.index(&right),
            _ => operators::arithmetic(operator, &left, &right, budget),
        }
    }

    /// `&&` and `||`: the side that is `decisive` settles it, whatever became of the other.
    fn decide(&mut self, left: &'a Node, right: &'a Node, decisive: bool) -> Evaluated<'a> {
        let first = self.bool(left);
        if first == Ok(decisive) {
            return Ok(Val::Bool(decisive));
        }
        let second = self.bool(right);
        if second == Ok(decisive) {
            return Ok(Val::Bool(decisive));
        }
        first?;
        second.map(Val::Bool)
    }

    fn map(&mut self, entries: &'a [(Node, Node)]) -> Evaluated<'a> {
        let mut made: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = self.run(key)?;
            let is_key = matches!(
                key,
                Val::Bool(_) | Val::Int(_) | Val::Uint(_) | Val::String(_)
            );
            if !is_key {
                return Err(Fault("unsupported key type"));
            }
            for (other, _) in &made {
                if other.equals(&key, self.budget)? {
                    return Err(Fault("repeated key"));
                }
            }
            made.push((key, self.run(value)?));
        }
        Ok(Val::Map(made.into()))
    }

    fn walk(&mut self, node: &'a WalkNode) -> Evaluated<'a> {
        let range = self.run(&node.range)?;
        let len = range.len().ok_or(Fault::NO_OVERLOAD)?;
        let level = self.locals.len();
        let result = match node.walk {
            Walk::All => self.any(node, &range, len, false),
            Walk::Exists => self.any(node, &range, len, true),
            Walk::ExistsOne => self.count(node, &range, len),
            Walk::Filter | Walk::Map => self.collect(node, &range, len),
        };
        self.locals.truncate(level);
        result
    }

    /// Binds an element and tests it; `true` without a test.
    fn test(&mut self, node: &'a WalkNode, level: usize, item: Val<'a>) -> Result<bool, Fault> {
        self.locals.truncate(level);
        self.locals.push(item);
        node.test.as_ref().map_or(Ok(true), |test| self.bool(test))
    }

    fn any(
        &mut self,
        node: &'a WalkNode,
        range: &Val<'a>,
        len: usize,
        wanted: bool,
    ) -> Evaluated<'a> {
        let level = self.locals.len();
        let mut failed = None;
        for item in (0..len).map_while(|at| range.item(at)) {
            match self.test(node, level, item) {
                Ok(holds) if holds == wanted => return Ok(Val::Bool(wanted)),
                Ok(_) => {}
                Err(Fault::EXHAUSTED) => return Err(Fault::EXHAUSTED),
                Err(fault) => failed = Some(fault),
            }
        }
        failed.map_or(Ok(Val::Bool(!wanted)), Err)
    }

    fn count(&mut self, node: &'a WalkNode, range: &Val<'a>, len: usize) -> Evaluated<'a> {
        let (level, mut found) = (self.locals.len(), 0);
        for item in (0..len).map_while(|at| range.item(at)) {
            found += u64::from(self.test(node, level, item)?);
        }
        Ok(Val::Bool(found == 1))
    }

    fn collect(&mut self, node: &'a WalkNode, range: &Val<'a>, len: usize) -> Evaluated<'a> {
        let (level, mut made) = (self.locals.len(), Vec::new());
        for item in (0..len).map_while(|at| range.item(at)) {
            if !self.test(node, level, item.clone())? {
                continue;
            }
            made.push(match &node.make {
                Some(make) => self.run(make)?,
                None => item,
            });
        }
        Ok(Val::List(made.into()))
    }
}
