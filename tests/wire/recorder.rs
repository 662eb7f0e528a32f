//! A backend that takes exact messages only: one whole request by [`strict`], nothing between two of them,
//! nothing behind one before it was answered. Whatever else comes is a violation, kept with its bytes.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::judge::key;
use super::strict::{self, From, Request};

/// A whole request that arrived.
pub(crate) type Seen = Request;

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    violations: Mutex<Vec<String>>,
    cut: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The backend; it ends when it is dropped.
pub(crate) struct Recorder {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Listens on a port of loopback.
    pub(crate) fn start() -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                if ours.ended.load(Ordering::Acquire) {
                    return;
                }
                let another = stream.try_clone().expect("a connection can be held twice");
                lock(&ours.open).insert(number, another);
                let shared = Arc::clone(&ours);
                std::thread::spawn(move || {
                    shared.converse(stream);
                    // Held on to, it would stay open, and take the place of a later one in the end.
                    lock(&shared.open).remove(&number);
                });
            }
        });
        Self {
            port,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// What goes into a `host` list.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Takes the whole requests so far.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.shared.seen))
    }

    /// Takes the violations so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.violations))
    }

    /// How many connections ended inside a request.
    pub(crate) fn cut(&self) -> usize {
        self.shared.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn converse(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(120)));
        let _ = stream.set_nodelay(true);
        let mut held = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            match stream.read(&mut piece) {
                Ok(read @ 1..) => held.extend_from_slice(&piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                _ => break,
            }
            match strict::request(&held, From::Gateway) {
                Ok(None) => {}
                Ok(Some((request, end))) => {
                    if end < held.len() {
                        self.violation("bytes behind a request", &held);
                        return;
                    }
                    held.clear();
                    let (answer, ends) = answer(&request);
                    lock(&self.seen).push(request);
                    if stream.write_all(answer.as_bytes()).is_err() || ends {
                        let _ = stream.shutdown(Shutdown::Both);
                        return;
                    }
                }
                Err(what) => {
                    self.violation(&what, &held);
                    return;
                }
            }
        }
        if !held.is_empty() {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn violation(&self, what: &str, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(2000)];
        lock(&self.violations).push(format!("{what}: {}", bytes.escape_ascii()));
    }
}

/// The same answer in the style that the request asks for, and whether the connection ends with it.
fn answer(request: &Request) -> (String, bool) {
    let body = format!("{{\"marker\":\"{}\"}}", key(&request.target));
    let body = if request.method == "HEAD" { "" } else { &body };
    let style = strict::all(&request.fields, "x-style")
        .next()
        .unwrap_or_default();
    let length = format!("Content-Length: {}\r\n", body.len());
    let (first, fields, body) = match style {
        b"1" => {
            let (one, two) = body.split_at(body.len().min(4));
            let body = format!(
                "{:x};a=\"b\"\r\n{one}\r\n0{:X}\r\n{two}\r\n0\r\nX-Sum: 1\r\n\r\n",
                one.len(),
                two.len()
            );
            (
                "HTTP/1.1 200 OK",
                "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n".to_owned(),
                body,
            )
        }
        b"2" => (
            "HTTP/1.1 200 OK",
            "Connection: close\r\n".to_owned(),
            body.to_owned(),
        ),
        b"3" => {
            // No text, a field without which the answer has no end, and one that is not the connection's.
            let hops = "Connection: keep-alive, h\u{f6}p, X-Hop, Content-Length\r\nX-Hop: 1\r\nClose: 1\r\n\
                        Keep-Alive: timeout=5\r\n";
            (
                "HTTP/1.1 200 OK",
                format!("{hops}Set-Cookie: a=b\r\nX-A: 1\r\nSet-Cookie: c=d\r\n{length}"),
                body.to_owned(),
            )
        }
        b"4" => {
            let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 Fine then";
            (interim, length, body.to_owned())
        }
        b"5" => (
            "HTTP/1.0 200 OK",
            format!("Connection: keep-alive\r\n{length}"),
            body.to_owned(),
        ),
        b"6" => (
            "HTTP/1.1 200",
            format!(
                "x-odd:  a \t b \t\r\nX-EMPTY:\r\nserver: x\r\nx-request-id: theirs\r\n{length}"
            ),
            body.to_owned(),
        ),
        b"7" => {
            let many: String = (0..40).map(|n| format!("X-N{n}: {n}\r\n")).collect();
            ("HTTP/1.1 200 OK", many + &length, body.to_owned())
        }
        _ => ("HTTP/1.1 200 OK", length, body.to_owned()),
    };
    let text = format!("{first}\r\nContent-Type: application/json\r\n{fields}\r\n{body}");
    (text, style == b"2")
}
