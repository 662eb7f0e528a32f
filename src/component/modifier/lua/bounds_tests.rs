//! Scripts that want all of the machine, what they leave behind, and the patterns that run on our clock.

use super::tests::{Run, holds};
use std::time::{Duration, Instant};

/// What must end in time, however it goes about it.
const ENDLESS: &[&str] = &[
    "while true do end",
    "repeat until false",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(error) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "local function f() return f() end f()",
    "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "coroutine.wrap(function() while true do coroutine.yield() end end)() while true do end",
    "local t = setmetatable({}, {__index = function(t, k) while true do end end}) pcall(function() return t.x end)",
    "goto again ::again:: goto again",
    "while true do pcall(pcall, pcall, function() while true do end end) end",
    "table.sort({3, 2, 1}, function() while true do end end)",
    "('x'):rep(100):gsub('x', function() while true do end end)",
    "for i = 1, math.huge do loadstring('while true do end')() end",
    "while true do request.load():headers('x') end",
    "while true do print('x') end",
    "while true do tostring(1) end",
];

#[test]
fn endless_scripts_end_with_their_time() {
    for text in ENDLESS {
        let began = Instant::now();
        let run = Run {
            span: Duration::from_millis(50),
            ..Run::pipe()
        };
        let fault = run.fault(text);
        assert_eq!(fault, "script took too long", "{text}");
        // Generous: the machine may be busy; without a clock none of them ever ends.
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
    }
}

#[test]
fn greedy_scripts_run_out_of_memory() {
    for text in [
        "local s = ('x'):rep(1e9)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "local l = luaList.new() l:set(1e9, 1)",
        "local t = luaTable.new() for i = 1, 1e9 do t:set('k' .. i, 'x') end",
        "local t = luaTable.new() for i = 1, 1e9 do t:set('k', luaTable.new()) end",
        "for i = 1, 1e9 do luaList.new() end",
        "string.rep(string.rep('x', 1e6), 1e6)",
    ] {
        let fault = Run::pipe().fault(text);
        assert!(fault.starts_with("not enough memory"), "{text}: {fault}");
    }
}

#[test]
fn deep_recursion_is_an_error_of_the_script_alone() {
    for text in [
        "local function f() return 1 + f() end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
        "local s = ('('):rep(10000) loadstring('return ' .. s)()",
        "local function f() pcall(f) error('x') end f()",
        "local function f() return (('x'):gsub('x', f)) end f()",
        "local function f(a, b) return table.sort({1, 2, 3}, f) end f()",
        "local function f() return coroutine.wrap(f)() end f()",
        "local co co = coroutine.wrap(function() return co() end) co()",
    ] {
        assert!(Run::pipe().run(text).is_err(), "{text}");
    }
}

#[test]
fn memory_comes_back_when_it_is_not_used_any_more() {
    let text = "for i = 1, 200 do local s = ('x'):rep(1e6) .. i end";
    assert_eq!(Run::pipe().fault(text), "");
}

#[test]
fn one_run_leaves_nothing_for_the_next() {
    let spoil =
        "x = 1 string.y = 2 string.upper = nil getmetatable('').__index = {} table.concat = nil
        package.loaded.z = 3 _G.print = nil setmetatable(_G, {__index = function() return 4 end})
        math.floor = nil luaTable.new = nil request.load = nil";
    Run::pipe().run(spoil).unwrap();
    holds(
        Run::pipe,
        &[
            "x == nil and string.y == nil and ('a'):upper() == 'A' and table.concat({}) == ''",
            "package.loaded.z == nil and print ~= nil and getmetatable(_G) == nil",
            "math.floor(1.5) == 1 and luaTable.new() and request.load()",
        ],
    );
}

#[test]
fn random_numbers_differ_from_run_to_run() {
    let draw = || {
        let state = Run::post("{}")
            .run("response.load():headers('x', string.format('%.17f', math.random()))")
            .unwrap();
        state.answer.unwrap().headers["x"].clone()
    };
    assert_ne!(draw(), draw());
}

#[test]
fn patterns_match_as_in_lua() {
    holds(
        Run::pipe,
        &[
            "('hello world'):find('wor') == 7",
            "select(2, ('hello world'):find('wor')) == 9",
            "('hello'):find('l', 1, true) == 3",
            "('a.b'):find('.', 1, true) == 2",
            "('a+b'):find('a+b') == nil",
            "('hello'):find('xyz') == nil",
            "('hello'):find('') == 1",
            "('hello'):find('', 10) == 6",
            "('hello'):find('l', -2) == 4",
            "('hello'):find('^l') == nil",
            "('hello'):find('o$') == 5",
            "select(3, ('key=val'):find('(%w+)=(%w+)')) == 'key'",
            "('key = val'):match('^(%w+)%s*=%s*(%w+)$') == 'key'",
            "select(2, ('key = val'):match('^(%w+)%s*=%s*(%w+)$')) == 'val'",
            "('  trim  '):match('^%s*(.-)%s*$') == 'trim'",
            "('2024-05-06'):match('(%d+)-(%d+)-(%d+)') == '2024'",
            "('f(a(b)c)d'):match('%b()') == '(a(b)c)'",
            "('THE (quick) fox'):find('%((%a+)%)') == 5",
            "('hello'):match('()ll()') == 3",
            "('abcabc'):match('(abc)%1') == 'abc'",
            "('THE fox'):match('%f[%a]%l+') == 'fox'",
            "('x'):match('[^%d]') == 'x' and ('5'):match('[^%d]') == nil",
            "('a-b'):match('[a%-]+') == 'a-'",
            "('m'):match('[a-z]') == 'm' and ('M'):match('[a-z]') == nil",
            "(']'):match('[]]') == ']' and ('x'):match('[^]]') == 'x'",
            "('aaa'):match('a-') == '' and ('aaa'):match('a-$') == 'aaa'",
            "('aaa'):match('a?a?a?a?') == 'aaa'",
            "('ab12'):match('%a+%d+') == 'ab12' and ('12'):match('%a+') == nil",
            "('a\\0b'):find('%z') == 2",
            "('X'):match('%L') == 'X' and ('x'):match('%L') == nil",
            "(function() local t = {} for w in ('one two'):gmatch('%a+') do t[#t+1] = w end return table.concat(t, ',') == 'one,two' end)()",
            "(function() local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[k] = v end return t.a == '1' and t.b == '2' end)()",
            "(function() local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n == 4 end)()",
            "('hello'):gsub('l', 'L') == 'heLLo'",
            "select(2, ('hello'):gsub('l', 'L')) == 2",
            "('hello'):gsub('l', 'L', 1) == 'heLlo'",
            "('hello'):gsub('', '-') == '-h-e-l-l-o-'",
            "('hello world'):gsub('(%w+)', '<%1>') == '<hello> <world>'",
            "('hello'):gsub('%w+', '%0 %0') == 'hello hello'",
            "('50'):gsub('5', '%%') == '%0'",
            "('$name'):gsub('%$(%w+)', {name = 'x'}) == 'x'",
            "('$none'):gsub('%$(%w+)', {}) == '$none'",
            "('abc'):gsub('%w', function(c) return c:upper() end) == 'ABC'",
            "('abc'):gsub('b', function() return false end) == 'abc'",
            "('abc'):gsub('b', function() return 5 end) == 'a5c'",
            "('abc'):gsub('^%w', 'x') == 'xbc'",
            "string.find(12345, 34) == 3",
            "not pcall(string.find, 'a', '[')",
            "not pcall(string.find, 'a', '%')",
            "not pcall(string.find, 'a', '(')",
            "('a)'):find(')') == 2 and not pcall(string.match, 'a', ')')",
            "not pcall(string.find, 'a', '%1')",
            "not pcall(string.gsub, 'a', 'a', '%2')",
            "not pcall(string.gsub, 'a', 'a', true)",
            "not pcall(string.gsub, 'a', 'a')",
            "not pcall(string.find, {}, 'a')",
            "not pcall(string.rep)",
        ],
    );
}

#[test]
fn patterns_that_explode_end_with_their_time() {
    for text in [
        "return (('a'):rep(50000)):find(('a*'):rep(20) .. 'b')",
        "return (('a'):rep(100000)):match('.-.-.-.-b')",
        "return (('a'):rep(100000)):gsub(('a-'):rep(15) .. 'b', '')",
        "for _ in (('a'):rep(100000)):gmatch('.-.-.-b') do end",
        "while true do (('a'):rep(1e6)):find(('a'):rep(5e5) .. 'b', 1, true) end",
    ] {
        let run = Run {
            span: Duration::from_millis(50),
            ..Run::pipe()
        };
        assert_eq!(run.fault(text), "script took too long", "{text}");
    }
}
