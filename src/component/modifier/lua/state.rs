//! What a run works on, beside its interpreter: the request, the answer, the opened data. Scripts reach it
//! through methods that are plain functions from arguments to a result, so they can be tested without Lua.

use super::data::{Arena, DataError, Got, Item, number_value, text_value};
use super::number;
use super::remote::Fetched;
use super::run::Link;
use crate::body::Value as Json;
use crate::gateway::message::{Answer, Request, Rewritten};
use mlua::{IntoLuaMulti, Lua, MultiValue, UserData, UserDataMethods, Value};

/// Nesting of Lua tables that are put into data.
const MAX_TABLE_DEPTH: usize = 200;

/// A client's request at the head of an endpoint.
#[derive(Debug)]
pub(super) struct HeadSubject {
    /// The request; a copy that takes the client's place when the script is done.
    pub(super) own: Box<Rewritten>,
    /// Parameters by the names of the endpoint's path.
    pub(super) params: Vec<(String, String)>,
    /// The parameters are no longer the path's.
    pub(super) params_changed: bool,
}

/// Whose request a script sees.
#[derive(Debug, Default)]
pub(super) enum Subject {
    /// None: the script never looks at it.
    #[default]
    Nothing,
    /// `ctx`.
    Head(HeadSubject),
    /// `request`.
    Request(Box<Request>),
}

/// Everything that the methods of one run work on.
#[derive(Debug)]
pub(super) struct State {
    /// `ctx` or `request`.
    pub(super) subject: Subject,
    /// `response`.
    pub(super) answer: Option<Box<Answer>>,
    /// The answer's data, once the script asked for it.
    pub(super) root: Option<usize>,
    /// Opened containers.
    pub(super) arena: Arena,
    /// Answers of `http_response`.
    pub(super) fetched: Vec<Fetched>,
    /// The way to the network, and the clock.
    pub(super) link: Link,
    /// Bytes of `print` so far.
    pub(super) printed: usize,
}

/// An argument.
#[derive(Debug)]
pub(super) enum Arg {
    /// `nil`.
    Nil,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(Vec<u8>),
    /// A `luaTable`.
    Table(usize),
    /// A `luaList`.
    List(usize),
    /// A `luaNil`.
    Null,
    /// A Lua table.
    Lua(mlua::Table),
    /// Something that no method takes: its type.
    Other(&'static str),
}

/// A result.
#[derive(Debug)]
pub(super) enum Out {
    /// No value at all.
    Nothing,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(Vec<u8>),
    /// A `luaTable`.
    Table(usize),
    /// A `luaList`.
    List(usize),
    /// A `luaNil`.
    Null,
    /// An `http_response`.
    Fetched(usize),
}

/// Why a method failed; becomes a Lua error.
pub(super) type Fail = String;

/// What every method returns.
pub(super) type Outcome = Result<Out, Fail>;

impl From<DataError> for Fail {
    fn from(error: DataError) -> Self {
        error.to_string()
    }
}

impl From<Got> for Out {
    fn from(got: Got) -> Self {
        match got {
            Got::Missing => Self::Nothing,
            Got::Null => Self::Null,
            Got::Bool(b) => Self::Bool(b),
            Got::Number(x) => Self::Number(x),
            Got::Text(text) => Self::Text(text),
            Got::Table(node) => Self::Table(node),
            Got::List(node) => Self::List(node),
        }
    }
}

impl Arg {
    /// A value of the interpreter.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Nil => Self::Nil,
            Value::Boolean(b) => Self::Bool(*b),
            #[expect(
                clippy::cast_precision_loss,
                reason = "every number of the interpreter is a float"
            )]
            Value::Integer(int) => Self::Number(*int as f64),
            Value::Number(x) => Self::Number(*x),
            Value::String(text) => Self::Text(text.as_bytes().to_vec()),
            Value::Table(table) => Self::Lua(table.clone()),
            Value::UserData(data) => {
                if let Ok(table) = data.borrow::<TableRef>() {
                    Self::Table(table.0)
                } else if let Ok(list) = data.borrow::<ListRef>() {
                    Self::List(list.0)
                } else if data.is::<NilRef>() {
                    Self::Null
                } else {
                    Self::Other("userdata")
                }
            }
            other => Self::Other(other.type_name()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Table(_) | Self::List(_) | Self::Null => "userdata",
            Self::Lua(_) => "table",
            Self::Other(kind) => kind,
        }
    }
}

/// The error of a method that was called with too few arguments.
pub(super) fn need_arguments() -> Fail {
    "need arguments".to_owned()
}

/// The text of an argument; numbers are written as KrakenD's interpreter does. `at` counts from 1.
pub(super) fn text(args: &[Arg], at: usize) -> Result<Vec<u8>, Fail> {
    match args.get(at - 1) {
        Some(Arg::Text(text)) => Ok(text.clone()),
        Some(Arg::Number(x)) => Ok(number::text(*x).into_bytes()),
        other => Err(mismatch(at, "string", other)),
    }
}

/// The text of an argument where only UTF-8 makes sense.
pub(super) fn word(args: &[Arg], at: usize) -> Result<String, Fail> {
    String::from_utf8(text(args, at)?).map_err(|_| format!("argument #{at} is no UTF-8"))
}

/// The number of an argument; numerals count.
pub(super) fn float(args: &[Arg], at: usize) -> Result<f64, Fail> {
    match args.get(at - 1) {
        Some(Arg::Number(x)) => Ok(*x),
        Some(Arg::Text(text)) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| mismatch(at, "number", args.get(at - 1))),
        other => Err(mismatch(at, "number", other)),
    }
}

/// The place in a list; `None` for a negative one.
pub(super) fn index(args: &[Arg], at: usize) -> Result<Option<usize>, Fail> {
    let x = float(args, at)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and negative ones are taken out"
    )]
    let place = (x >= 0.0).then_some(x as usize);
    Ok(place)
}

/// The boolean of an argument.
pub(super) fn truth(args: &[Arg], at: usize) -> Result<bool, Fail> {
    match args.get(at - 1) {
        Some(Arg::Bool(b)) => Ok(*b),
        other => Err(mismatch(at, "boolean", other)),
    }
}

/// The error of an argument of the wrong type.
pub(super) fn mismatch(at: usize, wanted: &str, got: Option<&Arg>) -> Fail {
    let got = got.map_or("no value", Arg::kind);
    format!("bad argument #{at} ({wanted} expected, got {got})")
}

/// A reference to an opened object.
pub(super) struct TableRef(pub(super) usize);

/// A reference to an opened list.
pub(super) struct ListRef(pub(super) usize);

/// JSON's `null`.
pub(super) struct NilRef;

impl UserData for NilRef {}

impl IntoLuaMulti for Out {
    fn into_lua_multi(self, lua: &Lua) -> mlua::Result<MultiValue> {
        let data = |data| MultiValue::from_iter([Value::UserData(data)]);
        Ok(match self {
            Self::Nothing => MultiValue::new(),
            Self::Bool(b) => MultiValue::from_iter([Value::Boolean(b)]),
            Self::Number(x) => MultiValue::from_iter([Value::Number(x)]),
            Self::Text(text) => MultiValue::from_iter([Value::String(lua.create_string(text)?)]),
            Self::Table(node) => data(lua.create_userdata(TableRef(node))?),
            Self::List(node) => data(lua.create_userdata(ListRef(node))?),
            Self::Null => data(lua.create_userdata(NilRef)?),
            Self::Fetched(at) => data(lua.create_userdata(super::remote::FetchedRef(at))?),
        })
    }
}

/// Calls a method with the state of this run.
pub(super) fn call(
    lua: &Lua,
    args: &MultiValue,
    method: impl FnOnce(&mut State, &[Arg]) -> Outcome,
) -> mlua::Result<Out> {
    let args: Vec<Arg> = args.iter().map(Arg::of).collect();
    let mut state = lua
        .app_data_mut::<State>()
        .ok_or_else(|| mlua::Error::runtime("no request here"))?;
    if state.link.meter.over() {
        return Err(mlua::Error::runtime("out of time"));
    }
    method(&mut state, &args).map_err(mlua::Error::runtime)
}

/// Adds a method that needs nothing of its object.
pub(super) fn add<T: 'static, M: UserDataMethods<T>>(
    methods: &mut M,
    name: &'static str,
    method: fn(&mut State, &[Arg]) -> Outcome,
) {
    methods.add_method(name, move |lua, _, args: MultiValue| {
        call(lua, &args, method)
    });
}

impl State {
    /// An argument as an item of data; `None` for what leaves the data alone (`nil`, functions).
    pub(super) fn item(&mut self, arg: &Arg) -> Result<Option<Item>, Fail> {
        Ok(Some(match arg {
            Arg::Bool(b) => Item::Plain(Json::Bool(*b)),
            Arg::Number(x) => Item::Plain(number_value(*x)?),
            Arg::Text(text) => Item::Plain(text_value(text.clone())),
            Arg::Table(node) | Arg::List(node) => Item::Node(*node),
            Arg::Null => Item::Plain(Json::Null),
            Arg::Lua(table) => Item::Node(self.object(table, 0)?),
            Arg::Nil | Arg::Other(_) => return Ok(None),
        }))
    }

    /// A Lua table as an object, its keys as text.
    fn object(&mut self, table: &mlua::Table, depth: usize) -> Result<usize, Fail> {
        if depth > MAX_TABLE_DEPTH {
            return Err(DataError::Depth.into());
        }
        let object = self.arena.new_table()?;
        for (key, value) in pairs(table) {
            let key = match key {
                Value::Integer(int) => int.to_string(),
                Value::Number(x) => number::text(x),
                Value::String(text) => text.to_string_lossy(),
                Value::Boolean(b) => b.to_string(),
                _ => continue,
            };
            if let Some(item) = self.nested(&value, depth)? {
                self.arena.set(object, &key, item)?;
            }
        }
        Ok(object)
    }

    /// A value inside a Lua table: an empty table is `null`, one with only whole keys a list.
    fn nested(&mut self, value: &Value, depth: usize) -> Result<Option<Item>, Fail> {
        let Value::Table(table) = value else {
            return self.item(&Arg::of(value));
        };
        let mut keys = Vec::new();
        for (key, _) in pairs(table) {
            keys.push(match key {
                Value::Integer(int) => Some(int),
                #[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
                #[expect(clippy::cast_precision_loss, reason = "compared with what it was")]
                Value::Number(x) if (x as i64) as f64 == x => Some(x as i64),
                _ => None,
            });
        }
        if keys.is_empty() {
            return Ok(Some(Item::Plain(Json::Null)));
        }
        let Some(mut keys) = keys.into_iter().collect::<Option<Vec<i64>>>() else {
            return Ok(Some(Item::Node(self.object(table, depth + 1)?)));
        };
        if depth > MAX_TABLE_DEPTH {
            return Err(DataError::Depth.into());
        }
        keys.sort_unstable();
        let list = self.arena.new_list()?;
        for key in keys {
            let value: Value = table.raw_get(key).unwrap_or(Value::Nil);
            if let Some(item) = self.nested(&value, depth + 1)? {
                let at = self.arena.len(list);
                self.arena.list_set(list, at, item)?;
            }
        }
        Ok(Some(Item::Node(list)))
    }
}

/// The pairs of a table; runs no code of the script.
fn pairs(table: &mlua::Table) -> Vec<(Value, Value)> {
    table.pairs::<Value, Value>().flatten().collect()
}
