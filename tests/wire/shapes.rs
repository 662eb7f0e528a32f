//! The shapes into which a request is bent: its line, its fields, its host. How its body is framed is in
//! [`super::tricks`].

use super::choices::Choices;
use super::script::Draft;
use super::tricks;

/// One way to bend a request.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Whether the result is never well-formed; others depend on the choice.
    pub(crate) bad: bool,
    pub(crate) bend: fn(&mut Draft, &mut Choices<'_>),
}

const fn bad(name: &'static str, bend: fn(&mut Draft, &mut Choices<'_>)) -> Shape {
    Shape {
        name,
        bad: true,
        bend,
    }
}

const fn either(name: &'static str, bend: fn(&mut Draft, &mut Choices<'_>)) -> Shape {
    Shape {
        name,
        bad: false,
        bend,
    }
}

/// All of them.
pub(crate) const SHAPES: &[Shape] = &[
    bad("a length that is no number", tricks::odd_length),
    bad("two lengths", tricks::two_lengths),
    bad("length and coding", tricks::length_and_coding),
    either("an odd coding", tricks::odd_coding),
    either("an odd name of the coding", tricks::odd_coding_name),
    either("a length that is too small", tricks::short_length),
    either("a length that is too large", tricks::long_length),
    bad("broken chunks", tricks::broken_chunks),
    either("rare chunks", tricks::rare_chunks),
    either("trailers", tricks::trailers),
    either("a request inside a body", tricks::hidden_request),
    either("a body for GET", tricks::body_for_get),
    bad("odd line ends", line_ends),
    bad("a bare line end in a field", bare_in_field),
    bad("a folded field", folded),
    bad("a broken field name", broken_name),
    either("a rare field", rare_field),
    bad("a control byte in a value", control_in_value),
    bad("two hosts", two_hosts),
    bad("a broken host", broken_host),
    bad("no host", |draft, _| draft.without("host")),
    either("absolute form", absolute),
    bad("an odd version", odd_version),
    either("an old version", |draft, choices| {
        draft.version = b"HTTP/1.0".to_vec();
        draft.field(choices.pick(&["Connection: keep-alive", "X-Old: 1", "Connection: close"]));
    }),
    bad("an odd request line", odd_line),
    either("an odd target", odd_target),
    either("an odd method", odd_method),
    either("something before", before),
    either("a long something", long),
    either("an odd Connection", connection),
    either("an odd Upgrade", upgrade),
    either("an odd Expect", |draft, choices| {
        draft.field(choices.pick(&[
            "Expect: 100-continue",
            "Expect: 200-ok",
            "Expect: 100-continue, x",
            "Expect:",
            "Expect: 100-Continue",
        ]));
    }),
    either("cut off", |draft, choices| {
        draft.cut = Some(choices.below(65_536))
    }),
    either("blots", blots),
];

fn line_ends(draft: &mut Draft, choices: &mut Choices<'_>) {
    draft.line_end = choices
        .pick(&["\n", "\r", "\r\r\n", "\n\r", "\x0b\n", "\r\n\n"])
        .into();
}

fn place(draft: &Draft, choices: &mut Choices<'_>) -> usize {
    choices.below(draft.fields.len().max(1))
}

fn bare_in_field(draft: &mut Draft, choices: &mut Choices<'_>) {
    let lines: [&[u8]; 7] = [
        b"X-A: b\nX-B: c",
        b"X-A: b\rX-B: c",
        b"X-A: b\nTransfer-Encoding: chunked",
        b"X-A: b\rTransfer-Encoding: chunked",
        b"X-A: b\n\nGET /s/evil HTTP/1.1\nHost: a\n",
        b"X-A\n: b",
        b"X-A: \r b",
    ];
    let at = place(draft, choices);
    draft.fields.insert(at, choices.pick(&lines).to_vec());
}

fn folded(draft: &mut Draft, choices: &mut Choices<'_>) {
    let line = choices.pick(&[
        "X-A: b\r\n c",
        "X-A:\r\n\tb",
        " X-A: b",
        "\tX-A: b",
        "Host: gw\r\n .test",
        "X-A: b\r\n ",
        "Content-Length:\r\n 0",
        "Transfer-Encoding:\r\n chunked",
        "X-A: b\r\n\r",
    ]);
    draft.field(line);
}

fn broken_name(draft: &mut Draft, choices: &mut Choices<'_>) {
    let lines: [&[u8]; 16] = [
        b": b",
        b"no colon",
        b"X A: b",
        b"X-A : b",
        b"X-A\t: b",
        b"X-A\x00: b",
        b"X-A\x0b: b",
        b"(X): b",
        b"X/A: b",
        b"X\x7fA: b",
        b"\xc3\xa9: b",
        b"X@A: b",
        b"\"X\": b",
        b"Host : gw.test",
        b"Content-Length : 0",
        b"X-A\xa0: b",
    ];
    let at = place(draft, choices);
    draft.fields.insert(at, choices.pick(&lines).to_vec());
}

fn rare_field(draft: &mut Draft, choices: &mut Choices<'_>) {
    let lines: [&[u8]; 14] = [
        b"X-A:",
        b"X-A:b",
        b"X-A: \t b \t ",
        b"X-A: \x80\xff",
        b"X-A: b\tc",
        b"!#$%&'*+-.^_`|~: b",
        b"TE: trailers",
        b"TE: trailers, deflate",
        b"Trailer: X-Mark",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Content_Length: 5",
        b"Transfer_Encoding: chunked",
        b"Content-Type: application/json; a=\"b\"",
    ];
    let at = place(draft, choices);
    draft.fields.insert(at, choices.pick(&lines).to_vec());
}

fn control_in_value(draft: &mut Draft, choices: &mut Choices<'_>) {
    let byte = *choices.pick(&[&0_u8, &1, &7, &8, &0x0b, &0x0c, &0x1b, &0x1f, &0x7f]);
    let mut line = choices
        .pick(&["X-A: b", "X-A: ", "Host: gw", "Connection: "])
        .as_bytes()
        .to_vec();
    line.push(byte);
    line.extend_from_slice(choices.pick(&["", "c", "\t"]).as_bytes());
    draft.field(line);
}

fn two_hosts(draft: &mut Draft, choices: &mut Choices<'_>) {
    let line = choices.pick(&[
        "Host: gw.test",
        "host: other.test",
        "HOST:",
        "Host: gw.test:80",
    ]);
    if choices.once_in(2) {
        draft.fields.insert(0, line.into());
    } else {
        draft.field(line);
    }
}

fn broken_host(draft: &mut Draft, choices: &mut Choices<'_>) {
    let hosts: [&[u8]; 18] = [
        b"",
        b"a b",
        b"a/b",
        b"a,b",
        b"u@a",
        b"a:b",
        b"a:1:2",
        b"a:99999",
        b"a:-1",
        b":80",
        b"[::1",
        b"[zz]",
        b"::1",
        b"a?b",
        b"a#b",
        b"a\\b",
        b"\xc3\xa9",
        b"gw.test, gw.test",
    ];
    draft.without("host");
    let host = choices.pick(&hosts);
    draft.field([b"Host: ", host].concat());
}

fn absolute(draft: &mut Draft, choices: &mut Choices<'_>) {
    let start = choices.pick(&[
        "http://gw.test",
        "http://other.test",
        "HTTP://GW.TEST",
        "https://gw.test",
        "http://gw.test:80",
        "http://u@gw.test",
        "http://",
        "ftp://gw.test",
        "//gw.test",
        "gw.test:80",
        "http:/gw.test",
        "http:gw.test",
    ]);
    if choices.once_in(8) {
        draft.target.clear();
    }
    draft.target = [start.as_bytes(), &draft.target].concat();
}

fn odd_version(draft: &mut Draft, choices: &mut Choices<'_>) {
    draft.version = choices
        .pick(&[
            "",
            "HTTP/0.9",
            "HTTP/1.2",
            "HTTP/2.0",
            "HTTP/2",
            "HTTP/3.0",
            "http/1.1",
            "HTTP/1.1 ",
            "HTTP/1.10",
            "HTTP/01.1",
            "HTTP/1",
            "HTTP/1.",
            "HTTP/.1",
            "HTTP/1.1\t",
            "HTTP/1,1",
            "HTTP /1.1",
            "1.1",
            "HTTP/1.1x",
            "HTTPS/1.1",
            "HTTP/-1.1",
            "HTTP/1.1 HTTP/1.1",
            "\0HTTP/1.1",
            "HTTP\\1.1",
            "XTTP/1.1",
        ])
        .into();
}

fn odd_line(draft: &mut Draft, choices: &mut Choices<'_>) {
    match choices.below(7) {
        0 => draft.spaces[0] = choices.pick(&["  ", "\t", "", "\x0b", " \t"]).into(),
        1 => draft.spaces[1] = choices.pick(&["  ", "\t", "", "\x0c", "\0"]).into(),
        2 => {
            draft.before = choices
                .pick(&[" ", "\t", "\n", "\0", "\r\r\n", "\x0b"])
                .into()
        }
        3 => draft.target.clear(),
        4 => (draft.spaces[1], draft.version) = (Vec::new(), Vec::new()),
        5 => draft.target.extend_from_slice(
            choices
                .pick(&[" x", "\tx", "\0", "\x7f", "\x01", "\r", " HTTP/1.1 "])
                .as_bytes(),
        ),
        _ => {
            draft.method = choices
                .pick(&["GE T", "G\0T", "", "G(T", "GET,", "\"GET\"", "G\x7fT", "{}"])
                .into()
        }
    }
}

fn odd_target(draft: &mut Draft, choices: &mut Choices<'_>) {
    let more: [&[u8]; 22] = [
        b"?a=b",
        b"?",
        b"??a",
        b"#x",
        b"%00",
        b"%0d%0a",
        b"%2e%2e",
        b"/../x",
        b"/./",
        b"//",
        b"%",
        b"%zz",
        b"%2",
        b"?a=\"<>",
        b";a=b",
        b"\\x",
        b"?%0d%0aHost:%20x",
        b"\xc3\xa9",
        b"|{}^`",
        b"%252f",
        b"?a=%",
        b"/",
    ];
    draft.target.extend_from_slice(choices.pick(&more));
}

fn odd_method(draft: &mut Draft, choices: &mut Choices<'_>) {
    let method = choices.pick(&[
        "HEAD",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PUT",
        "DELETE",
        "PATCH",
        "get",
        "PRI",
        "X",
        "M-SEARCH",
        "PURGE",
        "GETGETGETGETGETGETGETGETGETGETGETGETGET",
        "*",
        "OPTIONS",
        "CONNECT",
    ]);
    draft.method = method.into();
    let target = choices.pick(&["", "*", "gw.test:80", ""]);
    if !target.is_empty() {
        draft.target = target.into();
    }
}

fn before(draft: &mut Draft, choices: &mut Choices<'_>) {
    draft.before = choices
        .pick(&[
            "\r\n",
            "\r\n\r\n",
            "\r\n\r\n\r\n\r\n",
            "\n",
            "\r",
            "\r\n ",
            "0\r\n\r\n",
            "\r\n\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ])
        .into();
}

fn long(draft: &mut Draft, choices: &mut Choices<'_>) {
    let size = 1 << choices.below(15);
    match choices.below(7) {
        0 => draft.target.extend(vec![b'a'; size]),
        1 => draft
            .target
            .extend([b"?".as_slice(), &vec![b'a'; size]].concat()),
        2 => draft.field([b"X-Long: ".as_slice(), &vec![b'a'; size]].concat()),
        3 => draft.field([vec![b'a'; size], b": b".to_vec()].concat()),
        4 => draft.method = vec![b'A'; size.min(300)],
        5 => (0..size.min(200)).for_each(|n| draft.field(format!("X-{n}: b"))),
        _ => draft.field([b"X-Blank:".as_slice(), &vec![b' '; size], b"b"].concat()),
    }
}

fn connection(draft: &mut Draft, choices: &mut Choices<'_>) {
    draft.field(choices.pick(&[
        "Connection: content-length",
        "Connection: transfer-encoding",
        "Connection: host",
        "Connection: x-mark",
        "Connection: keep-alive, content-length, x-mark",
        "Connection: Close, Host",
        "Connection: keep-alive, , ,",
        "Connection:",
        "Connection: connection",
        "Connection: \"close\"",
        "Connection: h\u{f6}p, x-mark",
        "Connection: x y",
        "Connection: te, transfer-encoding, content-length, host, expect, upgrade",
    ]));
    if choices.once_in(4) {
        draft.field("Connection: close");
    }
}

fn upgrade(draft: &mut Draft, choices: &mut Choices<'_>) {
    let lines: &[&str] = match choices.below(6) {
        0 => &[
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
        ],
        1 => &[
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: x",
            "Sec-WebSocket-Version: 13",
        ],
        2 => &["Upgrade: websocket"],
        3 => &["Connection: Upgrade"],
        4 => &["Connection: upgrade", "Upgrade: a/1, b/2", "Upgrade: c"],
        _ => &["Connection: Upgrade", "Upgrade:"],
    };
    lines.iter().for_each(|line| draft.field(line));
}

fn blots(draft: &mut Draft, choices: &mut Choices<'_>) {
    const BYTES: &[u8] = b"\r\n\0 \t:;,0aF\x0b\x7f\xff1/-\"";
    for _ in 0..=choices.below(3) {
        let place = choices.below(1024);
        let what = choices.byte() % 3;
        let byte = BYTES[choices.below(BYTES.len())];
        draft.blots.push((place, what, byte));
    }
}
