//! The daemon as it ships, in a process of its own beside a simulator in another: how long a restart takes with a million rows of
//! history, and how much memory and processor time it takes with 300 and with 10,000 agents in a minute of their lives.
//!
//! `cargo bench --bench daemon`, with ` -- restart` or ` -- memory` for one of the two; `SMALL=1` before it takes a tenth of the rows,
//! the agents and the minute. It needs Linux's `/proc`.
//! `GROWTH_MINUTES=120` before it measures something else instead: how memory grows while ten changes a second are asked for.

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
/// Requests that the platform grants in a minute: the default, and enough for ten changes a second.
const USUAL_BUDGET: u32 = 100;
const LARGE_BUDGET: u32 = 1000;

fn main() {
    // `cargo test --benches` asks every bench to show that it starts.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    if let Ok(minutes) = std::env::var("GROWTH_MINUTES") {
        growth(minutes.parse().expect("GROWTH_MINUTES is a number"));
        return;
    }
    let part = if std::env::var_os("SMALL").is_some() { 10 } else { 1 };
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|part| part == name);
    if wanted("restart") {
        restart(1_000_000 / part);
    }
    if !wanted("memory") {
        return;
    }
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

    /// A line of `/proc/PID/status`, in kB.
    fn memory_kb(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("kB")
    }

    /// The processor time that it has had, in its own code and in the kernel.
    fn processor(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux");
        let fields = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace();
        // Fields 14 and 15 of proc(5), in hundredths of a second; the name is the second field.
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    fn held(&self) -> Held {
        Held { anonymous_kb: self.memory_kb("RssAnon"), resident_kb: self.memory_kb("VmRSS") }
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
    fn new(agents: u32, budget: u32, begins: Begins) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        fs::write(path.join("shifts.csv"), shifts(agents, begins)).expect("written");
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/config/rules.toml"), path.join("rules.toml")).expect("copied");
        let (agents_text, budget_text) = (agents.to_string(), budget.to_string());
        let mut wanted =
            vec!["simulate", "--listen", "127.0.0.1:0", "--agents", &agents_text, "--schedule", "shifts.csv"];
        wanted.extend(["--requests-per-minute", &budget_text]);
        let mut simulate = shiftkeeper(path, &wanted);
        simulate.stderr(Stdio::null());
        let simulator = Server::start(simulate);
        let tenant = &simulator.ready["tenants"][0];
        let text = format!(
            "rules_files = [\"rules.toml\"]\n\
             [server]\nlisten = \"127.0.0.1:0\"\n\
             [[server.tokens]]\nid = \"operator\"\ntoken = {{ env = \"SHIFTKEEPER_TOKEN\" }}\nmay = [\"read\", \"change\", \"import\"]\n\
             [store]\nurl = \"sqlite://shiftkeeper.db\"\n\
             [log]\nlevel = \"warn\"\n\
             [[tenants]]\nid = {}\nbase_url = {}\nclient_id = {}\nclient_secret = {{ env = \"ACME_CLIENT_SECRET\" }}\n\
             requests_per_minute = {budget}\n",
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

    /// The daemon with the environment of `deploy/shiftkeeper.service`.
    fn daemon(&self) -> Server {
        let mut run = self.command(&["run", "--config", "shiftkeeper.toml"]);
        run.env("MALLOC_ARENA_MAX", "1");
        Server::start(run)
    }
}

fn shiftkeeper(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shiftkeeper"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// When the shifts of a day begin.
#[derive(Clone, Copy)]
enum Begins {
    /// One agent's an hour after another's.
    Spread,
    /// Everybody's an hour ago.
    AnHourAgo,
}

/// Eight days of shifts from yesterday on, each with two breaks and a lunch.
fn shifts(agents: u32, begins: Begins) -> String {
    let mut text = "agent_id,agent_name,team,time_zone,activity,start,end,mandatory\n".to_owned();
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let an_hour_ago = now.checked_sub(1.hour()).expect("an instant");
    let (first, today) = match begins {
        Begins::Spread => (0, now.date()),
        Begins::AnHourAgo => (i64::from(an_hour_ago.hour()), an_hour_ago.date()),
    };
    for agent in 0..agents {
        for day in -1..7 {
            let begin = today.checked_add(day.days()).expect("a date").at(0, 0, 0, 0);
            let hour = match begins {
                Begins::Spread => i64::from(agent % 16),
                Begins::AnHourAgo => first,
            };
            let begin = begin.checked_add(hour.hours()).expect("an instant");
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
    let site = Site::new(1000, USUAL_BUDGET, Begins::Spread);
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
    let site = Site::new(agents, USUAL_BUDGET, Begins::Spread);
    let daemon = site.daemon();
    let at_start = daemon.processor();
    std::thread::sleep(for_so_long);
    println!(
        "{agents} agents for {} s: {:.2} s of a processor after {:.2} s for the start; {} MB, {:.1} MB of them heap and \
         stacks, at most {} MB since its start (to meet: {limit_mb} MB)",
        for_so_long.as_secs(),
        daemon.processor().saturating_sub(at_start).as_secs_f64(),
        at_start.as_secs_f64(),
        daemon.memory_kb("VmRSS") / 1024,
        mb(daemon.memory_kb("RssAnon")),
        daemon.memory_kb("VmHWM") / 1024,
    );
    daemon.end("TERM");
}

/// What a process of Linux holds.
struct Held {
    /// Heap, stacks and whatever else is no file's.
    anonymous_kb: u64,
    resident_kb: u64,
}

/// How memory grows over so many minutes in which the change of one of 300 agents is asked for every 100 ms.
fn growth(minutes: u32) {
    let site = Site::new(300, LARGE_BUDGET, Begins::AnHourAgo);
    let daemon = site.daemon();
    let address = daemon.ready["listen"].as_str().expect("where it listens");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    rustls::crypto::ring::default_provider().install_default().expect("none is there yet");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (mut asked, mut taken) = (0_usize, 0_usize);
    let mut since_half_an_hour: Vec<(f64, f64)> = Vec::new();
    let begun = Instant::now();
    println!("memory with 300 agents and ten changes a second: minute, asked for, taken, heap and stacks, resident");
    for minute in 1..=minutes {
        runtime.block_on(async {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            while begun.elapsed() < Duration::from_secs(60) * minute {
                tick.tick().await;
                let agent = &site.agents[asked % site.agents.len()];
                let to = if (asked / site.agents.len()).is_multiple_of(2) { "NotReady" } else { "Ready" };
                let body = serde_json::json!({"tenant": "acme", "agents": [agent], "to": to});
                let request = client.post(format!("http://{address}/api/v1/transitions")).bearer_auth(TOKEN);
                let sent = request.header("idempotency-key", asked.to_string()).json(&body).send().await;
                taken += usize::from(sent.is_ok_and(|answer| answer.status() == 202));
                asked += 1;
            }
        });
        let Held { anonymous_kb, resident_kb } = daemon.held();
        println!("{minute:>6} {asked:>7} {taken:>7} {anonymous_kb:>9} KB {resident_kb:>9} KB");
        if minute >= 30 {
            since_half_an_hour.push((f64::from(minute), mb(anonymous_kb)));
        }
    }
    if since_half_an_hour.len() > 1 {
        let slope = 60.0 * slope(&since_half_an_hour);
        println!("heap and stacks grow by {slope:.2} MB an hour after the first half hour (to meet: 1 MB)");
    }
    daemon.end("TERM");
}

#[expect(clippy::cast_precision_loss, reason = "few kilobytes")]
fn mb(kb: u64) -> f64 {
    kb as f64 / 1024.0
}

/// Of the line that least squares draw through the points.
#[expect(clippy::cast_precision_loss, reason = "few points")]
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        (above + (point.0 - x) * (point.1 - y), below + (point.0 - x).powi(2))
    });
    above / below
}
