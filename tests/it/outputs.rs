//! Standard output and standard error that cannot be written: a full disk, a reader who has gone, a reader who pauses.

use std::fs::{File, OpenOptions};
use std::io::{PipeWriter, Read as _, Write as _};
use std::process::{Command, Stdio};

use reqwest::Client;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;
use shiftkeeper::platform::client::{ClientSettings, build_client};

use crate::harness::process::{CommandFolder, CommandOutput, Server, run, shiftkeeper};
use crate::harness::{OPERATOR, WAIT_TIMEOUT, wait_until};

async fn simulator(folder: &std::path::Path) -> Server {
    let arguments = ["simulate", "--listen", "127.0.0.1:0", "--agents", "4", "--quiet"];
    Server::start(shiftkeeper(folder, &arguments)).await
}

/// What takes nothing, as a full disk does.
fn full_device() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full is there")
}

/// The end of a pipe that nobody reads any more.
fn closed_pipe() -> PipeWriter {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer
}

/// A daemon that serves, looked at over HTTP.
struct DaemonProbe {
    http: Client,
    base: String,
}

impl DaemonProbe {
    fn at(daemon: &Server) -> Self {
        let base = format!("http://{}", daemon.ready["listen"].as_str().expect("an address"));
        Self { http: build_client(&ClientSettings::default()).expect("a client"), base }
    }

    async fn text(&self, path: &str) -> String {
        let asked = self.http.get(format!("{}{path}", self.base)).bearer_auth(OPERATOR);
        asked.send().await.expect("an answer").text().await.expect("text")
    }

    /// Waits until the log's part of `/readyz` is as wanted; gives its detail.
    async fn wait_for_log_readiness(&self, ready: bool) -> String {
        wait_until("the log's part of the readiness", WAIT_TIMEOUT, || async {
            let report: Value = serde_json::from_str(&self.text("/readyz").await).expect("JSON");
            assert_eq!(report["ready"], true, "the log is not what makes it unready: {report}");
            let parts = report["parts"].as_array().expect("parts");
            let part = parts.iter().find(|part| part["name"] == "log").filter(|part| part["ready"] == ready);
            part.map(|part| part["detail"].as_str().expect("text").to_owned()).ok_or_else(|| report.to_string())
        })
        .await
    }

    async fn lines_lost(&self) -> u64 {
        let page = self.text("/metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix("shiftkeeper_log_lines_lost_total{} "));
        line.expect("the metric is there").parse().expect("a number")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_is_counted_and_shown_and_the_daemon_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    for (log, cause) in
        [(Stdio::from(full_device()), "No space left on device"), (Stdio::from(closed_pipe()), "Broken pipe")]
    {
        let desk = CommandFolder::new(&simulator.ready, "");
        let daemon = Server::start_with_log(desk.command(&["run"]), log).await.expect("it serves");
        let looked = DaemonProbe::at(&daemon);
        let detail = looked.wait_for_log_readiness(false).await;
        assert!(detail.contains(cause) && detail.contains("lost since"), "{detail}");
        assert!(looked.lines_lost().await > 0);
        let done = run(desk.command(&["change", "u_0001", "--tenant", "acme", "--to", "Ready", "--wait", "60s"])).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        daemon.signal("TERM");
        let (status, _, _) = daemon.wait_for_exit().await;
        assert!(status.success(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_reader_of_the_log_delays_nothing_and_learns_what_was_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let filled = fill(&mut writer);
    let desk = CommandFolder::new(&simulator.ready, "");
    let daemon = Server::start_with_log(desk.command(&["run"]), writer).await.expect("it serves");
    let looked = DaemonProbe::at(&daemon);
    let detail = looked.wait_for_log_readiness(false).await;
    assert!(detail.contains("its reader takes nothing"), "{detail}");

    reader.read_exact(&mut vec![0; filled]).expect("what was written before");
    looked.wait_for_log_readiness(true).await;
    let lost = looked.lines_lost().await;
    assert!(lost > 0);
    daemon.signal("TERM");
    let (status, _, _) = daemon.wait_for_exit().await;
    assert!(status.success(), "{status}");
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("text");
    let told: Vec<&str> = log.lines().filter(|line| line.contains("lost since")).collect();
    let noun = if lost == 1 { "line" } else { "lines" };
    assert!(told.len() == 1 && told[0].contains(&format!("WARN {lost} log {noun} lost since")), "{log}");
}

/// Fills a pipe; gives how many bytes that took.
fn fill(writer: &mut PipeWriter) -> usize {
    let usual = fcntl_getfl(&*writer).expect("its flags");
    fcntl_setfl(&*writer, usual | OFlags::NONBLOCK).expect("set");
    let mut filled = 0;
    while let Ok(written) = writer.write(&[b'-'; 4096]) {
        filled += written;
    }
    fcntl_setfl(&*writer, usual).expect("set");
    filled
}

/// Runs a command with its standard output going elsewhere.
async fn run_with_stdout(mut command: Command, out: impl Into<Stdio>) -> CommandOutput {
    let child = command.stdout(out).stderr(Stdio::piped()).spawn().expect("the binary starts");
    drop(command);
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic").expect("it ends");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    CommandOutput { code: output.status.code(), stdout: String::new(), stderr }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_reader_has_gone_ends_as_usual_and_one_on_a_full_disk_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let simulator = simulator(folder.path()).await;
    let desk = CommandFolder::new(&simulator.ready, "");
    let daemon = Server::start(desk.command(&["run"])).await;
    let done = run(desk.command(&["change", "u_0001", "--tenant", "acme", "--to", "Ready", "--wait", "60s"])).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    for line in [
        "--help",
        "--version",
        "help run",
        "run --help",
        "completions bash",
        "check",
        "check --show",
        "check --reference",
        "check --routes",
        "plan",
        "status",
        "agents",
        "agents --output json",
        "rules list",
        "jobs",
        "watch --output json --for 3s",
        "watch --for 3s",
        "report compliance",
        "report compliance --output json",
        "report compliance --output csv",
        "report compliance --format csv",
        "report adherence",
        "report adherence --format json",
        "audit verify",
        "audit export",
        "audit heads",
        "audit key",
        "webhooks list",
        "webhooks events",
        "db check",
        "db stats",
        "doctor",
        "token list",
    ] {
        let command = || desk.command(&line.split(' ').collect::<Vec<_>>());
        let usual = run(command()).await;
        let gone = run_with_stdout(command(), closed_pipe()).await;
        assert_eq!(gone.code, usual.code, "{line}: {gone:?}, usually {usual:?}");
        assert_eq!(gone.stderr.contains("error"), usual.stderr.contains("error"), "{line}: {gone:?}");
        assert!(!gone.stderr.contains("panicked"), "{line}: {gone:?}");
        if usual.stdout.is_empty() {
            continue;
        }
        let full = run_with_stdout(command(), full_device()).await;
        assert_eq!(full.code, Some(1), "{line}: {full:?}");
        let says = "error: standard output cannot be written: No space left on device";
        assert!(full.stderr.contains(says) && !full.stderr.contains("panicked"), "{line}: {full:?}");
    }
    // Without --for it lasts until nobody reads.
    let watched = run_with_stdout(desk.command(&["watch", "--output", "json"]), closed_pipe()).await;
    assert_eq!(watched.code, Some(0), "{watched:?}");
    daemon.signal("TERM");
    daemon.wait_for_exit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_serves_even_if_its_first_line_cannot_be_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = |out: Stdio, log: Stdio| {
        let mut command = shiftkeeper(folder.path(), &["demo", "--for", "1s"]);
        command.env("TMPDIR", folder.path()).stderr(log).stdout(out);
        async { tokio::task::spawn_blocking(move || command.status()).await.expect("no panic").expect("it ends") }
    };
    assert_eq!(demo(closed_pipe().into(), closed_pipe().into()).await.code(), Some(0));
    assert_eq!(demo(full_device().into(), full_device().into()).await.code(), Some(1), "the summary is what it is for");

    let simulator = simulator(folder.path()).await;
    let desk = CommandFolder::new(&simulator.ready, "");
    for out in [Stdio::from(full_device()), Stdio::from(closed_pipe())] {
        let mut child = desk.command(&["run"]).stdout(out).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut log = String::new();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().expect("piped")));
        while !log.contains("serving") {
            log.push_str(&lines.next().expect("it serves").expect("text"));
        }
        let stop = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().expect("kill is there");
        assert!(stop.success());
        let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic").expect("it ends");
        assert!(status.success(), "{status}: {log}");
    }
}
