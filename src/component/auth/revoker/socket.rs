//! A socket in the file system that only our own user may use: a command on each line, an answer on each.
//! `add ELEMENT` revokes and says `ok`, `check ELEMENT` says `revoked` or `good`.

use super::admin::{AGAIN, Admin, MAX_LINE};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections at one time; others wait.
const MOST: usize = 16;
/// Longest time between two lines, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the socket and serves whoever comes.
pub(super) async fn serve(admin: &Arc<Admin>) {
    let Some(path) = &admin.doors.socket else {
        return;
    };
    let listener = loop {
        match open(path) {
            Ok(listener) => break listener,
            Err(error) => log::error!("revocations cannot be taken by the socket: {error}"),
        }
        tokio::time::sleep(PATIENCE).await;
    };
    let room = Arc::new(Semaphore::new(MOST));
    let mut served = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = served.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let admin = Arc::clone(admin);
        served.spawn(async move {
            converse(stream, &admin).await;
            drop(place);
        });
    }
}

/// Makes the socket under another name and moves it to its place once nobody else may use it: what stood there before
/// is of a process that is gone, or of our own configuration before this one.
fn open(path: &Path) -> io::Result<UnixListener> {
    if path
        .symlink_metadata()
        .is_ok_and(|there| !there.file_type().is_socket())
    {
        return Err(io::Error::other(
            "something that is no socket stands in its place",
        ));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}", fastrand::u64(..)));
    let aside = path.with_file_name(name);
    let listener = UnixListener::bind(&aside)?;
    let moved = std::fs::set_permissions(&aside, Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&aside, path));
    if moved.is_err() {
        // It is of no use; the error says why.
        let _ = std::fs::remove_file(&aside);
    }
    moved.map(|()| listener)
}

async fn converse(stream: UnixStream, admin: &Admin) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut stream).take(MAX_LINE as u64);
        let read = timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await;
        if read.ok()?.ok()? == 0 {
            return None;
        }
        let whole = line.last() == Some(&b'\n') || line.len() < MAX_LINE;
        let answer = if whole {
            answer(line.trim_ascii(), admin)
        } else {
            "error: the line is too long\n"
        };
        timeout(PATIENCE, stream.write_all(answer.as_bytes()))
            .await
            .ok()?
            .ok()?;
        if !whole {
            return None;
        }
    }
}

fn answer(line: &[u8], admin: &Admin) -> &'static str {
    let at = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    let (command, element) = line.split_at(at);
    let element = element.trim_ascii();
    match command {
        _ if element.is_empty() => "error: write add ELEMENT or check ELEMENT\n",
        b"add" => {
            admin.revoke(element);
            log::info!("a token was revoked by the socket");
            "ok\n"
        }
        b"check" if admin.has(&[element]) => "revoked\n",
        b"check" => "good\n",
        _ => "error: write add ELEMENT or check ELEMENT\n",
    }
}
