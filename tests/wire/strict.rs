//! RFC 9112 as a second opinion: reads one message from the front of some bytes and takes nothing that the
//! grammar does not allow. Slow and plain on purpose; it shares no line with the gateway.

/// Whose bytes are read: what a gateway may say to a backend is less than what a client may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// HTTP/1.1, origin form, one host, no field that ends at the next hop or may not stand in a trailer.
    Gateway,
    /// HTTP/1.0 too, absolute form and `*`, empty lines in front.
    Client,
}

/// A request that was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, in the order of arrival.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Whether the sender leaves the connection open for another request.
    pub(crate) stays: bool,
}

/// An answer that was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// What was read and how many bytes it took; `None` when there must be more; or what is wrong.
pub(crate) type Read<T> = Result<Option<(T, usize)>, String>;

/// Names and values.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(usize),
    Chunked,
    Close,
}

pub(crate) fn is_token(text: &[u8]) -> bool {
    const MARKS: &[u8] = b"!#$%&'*+-.^_`|~";
    !text.is_empty()
        && text
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || MARKS.contains(b))
}

fn is_value(text: &[u8]) -> bool {
    text.iter()
        .all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f))
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let start = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |at| at + 1);
    &text[start..end]
}

/// The next line without its CRLF, and where the one after begins.
pub(crate) fn line(bytes: &[u8], at: usize) -> Read<&[u8]> {
    let Some(length) = bytes[at..].iter().position(|b| *b == b'\n') else {
        return Ok(None);
    };
    let Some((b'\r', line)) = bytes[at..at + length].split_last() else {
        return Err("a line ends with LF alone".to_owned());
    };
    if line.contains(&b'\r') || line.contains(&0) {
        return Err("CR or NUL inside a line".to_owned());
    }
    Ok(Some((line, at + length + 1)))
}

/// Reads one request.
pub(crate) fn request(bytes: &[u8], from: From) -> Read<Request> {
    let mut at = 0;
    while from == From::Client && bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    if at == bytes.len() {
        return Ok(None);
    }
    let Some((first, next)) = line(bytes, at)? else {
        return Ok(None);
    };
    let (method, target, minor) = request_line(first, from)?;
    let Some((fields, body_at)) = fields(bytes, next)? else {
        return Ok(None);
    };
    hosts(&fields, &target, minor, from)?;
    let framing = match stated(&fields, minor)? {
        Framing::Close => Framing::Empty,
        framing => framing,
    };
    let options: Vec<String> = all(&fields, "connection")
        .flat_map(|value| value.split(|b| *b == b','))
        .map(|word| String::from_utf8_lossy(trim(word)).to_ascii_lowercase())
        .collect();
    let says = |word: &str| options.iter().any(|option| option == word);
    let upgrade = minor == 1 && says("upgrade") && all(&fields, "upgrade").next().is_some();
    if from == From::Gateway {
        hops(&fields, &options, upgrade)?;
    }
    let Some((body, end)) = body(bytes, body_at, framing, from)? else {
        return Ok(None);
    };
    let stays = !says("close") && (minor == 1 || says("keep-alive"));
    let request = Request {
        method,
        target,
        fields,
        body,
        stays,
    };
    Ok(Some((request, end)))
}

fn request_line(line: &[u8], from: From) -> Result<(String, String, u8), String> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [method, target, version] = words[..] else {
        return Err("a request line has three words".to_owned());
    };
    if !is_token(method) || method.len() > 32 {
        return Err("the method is no token".to_owned());
    }
    let minor = match (version, from) {
        (b"HTTP/1.1", _) => 1,
        (b"HTTP/1.0", From::Client) => 0,
        _ => return Err("the version is not served".to_owned()),
    };
    let visible = |b: &u8| b.is_ascii_graphic() && *b != b'#';
    if target.is_empty() || !target.iter().all(visible) {
        return Err("bytes that no target may have".to_owned());
    }
    let method = String::from_utf8_lossy(method).into_owned();
    let target = String::from_utf8_lossy(target).into_owned();
    let origin = target.starts_with('/') || (method == "OPTIONS" && target == "*");
    let absolute = from == From::Client && authority(&target).is_some_and(is_host);
    if method == "CONNECT" || !(origin || absolute) {
        return Err("a form of target that is not served".to_owned());
    }
    Ok((method, target, minor))
}

fn authority(target: &str) -> Option<&str> {
    let lower = target.to_ascii_lowercase();
    let start = ["http://", "https://"]
        .iter()
        .find(|scheme| lower.starts_with(**scheme))?
        .len();
    let rest = &target[start..];
    Some(rest.split(['/', '?']).next().unwrap_or_default())
}

fn is_host(host: &str) -> bool {
    let (name, port) = if host.starts_with('[') {
        let Some((address, port)) = host.split_once(']') else {
            return false;
        };
        let inside = address.trim_start_matches('[');
        if inside.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        ("v6", port)
    } else {
        host.split_at(host.find(':').unwrap_or(host.len()))
    };
    let marks = "-._~%!$&'()*+;=";
    let port_is_one = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.len() <= 5
                && digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u32>().unwrap_or(0) < 65_536
        });
    !name.is_empty()
        && port_is_one
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}

fn hosts(fields: &Fields, target: &str, minor: u8, from: From) -> Result<(), String> {
    let hosts: Vec<&[u8]> = all(fields, "host").collect();
    match hosts[..] {
        [] if minor == 0 => Ok(()),
        [host] => {
            let host = String::from_utf8_lossy(host);
            let named = authority(target).filter(|_| from == From::Client);
            if !is_host(&host) {
                return Err(format!("Host is {host:?}"));
            }
            match named {
                Some(named) if !named.eq_ignore_ascii_case(&host) => {
                    Err("target and Host differ".to_owned())
                }
                _ => Ok(()),
            }
        }
        _ => Err(format!("{} Hosts", hosts.len())),
    }
}

/// All values of a field.
pub(crate) fn all<'f>(fields: &'f Fields, name: &str) -> impl Iterator<Item = &'f [u8]> {
    fields
        .iter()
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| value.as_slice())
}

/// Field lines up to the empty one.
fn fields(bytes: &[u8], mut at: usize) -> Read<Fields> {
    let mut fields = Vec::new();
    // Only a whole section is judged: whoever waits for its end cannot have refused it yet.
    let whole =
        bytes[at..].starts_with(b"\r\n") || bytes[at..].windows(4).any(|four| four == b"\r\n\r\n");
    while let Some((text, next)) = line(bytes, at)? {
        at = next;
        if text.is_empty() {
            return Ok(Some((fields, at)));
        }
        if !whole {
            continue;
        }
        let colon = text.iter().position(|b| *b == b':').ok_or("no colon")?;
        let (name, value) = (&text[..colon], &text[colon + 1..]);
        if !is_token(name) || !is_value(value) {
            return Err("bytes that no field may have".to_owned());
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push((name, trim(value).to_vec()));
    }
    Ok(None)
}

/// What the fields say of the body; [`Framing::Close`] when they say nothing.
pub(crate) fn stated(fields: &Fields, minor: u8) -> Result<Framing, String> {
    let lengths: Vec<&[u8]> = all(fields, "content-length").collect();
    let codings: Vec<&[u8]> = all(fields, "transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::Close),
        ([length], []) => {
            let plain =
                !length.is_empty() && length.len() <= 18 && length.iter().all(u8::is_ascii_digit);
            let number = String::from_utf8_lossy(length).parse();
            number
                .ok()
                .filter(|_| plain)
                .map(Framing::Length)
                .ok_or_else(|| "Content-Length is no number".to_owned())
        }
        ([], [coding]) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        ([], [_]) => Err("a transfer coding that is not served".to_owned()),
        _ => Err("the framing is said twice".to_owned()),
    }
}

/// What ends at the next hop may not be passed on.
fn hops(fields: &Fields, options: &[String], upgrade: bool) -> Result<(), String> {
    for option in options {
        let known = ["", "close", "keep-alive"].contains(&option.as_str())
            || (upgrade && option == "upgrade");
        if !known {
            return Err(format!("Connection nominates {option:?}"));
        }
    }
    let found = ["keep-alive", "proxy-connection", "te", "http2-settings"]
        .into_iter()
        .find(|name| all(fields, name).next().is_some());
    match found {
        Some(name) => Err(format!("{name} is passed on")),
        None if !upgrade && all(fields, "upgrade").next().is_some() => {
            Err("Upgrade that nobody nominates".to_owned())
        }
        None => Ok(()),
    }
}

fn body(bytes: &[u8], at: usize, framing: Framing, from: From) -> Read<Vec<u8>> {
    match framing {
        Framing::Empty => Ok(Some((Vec::new(), at))),
        Framing::Length(length) => Ok(at
            .checked_add(length)
            .and_then(|end| Some((bytes.get(at..end)?.to_vec(), end)))),
        Framing::Chunked => chunked(bytes, at, from),
        Framing::Close => Ok(Some((bytes[at..].to_vec(), bytes.len()))),
    }
}

/// Reads a chunked body that begins at `at`.
pub(crate) fn chunked(bytes: &[u8], mut at: usize, from: From) -> Read<Vec<u8>> {
    let mut data = Vec::new();
    loop {
        let Some((text, next)) = line(bytes, at)? else {
            return Ok(None);
        };
        let digits = text.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let size = String::from_utf8_lossy(&text[..digits]);
        if digits > 15 {
            return Err("a chunk size of too many digits".to_owned());
        }
        let size = usize::from_str_radix(&size, 16).map_err(|_| "no chunk size")?;
        extensions(&text[digits..])?;
        at = next;
        if size == 0 {
            break;
        }
        let Some(chunk) = bytes.get(at..at + size) else {
            return Ok(None);
        };
        data.extend_from_slice(chunk);
        at += size;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err("no CRLF behind a chunk".to_owned()),
            None => return Ok(None),
        }
    }
    let Some((trailers, end)) = fields(bytes, at)? else {
        return Ok(None);
    };
    let forbidden = [
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "trailer",
        "te",
    ];
    let bad = trailers
        .iter()
        .find(|(name, _)| forbidden.contains(&name.as_str()));
    match bad.filter(|_| from == From::Gateway) {
        Some((name, _)) => Err(format!("{name} in a trailer")),
        None => Ok(Some((data, end))),
    }
}

/// `*( ";" name [ "=" ( token / quoted ) ] )`, without the blanks of older times.
fn extensions(mut text: &[u8]) -> Result<(), String> {
    let bad = || "a chunk extension out of grammar".to_owned();
    while let [b';', rest @ ..] = text {
        let name = rest.iter().take_while(|b| is_token(&[**b])).count();
        if name == 0 {
            return Err(bad());
        }
        text = &rest[name..];
        let [b'=', value @ ..] = text else {
            continue;
        };
        let length = match value {
            [b'"', inside @ ..] => quoted(inside).ok_or_else(bad)? + 1,
            _ => value.iter().take_while(|b| is_token(&[**b])).count(),
        };
        if length == 0 {
            return Err(bad());
        }
        text = &value[length..];
    }
    if text.is_empty() { Ok(()) } else { Err(bad()) }
}

/// Length of a quoted text, closing quote included.
fn quoted(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at..)? {
            [b'"', ..] => return Some(at + 1),
            [b'\\', next, ..] if is_value(&[*next]) => at += 2,
            [next, ..] if *next != b'\\' && is_value(&[*next]) => at += 1,
            _ => return None,
        }
    }
}

/// The status that bytes begin with, whatever else they are.
pub(crate) fn status(bytes: &[u8]) -> Option<u16> {
    let text = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    String::from_utf8_lossy(text).parse().ok()
}

/// Reads one answer to a request that was a `HEAD` or not. `ended` tells that no more bytes will come,
/// which ends a body without a stated length.
pub(crate) fn answer(bytes: &[u8], to_head: bool, ended: bool) -> Read<Answer> {
    let Some((first, next)) = line(bytes, 0)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(first);
    let code = text
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| text.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3))
        .filter(|code| code.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("a status line {text:?}"))?;
    let status: u16 = code.parse().map_err(|_| "a status".to_owned())?;
    let minor = u8::from(text.starts_with("HTTP/1.1"));
    let Some((fields, at)) = fields(bytes, next)? else {
        return Ok(None);
    };
    let framing = match stated(&fields, minor)? {
        _ if to_head || status < 200 || status == 204 || status == 304 => Framing::Empty,
        framing => framing,
    };
    if framing == Framing::Close && !ended {
        return Ok(None);
    }
    let Some((body, end)) = body(bytes, at, framing, From::Client)? else {
        return Ok(None);
    };
    Ok(Some((
        Answer {
            status,
            fields,
            body,
        },
        end,
    )))
}
