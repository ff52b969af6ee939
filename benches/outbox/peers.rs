//! The peers: two job queues of Node, each on its own server with every commit synced, whose workers POST the same bodies with
//! the same signatures to the same receiver. Servers and packages that are not there are named, and the peer is left out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::receiver::{KEY, Receiver};
use crate::{Ids, ours};

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// Where the packages are installed.
const MODULES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/peers");
/// Worker processes of a peer: Node has one thread for its own code, this host two cores.
const PROCESSES: usize = 2;

/// A job queue.
#[derive(Clone, Copy)]
pub enum Peer {
    /// On Redis.
    BullMq,
    /// On PostgreSQL.
    Graphile,
}

impl Peer {
    pub const ALL: [Self; 2] = [Self::BullMq, Self::Graphile];

    pub const fn name(self) -> &'static str {
        match self {
            Self::BullMq => "BullMQ, Redis with appendfsync always",
            Self::Graphile => "graphile-worker tuned, PostgreSQL with fsync on",
        }
    }

    const fn script(self) -> &'static str {
        match self {
            Self::BullMq => "bullmq.mjs",
            Self::Graphile => "graphile.mjs",
        }
    }

    /// Whether it can run here; else what is missing.
    pub fn is_there(self) -> Result<(), String> {
        install_packages()?;
        match self {
            Self::BullMq if !runs("redis-server", &["--version"]) => {
                Err("redis-server is missing: apt-get install redis-server".into())
            }
            Self::Graphile if !runs("initdb", &["--version"]) && !Path::new("/usr/lib/postgresql").is_dir() => {
                Err("PostgreSQL is missing: apt-get install postgresql".into())
            }
            Self::BullMq | Self::Graphile => Ok(()),
        }
    }

    fn server(self) -> Server {
        match self {
            Self::BullMq => Server::redis(),
            Self::Graphile => Server::postgres(),
        }
    }

    /// Deliveries a second: so many jobs that are there when the workers start, until the last of them has come. On an empty
    /// server of its own, so at its best.
    pub async fn rate(self, count: u64, ids: &mut Ids, receiver: &mut Receiver) -> f64 {
        let server = self.server();
        let target = format!("http://{}/hooks", receiver.posts);
        let run = ids.run().0.to_string();
        let mut workers: Vec<Worker> = Vec::new();
        for place in 0..PROCESSES {
            let jobs = if place == 0 { count.to_string() } else { "0".into() };
            workers
                .push(Worker::start(self.script(), &[MODULES, &server.url, &target, KEY, &ours::body(), &run, &jobs]));
        }
        let started = Instant::now();
        for worker in &mut workers {
            worker.go();
        }
        receiver.until(ids.told(count)).await;
        crate::per_second(count, started.elapsed())
    }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
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

/// A worker process, which says that it is ready and begins when it is told.
struct Worker(Child);

impl Worker {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let mut node = Command::new("node");
        node.arg(Path::new(HERE).join("benches/peers").join(script)).args(arguments);
        let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready", "{script}");
        Self(child)
    }

    fn go(&mut self) {
        self.0.stdin.as_mut().expect("piped").write_all(b"go\n").expect("it waits");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A database server in a folder of its own.
struct Server {
    url: String,
    folder: PathBuf,
    /// A server that is a child of ours; the other is stopped by its script.
    child: Option<Child>,
    _kept: tempfile::TempDir,
}

impl Server {
    fn redis() -> Self {
        let kept = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port().to_string();
        let folder = kept.path().to_owned();
        let mut redis = Command::new("redis-server");
        redis.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "yes"]);
        redis.args(["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--dir"]).arg(&folder);
        let child = redis.stdout(Stdio::null()).spawn().expect("redis-server starts");
        let mut tries = 0;
        while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            tries += 1;
            assert!(tries < 500, "redis-server listens");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { url: format!("redis://127.0.0.1:{port}"), folder, child: Some(child), _kept: kept }
    }

    fn postgres() -> Self {
        let kept = tempfile::tempdir().expect("a folder");
        let folder = kept.path().join("postgres");
        // The server has a user of its own.
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(kept.path(), all).expect("ours");
        let settings = "-c fsync=on -c shared_buffers=512MB -c max_wal_size=8GB -c wal_buffers=16MB";
        let output = script("start", &folder).arg(settings).stderr(Stdio::null()).output().expect("a shell");
        assert!(output.status.success(), "PostgreSQL starts");
        let url = String::from_utf8(output.stdout).expect("a URL").trim().to_owned();
        Self { url, folder, child: None, _kept: kept }
    }
}

fn script(action: &str, folder: &Path) -> Command {
    let mut command = Command::new(Path::new(HERE).join(".ci/postgres"));
    command.arg(action).arg(folder);
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        } else {
            let _ = script("stop", &self.folder).status();
        }
    }
}
