//! Answers with their field names in the customary spelling: the platform writes names that it does not
//! know in lower case, and there are clients that look for `X-Request-ID`.

use crate::base::field::canonical;
use crate::base::reply::{
    PROXY_STATUS, X_GATEWAY_VERSION, X_KRAKEND, X_KRAKEND_COMPLETED, X_REQUEST_ID,
};
use http::header::{self, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;

/// Names of our own, and the standard ones that backends send most and the platform does not spell.
const SPELLED: [(HeaderName, &str); 16] = [
    (X_REQUEST_ID, "X-Request-ID"),
    (X_GATEWAY_VERSION, "X-Gateway-Version"),
    (X_KRAKEND, "X-Krakend"),
    (X_KRAKEND_COMPLETED, "X-Krakend-Completed"),
    (PROXY_STATUS, "Proxy-Status"),
    (header::ETAG, "Etag"),
    (header::LAST_MODIFIED, "Last-Modified"),
    (header::EXPIRES, "Expires"),
    (header::VARY, "Vary"),
    (header::LOCATION, "Location"),
    (header::ALLOW, "Allow"),
    (header::RETRY_AFTER, "Retry-After"),
    (header::WWW_AUTHENTICATE, "Www-Authenticate"),
    (
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        "Access-Control-Allow-Origin",
    ),
    (header::CONTENT_DISPOSITION, "Content-Disposition"),
    (
        header::STRICT_TRANSPORT_SECURITY,
        "Strict-Transport-Security",
    ),
];

/// Names that the platform spells by itself.
const KNOWN: [HeaderName; 12] = [
    header::ACCEPT_RANGES,
    header::AGE,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::DATE,
    header::TRANSFER_ENCODING,
    header::HOST,
    header::SERVER,
    header::SET_COOKIE,
];

/// A head with room for so many fields, for a client of this protocol version.
///
/// # Errors
/// Never in practice.
pub fn head(
    status: StatusCode,
    version: Version,
    fields: usize,
) -> pingora::Result<ResponseHeader> {
    if version != Version::HTTP_2 {
        return ResponseHeader::build(status, Some(fields));
    }
    let mut head = ResponseHeader::build_no_case(status, Some(fields))?;
    head.set_version(version);
    Ok(head)
}

/// Adds a field.
///
/// # Errors
/// When the head is full.
pub fn append(
    head: &mut ResponseHeader,
    name: &HeaderName,
    value: HeaderValue,
) -> pingora::Result<()> {
    // HTTP/2 writes names in lower case whatever their spelling.
    if head.version == Version::HTTP_2 || KNOWN.contains(name) {
        return head.append_header(name, value).map(|_| ());
    }
    match SPELLED.iter().find(|(known, _)| known == name) {
        Some((_, spelled)) => head.append_header(*spelled, value).map(|_| ()),
        None => head
            .append_header(canonical(name.as_str()), value)
            .map(|_| ()),
    }
}

/// Puts a field in place of all of its name.
///
/// # Errors
/// When the head is full.
pub fn insert(
    head: &mut ResponseHeader,
    name: &HeaderName,
    value: HeaderValue,
) -> pingora::Result<()> {
    head.remove_header(name);
    append(head, name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_on_the_wire() {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for name in [
            X_REQUEST_ID,
            header::ETAG,
            header::AGE,
            HeaderName::from_static("x-own-thing"),
        ] {
            append(&mut head, &name, HeaderValue::from_static("v")).unwrap();
        }
        let mut out = Vec::new();
        head.header_to_h1_wire(&mut out);
        let wire = String::from_utf8(out).unwrap();
        for name in ["X-Request-ID: v", "Etag: v", "Age: v", "X-Own-Thing: v"] {
            assert!(wire.contains(name), "{name} in {wire}");
        }
    }
}
