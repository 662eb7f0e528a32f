//! Shapes of framing: everything by which two servers may come to see different bodies in the same bytes.

use super::choices::Choices;
use super::script::{Draft, chunks};

pub(crate) fn odd_length(draft: &mut Draft, choices: &mut Choices<'_>) {
    let values: [&[u8]; 26] = [
        b"-1",
        b"+5",
        b"0x5",
        b"5,5",
        b"5, 5",
        b"5 5",
        b"",
        b"a",
        b"5a",
        b"1e1",
        b"5.0",
        b"18446744073709551616",
        b"18446744073709551615",
        b"99999999999999999999",
        b"9223372036854775808",
        b"\x0b5",
        b"5\x0c",
        b"5;",
        b"\"5\"",
        b"\xd9\xa5",
        b"5\0",
        b"0,0",
        b"--5",
        b"5_0",
        b"0b1",
        b"00000000000000000000000005",
    ];
    draft.unframed();
    let value = choices.pick(&values);
    draft.field([b"Content-Length: ", value].concat());
    draft.body = draft.evil();
}

pub(crate) fn two_lengths(draft: &mut Draft, choices: &mut Choices<'_>) {
    draft.unframed();
    let (first, second) = match choices.below(6) {
        0 => ("Content-Length: 5", "Content-Length: 5"),
        1 => ("Content-Length: 5", "content-length: 0"),
        2 => ("CONTENT-LENGTH: 0", "Content-Length: 5"),
        3 => ("Content-Length: 5", "Content-Length: x"),
        4 => ("Content-Length:", "Content-Length: 5"),
        _ => ("Content-Length: 5", "Content-Length: +5"),
    };
    draft.fields.insert(0, first.into());
    draft.field(second);
    draft.body = b"abcde".to_vec();
}

pub(crate) fn length_and_coding(draft: &mut Draft, choices: &mut Choices<'_>) {
    draft.unframed();
    let evil = draft.evil();
    draft.body = if choices.once_in(2) {
        b"0\r\n\r\n".to_vec()
    } else {
        chunks(b"abcdef")
    };
    draft.body.extend_from_slice(&evil);
    let length = match choices.below(4) {
        0 => "0".to_owned(),
        1 => draft.body.len().to_string(),
        2 => (draft.body.len() - evil.len()).to_string(),
        _ => "x".to_owned(),
    };
    let lines = [
        format!("Content-Length: {length}"),
        "Transfer-Encoding: chunked".to_owned(),
    ];
    if choices.once_in(2) {
        lines.iter().for_each(|line| draft.field(line));
    } else {
        lines.iter().rev().for_each(|line| draft.field(line));
    }
}

pub(crate) fn odd_coding(draft: &mut Draft, choices: &mut Choices<'_>) {
    let values: [&[u8]; 24] = [
        b"xchunked",
        b"chunked, chunked",
        b"chunked,",
        b",chunked",
        b"gzip, chunked",
        b"chunked, gzip",
        b"identity",
        b"chunked, identity",
        b"\x0bchunked",
        b"chunked\x0c",
        b"chunked;q=1",
        b"\"chunked\"",
        b"'chunked'",
        b"chunked chunked",
        b"cow",
        b"CHUNKED",
        b"\t chunked \t",
        b"",
        b"chun\0ked",
        b"chunke",
        b"chunkedx",
        b"c hunked",
        b"deflate",
        b"Chunked;",
    ];
    draft.unframed();
    let value = choices.pick(&values);
    draft.field([b"Transfer-Encoding: ", value].concat());
    draft.body = chunks(&draft.evil());
}

pub(crate) fn odd_coding_name(draft: &mut Draft, choices: &mut Choices<'_>) {
    let lines: [&[u8]; 16] = [
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b" Transfer-Encoding: chunked",
        b"\tTransfer-Encoding: chunked",
        b"Transfer_Encoding: chunked",
        b"Transfer-Encoding\0: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-\r\nEncoding: chunked",
        b"Transfer-Encoding\xa0: chunked",
        b"TRANSFER-ENCODING:chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer Encoding: chunked",
    ];
    draft.unframed();
    let with_length = choices.once_in(3);
    draft.field(choices.pick(&lines));
    draft.body = b"0\r\n\r\n".to_vec();
    let evil = draft.evil();
    if with_length {
        draft.body.extend_from_slice(&evil);
        draft.field(format!("Content-Length: {}", draft.body.len()));
    }
}

pub(crate) fn short_length(draft: &mut Draft, choices: &mut Choices<'_>) {
    let body = draft.evil();
    draft.unframed();
    draft.method = b"POST".to_vec();
    draft.field(format!("Content-Length: {}", choices.below(body.len())));
    draft.body = body;
}

pub(crate) fn long_length(draft: &mut Draft, choices: &mut Choices<'_>) {
    draft.unframed();
    draft.method = b"POST".to_vec();
    let more = *choices.pick(&[&1_u64, &5, &40, &90, &100_000, &10_485_761, &99_999_999_999]);
    draft.body = draft.evil();
    draft.field(format!(
        "Content-Length: {}",
        draft.body.len() as u64 + more
    ));
}

pub(crate) fn broken_chunks(draft: &mut Draft, choices: &mut Choices<'_>) {
    let bodies: [&[u8]; 44] = [
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3\t;a\r\nabc\r\n0\r\n\r\n",
        b"3 ;a\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nab\r\n0\r\n\r\n",
        b"3\rabc\r\n0\r\n\r\n",
        b"\r\n3\r\nabc\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"g\r\nabc\r\n0\r\n\r\n",
        b"3g\r\nabc\r\n0\r\n\r\n",
        b"3,\r\nabc\r\n0\r\n\r\n",
        b"3_0\r\nabc\r\n0\r\n\r\n",
        b"1000000000000000\r\nabc\r\n0\r\n\r\n",
        b"10000000000000003\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"000000000000000000003\r\nabc\r\n0\r\n\r\n",
        b"3;\r\nabc\r\n0\r\n\r\n",
        b"3;a=\r\nabc\r\n0\r\n\r\n",
        b"3;a b\r\nabc\r\n0\r\n\r\n",
        b"3;a=\"b\r\nabc\r\n0\r\n\r\n",
        b"3;a=\"b\"c\r\nabc\r\n0\r\n\r\n",
        b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b"3;\n\r\nabc\r\n0\r\n\r\n",
        b"3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
        b"3;a\0\r\nabc\r\n0\r\n\r\n",
        b"3;a\x7f\r\nabc\r\n0\r\n\r\n",
        b"3; a\r\nabc\r\n0\r\n\r\n",
        b"3;;a\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\n\r\n",
        b"3\r\nabc\r\n0\r\n\n",
        b"3\r\nabc\r\n0\r\nX: \0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        b"3\r\nabc\r\n0\r\n: y\r\n\r\n",
        b"3\r\nabc\r\n0\r\nno colon\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: y\nZ: a\r\n\r\n",
    ];
    chunked_post(draft);
    draft.body = choices.pick(&bodies).to_vec();
}

fn chunked_post(draft: &mut Draft) {
    draft.unframed();
    draft.method = b"POST".to_vec();
    draft.field("Transfer-Encoding: chunked");
}

pub(crate) fn rare_chunks(draft: &mut Draft, choices: &mut Choices<'_>) {
    let bodies: [&[u8]; 10] = [
        b"3;a=b\r\nabc\r\n0\r\n\r\n",
        b"3;a=\"b;\\\"c\"\r\nabc\r\n0;last\r\n\r\n",
        b"003\r\nabc\r\n000\r\n\r\n",
        b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
        b"0\r\n\r\n",
        b"000000000000003\r\nabc\r\n0\r\n\r\n",
        b"3;a;b;c;d=e\r\n\r\n\r\r\n0\r\n\r\n",
        b"3;!#$%&'*+-.^_`|~=1\r\nabc\r\n00000\r\n\r\n",
    ];
    chunked_post(draft);
    draft.body = choices.pick(&bodies).to_vec();
    if choices.once_in(6) {
        let extension = vec![b'x'; 1 << choices.below(15)];
        draft.body = [b"3;", extension.as_slice(), b"\r\nabc\r\n0\r\n\r\n"].concat();
    }
}

pub(crate) fn trailers(draft: &mut Draft, choices: &mut Choices<'_>) {
    chunked_post(draft);
    let line = choices.pick(&[
        "X-Sum: 1",
        "Content-Length: 5",
        "Host: evil.test",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Authorization: Basic eDp5",
        "X-Mark: evil",
        "X-Sum: 1\r\nX-Sum: 2",
        "Content-Length: 0\r\nContent-Length: 1",
        "X-Empty:",
    ]);
    if choices.once_in(3) {
        draft.field("Trailer: X-Sum");
    }
    draft.body = format!("3\r\nabc\r\n0\r\n{line}\r\n\r\n").into_bytes();
}

pub(crate) fn hidden_request(draft: &mut Draft, choices: &mut Choices<'_>) {
    let mut body = draft.evil();
    if choices.once_in(2) {
        body = [b"0\r\n\r\n".as_slice(), &body].concat();
    }
    draft.unframed();
    draft.method = b"POST".to_vec();
    if choices.once_in(2) {
        draft.field("Transfer-Encoding: chunked");
        draft.body = chunks(&body);
    } else {
        draft.field(format!("Content-Length: {}", body.len()));
        draft.body = body;
    }
}

pub(crate) fn body_for_get(draft: &mut Draft, choices: &mut Choices<'_>) {
    hidden_request(draft, choices);
    draft.method = choices.pick(&["GET", "HEAD", "DELETE", "OPTIONS"]).into();
}
