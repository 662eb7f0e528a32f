//! `health`: asks a running gateway how it is and answers with the exit code, so that images need no
//! curl. Plain HTTP only: a probe stands beside what it probes.

use crate::cli::args::Health;
use crate::cli::paint;
use crate::cli::{GOOD, PROBLEMS, USAGE};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How much of an answer is read; its status line is all that counts.
const MAX_ANSWER: u64 = 64 * 1024;

/// Runs `health`.
pub fn health(args: &Health) -> u8 {
    let place = match Place::of(&args.url) {
        Ok(place) => place,
        Err(why) => {
            paint::talk(&why);
            return USAGE;
        }
    };
    match probe(&place, Duration::from_secs(args.timeout.clamp(1, 3600))) {
        Ok(200) => GOOD,
        Ok(status) => {
            paint::talk(&format!("{} answered {status}, not 200", args.url));
            PROBLEMS
        }
        Err(why) => {
            paint::talk(&format!("{}: {why}", args.url));
            PROBLEMS
        }
    }
}

/// Whom to ask for what.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// `host:port`, to connect to.
    address: String,
    /// As in the URL, for `Host`.
    host: String,
    target: String,
}

impl Place {
    fn of(url: &str) -> Result<Self, String> {
        let no = |why: &str| Err(format!("`{}` {why}", url.escape_debug()));
        let Some(rest) = url.strip_prefix("http://") else {
            return no(
                "is no http:// URL; probes speak plain HTTP, as in http://127.0.0.1:8080/health",
            );
        };
        if !rest.bytes().all(|b| b.is_ascii_graphic()) {
            return no("holds spaces or characters that a URL must encode");
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(at);
        if host.is_empty() || host.contains('@') {
            return no("names no host, as in http://127.0.0.1:8080/health");
        }
        let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
            (!before.contains(':') || before.ends_with(']')) && port.parse::<u16>().is_ok()
        });
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            address: if has_port {
                host.to_owned()
            } else {
                format!("{host}:80")
            },
            host: host.to_owned(),
            target: format!("{slash}{target}"),
        })
    }
}

/// The status of the answer.
fn probe(place: &Place, timeout: Duration) -> Result<u16, String> {
    let end = Instant::now() + timeout;
    let left = || {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(format!("no answer within {}s", timeout.as_secs()))
        } else {
            Ok(left)
        }
    };
    let mut stream = connect(place, &left)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nConnection: close\r\n\r\n",
        place.target,
        place.host,
        crate::base::version::USER_AGENT
    );
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            format!("no answer within {}s", timeout.as_secs())
        }
        _ => error.to_string(),
    };
    stream.set_write_timeout(Some(left()?)).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    // A trickle of bytes must not outlast the timeout, so each read gets what is left of it.
    while !answer.contains(&b'\n') && (answer.len() as u64) < MAX_ANSWER {
        stream.set_read_timeout(Some(left()?)).map_err(failed)?;
        let count = stream.read(&mut piece).map_err(failed)?;
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 {
            break;
        }
    }
    status(&answer).ok_or_else(|| "the answer is no HTTP".to_owned())
}

fn connect(
    place: &Place,
    left: &dyn Fn() -> Result<Duration, String>,
) -> Result<TcpStream, String> {
    let addresses = place.address.to_socket_addrs().map_err(|e| e.to_string())?;
    let mut last = "its name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("cannot connect: {error}"),
        }
    }
    Err(last)
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|&b| b == b'\n').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    rest.get(2..5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn served(answer: &'static str) -> u8 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 512];
            let count = stream.read(&mut head).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&head[..count]).into_owned()
        });
        let code = health(&Health { url, timeout: 5 });
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:")
        );
        code
    }

    #[test]
    fn only_200_is_good() {
        assert_eq!(served("HTTP/1.1 200 OK\r\n\r\n"), GOOD);
        assert_eq!(served("HTTP/1.1 503 Service Unavailable\r\n\r\n"), PROBLEMS);
        assert_eq!(served("SSH-2.0-x\r\n"), PROBLEMS);
    }

    #[test]
    fn nobody_there_is_a_problem() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(health(&Health { url, timeout: 1 }), PROBLEMS);
    }

    #[test]
    fn reads_urls() {
        let place = Place::of("http://gw").unwrap();
        assert_eq!(
            (place.address.as_str(), place.target.as_str()),
            ("gw:80", "/")
        );
        assert_eq!(
            Place::of("http://[::1]:81/a?b#c").unwrap().address,
            "[::1]:81"
        );
        assert_eq!(Place::of("http://[::1]/a").unwrap().address, "[::1]:80");
        for bad in [
            "https://gw/",
            "gw:80",
            "http://",
            "http://a b/",
            "http://u@h/",
        ] {
            assert!(Place::of(bad).is_err(), "{bad}");
        }
    }
}
