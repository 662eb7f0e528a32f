//! `static.Modifier`: files under a root answer in place of the backend.
//!
//! Differs from martian: the root cannot be left, not by `..` in a mapping and not through a symbolic link
//! (such a file is missing); a file is read as a whole or in the parts asked for, up to [`MAX_FILE`] bytes, on
//! the threads for blocking work; what is no regular file is missing in native and an error otherwise.

use super::ranges::Part;
use super::tree::asked;
use super::{Asked, fault, names};
use crate::base::{Dialect, Error};
use crate::gateway::message::Request;
use bytes::Bytes;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, SeekFrom};
use std::path::{Path, PathBuf};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// Largest file that is served.
const MAX_FILE: u64 = 64 << 20;

/// One `static.Modifier`.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// Files by the cleaned path of the request.
    explicit: BTreeMap<String, String>,
    dialect: Dialect,
}

/// What reading came to.
#[derive(Debug, Default)]
pub(super) enum Served {
    #[default]
    Missing,
    Found {
        content_type: HeaderValue,
        part: Part,
    },
    Failed(Error),
}

impl Files {
    pub(super) fn new(
        root: &str,
        explicit: impl IntoIterator<Item = (String, String)>,
        dialect: Dialect,
    ) -> Self {
        Self {
            root: PathBuf::from(if root.is_empty() { "." } else { root }),
            explicit: explicit.into_iter().collect(),
            dialect,
        }
    }

    /// Reads what a request asks for.
    pub(super) async fn serve(&self, request: &Request) -> Served {
        let decoded = super::url::decoded_path(&request.url);
        let asked = clean(&String::from_utf8_lossy(&decoded));
        let relative = match self.explicit.get(&asked) {
            Some(mapped) => clean(mapped),
            None => asked,
        };
        match self.read(&relative, request).await {
            Ok(served) => served,
            Err(error) if error.kind() == ErrorKind::NotFound => Served::Missing,
            Err(error) => {
                // The path is the operator's and stays out of what clients may see.
                let text = match error.kind() {
                    ErrorKind::PermissionDenied => "static.Modifier: permission denied".to_owned(),
                    _ => format!("static.Modifier: {error}"),
                };
                Served::Failed(fault(text))
            }
        }
    }

    async fn read(&self, relative: &str, request: &Request) -> io::Result<Served> {
        if relative.contains('\0') {
            return Ok(self.irregular());
        }
        let root = fs::canonicalize(&self.root).await?;
        let path = root.join(relative.trim_start_matches('/'));
        let path = match fs::canonicalize(&path).await {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(self.irregular()),
            Err(error) => return Err(error),
        };
        if !path.starts_with(&root) {
            return Ok(Served::Missing);
        }
        let metadata = fs::metadata(&path).await?;
        if !metadata.is_file() {
            return Ok(self.irregular());
        }
        let size = metadata.len();
        // As in martian it is the name asked for that tells the type.
        let content_type = HeaderValue::from_static(content_type(relative));
        let part = match asked(request, size, self.dialect) {
            Err(error) => return Ok(Served::Failed(error)),
            Ok(Asked::Unsatisfiable) => Part::unsatisfiable(size, self.dialect),
            Ok(Asked::Whole) => Part::whole(whole(&path).await?),
            Ok(Asked::Parts(parts)) => {
                let cut = cut(&path, &parts).await?;
                Part::cut(&cut, size, &content_type, &names::boundary())
            }
        };
        Ok(Served::Found { content_type, part })
    }

    fn irregular(&self) -> Served {
        match self.dialect {
            Dialect::Native => Served::Missing,
            Dialect::Krakend => Served::Failed(fault("static.Modifier: not a regular file")),
        }
    }
}

async fn whole(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let file = File::open(path).await?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("file too large"));
    }
    Ok(bytes.into())
}

async fn cut(path: &Path, parts: &[(u64, u64)]) -> io::Result<Vec<(u64, u64, Bytes)>> {
    let mut file = File::open(path).await?;
    let mut cut = Vec::with_capacity(parts.len());
    for &(first, last) in parts {
        file.seek(SeekFrom::Start(first)).await?;
        let length = usize::try_from(last - first + 1).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).await?;
        cut.push((first, last, bytes.into()));
    }
    Ok(cut)
}

/// A path from the root without `.`, `..` and empty segments; nothing climbs over the root.
fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// The type for a file's extension, from Go's own table; empty for none that it knows.
fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((_, extension)) = name.rsplit_once('.') else {
        return "";
    };
    match extension.to_ascii_lowercase().as_str() {
        "avif" => "image/avif",
        "apng" => "image/apng",
        "bin" | "com" | "exe" => "application/octet-stream",
        "bmp" => "image/bmp",
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "eml" => "message/rfc822",
        "flac" => "audio/flac",
        "gif" => "image/gif",
        "gz" => "application/gzip",
        "htm" | "html" | "ehtml" | "shtml" => "text/html; charset=utf-8",
        "ico" => "image/vnd.microsoft.icon",
        "ics" => "text/calendar; charset=utf-8",
        "jpg" | "jpeg" | "jfif" | "pjp" | "pjpeg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "m4a" => "audio/mp4",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "oga" | "ogg" | "opus" => "audio/ogg",
        "ogv" => "video/ogg",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "ps" | "ai" | "eps" => "application/postscript",
        "rdf" => "application/rdf+xml",
        "rtf" => "application/rtf",
        "svg" => "image/svg+xml",
        "text" | "txt" => "text/plain; charset=utf-8",
        "tif" | "tiff" => "image/tiff",
        "vtt" => "text/vtt; charset=utf-8",
        "wasm" => "application/wasm",
        "wav" => "audio/wav",
        "webm" => "audio/webm",
        "webp" => "image/webp",
        "xht" | "xhtml" => "application/xhtml+xml",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xml" | "xbl" | "xsl" => "text/xml; charset=utf-8",
        "zip" => "application/zip",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_never_climb_over_the_root() {
        for (path, cleaned) in [
            ("/a/b", "/a/b"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("../x", "/x"),
            ("/a/./b//c/", "/a/b/c"),
            ("/a/../../b", "/b"),
            ("", "/"),
        ] {
            assert_eq!(clean(path), cleaned);
        }
    }

    #[test]
    fn types_follow_the_extension() {
        for (path, kind) in [
            ("/a.json", "application/json"),
            ("/a.tar.gz", "application/gzip"),
            ("/A.HTML", "text/html; charset=utf-8"),
            ("/x.d/file", ""),
            ("/a.unknown", ""),
            ("/.json", "application/json"),
        ] {
            assert_eq!(content_type(path), kind, "{path}");
        }
    }
}
