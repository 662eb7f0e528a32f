//! `luaTable`, `luaList` and `luaNil`: how a script reads and writes JSON. Lists count from 0.

use super::state::{
    Arg, ListRef, Out, Outcome, State, TableRef, call, index, need_arguments, word,
};
use mlua::{Lua, MultiValue, UserData, UserDataMethods};

/// Puts the three constructors into the globals.
pub(super) fn register(lua: &Lua) -> mlua::Result<()> {
    constructor(lua, "luaTable", |state, _| {
        Ok(Out::Table(state.arena.new_table()?))
    })?;
    constructor(lua, "luaList", |state, _| {
        Ok(Out::List(state.arena.new_list()?))
    })?;
    constructor(lua, "luaNil", |_, _| Ok(Out::Null))
}

/// A global table with a function `new`.
pub(super) fn constructor(
    lua: &Lua,
    name: &str,
    new: fn(&mut State, &[Arg]) -> Outcome,
) -> mlua::Result<()> {
    let table = lua.create_table_with_capacity(0, 1)?;
    let new = lua.create_function(move |lua, args: MultiValue| call(lua, &args, new))?;
    table.raw_set("new", new)?;
    lua.globals().raw_set(name, table)
}

type OnNode = fn(&mut State, usize, &[Arg]) -> Outcome;

impl UserData for TableRef {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        let all: [(&str, OnNode); 6] = [
            ("get", table_get),
            ("set", table_set),
            ("len", len),
            ("del", table_del),
            ("keys", keys),
            ("keyExists", key_exists),
        ];
        for (name, method) in all {
            methods.add_method(name, move |lua, this, args: MultiValue| {
                let node = this.0;
                call(lua, &args, |state, args| method(state, node, args))
            });
        }
    }
}

impl UserData for ListRef {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        let all: [(&str, OnNode); 4] = [
            ("get", list_get),
            ("set", list_set),
            ("len", len),
            ("del", list_del),
        ];
        for (name, method) in all {
            methods.add_method(name, move |lua, this, args: MultiValue| {
                let node = this.0;
                call(lua, &args, |state, args| method(state, node, args))
            });
        }
    }
}

fn len(state: &mut State, node: usize, _: &[Arg]) -> Outcome {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let len = state.arena.len(node) as f64;
    Ok(Out::Number(len))
}

fn table_get(state: &mut State, node: usize, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    let key = word(args, 1)?;
    Ok(state.arena.get(node, &key).into())
}

fn table_set(state: &mut State, node: usize, args: &[Arg]) -> Outcome {
    let [_, value, ..] = args else {
        return Err(need_arguments());
    };
    let key = word(args, 1)?;
    if let Some(item) = state.item(value)? {
        state.arena.set(node, &key, item)?;
    }
    Ok(Out::Nothing)
}

fn table_del(state: &mut State, node: usize, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    let key = word(args, 1)?;
    state.arena.del(node, &key);
    Ok(Out::Nothing)
}

fn keys(state: &mut State, node: usize, _: &[Arg]) -> Outcome {
    let keys = state.arena.keys(node).into_iter();
    let texts = keys.map(|key| key.into_string().into_bytes());
    Ok(Out::List(state.arena.list_of(texts)?))
}

fn key_exists(state: &mut State, node: usize, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    let key = word(args, 1)?;
    Ok(Out::Bool(state.arena.has(node, &key)))
}

fn list_get(state: &mut State, node: usize, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    Ok(match index(args, 1)? {
        Some(at) => state.arena.list_get(node, at).into(),
        None => Out::Nothing,
    })
}

fn list_set(state: &mut State, node: usize, args: &[Arg]) -> Outcome {
    let [_, value, ..] = args else {
        return Err(need_arguments());
    };
    if let Some(at) = index(args, 1)?
        && let Some(item) = state.item(value)?
    {
        state.arena.list_set(node, at, item)?;
    }
    Ok(Out::Nothing)
}

fn list_del(state: &mut State, node: usize, args: &[Arg]) -> Outcome {
    if args.is_empty() {
        return Err(need_arguments());
    }
    if let Some(at) = index(args, 1)? {
        state.arena.list_del(node, at);
    }
    Ok(Out::Nothing)
}
