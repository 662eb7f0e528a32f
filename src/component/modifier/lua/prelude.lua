-- What every script finds changed in the standard library, before its own first line.
local help, open = ...
local dead, told, encode, emit, number = help.dead, help.told, help.encode, help.emit, help.number
local compile, slurp = help.compile, help.slurp
local pcall, xpcall, error, type, tostring, select = pcall, xpcall, error, type, tostring, select
local concat = table.concat

-- Each of these goes through the call stack of the process, which no limit of the interpreter knows.
local depth, deepest = 0, 40

local function left(ok, ...)
  depth = depth - 1
  if ok then return ... end
  error((...), 0)
end

local function guarded(f)
  return function(...)
    if depth >= deepest then error("stack overflow", 2) end
    depth = depth + 1
    return left(pcall(f, ...))
  end
end

-- The end of a script's time cannot be caught, and errors of our own functions are text.
local function caught(ok, ...)
  if ok then return ok, ... end
  if dead() then error("out of time", 0) end
  local e = ...
  if type(e) == "userdata" then e = told(e) end
  return false, e
end

_G.pcall = function(...) return caught(pcall(...)) end

-- An error of the clock is raised where the clock does not tick: no handler may run there.
_G.xpcall = function(f, handler, ...)
  return caught(xpcall(f, function(e)
    if dead() then return e end
    if type(e) == "userdata" then e = told(e) end
    return handler(e)
  end, ...))
end

custom_error = function(...) error(encode(...), 0) end

_G.tostring = function(...)
  local v = ...
  if type(v) == "number" then return number(v) end
  return tostring(...)
end
local text = _G.tostring

print = function(...)
  local parts = { ... }
  for i = 1, select("#", ...) do parts[i] = text(parts[i]) end
  emit(concat(parts, "\t"))
end

table.sort = guarded(table.sort)
require = guarded(require)

-- Text only: bytecode is not checked by the interpreter.
loadstring = function(source, name) return compile(source, name or source) end

load = function(source, name)
  if type(source) == "string" then return compile(source, name or source) end
  local pieces, size = {}, 0
  while true do
    local piece = source()
    if piece == nil or piece == "" then break end
    size = size + 1
    pieces[size] = piece
  end
  return compile(concat(pieces), name or "=(load)")
end

loadfile = function(path)
  local source, e = slurp(path)
  if not source then return nil, e end
  return compile(source, "@" .. path)
end

dofile = function(path)
  local f, e = loadfile(path)
  if not f then error(e, 2) end
  return f()
end

-- Whole cycles: by small steps the collector does not keep up with large strings, and the memory of a script
-- would be full of what nobody needs.
collectgarbage("setstepmul", 0)
collectgarbage("setpause", 150)

-- Finalizers run where no clock reaches them.
newproxy = nil

if not open then
  coroutine = nil
  package.loaded.coroutine = nil
  return
end

local create, resume = coroutine.create, coroutine.resume

local function rest(...)
  depth = depth - 1
  return caught(...)
end

coroutine.resume = function(...)
  if depth >= deepest then return false, "stack overflow" end
  depth = depth + 1
  return rest(resume(...))
end
local again = coroutine.resume

local function unwrapped(ok, ...)
  if ok then return ... end
  error((...), 0)
end

coroutine.wrap = function(f)
  local co = create(f)
  return function(...) return unwrapped(again(co, ...)) end
end

string.dump = nil
for name, f in next, help.patterns do string[name] = f end
string.gsub = guarded(string.gsub)
string.format = guarded(string.format)
math.randomseed(help.seed)

os.exit = function() error("os.exit is not available: it would end the gateway", 2) end
os.setlocale = function(locale)
  if locale == nil or locale == "" or locale == "C" then return "C" end
  return nil
end

local lines = io.lines
io.stdin = nil
io.read = function() return nil end
io.lines = function(path, ...)
  if path == nil then error("standard input is not available", 2) end
  return lines(path, ...)
end

debug = { traceback = help.traceback, getinfo = help.getinfo }
package.loaded.debug = debug
