//! Schedule versions: what each version added and removed, and the plan of any version.
//!
//! A shift row is valid from `version_from` up to but not including `version_to`. Rows of a version without a row of
//! its own are staged, and no read returns them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use sqlx::any::AnyRow;

use crate::domain::audit::Hash;
use crate::domain::ids::{AgentId, TenantId};
use crate::domain::schedules::export::ExportedAgent;
use crate::domain::schedules::schedule::{Coverage, Shift, ShiftActivity};
use crate::domain::time::UtcMicros;
use crate::store::batch::{ManyRows, Values};
use crate::store::cells::Cells;
use crate::store::error::ReadError;
use crate::store::reader::Reader;

/// Rows: tenant, agent, start, end, version. A shift belongs to the period that contains its start.
pub(in crate::store) const RETIRE_IN_COVERAGE: ManyRows = ManyRows {
    head: "UPDATE shifts SET version_to = v.column5 FROM (VALUES",
    width: 5,
    tail: ") AS v WHERE shifts.tenant = v.column1 AND shifts.agent = v.column2 AND shifts.starts_at >= v.column3 \
           AND shifts.starts_at < v.column4 AND shifts.version_from < v.column5 AND shifts.version_to IS NULL",
};
/// Rows: tenant, agent, start, end, version, for each new shift: retires a shift that reaches in from outside and would
/// overlap it.
pub(in crate::store) const RETIRE_OVERLAPPED: ManyRows = ManyRows {
    head: "UPDATE shifts SET version_to = v.column5 FROM (VALUES",
    width: 5,
    tail: ") AS v WHERE shifts.tenant = v.column1 AND shifts.agent = v.column2 AND shifts.ends_at > v.column3 \
           AND shifts.starts_at < v.column4 AND shifts.version_from < v.column5 AND shifts.version_to IS NULL",
};
/// Rows: tenant, agent, start, end, version.
pub(in crate::store) const RETIRE_COVERAGE: ManyRows = ManyRows {
    head: "UPDATE schedule_coverage SET version_to = v.column5 FROM (VALUES",
    width: 5,
    tail: ") AS v WHERE schedule_coverage.tenant = v.column1 AND schedule_coverage.agent = v.column2 \
           AND schedule_coverage.starts_at >= v.column3 AND schedule_coverage.ends_at <= v.column4 \
           AND schedule_coverage.version_from < v.column5 AND schedule_coverage.version_to IS NULL",
};
pub(in crate::store) const ADD_COVERAGE: ManyRows = ManyRows {
    head: "INSERT INTO schedule_coverage (tenant, agent, starts_at, ends_at, version_from) VALUES",
    width: 5,
    tail: "",
};
pub(in crate::store) const ADD_SHIFTS: ManyRows = ManyRows {
    head: "INSERT INTO shifts (tenant, agent, starts_at, ends_at, version_from, activities) VALUES",
    width: 6,
    tail: "",
};
pub(in crate::store) const ADD_VERSION: ManyRows = ManyRows {
    head: "INSERT INTO schedule_versions (tenant, version, name, content_hash, imported_at, actor, covers_from, covers_to, \
           agents, shifts) VALUES",
    width: 10,
    tail: "",
};
pub(in crate::store) const CURRENT_VERSION: &str =
    "SELECT version FROM schedule_versions WHERE tenant = $1 ORDER BY version DESC LIMIT 1";
/// The version with exactly this content, if all of it is still active and nothing was imported over it.
pub(in crate::store) const UNCHANGED_VERSION: &str = "SELECT v.version FROM schedule_versions v WHERE v.tenant = $1 AND v.content_hash = $2 \
     AND NOT EXISTS (SELECT 1 FROM shifts s WHERE s.tenant = $1 AND s.version_from = v.version AND +s.version_to IS NOT NULL) \
     AND NOT EXISTS (SELECT 1 FROM schedule_coverage c JOIN schedule_coverage n ON n.tenant = c.tenant AND n.agent = c.agent \
     AND n.version_from > c.version_from AND n.starts_at < c.ends_at AND n.ends_at > c.starts_at \
     WHERE c.tenant = $1 AND c.version_from = v.version) ORDER BY v.version DESC LIMIT 1";
/// Tenants that have shifts or coverage, staged ones included.
pub(in crate::store) const TENANTS: &str = "SELECT DISTINCT tenant FROM schedule_coverage";
/// `$1` tenant, `$2` the active version. Deletes what an interrupted import left behind.
pub(in crate::store) const CLEAR_STAGED: [&str; 4] = [
    "DELETE FROM shifts WHERE tenant = $1 AND version_from > $2",
    "DELETE FROM schedule_coverage WHERE tenant = $1 AND version_from > $2",
    "UPDATE shifts SET version_to = NULL WHERE tenant = $1 AND version_to > $2",
    "UPDATE schedule_coverage SET version_to = NULL WHERE tenant = $1 AND version_to > $2",
];
/// The `+` keeps SQLite from reading all rows by their version instead of the few by their end.
pub(in crate::store) const SHIFTS: &str = "SELECT tenant, agent, starts_at, ends_at, activities FROM shifts WHERE tenant = $1 \
     AND +version_from <= $2 AND (version_to IS NULL OR version_to > $2) AND ends_at > $3 AND starts_at < $4 \
     ORDER BY agent, starts_at";
pub(in crate::store) const COVERAGE: &str = "SELECT tenant, agent, starts_at, ends_at FROM schedule_coverage WHERE tenant = $1 \
     AND +version_from <= $2 AND (version_to IS NULL OR version_to > $2) AND ends_at > $3 AND starts_at < $4 \
     ORDER BY agent, starts_at";
/// The shifts of one agent, each as a JSON array, because a row for each would cost many times as much.
pub(in crate::store) const PLAN_OF_AGENT: &str = "SELECT CAST($1 AS TEXT) AS tenant, CAST($5 AS TEXT) AS agent, \
     (SELECT '[' || COALESCE(string_agg('[' || CAST(starts_at AS TEXT) || ',' || CAST(ends_at AS TEXT) || ']', ','), '') || ']' FROM schedule_coverage WHERE tenant = $1 \
     AND agent = $5 AND +version_from <= $2 AND (version_to IS NULL OR +version_to > $2) AND ends_at > $3 AND starts_at < $4) AS coverage, \
     (SELECT '[' || COALESCE(string_agg('[' || CAST(starts_at AS TEXT) || ',' || CAST(ends_at AS TEXT) || ',' || activities || ']', ','), '') || ']' \
     FROM shifts WHERE tenant = $1 \
     AND agent = $5 AND +version_from <= $2 AND (version_to IS NULL OR +version_to > $2) AND +ends_at > $3 AND starts_at < $4) AS shifts";
pub(in crate::store) const VERSIONS: &str = "SELECT tenant, version, name, content_hash, imported_at, actor, covers_from, covers_to, agents, \
     shifts FROM schedule_versions WHERE tenant = $1 AND (CAST($2 AS BIGINT) IS NULL OR version < $2) ORDER BY version DESC LIMIT $3";
pub(in crate::store) const VERSION_AT: &str =
    "SELECT version FROM schedule_versions WHERE tenant = $1 AND imported_at <= $2 ORDER BY version DESC LIMIT 1";

/// The agents and the periods that a version set.
pub(in crate::store) const COVERAGE_OF_VERSION: &str = "SELECT agent, starts_at, ends_at FROM schedule_coverage WHERE tenant = $1 \
     AND version_from = $2 ORDER BY agent, starts_at";

/// An import that was activated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleVersion {
    /// The version, counted per tenant from 1.
    pub version: u64,
    /// The name of the import.
    pub name: String,
    /// A hash of the content.
    pub content_hash: Hash,
    /// The time of the activation.
    pub imported_at: UtcMicros,
    /// The actor who imported it.
    pub actor: String,
    /// The period it covers; the end is exclusive.
    pub covers: Coverage,
    /// The number of agents it covers.
    pub agents: u64,
    /// The number of shifts.
    pub shifts: u64,
}

/// The plan of one agent in one version; [`crate::domain::schedules::schedule::AgentPlan::new`] takes the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlan {
    /// The agent.
    pub agent: AgentId,
    /// The shifts, in order.
    pub shifts: Vec<Shift>,
    /// The periods that the schedule covers.
    pub coverage: Vec<Coverage>,
}

impl Reader {
    /// Returns the shifts and covered periods that overlap `from..to`, by agent, in version `as_of`, or in the active
    /// version without one.
    pub async fn plans(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
        as_of: Option<u64>,
    ) -> Result<Vec<StoredPlan>, ReadError> {
        let Some(version) = (match as_of {
            Some(version) => Some(version),
            None => self.schedule_version_at(tenant, UtcMicros::MAX).await?,
        }) else {
            return Ok(Vec::new());
        };
        let values = || Values::of(tenant).count(version).instant(from).instant(to);
        let mut plans: BTreeMap<AgentId, (Vec<Shift>, Vec<Coverage>)> = BTreeMap::new();
        self.for_each_row(COVERAGE, values(), |row| {
            let cells = Cells::new("schedule_coverage", row);
            plans
                .entry(AgentId::new(cells.text("agent")?))
                .or_default()
                .1
                .push(Coverage { start: cells.instant("starts_at")?, end: cells.instant("ends_at")? });
            Ok(())
        })
        .await?;
        self.for_each_row(SHIFTS, values(), |row| {
            let cells = Cells::new("shifts", row);
            plans.entry(AgentId::new(cells.text("agent")?)).or_default().0.push(Shift {
                start: cells.instant("starts_at")?,
                end: cells.instant("ends_at")?,
                activities: cells.json("activities")?,
            });
            Ok(())
        })
        .await?;
        let plan = |(agent, (shifts, coverage))| StoredPlan { agent, shifts, coverage };
        Ok(plans.into_iter().map(plan).collect())
    }

    /// Returns the agents of a tenant with their active shifts and covered periods that overlap `from..to`, by id. Agents
    /// without a known time zone are in UTC.
    pub async fn exported_agents(
        &self,
        tenant: &TenantId,
        span: (UtcMicros, UtcMicros),
    ) -> Result<Vec<ExportedAgent>, ReadError> {
        let plans = self.plans(tenant, span, None).await?;
        let mut plans: BTreeMap<AgentId, StoredPlan> =
            plans.into_iter().map(|plan| (plan.agent.clone(), plan)).collect();
        let mut skills = self.agent_skills(tenant).await?;
        let exported = self.agents(tenant).await?.into_iter().filter_map(|stored| {
            let agent = stored.agent;
            let StoredPlan { shifts, coverage, .. } = plans.remove(&agent.id)?;
            let zone = agent.zone.as_deref().and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC);
            let skills = skills.remove(&agent.id).unwrap_or_default();
            let name = agent.name.as_deref().map(str::to_owned);
            Some(ExportedAgent { name, team: agent.team.clone(), zone, skills, shifts, coverage, id: agent.id })
        });
        Ok(exported.collect())
    }

    /// Returns the active shifts and covered periods of one agent that overlap `from..to`; empty if the schedule does
    /// not name the agent.
    pub async fn plan_of_agent(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<Option<StoredPlan>, ReadError> {
        let Some(version) = self.schedule_version_at(tenant, UtcMicros::MAX).await? else { return Ok(None) };
        self.plan_of_agent_as_of(tenant, agent, (from, to), version).await
    }

    /// Returns the plan of one agent in a given version.
    pub(in crate::store) async fn plan_of_agent_as_of(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        (from, to): (UtcMicros, UtcMicros),
        version: u64,
    ) -> Result<Option<StoredPlan>, ReadError> {
        let values = Values::of(tenant).count(version).instant(from).instant(to).text(agent.as_str());
        let Some(row) = self.fetch_optional(PLAN_OF_AGENT, values).await? else { return Ok(None) };
        let cells = Cells::new("shifts", &row);
        let at = UtcMicros::from_micros;
        let coverage: Vec<(i64, i64)> = cells.json("coverage")?;
        let shifts: Vec<(i64, i64, Vec<ShiftActivity>)> = cells.json("shifts")?;
        let mut coverage: Vec<_> =
            coverage.into_iter().map(|(start, end)| Coverage { start: at(start), end: at(end) }).collect();
        let mut shifts: Vec<_> = shifts
            .into_iter()
            .map(|(start, end, activities)| Shift { start: at(start), end: at(end), activities })
            .collect();
        coverage.sort_by_key(|span| span.start);
        shifts.sort_by_key(|shift| shift.start);
        let named = !(coverage.is_empty() && shifts.is_empty());
        Ok(named.then(|| StoredPlan { agent: agent.clone(), shifts, coverage }))
    }

    /// Returns the agents and the periods whose schedule a version set.
    pub async fn coverage_of_version(
        &self,
        tenant: &TenantId,
        version: u64,
    ) -> Result<Vec<(AgentId, Coverage)>, ReadError> {
        self.read_rows(COVERAGE_OF_VERSION, Values::of(tenant).count(version), |row| {
            let cells = Cells::new("schedule_coverage", row);
            let coverage = Coverage { start: cells.instant("starts_at")?, end: cells.instant("ends_at")? };
            Ok((AgentId::new(cells.text("agent")?), coverage))
        })
        .await
    }

    /// Returns the version that was active at a given time; `None` before the first.
    pub async fn schedule_version_at(&self, tenant: &TenantId, at: UtcMicros) -> Result<Option<u64>, ReadError> {
        let values = Values::of(tenant).instant(at);
        self.read_row(VERSION_AT, values, |row| Cells::new("schedule_versions", row).number("version")).await
    }

    /// Returns a page of at most `limit` versions older than `before`, newest first (capped at
    /// [`crate::store::PAGE_LIMIT`]).
    pub async fn schedule_versions(
        &self,
        tenant: &TenantId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<ScheduleVersion>, ReadError> {
        self.read_rows(VERSIONS, Values::of(tenant).count_or_null(before).page(limit), read_version).await
    }
}

fn read_version(row: &AnyRow) -> Result<ScheduleVersion, ReadError> {
    let cells = Cells::new("schedule_versions", row);
    Ok(ScheduleVersion {
        version: cells.number("version")?,
        name: cells.text("name")?.to_owned(),
        content_hash: cells.hash("content_hash")?,
        imported_at: cells.instant("imported_at")?,
        actor: cells.text("actor")?.to_owned(),
        covers: Coverage { start: cells.instant("covers_from")?, end: cells.instant("covers_to")? },
        agents: cells.number("agents")?,
        shifts: cells.number("shifts")?,
    })
}
