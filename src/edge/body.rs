//! The body of a request as it passes through: where it ends, and which bytes of it go on.

use crate::edge::chunks::{Chunks, Fed, Malformed};
use crate::gateway::head::BodySize;

/// What is still to come of a request's body.
#[derive(Debug)]
pub enum Body {
    /// So many bytes; none for no body.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
}

impl Body {
    /// The whole body that a head announces.
    pub fn of(size: BodySize) -> Self {
        match size {
            BodySize::None => Self::Length(0),
            BodySize::Known(length) => Self::Length(length),
            BodySize::Unknown => Self::Chunked(Chunks::default()),
        }
    }

    /// Whether nothing more is to come.
    pub fn done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.done(),
        }
    }

    /// Whether bytes came that cannot be the body's.
    pub fn broken(&self) -> bool {
        match self {
            Self::Length(_) => false,
            Self::Chunked(chunks) => chunks.broken(),
        }
    }

    /// What the next bytes are.
    ///
    /// # Errors
    /// When they cannot be the body's.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, Malformed> {
        self.decode(bytes, |_| ())
    }

    /// The same, and hands the body's data to `sink`.
    ///
    /// # Errors
    /// When they cannot be the body's.
    pub fn decode(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<Fed, Malformed> {
        match self {
            Self::Chunked(chunks) => chunks.decode(bytes, sink),
            Self::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= here as u64;
                sink(bytes.get(..here).unwrap_or_default());
                Ok(Fed {
                    used: here,
                    trailers: 0..0,
                    data: here as u64,
                })
            }
        }
    }
}

/// Calls `each` with what of a body's bytes goes on to a backend: all but trailers, which could name
/// fields that no client may send. A backend that wants them gets them on the platform's path to it.
pub fn passing<'b>(bytes: &'b [u8], fed: &Fed, mut each: impl FnMut(&'b [u8])) {
    let parts = if fed.trailers.is_empty() {
        [0..fed.used, fed.used..fed.used]
    } else {
        [0..fed.trailers.start, fed.trailers.end..fed.used]
    };
    for part in parts {
        match bytes.get(part) {
            Some([]) | None => {}
            Some(part) => each(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_no_byte_more() {
        let mut body = Body::of(BodySize::Known(3));
        assert_eq!(body.feed(b"ab").unwrap().used, 2);
        assert!(!body.done());
        assert_eq!(body.feed(b"cGET /").unwrap().used, 1);
        assert!(body.done());
        assert!(Body::of(BodySize::None).done());
    }

    #[test]
    fn trailers_stay_here() {
        let mut body = Body::of(BodySize::Unknown);
        let bytes = b"1;x=y\r\na\r\n0\r\nX-User-ID: admin\r\n\r\nGET / HTTP/1.1\r\n";
        let fed = body.feed(bytes).unwrap();
        let mut passed = Vec::new();
        passing(bytes, &fed, |part| passed.extend_from_slice(part));
        assert_eq!(passed, b"1;x=y\r\na\r\n0\r\n\r\n");
        assert_eq!(&bytes[fed.used..], b"GET / HTTP/1.1\r\n");
        assert!(body.done());
    }
}
