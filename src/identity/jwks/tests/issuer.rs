//! An issuer of tokens as its keys are seen: a server on a free port that says what a test wants.

use pingora::tls::TlsAcceptor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What the issuer does with a request.
#[derive(Clone)]
pub(super) enum Says {
    /// Answers with a set of keys.
    Keys(String),
    /// Answers with a status, fields (each with its line end) and a body.
    Answer(u16, String, String),
    /// Answers nothing until it is let go on, then whatever it says then.
    Hangs(Arc<Notify>),
}

pub(super) struct Issuer {
    port: u16,
    says: Arc<Mutex<Says>>,
    hits: Arc<AtomicUsize>,
}

impl Issuer {
    pub(super) async fn new(says: Says) -> Self {
        Self::serving(says, None).await
    }

    pub(super) async fn serving(says: Says, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            port: listener.local_addr().unwrap().port(),
            says: Arc::new(Mutex::new(says)),
            hits: Arc::default(),
        };
        let (says, hits) = (Arc::clone(&issuer.says), Arc::clone(&issuer.hits));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (says, hits, tls) = (Arc::clone(&says), Arc::clone(&hits), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, &says, &hits).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, &says, &hits).await;
                            }
                        }
                    }
                });
            }
        });
        issuer
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it says from the next request on.
    pub(super) fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// How many requests came.
    pub(super) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    says: &Mutex<Says>,
    hits: &AtomicUsize,
) {
    loop {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => seen.push(byte),
                Err(_) => return,
            }
        }
        hits.fetch_add(1, Ordering::SeqCst);
        let (status, fields, body) = loop {
            let now = says.lock().unwrap().clone();
            match now {
                Says::Keys(body) => {
                    break (200, "Content-Type: application/json\r\n".to_owned(), body);
                }
                Says::Answer(status, fields, body) => break (status, fields, body),
                Says::Hangs(go_on) => go_on.notified().await,
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
