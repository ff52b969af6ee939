//! `shiftkeeper status`: the status of the running daemon on one screen: tokens, budgets, circuit breakers, live
//! views, feeds, subscriptions and webhooks of every tenant with their ages, the jobs and the store.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::shared::config_args::ConfigArgs;
use crate::cli::shared::exit::Exit;
use crate::cli::shared::finding::bytes_text;
use crate::cli::shared::output::{Output, table_with_header};
use crate::cli::shared::tenant_client::ConfiguredDaemon;
use crate::domain::ids::TenantId;
use crate::domain::time::{UtcMicros, duration_text};
use crate::domain::wording::count_with_noun;
use crate::engine::jobs::sources::ScheduleSourceView;
use crate::engine::operations::status::{
    DirectoryStatus, JobStatus, Status, SubscriptionStatus, TenantStatus, WebhookStatus,
};

/// Shows the status of the running daemon: each tenant's tokens, budgets, circuit breakers, live views, feeds,
/// subscriptions and webhooks with their ages, and the jobs and the store.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Ends with 0 when nothing needs attention, with 4 when something does (rows that start with !), and with 69 when
no daemon answers.

Examples:
  shiftkeeper status
  shiftkeeper status --tenant acme --output json"
)]
pub struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// One tenant. The default is all tenants.
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// The output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs the command.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let daemon = ConfiguredDaemon::connect(args.config.load_for_command()?.config).await?;
    let mut merged: Option<Status> = None;
    for tenant in daemon.tenant_scopes_or(args.tenant.as_ref())? {
        let part = daemon.get("/api/v1/status", tenant.as_ref()).await?;
        merged = Some(match merged {
            None => part,
            Some(whole) => merge_status(whole, part),
        });
    }
    // There is at least one part.
    let Some(status) = merged else { return Ok(Exit::Failed.into()) };
    args.output.print(&status, || status_text(&status))?;
    Ok(if status.ok { Exit::Done } else { Exit::Problems }.into())
}

fn merge_status(mut whole: Status, part: Status) -> Status {
    whole.ok &= part.ok;
    whole.tenants.extend(part.tenants);
    let new = |known: &[JobStatus], job: &JobStatus| {
        !known.iter().any(|known| (&known.job.tenant, &known.job.id) == (&job.job.tenant, &job.job.id))
    };
    let jobs: Vec<JobStatus> = part.jobs.into_iter().filter(|job| new(&whole.jobs, job)).collect();
    whole.jobs.extend(jobs);
    let parts: Vec<_> =
        part.parts.into_iter().filter(|part| !whole.parts.iter().any(|known| known.name == part.name)).collect();
    whole.parts.extend(parts);
    whole
}

/// One line for people.
struct StatusRow {
    ok: bool,
    tenant: String,
    subject: String,
    state: String,
    detail: String,
}

impl StatusRow {
    fn new(ok: bool, tenant: impl Into<String>, subject: impl Into<String>, state: impl Into<String>) -> Self {
        Self { ok, tenant: tenant.into(), subject: subject.into(), state: state.into(), detail: String::new() }
    }

    fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}

fn status_text(status: &Status) -> String {
    let mut rows = Vec::new();
    for tenant in &status.tenants {
        rows.extend(tenant_rows(tenant));
    }
    rows.extend(status.jobs.iter().map(|job| job_row(job, status.at)));
    rows.push(store_row(status));
    let configuration = &status.configuration;
    let state = if configuration.ok { "active" } else { "the last reload failed; see the log" };
    rows.push(
        StatusRow::new(configuration.ok, "-", "configuration", state)
            .detail(format!("loaded {} ago", seconds_text(status.at.since(configuration.loaded_at)))),
    );
    let not_ready = |part: &&crate::engine::operations::readiness::Part| !part.ready;
    rows.extend(status.parts.iter().filter(not_ready).map(|part| {
        StatusRow::new(
            false,
            "-",
            part.name.clone(),
            format!("not ready for {}", seconds_text(status.at.since(part.since))),
        )
        .detail(part.detail.clone())
    }));
    let mut table = table_with_header(["", "TENANT", "WHAT", "STATE", "DETAIL"]);
    for row in rows {
        table.add_row([if row.ok { "" } else { "!" }.to_owned(), row.tenant, row.subject, row.state, row.detail]);
    }
    let up = seconds_text(status.at.since(status.started_at));
    format!("shiftkeeper {}, {}, up for {up}\n\n{}", status.version, status.status, table.trim_fmt())
}

fn tenant_rows(tenant: &TenantStatus) -> Vec<StatusRow> {
    let id = tenant.id.to_string();
    let mut rows = vec![token_row(tenant)];
    let budget = &tenant.budget;
    rows.push(
        StatusRow::new(true, &id, "budget", format!("{} of {} calls used", budget.used, budget.limit))
            .detail(format!("{} free now", budget.free)),
    );
    let figures = &tenant.figures;
    if let Some(oldest) = figures.skills.iter().chain(&figures.queues).map(|one| one.age_ms).max() {
        let reporting = &tenant.reporting_budget;
        let detail = format!(
            "{}, {}; {} of {} calls used",
            count_with_noun(figures.skills.len(), "skill"),
            count_with_noun(figures.queues.len(), "queue"),
            reporting.used,
            reporting.limit
        );
        rows.push(
            StatusRow::new(figures.ok, &id, "figures", format!("up to {} old", millis_text(oldest))).detail(detail),
        );
    }
    let breaker = &tenant.breaker;
    let since = breaker.since.map_or_else(String::new, |since| format!("state changes are halted since {since}"));
    rows.push(StatusRow::new(breaker.ok, &id, "circuit breaker", breaker.state.clone()).detail(since));
    rows.push(live_view_row(tenant));
    rows.extend(tenant.directory.as_ref().map(|directory| directory_row(&id, directory)));
    rows.push(feed_row(tenant));
    let open = counts_text(tenant.open_transitions.iter());
    let all: u64 = tenant.open_transitions.values().sum();
    rows.push(StatusRow::new(true, &id, "transitions", format!("{all} open")).detail(open));
    rows.extend(tenant.subscriptions.iter().map(|one| subscription_row(&id, one)));
    rows.extend(tenant.webhooks.iter().map(|hook| webhook_row(&id, hook)));
    rows.extend(tenant.schedule_sources.iter().map(|source| source_row(&id, source)));
    if let Some(audit) = &tenant.audit {
        let head =
            audit.head_age_ms.map_or("no signed head yet".to_owned(), |age| format!("head {} old", millis_text(age)));
        let unsigned = audit.entries.saturating_sub(audit.signed_through);
        rows.push(
            StatusRow::new(true, &id, "audit", format!("{} entries", audit.entries))
                .detail(format!("{head}, {unsigned} entries after it")),
        );
    }
    rows
}

fn token_row(tenant: &TenantStatus) -> StatusRow {
    let token = &tenant.token;
    let state = match (token.age_ms, token.expires_in_ms) {
        (Some(age), Some(left)) => format!("{} old, good for {}", millis_text(age), millis_text(left)),
        _ => "none".to_owned(),
    };
    let failure = token.last_failure.as_ref().map(|class| format!("the last request for one failed: {class}"));
    let circuit = token.circuit_open.then(|| "no request at the moment".to_owned());
    let detail = failure.into_iter().chain(circuit).collect::<Vec<_>>().join("; ");
    StatusRow::new(token.ok, tenant.id.to_string(), "token", state).detail(detail)
}

fn live_view_row(tenant: &TenantStatus) -> StatusRow {
    let live_view = &tenant.picture;
    let state = live_view.age_ms.map_or("no data".to_owned(), |age| format!("{} old", millis_text(age)));
    StatusRow::new(live_view.ok, tenant.id.to_string(), "live view", state).detail(counts_text(live_view.agents.iter()))
}

fn directory_row(tenant: &str, directory: &DirectoryStatus) -> StatusRow {
    let state = directory.age_ms.map_or("not read yet".to_owned(), |age| format!("{} old", millis_text(age)));
    let mut parts = vec![format!("{} in {}", directory.agents, count_with_noun(directory.teams, "team"))];
    if directory.hidden_agents > 0 {
        parts.push(format!("{} hidden from this user", directory.hidden_agents));
    }
    parts.extend(directory.code_faults.first().map(|fault| format!("code cannot be set: {fault}")));
    let schedules = directory.oldest_schedule_age_ms.map_or("no schedule read yet".to_owned(), |age| {
        format!("{} schedules, the oldest {} old", directory.scheduled_agents, millis_text(age))
    });
    parts.push(schedules);
    StatusRow::new(directory.ok, tenant, "directory", state).detail(parts.join("; "))
}

fn feed_row(tenant: &TenantStatus) -> StatusRow {
    let feed = &tenant.feed;
    let state = match (feed.state.as_str(), feed.last_message_age_ms) {
        ("live", Some(age)) => format!("live, last message {} ago", millis_text(age)),
        (state, _) => state.to_owned(),
    };
    let detail = match &feed.reason {
        Some(reason) => reason.clone(),
        None => format!("{} messages, {} lost connections", feed.messages, feed.losses),
    };
    StatusRow::new(feed.ok, tenant.id.to_string(), "feed", state).detail(detail)
}

fn subscription_row(tenant: &str, one: &SubscriptionStatus) -> StatusRow {
    let detail = format!(
        "{} agents every {}; newest snapshot {} old, {}",
        one.agents,
        millis_text(one.interval_ms),
        millis_text(one.snapshot_age_ms),
        bytes_text(one.snapshot_bytes as u64)
    );
    StatusRow::new(one.ok, tenant, format!("subscription {}", one.slice), format!("{} old", millis_text(one.age_ms)))
        .detail(detail)
}

fn webhook_row(tenant: &str, hook: &WebhookStatus) -> StatusRow {
    let state = match hook.since {
        Some(since) => format!("{} since {since}", hook.status),
        None => hook.status.clone(),
    };
    let mut detail = format!("{} waiting, {} parked, {} unread", hook.waiting, hook.parked, hook.unread);
    if let Some(age) = hook.oldest_unsent_age_ms {
        let _ = write!(detail, ", the oldest from {} ago", millis_text(age));
    }
    if let Some(error) = hook.last_error.as_ref().filter(|_| !hook.ok) {
        let _ = write!(detail, "; last: {error}");
    }
    StatusRow::new(hook.ok, tenant, format!("webhook {}", hook.id), state).detail(detail)
}

fn source_row(tenant: &str, source: &ScheduleSourceView) -> StatusRow {
    let state = match (source.late, source.age_ms) {
        (true, _) => "late".to_owned(),
        (false, Some(age)) => format!("{} old", millis_text(age)),
        (false, None) => "no version yet".to_owned(),
    };
    let version = source.version.map(|version| format!("version {version}"));
    let error = source.last_error.as_ref().map(|error| format!("last: {error}"));
    let detail = version.into_iter().chain(error).collect::<Vec<_>>().join("; ");
    StatusRow::new(!source.late, tenant, format!("schedule source {}", source.id), state).detail(detail)
}

fn job_row(status: &JobStatus, now: UtcMicros) -> StatusRow {
    let job = &status.job;
    let tenant = job.tenant.as_ref().map_or("-".to_owned(), ToString::to_string);
    let state = job.last.as_ref().map_or("not run yet".to_owned(), |run| run.outcome.clone());
    let success = status.last_success_at.map(|at| format!("succeeded {} ago", seconds_text(now.since(at))));
    let next = job.next_due_at.map(|at| format!("next {at}"));
    let detail = success.into_iter().chain(next).collect::<Vec<_>>().join(", ");
    StatusRow::new(status.ok, tenant, format!("job {}", job.id), state).detail(detail)
}

fn store_row(status: &Status) -> StatusRow {
    let store = &status.store;
    let log = store.log_bytes.map(|bytes| format!("log {}", bytes_text(bytes)));
    let free = store.disk_free_bytes.map(|bytes| format!("{} free on its disk", bytes_text(bytes)));
    let detail = log.into_iter().chain(free).collect::<Vec<_>>().join(", ");
    StatusRow::new(store.ok, "-", "store", bytes_text(store.bytes)).detail(detail)
}

fn counts_text<'a>(counts: impl Iterator<Item = (&'a String, &'a u64)>) -> String {
    counts.map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

fn millis_text(milliseconds: u64) -> String {
    seconds_text(Duration::from_millis(milliseconds))
}

/// Formats a duration to the second, which is precise enough here.
fn seconds_text(span: Duration) -> String {
    duration_text(Duration::from_secs(span.as_secs()))
}
