//! A request head as policy sees it, over the bytes as they came: nothing is copied.

use crate::base::field::same;
use crate::gateway::head::{BodySize, Head};
use crate::gateway::http1::{HeadInfo, Span};
use crate::net::Certificate;
use crate::net::server_tls::certificate;
use http::{HeaderName, Method};
use pingora::protocols::tls::SslDigest;
use std::net::IpAddr;
use std::sync::Arc;

/// A checked head and where its fields stand.
#[derive(Clone, Copy, Debug)]
pub struct WireHead<'a> {
    raw: &'a [u8],
    info: &'a HeadInfo,
    spans: &'a [Span],
    path: &'a [u8],
    query: Option<&'a [u8]>,
    peer: IpAddr,
    tls: Option<&'a SslDigest>,
}

impl<'a> WireHead<'a> {
    /// A view on bytes that `info` and `spans` were made of.
    pub fn new(
        raw: &'a [u8],
        info: &'a HeadInfo,
        spans: &'a [Span],
        peer: IpAddr,
        tls: Option<&'a SslDigest>,
    ) -> Self {
        Self {
            raw,
            info,
            spans,
            path: raw
                .get(info.target.start..info.path_end)
                .unwrap_or_default(),
            // There is none where the path ends with the target.
            query: raw.get(info.path_end + 1..info.target.end),
            peer,
            tls,
        }
    }

    /// The path as received, for as long as the bytes are.
    pub fn raw_path(&self) -> &'a [u8] {
        self.path
    }

    /// The query as received; empty for none.
    pub fn raw_query(&self) -> &'a [u8] {
        self.query.unwrap_or_default()
    }
}

impl Head for WireHead<'_> {
    fn method(&self) -> &Method {
        &self.info.method
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn query(&self) -> Option<&[u8]> {
        self.query
    }

    fn host(&self) -> &[u8] {
        self.raw.get(self.info.host.clone()).unwrap_or_default()
    }

    fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        let name = name.as_str().as_bytes();
        let mut spans = self.spans.iter();
        let span = spans.find(|span| same(span.name(self.raw), name))?;
        Some(span.value(self.raw))
    }

    fn each(&self, each: &mut dyn FnMut(&str, &[u8])) {
        let (Some(first), Some(last)) = (self.spans.first(), self.spans.last()) else {
            return;
        };
        // A name is a token, so it is text; mostly all is, and is looked at once.
        let text = self.raw.get(..last.end as usize);
        let text = text.and_then(|raw| std::str::from_utf8(raw.get(first.start as usize..)?).ok());
        for span in self.spans {
            let range = (span.start - first.start) as usize..(span.colon - first.start) as usize;
            let name = match text {
                Some(text) => text.get(range),
                None => std::str::from_utf8(span.name(self.raw)).ok(),
            };
            if let Some(name) = name {
                each(name, span.value(self.raw));
            }
        }
    }

    fn peer(&self) -> IpAddr {
        self.peer
    }

    fn secure(&self) -> bool {
        self.tls.is_some()
    }

    fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.tls.and_then(certificate)
    }

    fn version(&self) -> &'static str {
        if self.info.http11 { "1.1" } else { "1.0" }
    }

    fn body(&self) -> BodySize {
        self.info.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::http1::check_head_noting;
    use crate::gateway::limits::Limits;

    #[test]
    fn reads_the_fields_where_they_stand() {
        let raw = b"GET /a%20b?c=d HTTP/1.1\r\nHost: gw\r\nX-A:  1 \r\nx-a:2\r\nEmpty:\r\n\r\nrest";
        let mut spans = Vec::with_capacity(8);
        let info = check_head_noting(raw, &Limits::default(), &mut spans)
            .unwrap()
            .unwrap();
        let head = WireHead::new(raw, &info, &spans, [127, 0, 0, 1].into(), None);
        assert_eq!(
            (head.path(), head.query()),
            (&b"/a%20b"[..], Some(&b"c=d"[..]))
        );
        assert_eq!(head.host(), b"gw");
        assert_eq!(
            head.header(&HeaderName::from_static("x-a")),
            Some(&b"1"[..])
        );
        assert_eq!(
            head.header(&HeaderName::from_static("empty")),
            Some(&b""[..])
        );
        assert_eq!(head.header(&HeaderName::from_static("x-b")), None);
        let mut all = Vec::new();
        head.each(&mut |name, value| {
            all.push(format!("{name}={}", String::from_utf8_lossy(value)))
        });
        assert_eq!(all, ["Host=gw", "X-A=1", "x-a=2", "Empty="]);
    }
}
