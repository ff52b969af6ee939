//! The job that reads the schedules of a tenant's agents from its platform, one agent per call.
//!
//! The platform exports at most seven days, in days without a time zone. So a day more is requested on both sides, and
//! only the days between are taken over. What was read is imported in groups, and agents whose schedule is oldest come
//! first: a run that is cut off loses little, and the next one goes on where it ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::app::Importer;
use crate::clock::BoxFuture;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::schedules::platform_schedule::{ActivityTitles, PlatformShift};
use crate::domain::schedules::schedule::Coverage;
use crate::domain::time::UtcMicros;
use crate::domain::wording::count_with_noun;
use crate::engine::jobs::Job;
use crate::engine::operations::tenants::Tenants;
use crate::engine::platform::calls::{CallKind, call_within_budget};
use crate::engine::platform::link::Link;
use crate::platform::budget::Urgency;
use crate::platform::{CallError, Failure};
use crate::store::{AgentSchedule, Reader, StoredAgent};

/// How many agents are imported together.
const GROUP: usize = 25;

/// The days that are taken over, from today on.
const DAYS: i32 = 5;

/// The share of the request budget that the job may use, in percent.
const BUDGET_PERCENT: u32 = 20;

/// How many unknown titles the result names.
const NAMED_TITLES: usize = 10;

/// The job. Cheap to clone.
#[derive(Clone)]
pub(super) struct PlatformSchedules {
    pub(super) tenant: TenantId,
    pub(super) tenants: Tenants,
    pub(super) reader: Reader,
    pub(super) importer: Importer,
    /// The agents whom the configuration names.
    pub(super) agents: Vec<AgentId>,
    pub(super) titles: ActivityTitles,
    pub(super) requests_per_minute: u32,
    pub(super) job: String,
}

impl Job for PlatformSchedules {
    fn run(&self, _due: UtcMicros, _failure: Option<String>) -> BoxFuture<anyhow::Result<String>> {
        let job = self.clone();
        Box::pin(async move { job.read_all().await })
    }
}

/// What a run has done so far.
#[derive(Default)]
struct Progress {
    agents: usize,
    shifts: usize,
    /// The agents whose schedule the platform refused, with the last reason.
    refused: usize,
    last_refusal: Option<String>,
    unknown_titles: BTreeSet<String>,
}

impl PlatformSchedules {
    async fn read_all(&self) -> anyhow::Result<String> {
        let link = self.tenants.link(&self.tenant).ok_or_else(|| anyhow::anyhow!("the tenant is not running"))?;
        if !link.platform.capabilities().exports_schedules {
            return Ok("the platform exports no schedules".to_owned());
        }
        let mut agents: Vec<StoredAgent> = self.reader.agents(&self.tenant).await?;
        let is_observed = |agent: &StoredAgent| agent.is_on_roster() || self.agents.contains(&agent.agent.id);
        agents.retain(|agent| agent.user_id.is_some() && is_observed(agent));
        if agents.is_empty() {
            anyhow::bail!("the platform's directory names no agent with a user id yet; it is read at the start");
        }
        let now = link.clock.now();
        let is_recent = |agent: &StoredAgent| agent.schedule_read_at.is_some_and(|at| now.since(at) < RECENT);
        agents.retain(|agent| !is_recent(agent));
        if agents.is_empty() {
            return Ok("nothing to do: every schedule was read less than 6 hours ago".to_owned());
        }
        agents.sort_by_key(|agent| agent.schedule_read_at);
        let mut progress = Progress::default();
        for group in agents.chunks(GROUP) {
            self.read_group(&link, group, &mut progress).await?;
            if progress.agents == 0 {
                // A missing right refuses everybody, and each refusal spends a call.
                break;
            }
        }
        let total = progress.agents + progress.refused;
        if progress.agents == 0 && progress.refused > 0 {
            anyhow::bail!(
                "the platform refused the schedules of {}, and of nobody else was one read: {}",
                count_with_noun(total, "agent"),
                progress.last_refusal.unwrap_or_default()
            );
        }
        Ok(progress.describe())
    }

    async fn read_group(&self, link: &Arc<Link>, group: &[StoredAgent], progress: &mut Progress) -> anyhow::Result<()> {
        let today = link.clock.now().timestamp().to_zoned(TimeZone::UTC).date();
        let mut read = Vec::with_capacity(group.len());
        for agent in group {
            let Some(user_id) = agent.user_id.as_deref() else { continue };
            match self.read_agent(link, user_id, today).await? {
                Ok(shifts) => {
                    let coverage = coverage(agent, today)?;
                    let shifts = self.titles.shifts(&shifts, coverage, &mut progress.unknown_titles);
                    progress.agents += 1;
                    progress.shifts += shifts.len();
                    let schedule = AgentSchedule {
                        agent: agent.agent.clone(),
                        subject: agent.subject,
                        shifts,
                        coverage,
                        is_covered: true,
                        skills: None,
                    };
                    read.push((schedule, link.clock.now()));
                }
                Err(error) => match error.failure {
                    // The next agent may be allowed.
                    Failure::Forbidden { .. }
                    | Failure::NotFound
                    | Failure::Rejected { .. }
                    | Failure::Malformed { .. } => {
                        tracing::warn!(tenant = %self.tenant, agent = %agent.agent.id, %error, "the schedule was not exported");
                        (progress.refused, progress.last_refusal) = (progress.refused + 1, Some(error.to_string()));
                    }
                    _ => {
                        self.import(read, today).await?;
                        return Err(error.into());
                    }
                },
            }
        }
        self.import(read, today).await
    }

    /// Reads one agent's schedule, and pauses so that the job stays within its share of the budget.
    async fn read_agent(
        &self,
        link: &Arc<Link>,
        user_id: &str,
        today: Date,
    ) -> anyhow::Result<Result<Vec<PlatformShift>, CallError>> {
        let days = (today.checked_sub(1.day())?, today.checked_add(DAYS.days())?);
        let call = link.platform.exported_schedule(user_id, days);
        let answer = call_within_budget(link, CallKind::ScheduleExport, Urgency::Ordinary, None, call).await?;
        let per_minute = (self.requests_per_minute * BUDGET_PERCENT / 100).max(1);
        link.clock.sleep(Duration::from_secs(60) / per_minute).await;
        Ok(answer.map(|answer| answer.value))
    }

    async fn import(&self, read: Vec<(AgentSchedule, UtcMicros)>, today: Date) -> anyhow::Result<()> {
        if read.is_empty() {
            return Ok(());
        }
        let days = (today, today.checked_add((DAYS - 1).days())?);
        Ok(self.importer.import_from_platform(&self.tenant, &self.job, read, days).await?)
    }
}

/// A schedule that is younger than this is not read again.
const RECENT: Duration = Duration::from_secs(6 * 3600);

/// Returns the days that the export covers for certain, in the agent's time zone.
fn coverage(agent: &StoredAgent, today: Date) -> anyhow::Result<Coverage> {
    let zone = agent.agent.zone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let midnight = |day: Date| anyhow::Ok(UtcMicros::from(zone.to_zoned(day.at(0, 0, 0, 0))?.timestamp()));
    Ok(Coverage { start: midnight(today)?, end: midnight(today.checked_add(DAYS.days())?)? })
}

impl Progress {
    fn describe(&self) -> String {
        let (agents, shifts) = (count_with_noun(self.agents, "agent"), count_with_noun(self.shifts, "shift"));
        let mut parts = vec![format!("read the schedules of {agents} with {shifts}")];
        if let Some(reason) = &self.last_refusal {
            parts.push(format!("{} refused, the last because {reason}", count_with_noun(self.refused, "agent")));
        }
        if !self.unknown_titles.is_empty() {
            let named: Vec<&str> = self.unknown_titles.iter().take(NAMED_TITLES).map(String::as_str).collect();
            parts.push(format!(
                "{} without an entry in the table of activities: {}",
                count_with_noun(self.unknown_titles.len(), "activity title"),
                named.join(", ")
            ));
        }
        parts.join("; ")
    }
}
