//! The daemon as it ships, in a process of its own beside a simulator in another: how long a restart takes with a million rows of
//! history, and how much memory it has with 300 and with 10,000 agents after a minute of their lives.
//!
//! `cargo bench --bench daemon`; `SMALL=1` before it takes a tenth of the rows, the agents and the minute. It needs Linux's `/proc`.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures real time and reads its size from the environment"
)]
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark talks on stdout and stops at the first fault"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::Value;

const RESTARTS: usize = 5;
const TOKEN: &str = "a token of the benchmark";

fn main() {
    // `cargo test --benches` asks every bench to show that it starts.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let part = if std::env::var_os("SMALL").is_some() { 10 } else { 1 };
    restart(1_000_000 / part);
    for (agents, limit_mb) in [(300, 30), (10_000, 100)] {
        memory(agents / part, limit_mb, Duration::from_secs(60) / part);
    }
}

/// A process that says in one line of JSON that it serves.
struct Server {
    child: Child,
    ready: Value,
    took: Duration,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a line");
        let took = started.elapsed();
        Self { child, ready: serde_json::from_str(&line).expect("JSON"), took }
    }

    /// Ends it by a signal.
    fn end(mut self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
        self.child.wait().expect("ends");
    }

    /// A line of `/proc/PID/status`, in MB.
    fn memory_mb(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().expect("kB") / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A simulator, and a daemon's folder with its configuration and the agents' shifts imported.
struct Site {
    folder: tempfile::TempDir,
    secret: String,
    agents: Vec<String>,
    _simulator: Server,
}

impl Site {
    fn new(agents: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        fs::write(path.join("shifts.csv"), shifts(agents)).expect("written");
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/config/rules.toml"), path.join("rules.toml")).expect("copied");
        let wanted =
            ["simulate", "--listen", "127.0.0.1:0", "--agents", &agents.to_string(), "--schedule", "shifts.csv"];
        let mut simulate = shiftkeeper(path, &wanted);
        simulate.stderr(Stdio::null());
        let simulator = Server::start(simulate);
        let tenant = &simulator.ready["tenants"][0];
        let text = format!(
            "rules_files = [\"rules.toml\"]\n\
             [server]\nlisten = \"127.0.0.1:0\"\n\
             [[server.tokens]]\nid = \"operator\"\ntoken = {{ env = \"SHIFTKEEPER_TOKEN\" }}\nmay = [\"read\", \"import\"]\n\
             [store]\nurl = \"sqlite://shiftkeeper.db\"\n\
             [log]\nlevel = \"warn\"\n\
             [[tenants]]\nid = {}\nbase_url = {}\nclient_id = {}\nclient_secret = {{ env = \"ACME_CLIENT_SECRET\" }}\n",
            tenant["id"], simulator.ready["base_url"], tenant["client_id"],
        );
        fs::write(path.join("shiftkeeper.toml"), text).expect("written");
        let site = Self {
            secret: tenant["client_secret"].as_str().expect("a secret").to_owned(),
            agents: serde_json::from_value(tenant["agents"].clone()).expect("ids"),
            folder,
            _simulator: simulator,
        };
        let import = site.command(&["import", "shifts.csv", "--config", "shiftkeeper.toml", "--tenant", "acme"]);
        let imported = { import }.output().expect("starts");
        assert!(imported.status.success(), "{imported:?}");
        site
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = shiftkeeper(self.folder.path(), arguments);
        command.env("SHIFTKEEPER_TOKEN", TOKEN).env("ACME_CLIENT_SECRET", &self.secret);
        command
    }

    fn daemon(&self) -> Server {
        Server::start(self.command(&["run", "--config", "shiftkeeper.toml"]))
    }
}

fn shiftkeeper(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shiftkeeper"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// Eight days of shifts from yesterday on, spread over the day, each with two breaks and a lunch.
fn shifts(agents: u32) -> String {
    let mut text = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n".to_owned();
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    for agent in 0..agents {
        for day in -1..7 {
            let begin = today.checked_add(day.days()).expect("a date").at(0, 0, 0, 0);
            let begin = begin.checked_add((i64::from(agent % 16)).hours()).expect("an instant");
            for (activity, from, to, mandatory) in [
                ("shift", 0, 480, false),
                ("break", 120, 135, false),
                ("lunch", 240, 270, true),
                ("break", 360, 375, false),
            ] {
                let at = |minutes: i64| {
                    begin.checked_add(minutes.minutes()).expect("an instant").strftime("%Y-%m-%dT%H:%M").to_string()
                };
                let (from, to) = (at(from), at(to));
                writeln!(
                    text,
                    "u_{agent:05},Agent {agent:05},Team {},UTC,{activity},{from},{to},{mandatory}",
                    agent % 25
                )
                .expect("text");
            }
        }
    }
    text
}

/// From the start of the process to the line that says that it serves.
fn restart(rows: u32) {
    let site = Site::new(1000);
    site.daemon().end("TERM");
    let file = site.folder.path().join("shiftkeeper.db");
    fill(&file, &site.agents, rows);
    let size = fs::metadata(&file).expect("is there").len() >> 20;
    println!("restart with {rows} rows of history, {} agents, a database of {size} MB", site.agents.len());
    for (how, signal) in [("stopped in order", "TERM"), ("killed", "KILL")] {
        let mut daemon = site.daemon();
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..RESTARTS {
            // It has taken in a snapshot or two, and written what it saw.
            std::thread::sleep(Duration::from_secs(12));
            daemon.end(signal);
            daemon = site.daemon();
            times.push(daemon.took);
        }
        times.sort_unstable();
        let at = |place: usize| times[place].as_secs_f64() * 1000.0;
        println!("  {how}: median {:.0} ms, most {:.0} ms (to meet: 1000 ms)", at(RESTARTS / 2), at(RESTARTS - 1));
    }
}

/// Thirty days of history up to now, in the order of its key; past the writer.
fn fill(file: &Path, agents: &[String], rows: u32) {
    let mut database = rusqlite::Connection::open(file).expect("opens");
    database.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000").expect("settings");
    let each = rows / u32::try_from(agents.len()).expect("few");
    let step = 30 * 86_400_000_000 / i64::from(each);
    let start = Timestamp::now().as_microsecond() - 30 * 86_400_000_000;
    let transaction = database.transaction().expect("begins");
    {
        // What the daemon saw since it was started for the first time.
        transaction.execute("DELETE FROM state_history", []).expect("deletes");
        let mut insert = transaction
            .prepare(
                "INSERT INTO state_history (tenant, agent, entered_at, left_at, id, state, source) \
                 VALUES ('acme', ?1, ?2, ?3, ?4, ?5, 'snapshot')",
            )
            .expect("prepares");
        let states = ["Ready", "OnContact", "AfterContactWork", "Paused", "NotReady"];
        let mut id = 0_i64;
        for agent in agents {
            for n in 0..each {
                id += 1;
                let at = start + i64::from(n) * step;
                let left = (n + 1 < each).then_some(at + step);
                insert.execute(rusqlite::params![agent, at, left, id, states[n as usize % 5]]).expect("inserts");
            }
        }
    }
    transaction.commit().expect("commits");
}

/// The resident memory of a daemon that has kept so many agents for so long.
fn memory(agents: u32, limit_mb: u64, for_so_long: Duration) {
    let site = Site::new(agents);
    let daemon = site.daemon();
    std::thread::sleep(for_so_long);
    println!(
        "memory with {agents} agents after {} s: {} MB, at most {} MB since its start (to meet: {limit_mb} MB)",
        for_so_long.as_secs(),
        daemon.memory_mb("VmRSS"),
        daemon.memory_mb("VmHWM"),
    );
    daemon.end("TERM");
}
