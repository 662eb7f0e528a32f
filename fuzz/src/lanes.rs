//! One connection's bytes through the fast lane and through the platform's path: what arrives at a strict
//! backend and what the client gets are the same.
//!
//! Two gateways run as child processes for the whole session, `HANZO_GATEWAY` or the debug build of this
//! checkout; a shell between us and each of them ends it by its process id when our end of a pipe closes,
//! however we end.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::wire::{Choices, Recorder, Side, compare, config, knows_lanes, script};

/// How long a gateway may take for anything.
const PATIENCE: Duration = Duration::from_secs(8);

/// Starts the program and names its process, waits for the end of its own input, ends the program.
const LEASH: &str =
    r#""$@" > /dev/null & program=$!; echo "$program"; cat > /dev/null; kill "$program""#;

/// So long may we and a gateway wait for a processor during one connection before a difference is put
/// down to that: deadlines pass for one side and not for the other then.
const STARVED: Duration = Duration::from_millis(1500);
/// How often such a connection is played again.
const TRIES: usize = 3;

struct Gateway {
    recorder: Recorder,
    port: u16,
    process: String,
    /// Holds the pipe.
    _child: Child,
}

static GATEWAYS: LazyLock<[Gateway; 2]> = LazyLock::new(|| [start("auto"), start("off")]);

#[expect(
    clippy::disallowed_methods,
    reason = "the fuzzer calls with bytes and nothing else"
)]
fn binary() -> PathBuf {
    let built = || {
        PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/debug/hanzo-gateway"
        ))
    };
    std::env::var_os("HANZO_GATEWAY").map_or_else(built, PathBuf::from)
}

fn start(lane: &str) -> Gateway {
    let recorder = Recorder::start();
    let binary = binary();
    assert!(binary.exists(), "no {}: cargo build", binary.display());
    // Given back before the gateway takes it; nobody else is about.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let file = std::env::temp_dir().join(format!("hanzo-fuzz-{}-{port}.json", std::process::id()));
    std::fs::write(&file, config(&recorder.url())).expect("a file can be written");
    let mut command = Command::new("sh");
    command.args(["-c", LEASH, "sh"]).arg(&binary);
    command.args([
        "run",
        "--metrics",
        "off",
        "--threads",
        "1",
        "--port",
        &port.to_string(),
        "-c",
    ]);
    command.arg(&file);
    if knows_lanes(&binary) {
        command.args(["--lane", lane]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("a shell");
    let mut process = String::new();
    let told = child.stdout.take().map(BufReader::new);
    let told = told.expect("a pipe").read_line(&mut process);
    told.expect("the number of a process");
    let begin = Instant::now();
    while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        let waiting = error.kind() == ErrorKind::ConnectionRefused && begin.elapsed() < PATIENCE;
        assert!(waiting, "the gateway does not listen: {error}");
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = std::fs::remove_file(&file);
    Gateway {
        recorder,
        port,
        process: process.trim().to_owned(),
        _child: child,
    }
}

/// How long we and the gateways have waited for a processor so far; nothing where the system does not say.
fn waited() -> Duration {
    let processes = GATEWAYS.iter().map(|gateway| gateway.process.as_str());
    let of = |process: &str| -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
        let times = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').nth(1)?.parse::<u64>().ok()
        });
        times.sum()
    };
    Duration::from_nanos(processes.chain(["self"]).map(of).sum())
}

/// The bytes are the decisions of which [`script`] makes a connection.
pub fn check(input: &[u8]) {
    let script = script(&mut Choices::new(input), 1);
    let side = |at: usize, name| Side {
        name,
        port: GATEWAYS[at].port,
        recorder: &GATEWAYS[at].recorder,
    };
    let (auto, off) = (side(0, "auto"), side(1, "off"));
    for attempt in 1.. {
        let before = waited();
        let Err(what) = compare(&script, [&auto, &off], PATIENCE) else {
            return;
        };
        let waited = waited().saturating_sub(before);
        let told = script.bytes.escape_ascii();
        if attempt == TRIES || waited < STARVED {
            panic!("{:?}\n{told}\n{what}\nwaited {waited:?}", script.shapes);
        }
        eprintln!("waited {waited:?} for a processor, once more: {told}\n{what}");
        // What is still under way ends by the gateways' own deadlines.
        std::thread::sleep(PATIENCE + PATIENCE);
        for side in [&auto, &off] {
            side.recorder.take();
            side.recorder.violations();
        }
    }
}
