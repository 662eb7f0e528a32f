//! From text to a program. The parser is the `cel` crate's; it leaves the macros to us, so that each is one
//! step here. What cannot work whatever a request brings is an error now: unknown names, wrong types,
//! wrong counts of arguments, patterns that are none.

use super::functions::{self, Function};
use super::program::{Node, Operator, Program, Uses, Variable, Walk, WalkNode};
use super::types::Ty;
use super::value::Val;
use cel::common::ast::operators as names;
use cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, SelectExpr, SourceInfo,
};

/// Bytes of an expression.
pub(super) const LONGEST: usize = 16 << 10;
/// Levels of an expression: evaluation costs call stack for each.
const DEEPEST: usize = 200;
/// Call stack of the parser, which goes several calls deep for each level and each operator of a chain.
const STACK: usize = 256 << 20;

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Whether it is no expression at all; otherwise it is one that makes no sense.
    pub syntax: bool,
    /// Line and column inside the expression, from 1.
    pub at: (usize, usize),
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Why it can never be evaluated.
    pub fn compile(source: &str) -> Result<Self, Broken> {
        Self::checked(source, About::Requests)
    }

    /// Compiles an expression about one value, which it knows as `value`.
    ///
    /// # Errors
    /// Why it can never be evaluated.
    pub(super) fn about_value(source: &str) -> Result<Self, Broken> {
        Self::checked(source, About::Value)
    }

    fn checked(source: &str, about: About) -> Result<Self, Broken> {
        if source.len() > LONGEST {
            return Err(syntax((1, 1), format!("longer than {LONGEST} bytes")));
        }
        // The parser recurses; what an expression may need of that is set aside for it.
        std::thread::scope(|scope| {
            let parser = std::thread::Builder::new().stack_size(STACK);
            let job = parser.spawn_scoped(scope, || compile(source, about));
            let failed = || syntax((1, 1), "the parser failed on it".to_owned());
            job.map_err(|_| failed())?.join().map_err(|_| failed())?
        })
    }
}

fn syntax(at: (usize, usize), message: String) -> Broken {
    Broken {
        syntax: true,
        at,
        message,
        hint: "correct the expression; KrakenD would start without any check here".to_owned(),
    }
}

/// What an expression is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Requests, answers and tokens.
    Requests,
    /// One value, and tokens.
    Value,
}

impl About {
    fn variable(self, name: &str) -> Option<Variable> {
        match (self, name) {
            (Self::Value, "value") => Some(Variable::Value),
            (Self::Value, "JWT" | "now") | (Self::Requests, _) => Variable::named(name),
            (Self::Value, _) => None,
        }
    }

    fn variables(self) -> Vec<&'static str> {
        match self {
            Self::Requests => Variable::ALL.iter().map(|(name, _)| *name).collect(),
            Self::Value => vec!["value", "JWT", "now"],
        }
    }
}

fn compile(source: &str, about: About) -> Result<Program, Broken> {
    let parser = cel::Env::default().with_optional_support(false);
    let parsed = parser.compile(source).map_err(|errors| {
        let first = errors.errors.first();
        let at = first.map_or((1, 1), |error| {
            let place = |n: isize| usize::try_from(n).unwrap_or(1).max(1);
            (place(error.pos.0), place(error.pos.1))
        });
        let message = first.map_or_else(|| "syntax error".to_owned(), |error| error.msg.clone());
        syntax(at, message)
    })?;
    let mut checker = Checker {
        info: parsed.source_info(),
        source,
        about,
        locals: Vec::new(),
        uses: Uses::default(),
        depth: 0,
    };
    let (node, ty) = checker.node(parsed.expression())?;
    let uses = checker.uses;
    Ok(Program { node, ty, uses })
}

struct Checker<'e> {
    info: &'e SourceInfo,
    source: &'e str,
    about: About,
    /// Variables of the macros around, outermost first.
    locals: Vec<(String, Ty)>,
    uses: Uses,
    depth: usize,
}

type Checked = Result<(Node, Ty), Broken>;

/// The test of a macro, and what it makes of an element.
type Parts = (Option<Node>, Option<(Node, Ty)>);

impl Checker<'_> {
    fn node(&mut self, expr: &IdedExpr) -> Checked {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.syntax(expr, format!("nested deeper than {DEEPEST} levels")));
        }
        let checked = self.inner(expr);
        self.depth -= 1;
        checked
    }

    fn inner(&mut self, expr: &IdedExpr) -> Checked {
        match &expr.expr {
            Expr::Literal(literal) => Ok(constant(literal)),
            Expr::Ident(name) => self.name(expr, name),
            Expr::Select(select) => self.select(expr, select),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => {
                let (mut nodes, mut ty) = (Vec::with_capacity(list.elements.len()), None);
                for element in &list.elements {
                    let (node, element) = self.node(element)?;
                    ty = Some(match ty {
                        None => element,
                        Some(ty) => Ty::joined(ty, &element),
                    });
                    nodes.push(node);
                }
                Ok((Node::List(nodes), Ty::list(ty.unwrap_or(Ty::Dyn))))
            }
            Expr::Map(map) => self.map(expr, map),
            Expr::Struct(message) => Err(self.wrong(
                expr,
                format!("there are no messages such as {}", message.type_name),
                "use maps: {'a': 1}",
            )),
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(self.syntax(expr, "syntax error".to_owned()))
            }
        }
    }

    fn map(&mut self, expr: &IdedExpr, map: &MapExpr) -> Checked {
        let (mut nodes, mut ty) = (Vec::with_capacity(map.entries.len()), None);
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(self.syntax(expr, "syntax error".to_owned()));
            };
            let (key, key_ty) = self.node(&entry.key)?;
            let (value, value_ty) = self.node(&entry.value)?;
            nodes.push((key, value));
            ty = Some(match ty {
                None => (key_ty, value_ty),
                Some((key, value)) => (Ty::joined(key, &key_ty), Ty::joined(value, &value_ty)),
            });
        }
        let (key, value) = ty.unwrap_or((Ty::Dyn, Ty::Dyn));
        Ok((Node::Map(nodes), Ty::Map(Box::new(key), Box::new(value))))
    }

    fn name(&mut self, expr: &IdedExpr, name: &str) -> Checked {
        if let Some(at) = self.locals.iter().rposition(|(own, _)| own == name) {
            let ty = self.locals.get(at).map_or(Ty::Dyn, |(_, ty)| ty.clone());
            return Ok((Node::Local(at), ty));
        }
        if let Some(variable) = self.about.variable(name) {
            self.uses.add(variable);
            return Ok((Node::Variable(variable), variable.ty()));
        }
        if let Some(ty) = type_named(name) {
            return Ok((Node::Const(Val::Type(ty)), Ty::Type));
        }
        let known = self.about.variables();
        Err(self.wrong(
            expr,
            format!("undeclared reference to '{name}'"),
            &format!("variables are {}", known.join(", ")),
        ))
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Checked {
        if let Some(ty) = qualified(expr).and_then(|name| type_named(&name)) {
            return Ok((Node::Const(Val::Type(ty)), Ty::Type));
        }
        let (operand, ty) = self.node(&select.operand)?;
        let ty = self.member(expr, ty, &select.field)?;
        let (operand, field) = (Box::new(operand), select.field.as_str().into());
        if select.test {
            return Ok((Node::Has(operand, field), Ty::Bool));
        }
        Ok((Node::Select(operand, field), ty))
    }

    /// The type of a field of a value.
    fn member(&self, expr: &IdedExpr, ty: Ty, field: &str) -> Result<Ty, Broken> {
        match ty {
            Ty::Dyn => Ok(Ty::Dyn),
            Ty::Map(key, value) if key.fits(&Ty::String) => Ok(*value),
            other => Err(self.wrong(
                expr,
                format!("a {other} has no field '{field}'"),
                "only maps have fields",
            )),
        }
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Checked {
        if let Some(target) = &call.target {
            return match walk_named(&call.func_name, call.args.len()) {
                Some(walk) => self.walk(expr, target, call, walk),
                None => {
                    let mut arguments = vec![target.as_ref()];
                    arguments.extend(&call.args);
                    self.function(expr, &call.func_name, true, &arguments)
                }
            };
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            ("has", [tested]) => self.has(tested),
            (names::CONDITIONAL, [condition, then, otherwise]) => {
                self.condition(expr, [condition, then, otherwise])
            }
            (names::LOGICAL_NOT, [operand]) => {
                let node = self.boolean(operand, "!")?;
                Ok((Node::Not(Box::new(node)), Ty::Bool))
            }
            (names::NEGATE, [operand]) => {
                let (node, ty) = self.node(operand)?;
                if !matches!(ty, Ty::Dyn | Ty::Int | Ty::Double | Ty::Duration) {
                    return Err(self.overload(expr, "-", &[ty]));
                }
                Ok((Node::Negate(Box::new(node)), ty))
            }
            (name, [left, right]) if operator_named(name).is_some() => {
                let operator = operator_named(name).unwrap_or(Operator::Equals);
                self.binary(expr, operator, left, right)
            }
            (name, arguments) => {
                let arguments: Vec<&IdedExpr> = arguments.iter().collect();
                self.function(expr, name, false, &arguments)
            }
        }
    }

    fn has(&mut self, tested: &IdedExpr) -> Checked {
        let Expr::Select(select) = &tested.expr else {
            return Err(Broken {
                hint: "write has(a.b), or 'b' in a".to_owned(),
                ..self.syntax(tested, "invalid argument to has() macro".to_owned())
            });
        };
        let (operand, ty) = self.node(&select.operand)?;
        self.member(tested, ty, &select.field)?;
        let node = Node::Has(Box::new(operand), select.field.as_str().into());
        Ok((node, Ty::Bool))
    }

    fn boolean(&mut self, expr: &IdedExpr, operator: &str) -> Result<Node, Broken> {
        let (node, ty) = self.node(expr)?;
        if ty.fits(&Ty::Bool) {
            return Ok(node);
        }
        Err(self.overload(expr, operator, &[ty]))
    }

    fn condition(&mut self, expr: &IdedExpr, parts: [&IdedExpr; 3]) -> Checked {
        let condition = self.boolean(parts[0], "?:")?;
        let (then, then_ty) = self.node(parts[1])?;
        let (otherwise, otherwise_ty) = self.node(parts[2])?;
        if !then_ty.fits(&otherwise_ty) {
            return Err(self.overload(expr, "?:", &[Ty::Bool, then_ty, otherwise_ty]));
        }
        let node = Node::If(Box::new([condition, then, otherwise]));
        Ok((node, then_ty.joined(&otherwise_ty)))
    }

    fn binary(
        &mut self,
        expr: &IdedExpr,
        operator: Operator,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Checked {
        if matches!(operator, Operator::And | Operator::Or) {
            let word = if operator == Operator::And {
                "&&"
            } else {
                "||"
            };
            let sides = [self.boolean(left, word)?, self.boolean(right, word)?];
            return Ok((Node::Binary(operator, Box::new(sides)), Ty::Bool));
        }
        let (left, left_ty) = self.node(left)?;
        let (right, right_ty) = self.node(right)?;
        let Some(ty) = result_of(operator, &left_ty, &right_ty) else {
            return Err(self.overload(expr, word_of(operator), &[left_ty, right_ty]));
        };
        Ok((Node::Binary(operator, Box::new([left, right])), ty))
    }

    fn function(
        &mut self,
        expr: &IdedExpr,
        name: &str,
        member: bool,
        arguments: &[&IdedExpr],
    ) -> Checked {
        let Some(function) = Function::find(name, member) else {
            return Err(self.unknown_function(expr, name, member));
        };
        let (mut nodes, mut types) = (Vec::new(), Vec::new());
        for argument in arguments {
            let (node, ty) = self.node(argument)?;
            nodes.push(node);
            types.push(ty);
        }
        let mut fitting = function.overloads.iter().filter(|(parameters, _)| {
            parameters.len() == types.len()
                && types.iter().zip(*parameters).all(|(ty, kind)| ty.is(*kind))
        });
        let Some((_, kind)) = fitting.next() else {
            return Err(self.overload(expr, name, &types));
        };
        let ty = if fitting.all(|(_, other)| other == kind) {
            Ty::of(*kind)
        } else {
            Ty::Dyn
        };
        if function.name == functions::MATCHES
            && let [_, Node::Const(Val::String(pattern))] = nodes.as_slice()
        {
            let pattern = functions::pattern(pattern).map_err(|error| {
                let hint = "patterns are RE2's: no look-around, no references back";
                let message = format!("bad pattern: {}", last_line(&error.to_string()));
                self.wrong(expr, message, hint)
            })?;
            let text = nodes.swap_remove(0);
            return Ok((Node::Matches(Box::new(text), pattern), ty));
        }
        Ok((Node::Call(function, nodes), ty))
    }

    fn unknown_function(&self, expr: &IdedExpr, name: &str, member: bool) -> Broken {
        let hint = match (member, Function::find(name, !member).is_some()) {
            (true, true) => format!("write {name}(x)"),
            (false, true) => format!("write x.{name}()"),
            _ => {
                let mut known: Vec<_> = functions::FUNCTIONS.iter().map(|f| f.name).collect();
                known.extend(["has", "all", "exists", "exists_one", "filter", "map"]);
                format!("functions and macros are {}", known.join(", "))
            }
        };
        self.wrong(expr, format!("undeclared reference to '{name}'"), &hint)
    }

    fn walk(&mut self, expr: &IdedExpr, target: &IdedExpr, call: &CallExpr, walk: Walk) -> Checked {
        let [variable, rest @ ..] = call.args.as_slice() else {
            return Err(self.syntax(expr, "a macro without arguments".to_owned()));
        };
        let Expr::Ident(variable) = &variable.expr else {
            let message = format!("the first argument of {}() is no name", call.func_name);
            return Err(self.syntax(variable, message));
        };
        let (range, ty) = self.node(target)?;
        let item = match ty {
            Ty::Dyn => Ty::Dyn,
            Ty::List(item) => *item,
            Ty::Map(key, _) => *key,
            other => {
                let message = format!("{}() cannot walk over a {other}", call.func_name);
                return Err(self.wrong(target, message, "it walks over lists and maps"));
            }
        };
        self.locals.push((variable.clone(), item.clone()));
        let parts = self.parts(walk, rest);
        self.locals.pop();
        let (test, make) = parts?;
        let ty = match (walk, &make) {
            (Walk::Map, Some((_, made))) => Ty::list(made.clone()),
            (Walk::Filter, _) => Ty::list(item),
            _ => Ty::Bool,
        };
        let make = make.map(|(node, _)| node);
        let node = WalkNode {
            walk,
            range,
            test,
            make,
        };
        Ok((Node::Walk(Box::new(node)), ty))
    }

    fn parts(&mut self, walk: Walk, rest: &[IdedExpr]) -> Result<Parts, Broken> {
        match (walk, rest) {
            (Walk::Map, [make]) => Ok((None, Some(self.node(make)?))),
            (Walk::Map, [test, make]) => {
                let test = self.boolean(test, "map")?;
                Ok((Some(test), Some(self.node(make)?)))
            }
            (_, [test, ..]) => Ok((Some(self.boolean(test, "the macro")?), None)),
            (_, []) => Ok((None, None)),
        }
    }

    fn overload(&self, expr: &IdedExpr, function: &str, types: &[Ty]) -> Broken {
        let types: Vec<String> = types.iter().map(ToString::to_string).collect();
        self.wrong(
            expr,
            format!("'{function}' cannot be applied to ({})", types.join(", ")),
            "convert one of them, for example with int() or string()",
        )
    }

    fn wrong(&self, expr: &IdedExpr, message: String, hint: &str) -> Broken {
        Broken {
            syntax: false,
            at: self.place(expr),
            message,
            hint: hint.to_owned(),
        }
    }

    fn syntax(&self, expr: &IdedExpr, message: String) -> Broken {
        syntax(self.place(expr), message)
    }

    /// Line and column of a part.
    fn place(&self, expr: &IdedExpr) -> (usize, usize) {
        let offset = self.info.offset_for(expr.id).map_or(0, |(start, _)| start);
        let offset = usize::try_from(offset).unwrap_or(0);
        let (mut line, mut column) = (1, 1);
        let before = self
            .source
            .char_indices()
            .take_while(|(at, _)| *at < offset);
        for (_, character) in before {
            (line, column) = match character {
                '\n' => (line + 1, 1),
                _ => (line, column + 1),
            };
        }
        (line, column)
    }
}

fn last_line(text: &str) -> &str {
    let last = text.lines().last().unwrap_or(text);
    last.strip_prefix("error: ").unwrap_or(last)
}

fn constant(literal: &LiteralValue) -> (Node, Ty) {
    let (value, ty) = match literal {
        LiteralValue::Boolean(boolean) => (Val::Bool(*boolean.inner()), Ty::Bool),
        LiteralValue::Bytes(bytes) => (Val::Bytes(bytes.inner().into()), Ty::Bytes),
        LiteralValue::Double(double) => (Val::Double(*double.inner()), Ty::Double),
        LiteralValue::Int(int) => (Val::Int(*int.inner()), Ty::Int),
        LiteralValue::Null => (Val::Null, Ty::Null),
        LiteralValue::String(text) => (Val::shared(text.inner()), Ty::String),
        LiteralValue::UInt(uint) => (Val::Uint(*uint.inner()), Ty::Uint),
    };
    (Node::Const(value), ty)
}

/// `a.b.c` as written, if it is nothing but names.
fn qualified(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}

fn type_named(name: &str) -> Option<&'static str> {
    const TYPES: [&str; 12] = [
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        super::time::TIMESTAMP,
        super::time::DURATION,
    ];
    TYPES.into_iter().find(|known| *known == name)
}

fn walk_named(name: &str, arguments: usize) -> Option<Walk> {
    Some(match (name, arguments) {
        ("all", 2) => Walk::All,
        ("exists", 2) => Walk::Exists,
        ("exists_one" | "existsOne", 2) => Walk::ExistsOne,
        ("filter", 2) => Walk::Filter,
        ("map", 2 | 3) => Walk::Map,
        _ => return None,
    })
}

const OPERATORS: [(&str, Operator, &str); 15] = [
    (names::ADD, Operator::Add, "+"),
    (names::SUBSTRACT, Operator::Subtract, "-"),
    (names::MULTIPLY, Operator::Multiply, "*"),
    (names::DIVIDE, Operator::Divide, "/"),
    (names::MODULO, Operator::Modulo, "%"),
    (names::EQUALS, Operator::Equals, "=="),
    (names::NOT_EQUALS, Operator::Differs, "!="),
    (names::LESS, Operator::Less, "<"),
    (names::LESS_EQUALS, Operator::LessEquals, "<="),
    (names::GREATER, Operator::Greater, ">"),
    (names::GREATER_EQUALS, Operator::GreaterEquals, ">="),
    (names::IN, Operator::In, "in"),
    (names::INDEX, Operator::Index, "[]"),
    (names::LOGICAL_AND, Operator::And, "&&"),
    (names::LOGICAL_OR, Operator::Or, "||"),
];

fn operator_named(name: &str) -> Option<Operator> {
    let found = OPERATORS.iter().find(|(own, ..)| *own == name);
    found.map(|(_, operator, _)| *operator)
}

fn word_of(operator: Operator) -> &'static str {
    let found = OPERATORS.iter().find(|(_, own, _)| *own == operator);
    found.map_or("", |(_, _, word)| word)
}

/// The type of an operator's result; `None` where it has no meaning for these types.
fn result_of(operator: Operator, left: &Ty, right: &Ty) -> Option<Ty> {
    match operator {
        Operator::Equals | Operator::Differs => left.meets(right).then_some(Ty::Bool),
        Operator::Less | Operator::LessEquals | Operator::Greater | Operator::GreaterEquals => {
            let ordered = left.is_ordered() && right.is_ordered();
            (ordered && left.meets(right)).then_some(Ty::Bool)
        }
        Operator::In => match right {
            Ty::Dyn => Some(Ty::Bool),
            Ty::List(item) => left.meets(item).then_some(Ty::Bool),
            Ty::Map(key, _) => left.meets(key).then_some(Ty::Bool),
            _ => None,
        },
        Operator::Index => match left {
            Ty::Dyn => Some(Ty::Dyn),
            Ty::List(item) => right.fits(&Ty::Int).then(|| (**item).clone()),
            Ty::Map(key, value) => right.meets(key).then(|| (**value).clone()),
            _ => None,
        },
        _ => arithmetic(operator, left, right),
    }
}

fn arithmetic(operator: Operator, left: &Ty, right: &Ty) -> Option<Ty> {
    let sums = matches!(operator, Operator::Add | Operator::Subtract);
    match (left, right) {
        (Ty::Dyn, other) | (other, Ty::Dyn) => {
            let times = matches!(other, Ty::Timestamp | Ty::Duration) && sums;
            let texts =
                matches!(other, Ty::String | Ty::Bytes | Ty::List(_)) && operator == Operator::Add;
            (other.is_number() || *other == Ty::Dyn || times || texts).then_some(Ty::Dyn)
        }
        (Ty::Double, Ty::Double) => (operator != Operator::Modulo).then_some(Ty::Double),
        (Ty::Int, Ty::Int) => Some(Ty::Int),
        (Ty::Uint, Ty::Uint) => Some(Ty::Uint),
        (Ty::Timestamp, Ty::Duration) if sums => Some(Ty::Timestamp),
        (Ty::Duration, Ty::Timestamp) if operator == Operator::Add => Some(Ty::Timestamp),
        (Ty::Timestamp, Ty::Timestamp) if operator == Operator::Subtract => Some(Ty::Duration),
        (Ty::Duration, Ty::Duration) if sums => Some(Ty::Duration),
        (Ty::String, Ty::String) | (Ty::Bytes, Ty::Bytes) if operator == Operator::Add => {
            Some(left.clone())
        }
        (Ty::List(a), Ty::List(b)) if operator == Operator::Add => {
            a.fits(b).then(|| Ty::list((**a).clone().joined(b)))
        }
        _ => None,
    }
}
