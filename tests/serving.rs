//! Start and end of the process: ports, signals, reload, hand-over to the next process.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::support::{Client, Exchange, Gateway, Origin, eventually, feed, ports};

/// Endpoints that pass one backend each through.
fn endpoints(routes: &[(&str, &str)]) -> Value {
    let one = |(pattern, host): &(&str, &str)| {
        json!({
            "endpoint": pattern,
            "output_encoding": "no-op",
            "backend": [{"url_pattern": pattern, "host": [host], "encoding": "no-op"}],
        })
    };
    json!({"version": 3, "endpoints": routes.iter().map(one).collect::<Vec<_>>()})
}

/// The same with a port, as text.
fn file(port: u16, routes: &[(&str, &str)]) -> String {
    let mut config = endpoints(routes);
    config["port"] = json!(port);
    config.to_string()
}

/// Puts a file in place as a whole, as editors and deployments do.
fn replace(gateway: &Gateway, text: &str) {
    let next = gateway.folder().join("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, gateway.folder().join("gateway.json")).unwrap();
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn becomes(gateway: &Gateway, path: &str, status: u16) {
    eventually(path, || {
        (gateway.get(path).status() == status).then_some(())
    });
}

#[test]
fn a_busy_port_ends_the_start_with_a_sentence() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let metrics = format!("127.0.0.1:{port}");
    for arguments in [["-p", &port], ["--metrics", &metrics]] {
        let setup = Gateway::setup()
            .argument(arguments[0])
            .argument(arguments[1]);
        let output = setup.refused(endpoints(&[]));
        assert_eq!(output.code, Some(1), "{output:#?}");
        let sentence = output.stderr.lines().last().unwrap_or_default().to_owned();
        assert!(sentence.contains("cannot listen on"), "{output:#?}");
        assert!(sentence.contains(&format!(":{port}: ")), "{output:#?}");
        assert!(!output.stderr.contains("panicked"), "{output:#?}");
    }
}

#[test]
fn sigterm_lets_requests_finish_and_takes_no_more() {
    let (tap, taps_end) = feed();
    let origin = Origin::serve(move |exchange| match exchange.request.path() {
        "/slow" => exchange.stream(&[], &taps_end),
        _ => exchange.json("{}"),
    });
    let gateway = Gateway::native(endpoints(&[
        ("/slow", &origin.url()),
        ("/a", &origin.url()),
    ]));
    let mut resting = gateway.client();
    assert_eq!(resting.get("/a").status(), 200);
    let mut working = gateway.client();
    working.request("GET", "/slow", &[], "");
    tap.send("one");
    assert_eq!(working.head().word(1), "200");
    assert_eq!(working.piece().unwrap().1, b"one");

    gateway.signal("TERM");
    assert!(resting.is_closed());
    let port = gateway.port();
    eventually("the closed port", || (!listens(port)).then_some(()));
    tap.send("two");
    assert_eq!(working.piece().unwrap().1, b"two");
    drop(tap);
    assert_eq!(working.piece(), None);
    let output = gateway.ended();
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stdout.contains("\"route\":\"/slow\""), "{output:#?}");
}

#[test]
fn sigterm_ends_an_idle_gateway_although_a_client_stays_connected() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(endpoints(&[("/a", &origin.url())]));
    let (mut silent, mut resting) = (gateway.client(), gateway.client());
    assert_eq!(resting.get("/a").status(), 200);
    gateway.signal("TERM");
    assert!(resting.is_closed() && silent.is_closed());
    assert_eq!(gateway.ended().code, Some(0));
}

#[test]
fn what_a_process_made_for_itself_goes_with_it() {
    let origin = Origin::json("{}");
    let scratch = tempfile::tempdir().unwrap();
    let left = || fs::read_dir(scratch.path()).unwrap().count();
    let gateway = Gateway::setup()
        .variable("TMPDIR", scratch.path().to_str().unwrap())
        .native(endpoints(&[("/a", &origin.url())]));
    assert_eq!(gateway.get("/a").status(), 200);
    assert_eq!(left(), 1);
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code, Some(0));
    assert_eq!(left(), 0);
}

#[test]
fn an_answer_while_draining_is_the_last_of_its_connection() {
    let (go, wait) = sync_channel::<()>(0);
    let wait = Mutex::new(wait);
    let origin = Origin::serve(move |exchange| {
        let _ = wait.lock().unwrap().recv();
        exchange.json("{}");
    });
    let gateway = Gateway::native(endpoints(&[("/a", &origin.url())]));
    let mut client = gateway.client();
    client.request("GET", "/a", &[], "");
    origin.wait_for(1);
    gateway.signal("TERM");
    gateway.log_line("SIGTERM");
    drop(go);
    assert_eq!(client.answer().status(), 200);
    assert!(client.is_closed());
    assert_eq!(gateway.ended().code, Some(0));
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let origin = Origin::serve(Exchange::stall);
    let mut gateway = Gateway::native(endpoints(&[("/hangs", &origin.url())]));
    let mut client = gateway.client();
    client.request("GET", "/hangs", &[], "");
    origin.wait_for(1);
    gateway.signal("TERM");
    gateway.log_line("SIGTERM");
    assert!(gateway.runs());
    eventually("the end", || {
        gateway.signal("TERM");
        (!gateway.runs()).then_some(())
    });
    assert_eq!(gateway.ended().code, Some(0));
    assert!(!matches!(client.try_answer(), Ok(Some(_))));
}

#[test]
fn sigint_ends_at_once() {
    let origin = Origin::serve(Exchange::stall);
    let gateway = Gateway::native(endpoints(&[("/hangs", &origin.url())]));
    let mut client = gateway.client();
    client.request("GET", "/hangs", &[], "");
    origin.wait_for(1);
    gateway.signal("INT");
    assert_eq!(gateway.ended().code, Some(0));
}

/// The default action of these signals would end the process on the spot.
#[test]
fn signals_count_from_the_first_moment() {
    for _ in 0..5 {
        let gateway = Gateway::native(endpoints(&[]));
        gateway.signal("HUP");
        let output = gateway.stop();
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert!(output.stdout.contains("SIGTERM"), "{output:#?}");
    }
}

#[test]
fn sighup_publishes_the_file_and_leaves_running_requests_alone() {
    let (tap, taps_end) = feed();
    let old = Origin::serve(move |exchange| exchange.stream(&[], &taps_end));
    let new = Origin::json(r#"{"from":"new"}"#);
    let gateway = Gateway::native(endpoints(&[("/a", &old.url())]));
    let mut running = gateway.client();
    running.request("GET", "/a", &[], "");
    tap.send("one");
    assert_eq!(running.head().word(1), "200");
    assert_eq!(running.piece().unwrap().1, b"one");
    let mut resting = gateway.client();
    assert_eq!(resting.get("/b").status(), 404);

    replace(
        &gateway,
        &file(gateway.port(), &[("/a", &new.url()), ("/b", &new.url())]),
    );
    gateway.signal("HUP");
    becomes(&gateway, "/b", 200);
    assert_eq!(gateway.get("/a").json(), json!({"from": "new"}));
    assert_eq!(resting.get("/b").json(), json!({"from": "new"}));
    tap.send("two");
    assert_eq!(running.piece().unwrap().1, b"two");
    drop(tap);
    assert_eq!(running.piece(), None);
    assert_eq!(running.get("/a").json(), json!({"from": "new"}));
    gateway.log_line("configuration reloaded");
}

#[test]
fn a_broken_file_changes_nothing_and_is_told() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(endpoints(&[("/a", &origin.url())]));
    let success = |value: &str| {
        // Whole: the words that explain it begin with its name and a 1 too.
        let line = format!("hanzo_gateway_config_last_reload_successful {value}\n");
        eventually(&line, || gateway.metrics().contains(&line).then_some(()));
    };
    success("1");
    let conflict = file(
        gateway.port(),
        &[("/b", &origin.url()), ("/b", &origin.url())],
    );
    for broken in ["{\"version\": 3, \"endpoints\": [", &conflict] {
        replace(&gateway, broken);
        gateway.signal("HUP");
        success("0");
        assert_eq!(
            (gateway.get("/a").status(), gateway.get("/b").status()),
            (200, 404)
        );
        replace(&gateway, &file(gateway.port(), &[("/a", &origin.url())]));
        gateway.signal("HUP");
        success("1");
    }
    let output = gateway.stop();
    let refused: Vec<_> = output
        .stdout
        .lines()
        .filter(|line| line.contains("reload refused"))
        .collect();
    assert!(refused.len() >= 2, "{output:#?}");
    assert!(
        refused.iter().all(|line| line.contains("\"ERROR\"")),
        "{refused:#?}"
    );
    assert!(
        refused.iter().any(|line| line.contains("/endpoints/1")),
        "{refused:#?}"
    );
}

#[test]
fn a_watched_file_reloads_when_it_changes() {
    let origin = Origin::json("{}");
    let gateway = Gateway::setup()
        .argument("-d")
        .native(endpoints(&[("/a", &origin.url())]));
    assert_eq!(gateway.get("/b").status(), 404);
    // In place, byte after byte: a reader may see half of it first.
    let text = file(gateway.port(), &[("/b", &origin.url())]);
    fs::write(gateway.folder().join("gateway.json"), text).unwrap();
    becomes(&gateway, "/b", 200);
    assert_eq!(gateway.get("/a").status(), 404);
}

#[test]
fn a_watched_file_reloads_when_a_link_to_it_is_turned() {
    let origin = Origin::json("{}");
    let gateway = Gateway::setup().argument("-d").native(endpoints(&[]));
    // As Kubernetes mounts a ConfigMap: gateway.json -> ..data/gateway.json, ..data -> a folder.
    let turn = |folder: &str, path: &str| {
        let root = gateway.folder();
        fs::create_dir(root.join(folder)).unwrap();
        let text = file(gateway.port(), &[(path, &origin.url())]);
        fs::write(root.join(folder).join("gateway.json"), text).unwrap();
        symlink(folder, root.join("..next")).unwrap();
        fs::rename(root.join("..next"), root.join("..data")).unwrap();
    };
    turn("one", "/a");
    let link = gateway.folder().join("link");
    symlink(Path::new("..data").join("gateway.json"), &link).unwrap();
    fs::rename(link, gateway.folder().join("gateway.json")).unwrap();
    becomes(&gateway, "/a", 200);
    turn("two", "/b");
    becomes(&gateway, "/b", 200);
    assert_eq!(gateway.get("/a").status(), 404);
}

#[test]
fn without_the_flag_a_changed_file_waits_for_sighup() {
    let origin = Origin::json("{}");
    let gateway = Gateway::native(endpoints(&[("/a", &origin.url())]));
    let first = "hanzo_gateway_config_last_reload_success_timestamp_seconds";
    let stamp = |gateway: &Gateway| {
        let text = gateway.metrics();
        text.lines()
            .find(|line| line.starts_with(first))
            .map(str::to_owned)
    };
    let before = stamp(&gateway);
    replace(&gateway, &file(gateway.port(), &[("/b", &origin.url())]));
    assert_eq!(
        (gateway.get("/a").status(), stamp(&gateway)),
        (200, before.clone())
    );
    gateway.signal("HUP");
    becomes(&gateway, "/b", 200);
    eventually("a later time", || (stamp(&gateway) != before).then_some(()));
}

#[test]
fn metrics_can_be_switched_off() {
    let port = ports::free();
    let gateway = Gateway::setup()
        .variable("HANZO_GATEWAY_METRICS", &format!("127.0.0.1:{port}"))
        .argument("--metrics")
        .argument("off")
        .native(endpoints(&[]));
    assert!(
        gateway
            .log_line("listening on")
            .contains("\"metrics\":\"off\"")
    );
    assert!(!listens(port));
}

#[test]
fn the_port_comes_from_flag_then_environment_then_file() {
    let all = [ports::free(), ports::free(), ports::free()];
    let [flag, environment, written] = all;
    for (arguments, variable, listener) in [
        (
            vec!["-p".to_owned(), flag.to_string()],
            Some(environment),
            flag,
        ),
        (vec![], Some(environment), environment),
        (vec![], None, written),
    ] {
        let mut setup = Gateway::setup().file("gateway.json", &file(written, &[]));
        if let Some(port) = variable {
            setup = setup.variable("KRAKEND_PORT", &port.to_string());
        }
        let words = ["run", "-c", "gateway.json", "--metrics", "off"];
        let words: Vec<_> = words
            .into_iter()
            .chain(arguments.iter().map(String::as_str))
            .collect();
        let process = setup.spawn(&words).listens(listener);
        let others = all.into_iter().filter(|port| *port != listener);
        assert_eq!(others.filter(|port| listens(*port)).count(), 0);
        assert_eq!(
            Client::connect(listener).get("/health").json(),
            json!({"status": "ok"})
        );
        process.signal("TERM");
        assert_eq!(process.ended().code, Some(0));
    }
}

#[test]
fn a_port_variable_of_kubernetes_is_no_port() {
    let gateway = Gateway::setup()
        .variable("KRAKEND_PORT", "tcp://10.96.0.7:8080")
        .native(endpoints(&[]));
    assert_eq!(gateway.get("/health").status(), 200);
    assert!(
        gateway.stderr().contains("KRAKEND_PORT"),
        "{}",
        gateway.stderr()
    );
}

/// Takes longer than the others: the platform gives the new process five seconds before the old one
/// stops accepting.
#[test]
fn an_upgrade_loses_no_request() {
    let origin = Origin::json("{}");
    let runtime = tempfile::tempdir().unwrap();
    let runtime = runtime.path().to_str().unwrap();
    let internal = format!("127.0.0.1:{}", ports::free());
    let old = Gateway::setup()
        .variable("HANZO_GATEWAY_RUNTIME_DIR", runtime)
        .variable("HANZO_GATEWAY_METRICS", &internal)
        .native(endpoints(&[("/a", &origin.url())]));
    let port = old.port();
    let ended = Arc::new(AtomicBool::new(false));
    let steady = {
        let ended = Arc::clone(&ended);
        std::thread::spawn(move || {
            let mut served = 0;
            while !ended.load(Ordering::Acquire) {
                let mut client = Client::connect(port);
                let answer = client.request("GET", "/a", &[], "").try_answer();
                let status = answer.map(|answer| answer.map_or(0, |answer| answer.status()));
                assert!(matches!(status, Ok(200)), "{status:?} after {served}");
                served += 1;
            }
            served
        })
    };
    let new = Gateway::setup()
        .variable("HANZO_GATEWAY_RUNTIME_DIR", runtime)
        .variable("HANZO_GATEWAY_METRICS", &internal)
        .file(
            "gateway.json",
            &file(port, &[("/a", &origin.url()), ("/new", &origin.url())]),
        )
        .spawn(&["run", "--upgrade", "-c", "gateway.json"]);
    old.signal("QUIT");
    let old = old.ended();
    assert_eq!(old.code, Some(0), "{old:#?}\n{}", new.stdout());
    assert_eq!(Client::connect(port).get("/new").status(), 200);
    ended.store(true, Ordering::Release);
    assert!(steady.join().expect("no request was lost") > 0);
    new.signal("TERM");
    assert_eq!(new.ended().code, Some(0));
}
