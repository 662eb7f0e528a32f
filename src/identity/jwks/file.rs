//! Keys in a file (`jwk_local_path`), plain or enciphered.

use std::io::Read;

use super::options::SourceError;
use super::secret::Keeper;
use crate::identity::jose::MAX_SET;

/// What an enciphered file is longer by: nonce and tag.
const SEALED: u64 = 12 + 16;

/// The text of a file with keys, deciphered where there is a keeper for it.
///
/// # Errors
/// When the file cannot be read, is too large, or was enciphered with another key.
pub fn read_file(path: &str, keeper: Option<&Keeper>) -> Result<Vec<u8>, SourceError> {
    let fail = |what: &str| SourceError::new("jwk_local_path", format!("{path}: {what}"));
    let most = MAX_SET as u64 + SEALED;
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| {
        let mut file = file.take(most + 1);
        file.read_to_end(&mut text)
    });
    read.map_err(|error| fail(&error.to_string()))?;
    if text.len() as u64 > most {
        return Err(fail("the file is too large"));
    }
    match keeper {
        None => Ok(text),
        Some(keeper) => keeper.open(&text).ok_or_else(|| {
            fail("the file cannot be deciphered with this secret_url and cypher_key")
        }),
    }
}
