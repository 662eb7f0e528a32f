//! A small HTTP/1.1 server for the stand-ins: keep-alive, Content-Length and chunked request bodies,
//! answers in one piece or as a stream. It knows just enough to be a believable backend on loopback;
//! everything that it reads is bounded, and what it does not understand ends the connection with 400.

use super::message::{Answer, Body, Framing, Head, MAX_BODY, MAX_HEADERS, Request, parse};
use bytes::{Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const MAX_HEAD: usize = 64 * 1024;
/// Longest line that announces a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 4096;
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may be silent, between requests and within one.
const IDLE: Duration = Duration::from_secs(75);
/// How long a refused client may go on sending.
const LINGER: Duration = Duration::from_secs(1);

/// Answers one request. Called on the runtime, so it must not block.
pub(crate) type Handler = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// Serves connections until it is dropped; with it end all its connections.
pub(crate) async fn serve(listener: TcpListener, handler: Handler) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(converse(stream, Arc::clone(&handler)));
                }
                Ok(_) => {}
                // Out of file handles, most likely: let some go before the next try.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Why a request could not be read.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The connection ended or fell silent: nobody is left to be answered.
    Gone,
    /// To be answered with this status, and then closed.
    Refused(u16),
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Fault::Gone
    }
}

/// A connection and what was read ahead from it.
struct Line {
    stream: TcpStream,
    buffer: BytesMut,
}

async fn converse(stream: TcpStream, handler: Handler) {
    // Pieces of a stream are small and must leave at once.
    let _ = stream.set_nodelay(true);
    let mut line = Line {
        stream,
        buffer: BytesMut::new(),
    };
    loop {
        match line.request().await {
            Ok(Some(head)) => {
                let answer = handler(&head.request);
                if !answer.after.is_zero() {
                    sleep(answer.after).await;
                }
                if line.answer(&head, answer).await.is_err() || !head.keep_alive {
                    return;
                }
            }
            Ok(None) | Err(Fault::Gone) => return,
            Err(Fault::Refused(status)) => {
                let _ = line.refuse(status).await;
                return;
            }
        }
    }
}

impl Line {
    /// The next request, or nothing when the client ended the connection between two.
    async fn request(&mut self) -> Result<Option<Head>, Fault> {
        let Some(length) = self.head_length().await? else {
            return Ok(None);
        };
        let mut head = parse(&self.buffer.split_to(length)).map_err(Fault::Refused)?;
        let expects = head.request.header("expect");
        if expects.is_some_and(|e| e.eq_ignore_ascii_case("100-continue")) {
            let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.stream.write_all(go_on).await?;
        }
        head.request.body = match head.framing {
            Framing::Length(length) => self.exactly(length).await?,
            Framing::Chunked => self.chunked().await?,
        };
        Ok(Some(head))
    }

    /// Reads until the empty line and says where the body begins.
    async fn head_length(&mut self) -> Result<Option<usize>, Fault> {
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = find(rest, b"\r\n\r\n") {
                return Ok(Some(searched + at + 4));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Fault::Refused(431));
            }
            searched = self.buffer.len().saturating_sub(3);
            match self.more().await {
                Err(Fault::Gone) if self.buffer.is_empty() => return Ok(None),
                result => result?,
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Bytes, Fault> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn chunked(&mut self) -> Result<Bytes, Fault> {
        let mut body = BytesMut::new();
        loop {
            let line = self.chunk_line().await?;
            let size = match httparse::parse_chunk_size(&line) {
                Ok(httparse::Status::Complete((_, size))) => size,
                _ => return Err(Fault::Refused(400)),
            };
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size == 0 {
                return self.trailers(body).await;
            }
            if size > MAX_BODY - body.len() {
                return Err(Fault::Refused(413));
            }
            body.extend_from_slice(&self.exactly(size).await?);
            if self.exactly(2).await?.as_ref() != b"\r\n" {
                return Err(Fault::Refused(400));
            }
        }
    }

    /// Skips what follows the last chunk, up to the empty line.
    async fn trailers(&mut self, body: BytesMut) -> Result<Bytes, Fault> {
        for _ in 0..MAX_HEADERS {
            if self.chunk_line().await?.as_ref() == b"\r\n" {
                return Ok(body.freeze());
            }
        }
        Err(Fault::Refused(431))
    }

    /// One short line with its end.
    async fn chunk_line(&mut self) -> Result<Bytes, Fault> {
        let mut searched = 0;
        loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = find(rest, b"\r\n") {
                return Ok(self.buffer.split_to(searched + at + 2).freeze());
            }
            if self.buffer.len() > MAX_CHUNK_LINE {
                return Err(Fault::Refused(400));
            }
            searched = self.buffer.len().saturating_sub(1);
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Fault> {
        match timeout(IDLE, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(0)) | Ok(Err(_)) | Err(_) => Err(Fault::Gone),
            Ok(Ok(_)) => Ok(()),
        }
    }

    async fn answer(&mut self, head: &Head, answer: Answer) -> io::Result<()> {
        let framing = match &answer.body {
            Body::Full(body) => format!("Content-Length: {}\r\n", body.len()),
            Body::Stream { .. } if head.chunks => "Transfer-Encoding: chunked\r\n".to_owned(),
            Body::Stream { .. } => String::new(),
        };
        let bare = head.request.method == "HEAD" || answer.status == 204;
        let mut out = start(
            answer.status,
            head.keep_alive && (bare || !framing.is_empty()),
        );
        for (name, value) in &answer.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if answer.status != 204 {
            out.push_str(&framing);
        }
        out.push_str("\r\n");
        let mut out = BytesMut::from(out.as_bytes());
        match answer.body {
            Body::Full(body) => {
                if !bare {
                    out.extend_from_slice(&body);
                }
                self.stream.write_all(&out).await
            }
            Body::Stream { pieces, pause } => {
                self.stream.write_all(&out).await?;
                if bare {
                    return Ok(());
                }
                self.pieces(pieces, pause, head.chunks).await?;
                // Without chunks the end of the connection is the end of the body.
                match head.chunks {
                    true => Ok(()),
                    false => Err(io::ErrorKind::ConnectionAborted.into()),
                }
            }
        }
    }

    async fn pieces(
        &mut self,
        pieces: Vec<Bytes>,
        pause: Duration,
        chunks: bool,
    ) -> io::Result<()> {
        for (index, piece) in pieces.into_iter().enumerate() {
            if index > 0 {
                sleep(pause).await;
            }
            // An empty chunk would be the last one.
            if piece.is_empty() {
                continue;
            }
            let mut out = BytesMut::new();
            if chunks {
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            }
            out.extend_from_slice(&piece);
            if chunks {
                out.extend_from_slice(b"\r\n");
            }
            self.stream.write_all(&out).await?;
        }
        match chunks {
            true => self.stream.write_all(b"0\r\n\r\n").await,
            false => Ok(()),
        }
    }

    async fn refuse(&mut self, status: u16) -> io::Result<()> {
        let body = format!("{{\"error\":\"{}\"}}", reason(status));
        let mut out = start(status, false);
        out.push_str("Content-Type: application/json\r\n");
        out.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.stream.write_all(out.as_bytes()).await?;
        self.stream.shutdown().await?;
        // Closing with unread bytes would reset the connection before the answer is read.
        let _ = timeout(LINGER, self.drain()).await;
        Ok(())
    }

    async fn drain(&mut self) {
        let mut left = MAX_BODY;
        while left > 0 && self.more().await.is_ok() {
            left = left.saturating_sub(self.buffer.len());
            self.buffer.clear();
        }
    }
}

fn start(status: u16, keep_alive: bool) -> String {
    let close = if keep_alive {
        ""
    } else {
        "Connection: close\r\n"
    };
    format!("HTTP/1.1 {status} {}\r\n{close}", reason(status))
}

fn reason(status: u16) -> &'static str {
    let status = http::StatusCode::from_u16(status).ok();
    let reason = status.and_then(|status| status.canonical_reason());
    reason.unwrap_or("Unknown")
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Instant;

    /// Starts a server for the rest of the test.
    pub(crate) async fn started(handler: Handler) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, handler));
        (address, tasks)
    }

    /// Sends bytes and reads until the server closes.
    pub(crate) async fn talk(address: SocketAddr, text: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text).await.unwrap();
        let mut out = Vec::new();
        stream.read_to_end(&mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    fn repeater() -> Handler {
        Arc::new(|request: &Request| Answer {
            status: 200,
            headers: vec![],
            body: Body::Full(request.body.clone()),
            after: Duration::ZERO,
        })
    }

    #[tokio::test]
    async fn answers_several_requests_on_one_connection() {
        let (address, _tasks) = started(repeater()).await;
        let text = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
            POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\ntwo";
        let answer = talk(address, text).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
        assert!(answer.contains("\r\n\r\none") && answer.ends_with("\r\n\r\ntwo"));
    }

    #[tokio::test]
    async fn reads_a_chunked_body_with_trailers() {
        let (address, _tasks) = started(repeater()).await;
        let text = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\
            \r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n";
        assert!(talk(address, text).await.ends_with("\r\n\r\nabcde"));
    }

    #[tokio::test]
    async fn asks_for_the_body_that_waits_for_leave() {
        let (address, _tasks) = started(repeater()).await;
        let text = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\
            Content-Length: 2\r\n\r\nok";
        let answer = talk(address, text).await;
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"));
    }

    #[tokio::test]
    async fn refuses_malformed_requests_with_400() {
        let (address, _tasks) = started(repeater()).await;
        for text in [
            &b"what is this\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            let shown = String::from_utf8_lossy(text);
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(text).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{shown}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_stream_arrives_one_chunk_per_piece_and_in_its_time() {
        let pause = Duration::from_millis(20);
        let (address, _tasks) = started(Arc::new(move |_: &Request| {
            Answer::events(
                ["one".to_owned(), "two".to_owned(), "three".to_owned()],
                pause,
            )
        }))
        .await;
        let before = Instant::now();
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = talk(address, text).await;
        assert!(before.elapsed() >= pause * 2);
        assert!(answer.ends_with(
            "\r\n\r\nb\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\nd\r\ndata: three\n\n\r\n0\r\n\r\n"
        ));
    }

    #[tokio::test]
    async fn an_old_client_gets_a_stream_without_chunks() {
        let (address, _tasks) = started(Arc::new(|_: &Request| {
            Answer::events(["one".to_owned()], Duration::ZERO)
        }))
        .await;
        let answer = talk(address, b"GET / HTTP/1.0\r\n\r\n").await;
        assert!(answer.ends_with("\r\n\r\ndata: one\n\n") && !answer.contains("chunked"));
    }

    #[tokio::test]
    async fn a_head_request_gets_the_length_and_no_body() {
        let (address, _tasks) = started(Arc::new(|_: &Request| {
            Answer::json(200, &serde_json::json!({}))
        }))
        .await;
        let text = b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = talk(address, text).await;
        assert!(answer.contains("Content-Length: 2\r\n") && answer.ends_with("\r\n\r\n"));
    }
}
