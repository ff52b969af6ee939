//! `shiftkeeper jobs`: the scheduled jobs with their last and next runs, and running a job at once through the
//! daemon.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::shared::config_args::ConfigArgs;
use super::shared::daemon::{DaemonError, DaemonRequest};
use super::shared::exit::Exit;
use super::shared::messages::print_message;
use super::shared::output::{Output, table_with_header};
use super::shared::scope::{open_existing_reader, usage_error};
use super::shared::tenant_client::ConfiguredDaemon;
use crate::app::{clock_for, configured_job_infos};
use crate::clock::{RealTime, Stopwatch};
use crate::config::{Config, Right};
use crate::domain::ids::{JobId, TenantId};
use crate::domain::time::{UtcMicros, span};
use crate::engine::jobs::{JobView, RunView, views};

/// The interval between requests to the daemon, in real time.
const POLL_INTERVAL_REAL: Duration = Duration::from_millis(200);

/// The most characters of a message in the table.
const MAX_MESSAGE_CHARS: usize = 80;

/// Options of `jobs`.
#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Lists the jobs of the running daemon, and those of the configuration that wait for a reload. The table shortens long
messages.

Examples:
  shiftkeeper jobs
  shiftkeeper jobs --output json
  shiftkeeper jobs run backup --wait 10m"
)]
pub struct JobsArgs {
    #[command(subcommand)]
    command: Option<JobsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(clap::Subcommand, Debug)]
enum JobsCommand {
    /// Run a job now, in addition to its schedule. Needs a running daemon.
    Run(RunArgs),
}

#[derive(clap::Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit codes: 0 if the job has started (with --wait: if it succeeded), 1 if it failed or was refused, 75 if it is still
running at the end of the wait.

Examples:
  shiftkeeper jobs run backup
  shiftkeeper jobs run retention --wait 10m --output json"
)]
struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The job's id.
    #[arg(value_name = "ID")]
    id: JobId,
    /// The tenant, for jobs that each tenant has. Optional if there is only one.
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    /// Wait until the run has ended, at most this long in real time.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    wait: Option<Duration>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub async fn run(args: JobsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        None => list(args.list).await,
        Some(JobsCommand::Run(args)) => run_now(args).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load_for_command()?.config;
    // A daemon elsewhere has its own configuration and store.
    let jobs = if config.client.url.is_some() {
        let daemon = ConfiguredDaemon::connect(config).await?;
        merge_jobs(fetch_jobs(&daemon).await?, Vec::new())
    } else {
        local_jobs(config).await?
    };
    args.output.print(&json!({ "jobs": jobs }), || table(&jobs))?;
    Ok(Exit::Done.into())
}

/// Returns the jobs of this configuration's daemon, if it runs, and those of the file.
async fn local_jobs(config: Config) -> anyhow::Result<Vec<JobRow>> {
    let mut last_runs = Vec::new();
    if let Some(reader) = open_existing_reader(&config).await? {
        last_runs = reader.last_job_runs().await?;
        reader.close().await;
    }
    let configured = views(&configured_job_infos(&config), &last_runs, clock_for(&config).await.now());
    // If nobody answers, a missing token does not matter.
    let Ok(daemon) = ConfiguredDaemon::connect(config).await else { return Ok(merge_jobs(configured, Vec::new())) };
    let running = match daemon.client().readiness().await {
        Ok(_) => fetch_jobs(&daemon).await,
        Err(error) => Err(error),
    };
    Ok(match running {
        Ok(running) => merge_jobs(running, configured),
        Err(error) => {
            if !matches!(error, DaemonError::NotReachable { .. }) {
                print_message(format!("cannot ask the daemon which of these it has: {error}"));
            }
            merge_jobs(configured, Vec::new())
        }
    })
}

/// A job, and whether it waits for a reload.
#[derive(Serialize)]
struct JobRow {
    #[serde(flatten)]
    view: JobView,
    after_reload: bool,
}

/// The daemon's answer about its jobs.
#[derive(Deserialize)]
struct JobsResponse {
    jobs: Vec<JobView>,
}

/// Fetches the jobs of the running daemon, its own and every tenant's.
async fn fetch_jobs(daemon: &ConfiguredDaemon) -> Result<Vec<JobView>, DaemonError> {
    let mut all: Vec<JobView> = Vec::new();
    for tenant in daemon.tenant_scopes() {
        let of_tenant: JobsResponse = match daemon.get("/api/v1/jobs", tenant.as_ref()).await {
            Ok(jobs) => jobs,
            // The tenant waits for the reload too.
            Err(DaemonError::Refused { status: StatusCode::NOT_FOUND, .. }) if tenant.is_some() => continue,
            Err(error) => return Err(error),
        };
        for job in of_tenant.jobs {
            if !all.iter().any(|known| (&known.tenant, &known.id) == (&job.tenant, &job.id)) {
                all.push(job);
            }
        }
    }
    Ok(all)
}

/// Returns the jobs in force, then those that are new or scheduled differently in the file.
fn merge_jobs(in_force: Vec<JobView>, configured: Vec<JobView>) -> Vec<JobRow> {
    fn key(job: &JobView) -> (&Option<TenantId>, &JobId, &str, &str, &str, &str) {
        (&job.tenant, &job.id, &job.kind, &job.cron, &job.zone, &job.catch_up)
    }
    let later: Vec<_> =
        configured.into_iter().filter(|job| !in_force.iter().any(|known| key(known) == key(job))).collect();
    let now = in_force.into_iter().map(|view| JobRow { view, after_reload: false });
    now.chain(later.into_iter().map(|view| {
        // The job is not due before the reload.
        let view = JobView { next_due_at: None, ..view };
        JobRow { view, after_reload: true }
    }))
    .collect()
}

/// Shortens a message to the room in the table.
fn shorten(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn table(jobs: &[JobRow]) -> String {
    let mut table = table_with_header(["JOB", "TENANT", "CRON", "ZONE", "NEXT", "LAST", "RESULT", "MESSAGE"]);
    for JobRow { view: job, after_reload } in jobs {
        let instant = |instant: Option<UtcMicros>| instant.map_or("-".to_owned(), |at| at.to_string());
        let last = job.last.as_ref();
        table.add_row([
            job.id.to_string(),
            job.tenant.as_ref().map_or("-".to_owned(), ToString::to_string),
            job.cron.clone(),
            job.zone.clone(),
            if *after_reload { "after a reload".to_owned() } else { instant(job.next_due_at) },
            instant(last.map(|run| run.started_at)),
            last.map_or("-".to_owned(), |run| run.outcome.clone()),
            last.and_then(|run| run.message.as_deref()).map(shorten).unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// The daemon's answer to the request to run a job.
#[derive(Deserialize)]
struct StartedRun {
    run: u64,
}

/// The daemon's answer about a job's runs.
#[derive(Deserialize)]
struct RunsResponse {
    runs: Vec<RunView>,
}

async fn run_now(args: RunArgs) -> anyhow::Result<ExitCode> {
    let daemon = ConfiguredDaemon::connect(args.config.load_for_command()?.config).await?;
    let tenant = resolve_tenant(fetch_jobs(&daemon).await?, &args)?;
    let client = JobClient { daemon, tenant };
    let started: StartedRun =
        client.send_request(Method::POST, &format!("/api/v1/jobs/{}/run", args.id), Right::RunJobs).await?;
    let run = match args.wait {
        None => None,
        Some(wait) => client.wait_for_run(&args.id, started.run, wait).await?,
    };
    let result = json!({ "id": args.id, "tenant": client.tenant, "run": started.run, "last": run });
    args.output.print(&result, || run_summary(&args.id, started.run, run.as_ref()))?;
    Ok(exit_of(run.as_ref(), args.wait.is_some()).into())
}

/// Returns the tenant of the requested job: none for the daemon's own job; for a job of tenants, the named tenant or
/// the only one.
fn resolve_tenant(jobs: Vec<JobView>, args: &RunArgs) -> anyhow::Result<Option<TenantId>> {
    let known: BTreeSet<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
    let named: Vec<JobView> = jobs.into_iter().filter(|job| job.id == args.id).collect();
    if named.is_empty() {
        let known: Vec<_> = known.iter().map(JobId::as_str).collect();
        return Err(usage_error(format!("the daemon has no job {}; it has {}", args.id, known.join(", "))));
    }
    let tenants: Vec<TenantId> = named.into_iter().filter_map(|job| job.tenant).collect();
    match (&args.tenant, tenants.as_slice()) {
        (_, []) => Ok(None),
        (Some(tenant), of) if of.contains(tenant) => Ok(Some(tenant.clone())),
        (None, [only]) => Ok(Some(only.clone())),
        (_, of) => {
            let of: Vec<_> = of.iter().map(TenantId::as_str).collect();
            Err(usage_error(format!(
                "name with --tenant whose job {} is meant: there is one of {}",
                args.id,
                of.join(", ")
            )))
        }
    }
}

/// A client for one job.
struct JobClient {
    daemon: ConfiguredDaemon,
    tenant: Option<TenantId>,
}

impl JobClient {
    async fn send_request<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        right: Right,
    ) -> anyhow::Result<T> {
        let tenant = self.tenant.as_ref();
        let query: Vec<(&str, &str)> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
        let request = DaemonRequest { method, path, right, tenant, query: &query };
        Ok(self.daemon.call(request, |request| request).await?)
    }

    /// Returns the run once it has ended, or its state at the end of the wait.
    async fn wait_for_run(&self, id: &JobId, number: u64, wait: Duration) -> anyhow::Result<Option<RunView>> {
        let watch = Stopwatch::start();
        loop {
            let RunsResponse { runs } =
                self.send_request(Method::GET, &format!("/api/v1/jobs/{id}/runs"), Right::Read).await?;
            let run = runs.into_iter().find(|run| run.run == number);
            let left = wait.saturating_sub(watch.elapsed());
            if left.is_zero() || run.as_ref().is_some_and(|run| run.finished_at.is_some()) {
                return Ok(run);
            }
            RealTime::sleep(POLL_INTERVAL_REAL.min(left)).await;
        }
    }
}

fn run_summary(id: &JobId, number: u64, run: Option<&RunView>) -> String {
    match run {
        None => format!("{id}: run {number} has started"),
        Some(run) => {
            let said = run.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
            format!("{id}: run {number} {}{said}", run.outcome)
        }
    }
}

fn exit_of(run: Option<&RunView>, waited: bool) -> Exit {
    match run.map(|run| &*run.outcome) {
        Some("done") => Exit::Done,
        Some("running") => Exit::TryLater,
        None if !waited => Exit::Done,
        Some(_) | None => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_has_and_the_daemon_has_not_waits_for_a_reload() {
        let job = |id: &str, cron: &str| JobView {
            id: id.into(),
            tenant: None,
            kind: "backup".into(),
            cron: cron.into(),
            zone: "UTC".into(),
            catch_up: "once".into(),
            next_due_at: Some(UtcMicros::EPOCH),
            last: None,
        };
        let running = vec![job("backup", "30 2 * * *"), job("gone", "0 0 * * *")];
        let file = vec![job("backup", "30 3 * * *"), job("hourly", "0 * * * *")];
        let listed = merge_jobs(running, file.clone());
        let listed_jobs: Vec<_> =
            listed.iter().map(|job| (&*job.view.cron, job.view.next_due_at.is_some(), job.after_reload)).collect();
        assert_eq!(
            listed_jobs,
            [
                ("30 2 * * *", true, false),
                ("0 0 * * *", true, false),
                ("30 3 * * *", false, true),
                ("0 * * * *", false, true)
            ]
        );
        assert!(table(&listed).contains("after a reload"));
        assert!(
            merge_jobs(file, Vec::new()).iter().all(|job| !job.after_reload),
            "none is waited for without a daemon"
        );
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        assert_eq!(shorten(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(shorten(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }

    #[test]
    fn each_result_of_a_run_has_its_own_sentence_and_exit_code() {
        let run = |outcome: &str| RunView {
            run: 7,
            due_at: UtcMicros::EPOCH,
            attempt: 1,
            asked_by: Some("ops".into()),
            started_at: UtcMicros::EPOCH,
            finished_at: None,
            outcome: outcome.into(),
            message: Some("no space is left".into()),
        };
        assert_eq!(run_summary(&"backup".into(), 7, Some(&run("failed"))), "backup: run 7 failed: no space is left");
        assert_eq!(run_summary(&"backup".into(), 7, None), "backup: run 7 has started");
        for (outcome, exit) in
            [("done", Exit::Done), ("failed", Exit::Failed), ("timed_out", Exit::Failed), ("running", Exit::TryLater)]
        {
            assert_eq!(exit_of(Some(&run(outcome)), true), exit, "{outcome}");
        }
        assert_eq!(exit_of(None, false), Exit::Done);
    }
}
