//! The real binary, as a person or a service manager runs it: its own processes, signals, exit codes, what it prints.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use shiftkeeper::clock::Stopwatch;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{OPERATOR, WAIT_TIMEOUT, wait_until};

/// Lines of a process that are kept; a test that needs more is wrong.
const MAX_LINES: usize = 100_000;

/// A command of the binary, in a folder and with an environment of its own.
pub fn shiftkeeper(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shiftkeeper"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// What a process that ended had to say.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    /// What it printed, as one document of JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> CommandOutput {
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    CommandOutput { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

type Lines = Arc<Mutex<Vec<String>>>;

/// A process that serves.
pub struct Server {
    child: Child,
    /// The line of JSON that said that it serves.
    pub ready: Value,
    stderr: Lines,
    readers: JoinSet<()>,
}

impl Server {
    /// Starts it and waits for its line.
    pub async fn start(command: Command) -> Self {
        Self::start_or_end(command).await.unwrap_or_else(|ended| panic!("it does not start: {ended:?}"))
    }

    /// Starts it and waits for its line, or for its end.
    pub async fn start_or_end(command: Command) -> Result<Self, CommandOutput> {
        Self::start_with_log(command, Stdio::piped()).await
    }

    /// Starts it with standard error going elsewhere, of which nothing is kept then.
    pub async fn start_with_log(mut command: Command, log: impl Into<Stdio>) -> Result<Self, CommandOutput> {
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary starts");
        // It holds its end of a pipe, which must be nobody's once the process has ended.
        drop(command);
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let mut readers = JoinSet::new();
        let (from, to) = (child.stdout.take().expect("piped"), stdout.clone());
        readers.spawn_blocking(move || keep_lines(from, &to));
        if let (Some(from), to) = (child.stderr.take(), stderr.clone()) {
            readers.spawn_blocking(move || keep_lines(from, &to));
        }
        let seen = wait_until("the server says that it is ready", WAIT_TIMEOUT, || {
            let first = stdout.lock().expect("a lock").first().cloned();
            let ended = if first.is_none() { child.try_wait().expect("a child of ours") } else { None };
            let seen = first.map(Ok).or(ended.map(Err)).ok_or_else(|| stderr.lock().expect("a lock").join("\n"));
            async { seen }
        })
        .await;
        match seen {
            Ok(line) => {
                let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
                Ok(Self { child, ready, stderr, readers })
            }
            Err(status) => {
                while readers.join_next().await.is_some() {}
                let text = |lines: &Lines| lines.lock().expect("a lock").join("\n");
                Err(CommandOutput { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) })
            }
        }
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill is there");
        assert!(status.success(), "kill -s {name}: {status}");
    }

    /// The most memory that it has had, in bytes, as Linux tells it.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes << 10
    }

    /// Waits for its end; gives how it ended and after how long.
    pub async fn wait_for_exit(mut self) -> (ExitStatus, Duration, String) {
        let watch = Stopwatch::start();
        let status = wait_until("it ends", WAIT_TIMEOUT, || {
            let seen = self.child.try_wait().expect("a child of ours");
            async move { seen.ok_or_else(|| "it runs".to_owned()) }
        })
        .await;
        let took = watch.elapsed();
        while self.readers.join_next().await.is_some() {}
        let said = self.stderr_text();
        (status, took, said)
    }

    /// Everything that it said on standard error.
    pub fn stderr_text(&self) -> String {
        self.stderr.lock().expect("a lock").join("\n")
    }

    /// Waits until it says these words on standard error.
    pub async fn wait_for_stderr(&self, words: &str) {
        wait_until(&format!("it says {words:?}"), WAIT_TIMEOUT, || async {
            let said = self.stderr_text();
            if said.contains(words) { Ok(()) } else { Err(said) }
        })
        .await;
    }
}

fn keep_lines(from: impl Read, lines: &Lines) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let mut lines = lines.lock().expect("a lock");
        if lines.len() < MAX_LINES {
            lines.push(line);
        }
    }
}

impl Drop for Server {
    /// A test that failed leaves no process behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a configuration for a simulator that runs.
pub struct CommandFolder {
    pub folder: TempDir,
    secret: String,
}

impl CommandFolder {
    /// Writes `shiftkeeper.toml` for the first tenant of a simulator's line.
    pub fn new(simulator: &Value, tenant_lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tenant = &simulator["tenants"][0];
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\
             [[server.tokens]]\nid = \"operator\"\ntoken = {{ env = \"SHIFTKEEPER_TOKEN\" }}\nmay = [\"read\", \"change\", \"import\"]\n\
             [store]\nurl = \"sqlite://shiftkeeper.db\"\n\
             [[tenants]]\nid = {id}\nbase_url = {base}\nclient_id = {client}\nclient_secret = {{ env = \"ACME_CLIENT_SECRET\" }}\n\
             agents = {agents}\n{tenant_lines}\n",
            id = tenant["id"],
            base = simulator["base_url"],
            client = tenant["client_id"],
            agents = tenant["agents"],
        );
        std::fs::write(folder.path().join("shiftkeeper.toml"), text).expect("written");
        Self { folder, secret: tenant["client_secret"].as_str().expect("a secret").to_owned() }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("shiftkeeper.toml")
    }

    /// A command at this desk, with the secrets in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = shiftkeeper(self.folder.path(), arguments);
        command.env("SHIFTKEEPER_TOKEN", OPERATOR).env("ACME_CLIENT_SECRET", &self.secret);
        command
    }
}
