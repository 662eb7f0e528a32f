//! A backend under full control of the test: it answers by a closure and remembers every request
//! byte by byte. It can stall, close in the middle, talk nonsense, and send pieces on command.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::eventually;
use super::message::{Body, Framing, Head, buffered};

/// What the origin has seen of one request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Request line and fields.
    pub(crate) head: Head,
    /// The body, its transfer coding undone.
    pub(crate) body: Vec<u8>,
    /// The very bytes of head and body.
    pub(crate) raw: Vec<u8>,
    /// `false` when the peer went away inside the body.
    pub(crate) complete: bool,
}

impl Request {
    /// `GET`, `POST`, …
    pub(crate) fn method(&self) -> &str {
        self.head.word(0)
    }

    /// The target as sent, query included.
    pub(crate) fn target(&self) -> &str {
        self.head.word(1)
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The body as text; what is no UTF-8 shows as U+FFFD.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

type Handler = dyn Fn(&mut Exchange) + Send + Sync;

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    requests: Mutex<Vec<Request>>,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running backend; it ends, with all its connections, when the test drops it.
pub(crate) struct Origin {
    at: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Origin {
    /// Answers by a closure, which is called once the whole request is there.
    pub(crate) fn serve(handler: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), handler)
    }

    /// The same on an address of this machine; port 0 is any.
    pub(crate) fn at(
        address: SocketAddr,
        handler: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the address can be bound");
        Self::start(
            listener,
            Arc::new(move |exchange: &mut Exchange| {
                exchange.read_body();
                exchange.record();
                handler(exchange);
            }),
        )
    }

    /// Answers by a closure, which is called when the head is there: it reads the body by
    /// [`Exchange::piece`], or does not. The request is recorded when the closure returns.
    pub(crate) fn serve_heads(handler: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        Self::start(
            listener,
            Arc::new(move |exchange: &mut Exchange| {
                handler(exchange);
                exchange.record();
            }),
        )
    }

    /// Answers every request with 200 and this JSON.
    pub(crate) fn json(text: &str) -> Self {
        let text = text.to_owned();
        Self::serve(move |exchange| exchange.json(&text))
    }

    fn start(listener: TcpListener, handler: Arc<Handler>) -> Self {
        let at = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let accept = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accept.ended.load(Ordering::Acquire) {
                    return;
                }
                let (shared, handler) = (Arc::clone(&accept), Arc::clone(&handler));
                shared.sockets().extend(stream.try_clone());
                std::thread::spawn(move || converse(stream, &shared, &*handler));
            }
        });
        Self {
            at,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.at.port()
    }

    /// What goes into a configuration's `host` list.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.at.port())
    }

    /// All requests so far, in the order in which they were complete.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests().clone()
    }

    /// The one request that was made.
    ///
    /// # Panics
    /// When there was none, or more.
    pub(crate) fn request(&self) -> Request {
        let mut all = self.requests();
        assert_eq!(all.len(), 1, "one request was expected: {all:#?}");
        all.remove(0)
    }

    /// Waits until so many requests have come, and gives them.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Request> {
        eventually("requests at the origin", || {
            Some(self.requests()).filter(|all| all.len() >= count)
        })
    }

    /// How many connections were opened to it in its life.
    pub(crate) fn connections(&self) -> usize {
        self.shared.sockets().len()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        for socket in self.shared.sockets().iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let woken = TcpStream::connect(self.at).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
    }
}

fn converse(stream: TcpStream, shared: &Arc<Shared>, handler: &Handler) {
    let mut stream = Recorder {
        inner: buffered(stream),
        bytes: Vec::new(),
    };
    while let Ok(Some(head)) = Head::read(&mut stream) {
        let body = Body::new(Framing::of_request(&head));
        let request = Request {
            head,
            body: Vec::new(),
            raw: Vec::new(),
            complete: true,
        };
        let mut exchange = Exchange {
            request,
            open: true,
            stream,
            body,
            shared: Arc::clone(shared),
        };
        handler(&mut exchange);
        if !exchange.open {
            let _ = exchange.stream.inner.get_ref().shutdown(Shutdown::Both);
            return;
        }
        exchange.read_body();
        stream = exchange.stream;
        stream.bytes.clear();
    }
}

/// One request and the means to answer it.
pub(crate) struct Exchange {
    /// What was asked.
    pub(crate) request: Request,
    open: bool,
    stream: Recorder,
    body: Body,
    shared: Arc<Shared>,
}

impl Exchange {
    /// A complete answer with its length.
    pub(crate) fn answer(&mut self, status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let length = body.len().to_string();
        let fields = [fields, &[("Content-Length", &length)]].concat();
        self.raw(head(status, &fields));
        if self.request.method() != "HEAD" {
            self.raw(body);
        }
    }

    /// 200 with JSON.
    pub(crate) fn json(&mut self, text: &str) {
        self.answer(200, &[("Content-Type", "application/json")], text);
    }

    /// Sends bytes as they are, whatever they mean.
    pub(crate) fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.open &= self
            .stream
            .inner
            .get_mut()
            .write_all(bytes.as_ref())
            .is_ok();
    }

    /// A chunked answer whose pieces the test sends; it ends when the [`Tap`] is dropped.
    pub(crate) fn stream(&mut self, fields: &[(&str, &str)], feed: &Feed) {
        let fields = [fields, &[("Transfer-Encoding", "chunked")]].concat();
        self.raw(head(200, &fields));
        let pieces = feed.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            self.raw(format!("{:x}\r\n", piece.len()));
            self.raw([&piece, &b"\r\n"[..]].concat());
        }
        self.raw("0\r\n\r\n");
    }

    /// Says nothing until the peer goes away or the origin ends, then closes.
    pub(crate) fn stall(&mut self) {
        let mut unread = [0; 4096];
        while !self.shared.ended.load(Ordering::Acquire) {
            if !matches!(self.stream.read(&mut unread), Ok(1..)) {
                break;
            }
        }
        self.close();
    }

    /// Closes the connection when the handler returns.
    pub(crate) fn close(&mut self) {
        self.open = false;
    }

    /// The next piece of the request's body as it arrives; `None` at its end.
    pub(crate) fn piece(&mut self) -> Option<Vec<u8>> {
        let piece = self.body.piece(&mut self.stream).unwrap_or_else(|_| {
            self.request.complete = false;
            self.open = false;
            None
        });
        self.request.body.extend(piece.iter().flatten());
        piece
    }

    fn read_body(&mut self) {
        while self.open && self.piece().is_some() {}
    }

    fn record(&mut self) {
        self.request.raw.clone_from(&self.stream.bytes);
        self.shared.requests().push(self.request.clone());
    }
}

fn head(status: u16, fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("HTTP/1.1 {status} Status\r\n{fields}\r\n")
}

/// Where the test puts the pieces of a streamed answer.
pub(crate) struct Tap(SyncSender<Vec<u8>>);

/// Where the origin takes them from: for [`Exchange::stream`].
pub(crate) struct Feed(Mutex<Receiver<Vec<u8>>>);

/// The two ends of an answer that is streamed on command.
pub(crate) fn feed() -> (Tap, Feed) {
    let (tap, feed) = sync_channel(64);
    (Tap(tap), Feed(Mutex::new(feed)))
}

impl Tap {
    /// Lets one piece flow.
    pub(crate) fn send(&self, piece: impl Into<Vec<u8>>) {
        let _ = self.0.send(piece.into());
    }
}

/// A reader that keeps a copy of what was taken from it.
struct Recorder {
    inner: BufReader<TcpStream>,
    bytes: Vec<u8>,
}

impl BufRead for Recorder {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.extend_from_slice(&self.inner.buffer()[..amount]);
        self.inner.consume(amount);
    }
}

impl Read for Recorder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
