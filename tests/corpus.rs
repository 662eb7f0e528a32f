//! Real configurations of public projects, which live beside the checkout (`../shared/corpus`; without them there is
//! nothing to show): what KrakenD accepts is accepted, and serves its endpoints against a generic stand-in.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::{Client, Gateway, Origin, Setup};

/// One configuration with the reference's verdict.
struct Case {
    folder: PathBuf,
    golden: Value,
}

impl Case {
    fn name(&self) -> String {
        let parts: Vec<_> = self.folder.components().rev().take(2).collect();
        format!("{:?}/{:?}", parts[1].as_os_str(), parts[0].as_os_str())
    }

    fn config(&self) -> &str {
        self.golden["config"].as_str().expect("a file")
    }

    /// A gateway in a copy of the folder.
    fn setup(&self) -> Setup {
        let mut setup = Gateway::setup();
        for file in files(&self.folder) {
            let name = file.strip_prefix(&self.folder).expect("it lies there");
            if let Ok(text) = fs::read_to_string(&file) {
                setup = setup.file(&name.to_string_lossy(), &text);
            }
        }
        for (name, value) in self.golden["env"].as_object().into_iter().flatten() {
            setup = setup.variable(name, value.as_str().expect("text"));
        }
        setup
    }

    /// The document, as KrakenD rendered it where it is a template.
    fn document(&self) -> Option<Value> {
        if let Some(rendered) = self.golden["rendered"].as_str() {
            return serde_json::from_str(rendered).ok();
        }
        let text = fs::read_to_string(self.folder.join(self.config())).ok()?;
        serde_json::from_str(&text).ok()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if !root.is_dir() {
        return Vec::new();
    }
    let goldens = files(&root).into_iter();
    let goldens = goldens.filter(|path| path.ends_with("GOLDEN.json"));
    goldens
        .map(|path| Case {
            folder: path.parent().expect("a folder").to_path_buf(),
            golden: serde_json::from_str(&fs::read_to_string(&path).expect("a file"))
                .expect("JSON"),
        })
        .collect()
}

#[test]
fn what_krakend_accepts_is_accepted() {
    let mut wrong = Vec::new();
    for case in cases() {
        for dialect in ["krakend", "native"] {
            let setup = case.setup();
            let words = ["check", "--compat", dialect, "-c", case.config()];
            let ended = setup.spawn(&words).ended();
            let valid = case.golden["check"] == 0;
            // KrakenD's check does not try to start; ours does, and a listener without keys cannot.
            let mut known = vec!["public key not defined"];
            if dialect == "native" {
                // What would leave a protection off (contract section 1): CORS for every site with
                // credentials, a schema that refers to what is not there.
                known.extend(["error[HG0402]", "the schema cannot be used"]);
            }
            let excused = known.iter().any(|text| ended.stderr.contains(text));
            if (ended.code == Some(0)) != valid && !excused {
                wrong.push(format!("{} {dialect}: {}", case.name(), ended.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A backend that answers everything in the encoding that its path begins with.
fn stand_in() -> Origin {
    Origin::serve(|exchange| {
        let encoding = exchange.request.path().split('/').nth(1).map(str::to_owned);
        let (kind, body) = match encoding.as_deref() {
            Some("xml") => ("application/xml", "<a><b>1</b></a>"),
            Some("rss") => (
                "application/rss+xml",
                "<rss version=\"2.0\"><channel><title>t</title><item><title>i</title></item></channel></rss>",
            ),
            Some("string") => ("text/plain", "text"),
            Some("list") => ("application/json", r#"[{"id":1}]"#),
            _ => ("application/json", r#"{"id":1,"data":{"name":"n"}}"#),
        };
        exchange.answer(200, &[("Content-Type", kind)], body);
    })
}

/// Components after which an answer says nothing of the endpoint: they ask for what a stranger does not have,
/// or decide about what the backend says.
const MAY_REFUSE: [&str; 12] = [
    "auth/",
    "validation/",
    "modifier/",
    "security/",
    "qos/",
    "plugin/",
    "backend/amqp",
    "backend/lambda",
    "backend/pubsub",
    "backend/grpc",
    "backend/soap",
    "github",
];

/// Leads every backend to the stand-in; nothing of the outside world is called.
fn lead(document: &mut Value, to: &str) {
    let default = document["host"].take();
    for endpoint in document["endpoints"].as_array_mut().into_iter().flatten() {
        // One object stands for a list of one.
        if endpoint["backend"].is_object() {
            endpoint["backend"] = json!([endpoint["backend"].take()]);
        }
        for backend in endpoint["backend"].as_array_mut().into_iter().flatten() {
            let list = backend["is_collection"] == true;
            let encoding = backend["encoding"].as_str().unwrap_or("json");
            let path = if list { "list" } else { encoding };
            backend["host"] = json!([format!("{to}/{path}")]);
            let root = backend.as_object_mut().expect("a backend");
            root.remove("sd");
            root.insert("disable_host_sanitize".to_owned(), Value::Bool(true));
        }
    }
    drop(default);
    let root = document.as_object_mut().expect("a document");
    for own in [
        "host",
        "tls",
        "client_tls",
        "async_agent",
        "plugin",
        "listen_ip",
        "port",
    ] {
        root.remove(own);
    }
    if let Some(extra) = root.get_mut("extra_config").and_then(Value::as_object_mut) {
        extra.retain(|name, _| !name.contains("telemetry") && !name.contains("bloomfilter"));
    }
}

/// The path with something for each parameter.
fn filled(pattern: &str) -> String {
    let mut path = String::new();
    let mut inside = false;
    for c in pattern.chars() {
        match c {
            '{' => {
                inside = true;
                path.push('1');
            }
            '}' => inside = false,
            c if !inside => path.push(c),
            _ => {}
        }
    }
    path.replace('*', "rest")
}

#[test]
fn it_serves_its_endpoints() {
    let origin = stand_in();
    let mut wrong = Vec::new();
    let mut served = 0;
    for case in cases().iter().filter(|case| case.golden["check"] == 0) {
        let Some(mut document) = case.document() else {
            wrong.push(format!("{}: no document", case.name()));
            continue;
        };
        lead(&mut document, &origin.url());
        let service = document["extra_config"].to_string();
        let endpoints = document["endpoints"].as_array().cloned();
        let wild = endpoints.iter().flatten().any(|endpoint| {
            let path = endpoint["endpoint"].as_str();
            path.is_some_and(|path| path.ends_with("/*"))
        });
        // KrakenD checks a wildcard without a name, and does not start with it.
        if wild {
            continue;
        }
        let gateway = case.setup().krakend(document.clone());
        for endpoint in endpoints.into_iter().flatten() {
            let method = endpoint["method"].as_str().unwrap_or("GET");
            let path = filled(endpoint["endpoint"].as_str().expect("a path"));
            let mut client = Client::connect(gateway.port());
            let body = if method == "GET" { "" } else { "{}" };
            client.request(method, &path, &[("Connection", "close")], body);
            let status = client.answer().status();
            let text = format!("{service}{endpoint}");
            let expected = if MAY_REFUSE.iter().any(|name| text.contains(name)) {
                !matches!(status, 404 | 405 | 502..)
            } else {
                status == 200
            };
            served += usize::from(expected);
            if !expected {
                wrong.push(format!("{}: {method} {path}: {status}", case.name()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{served} served, but\n{}",
        wrong.join("\n")
    );
}
