//! The real binary with an inline configuration: started in a folder of its own with clean
//! environment and free ports, awaited by connecting to it, ended by its own process id.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Client, PATIENCE, eventually, ports};

/// Tells the binary where its internal listener (`/metrics`, `/__stats`) goes; tests run side by
/// side and cannot share the usual port.
const INTERNAL_LISTEN: &str = "HANZO_GATEWAY_METRICS";

/// Names the lane that gateways are told to use (`auto`, `off`), so that the same tests prove both; without
/// it they are told nothing.
const LANE: &str = "HANZO_TEST_LANE";

/// Variables of the caller that would change what the binary does.
const FOREIGN: [&str; 5] = ["KRAKEND_", "FC_", "HANZO_", "RATE_LIMIT_", "AUTH_"];

/// What a gateway is started with, besides its configuration.
pub(crate) struct Setup {
    program: Vec<String>,
    lane: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// All it wrote to standard output.
    pub(crate) stdout: String,
    /// All it wrote to standard error.
    pub(crate) stderr: String,
}

impl Setup {
    fn new() -> Self {
        Self {
            program: vec![env!("CARGO_BIN_EXE_hanzo-gateway").to_owned()],
            lane: std::env::var(LANE).ok().filter(|lane| !lane.is_empty()),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: TempDir::new().expect("a folder for the configuration"),
        }
    }

    /// Another program in the place of the binary, to test this file with.
    pub(super) fn program(mut self, words: &[&str]) -> Self {
        self.program = words.iter().map(|word| (*word).to_owned()).collect();
        self.lane = None;
        self
    }

    /// A further argument of the command line.
    pub(crate) fn argument(mut self, word: &str) -> Self {
        self.arguments.push(word.to_owned());
        self
    }

    /// The lane, whatever the tests run with; `None` leaves it to the binary.
    pub(crate) fn lane(mut self, lane: Option<&str>) -> Self {
        self.lane = lane.map(str::to_owned);
        self
    }

    /// A variable of its environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the working directory.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .expect("folders can be made");
        fs::write(path, text).expect("files can be written");
        self
    }

    /// Starts it in the native dialect and waits until it listens.
    pub(crate) fn native(self, config: Value) -> Gateway {
        self.start(config)
            .unwrap_or_else(|output| panic!("ended before it listened: {output:#?}"))
    }

    /// The same in KrakenD's dialect.
    pub(crate) fn krakend(self, config: Value) -> Gateway {
        self.argument("--compat").argument("krakend").native(config)
    }

    /// Starts it with a configuration that it must not accept.
    ///
    /// # Panics
    /// When it listens, or ends with exit code 0.
    pub(crate) fn refused(self, config: Value) -> Output {
        match self.start(config) {
            Err(output) if output.code != Some(0) => output,
            Err(output) => panic!("ended with success: {output:#?}"),
            Ok(gateway) => panic!("accepted: {:#?}", gateway.stop()),
        }
    }

    /// Runs a command (`check`, `explain`, …) on a configuration to its end.
    pub(crate) fn command(self, words: &[&str], config: Value) -> Output {
        let (child, _, _) = self.launch(words, config);
        let mut run = Run::of(child);
        let status = run.wait_until(Instant::now() + PATIENCE);
        run.output(status.expect("the command ends"))
    }

    /// Starts the program with these words and nothing else, and waits for nothing.
    pub(crate) fn spawn(self, words: &[&str]) -> Process {
        let child = self.process(words).spawn().expect("the program starts");
        Process {
            run: Run::of(child),
            folder: self.folder,
        }
    }

    fn start(self, config: Value) -> Result<Gateway, Output> {
        let (child, port, internal) = self.launch(&["run"], config);
        let mut run = Run::of(child);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = run.exited() {
                return Err(run.output(status));
            }
            assert!(
                Instant::now() < deadline,
                "does not listen: {:#?}",
                run.end()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Gateway {
            port,
            internal,
            run,
            folder: self.folder,
        })
    }

    /// Writes the configuration with a port of its own and starts the program on it.
    fn launch(&self, words: &[&str], mut config: Value) -> (Child, u16, u16) {
        let (port, internal) = (ports::free(), ports::free());
        if let Some(root) = config.as_object_mut() {
            root.entry("version").or_insert(Value::from(3));
            root.insert("port".to_owned(), Value::from(port));
        }
        let path = self.folder.path().join("gateway.json");
        fs::write(&path, config.to_string()).expect("files can be written");
        let mut command = self.process(words);
        command.arg("-c").arg(path).args(&self.arguments);
        if !self
            .environment
            .iter()
            .any(|(name, _)| name == INTERNAL_LISTEN)
        {
            command.env(INTERNAL_LISTEN, format!("127.0.0.1:{internal}"));
        }
        (command.spawn().expect("the program starts"), port, internal)
    }

    /// The program with clean environment, in its folder.
    fn process(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(words);
        if let (Some(lane), Some(&"run")) = (&self.lane, words.first()) {
            command.args(["--lane", lane]);
        }
        for (name, _) in
            std::env::vars().filter(|(name, _)| FOREIGN.iter().any(|start| name.starts_with(start)))
        {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// A gateway that listens; it ends when the test drops it.
pub(crate) struct Gateway {
    port: u16,
    internal: u16,
    run: Run,
    folder: TempDir,
}

impl Gateway {
    /// For arguments, variables and files besides the configuration.
    pub(crate) fn setup() -> Setup {
        Setup::new()
    }

    /// A gateway in the native dialect. `version` and `port` are put into the configuration.
    pub(crate) fn native(config: Value) -> Self {
        Setup::new().native(config)
    }

    /// A gateway in KrakenD's dialect.
    pub(crate) fn krakend(config: Value) -> Self {
        Setup::new().krakend(config)
    }

    /// What it says to a configuration that it must not accept.
    pub(crate) fn refused(config: Value) -> Output {
        Setup::new().refused(config)
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its working directory, where its configuration is `gateway.json`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.run.child.id()
    }

    /// A new connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// One `GET` on a new connection.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.client().get(target)
    }

    /// The text of its metrics.
    pub(crate) fn metrics(&self) -> String {
        self.internal("/metrics").text()
    }

    /// One `GET` of its internal listener.
    pub(crate) fn internal(&self, target: &str) -> Answer {
        eventually("the internal listener", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.internal)).ok()
        });
        Client::connect(self.internal).get(target)
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.run.stdout.text()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.run.stderr.text()
    }

    /// Waits for a line of its log that contains a text.
    pub(crate) fn log_line(&self, text: &str) -> String {
        eventually(text, || {
            let (stdout, stderr) = (self.stdout(), self.stderr());
            stdout
                .lines()
                .chain(stderr.lines())
                .find(|line| line.contains(text))
                .map(str::to_owned)
        })
    }

    /// Sends it a signal by name: `HUP`, `QUIT`, …
    pub(crate) fn signal(&self, name: &str) {
        self.run.signal(name);
    }

    /// Ends it (SIGTERM first) and tells how it went.
    pub(crate) fn stop(mut self) -> Output {
        self.run.end()
    }

    /// Waits until it ends by itself, or by a signal that was sent.
    pub(crate) fn ended(mut self) -> Output {
        self.run.ended()
    }

    /// Whether it is still there.
    pub(crate) fn runs(&mut self) -> bool {
        self.run.exited().is_none()
    }
}

/// A program that was started with words of its own; it ends when the test drops it.
pub(crate) struct Process {
    run: Run,
    folder: TempDir,
}

impl Process {
    /// Its working directory.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.run.stderr.text()
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.run.stdout.text()
    }

    /// Sends it a signal by name: `INT`, …
    pub(crate) fn signal(&self, name: &str) {
        self.run.signal(name);
    }

    /// Waits until somebody listens on a port that it was told to use.
    ///
    /// # Panics
    /// When it ends before, with what it wrote.
    pub(crate) fn listens(mut self, port: u16) -> Self {
        eventually("the port", || {
            let ended = self.run.exited();
            assert!(ended.is_none(), "it ended: {:#?}", self.run.ended());
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        self
    }

    /// Waits until it ends by itself, or by a signal that was sent.
    pub(crate) fn ended(mut self) -> Output {
        self.run.ended()
    }
}

/// A process of ours with what it writes.
struct Run {
    child: Child,
    stdout: Capture,
    stderr: Capture,
}

impl Run {
    fn of(mut child: Child) -> Self {
        let stdout = Capture::of(child.stdout.take());
        let stderr = Capture::of(child.stderr.take());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be asked")
    }

    fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            let status = self.exited();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn output(&mut self, status: ExitStatus) -> Output {
        Output {
            code: status.code(),
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }

    fn signal(&self, name: &str) {
        // The standard library sends SIGKILL only; the shell has the others built in.
        let _ = Command::new("sh")
            .args([
                "-c",
                "kill -s \"$0\" \"$1\"",
                name,
                &self.child.id().to_string(),
            ])
            .status();
    }

    fn ended(&mut self) -> Output {
        let status = self.wait_until(Instant::now() + PATIENCE);
        let Some(status) = status else {
            panic!("it does not end: {:#?}", self.end());
        };
        self.output(status)
    }

    fn end(&mut self) -> Output {
        let mut status = self.exited();
        if status.is_none() {
            self.signal("TERM");
            status = self.wait_until(Instant::now() + Duration::from_secs(5));
        }
        let status = status.unwrap_or_else(|| {
            let _ = self.child.kill();
            self.child.wait().expect("our own child can be awaited")
        });
        self.output(status)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end();
        // One that was killed could not tidy up.
        for name in ["hanzo-gateway", "hanzo-gateway-demo"] {
            let folder = std::env::temp_dir().join(format!("{name}-{}", self.child.id()));
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// What a process has written to one of its two outputs.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = pipe.map(|mut pipe| {
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(read @ 1..) = pipe.read(&mut piece) {
                    into.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend_from_slice(&piece[..read]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
            .into_owned()
    }

    /// All of it, once the process is gone.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.text()
    }
}
