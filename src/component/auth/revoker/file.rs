//! A file with a revoked element on each line. What stands in it is revoked for as long as it stands there; a line
//! that is taken out fades with its period. Empty lines and those that begin with `#` count for nothing.

use super::admin::{Admin, MAX_LINE};
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether the file has changed.
const LOOK: Duration = Duration::from_millis(250);
/// A file up to this size is read anew when it changes; of a larger one that grew, only what was added.
const SMALL: u64 = 4 << 20;
/// Nothing behind this is read.
const MOST: u64 = 1 << 30;

/// What tells one state of a file from another: place, size and time.
type Stamp = (u64, u64, u64, i64, i64);

/// A file and how much of it is known.
pub(super) struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// Behind the last line that had an end.
    known: u64,
    /// What stands behind it: a line that somebody is still writing, or a last one without an end.
    rest: Vec<u8>,
    rotations: u64,
}

fn stamp(of: &Metadata) -> Stamp {
    (of.dev(), of.ino(), of.len(), of.mtime(), of.mtime_nsec())
}

impl Watched {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            stamp: None,
            known: 0,
            rest: Vec::new(),
            rotations: 0,
        }
    }

    /// Reads the whole file, as it is.
    pub(super) fn read_all(&mut self, admin: &Admin) -> io::Result<()> {
        self.look(admin)?;
        self.take_rest(admin);
        Ok(())
    }

    /// Reads what is new. Blocks.
    fn look(&mut self, admin: &Admin) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        let now = stamp(&file.metadata()?);
        // What stands in the file must not fade.
        let rotations = admin.rotations();
        let faded = std::mem::replace(&mut self.rotations, rotations) != rotations;
        if self.stamp == Some(now) && !faded {
            self.take_rest(admin);
            return Ok(());
        }
        let same = self
            .stamp
            .is_some_and(|old| (old.0, old.1) == (now.0, now.1));
        let grew = same && now.2 > SMALL && now.2 >= self.known && !faded;
        if !grew {
            self.known = 0;
        }
        file.seek(SeekFrom::Start(self.known))?;
        self.stamp = None;
        self.rest.clear();
        let found = self.lines(BufReader::new(file.take(MOST)), admin)?;
        self.stamp = Some(now);
        if found > admin.room() {
            log::warn!(elements = found; "more tokens are revoked than \"N\" says: good ones are refused more often");
        }
        log::debug!(elements = found; "revoked tokens were read from a file");
        Ok(())
    }

    /// Revokes line by line; gives their number.
    fn lines(&mut self, mut from: impl BufRead, admin: &Admin) -> io::Result<u64> {
        let (mut found, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let limit = MAX_LINE as u64 + 2;
            let read = (&mut from).take(limit).read_until(b'\n', &mut line)?;
            if line.last() == Some(&b'\n') {
                self.known += read as u64;
                found += u64::from(revoke(&line, admin));
            } else if line.len() as u64 == limit {
                log::error!(
                    "a line of the file of revoked tokens is longer than {MAX_LINE} bytes and is passed over"
                );
                self.known += read as u64 + past(&mut from)?;
            } else {
                self.rest.clone_from(&line);
                return Ok(found);
            }
        }
    }

    fn take_rest(&mut self, admin: &Admin) {
        if !self.rest.is_empty() {
            revoke(&std::mem::take(&mut self.rest), admin);
        }
    }
}

/// Reads to the end of a line; gives the number of bytes.
fn past(from: &mut impl BufRead) -> io::Result<u64> {
    let mut passed = 0;
    loop {
        let held = from.fill_buf()?;
        let end = held.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(held.len(), |at| at + 1);
        from.consume(used);
        passed += used as u64;
        if end.is_some() || used == 0 {
            return Ok(passed);
        }
    }
}

/// Revokes what a line names, if it names something.
fn revoke(line: &[u8], admin: &Admin) -> bool {
    let element = line.trim_ascii();
    let names = !element.is_empty() && !element.starts_with(b"#");
    if names {
        admin.revoke(element);
    }
    names
}

/// Looks again and again.
pub(super) async fn watch(admin: &Arc<Admin>) {
    let Some(path) = &admin.doors.file else {
        return;
    };
    let mut watched = Watched::new(path);
    let mut lost = false;
    loop {
        let own = Arc::clone(admin);
        // Off the threads that serve: a disk may be slow.
        let looked = tokio::task::spawn_blocking(move || {
            let outcome = watched.look(&own);
            (watched, outcome)
        });
        let Ok((back, outcome)) = looked.await else {
            log::error!("the file of revoked tokens could not be looked at");
            return;
        };
        watched = back;
        if let Err(error) = &outcome
            && !lost
        {
            log::error!(
                "the file of revoked tokens cannot be read, what it named so far stays revoked: {error}"
            );
        }
        lost = outcome.is_err();
        tokio::time::sleep(LOOK).await;
    }
}
