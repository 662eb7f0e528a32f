//! sprig's conversions, questions about types, encodings and the environment.

use super::{Entry, Failure, Given, Host, any, give, strval, text};
use crate::config::template::value::Value;
use std::net::ToSocketAddrs as _;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

pub(super) const TABLE: &[Entry] = &[
    Entry {
        name: "toString",
        params: "A",
        call: |_, a| give(strval(any(a, 0))),
    },
    Entry {
        name: "typeOf",
        params: "A",
        call: |_, a| give(any(a, 0).type_name()),
    },
    Entry {
        name: "typeIs",
        params: "SA",
        call: |_, a| Ok(Value::Bool(text(a, 0) == any(a, 1).type_name())),
    },
    Entry {
        name: "typeIsLike",
        params: "SA",
        call: |_, a| {
            Ok(Value::Bool(
                text(a, 0).trim_start_matches('*') == any(a, 1).type_name().trim_start_matches('*'),
            ))
        },
    },
    Entry {
        name: "kindOf",
        params: "A",
        call: |_, a| give(any(a, 0).kind_name()),
    },
    Entry {
        name: "kindIs",
        params: "SA",
        call: |_, a| Ok(Value::Bool(text(a, 0) == any(a, 1).kind_name())),
    },
    Entry {
        name: "deepEqual",
        params: "AA",
        call: |_, a| Ok(Value::Bool(any(a, 0).deep_equal(any(a, 1))?)),
    },
    Entry {
        name: "b64enc",
        params: "S",
        call: |_, a| give(base64(text(a, 0).as_bytes())),
    },
    Entry {
        name: "b64dec",
        params: "S",
        call: |_, a| give(decoded(text(a, 0), BASE64, 6)),
    },
    Entry {
        name: "b32enc",
        params: "S",
        call: |_, a| give(encoded(text(a, 0).as_bytes(), BASE32, 5)),
    },
    Entry {
        name: "b32dec",
        params: "S",
        call: |_, a| give(decoded(text(a, 0), BASE32, 5)),
    },
    Entry {
        name: "env",
        params: "S",
        call: |host, a| give(host.env(text(a, 0))),
    },
    Entry {
        name: "expandenv",
        params: "S",
        call: expandenv,
    },
    Entry {
        name: "getHostByName",
        params: "S",
        call: get_host_by_name,
    },
    Entry {
        name: "fail",
        params: "S",
        call: |_, a| Err(Failure::from(text(a, 0))),
    },
];

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Standard base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    encoded(bytes, BASE64, 6)
}

/// Standard base64; `None` when it is none.
pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    undo(text, BASE64, 6).ok()
}

fn encoded(bytes: &[u8], alphabet: &[u8], bits: u32) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / bits as usize + 8);
    let (mut held, mut have) = (0_u32, 0);
    let digit = |value: u32| alphabet.get(value as usize).map_or('=', |&b| char::from(b));
    for &byte in bytes {
        held = (held << 8) | u32::from(byte);
        have += 8;
        while have >= bits {
            have -= bits;
            out.push(digit((held >> have) & ((1 << bits) - 1)));
        }
        held &= (1 << have) - 1;
    }
    if have > 0 {
        out.push(digit((held << (bits - have)) & ((1 << bits) - 1)));
    }
    let group = if bits == 6 { 4 } else { 8 };
    while !out.len().is_multiple_of(group) {
        out.push('=');
    }
    out
}

/// As sprig: what cannot be decoded gives the error's text.
fn decoded(text: &str, alphabet: &[u8], bits: u32) -> String {
    match undo(text, alphabet, bits) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(at) => {
            let kind = if bits == 6 { "base64" } else { "base32" };
            format!("illegal {kind} data at input byte {at}")
        }
    }
}

fn undo(text: &str, alphabet: &[u8], bits: u32) -> Result<Vec<u8>, usize> {
    let clean: Vec<u8> = text
        .bytes()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    let group = if bits == 6 { 4 } else { 8 };
    let body = clean
        .iter()
        .rposition(|&b| b != b'=')
        .map_or(0, |at| at + 1);
    if let Some(at) = clean.iter().take(body).position(|b| !alphabet.contains(b)) {
        return Err(at);
    }
    if !clean.len().is_multiple_of(group) || clean.len() - body >= group {
        return Err(body - body % group);
    }
    let mut out = Vec::with_capacity(clean.len());
    let (mut held, mut have) = (0_u32, 0);
    for (at, byte) in clean.iter().take(body).enumerate() {
        let digit = alphabet.iter().position(|b| b == byte).ok_or(at)?;
        held = (held << bits) | u32::try_from(digit).unwrap_or_default();
        have += bits;
        if have >= 8 {
            have -= 8;
            out.push(u8::try_from((held >> have) & 0xff).unwrap_or_default());
            held &= (1 << have) - 1;
        }
    }
    Ok(out)
}

/// `os.ExpandEnv`: `$NAME` and `${NAME}`.
fn expandenv(host: &mut Host<'_>, args: &[Value]) -> Given {
    let mut rest = text(args, 0);
    let mut out = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let name_end = |text: &str| {
            let special = text.starts_with(['*', '#', '$', '@', '!', '?', '-'])
                || text.starts_with(|c: char| c.is_ascii_digit());
            if special {
                return 1;
            }
            text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(text.len())
        };
        let (name, left) = match after.strip_prefix('{') {
            Some(inner) => match inner.split_once('}') {
                Some((name, left)) => (name, left),
                // Go eats the two characters of a broken one.
                None => ("", inner),
            },
            None => after.split_at(name_end(after)),
        };
        if name.is_empty() && !after.starts_with('{') {
            out.push('$');
        }
        let value = host.env(name).to_owned();
        host.charge(value.len() as u64)?;
        out.push_str(&value);
        rest = left;
    }
    out.push_str(rest);
    give(out)
}

/// One address of a name; asking the system is given up after five seconds.
fn get_host_by_name(_: &mut Host<'_>, args: &[Value]) -> Given {
    let name = text(args, 0).to_owned();
    let (answer, asked) = sync_channel(1);
    let shown = name.clone();
    let spawned = std::thread::Builder::new().spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let found = found.map(|mut all| all.next().map(|address| address.ip().to_string()));
        let _ = answer.send(found);
    });
    spawned.map_err(|error| Failure::from(error.to_string()))?;
    let hint = "the configuration needs this name when it is read; to look it up per request write it as host";
    match asked.recv_timeout(Duration::from_secs(5)) {
        Ok(Ok(Some(address))) => give(address),
        Ok(Err(error)) => Err(Failure::from(format!("lookup {shown}: {error}")).hint(hint)),
        _ => Err(Failure::from(format!("lookup {shown}: no address")).hint(hint)),
    }
}
