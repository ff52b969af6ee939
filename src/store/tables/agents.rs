//! Agents and the random subjects that replace them in the audit chain.

pub(in crate::store) mod erasing;
pub(in crate::store) mod erasing_reading;
pub(in crate::store) mod erasures;
pub(in crate::store) mod history;
pub(in crate::store) mod history_reading;
pub(in crate::store) mod skills;

use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, SubjectId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::{AgentWrite, DirectoryWrite, ScheduleRead};
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const UPSERT_AGENTS: ManyRows = ManyRows {
    head: "INSERT INTO agents (tenant, id, name, team, zone) VALUES",
    width: 5,
    // What the platform's directory says of an agent comes before what a schedule says.
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET \
           name = CASE agents.listed WHEN 1 THEN COALESCE(agents.name, excluded.name) ELSE COALESCE(excluded.name, agents.name) END, \
           team = CASE agents.listed WHEN 1 THEN COALESCE(agents.team, excluded.team) ELSE COALESCE(excluded.team, agents.team) END, \
           zone = CASE agents.listed WHEN 1 THEN COALESCE(agents.zone, excluded.zone) ELSE COALESCE(excluded.zone, agents.zone) END",
};
/// Marks all agents of a tenant as not listed, before a complete directory is written.
pub(in crate::store) const UNLIST: ManyRows =
    ManyRows { head: "UPDATE agents SET listed = 0 WHERE listed = 1 AND tenant IN (VALUES", width: 1, tail: ")" };
pub(in crate::store) const SET_SCHEDULE_READ: ManyRows = ManyRows {
    head: "INSERT INTO agents (tenant, id, schedule_read_at) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET schedule_read_at = excluded.schedule_read_at",
};
pub(in crate::store) const UPSERT_LISTED: ManyRows = ManyRows {
    head: "INSERT INTO agents (tenant, id, name, team, zone, listed, user_id, user_name) VALUES",
    width: 8,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET name = COALESCE(excluded.name, agents.name), \
           team = COALESCE(excluded.team, agents.team), zone = COALESCE(excluded.zone, agents.zone), \
           listed = excluded.listed, user_id = excluded.user_id, user_name = excluded.user_name",
};
pub(in crate::store) const ADD_SUBJECTS: ManyRows = ManyRows {
    head: "INSERT INTO subjects (tenant, agent, subject) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant, agent) DO NOTHING",
};
macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT a.tenant, a.id, a.name, a.team, a.zone, a.listed, a.user_id, a.user_name, a.schedule_read_at, a.erasing_since, a.erased_at, s.subject, CASE WHEN a.erasing_since IS NULL \
             AND a.erased_at IS NULL AND EXISTS (\
             SELECT 1 FROM schedule_coverage c WHERE c.tenant = a.tenant AND c.agent = a.id AND c.version_from <= \
             COALESCE((SELECT MAX(v.version) FROM schedule_versions v WHERE v.tenant = a.tenant), 0)) THEN 1 ELSE 0 END AS imported \
             FROM agents a JOIN subjects s ON s.tenant = a.tenant AND s.agent = a.id WHERE a.tenant = $1",
            $rest
        )
    };
}

pub(in crate::store) const AGENTS: &str = selecting!(" ORDER BY a.id");
pub(in crate::store) const AGENT: &str = selecting!(" AND a.id = $2");

pub(in crate::store) const SCHEDULE_READS: &str = "SELECT COUNT(*) AS agents, COUNT(schedule_read_at) AS read_agents, \
     MIN(schedule_read_at) AS oldest FROM agents WHERE tenant = $1 AND listed = 1";

/// When the schedules of a tenant's listed agents were read from the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScheduleReads {
    /// The number of agents whom the platform's directory lists as active.
    pub agents: u64,
    /// The number of those whose schedule was ever read.
    pub read_agents: u64,
    /// When the schedule that was read the longest time ago was read.
    pub oldest: Option<UtcMicros>,
}

/// An agent as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says where the agent is known from, or what becomes of it")]
pub struct StoredAgent {
    /// The agent.
    pub agent: Agent,
    /// The agent's name in the audit chain.
    pub subject: SubjectId,
    /// Whether an imported schedule names or named the agent, and the agent is not being erased.
    pub imported: bool,
    /// Whether the platform's directory lists the agent as active, and the agent is not being erased.
    pub listed: bool,
    /// The id of the agent's user account on the platform, if the directory has one.
    pub user_id: Option<Arc<str>>,
    /// The name with which the agent signs in on the platform, if the directory has one.
    pub user_name: Option<Arc<str>>,
    /// When the agent's schedule was last read from the platform, if ever.
    pub schedule_read_at: Option<UtcMicros>,
    /// Whether the agent is being erased.
    pub is_being_erased: bool,
    /// Whether this is the stand-in of an erased agent.
    pub is_stand_in: bool,
}

pub(in crate::store) async fn write(
    transaction: &mut Transaction<'_>,
    writes: impl Iterator<Item = &AgentWrite> + Clone,
) -> Result<(), CommitError> {
    let rows = batch::last_of_each(writes, |write| (&write.tenant, &write.agent.id));
    batch::run(transaction, &UPSERT_AGENTS, &rows, |write, values| {
        values
            .text(write.tenant.as_str())
            .text(write.agent.id.as_str())
            .text_or_null(write.agent.name.as_deref())
            .text_or_null(write.agent.team.as_ref().map(TeamName::as_str))
            .text_or_null(write.agent.zone.as_deref())
    })
    .await?;
    batch::run(transaction, &ADD_SUBJECTS, &rows, |write, values| {
        values.text(write.tenant.as_str()).text(write.agent.id.as_str()).text(write.subject.to_string())
    })
    .await
}

/// Writes what a platform's directory says.
pub(in crate::store) async fn write_directory(
    transaction: &mut Transaction<'_>,
    writes: impl Iterator<Item = &DirectoryWrite> + Clone,
) -> Result<(), CommitError> {
    let complete: Vec<_> = writes.clone().filter(|write| write.is_complete).collect();
    batch::run(transaction, &UNLIST, &complete, |write, values| values.text(write.tenant.as_str())).await?;
    let agents: Vec<_> = writes.flat_map(|write| write.agents.iter().map(|agent| (&write.tenant, agent))).collect();
    let rows = batch::last_of_each(agents.iter(), |(tenant, agent)| (*tenant, &agent.agent.id));
    batch::run(transaction, &UPSERT_LISTED, &rows, |(tenant, listed), values| {
        values
            .text(tenant.as_str())
            .text(listed.agent.id.as_str())
            .text_or_null(listed.agent.name.as_deref())
            .text_or_null(listed.agent.team.as_ref().map(TeamName::as_str))
            .text_or_null(listed.agent.zone.as_deref())
            .int(i64::from(listed.is_active))
            .text_or_null(listed.user_id.as_deref())
            .text_or_null(listed.user_name.as_deref())
    })
    .await?;
    batch::run(transaction, &ADD_SUBJECTS, &rows, |(tenant, listed), values| {
        values.text(tenant.as_str()).text(listed.agent.id.as_str()).text(listed.subject.to_string())
    })
    .await
}

/// Records when agents' schedules were read from the platform.
pub(in crate::store) async fn write_schedule_reads(
    transaction: &mut Transaction<'_>,
    reads: impl Iterator<Item = &ScheduleRead> + Clone,
) -> Result<(), CommitError> {
    let rows = batch::last_of_each(reads, |read| (&read.tenant, &read.agent));
    batch::run(transaction, &SET_SCHEDULE_READ, &rows, |read, values| {
        values.text(read.tenant.as_str()).text(read.agent.as_str()).instant(read.at)
    })
    .await
}

impl StoredAgent {
    /// Returns whether a schedule or the platform's directory puts the agent on the roster.
    pub const fn is_on_roster(&self) -> bool {
        self.imported || self.listed
    }
}

impl Reader {
    /// Returns all agents of a tenant, ordered by id.
    pub async fn agents(&self, tenant: &TenantId) -> Result<Vec<StoredAgent>, ReadError> {
        self.read_rows(AGENTS, Values::of(tenant), decode).await
    }

    /// Returns when the schedules of a tenant's listed agents were read from the platform.
    pub async fn schedule_reads(&self, tenant: &TenantId) -> Result<ScheduleReads, ReadError> {
        let decode = |row: &AnyRow| {
            let cells = Cells::new("agents", row);
            Ok(ScheduleReads {
                agents: cells.number("agents")?,
                read_agents: cells.number("read_agents")?,
                oldest: cells.instant_or_null("oldest")?,
            })
        };
        Ok(self.read_row(SCHEDULE_READS, Values::of(tenant), decode).await?.unwrap_or_default())
    }

    /// Returns one agent, or `None` if no schedule ever named it and it was never observed.
    pub async fn agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<Option<StoredAgent>, ReadError> {
        self.read_row(AGENT, Values::of(tenant).text(agent.as_str()), decode).await
    }
}

fn decode(row: &AnyRow) -> Result<StoredAgent, ReadError> {
    let cells = Cells::new("agents", row);
    let is_being_erased = cells.instant_or_null("erasing_since")?.is_some();
    let is_stand_in = cells.instant_or_null("erased_at")?.is_some();
    Ok(StoredAgent {
        agent: Agent {
            id: AgentId::new(cells.text("id")?),
            name: cells.text_or_null("name")?.map(Arc::from),
            team: cells.text_or_null("team")?.map(TeamName::new),
            zone: cells.text_or_null("zone")?.map(Arc::from),
        },
        subject: cells.parsed("subject")?,
        imported: cells.int("imported")? != 0,
        listed: cells.int("listed")? != 0 && !is_being_erased && !is_stand_in,
        user_id: cells.text_or_null("user_id")?.map(Arc::from),
        user_name: cells.text_or_null("user_name")?.map(Arc::from),
        schedule_read_at: cells.instant_or_null("schedule_read_at")?,
        is_being_erased,
        is_stand_in,
    })
}
