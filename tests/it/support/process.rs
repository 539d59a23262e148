//! The real binary, as a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::miffy::Setup;
use super::{PATIENCE, metrics, until, within};

/// What a command that ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command line, in an empty directory and an empty environment.
pub(crate) struct Miffy {
    command: Command,
    directory: TempDir,
}

impl Miffy {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_miffy"));
        command
            .args(arguments)
            .env_clear()
            .current_dir(&directory)
            .stdin(Stdio::null());
        Self { command, directory }
    }

    /// The same command with at most so many open files.
    pub(crate) fn with_files(number: u32) -> Self {
        let mut miffy = Self::new(&[]);
        let limited = format!("ulimit -n {number}; exec {}", env!("CARGO_BIN_EXE_miffy"));
        let mut command = Command::new("sh");
        command
            .args(["-c", &limited])
            .env_clear()
            .current_dir(&miffy.directory)
            .stdin(Stdio::null());
        miffy.command = command;
        miffy
    }

    /// With a `config.toml` in its directory.
    pub(crate) fn config(self, toml: &str) -> Self {
        self.file("config.toml", toml)
    }

    /// With this configuration, on free ports of the loopback interface, and without a delay at its end.
    pub(crate) fn anywhere(self, config: &str) -> Self {
        self.config(config)
            .env("MIFFY_ADDRESS", "127.0.0.1")
            .env("MIFFY_MANAGEMENT_ADDRESS", "127.0.0.1")
            .env("MIFFY_PORT", "0")
            .env("MIFFY_MANAGEMENT_PORT", "0")
            .env("MIFFY_SHUTDOWN_DELAY", "off")
    }

    pub(crate) fn file(self, name: impl AsRef<Path>, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    /// Where a file of its directory is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With this on its standard input.
    pub(crate) fn stdin(self, text: &str) -> Self {
        let mut miffy = self.file("stdin", text);
        let file = std::fs::File::open(miffy.directory.path().join("stdin")).unwrap();
        miffy.command.stdin(file);
        miffy
    }

    /// Runs it to its end.
    pub(crate) fn output(mut self) -> Ended {
        let output = ended(self.command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        Ended {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it to its end with this standard output; gives its exit code and what it wrote elsewhere.
    pub(crate) fn output_to(mut self, stdout: impl Into<Stdio>) -> (i32, String) {
        let output = ended(self.command.stdout(stdout).stderr(Stdio::piped()));
        let code = output.status.code().expect("it was not killed");
        (code, String::from_utf8(output.stderr).unwrap())
    }

    /// Runs it to its end with this standard error; gives its exit code.
    pub(crate) fn code_with_errors_to(mut self, stderr: impl Into<Stdio>) -> i32 {
        let output = ended(self.command.stdout(Stdio::null()).stderr(stderr));
        output.status.code().expect("it was not killed")
    }

    /// Starts it and goes on.
    pub(crate) fn spawn(self) -> Running {
        self.spawn_to(Stdio::piped())
    }

    /// Starts it with this standard output, which is read only if it is piped, and goes on.
    pub(crate) fn spawn_to(mut self, stdout: impl Into<Stdio>) -> Running {
        let mut child = self
            .command
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let mut readers = vec![stderr.read(child.stderr.take().unwrap())];
        readers.extend(child.stdout.take().map(|stream| stdout.read(stream)));
        Running {
            child,
            stdout,
            stderr,
            readers,
            directory: self.directory,
        }
    }
}

/// Runs a command to its end, which is a violent one if it takes longer than anything is waited for.
fn ended(command: &mut Command) -> Output {
    let child = command.spawn().unwrap();
    let pid = child.id();
    let (is_over, over) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            send_signal("KILL", pid);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(is_over);
    watch.join().unwrap();
    output
}

/// Sends a process a signal, by its name.
fn send_signal(name: &str, pid: u32) {
    // The shell's own: a small system has no other.
    let kill = format!("kill -s {name} {pid}");
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(sent.success());
}

/// A command that runs miffy with this configuration, on free ports of the loopback interface.
pub(crate) fn anywhere(config: &str) -> Miffy {
    Miffy::new(&[]).anywhere(config)
}

/// A process with an experiment on `/x/{*rest}`, on free ports, that logs JSON, and its address.
pub(crate) fn start(setup: &Setup, environment: &[(&str, &str)]) -> (Running, String) {
    let mut miffy = anywhere(&setup.toml()).env("MIFFY_LOGGING", "json");
    for (name, value) in environment {
        miffy = miffy.env(name, value);
    }
    started(miffy.spawn())
}

/// The same with this standard output, which is not read.
pub(crate) fn start_to(setup: &Setup, stdout: impl Into<Stdio>) -> (Running, String) {
    let miffy = anywhere(&setup.toml()).env("MIFFY_LOGGING", "json");
    started(miffy.spawn_to(stdout))
}

fn started(running: Running) -> (Running, String) {
    let started = running.stderr.event("started");
    let url = format!("http://{}", started["address"].as_str().unwrap());
    (running, url)
}

/// The lines that a process wrote so far.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Adds a stream's lines, until its end.
    fn read(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                lines.0.lock().unwrap().push(line.unwrap());
            }
        })
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for the first line of which `found` makes something.
    pub(crate) fn wait<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let lines = self.all();
            if let Some(found) = lines.iter().find_map(|line| found(line)) {
                return found;
            }
            assert!(
                Instant::now() < give_up,
                "{what} does not come:\n{}",
                lines.join("\n")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for so many events of this message in a log of JSON.
    pub(crate) fn events(&self, message: &str, number: usize) -> Vec<Value> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let lines = self.all();
            let events = lines
                .iter()
                .filter_map(|line| serde_json::from_str(line).ok());
            let events: Vec<Value> = events
                .filter(|event: &Value| event["message"] == message)
                .collect();
            if events.len() >= number {
                return events;
            }
            assert!(
                Instant::now() < give_up,
                "{number} of \"{message}\" do not come:\n{}",
                lines.join("\n")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the event of this message in a log of JSON.
    pub(crate) fn event(&self, message: &str) -> Value {
        self.wait(&format!("the event \"{message}\""), |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["message"] == message).then_some(event)
        })
    }
}

/// A process that runs, until it is dropped at the latest.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
    readers: Vec<JoinHandle<()>>,
    directory: TempDir,
}

impl Running {
    /// A file in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts another `config.toml` in the place of its own.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(self.path("new.toml"), toml).unwrap();
        std::fs::rename(self.path("new.toml"), self.path("config.toml")).unwrap();
    }

    /// Its management port's URL.
    pub(crate) fn management(&self) -> String {
        let started = self.stderr.event("started");
        format!("http://{}", started["management_address"].as_str().unwrap())
    }

    /// What its management port says there.
    pub(crate) async fn manage(&self, path: &str) -> String {
        let url = format!("{}{path}", self.management());
        let client = super::http_client();
        within("what the management port says", async {
            let response = client.get(url).send().await.unwrap();
            response.text().await.unwrap()
        })
        .await
    }

    /// Waits until so many matched requests have ended, and tells how.
    pub(crate) async fn outcomes(&self, total: u64) -> BTreeMap<String, u64> {
        until("the outcomes", || async {
            let outcomes = metrics::outcomes(&self.manage("/metrics").await);
            (outcomes.values().sum::<u64>() >= total).then_some(outcomes)
        })
        .await
    }

    /// Sends it a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(name, self.child.id());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended, and everything that it wrote has been read.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(
                Instant::now() < give_up,
                "it does not end:\n{}",
                self.stderr.all().join("\n")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
