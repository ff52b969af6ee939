//! The servers that are measured, each a process that is told messages line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ours;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// Where the peer's packages are installed; the same as for `benches/outbox`.
const MODULES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/peers");

/// Who tells, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours, as an event stream.
    Events,
    /// Ours, over WebSockets.
    Sockets,
    /// Node with `ws`.
    Node,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Events, Self::Sockets, Self::Node];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "shiftkeeper, event stream",
            Self::Sockets => "shiftkeeper, WebSocket",
            Self::Node => "Node, ws",
        }
    }

    pub const fn over_sockets(self) -> bool {
        match self {
            Self::Events => false,
            Self::Sockets | Self::Node => true,
        }
    }

    /// Whether it can run here; else what is missing.
    pub fn is_there(self) -> Result<(), String> {
        match self {
            Self::Events | Self::Sockets => Ok(()),
            Self::Node => install_packages(),
        }
    }
}

/// Installs the packages of `benches/peers/package.json`, where they are not yet.
fn install_packages() -> Result<(), String> {
    let (list, copy) = (Path::new(HERE).join("benches/peers/package.json"), Path::new(MODULES).join("package.json"));
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    if Path::new(MODULES).join("node_modules").is_dir() && read(&list) == read(&copy) {
        return Ok(());
    }
    std::fs::create_dir_all(MODULES).map_err(|error| error.to_string())?;
    std::fs::copy(list, copy).map_err(|error| error.to_string())?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", MODULES]);
    match npm.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("npm install: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(_) => Err("Node and npm are missing: apt-get install nodejs npm".into()),
    }
}

/// Stands before the instant in each message, and nowhere else: no length of a frame has this byte either.
pub const MARK: u8 = b'^';
/// Digits of the instant, in microseconds.
pub const DIGITS: usize = 16;

/// Now.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_micros()).expect("far ahead")
}

/// A message about an agent, of the shape and length of ours, made at an instant.
pub fn message(at_us: u64) -> String {
    format!(
        r#"{{"type":"agent","tenant":"acme","id":123456,"at":"2026-10-26T13:30:05.123456Z","agent":{{"id":"u_000123","name":"Agent 000123","team":"Customer Care 7","state":"Ready","reason":null,"queue":null,"entered_at":"2026-10-26T13:30:04Z","source":"snapshot","transition":null,"seen_at":"2026-10-26T13:30:05Z","age_ms":123,"adherence":{{"verdict":"in","since":"2026-10-26T13:30:04Z"}},"planned":{{"activity":"work","since":"2026-10-26T12:00:00Z","until":"2026-10-26T14:00:00Z"}},"open":null,"mark":"^{at_us:016}"}}}}"#
    )
}

/// A running server.
pub struct Server {
    child: Child,
    lines: ChildStdin,
    address: String,
}

impl Server {
    pub fn start(kind: Kind, viewers: usize) -> Self {
        let mut command = match kind {
            Kind::Events | Kind::Sockets => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.arg(ours::ARGUMENT).arg(viewers.to_string());
                command
            }
            Kind::Node => {
                let mut command = Command::new("node");
                command.arg(Path::new(HERE).join("benches/peers/relay.mjs")).arg(MODULES);
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut address).expect("its address");
        let lines = child.stdin.take().expect("piped");
        Self { child, lines, address: address.trim().to_owned() }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Hands it one message to tell.
    pub fn tell(&mut self) {
        let mut line = message(now_us());
        line.push('\n');
        self.lines.write_all(line.as_bytes()).expect("it reads");
    }

    /// Bytes in memory now.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most bytes in memory so far.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
