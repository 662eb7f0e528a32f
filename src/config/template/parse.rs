//! From the text of a template to a tree: text, actions, branches.
//!
//! gotmpl parses what stands inside `{{ }}`. The pieces around it are ours, because gotmpl takes a missing
//! or superfluous `{{ end }}` for the end of the file, trims after `{{- /* comment */}}`, trims more than
//! Go's four white-space characters, and recurses without bound over `else if`. Beyond Go, a block that
//! is not closed is told with the line that opens it.

use super::functions;
use gotmpl::TemplateError;
use gotmpl::parse::{Expr, Node as GoNode, Parser, PipeNode};
use std::sync::Arc;

/// How deep blocks may be nested.
const MAX_BLOCKS: usize = 100;

/// What is wrong, and where.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Which file.
    pub(crate) file: usize,
    /// Byte offset in its text.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

/// A piece of a template.
#[derive(Debug)]
pub(crate) enum Node {
    /// Text of the file, from this byte.
    Text(usize, Arc<str>),
    /// `{{ pipeline }}`.
    Action(Pipe),
    /// `if … else if … else`.
    If(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    /// `with … else with … else`.
    With(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    /// `range … else`.
    Range(Pipe, Vec<Node>, Vec<Node>),
    /// `template` and `block`.
    Template(usize, Arc<str>, Option<Pipe>),
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// A pipeline and where it stands.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// What gotmpl understood.
    pub(crate) node: PipeNode,
    /// What its offsets are off by.
    pub(crate) shift: usize,
    /// Byte offset of the `{{`.
    pub(crate) at: usize,
}

impl Pipe {
    /// Byte offset in the file of an offset of gotmpl.
    pub(crate) const fn place(&self, offset: usize) -> usize {
        (self.shift + offset).saturating_sub(2)
    }
}

/// The templates that one file defines: itself first.
pub(crate) type Templates = Vec<(Arc<str>, Vec<Node>)>;

/// Parses a file under its name.
pub(crate) fn parse(file: usize, name: &str, text: &str) -> Result<Templates, Fault> {
    let mut builder = Builder {
        file,
        text,
        stack: vec![Frame::new(Kind::File, 0)],
        done: Vec::new(),
        variables: vec!["$".to_owned()],
    };
    let mut at = 0;
    let mut trim = false;
    loop {
        let open = text.get(at..).and_then(|rest| rest.find("{{"));
        let end = open.map_or(text.len(), |open| at + open);
        let left = open.is_some() && trims_left(text, end);
        builder.text(at, end, trim, left);
        if open.is_none() {
            break;
        }
        let inside = end + if left { 3 } else { 2 };
        let action = closing(text, inside).map_err(|(at, message, hint)| Fault {
            file,
            at,
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        })?;
        if !action.comment {
            builder.action(end, inside, action.end)?;
        }
        at = action.next;
        trim = action.trim;
    }
    builder.finish(name)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `{{- `.
fn trims_left(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    bytes.get(at + 2) == Some(&b'-') && bytes.get(at + 3).copied().is_some_and(is_space)
}

/// Where an action ends.
struct Closing {
    end: usize,
    next: usize,
    trim: bool,
    comment: bool,
}

type Broken = (usize, &'static str, &'static str);

fn closing(text: &str, from: usize) -> Result<Closing, Broken> {
    let bytes = text.as_bytes();
    let starts =
        |at: usize, what: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(what));
    // After a trim marker comes exactly one space before a comment.
    let first = from + usize::from(from >= 1 && bytes.get(from - 1) == Some(&b'-'));
    if starts(first, b"/*") {
        let rest = text.get(first + 2..).unwrap_or_default();
        let close = rest.find("*/").ok_or((
            first,
            "unclosed comment",
            "close it with */}}; comments do not nest",
        ))?;
        let end = first + 2 + close + 2;
        let trim = bytes.get(end).copied().is_some_and(is_space) && starts(end + 1, b"-}}");
        if !trim && !starts(end, b"}}") {
            let hint = "write {{/* … */}}, or {{- /* … */ -}} to trim white space";
            return Err((end, "comment ends before closing delimiter", hint));
        }
        let next = end + if trim { 4 } else { 2 };
        return Ok(Closing {
            end,
            next,
            trim,
            comment: true,
        });
    }
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        if is_space(byte) && starts(at + 1, b"-}}") {
            return Ok(Closing {
                end: at,
                next: at + 4,
                trim: true,
                comment: false,
            });
        }
        if starts(at, b"}}") {
            return Ok(Closing {
                end: at,
                next: at + 2,
                trim: false,
                comment: false,
            });
        }
        at = match byte {
            b'"' | b'\'' => quoted(bytes, at, byte)?,
            b'`' => {
                let rest = bytes.get(at + 1..).unwrap_or_default();
                let close = rest.iter().position(|&b| b == b'`').ok_or((
                    at,
                    "unterminated raw quoted string",
                    "close it with a second `",
                ))?;
                at + close + 2
            }
            _ => at + 1,
        };
    }
    Err((
        from.saturating_sub(2),
        "unclosed action",
        "close it with }}",
    ))
}

fn quoted(bytes: &[u8], from: usize, mark: u8) -> Result<usize, Broken> {
    let mut at = from + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' => break,
            byte if byte == mark => return Ok(at + 1),
            _ => {}
        }
        at += 1;
    }
    Err(if mark == b'"' {
        (
            from,
            "unterminated quoted string",
            "close it with \" on the same line",
        )
    } else {
        (
            from,
            "unterminated character constant",
            "texts stand in \" or `, single characters in '",
        )
    })
}

#[derive(Debug)]
enum Kind {
    File,
    If,
    With,
    Range,
    Define(Arc<str>),
    Block(Arc<str>, Option<Pipe>),
}

impl Kind {
    const fn word(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
            Self::Define(_) => "define",
            Self::Block(..) => "block",
        }
    }
}

/// A block that is open.
struct Frame {
    kind: Kind,
    at: usize,
    branches: Vec<(Pipe, Vec<Node>)>,
    pipe: Option<Pipe>,
    nodes: Vec<Node>,
    in_else: bool,
    /// How many variables were known before, or all of them where a new template begins.
    known: Result<usize, Vec<String>>,
}

impl Frame {
    fn new(kind: Kind, at: usize) -> Self {
        Self {
            kind,
            at,
            branches: Vec::new(),
            pipe: None,
            nodes: Vec::new(),
            in_else: false,
            known: Ok(1),
        }
    }
}

struct Builder<'t> {
    file: usize,
    text: &'t str,
    stack: Vec<Frame>,
    done: Templates,
    variables: Vec<String>,
}

impl Builder<'_> {
    fn fault(&self, at: usize, message: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault {
            file: self.file,
            at,
            message: message.into(),
            hint: Some(hint.into()).filter(|hint| !hint.is_empty()),
        }
    }

    fn text(&mut self, mut from: usize, mut to: usize, left: bool, right: bool) {
        let bytes = self.text.as_bytes();
        while left && from < to && bytes.get(from).copied().is_some_and(is_space) {
            from += 1;
        }
        while right && from < to && bytes.get(to - 1).copied().is_some_and(is_space) {
            to -= 1;
        }
        if let Some(text) = self.text.get(from..to).filter(|text| !text.is_empty()) {
            self.push(Node::Text(from, Arc::from(text)));
        }
    }

    fn push(&mut self, node: Node) {
        if let Some(frame) = self.stack.last_mut() {
            frame.nodes.push(node);
        }
    }

    /// One action: `{{` at `at`, its inside between `from` and `to`.
    fn action(&mut self, at: usize, from: usize, to: usize) -> Result<(), Fault> {
        let inside = self.text.get(from..to).unwrap_or_default();
        let body = inside.trim_start_matches([' ', '\t', '\r', '\n']);
        let from = to - body.len();
        let word = body
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
            .unwrap_or_default();
        match word {
            "if" | "with" | "range" => {
                let kind = match word {
                    "if" => Kind::If,
                    "with" => Kind::With,
                    _ => Kind::Range,
                };
                let pipe = self.control(at, from, body)?;
                self.open(kind, at, Some(pipe))
            }
            "define" | "block" => self.define(word, at, from, body),
            "template" => self.template(at, from, body),
            "else" => self.otherwise(at, from, body),
            "end" => {
                self.nothing_behind(word, from, body)?;
                self.close(at)
            }
            "break" | "continue" => {
                self.nothing_behind(word, from, body)?;
                if !self.in_range() {
                    let message = format!("{{{{{word}}}}} outside {{{{range}}}}");
                    return Err(self.fault(
                        at,
                        message,
                        "it ends or skips a turn of a {{ range }}",
                    ));
                }
                self.push(if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                });
                Ok(())
            }
            _ if body.is_empty() => Err(self.fault(
                at,
                "missing value for command",
                "write something between {{ and }}, or a comment: {{/* … */}}",
            )),
            _ if body.starts_with("/*") => Err(self.fault(
                from,
                "unexpected \"/\" in command",
                "a comment begins right behind the braces: {{/* … */}} or {{- /* … */ -}}",
            )),
            _ => {
                let mut nodes = self.snippet(at, from, body, "")?.0;
                match nodes.pop() {
                    Some(GoNode::Action(action)) if nodes.is_empty() => {
                        let pipe = self.pipe(at, from, action.pipe)?;
                        self.push(Node::Action(pipe));
                        Ok(())
                    }
                    _ => Err(self.fault(at, "unexpected action", "")),
                }
            }
        }
    }

    /// What gotmpl makes of one action.
    fn snippet(
        &self,
        at: usize,
        from: usize,
        body: &str,
        behind: &str,
    ) -> Result<(Vec<GoNode>, Vec<String>), Fault> {
        let source = format!("{{{{{body}}}}}{behind}");
        let parsed = Parser::new(&source, "{{", "}}").and_then(Parser::parse);
        match parsed {
            Ok((list, defines)) => {
                let names = defines.iter().map(|define| define.name.to_string());
                Ok((list.nodes, names.collect()))
            }
            Err(error) => {
                let (line, column, message) = match error {
                    TemplateError::Parse {
                        line, col, message, ..
                    }
                    | TemplateError::Lex {
                        line, col, message, ..
                    } => (line, col, message),
                    other => (0, 0, other.to_string()),
                };
                let offset = offset_of(&source, line, column).min(body.len() + 2);
                let place = if line == 0 {
                    at
                } else {
                    (from + offset).saturating_sub(2)
                };
                Err(self.fault(place, plain(&message), ""))
            }
        }
    }

    fn control(&mut self, at: usize, from: usize, body: &str) -> Result<Pipe, Fault> {
        let mut nodes = self.snippet(at, from, body, "{{end}}")?.0;
        match nodes.pop() {
            Some(GoNode::If(branch) | GoNode::With(branch) | GoNode::Range(branch)) => {
                self.pipe(at, from, branch.pipe)
            }
            _ => Err(self.fault(at, "unexpected action", "")),
        }
    }

    /// Checks what Go checks when it parses: functions and variables exist, later stages are calls.
    fn pipe(&mut self, at: usize, from: usize, node: PipeNode) -> Result<Pipe, Fault> {
        let pipe = Pipe {
            node,
            shift: from,
            at,
        };
        self.known(&pipe, &pipe.node)?;
        for name in &pipe.node.decl {
            if pipe.node.is_assign {
                self.variable(pipe.place(pipe.node.pos.offset), name)?;
            } else {
                self.variables.push(name.to_string());
            }
        }
        Ok(pipe)
    }

    fn variable(&self, at: usize, name: &str) -> Result<(), Fault> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        let hint = format!("declare it with {name} := … before, in this or an outer block");
        Err(self.fault(at, format!("undefined variable {name:?}"), hint))
    }

    fn known(&self, pipe: &Pipe, node: &PipeNode) -> Result<(), Fault> {
        for (stage, command) in node.commands.iter().enumerate() {
            if stage > 0
                && matches!(
                    command.args.first(),
                    Some(
                        Expr::Dot(_)
                            | Expr::Bool(..)
                            | Expr::Nil(_)
                            | Expr::Number(..)
                            | Expr::String(..)
                    )
                )
            {
                let message = format!("non executable command in pipeline stage {}", stage + 1);
                let at = pipe.place(command.pos.offset);
                return Err(self.fault(at, message, "behind a | stands a function"));
            }
            for arg in &command.args {
                self.known_in(pipe, arg)?;
            }
        }
        Ok(())
    }

    fn known_in(&self, pipe: &Pipe, expr: &Expr) -> Result<(), Fault> {
        match expr {
            Expr::Identifier(pos, name) if !functions::exists(name) => {
                let at = pipe.place(pos.offset);
                Err(self.fault(
                    at,
                    format!("function {:?} not defined", name.as_str()),
                    functions::advice(name),
                ))
            }
            Expr::Variable(pos, name, _) => self.variable(pipe.place(pos.offset), name),
            Expr::Pipe(_, inner) => self.known(pipe, inner),
            Expr::Chain(_, inner, _) => self.known_in(pipe, inner),
            _ => Ok(()),
        }
    }

    fn open(&mut self, kind: Kind, at: usize, pipe: Option<Pipe>) -> Result<(), Fault> {
        if self.stack.len() > MAX_BLOCKS {
            let message = format!("blocks are nested more than {MAX_BLOCKS} deep");
            return Err(self.fault(at, message, "move inner ones to templates of their own"));
        }
        let mut frame = Frame::new(kind, at);
        let declared = pipe.as_ref().filter(|pipe| !pipe.node.is_assign);
        let declared = declared.map_or(0, |pipe| pipe.node.decl.len());
        frame.known = match frame.kind {
            Kind::Define(_) | Kind::Block(..) => {
                Err(std::mem::replace(&mut self.variables, vec!["$".to_owned()]))
            }
            _ => Ok(self.variables.len() - declared),
        };
        frame.pipe = pipe;
        self.stack.push(frame);
        Ok(())
    }

    fn define(&mut self, word: &str, at: usize, from: usize, body: &str) -> Result<(), Fault> {
        let block = word == "block";
        if !block && self.stack.len() > 1 {
            let hint = "define templates outside of other blocks; {{ block }} may stand anywhere";
            return Err(self.fault(at, "unexpected {{define}}", hint));
        }
        let (mut nodes, names) = self.snippet(at, from, body, "{{end}}")?;
        let name: Arc<str> = match names.into_iter().next() {
            Some(name) => Arc::from(name),
            None => return Err(self.fault(at, format!("missing name for {word}"), "")),
        };
        if !block {
            return self.open(Kind::Define(name), at, None);
        }
        let pipe = match nodes.pop() {
            Some(GoNode::Template(call)) => call.pipe,
            _ => None,
        };
        let pipe = match pipe {
            Some(pipe) => Some(self.pipe(at, from, pipe)?),
            None => None,
        };
        self.open(Kind::Block(name, pipe), at, None)
    }

    fn template(&mut self, at: usize, from: usize, body: &str) -> Result<(), Fault> {
        let mut nodes = self.snippet(at, from, body, "")?.0;
        let Some(GoNode::Template(call)) = nodes.pop() else {
            return Err(self.fault(at, "unexpected action", ""));
        };
        let pipe = match call.pipe {
            Some(pipe) => Some(self.pipe(at, from, pipe)?),
            None => None,
        };
        self.push(Node::Template(at, Arc::from(call.name.as_str()), pipe));
        Ok(())
    }

    fn otherwise(&mut self, at: usize, from: usize, body: &str) -> Result<(), Fault> {
        let rest = body.get(4..).unwrap_or_default();
        let next = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let next_at = from + body.len() - next.len();
        let word = next
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
            .unwrap_or_default();
        let (allowed, chained) = match self.stack.last().map(|frame| (&frame.kind, frame.in_else)) {
            Some((Kind::If, false)) => (true, word == "if"),
            Some((Kind::With, false)) => (true, word == "with"),
            Some((Kind::Range, false)) => (true, false),
            _ => (false, false),
        };
        if !allowed {
            let hint = "an {{ else }} belongs to an open {{ if }}, {{ with }} or {{ range }}, which has only one";
            return Err(self.fault(at, "unexpected {{else}}", hint));
        }
        if !chained && !next.is_empty() {
            let message = format!("unexpected {:?} in else clause", next.trim_end());
            let hint = "write {{ else }}, or {{ else if … }} inside {{ if }}, {{ else with … }} inside {{ with }}";
            return Err(self.fault(next_at, message, hint));
        }
        let pipe = match chained {
            true => Some(self.control(at, next_at, next)?),
            false => None,
        };
        if let Some(frame) = self.stack.last_mut() {
            let nodes = std::mem::take(&mut frame.nodes);
            if let Some(finished) = std::mem::replace(&mut frame.pipe, pipe) {
                frame.branches.push((finished, nodes));
            }
            frame.in_else = !chained;
        }
        Ok(())
    }

    fn nothing_behind(&self, word: &str, from: usize, body: &str) -> Result<(), Fault> {
        let rest = body.get(word.len()..).unwrap_or_default().trim();
        if rest.is_empty() {
            return Ok(());
        }
        let message = format!("unexpected {rest:?} in {word}");
        Err(self.fault(
            from + word.len(),
            message,
            format!("write {{{{ {word} }}}}"),
        ))
    }

    fn in_range(&self) -> bool {
        let own = self
            .stack
            .iter()
            .rev()
            .take_while(|frame| !matches!(frame.kind, Kind::Define(_) | Kind::Block(..)));
        own.into_iter()
            .any(|frame| matches!(frame.kind, Kind::Range) && !frame.in_else)
    }

    fn close(&mut self, at: usize) -> Result<(), Fault> {
        let superfluous = "unexpected {{end}}";
        let hint =
            "there is no open {{ if }}, {{ with }}, {{ range }}, {{ define }} or {{ block }} here";
        if self.stack.len() < 2 {
            return Err(self.fault(at, superfluous, hint));
        }
        let Some(mut frame) = self.stack.pop() else {
            return Err(self.fault(at, superfluous, hint));
        };
        match std::mem::replace(&mut frame.known, Ok(0)) {
            Ok(count) => self.variables.truncate(count),
            Err(outer) => self.variables = outer,
        }
        let last = std::mem::take(&mut frame.nodes);
        let mut branches = std::mem::take(&mut frame.branches);
        let otherwise = match frame.pipe.take() {
            Some(pipe) => {
                branches.push((pipe, last));
                Vec::new()
            }
            None => last,
        };
        match frame.kind {
            Kind::If => self.push(Node::If(branches, otherwise)),
            Kind::With => self.push(Node::With(branches, otherwise)),
            Kind::Range => {
                if let Some((pipe, body)) = branches.into_iter().next() {
                    self.push(Node::Range(pipe, body, otherwise));
                }
            }
            Kind::Define(name) => self.add(frame.at, name, otherwise)?,
            Kind::Block(name, pipe) => {
                self.push(Node::Template(frame.at, Arc::clone(&name), pipe));
                self.add(frame.at, name, otherwise)?;
            }
            Kind::File => {}
        }
        Ok(())
    }

    /// A template that is not empty is defined once a file.
    fn add(&mut self, at: usize, name: Arc<str>, nodes: Vec<Node>) -> Result<(), Fault> {
        if let Some(found) = self.done.iter_mut().find(|(known, _)| *known == name) {
            if is_empty(&found.1) {
                found.1 = nodes;
            } else if !is_empty(&nodes) {
                let message = format!("template: multiple definition of template {:?}", &*name);
                return Err(self.fault(at, message, "give one of them another name"));
            }
            return Ok(());
        }
        self.done.push((name, nodes));
        Ok(())
    }

    fn finish(mut self, name: &str) -> Result<Templates, Fault> {
        if let Some(frame) = self.stack.get(1..).and_then(<[Frame]>::last) {
            let word = frame.kind.word();
            let message = format!("unexpected EOF: this {{{{ {word} }}}} has no {{{{ end }}}}");
            return Err(self.fault(frame.at, message, "close it with {{ end }}"));
        }
        let nodes = self
            .stack
            .pop()
            .map(|frame| frame.nodes)
            .unwrap_or_default();
        let own: Arc<str> = Arc::from(name);
        if self
            .done
            .iter()
            .any(|(known, body)| *known == own && !is_empty(body))
            && !is_empty(&nodes)
        {
            let message = format!("template: multiple definition of template {name:?}");
            return Err(self.fault(0, message, "a {{ define }} has the name of its own file"));
        }
        let mut all = vec![(own, nodes)];
        all.append(&mut self.done);
        Ok(all)
    }
}

/// Whether a template has nothing but white space; such a definition never replaces another.
pub(crate) fn is_empty(nodes: &[Node]) -> bool {
    nodes
        .iter()
        .all(|node| matches!(node, Node::Text(_, text) if text.trim().is_empty()))
}

/// Byte offset of a line and a column (in characters) of gotmpl.
fn offset_of(source: &str, line: usize, column: usize) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match source.get(start..).and_then(|rest| rest.find('\n')) {
            Some(at) => start += at + 1,
            None => break,
        }
    }
    let rest = source.get(start..).unwrap_or_default();
    let skipped = rest.chars().take(column.saturating_sub(1));
    start + skipped.map(char::len_utf8).sum::<usize>()
}

/// gotmpl's words in ours.
fn plain(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("expected closing delimiter, got ") {
        let token = rest.split_once(" (").map_or(rest, |(_, token)| token);
        return format!("unexpected {} in operand", token.trim_end_matches(')'));
    }
    if message.starts_with("expected RightParen") {
        return "unclosed left paren".to_owned();
    }
    match message {
        "empty command" => "missing value for command".to_owned(),
        other => other.to_owned(),
    }
}
