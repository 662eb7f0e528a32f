//! Heads of requests and answers: what is read does not depend on how the bytes are cut, nothing
//! reaches beyond them, and what was decoded from a body is what was passed on.

use hanzo_gateway::base::Dialect;
use hanzo_gateway::gateway::http1::{HeadInfo, check_head};
use hanzo_gateway::gateway::limits::Limits;
use hanzo_gateway::net::h1::{AnswerHead, Framing, HeadParser};
use http::Method;

/// The first byte says whether a request or an answer follows, and where it is cut.
pub fn check(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    if choice & 1 == 0 {
        let tight = Limits {
            max_uri: 64,
            max_headers: 8,
            max_header_bytes: 256,
            ..Limits::default()
        };
        for limits in [
            Limits::of(Dialect::Native),
            Limits::of(Dialect::Krakend),
            tight,
        ] {
            request(bytes, usize::from(*choice), &limits);
        }
    } else {
        for method in [Method::GET, Method::HEAD] {
            answer(bytes, usize::from(*choice), &method);
        }
    }
}

/// A few places, each different for each choice.
fn cuts(length: usize, choice: usize) -> impl Iterator<Item = usize> {
    let step = (length / 7).max(1);
    (choice % step..length)
        .step_by(step)
        .chain(length.checked_sub(1))
}

fn request(raw: &[u8], choice: usize, limits: &Limits) {
    let whole = check_head(raw, limits);
    if let Ok(Some(info)) = &whole {
        holds(info, raw, limits);
    }
    for cut in cuts(raw.len(), choice) {
        let part = check_head(&raw[..cut], limits);
        match (&whole, part) {
            (Ok(Some(info)), Ok(None)) => assert!(cut < info.end, "the end at {cut} was missed"),
            (Ok(Some(info)), Ok(Some(part))) => assert_eq!(*info, part),
            (Err(_), Ok(Some(_))) | (Ok(None), Ok(Some(_))) => panic!("complete at {cut} only"),
            (Ok(_), Err(reason)) => panic!("{reason:?} at {cut} only"),
            (Ok(None), Ok(None)) | (Err(_), Ok(None) | Err(_)) => {}
        }
    }
}

fn holds(info: &HeadInfo, raw: &[u8], limits: &Limits) {
    assert!(info.start <= info.end && info.end <= raw.len());
    let head = &raw[info.start..info.end];
    assert!(head.ends_with(b"\r\n\r\n"));
    for range in [&info.target, &info.host] {
        assert!(
            range.start <= range.end && range.end <= info.end,
            "{range:?}"
        );
        let text = &raw[range.clone()];
        assert!(
            !text.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)),
            "{text:?}"
        );
    }
    assert!(!raw[info.target.clone()].contains(&b' '));
    assert!(info.target.len() <= limits.max_uri && info.fields <= limits.max_headers);
    assert!(info.method != Method::CONNECT);
    let lines = head.iter().filter(|b| **b == b'\n').count();
    assert_eq!(lines, info.fields + 2, "every line is a field");
    second_reader(head, info);
}

/// What the platform's parser makes of the same head.
fn second_reader(head: &[u8], info: &HeadInfo) {
    let mut room = [httparse::EMPTY_HEADER; 512];
    if info.fields > room.len() {
        return;
    }
    let mut request = httparse::Request::new(&mut room);
    assert_eq!(
        request.parse(head),
        Ok(httparse::Status::Complete(head.len()))
    );
    assert_eq!(request.method, Some(info.method.as_str()));
    assert_eq!(request.headers.len(), info.fields);
    assert_eq!(request.version, Some(u8::from(info.http11)));
}

fn answer(bytes: &[u8], choice: usize, method: &Method) {
    let whole = HeadParser::new().feed(bytes, method);
    for cut in cuts(bytes.len(), choice) {
        let (first, second) = bytes.split_at(cut);
        let mut parser = HeadParser::new();
        let parted = match parser.feed(first, method) {
            Ok(None) => parser
                .feed(second, method)
                .map(|head| head.map(|(head, used)| (head, used + cut))),
            done => done,
        };
        match (&whole, &parted) {
            (Ok(Some((a, at))), Ok(Some((b, bt)))) => {
                assert_eq!(
                    (a.status, &a.framing, a.keep_alive),
                    (b.status, &b.framing, b.keep_alive)
                );
                assert_eq!((&a.headers, at), (&b.headers, bt));
            }
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            (whole, parted) => panic!("cut at {cut}: {whole:?} but {parted:?}"),
        }
    }
    if let Ok(Some((head, used))) = whole {
        assert!(used <= bytes.len());
        body(&head, &bytes[used..], choice);
    }
}

/// Passing on and decoding agree on the end, and cutting changes nothing.
fn body(head: &AnswerHead, bytes: &[u8], choice: usize) {
    let (mut passed, mut decoded) = (head.framing.clone(), head.framing.clone());
    let mut data = Vec::new();
    let fed = passed.feed(bytes);
    let used = decoded.decode(bytes, |part| data.extend_from_slice(part));
    assert_eq!(fed.is_ok(), used.is_ok());
    if let (Ok(fed), Ok(used)) = (&fed, &used) {
        assert_eq!(fed, used);
        assert!(*used <= bytes.len() && data.len() <= *used);
        assert_eq!(passed, decoded);
    }
    for cut in cuts(bytes.len(), choice) {
        let mut parted: Framing = head.framing.clone();
        let mut again = Vec::new();
        let (first, second) = bytes.split_at(cut);
        let all = parted
            .decode(first, |part| again.extend_from_slice(part))
            .and_then(|a| {
                assert!(parted.done() || a == first.len(), "stopped in the middle");
                let b = parted.decode(second, |part| again.extend_from_slice(part))?;
                Ok(a + b)
            });
        assert_eq!(all.is_ok(), used.is_ok(), "cut at {cut}");
        if let (Ok(all), Ok(used)) = (&all, &used) {
            assert_eq!((all, &again), (used, &data));
        }
        assert_eq!(parted.done(), decoded.done());
    }
    if decoded.eof().is_err() {
        assert!(!decoded.done());
    }
}
