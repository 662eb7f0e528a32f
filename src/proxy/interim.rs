//! Interim answers (103 Early Hints, 102 Processing) of a streaming endpoint's backend, on their way to
//! an HTTP/1.1 client (RFC 9110 section 15.2). KrakenD drops them, and so does the krakend dialect. To an
//! HTTP/2 client Pingora's session cannot write them.

use crate::base::{Dialect, Error, Reason};
use crate::gateway::snapshot::Gateway;
use crate::net::Interims;
use crate::proxy::answer;
use crate::proxy::compose::unless_gone;
use http::{StatusCode, Version};
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// Longest wait for a client to take an interim answer.
const STUCK: Duration = Duration::from_secs(60);

/// A place for interim answers, if this client may have them.
pub fn wanted(session: &Session, gateway: &Gateway) -> Option<Interims> {
    let passes =
        gateway.dialect == Dialect::Native && session.req_header().version == Version::HTTP_11;
    passes.then(Interims::default)
}

/// Waits for something (pinned by the caller), watches whether the client is still there and passes on
/// what comes meanwhile.
///
/// # Errors
/// When the client has gone.
pub async fn unless_gone_passing<T>(
    session: &mut Session,
    interims: Option<&Interims>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Error> {
    let Some(interims) = interims else {
        return unless_gone(session, work).await;
    };
    loop {
        let part = pin!(or_interim(work.as_mut(), interims));
        match unless_gone(session, part).await? {
            Some(done) => return Ok(done),
            None => pass_on(session, interims).await?,
        }
    }
}

/// Some work until it is done; `None` when interim answers wait before that.
pub async fn or_interim<T>(
    mut work: Pin<&mut impl Future<Output = T>>,
    interims: &Interims,
) -> Option<T> {
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if !interims.is_empty() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Writes what waits. May be given up at any point: another call goes on where this one stopped, and
/// there must be one before anything else is written.
///
/// # Errors
/// When the client has gone, or takes nothing.
pub async fn pass_on(session: &mut Session, interims: &Interims) -> Result<(), Error> {
    if interims.is_empty() && !session.has_pending_downstream_tasks() {
        return Ok(());
    }
    let gone = |error: String| Error::new(Reason::ClientGone, error);
    session.set_proxy_tasks_enabled(true);
    // Pingora would take an interim answer before the end of the request's body for the final one, and
    // retire the connection.
    let early = |session: &mut Session, retires| {
        let downstream = session.as_downstream_mut();
        downstream.set_close_on_response_before_downstream_finish(retires);
    };
    early(session, false);
    while let Some(interim) = interims.take() {
        // A client that waits for leave to send its body has ours.
        if interim.status == StatusCode::CONTINUE {
            continue;
        }
        let head = answer::interim(interim.status, &interim.headers)
            .map_err(|error| Error::new(Reason::BackendInvalid, error.to_string()))?;
        let task = HttpTask::Header(Box::new(head), false);
        // Does not wait for anything: it runs the modules of the session, of which there are none.
        session
            .send_downstream_proxy_task(task)
            .await
            .map_err(|error| gone(error.to_string()))?;
    }
    let write = session.write_downstream_proxy_tasks();
    let written = tokio::time::timeout(STUCK, write).await;
    early(session, true);
    match written {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(gone(error.to_string())),
        Err(_) => Err(gone("writing an interim answer took too long".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::interim::Interim;
    use http::{HeaderMap, HeaderValue};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// A session that has read a head, over a pipe that holds few bytes, and its client.
    async fn narrow() -> (Session, DuplexStream) {
        let (mut client, server) = tokio::io::duplex(16);
        let mut session = Session::new_h1(Box::new(server));
        let asked = client.write_all(b"POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 9\r\n\r\n");
        let (asked, read) = tokio::join!(asked, session.as_downstream_mut().read_request());
        asked.unwrap();
        assert!(read.unwrap());
        session.set_keepalive(Some(60));
        (session, client)
    }

    fn hints(interims: &Interims, link: &'static str) {
        let mut headers = HeaderMap::new();
        headers.insert("link", HeaderValue::from_static(link));
        let status = StatusCode::EARLY_HINTS;
        interims.push(Interim { status, headers });
    }

    #[tokio::test]
    async fn a_write_that_was_given_up_goes_on_where_it_stopped() {
        let (mut session, mut client) = narrow().await;
        let interims = Interims::default();
        hints(&interims, "</a.css>");
        hints(&interims, "</b.css>");
        let write = pass_on(&mut session, &interims);
        let given_up = tokio::time::timeout(Duration::ZERO, write).await;
        assert!(given_up.is_err(), "the pipe is full");
        assert!(interims.is_empty());
        let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
                        HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n";
        let mut seen = vec![0; expected.len()];
        let (written, read) = tokio::join!(
            pass_on(&mut session, &interims),
            client.read_exact(&mut seen)
        );
        written.unwrap();
        read.unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
        assert!(!session.has_pending_downstream_tasks());
        assert!(session.as_downstream().get_keepalive().is_some());
    }

    #[tokio::test]
    async fn work_gives_way_to_what_came_meanwhile_and_goes_on() {
        let (mut session, mut client) = narrow().await;
        let interims = Interims::default();
        let mut turns = 0;
        let work = pin!(poll_fn(|_| {
            turns += 1;
            if turns == 1 {
                hints(&interims, "</a.css>");
                return Poll::Pending;
            }
            Poll::Ready(turns)
        }));
        let work = unless_gone_passing(&mut session, Some(&interims), work);
        let mut seen = [0; 12];
        let read = async {
            client.read_exact(&mut seen).await.unwrap();
            let mut rest = [0; 64];
            while !matches!(client.read(&mut rest).await, Ok(0) | Err(_)) {}
        };
        tokio::select! {
            done = work => assert_eq!(done.unwrap(), 2),
            () = read => unreachable!("the session stays open"),
        }
        assert_eq!(&seen, b"HTTP/1.1 103");
    }

    #[tokio::test]
    async fn a_client_that_has_gone_is_told_as_such() {
        let (mut session, client) = narrow().await;
        drop(client);
        let interims = Interims::default();
        hints(&interims, "</a.css>");
        let error = pass_on(&mut session, &interims).await.unwrap_err();
        assert_eq!(error.reason, Reason::ClientGone);
    }
}
