//! Takes queries and passwords out of the addresses in a text, before it becomes a log line. KrakenD logs
//! whole URLs of failed calls, and with them what `?token=` carries.

use std::borrow::Cow;

/// Stands where something was taken out.
const GONE: &str = "…";

/// The text with `user:password@` and everything after `?` taken out of each `scheme://…` in it. An
/// address ends at white space or at a quotation mark without a backslash.
pub fn addresses(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let (address, tail) = after.split_at(length(after));
        out.push_str(before);
        out.push_str("://");
        push_clean(&mut out, address);
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// How many bytes belong to the address.
fn length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() || (c == '"' && !escaped) {
            return at;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

fn push_clean(out: &mut String, address: &str) {
    let (address, query) = match address.split_once('?') {
        Some((address, _)) => (address, true),
        None => (address, false),
    };
    let end = address.find('/').unwrap_or(address.len());
    let (authority, path) = address.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => {
            out.push_str(GONE);
            out.push('@');
            out.push_str(host);
        }
        None => out.push_str(authority),
    }
    out.push_str(path);
    if query {
        out.push('?');
        out.push_str(GONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_queries_and_passwords_out_of_addresses() {
        for (text, clean) in [
            ("plain? text", "plain? text"),
            (
                "Get \"http://a:1/b?c=d\": refused",
                "Get \"http://a:1/b?…\": refused",
            ),
            (
                "http://u:p@a/b@c and https://b?x y?z",
                "http://…@a/b@c and https://b?… y?z",
            ),
            (r#"Get "http://a/?b\"c\\": x"#, "Get \"http://a/?…\": x"),
            ("http://a?b=http://c?d=e", "http://a?…"),
            ("://", "://"),
        ] {
            assert_eq!(addresses(text), clean);
        }
    }
}
