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
use crate::store::batch::{self, ManyRows, Transaction, Values};
use crate::store::cells::Cells;
use crate::store::change::AgentWrite;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const UPSERT_AGENTS: ManyRows = ManyRows {
    head: "INSERT INTO agents (tenant, id, name, team, zone) VALUES",
    width: 5,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET name = COALESCE(excluded.name, agents.name), \
           team = COALESCE(excluded.team, agents.team), zone = COALESCE(excluded.zone, agents.zone)",
};
pub(in crate::store) const ADD_SUBJECTS: ManyRows = ManyRows {
    head: "INSERT INTO subjects (tenant, agent, subject) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant, agent) DO NOTHING",
};
macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT a.tenant, a.id, a.name, a.team, a.zone, a.erasing_since, a.erased_at, s.subject, CASE WHEN a.erasing_since IS NULL \
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

/// An agent as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAgent {
    /// The agent.
    pub agent: Agent,
    /// The agent's name in the audit chain.
    pub subject: SubjectId,
    /// Whether an imported schedule names or named the agent, and the agent is not being erased.
    pub imported: bool,
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

impl Reader {
    /// Returns all agents of a tenant, ordered by id.
    pub async fn agents(&self, tenant: &TenantId) -> Result<Vec<StoredAgent>, ReadError> {
        self.read_rows(AGENTS, Values::of(tenant), decode).await
    }

    /// Returns one agent, or `None` if no schedule ever named it and it was never observed.
    pub async fn agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<Option<StoredAgent>, ReadError> {
        self.read_row(AGENT, Values::of(tenant).text(agent.as_str()), decode).await
    }
}

fn decode(row: &AnyRow) -> Result<StoredAgent, ReadError> {
    let cells = Cells::new("agents", row);
    Ok(StoredAgent {
        agent: Agent {
            id: AgentId::new(cells.text("id")?),
            name: cells.text_or_null("name")?.map(Arc::from),
            team: cells.text_or_null("team")?.map(TeamName::new),
            zone: cells.text_or_null("zone")?.map(Arc::from),
        },
        subject: cells.parsed("subject")?,
        imported: cells.int("imported")? != 0,
        is_being_erased: cells.instant_or_null("erasing_since")?.is_some(),
        is_stand_in: cells.instant_or_null("erased_at")?.is_some(),
    })
}
