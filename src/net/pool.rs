//! Idle connections, one pool per thread: no lock, no task per idle connection, last in first out.
//!
//! All threads of a Pingora service share one I/O driver, so a connection may rest on another thread
//! than the one that opened it. KrakenD's caps count for the process; here each thread holds its share.
//! Idle connections are closed when this thread next takes one, a second apart at most.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::base::clock;
use crate::base::fx::Fx;

use super::io::{Conn, ConnKey};

/// What a pool may hold, per thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections are closed after so long without use.
    pub idle: Duration,
    /// Connections to one address; none means no reuse.
    pub per_host: usize,
    /// Connections in all.
    pub total: usize,
}

#[derive(Default)]
struct Pool {
    hosts: HashMap<SocketAddr, Vec<Idle>, BuildHasherDefault<Fx>>,
    count: usize,
    swept: Option<Instant>,
}

struct Idle {
    conn: Conn,
    /// How long it may rest.
    span: Duration,
    /// Until when, once a sweep has seen it: whoever gives one back need not know the time.
    until: Option<Instant>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::default());
}

/// How often expired connections are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// The connection to this address that was used last and is still alive.
pub fn take(peer: SocketAddr, key: Option<&ConnKey>) -> Option<Conn> {
    loop {
        let mut conn = POOL
            .try_with(|pool| {
                pool.try_borrow_mut()
                    .ok()?
                    .take(peer, key, clock::now().into())
            })
            .ok()??;
        if quiet(&mut conn) {
            conn.reused = true;
            return Some(conn);
        }
    }
}

/// Keeps a connection that may serve another request. Over the cap of its host it replaces the one
/// that rested longest; over the cap of all it is closed.
pub fn put(conn: Conn, limits: Limits) {
    if limits.per_host == 0 || limits.total == 0 {
        return;
    }
    let _ = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut() {
            pool.put(conn, limits);
        }
    });
}

/// How many connections rest on this thread.
pub fn idle() -> usize {
    POOL.try_with(|pool| pool.try_borrow().map_or(0, |pool| pool.count))
        .unwrap_or(0)
}

/// Closes the connections that rest on this thread.
pub fn clear() {
    // Emptied first, closed after: closing may run foreign code.
    let rest = POOL.try_with(|pool| {
        pool.try_borrow_mut()
            .map(|mut pool| std::mem::take(&mut *pool))
    });
    drop(rest);
}

/// A connection is alive when there is nothing to read: anything else is its end or bytes of no
/// answer. Costs no system call while the driver has seen no event.
fn quiet(conn: &mut Conn) -> bool {
    let mut byte = [0];
    let mut context = Context::from_waker(Waker::noop());
    let polled = Pin::new(&mut conn.io).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
    matches!(polled, Poll::Pending)
}

impl Pool {
    fn take(&mut self, peer: SocketAddr, key: Option<&ConnKey>, now: Instant) -> Option<Conn> {
        self.sweep(now);
        let rest = self.hosts.get_mut(&peer)?;
        let at = rest
            .iter()
            .rposition(|idle| idle.conn.key.as_ref() == key)?;
        let idle = rest.remove(at);
        self.count -= 1;
        // The newest of its kind has expired, so all have; the sweep takes them.
        idle.until
            .is_none_or(|until| now < until)
            .then_some(idle.conn)
    }

    fn put(&mut self, conn: Conn, limits: Limits) {
        let rest = self.hosts.entry(conn.peer).or_default();
        if rest.len() >= limits.per_host {
            rest.remove(0);
            self.count -= 1;
        } else if self.count >= limits.total {
            return;
        }
        rest.push(Idle {
            conn,
            span: limits.idle,
            until: None,
        });
        self.count += 1;
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.hosts.retain(|_, rest| {
            rest.retain_mut(|idle| now < *idle.until.get_or_insert(now + idle.span));
            !rest.is_empty()
        });
        self.count = self.hosts.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::io::Io;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    const LIMITS: Limits = Limits {
        idle: Duration::from_secs(90),
        per_host: 2,
        total: 3,
    };

    async fn pair() -> (Conn, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let (tcp, server) = tokio::join!(TcpStream::connect(peer), listener.accept());
        let conn = Conn {
            io: Io::Tcp(tcp.unwrap()),
            peer,
            key: None,
            reused: false,
        };
        (conn, server.unwrap().0)
    }

    #[tokio::test]
    async fn a_quiet_connection_comes_back_and_a_closed_one_does_not() {
        let (conn, server) = pair().await;
        let peer = conn.peer;
        put(conn, LIMITS);
        let mut conn = take(peer, None).unwrap();
        assert!(conn.reused);
        drop(server);
        let mut byte = [0];
        let end = std::future::poll_fn(|cx| {
            Pin::new(&mut conn.io).poll_read(cx, &mut ReadBuf::new(&mut byte))
        });
        end.await.unwrap();
        put(conn, LIMITS);
        assert!(take(peer, None).is_none());
    }

    #[tokio::test]
    async fn stray_bytes_spoil_a_connection() {
        let (conn, mut server) = pair().await;
        let peer = conn.peer;
        let Io::Tcp(tcp) = &conn.io else {
            panic!("plaintext")
        };
        server.write_all(b"x").await.unwrap();
        tcp.readable().await.unwrap();
        put(conn, LIMITS);
        assert!(take(peer, None).is_none());
    }

    #[tokio::test]
    async fn caps_bound_one_host_and_all_together() {
        clear();
        let (first, _a) = pair().await;
        let peer = first.peer;
        let mut kept = Vec::new();
        put(first, LIMITS);
        for _ in 0..3 {
            let (mut conn, server) = pair().await;
            conn.peer = peer;
            kept.push(server);
            put(conn, LIMITS);
        }
        assert_eq!(idle(), 2);
        for _ in 0..3 {
            let (conn, server) = pair().await;
            kept.push(server);
            put(conn, LIMITS);
        }
        assert_eq!(idle(), 3);
    }

    #[tokio::test]
    async fn other_tls_set_ups_are_not_mixed_up() {
        let (mut conn, _server) = pair().await;
        let (peer, key) = (
            conn.peer,
            ConnKey {
                setup: 1,
                name: "a".into(),
            },
        );
        conn.key = Some(key.clone());
        put(conn, LIMITS);
        assert!(take(peer, None).is_none());
        assert!(
            take(
                peer,
                Some(&ConnKey {
                    setup: 2,
                    name: "a".into()
                })
            )
            .is_none()
        );
        assert!(
            take(
                peer,
                Some(&ConnKey {
                    setup: 1,
                    name: "b".into()
                })
            )
            .is_none()
        );
        assert!(take(peer, Some(&key)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn expired_connections_are_closed() {
        clear();
        let (conn, _server) = pair().await;
        let peer = conn.peer;
        put(conn, LIMITS);
        let other = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(take(other, None).is_none());
        tokio::time::advance(LIMITS.idle / 2).await;
        assert!(take(other, None).is_none());
        assert_eq!(idle(), 1);
        tokio::time::advance(LIMITS.idle).await;
        assert!(take(peer, None).is_none());
        assert_eq!(idle(), 0);
    }
}
