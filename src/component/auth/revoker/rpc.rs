//! KrakenD's remote calls: Go's `net/rpc` on a TCP port. It has no proof of who calls, so it stands on loopback unless
//! the file says otherwise, and a few callers cannot use up memory or connections.

use super::admin::{AGAIN, Admin};
use crate::identity::gob::{Conversation, MAX_MESSAGE, uint_rest};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// Connections at one time; the one that is silent for longest makes room for another.
const MOST: usize = 64;
/// Longest time for the rest of a message, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the port and serves whoever comes.
pub(super) async fn serve(admin: &Arc<Admin>) {
    let Some(at) = admin.doors.port else {
        return;
    };
    let listener = bound(at).await;
    let began = Instant::now();
    let mut served = JoinSet::new();
    let mut open: Vec<(AbortHandle, Arc<AtomicU64>)> = Vec::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = served.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        open.retain(|(handle, _)| !handle.is_finished());
        if open.len() >= MOST {
            let silent = open.iter().enumerate();
            let longest = silent.min_by_key(|(_, (_, heard))| heard.load(Ordering::Relaxed));
            if let Some((at, _)) = longest {
                open.swap_remove(at).0.abort();
            }
        }
        let heard = Arc::new(AtomicU64::new(began.elapsed().as_millis() as u64));
        let (own, admin) = (Arc::clone(&heard), Arc::clone(admin));
        let handle = served.spawn(async move { converse(stream, &admin, &own, began).await });
        open.push((handle, heard));
    }
}

/// Binds the port, however long that takes.
async fn bound(at: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        let mut tried = TcpListener::bind(at).await;
        if tried.is_err() && at.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            // A machine without the newer protocol.
            tried = TcpListener::bind((Ipv4Addr::UNSPECIFIED, at.port())).await;
        }
        match tried {
            Ok(listener) => return listener,
            Err(error) => {
                // The last configuration's may stand for a moment.
                if std::mem::replace(&mut told, true) {
                    log::error!("revocations cannot be taken on {at}: {error}");
                    tokio::time::sleep(PATIENCE).await;
                } else {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// One connection; ends when either side has had enough.
async fn converse(
    mut stream: TcpStream,
    admin: &Admin,
    heard: &AtomicU64,
    began: Instant,
) -> Option<()> {
    let mut talk = Conversation::default();
    let (mut message, mut out) = (Vec::new(), Vec::new());
    loop {
        // Callers keep a connection for when they need it.
        let first = stream.read_u8().await.ok()?;
        heard.store(began.elapsed().as_millis() as u64, Ordering::Relaxed);
        let rest = timeout(PATIENCE, receive(&mut stream, first, &mut message));
        rest.await.ok()??;
        out.clear();
        talk.take(&message, admin, &mut out).ok()?;
        if !out.is_empty() {
            timeout(PATIENCE, stream.write_all(&out)).await.ok()?.ok()?;
        }
    }
}

/// The rest of a message whose first byte is there.
async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    first: u8,
    message: &mut Vec<u8>,
) -> Option<()> {
    let mut length = u64::from(first);
    let more = uint_rest(first).ok()?;
    if more > 0 {
        length = 0;
        for _ in 0..more {
            length = length << 8 | u64::from(from.read_u8().await.ok()?);
        }
    }
    if length > MAX_MESSAGE as u64 {
        return None;
    }
    message.clear();
    // Memory is taken as the bytes come, not as they are announced.
    let read = from.take(length).read_to_end(message).await.ok()?;
    (read as u64 == length).then_some(())
}
