//! One interpreter for one run: made fresh, so nothing a script leaves behind can meet another request, with
//! bounds on its memory and its time.
//!
//! Measured (release build, a busy laptop core): a fresh interpreter costs 51 µs, with open libraries 62 µs, the
//! hop to a thread that may block and back 6 µs, the clock 4 ns a loop turn. A pool would have to undo whatever a
//! script can reach (metatables, loaded packages, environments of functions) to save the 51.
//!
//! It is LuaJIT's interpreter, for the `goto` that KrakenD's dialect of Lua 5.1 has; its compiler stays off,
//! because compiled code does not look at the clock. Differs from KrakenD's interpreter: no `channel`; `debug`
//! has `traceback` and `getinfo`; `os.exit`, standard input and bytecode are not available; numbers that
//! are joined with `..` have 14 digits.

use super::ctx::CtxObject;
use super::fault::{self, Fault};
use super::request::RequestObject;
use super::response::ResponseObject;
use super::run::Meter;
use super::source::{Chunk, Lines};
use super::state::State;
use super::{number, remote, tables};
use mlua::chunk::ChunkMode;
use mlua::{
    Function, HookTriggers, Lua, LuaOptions, LuaString, MultiValue, StdLib, Table, UserData, Value,
    VmState,
};
use std::sync::{Arc, LazyLock};

/// Instructions between two looks at the clock.
const STRIDE: u32 = 5000;

/// Largest file that a script may load as code.
const MAX_FILE: u64 = 8 << 20;

/// Bytes that one run may print, and longest line.
const MAX_PRINTED: usize = 64 << 10;

static PRELUDE: &str = include_str!("prelude.lua");

static COMPILED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bytecode = || -> mlua::Result<Vec<u8>> {
        let lua = Lua::new_with(StdLib::NONE, LuaOptions::new())?;
        let function = lua.load(PRELUDE).set_name("=prelude").into_function()?;
        Ok(function.dump(false))
    };
    // A test compiles it, so the text is good; without it no script would start.
    bytecode().unwrap_or_default()
});

/// An interpreter with the state of one request.
#[derive(Debug)]
pub(super) struct Vm {
    lua: Lua,
    /// The interpreter's own, which the script cannot reach.
    pcall: Function,
}

/// Which objects a script finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// `ctx`.
    Head,
    /// `request`, and `response` after the call.
    Pipe,
}

impl Vm {
    /// A fresh interpreter.
    ///
    /// # Errors
    /// When the memory does not even suffice for its libraries.
    pub(super) fn new(scope: Scope, open: bool, memory: usize, state: State) -> mlua::Result<Self> {
        let mut libs = StdLib::TABLE | StdLib::PACKAGE;
        if open {
            libs |= StdLib::IO | StdLib::OS | StdLib::STRING | StdLib::MATH;
        }
        let lua = Lua::new_with(libs, LuaOptions::new())?;
        let globals = lua.globals();
        let pcall = globals.raw_get("pcall")?;
        let meter = state.link.meter.clone();
        lua.set_app_data(state);
        tables::register(&lua)?;
        remote::register(&lua)?;
        match scope {
            Scope::Head => loader(&lua, "ctx", || CtxObject)?,
            Scope::Pipe => loader(&lua, "request", || RequestObject)?,
        }
        let help = helpers(&lua, open)?;
        let prelude = lua.load(COMPILED.as_slice()).set_mode(ChunkMode::Binary);
        prelude.call::<()>((help, open))?;
        // A script's own memory: what the libraries take is not counted.
        lua.set_memory_limit(lua.used_memory().saturating_add(memory))?;
        watch(&lua, meter)?;
        Ok(Self { lua, pcall })
    }

    /// The state; gone until it is put back.
    pub(super) fn take(&self) -> Option<State> {
        self.lua.remove_app_data()
    }

    /// Puts the state of the next run in, with its clock.
    pub(super) fn put(&self, state: State) -> mlua::Result<()> {
        let meter = state.link.meter.clone();
        self.lua.set_app_data(state);
        watch(&self.lua, meter)
    }

    /// Adds `response`.
    pub(super) fn with_response(&self) -> mlua::Result<()> {
        loader(&self.lua, "response", || ResponseObject)
    }

    /// Runs a chunk to its end.
    ///
    /// # Errors
    /// What it died of.
    pub(super) fn run(&self, chunk: &Chunk, lines: &Lines) -> Result<(), Fault> {
        let code = self.lua.load(chunk.code.as_slice());
        let function = code.set_mode(ChunkMode::Binary).into_function()?;
        let outcome: MultiValue = self.pcall.call(function)?;
        let mut outcome = outcome.into_iter();
        match (outcome.next(), outcome.next()) {
            (Some(Value::Boolean(true)), _) => Ok(()),
            (_, error) => Err(self.fault(&error.unwrap_or(Value::Nil), lines)),
        }
    }

    fn fault(&self, error: &Value, lines: &Lines) -> Fault {
        let fired = self
            .lua
            .app_data_ref::<State>()
            .is_some_and(|state| state.link.meter.fired());
        if fired {
            return Fault::new("script took too long");
        }
        Fault::of(error, lines)
    }
}

/// Looks at the clock every few thousand instructions, in every coroutine.
fn watch(lua: &Lua, meter: Arc<Meter>) -> mlua::Result<()> {
    let triggers = HookTriggers::new().every_nth_instruction(STRIDE);
    lua.set_global_hook(triggers, move |_, _| match meter.over() {
        true => Err(mlua::Error::runtime("out of time")),
        false => Ok(VmState::Continue),
    })
}

/// A global table whose function `load` gives an object.
fn loader<T: UserData + Send + Sync + 'static>(
    lua: &Lua,
    name: &str,
    object: fn() -> T,
) -> mlua::Result<()> {
    let table = lua.create_table_with_capacity(0, 1)?;
    let load = lua.create_function(move |lua, _: MultiValue| lua.create_userdata(object()))?;
    table.raw_set("load", load)?;
    lua.globals().raw_set(name, table)
}

/// What the prelude needs of the gateway.
fn helpers(lua: &Lua, open: bool) -> mlua::Result<Table> {
    let help = lua.create_table_with_capacity(0, 12)?;
    help.raw_set("dead", lua.create_function(dead)?)?;
    help.raw_set(
        "told",
        lua.create_function(|_, error: Value| Ok(fault::message(&error)))?,
    )?;
    help.raw_set("encode", lua.create_function(encode)?)?;
    help.raw_set("emit", lua.create_function(emit)?)?;
    help.raw_set(
        "number",
        lua.create_function(|_, x: f64| Ok(number::text(x)))?,
    )?;
    help.raw_set("compile", lua.create_function(compile)?)?;
    help.raw_set("slurp", lua.create_function(slurp)?)?;
    if open {
        help.raw_set("patterns", super::pattern::library(lua)?)?;
        help.raw_set("seed", f64::from(fastrand::u32(..)))?;
        help.raw_set("traceback", lua.create_function(traceback)?)?;
        help.raw_set("getinfo", lua.create_function(getinfo)?)?;
    }
    Ok(help)
}

/// Whether the time of the run that is under way is over.
fn dead(lua: &Lua, (): ()) -> mlua::Result<bool> {
    let state = lua.app_data_ref::<State>();
    Ok(state.is_some_and(|state| state.link.meter.over()))
}

fn encode(_: &Lua, args: MultiValue) -> mlua::Result<String> {
    let mut args = args.into_iter();
    let message = match args.next() {
        Some(Value::String(text)) => text.to_string_lossy(),
        Some(Value::Nil) | None => return Err(mlua::Error::runtime("need arguments")),
        Some(other) => fault::message(&other),
    };
    let status = match args.next() {
        Some(Value::Integer(int)) => Some(int as f64),
        Some(Value::Number(x)) => Some(x),
        Some(Value::String(text)) => text.to_string_lossy().trim().parse().ok(),
        _ => None,
    };
    let content_type = match args.next() {
        Some(Value::String(text)) => Some(text.to_string_lossy()),
        _ => None,
    };
    Ok(fault::encoded(&message, status, content_type.as_deref()))
}

fn emit(lua: &Lua, text: LuaString) -> mlua::Result<()> {
    let Some(mut state) = lua.app_data_mut::<State>() else {
        return Ok(());
    };
    let bytes = text.as_bytes();
    if state.printed >= MAX_PRINTED {
        return Ok(());
    }
    let room = MAX_PRINTED - state.printed;
    let cut = bytes.get(..room).unwrap_or(&bytes);
    state.printed += cut.len().max(1);
    log::info!("{} {}", state.link.label, String::from_utf8_lossy(cut));
    Ok(())
}

/// Source text as a function, or nothing and the compiler's message.
fn compile(lua: &Lua, (text, name): (LuaString, LuaString)) -> mlua::Result<(Value, Value)> {
    let name: String = name.to_string_lossy().replace('\0', " ");
    let bytes = text.as_bytes().to_vec();
    let chunk = lua.load(bytes).set_name(name).set_mode(ChunkMode::Text);
    match chunk.into_function() {
        Ok(function) => Ok((Value::Function(function), Value::Nil)),
        Err(mlua::Error::SyntaxError { message, .. }) => {
            Ok((Value::Nil, Value::String(lua.create_string(message)?)))
        }
        Err(error) => Err(error),
    }
}

/// A file's text, or nothing and why.
fn slurp(lua: &Lua, path: LuaString) -> mlua::Result<(Value, Value)> {
    let path = path.to_string_lossy();
    let read = std::fs::metadata(&path).and_then(|metadata| {
        if metadata.len() > MAX_FILE {
            return Err(std::io::Error::other("file too large"));
        }
        std::fs::read(&path)
    });
    Ok(match read {
        Ok(text) => (Value::String(lua.create_string(text)?), Value::Nil),
        Err(error) => {
            let text = format!("cannot open {path}: {error}");
            (Value::Nil, Value::String(lua.create_string(text)?))
        }
    })
}

fn traceback(lua: &Lua, message: Option<LuaString>) -> mlua::Result<LuaString> {
    let message = message.map(|message| message.to_string_lossy());
    lua.traceback(message.as_deref(), 1)
}

/// `debug.getinfo` of a level of the stack.
fn getinfo(lua: &Lua, level: Value) -> mlua::Result<Option<Table>> {
    let level = match level {
        Value::Integer(int) => usize::try_from(int).unwrap_or(0),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; there is no such level then"
        )]
        Value::Number(x) => x as usize,
        _ => return Ok(None),
    };
    let found = lua.inspect_stack(level, |frame| {
        let source = frame.source();
        let text = |text: Option<std::borrow::Cow<'_, str>>| text.map(|text| text.into_owned());
        (
            frame.current_line(),
            text(source.short_src),
            source.what.to_owned(),
            text(frame.names().name),
        )
    });
    let Some((line, source, what, name)) = found else {
        return Ok(None);
    };
    let info = lua.create_table()?;
    info.raw_set("currentline", line.map_or(-1.0, |line| line as f64))?;
    info.raw_set("short_src", source.clone())?;
    info.raw_set("source", source)?;
    info.raw_set("what", what)?;
    info.raw_set("name", name)?;
    Ok(Some(info))
}
