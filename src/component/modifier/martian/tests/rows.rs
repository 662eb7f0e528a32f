//! Rows of `tests`, one a line, their cells separated by ` => `.

/// Modifier, request, what leaves.
pub(super) const REQUESTS: &str = r#"
header.Modifier {"name": "x-a", "value": "1"} => http://u/ => http://u/ ~ x-a: 1
header.Modifier {"NAME": "X-A", "Value": "1"} => http://u/ => http://u/ ~ x-a: 1
header.Modifier {"name": "X-A", "value": "2"} => http://u/ ~ x-a: 0 ~ b: c ~ x-a: 1 => http://u/ ~ b: c ~ x-a: 2
header.Modifier {"name": "X-A"} => http://u/ ~ x-a: 0 => http://u/ ~ x-a:
header.Modifier {"name": "X-A", "value": "1", "scope": []} => http://u/ => http://u/
header.Modifier {"name": "X-A", "value": "1", "scope": null} => http://u/ => http://u/ ~ x-a: 1
header.Modifier {"name": "X-A", "value": "1", "scope": ["response"]} => http://u/ => http://u/
header.Modifier {"name": "Host", "value": "v.example"} => http://u/ => http://u/ ~ host: v.example
header.Modifier {"name": "host", "value": ""} => http://u/ ~ host: old => http://u/
header.Modifier {"name": "Content-Length", "value": "3"} => http://u/ | abc => http://u/ ~ content-length: 3 | abc
header.Modifier {"name": "Content-Length", "value": "4"} => http://u/ | abc => error http: ContentLength=4 with Body length 3
header.Modifier {"name": "Content-Length", "value": "-1"} => http://u/ ~ content-length: 3 | abc => http://u/ | abc
header.Modifier {"name": "Transfer-Encoding", "value": "chunked"} => http://u/ ~ content-length: 3 | abc => http://u/ | abc
header.Modifier {"name": "Transfer-Encoding", "value": "gzip"} => http://u/ | abc => http://u/ | abc
header.Append {"name": "X-A", "value": "2"} => http://u/ ~ x-a: 1 => http://u/ ~ x-a: 1 ~ x-a: 2
header.Append {"name": "X-A", "value": "2"} => http://u/ => http://u/ ~ x-a: 2
header.Append {"name": "Host", "value": "v"} => http://u/ => error proxyutil: illegal header multiple: Host
header.Append {"name": "Content-Length", "value": "3"} => http://u/ | abc => error proxyutil: illegal header multiple: Content-Length
header.Append {"name": "Transfer-Encoding", "value": "chunked"} => http://u/ ~ content-length: 3 | abc => http://u/ | abc
header.Blacklist {"names": ["X-A", "x-b"]} => http://u/ ~ x-a: 1 ~ c: d ~ x-b: 2 ~ x-a: 3 => http://u/ ~ c: d
header.Blacklist {"names": ["Host"]} => http://u/ ~ host: v => http://u/
header.Blacklist {"names": ["Content-Length"]} => http://u/ ~ content-length: 3 | abc => http://u/ | abc
header.Blacklist {} => http://u/ ~ a: b => http://u/ ~ a: b
header.Copy {"from": "A", "to": "B"} => http://u/ ~ a: 1 ~ a: 2 ~ b: 3 => http://u/ ~ a: 1 ~ a: 2 ~ b: 1
header.Copy {"from": "A", "to": "B"} => http://u/ ~ b: 3 => http://u/ ~ b:
header.Copy {"from": "Host", "to": "X-H"} => http://u:81/p => http://u:81/p ~ x-h: u:81
header.Copy {"from": "X-H", "to": "Host"} => http://u/ ~ x-h: v => http://u/ ~ x-h: v ~ host: v
header.Copy {"from": "Content-Length", "to": "X-L"} => http://u/ | abc => http://u/ ~ x-l: 3 | abc
header.Copy {"from": "X-L", "to": "Content-Length"} => http://u/ ~ x-l: y => error strconv.ParseInt: parsing "y": invalid syntax
header.Id {} => http://u/ ~ x-krakend-id: mine => http://u/ ~ x-krakend-id: mine
header.Id {"header": "X-Id"} => http://u/ ~ x-id: mine => http://u/ ~ x-id: mine
header.Verifier {"name": "X-A", "value": "1"} => http://u/ => http://u/
body.Modifier {"contentType": "t/p", "body": "bmV3"} => http://u/ ~ content-type: x ~ content-encoding: gzip ~ content-length: 9 | old => http://u/ ~ content-type: t/p ~ content-length: 3 | new
body.Modifier {"body": "bmV3"} => http://u/ ~ content-type: x => http://u/ ~ content-length: 3 | new
body.Modifier {"contentType": "t/p"} => http://u/ | old => http://u/ ~ content-type: t/p
body.Modifier {"contentType": "t/p", "body": "bmV3", "scope": ["response"]} => http://u/ | old => http://u/ | old
cookie.Modifier {"name": "a", "value": "1"} => http://u/ => http://u/ ~ cookie: a=1
cookie.Modifier {"name": "a", "value": "1", "path": "/x", "maxAge": 3.0} => http://u/ ~ cookie: b=2 => http://u/ ~ cookie: b=2; a=1
cookie.Modifier {"name": "a", "value": "x y"} => http://u/ => http://u/ ~ cookie: a="x y"
url.Modifier {"path": "/new"} => http://u/old?q=1 => http://u/new?q=1
url.Modifier {"path": "/a b/ü"} => http://u/old => http://u/a%20b/%C3%BC
url.Modifier {"path": "/a b"} => http://u/a%20b => http://u/a%20b
url.Modifier {"path": "/a/b"} => http://u/a%2Fb => http://u/a%2Fb
url.Modifier {"path": "new"} => http://u/old => http://u/new
url.Modifier {"query": "z=1&a=2"} => http://u/p?q=1 => http://u/p?z=1&a=2
url.Modifier {"query": "a b#c"} => http://u/p => http://u/p?a%20b%23c
url.Modifier {"host": "v:81"} => http://u/p => http://v:81/p ~ host: u
url.Modifier {"host": "v"} => http://u/p ~ host: w => http://v/p ~ host: w
url.Modifier {"host": "u"} => http://u/p => http://u/p
url.Modifier {"scheme": "https"} => http://u/p => https://u/p
url.Modifier {} => http://u/p? => http://u/p?
port.Modifier {"port": 8080} => http://u:1/p => http://u:8080/p ~ host: u:1
port.Modifier {"port": 80} => http://[::1]/p => http://[::1]:80/p ~ host: [::1]
port.Modifier {"remove": true} => http://u:1/p => http://u/p ~ host: u:1
port.Modifier {"defaultForScheme": true} => https://u:1/p => https://u:443/p ~ host: u:1
port.Modifier {"defaultForScheme": true} => http://u/p => http://u:80/p ~ host: u
querystring.Modifier {"name": "amount", "value": "75"} => http://u/p => http://u/p?amount=75
querystring.Modifier {"name": "b", "value": "x y"} => http://u/p?c=3&b=1&a=%2f&b=2 => http://u/p?a=%2F&b=x+y&c=3
querystring.Modifier {"name": "b"} => http://u/p?x;y=1&%zz=2&z => http://u/p?b=&z=
querystring.Verifier {"name": "b"} => http://u/p => http://u/p
url.Verifier {"host": "other"} => http://u/p => http://u/p
stash.Modifier {"headerName": "X-Url"} => http://u/p?q=1 => http://u/p?q=1 ~ x-url: http://u/p?q=1
static.Modifier {"rootPath": "/nowhere"} => https://u/p => answered 200 http://u/p
"#;

/// Modifier, request, answer, what is left of it.
pub(super) const ANSWERS: &str = r#"
header.Modifier {"name": "X-A", "value": "1"} => http://u/ => 200 ~ x-a: 0 | b => 200 ~ x-a: 1 | b
header.Modifier {"name": "X-A", "value": "1", "scope": ["request"]} => http://u/ => 200 => 200
header.Modifier {"name": "Host", "value": "v"} => http://u/ => 200 => 200
header.Modifier {"name": "Content-Length", "value": "7"} => http://u/ => 200 ~ content-length: 3 | abc => 200 ~ content-length: 3 | abc
header.Append {"name": "X-A", "value": "1"} => http://u/ => 200 ~ x-a: 0 => 200 ~ x-a: 0 ~ x-a: 1
header.Append {"name": "Content-Length", "value": "7"} => http://u/ => 200 | abc => error proxyutil: illegal header multiple: Content-Length
header.Append {"name": "Host", "value": "v"} => http://u/ => 200 => 200
header.Append {"name": "Transfer-Encoding", "value": "x"} => http://u/ => 200 => 200
header.Blacklist {"names": ["X-A", "Content-Length", "Host"]} => http://u/ => 200 ~ x-a: 0 ~ x-a: 1 ~ b: c => 200 ~ b: c
header.Copy {"from": "A", "to": "B"} => http://u/ ~ a: request => 200 ~ a: 1 ~ a: 2 => 200 ~ a: 1 ~ a: 2 ~ b: 1
header.Copy {"from": "Content-Length", "to": "X-L"} => http://u/ => 200 | abc => 200 ~ x-l: 3 | abc
header.Copy {"from": "Host", "to": "X-H"} => http://u/ => 200 => 200 ~ x-h:
header.Id {} => http://u/ => 200 => 200
header.Verifier {"name": "X-A"} => http://u/ => 200 => 200
cookie.Modifier {"name": "a", "value": "1", "path": "/", "domain": "e.com", "expires": "2026-11-22T10:20:32Z", "secure": true, "httpOnly": true, "maxAge": 60} => http://u/ => 200 ~ set-cookie: b=2 => 200 ~ set-cookie: b=2 ~ set-cookie: a=1; Path=/; Domain=e.com; Expires=Sun, 22 Nov 2026 10:20:32 GMT; Max-Age=60; HttpOnly; Secure
url.Modifier {"path": "/x"} => http://u/ => 200 | b => 200 | b
stash.Modifier {"headerName": "X-Url"} => http://u/ ~ x-url: http://old/ => 200 => 200 ~ x-url: http://old/
status.Modifier {"statusCode": 201} => http://u/ => 404 | b => 201 | b
status.Verifier {"statusCode": 201} => http://u/ => 404 => 404
body.Modifier {"contentType": "t/p", "body": "MDEyMzQ1Njc4OQ=="} => http://u/ => 200 ~ content-type: x ~ content-encoding: gzip ~ content-length: 3 | old => 200 ~ content-type: t/p ~ content-length: 10 | 0123456789
body.Modifier {"contentType": "t/p", "body": "MDEyMzQ1Njc4OQ=="} => http://u/ ~ range: bytes=2-4 => 200 | old => 206 ~ content-type: t/p ~ content-range: bytes 2-4/10 ~ content-length: 3 | 234
body.Modifier {"contentType": "t/p", "body": "MDEyMzQ1Njc4OQ=="} => http://u/ ~ range: bytes=8- => 200 | old => 206 ~ content-type: t/p ~ content-range: bytes 8-9/10 ~ content-length: 2 | 89
body.Modifier {"contentType": "t/p", "body": "MDEyMzQ1Njc4OQ=="} => http://u/ ~ range: bytes=8-99 => 200 | old => 206 ~ content-type: t/p ~ content-range: bytes 8-9/10 ~ content-length: 2 | 89
body.Modifier {"contentType": "t/p", "body": "MDEyMzQ1Njc4OQ=="} => http://u/ ~ range: bytes=50- => 200 | old => 416 ~ content-type: t/p ~ content-range: bytes */10 ~ content-length: 0
body.Modifier {"contentType": "t/p", "body": "MDEyMzQ1Njc4OQ=="} => http://u/ ~ range: nonsense => 200 | old => 200 ~ content-type: t/p ~ content-length: 10 | 0123456789
static.Modifier {"rootPath": "/nowhere", "scope": ["response"]} => http://u/x => 200 => 404
static.Modifier {"rootPath": "/nowhere", "scope": ["request"]} => http://u/x => 200 => 200
"#;

/// Filter, request, whose mark it gets; filters without `else` leave none.
pub(super) const REQUEST_FILTERS: &str = r#"
header.Filter {"name": "X-A", "value": "1"} => http://u/ ~ x-a: 0 ~ x-a: 1 => then
header.Filter {"name": "X-A", "value": "1"} => http://u/ ~ x-a: 11 => else
header.Filter {"name": "X-A", "value": ""} => http://u/ ~ x-a: 1 => else
header.Filter {"name": "X-A", "value": ""} => http://u/ ~ x-a: => then
header.Filter {"name": "Host", "value": "u:8"} => http://u:8/ => then
header.Filter {"name": "Content-Length", "value": "3"} => http://u/ | abc => then
header.Filter {"name": "Content-Length", "value": "0"} => http://u/ => else
header.RegexFilter {"header": "X-A", "regex": "^n"} => http://u/ ~ x-a: no => then
header.RegexFilter {"header": "X-A", "regex": "^n"} => http://u/ ~ x-a: yes ~ x-a: no => none
header.RegexFilter {"header": "X-A", "regex": ".*"} => http://u/ => none
header.RegexFilter {"header": "X-A", "regex": ".*"} => http://u/ ~ x-a: => none
cookie.Filter {"name": "a", "value": "1"} => http://u/ ~ cookie: b=2; a=1 => then
cookie.Filter {"name": "a", "value": "1"} => http://u/ ~ cookie: a=2 => else
cookie.Filter {"name": "a"} => http://u/ ~ cookie: a=2 => then
cookie.Filter {"name": "a"} => http://u/ => else
url.Filter {"host": "*.example.com"} => http://a.example.com/ => then
url.Filter {"host": "*.example.com"} => http://example.com/ => else
url.Filter {"scheme": "http", "path": "/a b", "query": "x=1"} => http://u/a%20b?x=1 => then
url.Filter {"query": "x=1"} => http://u/?x=1&y=2 => else
url.Filter {"path": "/a"} => http://u/a/ => else
url.Filter {} => http://u/ => then
url.RegexFilter {"regex": "u/a\\d"} => http://u/a1 => then
url.RegexFilter {"regex": "^u"} => http://u/a1 => else
port.Filter {"port": 80} => http://u/ => then
port.Filter {"port": 443} => https://u/ => then
port.Filter {"port": 8080} => http://u:8080/ => then
port.Filter {"port": 80} => http://u:8080/ => none
querystring.Filter {"name": "a", "value": "x y"} => http://u/?a=1&a=x+y => then
querystring.Filter {"name": "a"} => http://u/?a => then
querystring.Filter {"name": "a", "value": "1"} => http://u/?b=1 => else
"#;

/// Filter, request, answer, whose mark it gets.
pub(super) const ANSWER_FILTERS: &str = r#"
header.Filter {"name": "X-A", "value": "1"} => http://u/ => 200 ~ x-a: 1 => then
header.Filter {"name": "X-A", "value": "1"} => http://u/ ~ x-a: 1 => 200 => else
header.Filter {"name": "Host", "value": "u"} => http://u/ => 200 => else
header.RegexFilter {"header": "X-A", "regex": "1"} => http://u/ ~ x-a: 1 => 200 => then
header.RegexFilter {"header": "X-A", "regex": "1"} => http://u/ => 200 ~ x-a: 1 => none
cookie.Filter {"name": "a", "value": "1"} => http://u/ => 200 ~ set-cookie: a=1; Path=/ => then
cookie.Filter {"name": "a"} => http://u/ ~ cookie: a=1 => 200 => else
url.Filter {"path": "/p"} => http://u/p => 200 => then
url.RegexFilter {"regex": "/q$"} => http://u/p => 200 => else
port.Filter {"port": 80} => http://u/ => 200 => then
port.Filter {"port": 81} => http://u/ => 200 => none
querystring.Filter {"name": "a"} => http://u/?a=1 => 200 => then
"#;

/// Settings, code, place, a part of the hint.
pub(super) const REFUSED: &str = r#"
{} => BadValue => /m => fifo.Group
{"header.Modifier": {"name": "A"}, "header.Id": {}} => BadValue => /m => fifo.Group
{"header.Modifer": {}} => BadValue => /m/header.Modifer => did you mean "header.Modifier"?
{"header.modifier": {}} => BadValue => /m/header.modifier => did you mean "header.Modifier"?
{"log.Logger": {}} => BadValue => /m/log.Logger => KrakenD leaves it out
{"header.Zzzzzzzzz": {}} => BadValue => /m/header.Zzzzzzzzz => header.Append
{"header.Modifier": []} => WrongType => /m/header.Modifier => {…}
{"header.Modifier": {"name": 5}} => WrongType => /m/header.Modifier/name => no types
{"header.Modifier": {"name": "A", "Scope": "request"}} => WrongType => /m/header.Modifier/Scope => ["request"]
{"header.Modifier": {"name": "A", "scope": ["req"]}} => BadValue => /m/header.Modifier/scope/0 => ["request"]
{"header.Id": {"scope": ["response"]}} => BadValue => /m/header.Id/scope/0 => write ["request"]
{"url.Modifier": {"scope": ["request", "response"]}} => BadValue => /m/url.Modifier/scope/1 => ["request"]
{"status.Modifier": {"statusCode": 200, "scope": ["request"]}} => BadValue => /m/status.Modifier/scope/0 => ["response"]
{"status.Modifier": {"statusCode": 99}} => OutOfRange => /m/status.Modifier/statusCode => 200
{"status.Modifier": {"statusCode": 200.5}} => WrongType => /m/status.Modifier/statusCode => -
{"stash.Modifier": {"headerName": "A", "scope": ["response"]}} => BadValue => /m/stash.Modifier/scope => "request", "response"
{"port.Modifier": {}} => BadValue => /m/port.Modifier => one of them
{"port.Modifier": {"port": 1, "remove": true}} => BadValue => /m/port.Modifier => one of them
{"port.Modifier": {"port": 70000}} => OutOfRange => /m/port.Modifier/port => 65535
{"body.Modifier": {"body": "*"}} => BadValue => /m/body.Modifier/body => base64
{"cookie.Modifier": {"name": "a", "expires": "soon"}} => BadValue => /m/cookie.Modifier/expires => 2030
{"cookie.Modifier": {"name": "a b"}} => BadValue => /m/cookie.Modifier/name => letters
{"url.RegexFilter": {"regex": "(", "modifier": {"header.Modifier": {"name": "A"}}}} => BadValue => /m/url.RegexFilter/regex => RE2
{"header.RegexFilter": {"header": "A", "regex": "(?=a)", "modifier": {"header.Modifier": {"name": "A"}}}} => BadValue => /m/header.RegexFilter/regex => RE2
{"header.Filter": {"name": "A"}} => BadValue => /m/header.Filter => add "modifier"
{"header.Filter": {"name": "A", "modifier": {"header.Modifier": {"name": "A"}}, "else": null}} => WrongType => /m/header.Filter/else => fifo.Group
{"fifo.Group": {"modifiers": [{"header.Modifier": {"name": "A"}}, {"x.Y": {}}]}} => BadValue => /m/fifo.Group/modifiers/1/x.Y => write one of
{"priority.Group": {"modifiers": [{"priority": 1}]}} => BadValue => /m/priority.Group/modifiers/0 => modifier
{"url.Modifier": {"scheme": "ftp"}} => BadValue => /m/url.Modifier/scheme => https
{"url.Modifier": {"host": "a b"}} => BadHost => /m/url.Modifier/host => example.com
{"static.Modifier": {}} => BadValue => /m/static.Modifier => rootPath
{"static.Modifier": {"rootPath": "/", "explicitPaths": {"/a": 1}}} => WrongType => /m/static.Modifier/explicitPaths => -
{"header.Modifier": {"name": "Content-Length", "value": "x"}} => BadValue => /m/header.Modifier/value => digits
{"header.Blacklist": {"names": ["A", "b c"]}} => BadValue => /m/header.Blacklist/names/1 => X-Name
"#;
