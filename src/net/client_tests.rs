//! The client against small servers that say exactly what a test wants. Nothing here sleeps: servers
//! wait for channels, and only the client's own deadlines pass.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{
    BodySource, Client, ClientOptions, Deadline, Incoming, Interims, NetError, OutBody, Outgoing,
    Resolver, Target, pool,
};
use crate::base::Reason;
use crate::net::io::Io;

const SOON: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(20);

struct Server {
    listener: TcpListener,
    target: Target,
}

impl Server {
    async fn new() -> Self {
        // Tests may share a thread, and then its pool.
        pool::clear();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self {
            listener,
            target: Target::parse(&url, &Resolver::new()).unwrap(),
        }
    }

    /// Answers one request with these bytes and closes.
    async fn once(answer: &'static [u8]) -> (Target, JoinHandle<String>) {
        let server = Self::new().await;
        let target = server.target.clone();
        let task = tokio::spawn(async move {
            let mut peer = server.accept().await;
            let seen = read_head(&mut peer).await;
            let _ = peer.write_all(answer).await;
            seen
        });
        (target, task)
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

async fn read_head(peer: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match peer.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(seen).unwrap()
}

fn client() -> Client {
    Client::new(ClientOptions::default())
}

static FIELDS: [(http::HeaderName, http::HeaderValue); 1] = [(
    http::HeaderName::from_static("x-a"),
    http::HeaderValue::from_static("b"),
)];

fn request<'a, 'b>(method: &'a Method, body: OutBody<'b>) -> Outgoing<'a, 'b> {
    Outgoing {
        method,
        path_and_query: "/x?y",
        host: None,
        fields: &FIELDS,
        body,
        patience: None,
        interims: None,
    }
}

async fn send(target: &Target, method: Method, body: OutBody<'_>) -> Result<Incoming, NetError> {
    client()
        .send(target, request(&method, body), Deadline::after(LONG))
        .await
}

async fn get(target: &Target) -> Result<Incoming, NetError> {
    send(target, Method::GET, OutBody::None).await
}

/// The whole exchange with a server that says these bytes.
async fn fetch(answer: &'static [u8]) -> Result<Bytes, NetError> {
    let (target, _task) = Server::once(answer).await;
    get(&target).await?.collect(1 << 20).await
}

fn full(text: &'static [u8], chunked: bool) -> OutBody<'static> {
    OutBody::Full {
        bytes: Bytes::from_static(text),
        chunked,
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_small_exchange_looks_like_gos() {
    let (target, task) = Server::once(OK).await;
    let incoming = get(&target).await.unwrap();
    assert_eq!(incoming.status, 200);
    assert_eq!(incoming.collect(10).await.unwrap(), "ok");
    let host = target.authority().host_header.clone();
    assert_eq!(
        task.await.unwrap(),
        format!("GET /x?y HTTP/1.1\r\nHost: {host}\r\nX-A: b\r\n\r\n")
    );
}

#[tokio::test]
async fn a_finished_connection_serves_the_next_request() {
    let server = Server::new().await;
    let target = server.target.clone();
    let task = tokio::spawn(async move {
        let mut peer = server.accept().await;
        for _ in 0..3 {
            read_head(&mut peer).await;
            peer.write_all(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            )
            .await
            .unwrap();
        }
    });
    for _ in 0..3 {
        assert_eq!(get(&target).await.unwrap().collect(10).await.unwrap(), "ok");
    }
    task.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_dropped_unread_closes_its_connection() {
    let server = Server::new().await;
    let target = server.target.clone();
    let task = tokio::spawn(async move {
        let mut peer = server.accept().await;
        read_head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            .await
            .unwrap();
        peer.read_u8().await.is_err()
    });
    let mut incoming = get(&target).await.unwrap();
    assert_eq!(incoming.chunk().await.unwrap().unwrap(), "half");
    drop(incoming);
    assert_eq!(pool::idle(), 0);
    assert!(task.await.unwrap());
}

/// Serves one request, then dies while the second is on its way; serves the next connection if any.
async fn dying_server() -> (Target, JoinHandle<String>, mpsc::Sender<()>) {
    let server = Server::new().await;
    let target = server.target.clone();
    let (done, mut over) = mpsc::channel::<()>(1);
    let task = tokio::spawn(async move {
        let mut peer = server.accept().await;
        read_head(&mut peer).await;
        peer.write_all(OK).await.unwrap();
        read_head(&mut peer).await;
        drop(peer);
        tokio::select! {
            mut peer = server.accept() => {
                let seen = read_head(&mut peer).await;
                peer.write_all(OK).await.unwrap();
                seen
            }
            _ = over.recv() => String::new(),
        }
    });
    (target, task, done)
}

#[tokio::test]
async fn a_get_on_a_dead_reused_connection_is_sent_once_more() {
    let (target, task, _done) = dying_server().await;
    for _ in 0..2 {
        assert_eq!(get(&target).await.unwrap().collect(10).await.unwrap(), "ok");
    }
    assert!(task.await.unwrap().starts_with("GET /x?y"));
}

#[tokio::test]
async fn a_post_on_a_dead_reused_connection_is_not_repeated() {
    let (target, task, done) = dying_server().await;
    get(&target).await.unwrap().collect(10).await.unwrap();
    let error = send(&target, Method::POST, full(b"x", false))
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::BackendReset);
    drop(done);
    assert_eq!(task.await.unwrap(), "");
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_retried() {
    let error = fetch(b"").await.unwrap_err();
    assert_eq!(
        (error.reason, error.text.as_ref()),
        (Reason::BackendReset, "EOF")
    );
}

#[tokio::test]
async fn chunks_with_trailers_are_read() {
    let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n";
    assert_eq!(fetch(wire).await.unwrap(), "abcd");
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    assert_eq!(
        fetch(b"HTTP/1.1 200 OK\r\n\r\nall of it").await.unwrap(),
        "all of it"
    );
    assert_eq!(pool::idle(), 0);
}

#[tokio::test]
async fn bytes_behind_the_body_spoil_the_connection() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\n\r\nx",
    ] {
        fetch(wire).await.unwrap();
        assert_eq!(pool::idle(), 0);
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(fetch(wire).await.unwrap(), "ok");
}

/// The final status, and the interim ones that were left, of an exchange with a server that says this.
async fn interims_of(answer: &'static [u8]) -> (Option<u16>, Vec<(u16, String)>) {
    let (target, _task) = Server::once(answer).await;
    let interims = Interims::default();
    let out = Outgoing {
        interims: Some(&interims),
        ..request(&Method::GET, OutBody::None)
    };
    let incoming = client().send(&target, out, Deadline::after(LONG)).await;
    let link = |headers: &http::HeaderMap| {
        let link = headers.get("link").and_then(|value| value.to_str().ok());
        link.unwrap_or_default().to_owned()
    };
    let left = std::iter::from_fn(|| interims.take());
    let left = left.map(|head| (head.status.as_u16(), link(&head.headers)));
    (
        incoming.ok().map(|incoming| incoming.status.as_u16()),
        left.collect(),
    )
}

#[tokio::test]
async fn interim_answers_are_left_in_order_for_who_wants_them() {
    let wire = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (status, left) = interims_of(wire).await;
    assert_eq!(status, Some(204));
    assert_eq!(left, [(102, String::new()), (103, "x".to_owned())]);
}

#[tokio::test]
async fn an_interim_answer_alone_is_no_answer() {
    let (status, left) = interims_of(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await;
    assert_eq!(status, None);
    assert_eq!(left, [(103, "x".to_owned())]);
}

#[tokio::test]
async fn a_source_that_waits_is_asked_again_when_an_interim_answer_came() {
    /// Ends its body once it has seen an interim answer.
    struct Waiting<'a>(&'a Interims);
    #[async_trait]
    impl BodySource for Waiting<'_> {
        async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
            std::future::poll_fn(|_| match self.0.is_empty() {
                true => std::task::Poll::Pending,
                false => std::task::Poll::Ready(Ok(None)),
            })
            .await
        }
    }
    let server = Server::new().await;
    let target = server.target.clone();
    let task = tokio::spawn(async move {
        let mut peer = server.accept().await;
        read_head(&mut peer).await;
        let early = b"HTTP/1.1 103 Early Hints\r\n\r\n";
        peer.write_all(early).await.unwrap();
        let mut end = [0; 5];
        peer.read_exact(&mut end).await.unwrap();
        assert_eq!(&end, b"0\r\n\r\n");
        peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
    });
    let interims = Interims::default();
    let mut source = Waiting(&interims);
    let body = OutBody::Stream {
        source: &mut source,
        length: None,
    };
    let out = Outgoing {
        interims: Some(&interims),
        ..request(&Method::POST, body)
    };
    let incoming = client().send(&target, out, Deadline::after(LONG)).await;
    assert_eq!(incoming.unwrap().status.as_u16(), 204);
    task.await.unwrap();
}

#[tokio::test]
async fn answers_that_can_be_read_in_two_ways_are_refused() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ] {
        let error = fetch(wire).await.unwrap_err();
        assert_eq!(
            error.reason,
            Reason::BackendInvalid,
            "{}",
            String::from_utf8_lossy(wire)
        );
        assert_eq!(pool::idle(), 0);
    }
}

#[tokio::test]
async fn endless_interim_answers_are_refused() {
    let (target, task) = {
        let server = Server::new().await;
        let target = server.target.clone();
        let task = tokio::spawn(async move {
            let mut peer = server.accept().await;
            read_head(&mut peer).await;
            while peer
                .write_all(b"HTTP/1.1 102 Processing\r\n\r\n")
                .await
                .is_ok()
            {}
        });
        (target, task)
    };
    assert_eq!(
        get(&target).await.unwrap_err().reason,
        Reason::BackendInvalid
    );
    task.await.unwrap();
}

#[tokio::test]
async fn a_truncated_answer_is_an_error() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nConte",
    ] {
        let error = fetch(wire).await.unwrap_err();
        assert_eq!(
            (error.reason, error.text.as_ref()),
            (Reason::BackendReset, "unexpected EOF")
        );
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n5\r\nefghi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n123456789",
    ] {
        let (target, _task) = Server::once(wire).await;
        let error = get(&target).await.unwrap().collect(8).await.unwrap_err();
        assert_eq!(error.reason, Reason::BackendTooLarge);
        assert_eq!(pool::idle(), 0);
    }
}

#[tokio::test]
async fn a_head_answer_has_no_body_and_keeps_its_connection() {
    let server = Server::new().await;
    let target = server.target.clone();
    let task = tokio::spawn(async move {
        let mut peer = server.accept().await;
        for _ in 0..2 {
            read_head(&mut peer).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                .await
                .unwrap();
        }
    });
    for _ in 0..2 {
        let incoming = send(&target, Method::HEAD, OutBody::None).await.unwrap();
        assert_eq!(incoming.content_length(), Some(5));
        assert_eq!(incoming.collect(0).await.unwrap(), "");
    }
    task.await.unwrap();
}

/// Sends some bytes and then nothing until the test lets go.
async fn stalling(start: &'static [u8]) -> (Target, mpsc::Sender<()>) {
    let server = Server::new().await;
    let target = server.target.clone();
    let (hold, mut released) = mpsc::channel::<()>(1);
    tokio::spawn(async move {
        let mut peer = server.accept().await;
        read_head(&mut peer).await;
        peer.write_all(start).await.unwrap();
        released.recv().await;
    });
    (target, hold)
}

#[tokio::test]
async fn a_slow_head_ends_at_the_deadline() {
    let (target, _hold) = stalling(b"HTTP/1.1 200 OK\r\n").await;
    let out = request(&Method::GET, OutBody::None);
    let error = client()
        .send(&target, out, Deadline::after(SOON))
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::BackendTimeout);
    assert_eq!(error.text, "context deadline exceeded");
}

#[tokio::test]
async fn the_deadline_holds_in_the_middle_of_a_body() {
    let (target, _hold) = stalling(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    let mut incoming = get(&target).await.unwrap();
    incoming.set_deadline(Deadline::after(SOON));
    let error = incoming.collect(10).await.unwrap_err();
    assert_eq!(error.reason, Reason::BackendTimeout);
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let target = Server::new().await.target;
    let error = get(&target).await.unwrap_err();
    assert_eq!(error.reason, Reason::ConnectRefused);
}

#[tokio::test]
async fn bodies_travel_with_a_length_or_in_one_chunk() {
    for (chunked, wire) in [
        (false, "Content-Length: 5\r\n\r\nhello"),
        (
            true,
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let server = Server::new().await;
        let target = server.target.clone();
        let task = tokio::spawn(async move {
            let mut peer = server.accept().await;
            let mut seen = String::new();
            while !seen.ends_with(wire) {
                let byte = peer.read_u8().await.unwrap();
                seen.push(char::from(byte));
            }
            peer.write_all(OK).await.unwrap();
        });
        let incoming = send(&target, Method::POST, full(b"hello", chunked))
            .await
            .unwrap();
        assert_eq!(incoming.collect(10).await.unwrap(), "ok");
        task.await.unwrap();
    }
}

/// Gives so many chunks, then ends, fails, or waits for ever.
struct Source {
    left: usize,
    chunk: Bytes,
    end: End,
}

enum End {
    Done,
    Fail,
    Wait,
}

#[async_trait]
impl BodySource for Source {
    async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        if self.left > 0 {
            self.left -= 1;
            return Ok(Some(self.chunk.clone()));
        }
        match self.end {
            End::Done => Ok(None),
            End::Fail => Err(NetError::new(Reason::BodyTimeout, "client too slow")),
            End::Wait => std::future::pending().await,
        }
    }
}

fn source(left: usize, size: usize, end: End) -> Source {
    Source {
        left,
        chunk: Bytes::from(vec![b'a'; size]),
        end,
    }
}

#[tokio::test]
async fn a_source_is_sent_in_chunks_or_with_its_length() {
    for (length, wire) in [
        (Some(6), "Content-Length: 6\r\n\r\naaaaaa"),
        (
            None,
            "Transfer-Encoding: chunked\r\n\r\n3\r\naaa\r\n3\r\naaa\r\n0\r\n\r\n",
        ),
    ] {
        let server = Server::new().await;
        let target = server.target.clone();
        let task = tokio::spawn(async move {
            let mut peer = server.accept().await;
            let mut seen = String::new();
            while !seen.ends_with(wire) {
                seen.push(char::from(peer.read_u8().await.unwrap()));
            }
            peer.write_all(OK).await.unwrap();
        });
        let mut source = source(2, 3, End::Done);
        let body = OutBody::Stream {
            source: &mut source,
            length,
        };
        let incoming = send(&target, Method::POST, body).await.unwrap();
        assert_eq!(incoming.collect(10).await.unwrap(), "ok");
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_source_of_another_length_than_declared_fails() {
    for length in [5, 7] {
        let server = Server::new().await;
        let mut source = source(2, 3, End::Done);
        let body = OutBody::Stream {
            source: &mut source,
            length: Some(length),
        };
        let error = send(&server.target, Method::POST, body).await.unwrap_err();
        assert_eq!(error.reason, Reason::BadBody);
    }
}

#[tokio::test]
async fn a_failing_source_fails_the_exchange_with_its_error() {
    let server = Server::new().await;
    let mut source = source(1, 3, End::Fail);
    let body = OutBody::Stream {
        source: &mut source,
        length: None,
    };
    let error = send(&server.target, Method::POST, body).await.unwrap_err();
    assert_eq!(error.reason, Reason::BodyTimeout);
}

#[tokio::test]
async fn an_early_refusal_of_a_large_upload_is_the_answer() {
    const REFUSAL: &[u8] = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let (hold, mut released) = mpsc::channel::<()>(1);
    let server = Server::new().await;
    let target = server.target.clone();
    tokio::spawn(async move {
        let mut peer = server.accept().await;
        read_head(&mut peer).await;
        peer.write_all(REFUSAL).await.unwrap();
        // Never reads the body, so the client cannot finish sending it.
        released.recv().await;
    });
    let mut source = source(1000, 1 << 20, End::Done);
    let body = OutBody::Stream {
        source: &mut source,
        length: None,
    };
    let incoming = send(&target, Method::PUT, body).await.unwrap();
    assert_eq!(incoming.status, 413);
    assert_eq!(pool::idle(), 0);
    drop(hold);
}

#[tokio::test]
async fn an_answer_ends_the_wait_for_a_silent_source() {
    let (target, _task) = Server::once(b"HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n").await;
    let mut source = source(1, 3, End::Wait);
    let body = OutBody::Stream {
        source: &mut source,
        length: None,
    };
    assert_eq!(send(&target, Method::POST, body).await.unwrap().status, 408);
}

#[tokio::test]
async fn a_backend_that_answers_while_it_reads_gets_the_whole_body() {
    const SIZE: usize = 8 << 20;
    let server = Server::new().await;
    let target = server.target.clone();
    let task = tokio::spawn(async move {
        let mut peer = server.accept().await;
        read_head(&mut peer).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nea")
            .await
            .unwrap();
        let (mut seen, mut buffer) = (0, vec![0; 1 << 16]);
        while seen < SIZE {
            seen += peer.read(&mut buffer).await.unwrap();
        }
        peer.write_all(b"rl").await.unwrap();
    });
    let bytes = Bytes::from(vec![b'a'; SIZE]);
    let body = OutBody::Full {
        bytes,
        chunked: false,
    };
    let incoming = send(&target, Method::POST, body).await.unwrap();
    assert_eq!(incoming.collect(10).await.unwrap(), "earl");
    task.await.unwrap();
}

#[tokio::test]
async fn without_keep_alive_each_request_says_close() {
    let (target, task) = Server::once(OK).await;
    let client = Client::new(ClientOptions {
        disable_keep_alives: true,
        ..ClientOptions::default()
    });
    let out = request(&Method::GET, OutBody::None);
    let incoming = client.send(&target, out, Deadline::NEVER).await.unwrap();
    incoming.collect(10).await.unwrap();
    assert_eq!(pool::idle(), 0);
    assert!(task.await.unwrap().contains("\r\nConnection: close\r\n"));
}

#[tokio::test]
async fn the_wait_for_the_head_has_a_bound_of_its_own() {
    let (target, _hold) = stalling(b"").await;
    let options = ClientOptions {
        head_timeout: Some(SOON),
        ..ClientOptions::default()
    };
    let sent = Client::new(options)
        .send(
            &target,
            request(&Method::GET, OutBody::None),
            Deadline::after(LONG),
        )
        .await;
    assert_eq!(
        sent.unwrap_err().text,
        "net/http: timeout awaiting response headers"
    );
}

#[tokio::test]
async fn what_rests_is_found_without_a_wait_if_it_may_be_used() {
    let server = Server::new().await;
    let (client, target) = (client(), &server.target);
    assert!(client.resting(target).is_none());
    let opened = client.connection(target, Deadline::after(LONG), true);
    let (conn, peer) = tokio::join!(opened, server.accept());
    client.keep(conn.unwrap());
    let url = format!("https://{}", server.listener.local_addr().unwrap());
    let encrypted = Target::parse(&url, &Resolver::new()).unwrap();
    assert!(client.resting(&encrypted).is_none());
    encrypted.agree(false);
    assert!(client.resting(&encrypted).is_none());
    let closing = Client::new(ClientOptions {
        disable_keep_alives: true,
        ..ClientOptions::default()
    });
    assert!(closing.resting(target).is_none());
    let conn = client.resting(target).unwrap();
    assert!(conn.reused && client.resting(target).is_none());
    // It has died when it is asked for again.
    drop(peer);
    let Io::Tcp(tcp) = &conn.io else {
        panic!("in clear")
    };
    tcp.readable().await.unwrap();
    client.keep(conn);
    assert!(client.resting(target).is_none());
}

#[tokio::test]
async fn a_forwarded_connection_close_ends_reuse() {
    let (target, _task) = Server::once(OK).await;
    let mut out = request(&Method::GET, OutBody::None);
    let fields = [(
        http::header::CONNECTION,
        http::HeaderValue::from_static("x, Close"),
    )];
    out.fields = &fields;
    let incoming = client()
        .send(&target, out, Deadline::after(LONG))
        .await
        .unwrap();
    incoming.collect(10).await.unwrap();
    assert_eq!(pool::idle(), 0);
}

#[tokio::test]
async fn an_unresolvable_name_is_an_error() {
    let target = Target::parse("http://name.invalid", &Resolver::new()).unwrap();
    assert_eq!(get(&target).await.unwrap_err().reason, Reason::DnsFailed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn many_threads_use_their_pools_at_once() {
    let server = Server::new().await;
    let target = std::sync::Arc::new(server.target.clone());
    tokio::spawn(async move {
        loop {
            let mut peer = server.accept().await;
            tokio::spawn(async move {
                while read_head(&mut peer).await.ends_with("\r\n\r\n") {
                    if peer.write_all(OK).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let client = std::sync::Arc::new(client());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (client, target) = (client.clone(), target.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    let out = request(&Method::GET, OutBody::None);
                    let sent = client.send(&target, out, Deadline::after(LONG)).await;
                    assert_eq!(sent.unwrap().collect(10).await.unwrap(), "ok");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
