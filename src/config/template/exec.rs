//! Runs a template: Go's rules for values, scopes and calls, each byte of the output with its origin.
//!
//! gotmpl's own executor is not used: its dictionaries cannot be changed (`set`), a missing key and null
//! are one to it, its functions take anything, and it tells no place. Everything is bounded: steps, work,
//! depth and the size of the output.

use super::functions::{self, Host};
use super::origin::Segment;
use super::parse::{Fault, Node, Pipe};
use super::print;
use super::value::{Origin, Value};
use gotmpl::parse::{CommandNode, Expr, Number, PipeNode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How deep templates call each other and blocks and parentheses are nested, together.
const MAX_DEPTH: usize = 400;

/// How many nodes are executed and functions called.
const MAX_STEPS: u64 = 5_000_000;

/// Largest output in bytes.
pub(crate) const MAX_OUTPUT: usize = crate::config::load::MAX_SIZE;

/// Every template by name, with the number of its file.
pub(crate) type Set = BTreeMap<Arc<str>, (usize, Vec<Node>)>;

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// The text.
    pub(crate) text: String,
    /// Where its pieces come from, ascending.
    pub(crate) segments: Vec<Segment>,
}

/// Why execution stopped: a fault, or the jump of `break` and `continue`.
enum Stop {
    Fault(Box<Fault>),
    Break,
    Continue,
}

type Done<T> = Result<T, Stop>;

/// Executes the template `name` of a set with this root.
pub(crate) fn execute(
    set: &Set,
    name: &str,
    root: &Value,
    host: &mut Host<'_>,
) -> Result<Output, Fault> {
    let Some((file, nodes)) = set.get(name) else {
        return Err(Fault {
            file: 0,
            at: 0,
            message: format!("template {name:?} is empty"),
            hint: None,
        });
    };
    let mut run = Run {
        set,
        host,
        file: *file,
        at: 0,
        variables: vec![(Arc::from("$"), root.clone())],
        base: 0,
        depth: 0,
        steps: MAX_STEPS,
        calls: Vec::new(),
        out: Output::default(),
    };
    match run.walk(nodes, root) {
        Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(run.out),
        Err(Stop::Fault(fault)) => Err(*fault),
    }
}

struct Run<'s, 'h, 'e> {
    set: &'s Set,
    host: &'h mut Host<'e>,
    /// The file that is being executed and the place in it.
    file: usize,
    at: usize,
    variables: Vec<(Arc<str>, Value)>,
    /// Where the variables of this template begin.
    base: usize,
    depth: usize,
    steps: u64,
    /// The calls of templates that led here.
    calls: Vec<(usize, usize)>,
    out: Output,
}

impl Run<'_, '_, '_> {
    fn fail<T>(&self, message: impl Into<String>) -> Done<T> {
        self.fail_at(self.at, message, None)
    }

    fn fail_at<T>(&self, at: usize, message: impl Into<String>, hint: Option<String>) -> Done<T> {
        Err(Stop::Fault(Box::new(Fault {
            file: self.file,
            at,
            message: message.into(),
            hint: hint.or_else(|| self.way()),
        })))
    }

    /// How execution came into this file.
    fn way(&self) -> Option<String> {
        let &(file, at) = self.calls.last()?;
        let (name, line, column) = self.host.place(file, at);
        Some(format!(
            "the template was called from {name}:{line}:{column}"
        ))
    }

    fn step(&mut self) -> Done<()> {
        if self.steps == 0 {
            return self.fail(format!("the template needs more than {MAX_STEPS} steps"));
        }
        self.steps -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Done<()> {
        if self.depth >= MAX_DEPTH {
            let message = format!(
                "templates and blocks are nested more than {MAX_DEPTH} deep; does one call itself without end?"
            );
            return self.fail(message);
        }
        self.depth += 1;
        Ok(())
    }

    fn walk(&mut self, nodes: &[Node], dot: &Value) -> Done<()> {
        for node in nodes {
            self.step()?;
            match node {
                Node::Text(at, text) => self.write(text, *at, true)?,
                Node::Action(pipe) => self.action(pipe, dot)?,
                Node::If(branches, otherwise) => self.branch(branches, otherwise, dot, false)?,
                Node::With(branches, otherwise) => self.branch(branches, otherwise, dot, true)?,
                Node::Range(pipe, body, otherwise) => self.range(pipe, body, otherwise, dot)?,
                Node::Template(at, name, pipe) => self.template(*at, name, pipe.as_ref(), dot)?,
                Node::Break => return Err(Stop::Break),
                Node::Continue => return Err(Stop::Continue),
            }
        }
        Ok(())
    }

    fn write(&mut self, text: &str, at: usize, verbatim: bool) -> Done<()> {
        self.write_from(text, self.file, at, verbatim)
    }

    fn write_from(&mut self, text: &str, file: usize, at: usize, verbatim: bool) -> Done<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.out.text.len() + text.len() > MAX_OUTPUT {
            let message = format!("the output is larger than {} MiB", MAX_OUTPUT >> 20);
            return self.fail(message);
        }
        self.out
            .segments
            .push(Segment::new(self.out.text.len(), file, at, verbatim));
        self.out.text.push_str(text);
        Ok(())
    }

    fn action(&mut self, pipe: &Pipe, dot: &Value) -> Done<()> {
        let value = self.pipeline(pipe, &pipe.node, dot)?;
        if !pipe.node.decl.is_empty() {
            return Ok(());
        }
        match &value {
            Value::Text(text, Some(Origin(file))) => self.write_from(text, *file, 0, true),
            Value::Text(text, None) => self.write(text, pipe.at, false),
            other => {
                let text = print::action(other);
                if let Some(message) = print::overspent() {
                    return self.fail_at(pipe.at, message, None);
                }
                self.write(&text, pipe.at, false)
            }
        }
    }

    fn branch(
        &mut self,
        branches: &[(Pipe, Vec<Node>)],
        otherwise: &[Node],
        dot: &Value,
        with: bool,
    ) -> Done<()> {
        self.deeper()?;
        let mark = self.variables.len();
        let mut chosen = None;
        for (pipe, body) in branches {
            let value = self.pipeline(pipe, &pipe.node, dot)?;
            if value.truth() {
                chosen = Some((body, value));
                break;
            }
        }
        match chosen {
            Some((body, value)) if with => self.walk(body, &value)?,
            Some((body, _)) => self.walk(body, dot)?,
            None => self.walk(otherwise, dot)?,
        }
        self.variables.truncate(mark);
        self.depth -= 1;
        Ok(())
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], otherwise: &[Node], dot: &Value) -> Done<()> {
        self.deeper()?;
        let mark = self.variables.len();
        let value = self.pipeline(pipe, &pipe.node, dot)?;
        self.at = pipe.at;
        let inner = self.variables.len();
        let depth = self.depth;
        let mut turns = 0_u64;
        let mut turn = |run: &mut Self, index: Value, item: Value| -> Done<bool> {
            turns += 1;
            run.step()?;
            run.bind(pipe, mark, index, &item);
            let went = run.walk(body, &item);
            run.variables.truncate(inner);
            run.depth = depth;
            match went {
                Err(Stop::Break) => Ok(false),
                Ok(()) | Err(Stop::Continue) => Ok(true),
                Err(fault) => Err(fault),
            }
        };
        match &value {
            Value::List(items, _) => {
                for (at, item) in items.iter().enumerate() {
                    if !turn(self, Value::int(at as i64), item.clone())? {
                        break;
                    }
                }
            }
            Value::Map(members, _) => {
                let members: Vec<(Arc<str>, Value)> = members
                    .borrow()
                    .iter()
                    .map(|(name, member)| (Arc::clone(name), member.clone()))
                    .collect();
                for (name, member) in members {
                    if !turn(self, Value::text(name), member)? {
                        break;
                    }
                }
            }
            Value::Int(count, width) => {
                if pipe.node.decl.len() > 1 {
                    let message =
                        format!("can't use {count} to iterate over more than one variable");
                    return self.fail_at(pipe.at, message, None);
                }
                for at in 0..*count {
                    if !turn(self, Value::Int(at, *width), Value::Int(at, *width))? {
                        break;
                    }
                }
            }
            Value::Missing | Value::Nil => {}
            other => {
                let shown = print::show(other);
                let message = format!("range can't iterate over {shown}");
                let hint = match other {
                    Value::Float(_) => Some("numbers of settings are floats; write (int .x)"),
                    _ => None,
                };
                return self.fail_at(pipe.at, message, hint.map(str::to_owned));
            }
        }
        if turns == 0 {
            self.walk(otherwise, dot)?;
        }
        self.variables.truncate(mark);
        self.depth -= 1;
        Ok(())
    }

    /// The loop variables of one turn: the last one is the element, of two the first is the index.
    fn bind(&mut self, pipe: &Pipe, mark: usize, index: Value, item: &Value) {
        let names = &pipe.node.decl;
        let values = match names.len() {
            0 => return,
            1 => vec![item.clone()],
            _ => vec![index, item.clone()],
        };
        for (at, (name, value)) in names.iter().zip(values).enumerate() {
            if pipe.node.is_assign {
                self.assign(name, value);
            } else if let Some(slot) = self.variables.get_mut(mark + at) {
                slot.1 = value;
            }
        }
    }

    fn assign(&mut self, name: &str, value: Value) {
        let own = self.variables.get_mut(self.base..).unwrap_or_default();
        if let Some(slot) = own.iter_mut().rev().find(|(known, _)| **known == *name) {
            slot.1 = value;
        }
    }

    fn template(&mut self, at: usize, name: &str, pipe: Option<&Pipe>, dot: &Value) -> Done<()> {
        self.at = at;
        let set = self.set;
        let Some((file, nodes)) = set.get(name) else {
            let hint = self.host.known_templates(set);
            return self.fail_at(at, format!("template {name:?} not defined"), Some(hint));
        };
        self.deeper()?;
        let dot = match pipe {
            Some(pipe) => self.pipeline(pipe, &pipe.node, dot)?,
            None => Value::Missing,
        };
        let outer = (self.file, self.base, self.at);
        self.calls.push((self.file, at));
        let mark = self.variables.len();
        self.variables.push((Arc::from("$"), dot.clone()));
        (self.file, self.base) = (*file, mark);
        let went = self.walk(nodes, &dot);
        if let Err(Stop::Fault(fault)) = went {
            return Err(Stop::Fault(fault));
        }
        self.variables.truncate(mark);
        self.calls.pop();
        (self.file, self.base, self.at) = outer;
        self.depth -= 1;
        Ok(())
    }

    fn pipeline(&mut self, pipe: &Pipe, node: &PipeNode, dot: &Value) -> Done<Value> {
        let mut value: Option<Value> = None;
        for command in &node.commands {
            self.at = pipe.place(command.pos.offset);
            // After each command one looks below `interface {}`.
            value = Some(self.command(pipe, command, dot, value)?.settled());
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &node.decl {
            if node.is_assign {
                self.assign(name, value.clone());
            } else {
                self.variables
                    .push((Arc::from(name.as_str()), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        pipe: &Pipe,
        command: &CommandNode,
        dot: &Value,
        last: Option<Value>,
    ) -> Done<Value> {
        let Some((first, args)) = command.args.split_first() else {
            return self.fail("missing value for command");
        };
        if let Expr::Identifier(pos, name) = first {
            self.at = pipe.place(pos.offset);
            return self.call(pipe, name, args, dot, last);
        }
        if last.is_some() || !args.is_empty() {
            let at = pipe.place(first.pos().offset);
            if let Expr::Field(_, names) | Expr::Variable(_, _, names) | Expr::Chain(_, _, names) =
                first
                && let Some(name) = names.last()
            {
                let message = format!("{name} is not a method but has arguments");
                return self.fail_at(at, message, None);
            }
            return self.fail_at(at, "can't give argument to non-function", None);
        }
        if let Expr::Nil(_) = first {
            return self.fail("nil is not a command");
        }
        self.operand(pipe, first, dot)
    }

    /// The value of an operand as it stands, before it is fitted to a parameter.
    fn operand(&mut self, pipe: &Pipe, expr: &Expr, dot: &Value) -> Done<Value> {
        self.at = pipe.place(expr.pos().offset);
        match expr {
            Expr::Dot(_) => Ok(dot.clone()),
            Expr::Nil(_) => Ok(Value::Nil),
            Expr::Bool(_, value) => Ok(Value::Bool(*value)),
            Expr::String(_, text) => Ok(Value::text(Arc::clone(text))),
            Expr::Number(_, Number::Int(number)) => Ok(Value::int(*number)),
            Expr::Number(_, Number::Float(number)) => Ok(Value::Float(*number)),
            Expr::Number(_, Number::Uint(number)) => self.fail(format!("{number} overflows int")),
            Expr::Field(_, names) => self.fields(dot.clone(), names.iter().map(|n| n.as_str())),
            Expr::Variable(_, name, names) => {
                let own = self.variables.get(self.base..).unwrap_or_default();
                let found = own.iter().rev().find(|(known, _)| **known == **name);
                match found {
                    Some((_, value)) => {
                        let value = value.clone();
                        self.fields(value, names.iter().map(|n| n.as_str()))
                    }
                    None => self.fail(format!("undefined variable: {name}")),
                }
            }
            Expr::Pipe(_, inner) => {
                self.deeper()?;
                let value = self.pipeline(pipe, inner, dot)?;
                self.depth -= 1;
                Ok(value)
            }
            Expr::Chain(_, inner, names) => {
                if let Expr::Nil(_) = **inner {
                    return self.fail("indirection through explicit nil");
                }
                let value = match &**inner {
                    Expr::Identifier(_, name) => self.call(pipe, name, &[], dot, None)?,
                    other => self.operand(pipe, other, dot)?,
                };
                self.at = pipe.place(expr.pos().offset);
                self.fields(value, names.iter().map(|n| n.as_str()))
            }
            Expr::Identifier(_, name) => self.call(pipe, name, &[], dot, None),
        }
    }

    fn fields<'n>(&self, mut value: Value, names: impl Iterator<Item = &'n str>) -> Done<Value> {
        for name in names {
            value = match &value {
                Value::Missing => Value::Missing,
                Value::Nil => {
                    return self.fail_at(
                        self.at,
                        format!("nil pointer evaluating interface {{}}.{name}"),
                        Some(
                            "the value before it is null; guard it with {{ if }} or {{ with }}"
                                .to_owned(),
                        ),
                    );
                }
                Value::Map(members, _) => members
                    .borrow()
                    .get(name)
                    .cloned()
                    .unwrap_or(Value::Missing),
                Value::Object(object) => {
                    match object.fields.iter().find(|(known, _)| *known == name) {
                        Some((_, value)) => value.clone(),
                        None => return self.no_field(name, &value),
                    }
                }
                other => return self.no_field(name, other),
            };
        }
        Ok(value)
    }

    fn no_field<T>(&self, name: &str, value: &Value) -> Done<T> {
        let message = format!("can't evaluate field {name} in type {}", value.type_name());
        self.fail_at(self.at, message, None)
    }

    fn call(
        &mut self,
        pipe: &Pipe,
        name: &str,
        exprs: &[Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Done<Value> {
        self.step()?;
        let at = self.at;
        if name == "and" || name == "or" {
            return self.short_circuit(pipe, name, exprs, dot, last);
        }
        let Some(entry) = functions::find(name) else {
            return self.fail(format!("{name:?} is not a defined function"));
        };
        let count = exprs.len() + usize::from(last.is_some());
        if let Err(message) = entry.arity(count) {
            return self.fail(message);
        }
        self.deeper()?;
        let mut args = Vec::with_capacity(count);
        for (index, expr) in exprs.iter().enumerate() {
            let value = self.operand(pipe, expr, dot)?;
            let literal = matches!(expr, Expr::Number(..));
            match entry.fit(index, value, literal) {
                Ok(value) => args.push(value),
                Err(message) => {
                    let at = pipe.place(expr.pos().offset);
                    return self.fail_at(at, message.0, message.1);
                }
            }
        }
        if let Some(value) = last {
            match entry.fit(exprs.len(), value, false) {
                Ok(value) => args.push(value),
                Err(message) => return self.fail_at(at, message.0, message.1),
            }
        }
        self.depth -= 1;
        self.at = at;
        let given = self.host.call(entry, &args);
        for missing in self.host.missing.iter_mut().rev() {
            if missing.place.is_some() {
                break;
            }
            missing.place = Some((self.file, at));
        }
        match given {
            Ok(value) => Ok(value),
            Err(fault) => {
                let message = format!("error calling {name}: {}", fault.message);
                self.fail_at(at, message, fault.hint)
            }
        }
    }

    /// `and` and `or` stop at the first operand that decides, and return it.
    fn short_circuit(
        &mut self,
        pipe: &Pipe,
        name: &str,
        exprs: &[Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Done<Value> {
        if exprs.is_empty() && last.is_none() {
            let message = format!("wrong number of args for {name}: want at least 1 got 0");
            return self.fail(message);
        }
        self.deeper()?;
        let mut value = Value::Missing;
        for expr in exprs {
            value = self.operand(pipe, expr, dot)?;
            if value.truth() == (name == "or") {
                self.depth -= 1;
                return Ok(value);
            }
        }
        self.depth -= 1;
        Ok(last.unwrap_or(value))
    }
}

/// Breaks cycles that `set` may have made, so that nothing stays in memory for ever.
pub(crate) fn untie(dicts: Vec<super::value::Dict>) {
    for dict in dicts {
        let members = std::mem::take(&mut **dict.borrow_mut());
        drop(members);
    }
}
