//! `shiftkeeper jobs`: what the calendar asks for, with the last and next run; and running a job at once, through the daemon.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::shared::caller::Reach;
use super::shared::config_args::ConfigArgs;
use super::shared::daemon::{Ask, DaemonError};
use super::shared::exit::Exit;
use super::shared::output::{Output, print, print_json};
use super::shared::scope::{open_reader, usage};
use super::shared::talk::say;
use crate::app::{clock_of, job_infos};
use crate::clock::{RealTime, Stopwatch};
use crate::config::{Config, Right};
use crate::domain::ids::{JobId, TenantId};
use crate::domain::time::span;
use crate::engine::jobs::{JobView, RunView, views};
use crate::store::OpenError;

/// The pause between two questions to the daemon, in real time.
const PAUSE_REAL: Duration = Duration::from_millis(200);

/// Characters of a message that the table shows.
const LONGEST_SHOWN: usize = 80;

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
    /// How to print.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Ends with 0 when the job has started (with --wait: when it succeeded), with 1 when it failed or the daemon
refused, and with 75 when it still runs at the end of the wait.

Examples:
  shiftkeeper jobs run backup
  shiftkeeper jobs run retention --wait 10m --output json"
)]
struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The job.
    #[arg(value_name = "ID")]
    id: JobId,
    /// The tenant, where there is a job for each; may be left out where there is only one.
    #[arg(long, value_name = "ID")]
    tenant: Option<TenantId>,
    /// Wait until it has ended, at most this long, in real time.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    wait: Option<Duration>,
    /// How to print.
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
    // A daemon elsewhere has a configuration and a store of its own.
    let jobs = if config.client.url.is_some() {
        let reach = Reach::of(config).await?;
        merged(jobs_of(&reach).await.map_err(DaemonError::into_failure)?, Vec::new())
    } else {
        listed_here(config).await?
    };
    match args.output {
        Output::Json => print_json(&json!({ "jobs": jobs }))?,
        Output::Table => print(table(&jobs))?,
    }
    Ok(Exit::Done.into())
}

/// The jobs of the daemon of this configuration, where it runs, and those of the file.
async fn listed_here(config: Config) -> anyhow::Result<Vec<Listed>> {
    let last_runs = match open_reader(&config).await {
        Ok(reader) => {
            let runs = reader.last_job_runs().await?;
            reader.close().await;
            runs
        }
        // A daemon that never ran has no runs.
        Err(OpenError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let configured = views(&job_infos(&config), &last_runs, clock_of(&config).await.now());
    // Where nobody answers, a token that is missing does not matter.
    let Ok(reach) = Reach::of(config).await else { return Ok(merged(configured, Vec::new())) };
    let running = match reach.daemon().readiness().await {
        Ok(_) => jobs_of(&reach).await,
        Err(error) => Err(error),
    };
    Ok(match running {
        Ok(running) => merged(running, configured),
        Err(error) => {
            if !matches!(error, DaemonError::NotReachable { .. }) {
                say(format!("cannot ask the daemon which of these it has: {error}"));
            }
            merged(configured, Vec::new())
        }
    })
}

/// A job, and whether it waits for a reload.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    view: JobView,
    after_reload: bool,
}

/// What the daemon says of its jobs.
#[derive(Deserialize)]
struct JobList {
    jobs: Vec<JobView>,
}

/// The jobs that the running daemon has, its own and every tenant's.
async fn jobs_of(reach: &Reach) -> Result<Vec<JobView>, DaemonError> {
    let mut all: Vec<JobView> = Vec::new();
    for tenant in reach.parts() {
        let of_tenant: JobList = match reach.get("/api/v1/jobs", tenant.as_ref()).await {
            Ok(jobs) => jobs,
            // A tenant that waits for the reload as well.
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

/// What is in force, then what the file has beside it: a job of its own, or another calendar.
fn merged(in_force: Vec<JobView>, configured: Vec<JobView>) -> Vec<Listed> {
    fn key(job: &JobView) -> (&Option<TenantId>, &JobId, &str, &str, &str, &str) {
        (&job.tenant, &job.id, &job.kind, &job.cron, &job.zone, &job.catch_up)
    }
    let later: Vec<_> =
        configured.into_iter().filter(|job| !in_force.iter().any(|known| key(known) == key(job))).collect();
    let now = in_force.into_iter().map(|view| Listed { view, after_reload: false });
    now.chain(later.into_iter().map(|view| {
        // Nothing is due before.
        let view = JobView { next_due_at: None, ..view };
        Listed { view, after_reload: true }
    }))
    .collect()
}

/// As much of a message as a table has room for.
fn cut(message: &str) -> String {
    match message.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn table(jobs: &[Listed]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["JOB", "TENANT", "CRON", "ZONE", "NEXT", "LAST", "RESULT", "MESSAGE"]);
    for Listed { view: job, after_reload } in jobs {
        let instant =
            |instant: Option<crate::domain::time::UtcMicros>| instant.map_or("-".to_owned(), |at| at.to_string());
        let last = job.last.as_ref();
        table.add_row([
            job.id.to_string(),
            job.tenant.as_ref().map_or("-".to_owned(), ToString::to_string),
            job.cron.clone(),
            job.zone.clone(),
            if *after_reload { "after a reload".to_owned() } else { instant(job.next_due_at) },
            instant(last.map(|run| run.started_at)),
            last.map_or("-".to_owned(), |run| run.outcome.clone()),
            last.and_then(|run| run.message.as_deref()).map(cut).unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// What the daemon says to the wish.
#[derive(Deserialize)]
struct Begun {
    run: u64,
}

/// What it says of a job's runs.
#[derive(Deserialize)]
struct Runs {
    runs: Vec<RunView>,
}

async fn run_now(args: RunArgs) -> anyhow::Result<ExitCode> {
    let reach = Reach::of(args.config.load_for_command()?.config).await?;
    let tenant = tenant_of(jobs_of(&reach).await.map_err(DaemonError::into_failure)?, &args)?;
    let desk = Desk { reach, tenant };
    let begun: Begun = desk.ask(Method::POST, &format!("/api/v1/jobs/{}/run", args.id), Right::RunJobs).await?;
    let run = match args.wait {
        None => None,
        Some(wait) => desk.follow(&args.id, begun.run, wait).await?,
    };
    match args.output {
        Output::Json => print_json(&json!({ "id": args.id, "tenant": desk.tenant, "run": begun.run, "last": run }))?,
        Output::Table => print(sentence(&args.id, begun.run, run.as_ref()))?,
    }
    Ok(exit_of(run.as_ref(), args.wait.is_some()).into())
}

/// Whose job of that id is meant: the daemon's own, or, of a job that tenants have, the one named or the only one.
fn tenant_of(jobs: Vec<JobView>, args: &RunArgs) -> anyhow::Result<Option<TenantId>> {
    let known: BTreeSet<JobId> = jobs.iter().map(|job| job.id.clone()).collect();
    let named: Vec<JobView> = jobs.into_iter().filter(|job| job.id == args.id).collect();
    if named.is_empty() {
        let known: Vec<_> = known.iter().map(JobId::as_str).collect();
        return Err(usage(format!("the daemon has no job {}; it has {}", args.id, known.join(", "))));
    }
    let tenants: Vec<TenantId> = named.into_iter().filter_map(|job| job.tenant).collect();
    match (&args.tenant, tenants.as_slice()) {
        (_, []) => Ok(None),
        (Some(tenant), of) if of.contains(tenant) => Ok(Some(tenant.clone())),
        (None, [only]) => Ok(Some(only.clone())),
        (_, of) => {
            let of: Vec<_> = of.iter().map(TenantId::as_str).collect();
            Err(usage(format!("name with --tenant whose job {} is meant: there is one of {}", args.id, of.join(", "))))
        }
    }
}

/// Who asks the daemon about one job.
struct Desk {
    reach: Reach,
    tenant: Option<TenantId>,
}

impl Desk {
    async fn ask<T: serde::de::DeserializeOwned>(&self, method: Method, path: &str, right: Right) -> anyhow::Result<T> {
        let tenant = self.tenant.as_ref();
        let query: Vec<(&str, &str)> = tenant.iter().map(|tenant| ("tenant", tenant.as_str())).collect();
        let ask = Ask { method, path, right, tenant, query: &query };
        self.reach.ask(ask, |request| request).await.map_err(DaemonError::into_failure)
    }

    /// The run once it has ended, or as it is at the end of the wait.
    async fn follow(&self, id: &JobId, number: u64, wait: Duration) -> anyhow::Result<Option<RunView>> {
        let watch = Stopwatch::start();
        loop {
            let Runs { runs } = self.ask(Method::GET, &format!("/api/v1/jobs/{id}/runs"), Right::Read).await?;
            let run = runs.into_iter().find(|run| run.run == number);
            let left = wait.saturating_sub(watch.elapsed());
            if left.is_zero() || run.as_ref().is_some_and(|run| run.finished_at.is_some()) {
                return Ok(run);
            }
            RealTime::sleep(PAUSE_REAL.min(left)).await;
        }
    }
}

fn sentence(id: &JobId, number: u64, run: Option<&RunView>) -> String {
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
            next_due_at: Some(crate::domain::time::UtcMicros::EPOCH),
            last: None,
        };
        let running = vec![job("backup", "30 2 * * *"), job("gone", "0 0 * * *")];
        let file = vec![job("backup", "30 3 * * *"), job("hourly", "0 * * * *")];
        let listed = merged(running, file.clone());
        let told: Vec<_> =
            listed.iter().map(|job| (&*job.view.cron, job.view.next_due_at.is_some(), job.after_reload)).collect();
        assert_eq!(
            told,
            [
                ("30 2 * * *", true, false),
                ("0 0 * * *", true, false),
                ("30 3 * * *", false, true),
                ("0 * * * *", false, true)
            ]
        );
        assert!(table(&listed).contains("after a reload"));
        assert!(merged(file, Vec::new()).iter().all(|job| !job.after_reload), "none is waited for without a daemon");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        assert_eq!(cut(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(cut(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }

    #[test]
    fn a_run_is_told_in_a_sentence_and_ends_the_command_in_its_own_way() {
        let run = |outcome: &str| RunView {
            run: 7,
            due_at: crate::domain::time::UtcMicros::EPOCH,
            attempt: 1,
            asked_by: Some("ops".into()),
            started_at: crate::domain::time::UtcMicros::EPOCH,
            finished_at: None,
            outcome: outcome.into(),
            message: Some("no space is left".into()),
        };
        assert_eq!(sentence(&"backup".into(), 7, Some(&run("failed"))), "backup: run 7 failed: no space is left");
        assert_eq!(sentence(&"backup".into(), 7, None), "backup: run 7 has started");
        for (outcome, exit) in
            [("done", Exit::Done), ("failed", Exit::Failed), ("timed_out", Exit::Failed), ("running", Exit::TryLater)]
        {
            assert_eq!(exit_of(Some(&run(outcome)), true), exit, "{outcome}");
        }
        assert_eq!(exit_of(None, false), Exit::Done);
    }
}
