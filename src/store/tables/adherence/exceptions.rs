//! Exceptions of agents.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::any::AnyRow;

use crate::domain::adherence::exception::{EarlyEnd, Exception, ExceptionScope};
use crate::domain::agents::agent::Agent;
use crate::domain::ids::{AgentId, ExceptionId, TeamName, TenantId};
use crate::domain::time::UtcMicros;
use crate::store::batch::{self, ManyRows, Transaction, Values, last_of_each};
use crate::store::cells::Cells;
use crate::store::change::Commit;
use crate::store::error::{CommitError, ReadError};
use crate::store::reader::Reader;

pub(in crate::store) const SET: ManyRows = ManyRows {
    head: "INSERT INTO exceptions (tenant, id, scope, team, starts_at, ends_at, reason, made_by, made_at, ended_at, ended_by, \
           ended_why) VALUES",
    width: 12,
    tail: "ON CONFLICT (tenant, id) DO UPDATE SET ends_at = excluded.ends_at, ended_at = excluded.ended_at, \
           ended_by = excluded.ended_by, ended_why = excluded.ended_why",
};
pub(in crate::store) const ADD_AGENTS: ManyRows = ManyRows {
    head: "INSERT INTO exception_agents (tenant, exception, agent) VALUES",
    width: 3,
    tail: "ON CONFLICT (tenant, exception, agent) DO NOTHING",
};

macro_rules! selecting {
    ($rest:literal) => {
        concat!(
            "SELECT e.tenant, e.id, e.scope, e.team, e.starts_at, e.ends_at, e.reason, e.made_by, e.made_at, e.ended_at, \
             e.ended_by, e.ended_why FROM exceptions e WHERE e.tenant = $1 AND ",
            $rest
        )
    };
}

pub(in crate::store) const ONE: &str = selecting!("e.id = $2");
/// `$2` and `$3` the period.
pub(in crate::store) const TOUCHING: &str =
    selecting!("e.ends_at > $2 AND e.starts_at < $3 ORDER BY e.starts_at, e.id");
/// `$2` and `$3` the period, `$4` before this id, `$5` limit, `$6` an agent and `$7` its team, or NULL.
pub(in crate::store) const LIST: &str = selecting!(
    "e.id < $4 AND e.ends_at >= $2 AND e.starts_at < $3 AND (CAST($6 AS TEXT) IS NULL OR e.scope = 'everyone' \
     OR (e.scope = 'team' AND e.team = $7) OR EXISTS (SELECT 1 FROM exception_agents a WHERE a.tenant = e.tenant \
     AND a.exception = e.id AND a.agent = $6)) ORDER BY e.id DESC LIMIT $5"
);
pub(in crate::store) const AGENTS_OF: &str =
    "SELECT tenant, exception, agent FROM exception_agents WHERE tenant = $1 AND exception = $2 ORDER BY agent";
/// The agents of an exception with their current names and teams.
pub(in crate::store) const AGENTS_WITH_NAMES: &str = "SELECT e.tenant, e.exception, e.agent, a.name, a.team FROM exception_agents e LEFT JOIN agents a \
     ON a.tenant = e.tenant AND a.id = e.agent WHERE e.tenant = $1 AND e.exception = $2 ORDER BY e.agent";
pub(in crate::store) const TEAM_OF: &str = "SELECT tenant, id, team FROM agents WHERE tenant = $1 AND id = $2";
pub(in crate::store) const AGENTS_TOUCHING: &str = "SELECT a.tenant, a.exception, a.agent FROM exceptions e JOIN exception_agents a \
     ON a.tenant = e.tenant AND a.exception = e.id WHERE e.tenant = $1 AND e.ends_at > $2 AND e.starts_at < $3 \
     ORDER BY a.exception, a.agent";
pub(in crate::store) const DELETE_AGENTS: &str = "DELETE FROM exception_agents WHERE tenant = $1 AND exception IN (SELECT id FROM exceptions \
     WHERE tenant = $1 AND ends_at < $2 ORDER BY ends_at, id LIMIT 500)";
pub(in crate::store) const DELETE: &str = "DELETE FROM exceptions WHERE tenant = $1 AND id IN (SELECT id FROM exceptions \
     WHERE tenant = $1 AND ends_at < $2 ORDER BY ends_at, id LIMIT 500)";

pub(in crate::store) async fn write(transaction: &mut Transaction<'_>, commits: &[&Commit]) -> Result<(), CommitError> {
    let rows = last_of_each(commits.iter().flat_map(|commit| &commit.exceptions), |row| (&row.tenant, row.id));
    batch::run(transaction, &SET, &rows, |row, values| {
        let team = match &row.scope {
            ExceptionScope::Team(team) => Some(team.as_str()),
            ExceptionScope::Agents(_) | ExceptionScope::Everyone => None,
        };
        let ended = row.early_end.as_ref();
        values
            .text(row.tenant.as_str())
            .text(row.id.to_string())
            .text(row.scope.name())
            .text_or_null(team)
            .instant(row.from)
            .instant(row.to)
            .text(&*row.reason)
            .text(&*row.created_by)
            .instant(row.created_at)
            .int_or_null(ended.map(|ended| ended.at.as_micros()))
            .text_or_null(ended.map(|ended| &*ended.by))
            .text_or_null(ended.and_then(|ended| ended.reason.as_deref()))
    })
    .await?;
    let mut agents = Vec::new();
    for row in rows {
        if let ExceptionScope::Agents(named) = &row.scope {
            agents.extend(named.iter().map(|agent| (row, agent)));
        }
    }
    batch::run(transaction, &ADD_AGENTS, &agents, |(row, agent), values| {
        values.text(row.tenant.as_str()).text(row.id.to_string()).text(agent.as_str())
    })
    .await
}

/// The conditions of a list of exceptions, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionFilter {
    /// The start of the period that they overlap.
    pub from: UtcMicros,
    /// The end of the period.
    pub to: UtcMicros,
    /// The agent they apply to, and the agent's team.
    pub agent: Option<(AgentId, Option<TeamName>)>,
    /// Only exceptions older than this one: the cursor of the next page.
    pub before: Option<ExceptionId>,
}

impl Reader {
    /// Returns one exception.
    pub async fn exception(&self, tenant: &TenantId, id: ExceptionId) -> Result<Option<Exception>, ReadError> {
        let values = Values::of(tenant).text(id.to_string());
        match self.read_row(ONE, values, |row| exception(row, &[])).await? {
            None => Ok(None),
            Some(found) => self.with_agents(found).await.map(Some),
        }
    }

    /// Returns the exceptions that overlap a period, ordered by their start.
    pub async fn exceptions_touching(
        &self,
        tenant: &TenantId,
        (from, to): (UtcMicros, UtcMicros),
    ) -> Result<Vec<Exception>, ReadError> {
        let values = || Values::of(tenant).instant(from).instant(to);
        let mut agents: HashMap<ExceptionId, Vec<AgentId>> = HashMap::new();
        self.for_each_row(AGENTS_TOUCHING, values(), |row| {
            let cells = Cells::new("exception_agents", row);
            agents.entry(cells.parsed("exception")?).or_default().push(AgentId::new(cells.text("agent")?));
            Ok(())
        })
        .await?;
        self.read_rows(TOUCHING, values(), |row| {
            let id = Cells::new("exceptions", row).parsed("id")?;
            exception(row, agents.get(&id).map(Vec::as_slice).unwrap_or_default())
        })
        .await
    }

    /// Returns a page of at most `limit` exceptions (capped at [`crate::store::PAGE_LIMIT`]).
    pub async fn exceptions(
        &self,
        tenant: &TenantId,
        filter: &ExceptionFilter,
        limit: u32,
    ) -> Result<Vec<Exception>, ReadError> {
        let (agent, team) = match &filter.agent {
            Some((agent, team)) => (Some(agent.as_str()), team.as_ref().map(TeamName::as_str)),
            None => (None, None),
        };
        let values = Values::of(tenant)
            .instant(filter.from)
            .instant(filter.to)
            .before(filter.before)
            .page(limit)
            .text_or_null(agent)
            .text_or_null(team);
        let mut page = Vec::new();
        for found in self.read_rows(LIST, values, |row| exception(row, &[])).await? {
            page.push(self.with_agents(found).await?);
        }
        Ok(page)
    }

    /// Returns the agents that an exception names, with their current names and teams.
    pub async fn exception_agents(&self, tenant: &TenantId, id: ExceptionId) -> Result<Vec<Agent>, ReadError> {
        self.read_rows(AGENTS_WITH_NAMES, Values::of(tenant).text(id.to_string()), |row| {
            let cells = Cells::new("exception_agents", row);
            Ok(Agent {
                id: AgentId::new(cells.text("agent")?),
                name: cells.text_or_null("name")?.map(Arc::from),
                team: cells.text_or_null("team")?.map(TeamName::new),
                zone: None,
            })
        })
        .await
    }

    /// Returns the agent's current team.
    pub async fn team_of(&self, tenant: &TenantId, agent: &AgentId) -> Result<Option<TeamName>, ReadError> {
        let values = Values::of(tenant).text(agent.as_str());
        let read = |row: &AnyRow| Ok(Cells::new("agents", row).text_or_null("team")?.map(TeamName::new));
        Ok(self.read_row(TEAM_OF, values, read).await?.flatten())
    }

    async fn with_agents(&self, found: Exception) -> Result<Exception, ReadError> {
        if !matches!(found.scope, ExceptionScope::Agents(_)) {
            return Ok(found);
        }
        let values = Values::of(&found.tenant).text(found.id.to_string());
        let read = |row: &AnyRow| Cells::new("exception_agents", row).text("agent").map(AgentId::new);
        let agents = self.read_rows(AGENTS_OF, values, read).await?;
        Ok(Exception { scope: ExceptionScope::Agents(agents), ..found })
    }
}

fn exception(row: &AnyRow, agents: &[AgentId]) -> Result<Exception, ReadError> {
    let cells = Cells::new("exceptions", row);
    let team = cells.text_or_null("team")?;
    let whom = cells.known_value("scope", |scope| match (scope, team) {
        ("agents", _) => Some(ExceptionScope::Agents(agents.to_vec())),
        ("team", Some(team)) => Some(ExceptionScope::Team(TeamName::new(team))),
        ("everyone", _) => Some(ExceptionScope::Everyone),
        _ => None,
    })?;
    let why = cells.text_or_null("ended_why")?.map(Arc::from);
    let ended = match (cells.instant_or_null("ended_at")?, cells.text_or_null("ended_by")?) {
        (Some(at), Some(by)) => Some(EarlyEnd { at, by: Arc::from(by), reason: why }),
        _ => None,
    };
    Ok(Exception {
        id: cells.parsed("id")?,
        tenant: TenantId::new(cells.text("tenant")?),
        scope: whom,
        from: cells.instant("starts_at")?,
        to: cells.instant("ends_at")?,
        reason: Arc::from(cells.text("reason")?),
        created_by: Arc::from(cells.text("made_by")?),
        created_at: cells.instant("made_at")?,
        early_end: ended,
    })
}
