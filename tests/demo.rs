//! The demo as a newcomer meets it: start it, copy the lines that it prints, press Ctrl-C.

use super::support::{Client, Gateway, Process, eventually, ports};

/// A printed `curl` line, understood.
#[derive(Debug)]
struct Curl {
    target: String,
    fields: Vec<(String, String)>,
    body: String,
}

/// The words of a command as a shell would see them; single quotes are all that the demo needs.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.replace("\\\n", " ").chars() {
        match c {
            '\'' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut().expect("it began with one").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

impl Curl {
    fn of(command: &str, base: &str) -> Self {
        let mut curl = Self {
            target: String::new(),
            fields: Vec::new(),
            body: String::new(),
        };
        let mut words = words(command).into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "curl" | "-N" => {}
                "-H" => {
                    let field = words.next().expect("-H has a field");
                    let (name, value) = field.split_once(": ").expect("a field has a value");
                    curl.fields.push((name.to_owned(), value.to_owned()));
                }
                "-d" => curl.body = words.next().expect("-d has a body"),
                url => url
                    .strip_prefix(base)
                    .expect("the demo's own address")
                    .clone_into(&mut curl.target),
            }
        }
        curl
    }

    fn send(&self, port: u16) -> Client {
        let method = if self.body.is_empty() { "GET" } else { "POST" };
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let mut client = Client::connect(port);
        client.request(method, &self.target, &fields, &self.body);
        client
    }
}

fn start() -> (Process, u16, Vec<Curl>) {
    let (port, internal) = (ports::free(), ports::free());
    let (text, metrics) = (port.to_string(), format!("127.0.0.1:{internal}"));
    let process = Gateway::setup()
        .spawn(&["demo", "-p", &text, "--metrics", &metrics])
        .listens(port);
    let said = eventually("the end of the greeting", || {
        Some(process.stderr()).filter(|said| said.contains("Ctrl-C"))
    });
    assert!(said.contains(&metrics), "{said}");
    let (_, lines) = said.split_once("try:").expect("lines to try");
    let (lines, _) = lines.split_once("Ctrl-C").expect("how to end it");
    let base = format!("http://127.0.0.1:{port}");
    let commands = lines.split("\n  curl ").skip(1);
    let curls = commands.map(|command| Curl::of(command, &base)).collect();
    (process, port, curls)
}

#[test]
fn every_printed_line_works() {
    let (process, port, curls) = start();
    let [health, models, chat, login, overview] = &curls[..] else {
        panic!("{curls:#?}")
    };
    assert_eq!(health.send(port).answer().text(), r#"{"status":"ok"}"#);
    let models = models.send(port).answer().json();
    assert!(
        models["data"].as_array().is_some_and(|all| !all.is_empty()),
        "{models}"
    );

    let mut streamed = chat.send(port);
    let head = streamed.head();
    assert_eq!(
        head.get("content-type"),
        Some("text/event-stream"),
        "{head:?}"
    );
    let mut events = Vec::new();
    while let Some((at, piece)) = streamed.piece() {
        events.push((at, String::from_utf8(piece).expect("events are text")));
    }
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert!(events.len() >= 3, "not piece by piece: {events:#?}");
    assert!(
        first.0 < last.0 && last.1.ends_with("data: [DONE]\n\n"),
        "{events:#?}"
    );

    let token = login.send(port).answer().json();
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(
        token["access_token"]
            .as_str()
            .map(|jwt| jwt.split('.').count()),
        Some(3)
    );

    let overview = overview.send(port).answer();
    assert_eq!(overview.header("x-krakend-completed"), Some("true"));
    let parts = overview.json();
    for part in ["balance", "deployments", "usage"] {
        assert!(parts.get(part).is_some(), "{part}: {parts}");
    }
    process.signal("INT");
    assert_eq!(process.ended().code, Some(0));
}

#[test]
fn a_busy_port_is_no_reason_to_give_up() {
    let busy = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = busy.local_addr().expect("it is bound").port().to_string();
    let process = Gateway::setup().spawn(&["demo", "-p", &port, "--metrics", "off"]);
    let said = eventually("the greeting", || {
        Some(process.stderr()).filter(|said| said.contains("Ctrl-C"))
    });
    let address = said.split("http://127.0.0.1:").nth(1).expect("an address");
    let other: u16 = address
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(other.to_string(), port);
    let process = process.listens(other);
    assert_eq!(Client::connect(other).get("/health").status(), 200);
    process.signal("INT");
    assert_eq!(process.ended().code, Some(0));
}
