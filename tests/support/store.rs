//! A real store of counters (`redis-server`; `scripts/setup.sh` installs it), in a folder of its own, on a free port,
//! ended by its own process id.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use redis::{Connection, FromRedisValue};
use tempfile::TempDir;

use super::{eventually, ports};

/// A store that a test may stop, pause, start again and look into.
pub(crate) struct Store {
    port: u16,
    words: Vec<String>,
    folder: TempDir,
    child: Child,
    tls: bool,
}

impl Store {
    /// A store that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with further words on its command line.
    pub(crate) fn with(words: &[&str]) -> Self {
        let port = ports::free();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let folder = TempDir::new().unwrap();
        let child = launch(port, &words, &folder);
        let store = Self {
            port,
            tls: words.iter().any(|word| word == "--tls-port"),
            words,
            folder,
            child,
        };
        store.answers();
        store
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// One command, and what it answers.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection().expect("the store answers");
        self.ask_on(&mut connection, words).unwrap()
    }

    fn ask_on<T: FromRedisValue>(
        &self,
        connection: &mut Connection,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(connection)
    }

    fn connection(&self) -> Option<Connection> {
        redis::Client::open(self.url()).ok()?.get_connection().ok()
    }

    fn answers(&self) {
        eventually("the store", || {
            if self.tls {
                return std::net::TcpStream::connect(("127.0.0.1", self.port))
                    .ok()
                    .map(drop);
            }
            let mut connection = self.connection()?;
            // One that wants a password answers too.
            match self.ask_on::<String>(&mut connection, &["PING"]) {
                Err(error) if error.is_io_error() => None,
                _ => Some(()),
            }
        });
    }

    /// A field of everything that it keeps, added up.
    pub(crate) fn sum(&self, field: &str) -> f64 {
        let keys: Vec<String> = self.ask(&["KEYS", "hzrl:*"]);
        let value = |key: &String| {
            // The marks of calls and the list of gateways are none of its counters.
            let counter = !key.contains(":call:") && !key.ends_with(":gateways");
            counter.then(|| self.ask::<Option<f64>>(&["HGET", key, field]))?
        };
        keys.iter().filter_map(value).sum()
    }

    /// Calls that it was asked for limits.
    pub(crate) fn calls(&self) -> u64 {
        let stats: String = self.ask(&["INFO", "commandstats"]);
        let calls = |line: &str| {
            let (_, rest) = line.split_once("calls=")?;
            rest.split(',').next()?.parse::<u64>().ok()
        };
        let ours = |line: &&str| line.starts_with("cmdstat_eval");
        stats.lines().filter(ours).filter_map(calls).sum()
    }

    /// Sends it a signal by name: `STOP`, `CONT`, …
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it at once, and with it what it kept.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port.
    pub(crate) fn again(&mut self) {
        self.child = launch(self.port, &self.words, &self.folder);
        self.answers();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(port: u16, words: &[String], folder: &TempDir) -> Child {
    let port = port.to_string();
    let tls = words.iter().any(|word| word == "--tls-port");
    // With TLS the port is for it alone.
    let listen = if tls { "0" } else { port.as_str() };
    let mut command = Command::new("redis-server");
    command.args(["--port", listen, "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "no", "--daemonize", "no"]);
    command.args(
        words
            .iter()
            .map(|word| if word == "PORT" { &port } else { word }),
    );
    let log = File::create(folder.path().join("log")).unwrap();
    command.current_dir(folder.path()).stdin(Stdio::null());
    command.stdout(log).stderr(Stdio::null());
    command
        .spawn()
        .expect("redis-server is here; scripts/setup.sh installs it")
}
