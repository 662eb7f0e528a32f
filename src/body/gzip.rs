//! Inflating a gzip body with a bound on what comes out, so that a small answer cannot fill the memory.
//! KrakenD has no such bound.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

/// Why a body could not be inflated.
#[derive(Debug, thiserror::Error)]
pub enum GzipError {
    /// More bytes would come out than allowed.
    #[error("inflated body exceeds {0} bytes")]
    TooLarge(usize),
    /// The bytes are no gzip, or end too early.
    #[error("gzip: {0}")]
    Invalid(io::Error),
}

/// The inflated body, of `limit` bytes at most.
///
/// # Errors
/// When the bytes are no complete gzip stream, or inflate to more than `limit` bytes.
pub fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
    if body.is_empty() {
        return Err(GzipError::Invalid(io::ErrorKind::UnexpectedEof.into()));
    }
    let mut decoder = MultiGzDecoder::new(Capped {
        bytes: Vec::new(),
        limit,
        exceeded: false,
    });
    let result = decoder.write_all(body).and_then(|()| decoder.try_finish());
    let out = decoder.get_mut();
    if out.exceeded {
        return Err(GzipError::TooLarge(limit));
    }
    result.map_err(GzipError::Invalid)?;
    Ok(std::mem::take(&mut out.bytes))
}

/// Takes bytes up to a limit and refuses the first one beyond it.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn inflates_up_to_the_limit() {
        assert_eq!(inflate(&packed(b"hello"), 5).unwrap(), b"hello");
        assert!(matches!(
            inflate(&packed(b"hello!"), 5),
            Err(GzipError::TooLarge(5))
        ));
    }

    #[test]
    fn refuses_a_bomb_without_inflating_it() {
        let bomb = packed(&vec![0; 8 << 20]);
        assert!(matches!(
            inflate(&bomb, 1000),
            Err(GzipError::TooLarge(1000))
        ));
    }

    #[test]
    fn refuses_what_is_cut_or_no_gzip() {
        let whole = packed(b"hello");
        assert!(inflate(whole.get(..whole.len() - 9).unwrap(), 100).is_err());
        assert!(inflate(whole.get(..4).unwrap(), 100).is_err());
        assert!(inflate(b"plain", 100).is_err());
        assert!(inflate(b"", 100).is_err());
    }
}
